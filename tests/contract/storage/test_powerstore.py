"""PowerStore's own cases: sessions, handles, host objects and groups, LUN ids, codes that differ, races."""

import base64
import http.client
import json
from dataclasses import replace
from typing import Any

import pytest

from populator.errors import StorageError
from populator.storage.array import Group, Lun, Mapping, StorageArray, Volume
from populator.storage.failures import Refused
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import ALL, FC, FC_2, HOST, IQN, IQN_2, ensure
from tests.lab.arrays import QuickClock, connect, iscsi, lab_of
from tests.lab.arrays.powerstore.cluster import SimHost
from tests.lab.arrays.powerstore.lab import PASSWORD, USER, PowerStoreLab, port_of
from tests.lab.arrays.powerstore.server import PowerStoreSimulator
from tests.lab.arrays.powerstore.sessions import User
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.lab import Lab
from tests.lab.pki import Pki
from vsphere.model import Initiator, InitiatorKind

WORKER = iscsi("iqn.1998-01.com.vmware:worker-7")
OWN = "xcopy-hostsystem-host-1234-iscsi"
GONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def lab(rack: Rack) -> PowerStoreLab:
    """An array that knows no ESXi host, unless a test describes one."""
    return rack.add(PowerStoreLab)


def error(status: int, code: str = "0xE0A000000001", message: str = "the array's own words") -> Reply:
    return Reply(status, {"messages": [{"code": code, "severity": "Error", "message_l10n": message}]})


def posts(sim: PowerStoreSimulator) -> list[str]:
    """Return what was asked to be changed, without ids and sessions."""
    changes = [(method, path.split("/")[3:]) for method, path in sim.calls if method != "GET"]
    return [
        f"{method} {'/'.join((*parts[:1], *parts[2:]))}" for method, parts in changes if parts != ["logout"]
    ]


def unmap(array: StorageArray, lun: Lun, keep: tuple[Mapping, ...] = ()) -> None:
    array.unmap(lun, HOST, ALL, [mapping for mapping in keep if not mapping.ours])


def handle(volume: Volume, handle: str, **attributes: str) -> Volume:
    return replace(volume, handle=handle, attributes=attributes)


# The address, and the session


@pytest.mark.parametrize(
    "form", ["{}", "https://{}", "https://{}/", "https://{}/api/rest", "https://{}/api/rest/"]
)
def test_host_forms_reach_the_array(lab: PowerStoreLab, form: str) -> None:
    """Forklift's Go populator needs the whole URL, its documents say a host will do."""
    info = connect(lab, hostname=form.format(lab.simulator.address)).info()
    assert (info.vendor, info.product) == ("Dell", "PowerStore")
    assert (info.model, info.version) == ("PowerStore 1200T", "4.1.0.2")


def test_info_without_rights_is_empty_and_the_driver_works(
    lab: PowerStoreLab, sim: PowerStoreSimulator
) -> None:
    sim.before("GET", "appliance", lambda _: error(403), times=2)
    array = connect(lab)
    info = array.info()
    assert (info.vendor, info.model, info.version) == ("Dell", "", "")
    assert array.find_lun(lab.add_volume()).size
    array.close()
    assert lab.sessions == 0


def test_wrong_credentials_are_tried_once(lab: PowerStoreLab, sim: PowerStoreSimulator) -> None:
    with pytest.raises(Refused) as caught:
        connect(lab, password="wrong").info()
    assert caught.value.status == 401
    assert sim.calls == [("GET", "/api/rest/login_session")]


def test_a_password_that_has_to_be_changed_is_told(lab: PowerStoreLab, sim: PowerStoreSimulator) -> None:
    sim.sessions.users["new"] = User(PASSWORD, must_change=True)
    with pytest.raises(StorageError, match="password to be changed"):
        connect(lab, username="new").info()
    assert lab.sessions == 0


def test_the_credentials_are_sent_once_and_the_token_with_each_change(
    lab: PowerStoreLab, sim: PowerStoreSimulator
) -> None:
    """Each answer may have a new token, which is the one that counts from then on."""
    sim.sessions.rotating = True
    lab.know_host("esx-1", [IQN])
    lun_of = lab.add_volume()
    seen: list[bool] = []
    for path in ("login_session", "volume", "initiator", "host"):
        for method in ("GET", "POST"):
            sim.before(method, path, lambda request: seen.append(request.basic is not None), times=9)
    array = connect(lab)
    lun = array.find_lun(lun_of)
    array.map(lun, ensure(array, IQN))
    unmap(array, lun)
    array.close()
    assert seen.count(True) == 1
    assert posts(sim) == ["POST host/attach", "POST host/detach"]
    assert lab.sessions == 0


