"""HPE's own cases: names, the few sessions, host objects of all makers, VLUNs of all kinds, and each weak point of the
Go populator's driver that is known.
"""

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun, StorageArray, Volume
from populator.storage.failures import Refused, Unanswered
from populator.storage.vendors.hpe import names
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import ALL, FC, FC_2, HOST, IQN, ensure
from tests.lab.arrays import QuickClock, connect, iscsi
from tests.lab.arrays.hpe.lab import PASSWORD, USER, HpeLab
from tests.lab.arrays.hpe.server import HpeSimulator, User
from tests.lab.arrays.hpe.system import Template
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from vsphere.model import InitiatorKind

WWN, WWN_2 = "20000025B5AA0001", "20000025B5AA0002"
OTHER = "iqn.1998-01.com.vmware:worker-7"
OWN = "xcopy-host-1234-fc"


@pytest.fixture
def lab(rack: Rack) -> HpeLab:
    return rack.add(HpeLab)


@pytest.fixture
def esx(sim: HpeSimulator) -> None:
    """The host objects that an administrator made for the host, by Fibre Channel and by iSCSI."""
    sim.add_host("esx1", [WWN, WWN_2])
    sim.add_host("esx1-iscsi", [IQN.name])


def error(status: int, code: int, text: str = "the array's own words") -> Reply:
    return Reply(status, {"code": code, "desc": text})


def writes(sim: HpeSimulator) -> list[tuple[str, str]]:
    """Return the changes of the array, without log-ins and log-outs."""
    paths = [(method, path.removeprefix("/api/v1")) for method, path in sim.calls if method != "GET"]
    return [call for call in paths if not call[1].startswith("/credentials")]


def made(sim: HpeSimulator, what: str) -> list[object]:
    """Collect the bodies of requests from now on that create something."""
    bodies: list[object] = []

    def keep(request: Request) -> None:
        bodies.append(request.body)

    sim.before("POST", what, keep, times=100)
    return bodies


def unmap(array: StorageArray, lun: Lun) -> None:
    array.unmap(lun, HOST, ALL, ())


def volume(handle: str, **attributes: str) -> Volume:
    return Volume("pv-1", "csi.hpe.com", handle, attributes)


# Names


def test_a_volume_has_the_first_31_characters_of_its_handle() -> None:
    handle = "pvc-12345678-9abc-4def-8123-456789abcdef"
    assert names.volume_name(volume(handle)) == handle[:31] == "pvc-12345678-9abc-4def-8123-456"
    assert names.volume_name(volume("pvc-0")) == "pvc-0"


@pytest.mark.parametrize(
    ("handle", "says"),
    [
        ("06" + "4f" * 20, "Nimble or Alletra 5000/6000"),
        ("0123456789abcdef" * 2, "File Service"),
        ("pvc-12345678-9abc-4def-8123-456789abcdef-and-more", "no name of a volume"),
        ("a-name-of-more-than-31-characters", "no name of a volume"),
        ("../hosts/esx1", "no name of a volume"),
        ('v" OR name EQ w', "no name of a volume"),
        ("", "no name of a volume"),
    ],
)
def test_what_is_no_volume_of_these_arrays_is_refused_unasked(lab: HpeLab, handle: str, says: str) -> None:
    """Nimble's CSI driver has the same name."""
    with pytest.raises(StorageError) as caught:
        connect(lab).find_lun(volume(handle))
    assert says in caught.value.text
    assert "Alletra MP B10000" in caught.value.hint
    assert lab.calls == []


@pytest.mark.parametrize("protocol", ["nvmetcp", "NVMeoTCP"])
def test_a_volume_that_is_served_by_nvme_is_refused(lab: HpeLab, protocol: str) -> None:
    with pytest.raises(StorageError, match=protocol):
        connect(lab).find_lun(volume("pvc-1", accessProtocol=protocol))


def test_device_names() -> None:
    assert names.naa("60002AC0000000000000182D00021F6B", "v") == "naa.60002ac0000000000000182d00021f6b"
    for wrong in ("", "60002AC", "600A09800000000000001820D0021F6B", "60002AC0000000000000182D00021F6BFF"):
        with pytest.raises(StorageError, match="its device is unknown"):
            names.naa(wrong, "v")


