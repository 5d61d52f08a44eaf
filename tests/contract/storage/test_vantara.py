"""Hitachi's own cases: handles, foretold device names, host groups on several ports, jobs, sessions, and each weak
point of the Go populator's driver that is known.
"""

import threading
from dataclasses import replace
from typing import Any

import pytest

from populator.errors import StorageError
from populator.storage.array import Group, Lun, Mapping, StorageArray, Volume
from populator.storage.failures import Refused, Unanswered
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.names import HostGroup
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import FC, FC_2, HOST, IQN, ensure
from tests.lab.arrays import QuickClock, connect, fc
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.arrays.vantara.lab import DATASTORE, PASSWORD, USER, VantaraLab, number_of
from tests.lab.arrays.vantara.server import User, VantaraSimulator
from tests.lab.arrays.vantara.system import LUN_TAKEN, Failure, SimPath
from vsphere.model import Initiator

OTHER = "20000025b5aa0009"
ALL = frozenset({IQN, FC, FC_2})
FIRST, SECOND, BY_ISCSI = "CL1-A,1", "CL2-A,1", "CL5-A,1"
BOTH = f"{FIRST}\n{SECOND}"


@pytest.fixture
def lab(rack: Rack) -> VantaraLab:
    return rack.add(VantaraLab)


@pytest.fixture
def sim(lab: VantaraLab) -> VantaraSimulator:
    """The array, on which an administrator has described a host with two adapters of Fibre Channel and one of iSCSI."""
    for port, initiator in (("CL1-A", FC), ("CL2-A", FC_2), ("CL5-A", IQN)):
        lab.simulator.add_group(port, "esx1", [initiator.name])
    return lab.simulator


@pytest.fixture
def array(lab: VantaraLab, sim: VantaraSimulator) -> StorageArray:
    return connect(lab)


def error(status: int, message_id: str, **more: Any) -> Reply:
    return Reply(
        status, {"errorSource": "/", "messageId": message_id, "message": "the array's own words", **more}
    )


def writes(sim: VantaraSimulator) -> list[tuple[str, str]]:
    """Return the changes of the array, without log-ins and log-outs."""
    paths = [(method, path.removeprefix(sim.base)) for method, path in sim.calls if method != "GET"]
    return [call for call in paths if not call[1].startswith("/sessions")]


def unmap(array: StorageArray, lun: Lun, *keep: Mapping) -> None:
    array.unmap(lun, HOST, ALL, keep)


def paths(sim: VantaraSimulator, lun: Lun) -> dict[str, int]:
    """Return LUN id by host group."""
    return {path.group: path.lun_id for path, _ in sim.of(int(lun.id))}


def options(**given: str) -> dict[str, Any]:
    return {"options": given}


# Names


@pytest.mark.parametrize(
    ("handle", "found"),
    [
        ("01--fc--934000715010--100--vol1", names.Place("934000715010", 100, "vol1")),
        ("01--iscsi--715010--0--a--b", names.Place("715010", 0, "a--b")),
        ("01--scsi--934000715010--65707--", names.Place("934000715010", 65707, "")),
    ],
)
def test_handles(handle: str, found: names.Place) -> None:
    assert names.place(Volume("pv-1", "d", handle)) == found


@pytest.mark.parametrize(
    "handle",
    [
        "",
        "pvc-1",
        "01--fc--934000715010--100",
        "02--fc--934000715010--100--v",
        "01--fc--9--0x64--v",
        "01--fc----100--v",
    ],
)
def test_handles_of_another_form_are_refused_unasked(lab: VantaraLab, handle: str) -> None:
    with pytest.raises(StorageError, match="names no LDEV") as caught:
        connect(lab).find_lun(Volume("pv-1", "d", handle))
    assert "HSPC" in caught.value.hint
    assert lab.calls == []


@pytest.mark.parametrize(
    ("hostname", "port", "where"),
    [
        ("https://10.1.2.3:443/x", "", "10.1.2.3:443"),
        ("array.example.com", "", "array.example.com"),
        ("array.example.com", "23451", "array.example.com:23451"),
        ("10.1.2.3:443", " 23451 ", "10.1.2.3:23451"),
        ("fe80::1", "443", "[fe80::1]:443"),
    ],
)
def test_addresses(hostname: str, port: str, where: str) -> None:
    """The Go populator takes IPv4 addresses only."""
    assert names.address(hostname, port) == where


@pytest.mark.parametrize("port", ["0", "65536", "https", "-1"])
def test_what_is_no_port_is_refused(lab: VantaraLab, port: str) -> None:
    with pytest.raises(StorageError, match="STORAGE_PORT"):
        connect(lab, **options(STORAGE_PORT=port))


def test_the_port_is_used(lab: VantaraLab) -> None:
    found = connect(lab, hostname="localhost:1", **options(STORAGE_PORT=str(lab.port))).info()
    assert (found.model, found.version) == ("VSP E790H", "93-07-21-80/00")


def test_lists_of_host_groups() -> None:
    first, second = HostGroup("CL1-A", 1), HostGroup("CL2-B", 2)
    assert names.host_groups(" CL1-A,1 : :cl2-b , 2:CL1-A,1") == (first, second)
    assert names.host_groups("") == names.host_groups(":") == ()
    for wrong in ("CL1-A", "CL1-A;1", "CL1-A,1,2", "1,CL1-A", "CL1-A,one"):
        with pytest.raises(StorageError, match="HOSTGROUP_ID_LIST holds"):
            names.host_groups(wrong)


def test_device_names() -> None:
    assert names.device("60060E800875340050703AA2000000AB", 171) == "naa.60060e800875340050703aa2000000ab"
    for wrong in ("", "60060e8", "624a937000000000000000000000000a", "60060e800875340050703aa2000000abff"):
        with pytest.raises(StorageError, match="none of Hitachi's"):
            names.device(wrong, 171)