def test_a_log_in_without_a_session_is_an_error(lab: PowerStoreLab, sim: PowerStoreSimulator) -> None:
    """As a proxy in between may make of it."""
    sim.before("GET", "login_session", lambda _: Reply(200, []))
    with pytest.raises(StorageError, match="no session"):
        connect(lab).info()


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_session_is_renewed_by_the_credentials_alone(
    lab: PowerStoreLab, sim: PowerStoreSimulator, status: int
) -> None:
    sim.sessions.expired_status = status
    array, volume = connect(lab), lab.add_volume()
    array.info()
    lab.expire_sessions()
    cookies: list[object] = []
    sim.before("GET", "login_session", lambda request: cookies.append(request.headers.get("cookie")))
    assert array.find_lun(volume).size
    assert cookies == [None]
    array.close()
    assert lab.sessions == 0


def test_a_change_that_is_always_forbidden_is_tried_twice_and_leaves_no_session(
    lab: PowerStoreLab, sim: PowerStoreSimulator
) -> None:
    """403 may be the end of the session, or a missing right: nothing in it says which."""
    lab.know_host("esx-1", [IQN])
    array = connect(lab)
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.before("POST", "host/", lambda _: error(403), times=100)
    with pytest.raises(Refused) as caught:
        array.map(lun, group)
    assert caught.value.status == 403
    assert "role" in caught.value.hint
    assert posts(sim).count("POST host/attach") == 2
    assert sim.calls.count(("GET", "/api/rest/login_session")) == 2
    array.close()
    assert lab.sessions == 0


def test_too_many_sessions_are_waited_for(lab: PowerStoreLab, sim: PowerStoreSimulator) -> None:
    sim.sessions.most = 1
    clock, volume, other = QuickClock(), lab.add_volume(), connect(lab)
    other.info()
    array = connect(lab, clock)

    def room(_: Request) -> None:
        if clock.waited > 1:
            lab.expire_sessions()

    sim.before("GET", "login_session", room, times=99)
    assert array.find_lun(volume).size
    array.close()
    assert lab.sessions == 0


def test_an_array_that_says_when_to_come_again_is_left_alone_so_long(
    lab: PowerStoreLab, sim: PowerStoreSimulator
) -> None:
    clock, volume = QuickClock(), lab.add_volume()
    sim.before("GET", "volume", lambda _: Reply(429, b"", {"Retry-After": "7"}))
    assert connect(lab, clock).find_lun(volume).size
    assert 7 <= clock.waited < 8


