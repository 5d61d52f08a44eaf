"""PowerFlex's own cases: log-ins, handles, SDCs, generations, odd answers, and what the Go populator gets wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from populator.errors import StorageError
from populator.storage import registry
from populator.storage.array import Lun, Mapping, StorageArray, Volume
from populator.storage.failures import Refused
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import FC, HOST, IQN, PORTS, SDC, ensure, know_hosts, seen, unmap
from tests.lab.arrays import QuickClock, connect, sdc
from tests.lab.arrays.powerflex.lab import PASSWORD, USER, PowerFlexLab
from tests.lab.arrays.powerflex.server import PowerFlexSimulator
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from vsphere.model import InitiatorKind

WORKER = PORTS[InitiatorKind.SDC].worker
SYSTEMS, VOLUMES = "/api/types/System", "/api/instances/Volume"
Start = Callable[..., PowerFlexLab]


@pytest.fixture
def start(rack: Rack) -> Start:
    """Return what starts an array of these versions."""

    def begin(*versions: str | None) -> PowerFlexLab:
        lab = rack.add(PowerFlexLab, *versions)  # type: ignore[arg-type]
        know_hosts(lab)
        lab.simulator.add_sdc(WORKER.name, name="worker-7", os="Linux")
        return lab

    return begin


@pytest.fixture
def lab(start: Start) -> PowerFlexLab:
    return start()


def error(status: int, code: int, message: str = "the array's own words", **more: Any) -> Reply:
    return Reply(status, {"message": message, "httpStatusCode": status, "errorCode": code, **more})


def run(lab: PowerFlexLab, array: StorageArray, volume: Volume) -> Mapping:
    """Do what the populator does to an array for one disk."""
    array.info()
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, SDC))
    assert list(seen(lab, SDC)) == [lun.device]
    unmap(lab, array, lun, before)
    assert seen(lab, SDC) == {}
    return mapping


def mapped(lab: PowerFlexLab, array: StorageArray) -> Lun:
    """Return the LUN of a new volume, mapped to the host."""
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, SDC))
    return lun


# Which system


def test_without_a_system_nothing_is_asked(lab: PowerFlexLab) -> None:
    with pytest.raises(StorageError, match="POWERFLEX_SYSTEM_ID is missing"):
        connect(lab, options={"POWERFLEX_SYSTEM_ID": " "})
    assert lab.calls == []


@pytest.mark.parametrize("called", ["{0.id}", "{0.name}", " {0.id} "])
def test_a_system_is_found_by_id_and_by_name(lab: PowerFlexLab, sim: PowerFlexSimulator, called: str) -> None:
    sim.add_system(None, "4.5.0.0")
    for wanted in (
        called.format(sim.system),
        called.format(sim.system).replace(sim.system.id, sim.system.id.upper()),
    ):
        array = connect(lab, options={"POWERFLEX_SYSTEM_ID": wanted})
        assert array.find_lun(lab.add_volume()).device.startswith(f"eui.{sim.system.id}")


@pytest.mark.parametrize("called", ["0000000000000000", "LAB-SYSTEM", "None", "lab"])
def test_a_system_that_is_not_there_is_never_another_one(
    lab: PowerFlexLab, sim: PowerFlexSimulator, called: str
) -> None:
    """Dell's SDK takes one without a name for any: it is asked for the empty name."""
    sim.add_system(None, None)
    with pytest.raises(StorageError, match="no systems of the id or name") as caught:
        connect(lab, options={"POWERFLEX_SYSTEM_ID": called}).find_lun(lab.add_volume())
    assert f"{sim.system.id} (lab-system)" in caught.value.text
    assert "POWERFLEX_SYSTEM_ID" in caught.value.hint