def test_foretold_names_keep_all_digits_of_the_number() -> None:
    """LDEV 65707 is 0x100ab: of its last 16 bits alone it would be LDEV 171."""
    neighbour = "60060e800875340050703aa200000007"
    assert names.foretold(neighbour, 7, 171) == "60060e800875340050703aa2000000ab"
    assert names.foretold(neighbour.upper(), 7, 65707) == "60060e800875340050703aa2000100ab"
    assert names.foretold(neighbour, 8, 171) == names.foretold("60060e8", 7, 171) == ""


# The way in


@pytest.mark.parametrize("version", ["1.9.0", "1.10.1", "1.9", "2.0.0"])
def test_versions_that_will_do(lab: VantaraLab, version: str) -> None:
    lab.simulator.version = version
    assert connect(lab).info().model


@pytest.mark.parametrize("version", ["1.8.9", "0.12.0", "1", "x.9", ""])
def test_versions_that_will_not(lab: VantaraLab, version: str) -> None:
    lab.simulator.version = version
    with pytest.raises(StorageError, match="version"):
        connect(lab).info()
    assert lab.sessions == 0


@pytest.mark.parametrize("wanted", ["", "934000715010", "715010", " 715010 "])
def test_the_array_by_its_id_or_serial_number(lab: VantaraLab, wanted: str) -> None:
    given = options(STORAGE_ID=wanted)
    assert connect(lab, **given).info().model
    if wanted:
        lab.simulator.others = {"886000123456": 123456}
        assert connect(lab, **given).info().model
    assert {path for _, path in lab.calls if "storages/" in path} <= {
        lab.simulator.base,
        f"{lab.simulator.base}/sessions",
    }


def test_an_array_that_is_not_there_and_one_of_several(lab: VantaraLab) -> None:
    lab.simulator.others = {"886000123456": 123456}
    with pytest.raises(StorageError, match=r"886000123456 \(serial number 123456\), 934000715010") as caught:
        connect(lab).info()
    assert "STORAGE_ID" in caught.value.hint
    with pytest.raises(StorageError, match="STORAGE_ID is '9'"):
        connect(lab, **options(STORAGE_ID="9")).info()
    assert lab.sessions == 0


def test_wrong_credentials_are_tried_once(lab: VantaraLab) -> None:
    clock = QuickClock()
    with pytest.raises(StorageError, match=f"credentials of '{USER}'"):
        connect(lab, clock, password="wrong").info()
    assert [method for method, _ in lab.calls].count("POST") == 1
    assert clock.waited == 0


def test_the_session_is_used_renewed_and_ended(lab: VantaraLab, sim: VantaraSimulator) -> None:
    """The Go populator never ended the last one, and did not see that one had expired."""
    array = connect(lab)
    array.info()
    array.info()
    assert len(sim.calls) == 5
    lab.expire_sessions()
    array.info()
    assert [path.removeprefix(sim.base) for _, path in sim.calls[5:]] == ["", "/sessions", ""]
    array.close()
    assert lab.sessions == 0
    assert sim.calls[-1][0] == "DELETE"


def test_where_the_password_was_changed_meanwhile_it_is_tried_once(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    array.info()
    lab.expire_sessions()
    sim.users[USER] = User("another")
    sim.calls.clear()
    with pytest.raises(StorageError, match="credentials"):
        array.info()
    assert [method for method, _ in sim.calls].count("POST") == 1


@pytest.mark.parametrize(("method", "path"), [("GET", "/ldevs"), ("POST", "/luns"), ("DELETE", "/luns")])
def test_an_expired_session_is_renewed_once_whatever_the_call(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun, method: str, path: str
) -> None:
    sim.before(method, path, lambda _: error(401, "KART40047-E"))
    assert array.map(lun, ensure(array, FC)).ours
    unmap(array, lun)
    assert paths(sim, lun) == {}
    assert [path for method, path in sim.calls if method == "POST"].count(f"{sim.base}/sessions") == 2
    sim.before("GET", "/ldevs", lambda _: error(401, "KART40047-E"), times=2)
    with pytest.raises(Refused):
        array.mappings_of(lun)


def test_where_all_sessions_are_taken_one_is_waited_for(lab: VantaraLab, sim: VantaraSimulator) -> None:
    class Freeing(QuickClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            sim.most_sessions = 1 if self.waited > 5 else 0

    sim.most_sessions, clock = 0, Freeing()
    assert connect(lab, clock).info().model
    assert clock.waited > 5
    sim.sessions.clear()
    sim.most_sessions = 0
    with pytest.raises(StorageError) as caught:
        connect(lab).info()
    assert "sessions" in caught.value.hint


def test_a_missing_right_is_no_expired_session(sim: VantaraSimulator, array: StorageArray, lun: Lun) -> None:
    sim.before("POST", "/luns", lambda _: error(403, "KART40046-E"))
    sim.calls.clear()
    with pytest.raises(StorageError) as caught:
        array.map(lun, ensure(array, FC))
    assert "role" in caught.value.hint
    assert [path for method, path in sim.calls if method == "POST"] == [f"{sim.base}/luns"]


@pytest.mark.parametrize(("status", "after"), [(503, 2), (500, 2), (429, 1)])
def test_a_busy_server_is_asked_again(
    sim: VantaraSimulator, array: StorageArray, status: int, after: int
) -> None:
    sim.before("GET", "", lambda _: Reply(status, b"<html>restarting</html>"), times=after)
    assert array.info().model


def test_a_server_that_stays_busy_is_an_error_in_the_end(lab: VantaraLab, sim: VantaraSimulator) -> None:
    """The Go populator asks for ever, once a minute."""
    clock = QuickClock()
    array = connect(lab, clock)
    sim.before("GET", "/ldevs", lambda _: error(503, "KART00003-E"), times=1000)
    with pytest.raises(StorageError, match="KART00003-E"):
        array.find_lun(lab.add_volume())
    assert 20 < clock.waited < 60


def test_what_the_server_asks_for_by_retry_after_it_gets(lab: VantaraLab, sim: VantaraSimulator) -> None:
    clock = QuickClock()
    sim.before("GET", "", lambda _: Reply(503, b"", {"Retry-After": "17"}))
    connect(lab, clock).info()
    assert clock.waited >= 17


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("POST", "/sessions", {"sessionId": 1}),
        ("POST", "/sessions", {"token": "t"}),
        ("GET", "/ldevs", {}),
        ("GET", "/ldevs", {"ldevId": "many", "emulationType": "OPEN-V"}),
        ("GET", "/ldevs", {"ldevId": 256, "emulationType": "OPEN-V"}),
        ("GET", "/ports", {}),
        ("GET", "/ports", {"data": [{"logins": [{"loginWwn": FC.name}]}]}),
        ("POST", "/luns", {}),
        ("POST", "/luns", {"jobId": 1, "status": "Completed"}),
        ("POST", "/luns", {"jobId": 1, "status": "Completed", "state": "Succeeded"}),
        ("POST", "/luns", {"jobId": 1, "status": "Completed", "state": "Failed"}),
    ],
)
def test_an_answer_that_lacks_something_is_an_error_for_people(
    lab: VantaraLab, sim: VantaraSimulator, method: str, path: str, answer: dict[str, Any]
) -> None:
    """The Go populator panics."""
    array, volume = connect(lab), lab.add_volume()
    sim.before(method, path, lambda _: Reply(200, answer), times=1000)
    with pytest.raises(StorageError):
        array.map(array.find_lun(volume), ensure(array, FC))
    assert sim.paths == [SimPath(DATASTORE, "CL4-A,1", 0)]