def ask(
    lab: PowerStoreLab, pki: Pki, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """Make one call as any client would; return its status, and the headers."""
    conn = http.client.HTTPSConnection("127.0.0.1", lab.port, context=pki.client_context())
    raw = None if body is None else json.dumps(body)
    conn.request(method, f"/api/rest/{path}", raw, headers)
    answer = conn.getresponse()
    answer.read()
    conn.close()
    return answer.status, answer.headers


@pytest.mark.parametrize("style", ["cookie and token", "all three", "basic"])
def test_the_simulator_serves_the_three_kinds_of_clients_in_the_field(
    lab: PowerStoreLab, pki: Pki, sim: PowerStoreSimulator, style: str
) -> None:
    """Dell's Python client, Dell's Go client (which Forklift uses), Cinder."""
    lab.know_host("esx-1", [IQN])
    (host,) = sim.hosts
    volume = lab.add_volume()
    basic = {"Authorization": f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}
    status, given = ask(lab, pki, "GET", "login_session", **basic)
    assert status == 200
    cookie = {"Cookie": given["Set-Cookie"].partition(";")[0]}
    token = {"DELL-EMC-TOKEN": given["DELL-EMC-TOKEN"]}
    headers = {"cookie and token": cookie | token, "all three": basic | cookie | token, "basic": basic}[style]
    body = {"volume_id": lab.key(volume)}
    assert ask(lab, pki, "POST", f"host/{host}/attach", body, **headers)[0] == 204
    assert ask(lab, pki, "GET", "host?select=*", **headers)[0] == 200
    assert ask(lab, pki, "POST", f"host/{host}/detach", body, **headers)[0] == 204
    if style != "basic":
        assert ask(lab, pki, "POST", f"host/{host}/attach", body, **cookie)[0] == 403
        lab.expire_sessions()
        assert ask(lab, pki, "GET", "host", **headers)[0] == (403 if style == "all three" else 401)
    else:
        sim.sessions.strict = True
        assert ask(lab, pki, "POST", f"host/{host}/attach", body, **headers)[0] == 403
    assert ask(lab, pki, "GET", "host?select=no_such_column", **basic)[0] == 400
    assert ask(lab, pki, "GET", "host?no_such_column=eq.1", **basic)[0] == 400
    assert ask(lab, pki, "GET", "host?host_initiators-%3E0-%3E%3Eport_type=eq.iSCSI", **basic)[0] == 200
    assert ask(lab, pki, "GET", "host?offset=7", **basic)[0] == 416
    status, given = ask(lab, pki, "GET", "volume", Range="0-0", **basic)
    assert status == 200
    lab.add_volume()
    status, given = ask(lab, pki, "GET", "volume", Range="0-0", **basic)
    assert (status, given["content-range"]) == (206, "0-0/2")


# The volume


@pytest.mark.parametrize(
    "form",
    [
        "{id}/{array}/scsi",
        "{id}/10.230.24.67/scsi",
        "{id}",
        "{ID}/{array}/scsi",
        "{id}/{array}/scsi:" + GONE + "/PSfe0123456789",
        GONE + "/PSfe0123456789/scsi:{id}/{array}",
    ],
)
def test_the_forms_of_a_handle(lab: PowerStoreLab, array: StorageArray, form: str) -> None:
    """Of all generations of the CSI driver; a metro volume is one on each of two arrays, with two devices."""
    volume, _ = lab.add_volume(3 << 20), lab.add_volume()
    key = lab.key(volume)
    spelled = form.format(id=key, ID=key.upper(), array=lab.simulator.global_id)
    for attributes in ({}, dict(volume.attributes)):
        lun = array.find_lun(handle(volume, spelled, **attributes))
        assert (lun.id, lun.size, lun.device) == (key, 3 << 20, lab.device(volume))


def test_a_handle_without_an_id_is_looked_up_by_the_name(lab: PowerStoreLab, array: StorageArray) -> None:
    volume, _ = lab.add_volume(), lab.add_volume()
    assert array.find_lun(handle(volume, "imported", Name="csivol-pvc-1")).id == lab.key(volume)
    with pytest.raises(StorageError, match="no volumes CSIVOL-PVC-1"):
        array.find_lun(handle(volume, "imported", Name="CSIVOL-PVC-1"))


def test_two_volumes_of_a_name_are_an_error(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    volume, twin = lab.add_volume(), lab.add_volume()
    sim.volumes[lab.key(twin)].name = "csivol-pvc-1"
    with pytest.raises(StorageError, match="2 volumes csivol-pvc-1"):
        array.find_lun(handle(volume, "imported", Name="csivol-pvc-1"))


@pytest.mark.parametrize(
    ("spelled", "attributes", "says"),
    [
        ("{id}/{array}/nfs", {}, "file system"),
        ("{id}/{array}/scsi", {"Protocol": "nfs"}, "file system"),
        ("csi-nfs-{id}/{array}/scsi", {}, "shared by NFS from a node"),
        ("imported", {}, "neither an id"),
        ("", {"Name": ""}, "neither an id"),
        (GONE + "/PSfe0123456789/scsi", {"Name": "csivol-pvc-1"}, "on PSfe0123456789"),
        ("{id}/{array}/scsi", {"Name": "csivol-pvc-7"}, "csivol-pvc-1 under the id"),
        ("{id}/PSaa/scsi:{id}/PSbb", {"Name": "csivol-pvc-1"}, "PSaa and PSbb"),
    ],
)
def test_volumes_that_lead_to_no_lun(
    lab: PowerStoreLab, array: StorageArray, spelled: str, attributes: dict[str, str], says: str
) -> None:
    """Also: an id that is not there is never made good by a name, under which there may be another volume."""
    volume = lab.add_volume()
    wrong = handle(volume, spelled.format(id=lab.key(volume), array=lab.simulator.global_id), **attributes)
    with pytest.raises(StorageError) as caught:
        array.find_lun(wrong)
    assert says in caught.value.text
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"state": "Offline"}, "is Offline"),
        ({"state": "Destroying"}, "is Destroying"),
        ({"type": "Snapshot"}, "snapshot"),
        ({"is_replication_destination": True}, "destination of a replication"),
        (
            {"metro_replication_session_id": "m1", "is_host_access_available": False},
            "metro volume that hosts",
        ),
        ({"wwn": ""}, "device is not known"),
        ({"wwn": "eui.1234"}, "device is not known"),
    ],
)
def test_volumes_that_cannot_be_used(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, change: dict[str, object], says: str
) -> None:
    volume = lab.add_volume()
    record = sim.volumes[lab.key(volume)]
    before = {name: getattr(record, name) for name in change}
    for name, value in change.items():
        setattr(record, name, value)
    with pytest.raises(StorageError, match=says):
        array.find_lun(volume)
    for name, value in before.items():
        setattr(record, name, value)