def test_two_systems_of_one_name_are_none(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    sim.add_system(sim.system.name, None)
    with pytest.raises(StorageError, match="has 2 systems"):
        connect(lab, options={"POWERFLEX_SYSTEM_ID": "lab-system"}).info()


@pytest.mark.parametrize(
    ("api", "components", "shown"),
    [("3.6", "3.6.700.103", "3.6.700.103"), ("4.5", None, "4.5"), ("5.1", "4.5.2100.105", "4.5.2100.105")],
)
def test_info_is_of_the_system_and_not_of_its_api(
    start: Start, api: str, components: str | None, shown: str
) -> None:
    info = connect(start(api, components)).info()
    assert (info.vendor, info.product, info.model, info.version) == ("Dell", "PowerFlex", "", shown)


# Log-in


def headers_of(sim: PowerFlexSimulator, path: str = SYSTEMS) -> list[Request]:
    """Return the requests for a path, as they will come."""
    seen_requests: list[Request] = []
    sim.server.before("GET", path, seen_requests.append, times=100)
    return seen_requests


def test_the_first_gateways_take_the_token_as_a_password_without_a_user(start: Start) -> None:
    lab = start("3.6", "3.6.700.103")
    asked, array = headers_of(lab.simulator), connect(lab)
    array.info()
    (token,) = lab.simulator.logins.open
    assert asked[0].basic == ("", token)
    array.close()
    assert lab.calls[-1] == ("GET", "/api/logout")
    assert lab.sessions == 0


def test_the_platform_has_a_log_in_of_its_own(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    asked, array = headers_of(sim), connect(lab)
    array.info()
    ((token, session),) = sim.logins.open.items()
    assert session.refresh, "the session that only led there has been ended"
    assert asked[0].headers["authorization"] == f"Bearer {token}"
    array.close()
    assert lab.calls[-1] == ("POST", "/rest/auth/logout")
    assert lab.sessions == 0


@pytest.mark.parametrize("refused_by", [404, 401])
def test_a_platform_that_does_not_let_us_in_by_it_takes_the_first_token_as_bearer(
    lab: PowerFlexLab, sim: PowerFlexSimulator, refused_by: int
) -> None:
    """Dell's SDK for Go knows no other way; credentials that were accepted a moment ago are not what is wrong."""
    if refused_by == 404:
        sim.logins.own_login = False
    else:
        sim.server.before("POST", "/rest/auth/login", lambda _: error(401, 0, "Unauthorized"), times=9)
    asked, array = headers_of(sim), connect(lab)
    array.info()
    (token,) = sim.logins.open
    assert asked[0].headers["authorization"] == f"Bearer {token}"
    assert [path for _, path in lab.calls].count("/rest/auth/login") == 1
    array.close()
    assert lab.calls[-1] == ("GET", "/api/logout")
    assert lab.sessions == 0


def test_a_platform_that_is_busy_is_asked_again_for_its_own_log_in(
    lab: PowerFlexLab, sim: PowerFlexSimulator
) -> None:
    sim.server.before("POST", "/rest/auth/login", lambda _: Reply(503))
    connect(lab).info()
    assert [bool(session.refresh) for session in sim.logins.open.values()] == [True]


@pytest.mark.parametrize("api", ["3.6", "4.5"])
def test_wrong_credentials_are_tried_once(start: Start, api: str) -> None:
    """Each wrong try counts towards locking the account."""
    lab = start(api, None)
    with pytest.raises(Refused, match="does not accept the credentials of 'admin'"):
        connect(lab, password="wrong").info()
    assert lab.calls == [("GET", "/api/login")]


@pytest.mark.parametrize("body", [b"", b"{}", b'""', b"null", b"<html>log in</html>", b'["token"]'])
@pytest.mark.parametrize("path", ["/api/login", "/api/version"])
def test_an_answer_that_is_no_text_lets_nobody_in(
    lab: PowerFlexLab, sim: PowerFlexSimulator, path: str, body: bytes
) -> None:
    """Dell's SDK goes on with an empty token, and with an empty id."""
    sim.server.before("GET", path, lambda _: Reply(200, body), times=9)
    with pytest.raises(StorageError) as caught:
        connect(lab).info()
    assert "JSON" in caught.value.text
    assert ("GET", f"{SYSTEMS}/instances") not in lab.calls
    assert lab.sessions == 0


def test_a_version_that_is_none_is_said(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    sim.server.before("GET", "/api/version", lambda _: Reply(200, "four"))
    with pytest.raises(StorageError, match="version of its API is 'four'") as caught:
        connect(lab).info()
    assert "STORAGE_HOSTNAME" in caught.value.hint
    assert lab.sessions == 0


def test_a_session_that_expires_at_once_is_renewed_once(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    sim.server.before("GET", SYSTEMS, lambda _: lab.expire_sessions(), times=9)
    with pytest.raises(Refused, match="HTTP 401"):
        connect(lab).info()
    assert [path for _, path in lab.calls].count(f"{SYSTEMS}/instances") == 2


@pytest.mark.parametrize("broken", [0, 1])
def test_a_session_that_outlives_its_token_is_ended_all_the_same(
    lab: PowerFlexLab, sim: PowerFlexSimulator, broken: int
) -> None:
    """The platform's tokens are good for minutes, copies take hours."""
    array = connect(lab)
    array.info()
    sim.logins.expire_tokens()
    sim.server.before("POST", "/rest/auth/logout", lambda _: Reply(503), times=broken)
    assert array.find_lun(lab.add_volume()).size
    assert lab.sessions == 1 + broken
    array.close()
    assert lab.sessions == 0


@pytest.mark.parametrize("api", ["3.6", "4.5"])
def test_a_session_that_leads_on_is_ended_at_last_where_it_could_not_be_before(
    start: Start, api: str
) -> None:
    lab = start(api, None)
    lab.simulator.server.before("GET", "/api/logout", lambda _: Reply(503))
    array = connect(lab)
    array.info()
    array.close()
    assert lab.sessions == (1 if api == "3.6" else 0), "close tries once"


# Which volume


@pytest.mark.parametrize("form", ["{0.id}-{1.id}", "{0.name}-{1.id}", "{1.id}", "{2}-{3}", " {0.id}-{1.id} "])
def test_the_forms_of_handles(lab: PowerFlexLab, sim: PowerFlexSimulator, form: str) -> None:
    """A system's name may hold dashes, by which Dell's own parser is misled."""
    volume = lab.add_volume()
    system, there = sim.system, lab.volume(volume)
    handle = form.format(system, there, system.id.upper(), there.id.upper())
    lun = connect(lab).find_lun(replace(volume, handle=handle))
    assert (lun.id, lun.name, lun.size) == (there.id, there.name, 1 << 20)
    assert lun.device == f"eui.{system.id}{there.id}"


def test_the_device_is_known_before_anything_is_mapped(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    sim.system.id = "B4F2D5322F73780F"
    sim.systems = {"b4f2d5322f73780f": sim.system}
    volume = lab.describe(sim.add_volume("v", 4096, "5a5beec600000002"))
    assert connect(lab).find_lun(volume).device == "eui.b4f2d5322f73780f5a5beec600000002"


@pytest.mark.parametrize(
    ("handle", "says"),
    [
        ("{system}/64b94e8300000001", "file share"),
        ("{system}-", "does not end with"),
        ("{system}-pvc-1", "does not end with"),
        ("", "does not end with"),
        ("{system}-5a5beec60000000g", "does not end with"),
        ("0123456789abcdef-{volume}", "is on the PowerFlex system '0123456789abcdef'"),
        ("other-system-{volume}", "is on the PowerFlex system 'other-system'"),
        ("-{volume}-{volume}", "is on the PowerFlex system '-"),
    ],
)
def test_handles_that_lead_to_no_volume(lab: PowerFlexLab, handle: str, says: str) -> None:
    volume = lab.add_volume()
    given = handle.format(system=lab.simulator.system.id, volume=lab.volume(volume).id)
    with pytest.raises(StorageError) as caught:
        connect(lab).find_lun(replace(volume, handle=given))
    assert says in caught.value.text
    assert caught.value.hint


@pytest.mark.parametrize("code", [79, 78, None])
def test_a_volume_that_is_gone_is_not_replaced_by_the_only_other_one(
    lab: PowerFlexLab, sim: PowerFlexSimulator, code: int | None
) -> None:
    """The Go populator takes the only volume there is when an id comes out empty."""
    gone, _ = lab.add_volume(), lab.add_volume()
    there = lab.volume(gone)
    lab.remove_volume(gone)
    sim.codes_in_details = code is None
    if code:
        sim.server.before("GET", VOLUMES, lambda _: error(500, code, "Could not find the volume"))
    clock = QuickClock()
    with pytest.raises(StorageError, match=f"has no volume {there.id}") as caught:
        connect(lab, clock).find_lun(gone)
    assert gone.name in caught.value.text
    assert caught.value.hint
    assert clock.waited == 0, "the system has said no, though by HTTP 500"


@pytest.mark.parametrize("other", ["another", "all", "nameless"])
def test_an_answer_about_something_else_is_refused(
    lab: PowerFlexLab, sim: PowerFlexSimulator, other: str
) -> None:
    volume, another = replace(lab.add_volume(), attributes={}), lab.add_volume()
    row = sim._volume_row(lab.volume(another))
    answers = {"another": row, "all": [row], "nameless": {**row, "id": None}}
    sim.server.before("GET", VOLUMES, lambda _: Reply(200, answers[other]))
    with pytest.raises(StorageError):
        connect(lab).find_lun(volume)


def test_a_volume_of_another_name_is_refused(lab: PowerFlexLab, array: StorageArray) -> None:
    """Ids are given again."""
    volume = lab.add_volume()
    lab.volume(volume).name = "somebody-elses"
    with pytest.raises(StorageError, match="is called 'somebody-elses', not 'csivol-"):
        array.find_lun(volume)
    assert array.find_lun(replace(volume, attributes={})).name == "somebody-elses", "where none is said"


@pytest.mark.parametrize("access", ["ReadOnly", "NoAccess"])
def test_a_volume_that_may_not_be_written_to_is_refused(
    lab: PowerFlexLab, array: StorageArray, access: str
) -> None:
    volume = lab.add_volume()
    lab.volume(volume).access = access
    with pytest.raises(StorageError, match=f"access mode limit is {access}"):
        array.find_lun(volume)


def test_volumes_are_never_looked_for_by_name_nor_listed(lab: PowerFlexLab, array: StorageArray) -> None:
    clock = QuickClock()
    run(lab, connect(lab, clock), lab.add_volume())
    assert not [path for _, path in lab.calls if "queryIdByKey" in path or "types/Volume" in path]
    assert clock.waited == 0


# Which SDC


def test_the_system_shows_guids_in_upper_case(lab: PowerFlexLab, array: StorageArray) -> None:
    there = lab.sdc(SDC)
    assert there.guid == SDC.name.upper() != SDC.name
    group = ensure(array, FC, IQN, SDC)
    assert (group.id, group.name, group.initiators) == (there.id, "esx-1", (SDC,))


def test_an_sdc_without_a_name_is_called_by_its_address(lab: PowerFlexLab, array: StorageArray) -> None:
    lab.sdc(SDC).name = None
    assert ensure(array, SDC).name == lab.sdc(SDC).ip


@pytest.mark.parametrize("offered", [[FC, IQN], [sdc("vmhba66")], []])
def test_a_host_without_an_sdc_is_told_what_it_needs(
    lab: PowerFlexLab, array: StorageArray, offered: list[Any]
) -> None:
    with pytest.raises(StorageError, match=r"no PowerFlex client \(SDC\)") as caught:
        array.plan_group(HOST, offered)
    assert "scini" in caught.value.hint
    assert "Host.Config.Settings" in caught.value.hint
    assert lab.calls == []


def test_an_unknown_guid_is_said_with_it(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    sim.add_sdc(None, host_type="NVMeHost", nqn="nqn.2014-08.org.nvmexpress:uuid:1", os=None, connection=None)
    sim.sdcs.pop(lab.sdc(SDC).id)
    with pytest.raises(StorageError, match=f"no SDC on ESXi with the GUID {SDC.name}") as caught:
        array.plan_group(HOST, [SDC])
    assert HOST in caught.value.hint


def test_what_is_no_esxi_host_is_not_taken_for_one(lab: PowerFlexLab, array: StorageArray) -> None:
    lab.sdc(SDC).os = "Linux"
    with pytest.raises(StorageError, match="no SDC on ESXi"):
        array.plan_group(HOST, [SDC])


def test_a_system_that_does_not_say_what_an_sdc_runs_on_is_believed_its_guid(
    lab: PowerFlexLab, array: StorageArray
) -> None:
    lab.sdc(SDC).os = None
    assert array.plan_group(HOST, [SDC]).group.id == lab.sdc(SDC).id


@pytest.mark.parametrize(
    ("state", "says"), [("Disconnected", "is Disconnected"), (None, "in an unknown state")]
)
def test_an_sdc_that_is_not_connected_is_refused(
    lab: PowerFlexLab, array: StorageArray, state: str | None, says: str
) -> None:
    """Mapped to it the volume would not appear, which shows much later."""
    lab.sdc(SDC).connection = state
    with pytest.raises(StorageError, match=says) as caught:
        array.plan_group(HOST, [SDC])
    assert "MDM" in caught.value.hint


def test_of_two_sdcs_the_connected_one_is_the_host(lab: PowerFlexLab, array: StorageArray) -> None:
    other = PORTS[InitiatorKind.SDC].neighbour
    lab.sdc(SDC).connection = "Disconnected"
    assert array.plan_group(HOST, [SDC, other]).group.initiators == (other,)


@pytest.mark.parametrize(
    ("mode", "approved", "works"), [("None", False, True), ("Guid", False, False), ("Guid", True, True)]
)
def test_an_sdc_has_to_be_approved_where_that_is_the_rule(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray, mode: str, approved: bool, works: bool
) -> None:
    sim.system.restricted, lab.sdc(SDC).approved = mode, approved
    if works:
        assert array.plan_group(HOST, [SDC])
    else:
        with pytest.raises(StorageError, match="not approved"):
            array.plan_group(HOST, [SDC])


def test_two_sdcs_of_one_guid_contradict_each_other(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    sim.add_sdc(SDC.name, name="esx-1-again")
    with pytest.raises(StorageError, match=r"several SDCs with one GUID.*esx-1, esx-1-again"):
        array.plan_group(HOST, [SDC])


# Mappings


@pytest.mark.parametrize("none", [None, []])
def test_null_and_an_empty_list_both_mean_not_mapped(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray, none: object
) -> None:
    volume = lab.add_volume()
    lun, row = array.find_lun(volume), sim._volume_row(lab.volume(volume))
    sim.server.before("GET", VOLUMES, lambda _: Reply(200, {**row, "mappedSdcInfo": none}))
    assert array.mappings_of(lun) == ()


@pytest.mark.parametrize("odd", ["absent", "text"])
def test_an_answer_that_does_not_say_is_no_answer(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray, odd: str
) -> None:
    lun = mapped(lab, array)
    row = sim._volume_row(sim.volumes[lun.id]) | {"mappedSdcInfo": "none"}
    if odd == "absent":
        del row["mappedSdcInfo"]
    sim.server.before("GET", VOLUMES, lambda _: Reply(200, row))
    with pytest.raises(StorageError, match="mappedSdcInfo"):
        array.mappings_of(lun)


def test_all_mappings_are_shown_those_of_nvme_too(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    nqn = "nqn.2014-08.org.nvmexpress:uuid:1"
    nvme = sim.add_sdc(None, host_type="NVMeHost", nqn=nqn, os=None, connection=None)
    lun = mapped(lab, array)
    for host in (lab.sdc(WORKER), nvme):
        sim.map(sim.volumes[lun.id], host)
    found = {mapping.group.name: mapping for mapping in array.mappings_of(lun)}
    assert {name: set(mapping.initiators) for name, mapping in found.items()} == {
        "esx-1": {SDC},
        "worker-7": {WORKER},
        nqn: set(),
    }
    assert {(m.lun_id, m.ours, m.host) for m in found.values()} == {(None, False, None)}


def test_an_sdc_that_registers_in_mid_run_is_known_by_its_guid(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    lun = mapped(lab, array)
    new = sdc("3f4b2c1d-0000-4000-8000-000000000009")
    sim.map(sim.volumes[lun.id], sim.add_sdc(new.name))
    assert {new} in [mapping.initiators for mapping in array.mappings_of(lun)]


# Map


def bodies(sim: PowerFlexSimulator, action: str) -> list[Any]:
    return [body for path, body in sim.bodies if path.endswith(f"/{action}")]


@pytest.mark.parametrize(
    ("api", "components", "suffix", "key"),
    [
        ("3.6", "3.6.700.103", "Sdc", "sdcId"),
        ("4.5", "4.5.2100.105", "Sdc", "sdcId"),
        ("5.1", "4.5.6000.162", "Sdc", "sdcId"),
        ("4.9", "5.0.0.1", "Sdc", "sdcId"),
        ("5.0", "5.0.1000.1", "Host", "hostId"),
        ("5.0", None, "Host", "hostId"),
        ("10.0", "10.1.0.0", "Host", "hostId"),
    ],
)
def test_the_generation_is_that_of_the_components_and_of_the_api(
    start: Start, api: str, components: str | None, suffix: str, key: str
) -> None:
    """A system of the first generation may show API 5.1. Truth values are texts; whoever else has it may stay."""
    lab = start(api, components)
    volume = lab.add_volume()
    lab.add_map(volume, lab.sdc(WORKER).id)
    run(lab, connect(lab), volume)
    own = lab.sdc(SDC).id
    assert bodies(lab.simulator, f"addMapped{suffix}") == [{key: own, "allowMultipleMappings": "TRUE"}]
    assert bodies(lab.simulator, f"removeMapped{suffix}") == [{key: own}]
    assert len(lab.simulator.bodies) == 2


def test_the_first_call_of_all_may_be_to_map(lab: PowerFlexLab) -> None:
    volume, first = lab.add_volume(), connect(lab)
    lun, group = first.find_lun(volume), ensure(first, SDC)
    assert connect(lab).map(lun, group).ours


@pytest.mark.parametrize("codes_in_details", [False, True])
@pytest.mark.parametrize("api", ["3.6", "4.5"])
def test_mapped_already_is_success_and_not_ours(start: Start, api: str, codes_in_details: bool) -> None:
    lab = start(api, None)
    lab.simulator.codes_in_details = codes_in_details
    clock = QuickClock()
    array = connect(lab, clock)
    lun = mapped(lab, array)
    mapping = array.map(lun, ensure(array, SDC))
    assert (mapping.ours, mapping.group.id, mapping.initiators) == (False, lab.sdc(SDC).id, frozenset({SDC}))
    assert clock.waited == 0


@pytest.mark.parametrize(("status", "code"), [(500, 81), (400, 4037), (500, 9999), (409, 0)])
def test_whatever_a_refusal_says_the_volume_is_believed(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray, status: int, code: int
) -> None:
    """Some answers of 4.x bring no code."""
    lun = mapped(lab, array)
    sim.server.before("POST", VOLUMES, lambda _: error(status, code))
    assert not array.map(lun, ensure(array, SDC)).ours


@pytest.mark.parametrize(("status", "code"), [(500, 81), (500, 4112), (400, 0), (403, 7)])
def test_a_refusal_to_map_is_the_error_where_the_volume_does_not_say_otherwise(
    lab: PowerFlexLab, sim: PowerFlexSimulator, status: int, code: int
) -> None:
    clock = QuickClock()
    array = connect(lab, clock)
    lun, group = array.find_lun(lab.add_volume()), ensure(array, SDC)
    sim.server.before("POST", VOLUMES, lambda _: error(status, code), times=99)
    with pytest.raises(Refused, match=r"the array's own words \(HTTP"):
        array.map(lun, group)
    assert clock.waited == 0


def test_a_map_whose_answer_is_lost_is_found_and_ours(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, SDC)

    def do_and_fail(_: Request) -> Reply:
        sim.map(lab.volume(volume), lab.sdc(SDC))
        return Reply(502, b"<html>Bad gateway</html>")

    sim.server.before("POST", VOLUMES, do_and_fail)
    assert array.map(lun, group).ours
    assert len(sim.bodies) == 0, "not asked for again: the volume says that it is mapped"


def test_a_map_whose_answer_is_lost_and_that_shows_late_is_ours_all_the_same(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    """The second try is told that it is mapped already."""
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, SDC)
    row = sim._volume_row(lab.volume(volume))

    def do_and_fail(_: Request) -> Reply:
        sim.map(lab.volume(volume), lab.sdc(SDC))
        return Reply(502, b"<html>Bad gateway</html>")

    sim.server.before("POST", VOLUMES, do_and_fail)
    sim.server.before("GET", VOLUMES, lambda _: Reply(200, row))
    assert array.map(lun, group).ours
    assert len(sim.bodies) == 1


# Unmap


def test_only_our_own_mapping_is_removed_and_a_nodes_keeps_its_limits(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    """The Go populator removes all, and makes those again that it saw at its start, without limits."""
    volume = lab.add_volume()
    lab.add_map(volume, lab.sdc(WORKER).id)
    worker = lab.volume(volume).maps[lab.sdc(WORKER).id]
    worker.iops, worker.bandwidth, worker.access = 500, 100, "ReadOnly"
    state = lab.state()
    watched: list[bool] = []
    sim.server.before("GET", VOLUMES, lambda _: watched.append(bool(seen(lab, WORKER))), times=99)
    run(lab, array, volume)
    assert lab.state() == state
    assert lab.volume(volume).maps[lab.sdc(WORKER).id] is worker
    assert watched
    assert all(watched)
    assert not [
        body
        for _, body in sim.bodies
        if any(key.lower().startswith("all") and key != "allowMultipleMappings" for key in body)
    ]


@pytest.mark.parametrize("codes_in_details", [False, True])
@pytest.mark.parametrize("api", ["3.6", "4.5"])
@pytest.mark.parametrize("gone", ["mapping", "volume", "sdc"])
def test_unmapping_what_is_gone_is_success(start: Start, api: str, codes_in_details: bool, gone: str) -> None:
    lab = start(api, None)
    lab.simulator.codes_in_details = codes_in_details
    clock = QuickClock()
    array = connect(lab, clock)
    lun = mapped(lab, array)
    volume, own = lab.simulator.volumes[lun.id], lab.sdc(SDC)
    if gone == "volume":
        lab.simulator.remove_volume(lun.id)
    else:
        lab.simulator.unmap(volume, own)
    if gone == "sdc":
        del lab.simulator.sdcs[own.id]
    unmap(lab, array, lun)
    assert clock.waited == 0


def test_an_sdc_that_the_system_has_forgotten_has_nothing_mapped(
    lab: PowerFlexLab, sim: PowerFlexSimulator
) -> None:
    """The undo of a run that failed because of that has nothing to fail at."""
    array = connect(lab)
    lun = array.find_lun(lab.add_volume())
    sim.sdcs.pop(lab.sdc(SDC).id)
    unmap(lab, array, lun)
    assert sim.bodies == []


def test_unmap_waits_until_the_volume_no_longer_lists_it(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    """Cinder waits, too: the change shows late."""
    array = registry.connect("powerflex", lab.access, QuickClock())
    lun = mapped(lab, array)
    asked: list[Request] = []
    row = sim._volume_row(sim.volumes[lun.id])

    def still_there(request: Request) -> Reply:
        asked.append(request)
        return Reply(200, row)

    sim.server.before("GET", VOLUMES, still_there, times=3)
    unmap(lab, array, lun)
    assert len(asked) == 3
    assert array.mappings_of(lun) == ()


@pytest.mark.parametrize("answer", [Reply(200, {}), error(500, 84), error(500, 4039)])
def test_a_mapping_that_is_said_to_be_gone_and_is_listed_for_ever_is_an_error(
    lab: PowerFlexLab, sim: PowerFlexSimulator, answer: Reply
) -> None:
    clock = QuickClock()
    array = connect(lab, clock)
    lun = mapped(lab, array)
    sim.server.before("POST", VOLUMES, lambda _: answer)
    unmap(lab, array, lun)
    assert seen(lab, SDC) == {}, "said once: it is asked for again"
    lun = mapped(lab, array)
    sim.server.before("POST", VOLUMES, lambda _: answer, times=10**6)
    with pytest.raises(StorageError, match="lists it all the same") as caught:
        unmap(lab, array, lun)
    assert caught.value.hint
    assert 20 < clock.waited < 60


@pytest.mark.parametrize(("status", "code"), [(500, 4112), (403, 7), (400, 0)])
def test_other_refusals_to_unmap_are_the_error(
    lab: PowerFlexLab, sim: PowerFlexSimulator, status: int, code: int
) -> None:
    clock = QuickClock()
    array = connect(lab, clock)
    lun = mapped(lab, array)
    sim.server.before("POST", VOLUMES, lambda _: error(status, code))
    with pytest.raises(Refused, match="the array's own words"):
        unmap(lab, array, lun)
    assert clock.waited == 0
    assert list(seen(lab, SDC)) == [lun.device]


def test_a_volume_that_cannot_be_looked_at_is_not_taken_for_unmapped(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    lun = mapped(lab, array)
    sim.server.before("GET", VOLUMES, lambda _: Reply(404, b"<html>no such page</html>"), times=9)
    with pytest.raises(Refused, match="HTTP 404"):
        unmap(lab, array, lun)


def test_what_was_mapped_before_the_run_is_kept(lab: PowerFlexLab, sim: PowerFlexSimulator) -> None:
    array = connect(lab)
    lun = mapped(lab, array)
    sim.bodies.clear()
    unmap(lab, array, lun, array.mappings_of(lun))
    assert sim.bodies == []


# Trouble on the way


@pytest.mark.parametrize(
    "reply", [Reply(503, b"<html>unavailable</html>"), Reply(500, b""), error(500, 0, "MDM away")]
)
def test_a_gateway_that_cannot_ask_its_system_is_asked_again(
    lab: PowerFlexLab, sim: PowerFlexSimulator, reply: Reply
) -> None:
    sim.server.before("GET", VOLUMES, lambda _: reply, times=3)
    clock = QuickClock()
    assert connect(lab, clock).find_lun(lab.add_volume()).size
    assert 0 < clock.waited < 10
    sim.server.before("GET", VOLUMES, lambda _: reply, times=10**6)
    with pytest.raises(Refused, match="HTTP 50"):
        connect(lab, clock).find_lun(lab.add_volume())


def test_an_error_whose_words_are_in_its_details_is_said_with_them(
    lab: PowerFlexLab, sim: PowerFlexSimulator, array: StorageArray
) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, SDC)
    detail = {"error": "VOL_IN_REMOVAL", "rc": 4711, "errorMessage": "The volume is being removed"}
    sim.server.before("POST", VOLUMES, lambda _: error(500, 0, "Error with details", details=[detail]))
    with pytest.raises(Refused, match=r"The volume is being removed \(HTTP 500, code 4711\)"):
        array.map(lun, group)


def test_twenty_populators_of_one_host_do_not_hurt_each_other(lab: PowerFlexLab) -> None:
    volumes = [lab.add_volume() for _ in range(20)]
    state = lab.state()

    def populate(volume: Volume) -> None:
        array = connect(lab)
        array.info()
        lun = array.find_lun(volume)
        before = array.mappings_of(lun)
        array.map(lun, ensure(array, SDC))
        assert lun.device in seen(lab, SDC)
        unmap(lab, array, lun, before)
        assert lun.device not in seen(lab, SDC)
        array.close()

    at_once(populate, volumes)
    assert lab.state() == state
    assert lab.sessions == 0


def test_no_secret_is_shown(
    lab: PowerFlexLab, sim: PowerFlexSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    array = connect(lab)
    array.info()
    tokens = [PASSWORD, *sim.logins.open, *(session.refresh for session in sim.logins.open.values())]
    sim.server.before("GET", VOLUMES, lambda _: error(401, 0, "Unauthorized"), times=9)
    with pytest.raises(StorageError) as caught:
        array.find_lun(lab.add_volume())
    said = f"{caplog.text} {caught.value!r} {caught.value.text} {caught.value.hint} {array!r} {USER}"
    assert not [token for token in tokens if token and token in said]