def test_names_of_the_go_populators_host_sets() -> None:
    assert names.older_set("host-12345") == "set:xcopy-hostsystem-host-12345"  # 27 characters
    assert names.older_set("host-123456") == "set:xcopy-d8d68eabd9c29388d5d69"
    for name in ("set:xcopy-hostsystem-host-12345", "set:xcopy-d8d68eabd9c29388d5d69", "set:xcopy-esxs"):
        assert names.is_ours(name)
    assert names.host_of("set:xcopy-hostsystem-host-12345") == "host-12345"
    assert names.host_of("set:xcopy-d8d68eabd9c29388d5d69") is None
    for name in (
        "set:xcopy-esxs2",
        "set:xcopy-",
        "xcopy-esxs",
        "set:xcopy-host-1-fc",
        "xcopy-host-1-fc,0:1:2",
    ):
        assert not names.is_ours(name)


def test_names_of_our_own_hosts() -> None:
    assert names.own_host(HOST, InitiatorKind.FC) == OWN
    assert names.own_hosts(HOST) == {OWN, "xcopy-host-1234-iscsi"}
    assert (names.is_ours(OWN), names.host_of(OWN)) == (True, HOST)
    long = names.own_host("host-" + "9" * 30, InitiatorKind.FC)
    assert len(long) == 31
    assert long != names.own_host("host-" + "8" * 30, InitiatorKind.FC)


def test_queries_hold_both_kinds_and_no_name_that_could_be_read_as_one() -> None:
    assert names.hosts_with([FC, FC_2, IQN]) == (
        f"FCPaths[wwn=={WWN} OR wwn=={WWN_2}] OR iSCSIPaths[name=={IQN.name}]"
    )
    assert names.hosts_with([FC, iscsi("iqn.1998-01.com.vmware:a] OR name==b")]) == ""
    assert names.with_query("/hosts", "a EQ b") == "/hosts?query=%22a%20EQ%20b%22"


def test_lun_ids_in_locations() -> None:
    assert names.lun_id_in("/api/v1/vluns/v1,17,esx1") == 17
    assert names.lun_id_in("https://h/api/v1/vluns/v1,0,set:a,0:1:2") == 0
    assert names.lun_id_in("") is names.lun_id_in("/api/v1/vluns/v1") is names.lun_id_in("/v,x,h") is None


# Address and sessions


@pytest.mark.parametrize("form", ["https://{}", "https://{}/", "https://{}/api/v1/", "{}"])
def test_forms_of_the_address(lab: HpeLab, form: str) -> None:
    address = form.format(lab.simulator.address)
    assert connect(lab, hostname=address).info().version == "9.5.24.21"
    assert all(path.startswith("/api/v1/") for _, path in lab.calls)


def test_wrong_credentials_are_tried_once(lab: HpeLab, sim: HpeSimulator) -> None:
    clock = QuickClock()
    with pytest.raises(StorageError, match=f"credentials of '{USER}'.*code 5"):
        connect(lab, clock, password="wrong").info()
    assert sim.calls == [("POST", "/api/v1/credentials")]
    assert clock.waited == 0


@pytest.mark.parametrize("refusal", [(403, 6), (401, 0)])
@pytest.mark.usefixtures("esx")
def test_an_expired_key_is_renewed_once_whatever_the_call(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun, refusal: tuple[int, int]
) -> None:
    """HPE says 403; the Go driver waited for 401, and then sent a body that it had read already."""
    group = ensure(array, FC)
    for method, path in (("GET", "/vluns"), ("POST", "/vluns"), ("DELETE", "/vluns")):
        sim.before(method, path, lambda _: error(*refusal))
    sim.calls.clear()
    assert array.map(lun, group).ours
    unmap(array, lun)
    assert [path for method, path in sim.calls if method == "POST"].count("/api/v1/credentials") == 3
    assert sim.templates == []
    sim.before("GET", "/vluns", lambda _: error(*refusal), times=2)
    with pytest.raises(Refused):
        array.mappings_of(lun)


def test_a_missing_right_is_no_expired_key(lab: HpeLab, sim: HpeSimulator) -> None:
    array = connect(lab)
    sim.before("GET", "/vluns", lambda _: error(403, 13))
    lun = array.find_lun(lab.add_volume())
    sim.calls.clear()
    with pytest.raises(StorageError) as caught:
        array.mappings_of(lun)
    assert "role" in caught.value.hint
    assert len(sim.calls) == 1
    sim.before("GET", "/system", lambda _: error(403, 13))
    assert array.info().version == ""