def test_a_device_name_in_capitals_is_lowered(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume(serial="003ceb5e4577a20be6d11bf9")
    record = sim.volumes[lab.key(volume)]
    assert lab.device(volume) == "naa.68ccf098003ceb5e4577a20be6d11bf9"
    record.wwn = record.wwn.upper().replace("NAA", "naa")
    assert array.find_lun(volume).device == "naa.68ccf098003ceb5e4577a20be6d11bf9"
    record.wwn = record.wwn.lower()


def test_a_metro_volume_is_told_of(
    lab: PowerStoreLab, array: StorageArray, caplog: pytest.LogCaptureFixture
) -> None:
    volume = lab.add_volume()
    array.find_lun(handle(volume, f"{volume.handle}:{GONE}/PSfe0123456789", **volume.attributes))
    assert "sent to the other array" in caplog.text


# Hosts and groups of hosts


def test_initiators_are_found_in_whatever_case_they_were_entered(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    keys = [
        sim.add_host("by-fc", "ESXi", [("20:00:00:25:B5:AA:00:01", "FC")]),
        sim.add_host("by-iscsi", "ESXi", [(IQN.name.replace("esx", "ESX"), "iSCSI")]),
    ]
    found = [array.plan_group(HOST, [initiator]).group for initiator in (FC, IQN)]
    assert found == [Group(f"host/{keys[0]}", "by-fc", (FC,)), Group(f"host/{keys[1]}", "by-iscsi", (IQN,))]


def test_one_host_of_five_thousand_is_asked_for_alone(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    for number in range(5000):
        sim.hosts[f"h{number}"] = SimHost(f"h{number}", f"other-{number}", "Linux", [])
    key = sim.add_host("esx-1", "ESXi", [port_of(IQN)])
    array.info()
    sim.calls.clear()
    assert array.plan_group(HOST, [IQN]).group.id == f"host/{key}"
    assert len(sim.calls) == 1


@pytest.mark.parametrize("odd", [iscsi("vmhba64"), iscsi("iqn.1998-01.com.vmware:a,port_name.ilike.*)")])
def test_what_is_no_initiator_is_passed_over_and_never_part_of_a_query(
    lab: PowerStoreLab, array: StorageArray, odd: Initiator
) -> None:
    lab.know_host("worker-7", [WORKER])
    lab.know_host("esx-1", [IQN])
    assert array.plan_group(HOST, [odd, IQN]).group.name == "esx-1-iscsi"
    with pytest.raises(StorageError, match="No initiator"):
        array.plan_group(HOST, [odd])


def test_a_host_in_a_group_is_mapped_and_unmapped_by_that(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lab.know_host("esx-2", [WORKER])
    key = sim.add_host_group("cluster", list(sim.hosts))
    state = lab.state()
    lun = array.find_lun(lab.add_volume())
    group = ensure(array, IQN)
    assert group == Group(f"host_group/{key}", "cluster", (IQN,))
    mapping = array.map(lun, group)
    assert (mapping.ours, mapping.host, mapping.initiators) == (True, None, frozenset([IQN, WORKER]))
    (listed,) = array.mappings_of(lun)
    assert (listed.group.id, listed.group.name, listed.lun_id) == (group.id, "cluster", mapping.lun_id)
    assert (listed.ours, listed.initiators) == (False, frozenset([IQN, WORKER]))
    assert lab.san.seen_by([WORKER.name]) == {lun.device: mapping.lun_id}
    unmap(array, lun)
    assert posts(sim) == ["POST host_group/attach", "POST host_group/detach"]
    assert lab.state() == state


def test_what_was_mapped_to_a_group_before_stays_for_all_its_members(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lab.know_host("worker", [WORKER])
    key = sim.add_host_group("cluster", list(sim.hosts))
    volume = lab.add_volume()
    sim.attach(sim.host_groups[key], lab.key(volume))
    state = lab.state()
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, IQN))
    assert (mapping.group.id, mapping.ours) == (f"host_group/{key}", False)
    unmap(array, lun, before)
    assert lab.state() == state


def test_initiators_in_two_hosts_are_an_error_unless_a_group_joins_them(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    for number, initiator in enumerate((FC, FC_2)):
        sim.add_host(f"port-{number}", "ESXi", [port_of(initiator)])
    state = lab.state()
    with pytest.raises(StorageError, match="in 2 hosts: port-0 and port-1") as caught:
        array.plan_group(HOST, [FC, FC_2])
    assert caught.value.hint
    assert lab.state() == state
    sim.add_host_group("esx-1", list(sim.hosts))
    assert ensure(array, FC, FC_2).initiators == (FC, FC_2)


def test_nothing_is_added_to_a_host_of_the_administrators(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    plan = array.plan_group(HOST, [IQN_2, IQN])
    assert (plan.group.initiators, plan.missing) == ((IQN,), ())
    array.ensure_group(plan)
    assert posts(sim) == []


def test_a_host_that_the_array_knows_is_preferred_to_one_that_would_have_to_be_made(
    lab: PowerStoreLab, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    assert array.plan_group(HOST, [FC, IQN]).group.name == "esx-1-iscsi"


def test_an_unknown_host_is_made_and_deleted_again(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lun = array.find_lun(lab.add_volume())
    mapping = array.map(lun, ensure(array, FC, FC_2))
    (host,) = sim.hosts.values()
    assert (host.name, host.os_type) == ("xcopy-hostsystem-host-1234-fc", "ESXi")
    assert [(port.name, port.type) for port in host.ports] == [port_of(FC), port_of(FC_2)]
    (listed,) = array.mappings_of(lun)
    assert (listed.ours, listed.host, listed.group.id) == (True, HOST, mapping.group.id)
    unmap(array, lun)
    assert lab.state() == ([], [], [])


@pytest.mark.parametrize(("seen", "name"), [(IQN, OWN), (FC, "xcopy-hostsystem-host-1234-fc")])
def test_an_unknown_host_is_made_of_the_kind_that_is_logged_in(
    lab: PowerStoreLab, array: StorageArray, seen: Initiator, name: str
) -> None:
    lab.log_in(seen)
    for offered in ([IQN, FC], [FC, IQN]):
        assert array.plan_group(HOST, offered).group.name == name


@pytest.mark.parametrize("name", [OWN, "xcopy-hostsystem-host-1234"])
def test_the_go_populators_host_is_ours_and_tidied_up(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, name: str
) -> None:
    """It never deletes one, and puts back a mapping that a dead run left, for ever."""
    volume = lab.add_volume()
    key = sim.add_host(name, "ESXi", [port_of(IQN)])
    sim.attach(sim.hosts[key], lab.key(volume))
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    assert [(mapping.ours, mapping.host) for mapping in before] == [(True, HOST)]
    unmap(array, lun, before)
    assert lab.state() == ([], [], [])
    unmap(connect(lab), lun)


def test_an_empty_host_that_a_dead_run_left_is_deleted_by_one_that_needs_none(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    """As it sees the volume already, by a host of the other kind."""
    lun = array.find_lun(lab.add_volume())
    sim.add_host(OWN, "ESXi", [port_of(IQN)])
    unmap(array, lun)
    assert sim.hosts == {}


def test_a_host_of_ours_that_others_use_stays(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    mine, theirs = array.find_lun(lab.add_volume()), array.find_lun(lab.add_volume())
    group = ensure(array, IQN)
    array.map(mine, group)
    array.map(theirs, group)
    unmap(array, mine)
    assert [host.name for host in sim.hosts.values()] == [OWN]
    unmap(array, theirs)
    assert sim.hosts == {}


def test_a_host_of_ours_that_was_put_into_a_group_stays(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lun = array.find_lun(lab.add_volume())
    ensure(array, IQN)
    sim.add_host_group("adopted", list(sim.hosts))
    unmap(array, lun)
    assert [host.name for host in sim.hosts.values()] == [OWN]


def test_a_host_of_ours_gets_the_initiator_that_it_lacks(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    key = sim.add_host(OWN, "ESXi", [port_of(IQN)])
    plan = array.plan_group(HOST, [IQN_2])
    assert (plan.group.id, plan.missing) == (f"host/{key}", (IQN_2,))
    array.ensure_group(plan)
    assert [port.name for port in sim.hosts[key].ports] == [IQN.name, IQN_2.name]


def test_the_same_host_made_by_another_populator_meanwhile_is_used(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    plan = array.plan_group(HOST, [IQN])
    made: list[str] = []
    sim.before("POST", "host", lambda _: made.append(sim.add_host(OWN, "ESXi", [port_of(IQN)])))
    assert array.ensure_group(plan).id == f"host/{made[0]}"
    assert len(sim.hosts) == 1


def test_an_answer_without_an_id_is_looked_up(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    def done(_: Request) -> Reply:
        sim.add_host(OWN, "ESXi", [port_of(IQN)])
        return Reply(201, {})

    sim.before("POST", "host", done)
    (key,) = [ensure(array, IQN).id]
    assert key == f"host/{next(iter(sim.hosts))}"


def test_a_host_that_cannot_be_made_is_told_in_the_arrays_words(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    sim.before("POST", "host", lambda _: error(422, message="The limit of hosts is reached."), times=99)
    plan = array.plan_group(HOST, [IQN])
    with pytest.raises(Refused, match="limit of hosts"):
        array.ensure_group(plan)
    assert posts(sim).count("POST host") <= 5


# Mappings


def test_all_mappings_are_listed_over_all_pages(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    sim.page_size = 2
    volume = lab.add_volume()
    assert array.mappings_of(array.find_lun(volume)) == ()
    names = [f"iqn.1998-01.com.lab:{number}" for number in range(5)]
    hosts = [sim.add_host(f"h{number}", "Linux", [(name, "iSCSI")]) for number, name in enumerate(names)]
    group = sim.add_host_group("g", hosts[3:])
    for key in hosts[:3]:
        sim.attach(sim.hosts[key], lab.key(volume))
    sim.attach(sim.host_groups[group], lab.key(volume))
    found = {mapping.group.name: mapping.initiators for mapping in array.mappings_of(array.find_lun(volume))}
    assert found == {
        **{f"h{number}": {iscsi(names[number])} for number in range(3)},
        "g": {iscsi(name) for name in names[3:]},
    }


def test_rows_that_go_away_between_two_pages_are_no_error(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    """The array says 416 of a page that begins behind the end."""
    sim.page_size = 1
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    for number in range(2):
        host = sim.add_host(f"h{number}", "Linux", [(f"iqn.1998-01.com.lab:{number}", "iSCSI")])
        sim.attach(sim.hosts[host], lun.id)

    def gone(request: Request) -> None:
        if request.query.get("offset") == "1":
            sim.detach(sim.mappings[-1].target, lun.id)

    sim.before("GET", "host_volume_mapping", gone, times=2)
    assert len(array.mappings_of(lun)) == 1


@pytest.mark.parametrize("given", ["1-", "first-last/many", "0-0/x"])
def test_a_range_that_makes_no_sense_is_an_error(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, given: str
) -> None:
    lun = array.find_lun(lab.add_volume())
    sim.before("GET", "host_volume_mapping", lambda _: Reply(206, [], {"content-range": given}))
    with pytest.raises(StorageError, match="makes no sense"):
        array.mappings_of(lun)


def test_lun_ids_are_those_that_esxi_sees_whatever_the_array_would_take(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    sim.next_lun_id = 5000
    lab.know_host("esx-1", [IQN])
    mapping = array.map(array.find_lun(lab.add_volume()), ensure(array, IQN))
    assert mapping.lun_id in range(1, 1024)
    assert list(lab.san.seen_by([IQN.name]).values()) == [mapping.lun_id]


def fill(sim: PowerStoreSimulator, lab: PowerStoreLab, free: set[int]) -> None:
    """Let the only host use all LUN ids that ESXi sees, but these."""
    (host,) = sim.hosts.values()
    key = lab.key(lab.add_volume())
    taken = set(range(1024)) - free
    sim.attach(host, key, min(taken))
    sim.mappings += [replace(sim.mappings[-1], id=str(number), lun_id=number) for number in sorted(taken)[1:]]


def test_the_one_lun_id_that_is_free_is_found(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    fill(sim, lab, {777})
    assert array.map(array.find_lun(lab.add_volume()), ensure(array, IQN)).lun_id == 777


def test_no_free_lun_id_is_an_error_that_says_so(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    fill(sim, lab, set())
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    with pytest.raises(StorageError, match="no LUN id below 1024 left for esx-1-iscsi") as caught:
        array.map(lun, group)
    assert caught.value.hint
    assert posts(sim) == []


def test_a_lun_id_taken_by_another_populator_meanwhile_leads_to_another_one(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    """Also where that one is gone again before we look."""
    lab.know_host("esx-1", [IQN])
    other = lab.key(lab.add_volume())
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    (host,) = sim.hosts.values()

    def take(request: Request) -> None:
        sim.attach(host, other, request.body["logical_unit_number"])

    sim.before("POST", "host/", take)
    sim.before("GET", "host_volume_mapping", lambda _: sim.detach(host, other))
    mapping = array.map(lun, group)
    assert lab.san.seen_by([IQN.name]) == {lun.device: mapping.lun_id}


@pytest.mark.parametrize(
    "twice", [(422, "0xE0A080020001"), (400, "0xE0A01001001F"), (409, "0xe0a080020001"), (404, "")]
)
def test_attached_already_is_success_whatever_the_code(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, twice: tuple[int, str]
) -> None:
    lab.know_host("esx-1", [IQN])
    sim.attached_twice = twice
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, IQN)
    (host,) = sim.hosts.values()
    lun_id = sim.attach(host, lun.id)
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours, mapping.group) == (lun_id, False, group)
    assert posts(sim) == ["POST host/attach"]


def test_attached_already_under_a_lun_id_that_esxi_does_not_see_is_an_error(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    (host,) = sim.hosts.values()
    sim.attach(host, lun.id, 1500)
    with pytest.raises(StorageError, match=r"LUN id 1500 .*0 to 1023") as caught:
        array.map(lun, group)
    assert caught.value.hint


@pytest.mark.parametrize("said", [Reply(503, b""), Reply(200, b"<html>"), Reply(502, b"busy")])
def test_an_attachment_whose_answer_is_lost_is_found_and_ours(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, said: Reply
) -> None:
    lab.know_host("esx-1", [IQN])
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    (host,) = sim.hosts.values()

    def done(request: Request) -> Reply:
        sim.attach(host, lun.id, request.body["logical_unit_number"])
        return said

    sim.before("POST", "host/", done)
    mapping = array.map(lun, group)
    assert mapping.ours
    assert lab.san.seen_by([IQN.name]) == {lun.device: mapping.lun_id}
    assert posts(sim) == ["POST host/attach"]


def test_a_refusal_to_attach_is_told_in_the_arrays_words(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.before(
        "POST", "host/", lambda _: error(422, "0xE0A0800100AB", "It is mapped to NVMe hosts."), times=99
    )
    with pytest.raises(Refused, match=r"mapped to NVMe hosts \(HTTP 422, code 0xE0A0800100AB\)"):
        array.map(lun, group)
    assert len(posts(sim)) <= 5


def test_a_host_that_joins_a_group_before_it_is_mapped_is_mapped_by_that(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    key = sim.add_host_group("cluster", list(sim.hosts))
    mapping = array.map(lun, group)
    assert (mapping.group.id, mapping.ours) == (f"host_group/{key}", True)


def test_a_host_of_ours_that_vanishes_before_it_is_mapped_is_made_again(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.before("POST", "host/", lambda _: sim.remove_host(group.id.removeprefix("host/")))
    assert array.map(lun, group).group.id != group.id
    unmap(array, lun)
    assert lab.state() == ([], [], [])


def test_a_host_of_the_administrators_that_vanishes_is_not_made(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.remove_host(group.id.removeprefix("host/"))
    with pytest.raises(StorageError, match="no host esx-1-iscsi any more"):
        array.map(lun, group)
    assert sim.hosts == {}


# Unmapping


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "0xE0A01001001E"),
        (400, "0xE0A010010020"),
        (404, "0xE0A08001000E"),
        (422, "0xE0A08001000F"),
        (422, "0xe0a08001000f"),
        (404, "0xE04040020009"),
    ],
)
def test_detached_already_is_success_whatever_the_code(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, status: int, code: str
) -> None:
    lab.know_host("esx-1", [IQN])
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    (host,) = sim.hosts.values()

    def gone(_: Request) -> Reply:
        sim.detach(host, lun.id)
        return error(status, code)

    sim.before("POST", "host/", gone)
    unmap(array, lun)
    assert sim.mappings == []


def test_a_volume_that_is_gone_is_unmapped(lab: PowerStoreLab, array: StorageArray) -> None:
    lab.know_host("esx-1", [IQN])
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, IQN))
    lab.remove_volume(volume)
    unmap(array, lun)


@pytest.mark.parametrize("said", [error(404), error(400), error(422), Reply(200, b"<html>")])
def test_a_mapping_that_is_said_to_be_gone_is_looked_for(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray, said: Reply
) -> None:
    lab.know_host("esx-1", [IQN])
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    array.map(lun, group)
    sim.before("POST", "host/", lambda _: said)
    unmap(array, lun)
    assert sim.mappings == []
    array.map(lun, group)
    sim.before("POST", "host/", lambda _: said, times=99)
    with pytest.raises(StorageError):
        unmap(array, lun)


def test_a_failing_array_is_asked_again_and_never_believed(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    sim.before("POST", "host/", lambda _: error(500), times=3)
    unmap(array, lun)
    assert sim.mappings == []


def test_a_list_that_is_none_is_not_taken_for_an_empty_one(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN])
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    for reply in (error(404), Reply(200, {}), Reply(200, [{"logical_unit_number": 1}])):
        sim.before("GET", "host_volume_mapping", lambda _, reply=reply: reply)  # type: ignore[misc]
        with pytest.raises(StorageError):
            unmap(array, lun)
    assert len(sim.mappings) == 1


def test_a_step_that_fails_does_not_keep_the_others_from_being_done(
    lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray
) -> None:
    lab.know_host("esx-1", [IQN, FC])
    lun = array.find_lun(lab.add_volume())
    for host in sim.hosts.values():
        sim.attach(host, lun.id)
    sim.before("POST", "host/", lambda _: error(409, message="It is being migrated."), times=2)
    with pytest.raises(Refused, match="being migrated"):
        unmap(array, lun)
    assert len(sim.mappings) == 1


@pytest.mark.parametrize("described", [True, False])
def test_twenty_populators_of_one_host_do_not_hurt_each_other(
    lab: PowerStoreLab, sim: PowerStoreSimulator, described: bool
) -> None:
    """In a group of the administrator's only LUN ids may collide; else they make and delete one host all the time."""
    if described:
        lab.know_host("esx-1", [IQN])
        sim.add_host_group("cluster", list(sim.hosts))
    volumes = [lab.add_volume() for _ in range(20)]
    state = lab.state()

    def populate(volume: Volume) -> None:
        array = connect(lab)
        try:
            lun = array.find_lun(volume)
            mapping = array.map(lun, ensure(array, IQN))
            assert lab.san.seen_by([IQN.name])[lun.device] == mapping.lun_id
            unmap(array, lun)
        finally:
            array.close()

    at_once(populate, volumes)
    assert lab.state() == state
    assert lab.sessions == 0


def test_calls_of_a_disk(lab: PowerStoreLab, sim: PowerStoreSimulator, array: StorageArray) -> None:
    lab.know_host("esx-1", [IQN])
    volume = lab.add_volume()
    array.info()
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    array.map(lun, ensure(array, IQN))
    for _ in range(2):
        array.mappings_of(lun)
    unmap(array, lun)
    array.close()
    assert len(sim.calls) == 8 + 3, "the log-in, the log-out, and what the array is"


@pytest.mark.parametrize(("kind", "grouped"), [("fc", False), ("iscsi", False), ("fc", True)])
def test_the_whole_program_runs_with_it(kind: str, grouped: bool) -> None:
    """By the protocol that the array sees logged in; of a cluster's host, by its group."""
    with Lab(array="powerstore") as lab:
        sim = lab_of(PowerStoreLab, lab.array).simulator
        own = next(adapter for adapter in lab.host.adapters if adapter.kind == kind)
        lab.array.log_in(Initiator(InitiatorKind(kind), own.port))
        if grouped:
            sim.add_host_group(
                "cluster", [host.id for host in sim.hosts.values() if host.name.endswith(kind)]
            )
        state = lab.array.state()
        target = lab.add_target()
        with lab.program(target) as program:
            code = program.wait()
        assert code == 0, program.text()
        assert lab.copied(target)
        assert lab.leftovers(target) == []
        assert lab.array.state() == state
        assert lab.array.sessions == 0
        assert posts(sim) == [
            f"POST {'host_group' if grouped else 'host'}/{step}" for step in ("attach", "detach")
        ]