# Finding the LDEV


def test_the_ldev_is_asked_for_alone(lab: VantaraLab, sim: VantaraSimulator) -> None:
    array, volume = connect(lab), lab.add_volume(3 << 20)
    array.info()
    sim.calls.clear()
    lun = array.find_lun(volume)
    assert lun == Lun(str(number_of(volume)), sim.ldevs[number_of(volume)].label, lab.device(volume), 3 << 20)
    assert [path.removeprefix(sim.base) for _, path in sim.calls] == [f"/ldevs/{lun.id}", "/ldevs"]


def test_the_serial_number_will_do_in_a_handle(lab: VantaraLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    short = replace(volume, handle=volume.handle.replace("934000715010", "715010"))
    assert array.find_lun(short) == array.find_lun(volume)


@pytest.mark.parametrize("where", ["934000715011", "886000715010", "15010", "ABC123DEF456"])
def test_a_volume_of_another_array_is_refused(lab: VantaraLab, array: StorageArray, where: str) -> None:
    """All arrays have LDEVs of the same numbers; the Go populator does not compare."""
    volume = lab.add_volume()
    with pytest.raises(StorageError, match=r"is on the array .*, and .* is 934000715010") as caught:
        array.find_lun(replace(volume, handle=volume.handle.replace("934000715010", where)))
    assert "STORAGE_HOSTNAME" in caught.value.hint


@pytest.mark.parametrize("label", ["", "another", "SPC-0000000001"])
def test_a_number_that_was_given_again_is_refused(lab: VantaraLab, array: StorageArray, label: str) -> None:
    volume = lab.add_volume()
    lab.simulator.ldevs[number_of(volume)].label = label
    with pytest.raises(StorageError, match=f"has LDEV {number_of(volume)} as .*, and the volume is"):
        array.find_lun(volume)


def test_a_handle_without_a_nickname_names_an_ldev_by_its_number(
    lab: VantaraLab, array: StorageArray
) -> None:
    volume = lab.add_volume()
    nameless = replace(volume, handle=volume.handle.rpartition("--")[0] + "--")
    assert array.find_lun(nameless).device == lab.device(volume)
    lab.simulator.ldevs[number_of(volume)].label = ""
    assert array.find_lun(nameless).name == f"LDEV {number_of(volume)}"


def test_an_ldev_that_is_gone_is_named(lab: VantaraLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    lab.remove_volume(volume)
    with pytest.raises(StorageError, match="has no such LDEV"):
        array.find_lun(volume)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "BLK"}, "status BLK"),
        ({"attributes": ["CMD", "CVS", "HDP"]}, "a command device"),
        ({"attributes": ["POOL"]}, "a volume of a pool"),
        ({"attributes": ["JNL"]}, "a journal volume"),
    ],
)
def test_what_nobody_should_write_to_is_refused(
    lab: VantaraLab, array: StorageArray, changes: dict[str, Any], said: str
) -> None:
    volume = lab.add_volume()
    vars(lab.simulator.ldevs[number_of(volume)]).update(changes)
    with pytest.raises(StorageError, match=said):
        array.find_lun(volume)