@pytest.mark.usefixtures("esx")
def test_at_most_one_session_is_open_and_none_over_the_long_waits(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    array.mappings_of(lun)
    array.map(lun, ensure(array, FC))
    assert lab.sessions == 1
    for _ in ("the host's slot is waited for", "the copy runs"):
        array.mappings_of(lun)
        assert lab.sessions == 0
    unmap(array, lun)
    array.close()
    assert (lab.sessions, sim.most_seen) == (0, 1)


@pytest.mark.usefixtures("esx")
def test_more_populators_at_work_than_the_array_has_sessions(lab: HpeLab, sim: HpeSimulator) -> None:
    sim.most_sessions = 2
    arrays = [connect(lab) for _ in range(6)]
    luns = []
    for array in arrays:
        lun = array.find_lun(lab.add_volume())
        array.mappings_of(lun)
        array.map(lun, ensure(array, FC))
        array.mappings_of(lun)
        luns.append(lun)
    for array, lun in zip(arrays, luns, strict=True):
        array.mappings_of(lun)
    for array, lun in zip(arrays, luns, strict=True):
        unmap(array, lun)
        array.close()
    assert (sim.templates, lab.sessions) == ([], 0)


@pytest.mark.parametrize("full", [(503, 1), (500, 1), (409, 34)])
def test_a_log_in_waits_until_a_session_is_free(
    lab: HpeLab, sim: HpeSimulator, full: tuple[int, int]
) -> None:
    """Versions differ in how they say that there is none."""
    sim.most_sessions, sim.full = 0, full

    class Freeing(QuickClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            sim.most_sessions = 1 if self.waited > 5 else 0

    clock = Freeing()
    assert connect(lab, clock).info().model
    assert clock.waited > 5


def test_where_no_session_becomes_free_it_is_said_where_to_look(lab: HpeLab, sim: HpeSimulator) -> None:
    sim.most_sessions = 0
    with pytest.raises(StorageError) as caught:
        connect(lab).info()
    assert "showwsapisession" in caught.value.hint


def test_a_key_in_use_is_deleted_in_a_moment(lab: HpeLab, sim: HpeSimulator, array: StorageArray) -> None:
    array.info()
    sim.busy = 2
    array.close()
    assert lab.sessions == 0


def test_a_key_that_stays_in_use_is_left_to_expire(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    array.info()
    sim.busy = 100
    array.close()
    assert lab.sessions == 1
    assert 100 - sim.busy < 20


def test_an_array_without_version_1_of_the_api_is_named(lab: HpeLab, sim: HpeSimulator) -> None:
    sim.before("POST", "/credentials", lambda _: error(404, 11))
    with pytest.raises(StorageError) as caught:
        connect(lab).info()
    assert "version 1 of the WSAPI" in caught.value.hint


# Finding the volume


def test_a_missing_volume_is_named_with_the_array(lab: HpeLab, array: StorageArray) -> None:
    with pytest.raises(StorageError, match=r"no volume pvc-1 on the HPE array '127\.0\.0\.1:\d+'") as caught:
        array.find_lun(volume("pvc-1"))
    assert "HPE's CSI driver" in caught.value.hint


def test_what_is_read_only_is_refused(lab: HpeLab, sim: HpeSimulator, array: StorageArray) -> None:
    sim.add_volume("pvc-1", 1).read_only = True
    with pytest.raises(StorageError, match="read-only"):
        array.find_lun(volume("pvc-1"))


def test_a_wwn_that_is_none_of_hpes_is_refused(lab: HpeLab, sim: HpeSimulator, array: StorageArray) -> None:
    sim.add_volume("pvc-1", 1, wwn="6" * 32)
    with pytest.raises(StorageError, match="none of HPE's"):
        array.find_lun(volume("pvc-1"))


def test_another_volume_in_the_answer_is_not_taken(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    record = {"name": "pvc-2", "wwn": "60002AC0000000000000182D00021F6B", "sizeMiB": 1}
    sim.before("GET", "/volumes/pvc-1", lambda _: Reply(200, record))
    with pytest.raises(StorageError, match="no volume pvc-1"):
        array.find_lun(volume("pvc-1"))


def test_a_volume_is_asked_for_by_its_name_so_hidden_ones_do_not_matter(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    """Lists do not show the volumes of a vVol datastore."""
    sim.add_volume("dat-vvol", 1, vvol=True)
    sim.add_volume("pvc-1", 3)
    assert array.find_lun(volume("pvc-1")).size == 3 << 20
    assert [path for _, path in sim.calls] == ["/api/v1/credentials", "/api/v1/volumes/pvc-1"]


# Host objects


@pytest.mark.parametrize(
    ("queries", "finds_paths"),
    [({"hosts", "vluns"}, True), ({"hosts", "vluns"}, False), ({"vluns"}, True)],
    ids=["filtered", "finds nothing", "not understood"],
)
@pytest.mark.usefixtures("esx")
def test_the_host_that_holds_an_initiator_is_found(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, queries: set[str], finds_paths: bool
) -> None:
    """Alletra OS 9.6 does not take a query for paths."""
    sim.queries, sim.finds_paths = queries, finds_paths
    state = lab.state()
    plan = array.plan_group(HOST, [FC, FC_2])
    assert (plan.group.id, plan.missing, set(plan.group.initiators)) == ("esx1", (), {FC, FC_2})
    assert array.ensure_group(plan).id == "esx1"
    assert lab.state() == state


@pytest.mark.usefixtures("esx")
def test_one_call_finds_it_where_the_array_can_filter(sim: HpeSimulator, array: StorageArray) -> None:
    array.info()
    sim.calls.clear()
    array.plan_group(HOST, [FC, IQN])
    assert len(sim.calls) == 1


@pytest.mark.parametrize("spelled", [WWN.lower(), "20:00:00:25:b5:aa:00:01"])
def test_spellings_of_an_initiator_are_one(sim: HpeSimulator, array: StorageArray, spelled: str) -> None:
    sim.add_host("esx1", [WWN])
    record = {"id": 1, "name": "esx1", "FCPaths": [{"wwn": spelled}], "iSCSIPaths": []}
    sim.before("GET", "/hosts", lambda _: Reply(200, {"total": 1, "members": [record]}))
    assert array.plan_group(HOST, [FC]).group.id == "esx1"


def test_a_path_that_belongs_to_no_host_is_no_host_but_tells_what_is_logged_in(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    lab.log_in(IQN)
    plan = array.plan_group(HOST, [FC, IQN])
    assert (plan.group.id, plan.group.initiators) == ("", (IQN,))


def test_one_host_is_made_of_all_initiators_of_a_kind_for_vmware(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    """The Go driver made one for each, under random names, for Windows, and left them all."""
    bodies, state = made(sim, "/hosts"), lab.state()
    group = ensure(array, FC, FC_2, IQN)
    assert bodies == [{"name": OWN, "persona": 8, "FCWWNs": [WWN, WWN_2]}]
    assert array.plan_group(HOST, [FC, FC_2]).missing == ()
    mapping = array.map(lun, group)
    assert (mapping.ours, mapping.host) == (True, HOST)
    (found,) = array.mappings_of(lun)
    assert (found.ours, found.host, found.initiators) == (True, HOST, frozenset({FC, FC_2}))
    unmap(array, lun)
    assert lab.state() == state


def test_what_a_dead_predecessor_made_is_ours_and_taken_away(
    lab: HpeLab, array: StorageArray, lun: Lun
) -> None:
    state = lab.state()
    array.map(lun, ensure(array, IQN))
    other = connect(lab)
    assert [(mapping.ours, mapping.host) for mapping in other.mappings_of(lun)] == [(True, HOST)]
    for _ in range(2):
        unmap(other, lun)
        assert lab.state() == state


def test_an_adapter_that_comes_later_joins_a_host_of_ours(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    assert array.plan_group(HOST, [FC, FC_2]).missing == (FC_2,)
    ensure(array, FC, FC_2)
    assert lab.san.seen_by([FC_2.name]) == lab.san.seen_by([FC.name]) != {}
    assert sim.hosts[OWN].fc == [WWN, WWN_2]


def test_nothing_is_added_to_the_hosts_of_others(lab: HpeLab, sim: HpeSimulator, array: StorageArray) -> None:
    sim.add_host("esx1", [WWN])
    plan = array.plan_group(HOST, [FC, FC_2])
    assert (plan.group.initiators, plan.missing) == ((FC,), ())
    array.ensure_group(plan)
    assert writes(sim) == []


def test_of_several_hosts_the_one_with_the_most_paths_is_taken(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    """The Go driver made one for each adapter."""
    sim.add_host("b96a1f2c-1", [WWN])
    sim.add_host("77de01a2-c", [WWN_2])
    assert array.plan_group(HOST, [FC, FC_2]).group.id == "b96a1f2c-1"
    lab.log_in(FC_2)
    assert array.plan_group(HOST, [FC, FC_2]).group.id == "77de01a2-c"


def test_a_kind_for_which_there_is_a_host_goes_before_one_without(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    sim.add_host("esx1", [WWN])
    assert array.plan_group(HOST, [IQN, FC]).group.id == "esx1"


def test_a_host_of_our_name_that_has_lost_its_paths_is_completed(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray
) -> None:
    """Its adapter was replaced."""
    sim.add_host(OWN, ["20000025B5AA0009"])
    assert ensure(array, FC).id == OWN
    assert sim.hosts[OWN].fc == ["20000025B5AA0009", WWN]


@pytest.mark.parametrize("name", [OWN, "esx1"])
def test_somebody_else_makes_the_host_first(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, name: str
) -> None:
    plan = array.plan_group(HOST, [FC])

    def faster(_: Request) -> None:
        sim.add_host(name, [WWN])

    sim.before("POST", "/hosts", faster)
    assert array.ensure_group(plan).id == name


def test_an_initiator_of_a_host_that_we_may_not_see_is_explained(lab: HpeLab, sim: HpeSimulator) -> None:
    sim.domains = {"tenant", "other"}
    sim.users["limited"] = User(PASSWORD, domain="tenant")
    sim.add_host("esx1", [WWN], domain="other")
    array = connect(lab, username="limited")
    with pytest.raises(StorageError, match="already used by host esx1") as caught:
        ensure(array, FC)
    assert "virtual domain" in caught.value.hint


def test_a_host_is_made_in_the_volumes_domain(lab: HpeLab, sim: HpeSimulator, array: StorageArray) -> None:
    sim.domains = {"tenant"}
    sim.add_volume("pvc-1", 1, domain="tenant")
    lun = array.find_lun(volume("pvc-1"))
    array.map(lun, ensure(array, FC))
    assert sim.hosts[OWN].domain == "tenant"
    assert lab.san.seen_by([FC.name])


@pytest.mark.usefixtures("esx")
def test_a_host_of_another_domain_is_explained(lab: HpeLab, sim: HpeSimulator, array: StorageArray) -> None:
    sim.domains = {"tenant"}
    sim.add_volume("pvc-1", 1, domain="tenant")
    lun = array.find_lun(volume("pvc-1"))
    with pytest.raises(StorageError, match="must be in the same domain") as caught:
        array.map(lun, ensure(array, FC))
    assert "pvc-1 is in the virtual domain tenant, the host esx1 is in none" in caught.value.hint


@pytest.mark.parametrize("refusal", [(409, 26), (403, 34), (409, 77)])
def test_a_host_of_ours_that_others_use_is_left(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun, refusal: tuple[int, int]
) -> None:
    array.map(lun, ensure(array, FC))
    sim.before("DELETE", "/hosts", lambda _: error(*refusal))
    unmap(array, lun)
    assert (list(sim.hosts), sim.templates) == ([OWN], [])


def test_a_host_that_cannot_be_deleted_is_an_error(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    sim.before("DELETE", "/hosts", lambda _: error(403, 13))
    with pytest.raises(StorageError, match=f"delete the host {OWN}"):
        unmap(array, lun)
    assert sim.templates == []


def test_a_host_deleted_between_plan_and_map_is_made_again(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC)
    sim.remove_host(OWN)
    assert array.map(lun, group).ours
    assert lab.san.seen_by([FC.name])


def test_twenty_populators_make_share_and_delete_one_host(lab: HpeLab) -> None:
    volumes = [lab.add_volume() for _ in range(20)]
    state = lab.state()

    def populate(wanted: Volume) -> None:
        for _ in range(2):
            array = connect(lab)
            lun = array.find_lun(wanted)
            array.mappings_of(lun)
            mapping = array.map(lun, ensure(array, FC, FC_2))
            assert lab.san.seen_by([FC.name])[lun.device] == mapping.lun_id
            array.mappings_of(lun)
            unmap(array, lun)
            assert lun.device not in lab.san.seen_by([FC.name])
            array.close()

    at_once(populate, volumes)
    assert (lab.state(), lab.sessions) == (state, 0)


# Mapping


@pytest.mark.usefixtures("esx")
def test_the_lun_id_is_what_the_array_says(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    bodies = made(sim, "/vluns")
    mapping = array.map(lun, ensure(array, FC))
    first = names.first_id(lun.name)
    assert bodies == [
        {"volumeName": lun.name, "hostname": "esx1", "lun": first, "autoLun": True, "maxAutoLun": 0}
    ]
    assert sim.templates == [Template(lun.name, first, "esx1")]
    assert mapping.lun_id == first


@pytest.mark.usefixtures("esx")
def test_an_answer_without_location_is_looked_up(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    def quiet(_: Request) -> Reply:
        sim.export(lun.name, "esx1", 7)
        return Reply(201, b"")

    sim.before("POST", "/vluns", quiet)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.lun_id, mapping.ours) == (7, True)


@pytest.mark.usefixtures("esx")
def test_a_mapping_that_is_said_to_be_and_is_not_is_an_error(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.before("POST", "/vluns", lambda _: Reply(201, b""), times=1000)
    with pytest.raises(Unanswered, match="does not list it"):
        array.map(lun, ensure(array, FC))


@pytest.mark.usefixtures("esx")
def test_an_id_that_the_host_has_by_other_means_is_not_taken(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    """The Go driver looked at its host set's ids alone."""
    first = names.first_id(lun.name)
    sim.add_volume("boot", 1)
    sim.export("boot", "esx1", first)
    assert array.map(lun, ensure(array, FC)).lun_id == first + 1


@pytest.mark.usefixtures("esx")
def test_an_id_that_is_taken_at_that_moment_is_passed_over(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    bodies = made(sim, "/vluns")
    sim.before("POST", "/vluns", lambda _: error(409, 18))
    assert array.map(lun, ensure(array, FC)).ours
    first = names.first_id(lun.name)
    assert [body["lun"] for body in bodies if isinstance(body, dict)] == [first, first + 1]


@pytest.mark.usefixtures("esx")
def test_an_id_that_is_always_taken_ends_in_the_arrays_words(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.before("POST", "/vluns", lambda _: error(409, 18, "LUN exists"), times=1000)
    with pytest.raises(Refused, match="LUN exists"):
        array.map(lun, ensure(array, FC))
    assert len(writes(sim)) == 5


@pytest.mark.parametrize("code", [18, 29])
@pytest.mark.usefixtures("esx")
def test_an_answer_that_was_lost_is_found_whatever_the_array_says_then(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun, code: int
) -> None:
    """Some versions refuse to give a volume to a host twice, others do it."""
    sim.refuses_twice = code

    def lose(_: Request) -> Reply:
        sim.export(lun.name, "esx1", 9)
        return Reply(503, b"")

    sim.before("POST", "/vluns", lose)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.lun_id, mapping.ours, len(sim.templates)) == (9, True, 1)


@pytest.mark.usefixtures("esx")
def test_a_volume_that_the_host_got_since_our_look_is_not_given_twice(
    lab: HpeLab, sim: HpeSimulator, lun: Lun
) -> None:
    """A look is trusted for some seconds only: the host's lease may have been waited for meanwhile."""
    clock = QuickClock()
    array = connect(lab, clock)
    group = ensure(array, FC)
    assert array.mappings_of(lun) == ()
    sim.export(lun.name, "esx1", 3)
    clock.wait(6)
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours, len(sim.templates)) == (3, False, 1)


@pytest.mark.usefixtures("esx")
def test_a_look_right_before_spares_a_call_once(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC)
    array.mappings_of(lun)
    sim.calls.clear()
    array.map(lun, group)
    assert ("GET", "/api/v1/vluns") not in sim.calls
    array.map(lun, group)
    assert ("GET", "/api/v1/vluns") in sim.calls
    assert len(sim.templates) == 1


@pytest.mark.usefixtures("esx")
def test_a_low_id_is_sought_before_one_is_called_too_high(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.add_volume("elsewhere", 1)
    for lun_id in range(names.first_id(lun.name), 1024):
        sim.templates.append(Template("elsewhere", lun_id, "esx1"))
    mapping = array.map(lun, ensure(array, FC))
    assert mapping.lun_id is not None
    assert mapping.lun_id < 1024
    assert [one.lun_id for one in sim.templates if one.volume == lun.name] == [mapping.lun_id]


@pytest.mark.usefixtures("esx")
def test_an_id_that_esxi_does_not_see_is_given_back(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.add_volume("elsewhere", 1)
    sim.templates += [Template("elsewhere", lun_id, "esx1") for lun_id in range(1024)]
    with pytest.raises(StorageError, match="LUN id 1024") as caught:
        array.map(lun, ensure(array, FC))
    assert "low LUN ids" in caught.value.hint
    assert all(one.volume == "elsewhere" for one in sim.templates)


@pytest.mark.usefixtures("esx")
def test_the_lun_id_just_freed_is_not_the_next_to_be_given(lab: HpeLab, array: StorageArray) -> None:
    """A host that still has the old path would refuse the new one."""
    group = ensure(array, FC)
    for _ in range(3):
        lun = array.find_lun(lab.add_volume())
        assert array.map(lun, group).lun_id == names.first_id(lun.name)
        unmap(array, lun)


@pytest.mark.usefixtures("esx")
def test_what_was_seen_last_is_unmapped_without_another_look(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    array.mappings_of(lun)
    sim.calls.clear()
    unmap(array, lun)
    assert ("GET", "/api/v1/vluns") not in sim.calls
    sim.export(lun.name, "esx1", 3)
    unmap(array, lun)
    assert ("GET", "/api/v1/vluns") in sim.calls
    assert sim.templates == []


@pytest.mark.usefixtures("esx")
def test_what_was_mapped_anew_since_the_last_look_is_unmapped_too(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    """As by a run that took our place and died."""
    array.map(lun, ensure(array, FC))
    (seen,) = array.mappings_of(lun)
    sim.unexport(lun.name, seen.lun_id or 0, "esx1")
    sim.export(lun.name, "esx1", 3)
    unmap(array, lun)
    assert sim.templates == []


# VLUNs of all kinds


@pytest.mark.usefixtures("esx")
def test_a_template_and_its_paths_are_one_mapping(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.log_in(WWN)
    sim.log_in(WWN_2, "1:2:1")
    array.map(lun, ensure(array, FC))
    assert len(list(sim.active())) == 2
    (found,) = array.mappings_of(lun)
    assert (found.group.id, found.initiators) == ("esx1", frozenset({FC, FC_2}))


def test_the_csi_drivers_matched_sets_are_seen_and_never_removed(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.add_host("iqn-worker-7", [OTHER])
    sim.add_host("esx1", [WWN])
    sim.log_in(OTHER, "0:2:1")
    for port in ("0:2:1", "1:2:1"):
        sim.export(lun.name, "iqn-worker-7", 4, port)
        sim.export(lun.name, "esx1", 4, port)
    state = lab.state()
    found = {mapping.group.id: mapping for mapping in array.mappings_of(lun)}
    assert set(found) == {
        f"{host},{port}" for host in ("iqn-worker-7", "esx1") for port in ("0:2:1", "1:2:1")
    }
    assert found["iqn-worker-7,1:2:1"].initiators == {iscsi(OTHER)}
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.id.partition(",")[0], mapping.ours) == ("esx1", False)
    unmap(array, lun)
    assert lab.state() == state


@pytest.mark.usefixtures("esx")
def test_a_template_for_a_port_is_seen_by_who_is_logged_in_there(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.log_in(WWN, "0:2:1")
    sim.log_in(WWN_2, "1:2:1")
    sim.export(lun.name, "", 4, "0:2:1")
    state = lab.state()
    (found,) = array.mappings_of(lun)
    assert (found.group.id, found.initiators) == (",0:2:1", frozenset({FC}))
    assert array.map(lun, ensure(array, FC)).group.id == ",0:2:1"
    unmap(array, lun)
    assert lab.state() == state


@pytest.mark.usefixtures("esx")
def test_what_comes_of_a_volume_set_is_seen_by_its_paths_alone(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.log_in(WWN)
    sim.templates.append(Template(lun.name, 5, "esx1", by_volume_set=True))
    state = lab.state()
    (found,) = array.mappings_of(lun)
    assert (found.group.id, found.lun_id, found.initiators) == ("esx1,active", 5, frozenset({FC}))
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.id, mapping.ours) == ("esx1,active", False)
    unmap(array, lun)
    assert lab.state() == state


@pytest.mark.usefixtures("esx")
def test_hosts_and_host_sets_of_others_are_as_they_were(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    """The Go driver put `set:` before every host's name at the end, and mapped its own set again for ever."""
    sim.add_host("worker-7", [OTHER])
    sim.add_set("workers", ["worker-7"])
    sim.export(lun.name, "set:workers", 8)
    sim.add_host("worker-8", ["iqn.1998-01.com.vmware:worker-8"])
    sim.export(lun.name, "worker-8", 9)
    state = lab.state()
    before = array.mappings_of(lun)
    assert {(mapping.group.id, mapping.ours) for mapping in before} == {
        ("set:workers", False),
        ("worker-8", False),
    }
    array.map(lun, ensure(array, FC))
    array.unmap(lun, HOST, ALL, before)
    assert lab.state() == state
    assert [path.rpartition("/")[2] for method, path in writes(sim) if method == "DELETE"] == [
        f"{lun.name},{names.first_id(lun.name)},esx1"
    ]


@pytest.mark.usefixtures("esx")
def test_a_set_of_the_go_populator_with_a_long_name_is_tidied_up(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    state = lab.state()
    sim.add_set("xcopy-d8d68eabd9c29388d5d69", ["esx1"])
    sim.export(lun.name, "set:xcopy-d8d68eabd9c29388d5d69")
    (found,) = array.mappings_of(lun)
    assert (found.ours, found.host) == (True, None)
    array.unmap(lun, HOST, ALL, ())  # the name is that of another host
    assert len(sim.templates) == 1
    array.unmap(lun, "host-123456", ALL, ())
    assert lab.state() == state


@pytest.mark.usefixtures("esx")
def test_a_set_of_the_go_populator_that_sees_more_is_left(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.add_set("xcopy-hostsystem-host-1234", ["esx1"])
    sim.export(lun.name, "set:xcopy-hostsystem-host-1234")
    other = array.find_lun(lab.add_volume())
    sim.export(other.name, "set:xcopy-hostsystem-host-1234")
    unmap(array, lun)
    assert [one.volume for one in sim.templates] == [other.name]
    unmap(array, other)
    assert (sim.templates, sim.sets) == ([], {})


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.usefixtures("esx")
def test_our_lun_in_a_set_for_all_hosts_is_left_where_others_see_it(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun, others: bool
) -> None:
    sim.add_host("esx5", ["20000025B5AA0005"])
    sim.add_set("xcopy-esxs", ["esx1", *(["esx5"] if others else [])])
    sim.export(lun.name, "set:xcopy-esxs")
    (found,) = array.mappings_of(lun)
    assert (found.ours, found.host) == (True, None)
    unmap(array, lun)
    assert len(sim.templates) == others
    assert list(sim.sets) == ["xcopy-esxs"]


@pytest.mark.usefixtures("esx")
def test_a_list_of_everything_is_read_where_vluns_cannot_be_asked_for(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    """Before InForm OS 3.2.1 MU2."""
    sim.queries = set()
    sim.add_volume("another", 1)
    sim.export("another", "esx1")
    assert array.mappings_of(lun) == ()
    mapping = array.map(lun, ensure(array, FC))
    assert [found.lun_id for found in array.mappings_of(lun)] == [mapping.lun_id]


def test_half_a_list_is_none(lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun) -> None:
    sim.before("GET", "/vluns", lambda _: Reply(200, {"total": 3, "members": []}))
    with pytest.raises(StorageError, match="only 0 of 3"):
        array.mappings_of(lun)


def test_a_host_that_went_away_meanwhile_sees_nothing(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    row = {"lun": 1, "volumeName": lun.name, "hostname": "gone", "type": 3, "active": False}
    sim.before("GET", "/vluns", lambda _: Reply(200, {"total": 1, "members": [row]}))
    assert [mapping.initiators for mapping in array.mappings_of(lun)] == [frozenset()]


# Unmapping


@pytest.mark.parametrize("code", [19, 17, 23])
@pytest.mark.usefixtures("esx")
def test_what_somebody_else_has_removed_is_removed(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun, code: int
) -> None:
    lun_id = array.map(lun, ensure(array, FC)).lun_id

    def faster(_: Request) -> Reply:
        sim.unexport(lun.name, lun_id or 0, "esx1")
        return error(404, code)

    sim.before("DELETE", "/vluns", faster)
    unmap(array, lun)


@pytest.mark.usefixtures("esx")
def test_there_is_none_is_no_answer_where_there_is_one(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    sim.before("DELETE", "/vluns", lambda _: error(404, 19))
    unmap(array, lun)
    assert sim.templates == []
    array.map(lun, ensure(array, FC))
    sim.before("DELETE", "/vluns", lambda _: error(404, 19), times=1000)
    with pytest.raises(Unanswered, match="lists it all the same"):
        unmap(array, lun)


@pytest.mark.usefixtures("esx")
def test_a_refusal_to_unmap_is_an_error_and_the_rest_is_done(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.export(lun.name, "esx1", 3)
    sim.export(lun.name, "esx1-iscsi", 4)
    sim.before("DELETE", f"/vluns/{lun.name},3,esx1", lambda _: error(403, 13), times=1)
    with pytest.raises(StorageError, match=f"unmap {lun.name} from esx1"):
        unmap(array, lun)
    assert [one.lun_id for one in sim.templates] == [3]


@pytest.mark.usefixtures("esx")
def test_all_by_which_the_host_sees_it_is_removed_but_what_was_there_before(
    lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.export(lun.name, "esx1-iscsi", 4)
    before = array.mappings_of(lun)
    sim.export(lun.name, "esx1", 5)
    sim.export(lun.name, "esx1", 6)
    array.unmap(lun, HOST, ALL, before)
    assert [(one.host, one.lun_id) for one in sim.templates] == [("esx1-iscsi", 4)]


def test_names_are_encoded_in_paths(lab: HpeLab, sim: HpeSimulator, array: StorageArray, lun: Lun) -> None:
    """An administrator's names hold what the array allows, and this one more than that."""
    sim.add_host("esx1", [WWN])
    sim.hosts["esx 1ä"] = sim.hosts.pop("esx1")
    sim.hosts["esx 1ä"].name = "esx 1ä"
    array.map(lun, ensure(array, FC))
    unmap(array, lun)
    assert sim.templates == []