def test_volumes_with_shared_data_reduction_are_like_others(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    ldev = sim.ldevs[number_of(volume)]
    ldev.attributes, ldev.data_reduction = ["CVS", "HDP", "DRS"], "compression_deduplication"
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    assert paths(sim, lun).keys() == {FIRST}


def test_another_ldev_in_the_answer_is_not_taken(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    volume, record = lab.add_volume(), {"ldevId": 9, "emulationType": "OPEN-V", "blockCapacity": 1}
    sim.before("GET", "/ldevs", lambda _: Reply(200, record), times=1000)
    with pytest.raises(Unanswered, match="answered with LDEV 9"):
        array.find_lun(volume)


# Device names


def test_what_the_array_tells_is_taken_in_lower_case(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    ldev = sim.ldevs[number_of(volume)]
    sim.add_path(ldev.id, FIRST)
    ldev.naa = ldev.naa.upper()
    sim.calls.clear()
    assert array.find_lun(volume).device == f"naa.{ldev.naa.lower()}"
    assert f"{sim.base}/ldevs" not in [path for _, path in sim.calls]


def test_a_number_of_more_than_16_bits(lab: VantaraLab, sim: VantaraSimulator, array: StorageArray) -> None:
    label = "spc-big"
    sim.add_ldev(label, 1 << 20, 65707)
    lun = array.find_lun(Volume("pvc-9", "d", f"01--scsi--{sim.device_id}--65707--{label}"))
    assert lun.device == f"naa.{sim.naa(65707)}"
    assert lun.device.endswith("000100ab")


def test_the_name_comes_from_the_own_resource_group_and_the_virtual_number(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    """A virtual storage machine has another serial number in its names, and numbers of its own."""
    volume = lab.add_volume(serial=sim.naa(0x1234, serial=400002))
    ldev, other = (
        sim.ldevs[number_of(volume)],
        sim.add_ldev("of the same", 512, naa=sim.naa(0x22, serial=400002)),
    )
    ldev.resource_group = other.resource_group = 3
    ldev.virtual, other.virtual = 0x1234, 0x22
    sim.add_path(other.id, FIRST)
    lun = array.find_lun(volume)
    assert lun.device == f"naa.{sim.naa(0x1234, serial=400002)}"
    array.map(lun, ensure(array, FC))
    assert len(array.mappings_of(lun)) == 1


@pytest.mark.parametrize("virtual", [0xFFFE, 0xFFFF])
def test_an_ldev_without_a_virtual_number_is_refused(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, virtual: int
) -> None:
    volume = lab.add_volume()
    sim.ldevs[number_of(volume)].virtual = virtual
    with pytest.raises(StorageError, match="no virtual LDEV number"):
        array.find_lun(volume)


def test_a_list_that_does_not_tell_names_is_followed_by_the_ldev_itself(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    sim.naa_in_lists = False
    volume = lab.add_volume()
    assert array.find_lun(volume).device == lab.device(volume)


def test_where_nothing_foretells_the_name_the_volume_is_refused(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    sim.ldevs[DATASTORE].naa = sim.naa(8)
    with pytest.raises(StorageError, match="cannot be foretold") as caught:
        array.find_lun(volume)
    assert "LU path" in caught.value.hint
    sim.ldevs[DATASTORE].resource_group = 5
    with pytest.raises(StorageError, match="resource group 0"):
        array.find_lun(volume)


def test_a_name_that_was_foretold_wrongly_ends_the_run_before_a_byte_is_written(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    """The host's device of that name would be another LDEV."""
    volume = lab.add_volume(serial=sim.naa(0xAB))
    lun = array.find_lun(volume)
    assert lun.device != lab.device(volume)
    array.map(lun, ensure(array, FC))
    with pytest.raises(StorageError, match=f"naa.{sim.naa(0xAB)}, not {lun.device}, as was foretold"):
        array.mappings_of(lun)
    unmap(array, lun)
    assert paths(sim, lun) == {}
    with pytest.raises(StorageError, match="was foretold"):
        sim.add_path(int(lun.id), FIRST)
        array.mappings_of(lun)


def test_an_ldev_that_is_replaced_during_the_run_is_left_alone(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    array.mappings_of(lun)
    sim.ldevs[int(lun.id)].label = "another"
    sim.add_path(int(lun.id), FIRST)
    for act in (
        lambda: array.mappings_of(lun),
        lambda: unmap(array, lun),
        lambda: array.map(lun, Group(FIRST, "")),
    ):
        with pytest.raises(StorageError, match="is another by now, not"):
            act()
    assert paths(sim, lun).keys() == {FIRST}


def test_an_ldev_that_is_gone_has_no_paths_left(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    lab.remove_volume(volume)
    with pytest.raises(StorageError, match="is gone"):
        array.mappings_of(lun)
    unmap(array, lun)
    assert [method for method, _ in writes(sim)] == ["POST"]


# Host groups


@pytest.mark.parametrize("spelled", [FC.name, FC.name.upper(), "20:00:00:25:B5:AA:00:01"])
def test_spellings_of_an_initiator_are_one(sim: VantaraSimulator, array: StorageArray, spelled: str) -> None:
    """The Go populator compares capitals with what arrays give in small letters."""
    row = {"portId": "CL1-A", "logins": [{"loginWwn": spelled, "hostGroupId": FIRST, "isLoggedIn": True}]}
    sim.before("GET", "/ports", lambda _: Reply(200, {"data": [row]}))
    assert array.plan_group(HOST, [FC]).group == Group(FIRST, FIRST, (FC,))


def test_all_host_groups_of_a_host_are_its_group(sim: VantaraSimulator, array: StorageArray) -> None:
    sim.add_member(FIRST, OTHER)
    plan = array.plan_group(HOST, [FC, FC_2, IQN])
    assert (plan.group.id, plan.group.initiators, plan.missing) == (BOTH, (FC, FC_2), ())
    assert array.ensure_group(plan) == plan.group
    assert array.plan_group(HOST, [IQN, FC]).group == Group(BY_ISCSI, BY_ISCSI, (IQN,))


def test_one_call_finds_them_all(sim: VantaraSimulator, array: StorageArray) -> None:
    array.info()
    sim.calls.clear()
    array.plan_group(HOST, [FC, IQN])
    assert [path.removeprefix(sim.base) for _, path in sim.calls] == ["/ports"]


def test_those_that_see_the_host_logged_in_come_first(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    lab.log_in(FC_2)
    assert array.plan_group(HOST, [FC, FC_2]).group == Group(SECOND, SECOND, (FC_2,))
    lab.log_in(IQN)
    assert array.plan_group(HOST, [IQN, FC_2]).group.id == BY_ISCSI
    lab.log_in(FC)
    assert array.plan_group(HOST, [FC, FC_2]).group.id == BOTH


def test_a_host_without_host_groups_is_an_error_that_names_its_initiators(
    sim: VantaraSimulator, array: StorageArray
) -> None:
    """The Go populator goes on, and maps to nobody."""
    with pytest.raises(StorageError, match=f"no host group with any of {OTHER}") as caught:
        array.plan_group(HOST, [fc(OTHER)])
    assert HOST in caught.value.hint
    assert "HOSTGROUP_ID_LIST" in caught.value.hint


@pytest.mark.parametrize("initiator", [FC, IQN])
def test_where_ports_do_not_say_the_host_group_it_is_looked_for_on_the_port(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, initiator: Initiator
) -> None:
    sim.says_groups = False
    for port in ("CL1-A", "CL5-A"):
        sim.add_group(port, "last")
    lab.log_in(initiator)
    plan = array.plan_group(HOST, [initiator])
    assert plan.group == Group(FIRST if initiator == FC else BY_ISCSI, plan.group.name, (initiator,))
    assert len([path for _, path in sim.calls if "/host-groups" in path]) == 1
    assert len([path for _, path in sim.calls if "/host-wwns" in path]) == 1


@pytest.mark.parametrize("empty", [Reply(200, {"data": []}), error(400, "KART40038-E")])
def test_an_iscsi_target_has_its_initiators_in_the_other_list(
    lab: VantaraLab, sim: VantaraSimulator, empty: Reply
) -> None:
    array = connect(lab, **options(HOSTGROUP_ID_LIST=BY_ISCSI))
    sim.before("GET", "/host-wwns", lambda _: empty)
    assert array.plan_group(HOST, [IQN]).group.initiators == (IQN,)


def test_host_groups_that_are_listed_are_the_only_ones(lab: VantaraLab, sim: VantaraSimulator) -> None:
    """And the ports are not asked, which is a heavy call."""
    listed = connect(lab, **options(HOSTGROUP_ID_LIST=f" CL4-A,1 : :{SECOND}:{BY_ISCSI}"))
    assert listed.plan_group(HOST, [FC, FC_2]).group == Group(SECOND, SECOND, (FC_2,))
    assert listed.plan_group(HOST, [IQN]).group.id == BY_ISCSI
    assert f"{sim.base}/ports" not in [path for _, path in sim.calls]


def test_a_list_of_other_hosts_groups_maps_to_nobody(lab: VantaraLab, sim: VantaraSimulator) -> None:
    """All hosts share one Secret; the Go populator maps to all that is listed."""
    array = connect(lab, **options(HOSTGROUP_ID_LIST="CL4-A,1"))
    with pytest.raises(StorageError, match=r"in HOSTGROUP_ID_LIST, CL4-A,1, has any of"):
        array.plan_group(HOST, [FC])
    with pytest.raises(StorageError, match="no host group CL4-A,9") as caught:
        connect(lab, **options(HOSTGROUP_ID_LIST="CL4-A,9")).plan_group(HOST, [FC])
    assert caught.value.hint == "Correct HOSTGROUP_ID_LIST."


def test_initiators_that_are_not_logged_in_need_not_be_shown(lab: VantaraLab, sim: VantaraSimulator) -> None:
    sim.says_registered = False
    with pytest.raises(StorageError, match="no host group"):
        connect(lab).plan_group(HOST, [FC])
    assert connect(lab, **options(HOSTGROUP_ID_LIST=FIRST)).plan_group(HOST, [FC]).group.id == FIRST


def test_a_host_group_that_was_deleted_meanwhile_has_nobody_in_it(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    sim.add_path(int(lun.id), sim.add_group("CL3-A", "worker", [OTHER]).id)
    sim.before("GET", "/host-wwns", lambda _: error(404, "KART30013-E"))
    (mapping,) = array.mappings_of(
        array.find_lun(Volume("v", "d", f"01--x--{sim.device_id}--{lun.id}--{lun.name}"))
    )
    assert mapping.initiators == frozenset()


# LU paths


def test_a_host_sees_the_lun_by_all_its_host_groups_under_one_lun_id(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    mapping = array.map(lun, ensure(array, FC, FC_2))
    assert (mapping.group.id, mapping.ours, mapping.initiators) == (BOTH, True, frozenset({FC, FC_2}))
    assert paths(sim, lun) == {FIRST: mapping.lun_id, SECOND: mapping.lun_id}
    found = array.mappings_of(lun)
    assert [(each.group.id, each.group.name, each.lun_id) for each in found] == [
        (FIRST, f"esx1 ({FIRST})", mapping.lun_id),
        (SECOND, f"esx1 ({SECOND})", mapping.lun_id),
    ]
    assert all(each.group.within([mapping.group.id]) for each in found)
    unmap(array, lun)
    assert paths(sim, lun) == {}


def test_requests_are_typed_and_wait_for_the_job(lab: VantaraLab, sim: VantaraSimulator, lun: Lun) -> None:
    """The Go populator sends numbers as texts, and does not read the first answer."""
    seen: list[Request] = []
    array = connect(lab)
    group = ensure(array, FC)
    for method in ("POST", "DELETE"):
        sim.before(method, "/luns", seen.append, times=9)
    mapping = array.map(lun, group)
    unmap(array, lun)
    assert seen[0].body == {
        "portId": "CL1-A",
        "hostGroupNumber": 1,
        "ldevId": int(lun.id),
        "lun": mapping.lun_id,
    }
    assert {request.headers["response-job-status"] for request in seen} == {"Completed;"}
    assert {request.headers["response-max-wait"] for request in seen} == {"15"}
    assert seen[1].path == f"{sim.base}/luns/{FIRST},{mapping.lun_id}"
    assert not [path for _, path in sim.calls if "/jobs" in path]


@pytest.mark.parametrize("looks", [1, 3, 20])
def test_a_job_that_is_not_waited_for_is_asked_for(
    lab: VantaraLab, sim: VantaraSimulator, lun: Lun, looks: int
) -> None:
    """The Go populator gives up at the tenth look."""
    sim.looks = looks
    array, clock = connect(lab, QuickClock()), QuickClock()
    array = connect(lab, clock)
    mapping = array.map(lun, ensure(array, FC))
    assert paths(sim, lun) == {FIRST: mapping.lun_id}
    assert len([path for _, path in sim.calls if "/jobs/" in path]) == looks + 1
    assert clock.waited < 8 * looks + 1
    sim.looks = 0


def test_where_we_would_not_wait_for_an_answer_the_array_is_not_asked_to(
    lab: VantaraLab, sim: VantaraSimulator
) -> None:
    seen: list[Request] = []
    array, volume = connect(lab, timeout=1.5), lab.add_volume()
    sim.before("POST", "/luns", seen.append)
    array.map(array.find_lun(volume), ensure(array, FC))
    assert len([path for _, path in sim.calls if "/jobs/" in path]) == 1
    assert not [name for name in seen[0].headers if name.startswith("response-")]


def test_a_job_that_never_ends_is_an_error_in_the_end(
    lab: VantaraLab, sim: VantaraSimulator, lun: Lun
) -> None:
    sim.looks, clock = 10**6, QuickClock()
    array = connect(lab, clock)
    with pytest.raises(StorageError, match="did not say that it is done"):
        array.map(lun, ensure(array, FC))
    assert clock.waited < 3000


def test_trouble_to_tell_of_a_job_is_waited_out(lab: VantaraLab, sim: VantaraSimulator, lun: Lun) -> None:
    sim.looks = 1
    array = connect(lab)
    sim.before("GET", "/jobs", lambda _: error(503, "KART00003-E"), times=3)
    array.map(lun, ensure(array, FC))
    assert len(writes(sim)) == 1


@pytest.mark.parametrize("state", ["Unknown", "StorageAccepted", ""])
def test_of_a_job_that_ended_in_an_unknown_state_the_ldev_tells(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun, state: str
) -> None:
    """The Go populator takes whatever is not Failed for success."""
    group = ensure(array, FC)
    sim.fails.append(state)
    mapping = array.map(lun, group)
    assert (mapping.ours, paths(sim, lun)) == (True, {FIRST: mapping.lun_id})
    sim.fails.append(state)
    unmap(array, lun)
    assert paths(sim, lun) == {}


def test_a_job_that_failed_says_why(sim: VantaraSimulator, array: StorageArray, lun: Lun) -> None:
    group = ensure(array, FC)
    sim.fails = [Failure("KART40123-E", "Too many WWNs.", ("B957", "4184"))] * 3
    sim.calls.clear()
    with pytest.raises(StorageError, match=r"could not let CL1-A,1 see LDEV 256: Too many WWNs.*B957-4184"):
        array.map(lun, group)
    assert len(writes(sim)) == 1


@pytest.mark.parametrize(
    "failure",
    [
        Failure("KART40050-E", "locked"),
        Failure("KART40051-E", "locked"),
        Failure("KART40052-E", "locked"),
        Failure("KART40000-E", "locked", ("2E11", "2205")),
        Failure("KART40000-E", "locked", ("2e11", "2207")),
        Failure("KART00003-E", "busy"),
    ],
)
def test_a_lock_of_others_is_waited_for(
    sim: VantaraSimulator, array: StorageArray, lun: Lun, failure: Failure
) -> None:
    group = ensure(array, FC)
    sim.fails = [failure, failure]
    assert array.map(lun, group).ours
    sim.fails = [failure]
    unmap(array, lun)
    assert paths(sim, lun) == {}
    sim.locked = 2
    assert array.map(lun, group).ours


@pytest.mark.parametrize(
    "more",
    [{"errorCode": {"errorCode": "EX_EACCES"}}, {"error": {"messageId": "KART40050-E", "message": "locked"}}],
)
def test_forms_of_errors(sim: VantaraSimulator, array: StorageArray, lun: Lun, more: dict[str, Any]) -> None:
    group = ensure(array, FC)
    sim.before("POST", "/luns", lambda _: error(400, "KART40000-E", **more))
    assert array.map(lun, group).ours


def test_what_the_array_calls_worth_a_retry_gets_one(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC)
    failed = {"messageId": "KART40000-E", "message": "busy", "solutionType": "RETRY"}
    record = {"jobId": 1, "status": "Completed", "state": "Failed", "error": failed}
    sim.before("POST", "/luns", lambda _: Reply(202, record))
    assert array.map(lun, group).ours


def test_a_lun_id_that_is_taken_is_another_try(sim: VantaraSimulator, array: StorageArray, lun: Lun) -> None:
    group = ensure(array, FC)
    sim.fails = [Failure("KART40000-E", "taken", LUN_TAKEN)] * 5
    sim.calls.clear()
    mapping = array.map(lun, group)
    assert (mapping.ours, paths(sim, lun)) == (True, {FIRST: mapping.lun_id})
    assert len(writes(sim)) == 6


def test_where_none_is_to_be_had_by_chance_the_array_chooses(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    other = number_of(lab.add_volume())
    sim.paths += [SimPath(other, FIRST, lun_id) for lun_id in range(1, 1024)]
    assert array.map(lun, ensure(array, FC)).lun_id == 0


def test_a_lun_id_that_hosts_do_not_see_is_given_back(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    other = number_of(lab.add_volume())
    sim.paths += [SimPath(other, SECOND, lun_id) for lun_id in range(1024)]
    with pytest.raises(StorageError, match=r"the LUN id 1024 .* which ESXi hosts do not see"):
        array.map(lun, ensure(array, FC, FC_2))
    assert paths(sim, lun) == {}


def test_lun_ids_are_not_given_again_at_once(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    """The array's lowest would be another LDEV's a moment ago, whose path the host may still have."""
    group, lun_ids = ensure(array, FC), []
    for _ in range(6):
        lun = array.find_lun(lab.add_volume())
        lun_ids.append(array.map(lun, group).lun_id)
        unmap(array, lun)
    assert len(set(lun_ids)) > 2
    assert all(lun_id in range(1, 1024) for lun_id in lun_ids)


def test_in_a_host_group_that_has_the_lun_id_already_it_is_another(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    other = number_of(lab.add_volume())

    def take(request: Request) -> None:
        if request.body["portId"] == "CL2-A" and request.body["lun"] not in {
            path.lun_id for path in sim.paths[2:]
        }:
            sim.add_path(other, SECOND, request.body["lun"])

    group = ensure(array, FC, FC_2)
    sim.before("POST", "/luns", lambda _: None)
    sim.before("POST", "/luns", take, times=2)
    mapping = array.map(lun, group)
    found = paths(sim, lun)
    assert found[FIRST] == mapping.lun_id != found[SECOND]


def test_where_the_second_host_group_is_refused_the_first_is_taken_back(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC, FC_2)

    def refuse(request: Request) -> Reply | None:
        return error(400, "KART40000-E") if request.body["portId"] == "CL2-A" else None

    sim.before("POST", "/luns", refuse, times=100)
    with pytest.raises(StorageError, match="let CL2-A,1 see"):
        array.map(lun, group)
    assert paths(sim, lun) == {}


def test_an_answer_about_another_path_is_no_answer(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC)
    record = {
        "jobId": 1,
        "status": "Completed",
        "state": "Succeeded",
        "affectedResources": ["/luns/CL2-A,1,5"],
    }
    sim.before("POST", "/luns", lambda _: Reply(202, record))
    mapping = array.map(lun, group)
    assert paths(sim, lun) == {FIRST: mapping.lun_id}


@pytest.mark.parametrize("number", [1, 2])
def test_a_lost_answer_maps_nothing_twice(
    lab: VantaraLab, sim: VantaraSimulator, lun: Lun, number: int
) -> None:
    """The job is done all the same, and the next look shows it."""
    clock = QuickClock()
    array = connect(lab, clock)
    group = ensure(array, FC, FC_2)
    made: list[SimPath] = []

    def lose(request: Request) -> Reply | None:
        if len(made) + 1 < number:
            made.append(SimPath(0, "", 0))
            return None
        sim.add_path(request.body["ldevId"], f"{request.body['portId']},1", request.body["lun"])
        return Reply(504, b"")

    sim.before("POST", "/luns", lose, times=number)
    mapping = array.map(lun, group)
    assert (mapping.ours, mapping.group.id) == (True, BOTH)
    assert paths(sim, lun) == {FIRST: mapping.lun_id, SECOND: mapping.lun_id}
    assert [path.group for path, _ in sim.of(int(lun.id))] == [FIRST, SECOND]
    waited = clock.waited
    unmap(array, lun)
    assert (paths(sim, lun), clock.waited) == ({}, waited)


def test_a_job_that_is_done_after_we_gave_up_leaves_nothing(
    lab: VantaraLab, sim: VantaraSimulator, lun: Lun
) -> None:
    class Late(QuickClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            if seconds == 2.0 and not paths(sim, lun):
                sim.add_path(int(lun.id), FIRST, 5)

    array = connect(lab, Late())
    sim.before("POST", "/luns", lambda _: Reply(504, b""), times=1000)
    with pytest.raises(StorageError):
        array.map(lun, ensure(array, FC))
    assert paths(sim, lun) == {}
    unmap(array, lun)
    assert paths(sim, lun) == {}
    assert ("DELETE", f"/luns/{FIRST},5") in writes(sim)


def test_what_somebody_maps_at_the_same_moment_is_used(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    """B958-015A: the LDEV has a path there already."""
    group = ensure(array, FC, FC_2)

    def map_it(_: Request) -> None:
        sim.add_path(int(lun.id), SECOND, 3)

    sim.before("POST", "/luns", map_it)
    mapping = array.map(lun, group)
    assert (mapping.group.id, mapping.lun_id, mapping.ours) == (SECOND, 3, False)
    assert paths(sim, lun) == {SECOND: 3}


def test_a_host_that_sees_it_by_one_path_gets_no_second(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    sim.add_path(number_of(volume), SECOND, 3)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, FC, FC_2))
    assert (mapping.group.id, mapping.ours, writes(sim)) == (SECOND, False, [])
    unmap(array, lun, *before)
    assert paths(sim, lun) == {SECOND: 3}


def test_a_host_that_sees_it_by_a_host_group_that_is_not_to_be_used_gets_none_that_is(
    lab: VantaraLab, sim: VantaraSimulator
) -> None:
    sim.add_member(SECOND, FC.name)
    array, volume = connect(lab, **options(HOSTGROUP_ID_LIST=SECOND)), lab.add_volume()
    sim.add_path(number_of(volume), FIRST, 3)
    lun = array.find_lun(volume)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.id, mapping.lun_id, mapping.ours, writes(sim)) == (FIRST, 3, False, [])


@pytest.mark.parametrize("left", [[FIRST], [SECOND], [FIRST, SECOND]])
def test_whatever_a_dead_run_left_of_its_paths_is_removed_and_no_others(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, left: list[str]
) -> None:
    volume = lab.add_volume()
    worker = sim.add_group("CL3-A", "worker-7", [OTHER]).id
    for group in (*left, worker):
        sim.add_path(number_of(volume), group)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    keep = [mapping for mapping in before if not mapping.group.within([BOTH])]
    assert [mapping.group.id for mapping in keep] == [worker]
    for _ in range(2):
        unmap(array, lun, *keep)
        assert paths(sim, lun).keys() == {worker}


def test_a_mapping_of_several_host_groups_is_kept_whole(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    mapping = array.map(lun, ensure(array, FC, FC_2))
    unmap(array, lun, mapping)
    assert paths(sim, lun).keys() == {FIRST, SECOND}


def test_what_was_mapped_before_is_neither_removed_nor_made_again(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray
) -> None:
    """The Go populator maps its own host groups again, instead of those that were there."""
    volume = lab.add_volume()
    worker = sim.add_group("CL3-A", "worker-7", [OTHER]).id
    sim.add_path(number_of(volume), worker, 9)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    array.map(lun, ensure(array, FC))
    unmap(array, lun, *before)
    assert paths(sim, lun) == {worker: 9}
    assert [method for method, _ in writes(sim)] == ["POST", "DELETE"]


def test_a_lun_id_that_is_another_ldevs_by_now_is_not_taken_from_it(
    lab: VantaraLab, sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    """A path is removed by its LUN id, whatever LDEV is behind it."""
    mapping = array.map(lun, ensure(array, FC))
    assert mapping.lun_id is not None
    array.mappings_of(lun)
    sim.remove_path(FIRST, mapping.lun_id)
    other = number_of(lab.add_volume())
    sim.add_path(other, FIRST, mapping.lun_id)
    unmap(array, lun)
    assert sim.paths[-1] == SimPath(other, FIRST, mapping.lun_id)


@pytest.mark.parametrize("refusal", [error(404, "KART30013-E"), error(400, "KART40000-E"), Reply(504, b"")])
def test_what_is_gone_is_not_missed(
    sim: VantaraSimulator, array: StorageArray, lun: Lun, refusal: Reply
) -> None:
    lun_id = array.map(lun, ensure(array, FC)).lun_id
    assert lun_id is not None

    def gone(_: Request) -> Reply:
        sim.remove_path(FIRST, lun_id)
        return refusal

    sim.before("DELETE", "/luns", gone)
    unmap(array, lun)
    assert paths(sim, lun) == {}


def test_a_path_that_is_not_found_and_listed_is_no_success(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    sim.before("DELETE", "/luns", lambda _: error(404, "KART30013-E"), times=2)
    with pytest.raises(StorageError, match="KART30013-E"):
        unmap(array, lun)
    unmap(array, lun)
    assert paths(sim, lun) == {}


def test_one_path_that_cannot_be_removed_keeps_no_other(
    sim: VantaraSimulator, array: StorageArray, lun: Lun
) -> None:
    mapping = array.map(lun, ensure(array, FC, FC_2))
    sim.before("DELETE", f"/luns/{FIRST}", lambda _: error(403, "KART40046-E"), times=9)
    with pytest.raises(StorageError, match="CL1-A,1"):
        unmap(array, lun)
    assert paths(sim, lun) == {FIRST: mapping.lun_id}


def test_twenty_populators_on_one_host_with_two_ports(lab: VantaraLab, sim: VantaraSimulator) -> None:
    volumes = [lab.add_volume() for _ in range(20)]
    state = lab.state()
    barrier = threading.Barrier(len(volumes))

    def populate(volume: Volume) -> None:
        array = connect(lab)
        lun = array.find_lun(volume)
        array.mappings_of(lun)
        barrier.wait(60)
        array.map(lun, ensure(array, FC, FC_2))
        assert paths(sim, lun).keys() == {FIRST, SECOND}
        barrier.wait(60)
        unmap(array, lun)
        array.close()

    at_once(populate, volumes)
    assert (lab.state(), lab.sessions) == (state, 0)


def test_the_calls_of_a_disk_by_two_ports(lab: VantaraLab, sim: VantaraSimulator) -> None:
    array, volume = connect(lab), lab.add_volume()
    array.info()
    sim.calls.clear()
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    array.map(lun, ensure(array, FC, FC_2))
    for _ in range(2):
        array.mappings_of(lun)
    unmap(array, lun)
    assert [
        (method, path.removeprefix(sim.base).partition(f"/{lun.id}")[0].partition(",")[0])
        for method, path in sim.calls
    ] == [
        ("GET", "/ldevs"),
        ("GET", "/ldevs"),
        ("GET", "/ports"),
        ("POST", "/luns"),
        ("POST", "/luns"),
        ("GET", "/ldevs"),
        ("GET", "/ldevs"),
        ("GET", "/ldevs"),
        ("DELETE", "/luns/CL1-A"),
        ("DELETE", "/luns/CL2-A"),
    ]


def test_a_look_is_for_its_own_lun_and_not_for_long(lab: VantaraLab, sim: VantaraSimulator, lun: Lun) -> None:
    clock = QuickClock()
    array, volume = connect(lab, clock), lab.add_volume()
    seen, unseen = array.find_lun(volume), lun
    assert array.mappings_of(unseen) == ()
    array.find_lun(volume)
    clock.wait(2)
    sim.add_path(int(seen.id), FIRST, 3)
    assert len(array.mappings_of(seen)) == 1
    array.find_lun(volume)
    assert array.mappings_of(unseen) == ()
    array.mappings_of(seen)
    array.mappings_of(unseen)
    assert array.map(seen, ensure(array, FC)).lun_id == 3
    array.mappings_of(unseen)
    clock.wait(6)
    sim.add_path(int(unseen.id), FIRST, 4)
    sim.calls.clear()
    assert array.map(unseen, Group(FIRST, FIRST, (FC,))).lun_id == 4
    assert writes(sim) == []


def test_secrets_are_in_no_error(lab: VantaraLab) -> None:
    array = connect(lab, password=PASSWORD + "wrong")
    with pytest.raises(StorageError) as caught:
        array.info()
    failure: BaseException | None = caught.value
    while failure is not None:
        assert PASSWORD not in f"{failure} {failure!r} {vars(failure)}"
        failure = failure.__cause__
