"""What is the InfiniBox's alone: approval, clusters, ids and serial numbers, hosts by their initiators, error codes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun, Mapping, StorageArray, Volume
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.login import Basic
from populator.storage.vendors.infinibox import names
from populator.storage.vendors.infinibox.client import explain
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import ALL, FC, FC_2, HOST, IQN, PORTS, ensure, seen
from tests.lab.arrays import QuickClock, connect
from tests.lab.arrays.infinibox.lab import InfiniBoxLab, ports
from tests.lab.arrays.infinibox.server import InfiniBoxSimulator, refusal, result
from tests.lab.arrays.infinibox.system import SimHost
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request, Step
from vsphere.model import Initiator, InitiatorKind

API = "/api/rest"
WORKER = PORTS[InitiatorKind.FC].worker


@pytest.fixture
def lab(rack: Rack) -> InfiniBoxLab:
    lab = rack.add(InfiniBoxLab)
    lab.know_host("esx-1", ALL)
    return lab


@pytest.fixture
def esx(sim: InfiniBoxSimulator) -> SimHost:
    """The ESXi host by Fibre Channel."""
    return sim.host_named("esx-1-fc")


def answering(reply: Reply) -> Step:
    return lambda _: reply


def doing(act: Callable[[], object]) -> Step:
    """Return a step that changes the array under the driver's feet, and lets the call go on."""

    def step(_: Request) -> None:
        act()

    return step


def fails(array: StorageArray, volume: Volume) -> StorageError:
    with pytest.raises(StorageError) as caught:
        array.find_lun(volume)
    return caught.value


def paths(lab: InfiniBoxLab) -> list[str]:
    return [f"{method} {path.removeprefix(API)}" for method, path in lab.calls]


def refused(lab: InfiniBoxLab, method: str, path: str, body: object = None, **query: str) -> tuple[int, str]:
    """Return status and code by which the array refuses a call."""
    door = Http(lab.access, QuickClock(), "InfiniBox", explain, Basic(lab.access))
    with pytest.raises(Refused) as caught:
        door.call(method, f"{API}/{path}", "do that", query, body)
    return caught.value.status, caught.value.code


def unmap(array: StorageArray, lun: Lun, *keep: Mapping) -> None:
    array.unmap(lun, HOST, ALL, keep)


# The way in


@pytest.mark.parametrize(
    "form", ["{}", "https://{}", "https://{}/", "http://{}/api/rest", " https://{}/api/rest/ "]
)
def test_the_address_may_be_a_url(lab: InfiniBoxLab, form: str) -> None:
    """The Go driver wants a scheme and a slash at the end."""
    assert connect(lab, hostname=form.format(lab.simulator.address)).info().version == "7.3.0.0"


def test_a_run_is_credentials_in_each_call_and_no_session(lab: InfiniBoxLab, array: StorageArray) -> None:
    assert array.info().model == "F6304"
    array.close()
    assert paths(lab) == ["GET /system"]
    assert lab.sessions == 0


def test_wrong_credentials_end_the_run_at_its_first_call(lab: InfiniBoxLab) -> None:
    """The Go driver logs them, and goes on."""
    clock = QuickClock()
    with pytest.raises(StorageError, match="does not accept the credentials of 'admin'"):
        connect(lab, clock, password="wrong").info()
    assert (len(lab.calls), clock.waited) == (1, 0)


def test_a_user_who_may_not_even_read_is_told_so(sim: InfiniBoxSimulator, array: StorageArray) -> None:
    sim.forbidden = {"system"}
    with pytest.raises(StorageError, match="may not do this") as caught:
        array.info()
    assert "STORAGE_USERNAME" in caught.value.hint


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(400, b"<html>Bad Gateway</html>"), "HTTP 400"),
        (Reply(200, b"<html>Welcome</html>"), "did not answer in JSON"),
        (Reply(200, {}), "a number in the field 'result.id'"),
        (Reply(200, {"result": None, "error": None}), "a number in the field 'result.id'"),
        (Reply(200, refusal(200, "INTERNAL", "The system is upside down").body), "upside down"),
        (Reply(200, {"result": {"id": 1}, "error": {"code": "ODD"}}), "ODD"),
        (
            Reply(400, {"error": {"code": "BAD", "message": "No.", "reasons": [{"message": "Too late."}]}}),
            "No; Too late .HTTP 400, code BAD",
        ),
    ],
)
def test_odd_answers_end_with_an_error(
    lab: InfiniBoxLab, array: StorageArray, reply: Reply, says: str
) -> None:
    """Also an error with a good status, which the Go driver overlooks."""
    lab.server.before("GET", f"{API}/volumes", answering(reply))
    with pytest.raises(StorageError, match=says):
        array.find_lun(lab.add_volume())


def test_a_gateway_in_trouble_is_named_as_that(lab: InfiniBoxLab, array: StorageArray) -> None:
    lab.server.before("GET", API, answering(Reply(502, b"<html>Bad Gateway</html>")), times=99)
    with pytest.raises(StorageError, match="HTTP 502"):
        array.info()


def test_a_busy_array_is_left_alone_as_long_as_it_asks(lab: InfiniBoxLab) -> None:
    clock = QuickClock()
    lab.server.before("GET", API, answering(Reply(429, {}, {"Retry-After": "7"})))
    assert connect(lab, clock).info().version
    assert clock.waited >= 7


# Volumes


def test_a_volume_is_one_call_by_the_id_in_its_handle(lab: InfiniBoxLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    key = lab.volume(volume).id
    lun = array.find_lun(volume)
    assert paths(lab) == [f"GET /volumes/{key}"]
    assert (lun.id, lun.name) == (str(key), volume.attributes["Name"])
    assert lun.device == f"naa.6742b0f000000f6f{key:016x}"


@pytest.mark.parametrize("protocol", ["fc", "iscsi", "nvme", "FC"])
def test_block_protocols(lab: InfiniBoxLab, array: StorageArray, protocol: str) -> None:
    volume = lab.add_volume()
    assert array.find_lun(replace(volume, handle=f"{lab.volume(volume).id}$${protocol}")).size


@pytest.mark.parametrize(
    ("handle", "says"),
    [
        ("{}$$nfs", "shared by NFS"),
        ("{}$$NFS", "shared by NFS"),
        ("{}#3$$nfs_treeq", "shared by NFS"),
        ("{}$$s3", "names no volume"),
        ("{}$$", "names no volume"),
        ("$$fc", "names no volume"),
        ("0$$fc", "names no volume"),
        ("-{}$$fc", "names no volume"),
        ("vol{}$$fc", "names no volume"),
        ("{}/luns$$fc", "names no volume"),
        ("{}$fc", "has neither an id"),
        ("", "has neither an id"),
    ],
)
def test_handles_that_are_none(lab: InfiniBoxLab, array: StorageArray, handle: str, says: str) -> None:
    """Refused before the array is asked for anything."""
    volume = lab.add_volume()
    error = fails(array, Volume("pvc-x", volume.driver, handle.format(lab.volume(volume).id)))
    assert says in error.text
    assert "block volume" in error.hint
    assert lab.calls == []


def test_without_an_id_the_name_decides(lab: InfiniBoxLab, array: StorageArray) -> None:
    volume, _ = lab.add_volume(), lab.add_volume()
    lab.calls.clear()
    assert array.find_lun(replace(volume, handle="static")).id == str(lab.volume(volume).id)
    assert paths(lab) == ["GET /volumes"]
    named = replace(volume, handle="static", attributes={"Name": "csi-none"})
    assert "has no volumes csi-none" in fails(array, named).text


def test_only_volumes_of_that_very_name_are_listed(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    made = [sim.add_volume(f"csi-x{number}", 512) for number in ("", 1, 2)]
    sim.page_size = 1
    wanted = Volume("pvc-x", "infinibox-csi-driver", "static", {"Name": "csi-x"})
    assert array.find_lun(wanted).id == str(made[0].id)
    assert len(lab.calls) == 1


def test_an_empty_name_never_lists_volumes(lab: InfiniBoxLab, array: StorageArray) -> None:
    """The Go driver takes the first of all that there are."""
    volume = lab.add_volume()
    assert "neither an id" in fails(array, replace(volume, handle="static", attributes={"Name": ""})).text
    assert lab.calls == []


def test_a_name_that_two_volumes_answer_to_is_refused(lab: InfiniBoxLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    row = lab.simulator.volume_record(lab.volume(volume))
    metadata = {"page": 1, "pages_total": 1, "number_of_objects": 2, "page_size": 1000}
    both = {"result": [row, row | {"id": 1}], "error": None, "metadata": metadata}
    lab.server.before("GET", f"{API}/volumes", answering(Reply(200, both)))
    assert "has 2 volumes" in fails(array, replace(volume, handle="static")).text
    other = {**both, "result": [row | {"name": "csi-other"}]}
    lab.server.before("GET", f"{API}/volumes", answering(Reply(200, other)))
    assert "has no volumes" in fails(array, replace(volume, handle="static")).text


def test_an_id_that_was_given_to_another_volume_is_refused(lab: InfiniBoxLab, array: StorageArray) -> None:
    volume, other = lab.add_volume(), lab.add_volume()
    stranger = replace(volume, handle=other.handle, attributes={"Name": volume.attributes["Name"]})
    error = fails(array, stranger)
    assert f"has the volume {other.attributes['Name']} under the id" in error.text
    assert "deleted or renamed" in error.hint
    assert array.find_lun(replace(stranger, attributes={})).name == other.attributes["Name"]


def test_handle_and_attribute_have_to_be_one_id(lab: InfiniBoxLab, array: StorageArray) -> None:
    volume, other = lab.add_volume(), lab.add_volume()
    mixed = replace(volume, attributes={**volume.attributes, "ID": other.attributes["ID"]})
    assert "in its attributes" in fails(array, mixed).text


@pytest.mark.parametrize("reply", [None, Reply(404), refusal(404, "VOLUME_NOT_FOUND", "none")])
def test_a_volume_that_is_gone(lab: InfiniBoxLab, array: StorageArray, reply: Reply | None) -> None:
    volume = lab.add_volume()
    if reply:
        lab.server.before("GET", f"{API}/volumes", answering(reply))
    else:
        volume = replace(volume, handle="99$$fc", attributes={})
    error = fails(array, volume)
    assert "has no volume of the id" in error.text
    assert "STORAGE_HOSTNAME" in error.hint


def test_an_answer_about_another_volume_is_not_taken_for_it(lab: InfiniBoxLab, array: StorageArray) -> None:
    volume, other = lab.add_volume(), lab.add_volume()
    row = lab.simulator.volume_record(lab.volume(other))
    lab.server.before("GET", f"{API}/volumes", answering(Reply(200, result(row))))
    assert "has no volume of the id" in fails(array, replace(volume, attributes={})).text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "SNAPSHOT"}, "is a snapshot"),
        ({"type": ""}, "volume of no type"),
        ({"write_protected": True}, "write-protected"),
        ({"serial": "742b0f000000f6f00000000000102a"}, "31 hex digits"),
        ({"serial": "742b0f000000f6f00000000000102a12"}, "31 hex digits"),
        ({"serial": "742b0f000000f6f0000000000010zzzz"[:31]}, "31 hex digits"),
        ({"serial": ""}, "31 hex digits"),
    ],
)
def test_volumes_that_cannot_be_used(
    lab: InfiniBoxLab, array: StorageArray, changes: dict[str, Any], says: str
) -> None:
    volume = lab.add_volume()
    row = lab.simulator.volume_record(lab.volume(volume)) | changes
    lab.server.before("GET", f"{API}/volumes", answering(Reply(200, result(row))))
    assert says in fails(array, volume).text


def test_the_serial_number_is_compared_with_the_id(
    lab: InfiniBoxLab, array: StorageArray, caplog: pytest.LogCaptureFixture
) -> None:
    """Not more than that: a volume that moved here keeps the one that it was given elsewhere."""
    array.find_lun(lab.add_volume())
    assert caplog.text == ""
    moved = "742B0F00000ABCD0000000000012345"
    assert array.find_lun(lab.add_volume(serial=moved)).device == f"naa.6{moved.lower()}"
    assert "moved here from another array" in caplog.text


# Hosts


@pytest.mark.parametrize(
    ("port", "initiator"),
    [
        (("FC", "20000025b5aa0001"), FC),
        (("fc", "20:00:00:25:B5:AA:00:01"), FC),
        (("FC", "20000025B5AA0001"), FC),
        (("ISCSI", "iqn.1998-01.com.vmware:ESX-1"), IQN),
        (("iscsi", "IQN.1998-01.COM.VMWARE:esx-1"), IQN),
    ],
)
def test_initiators_are_compared_in_one_form(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, port: tuple[str, str], initiator: Initiator
) -> None:
    sim.hosts.clear()
    sim.set_ports(sim.add_host("esx").id, port, ("NVME", "nqn.2014-08.org:1"))
    group = ensure(connect(lab), initiator)
    assert (group.name, group.initiators) == ("esx", (initiator,))


def test_a_host_in_another_spelling_is_found_on_a_later_page(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator
) -> None:
    """The Go driver lists all hosts each time; here they are listed only where the array does not find the name."""
    sim.hosts.clear()
    for number in range(7):
        sim.add_host(f"other-{number}", [("ISCSI", f"iqn.1998-01.com.vmware:other-{number}")])
    sim.set_ports(sim.add_host("last").id, ("ISCSI", IQN.name.upper()))
    sim.page_size = 2
    assert ensure(connect(lab), IQN).name == "last"
    assert paths(lab).count("GET /hosts") == 4


def test_a_host_is_found_by_two_calls_among_thousands(lab: InfiniBoxLab, sim: InfiniBoxSimulator) -> None:
    for number in range(1500):
        sim.hosts[number + 1] = SimHost(number + 1, f"h{number}", [("FC", f"{number:016x}")])
    array = connect(lab)
    assert ensure(array, FC, FC_2).initiators == (FC, FC_2)
    assert len(lab.calls) == 2
    lab.calls.clear()
    assert ensure(array, FC, FC_2).initiators == (FC, FC_2)
    assert lab.calls == []


@pytest.mark.parametrize("lists_offline", [True, False])
def test_the_first_that_is_logged_in_is_asked_for_alone(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, lists_offline: bool
) -> None:
    sim.lists_offline = lists_offline
    lab.log_in(FC)
    assert ensure(connect(lab), FC, IQN, FC_2).initiators == (FC, FC_2)
    assert len(lab.calls) == 2
    sim.logged_in = {IQN.name}
    assert ensure(connect(lab), FC, FC_2, IQN).initiators == (IQN,)


@pytest.mark.parametrize(("lists_offline", "calls"), [(True, 3), (False, 4)])
def test_where_none_is_logged_in_the_first_ones_host_is_asked_for_alone(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, lists_offline: bool, calls: int
) -> None:
    sim.lists_offline = lists_offline
    assert ensure(connect(lab), FC, IQN).initiators == (FC,)
    assert len(lab.calls) == calls


def test_an_initiator_that_is_seen_and_belongs_to_no_host_is_passed_over(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, esx: SimHost
) -> None:
    """Though it is logged in."""
    sim.set_ports(esx.id)
    lab.log_in(FC)
    assert ensure(connect(lab), FC, IQN).initiators == (IQN,)
    assert not [path for path in paths(lab) if "host_id_by" in path and FC.name in path]


def test_who_may_not_see_log_ins_takes_the_first(lab: InfiniBoxLab, sim: InfiniBoxSimulator) -> None:
    lab.log_in(IQN)
    sim.forbidden = {f"initiators/{name.name}" for name in ALL}
    assert ensure(connect(lab), FC, IQN).initiators == (FC,)


def test_an_unknown_host_is_an_error_with_the_names_looked_for(
    array: StorageArray, sim: InfiniBoxSimulator
) -> None:
    sim.hosts.clear()
    with pytest.raises(StorageError) as caught:
        array.plan_group(HOST, [IQN, FC])
    assert IQN.name in caught.value.text
    assert FC.name in caught.value.text
    assert HOST in caught.value.hint
    assert sim.hosts == {}


def test_a_host_whose_adapters_are_spread_over_two_is_refused(
    array: StorageArray, sim: InfiniBoxSimulator, esx: SimHost
) -> None:
    """The Go driver takes whichever comes first, and the other paths stay dead."""
    sim.set_ports(esx.id, ("FC", FC.name))
    sim.add_host("esx-1-b", [("FC", FC_2.name)])
    with pytest.raises(StorageError, match="esx-1-fc and esx-1-b") as caught:
        array.plan_group(HOST, [FC, FC_2])
    assert "that is the ESXi host" in caught.value.hint


def test_so_is_one_that_two_hosts_claim_in_different_spelling(
    array: StorageArray, sim: InfiniBoxSimulator
) -> None:
    sim.hosts.clear()
    sim.set_ports(sim.add_host("a").id, ("ISCSI", IQN.name.upper()))
    sim.set_ports(sim.add_host("b").id, ("ISCSI", IQN.name.title()))
    with pytest.raises(StorageError, match="several hosts: a and b"):
        array.plan_group(HOST, [IQN])


@pytest.mark.parametrize("act", ["loses it", "goes"])
def test_a_host_that_loses_the_adapter_or_goes_is_not_taken_for_its_host(
    lab: InfiniBoxLab, array: StorageArray, sim: InfiniBoxSimulator, esx: SimHost, act: str
) -> None:
    change = {"loses it": lambda: sim.set_ports(esx.id), "goes": lambda: sim.remove_host(esx.id)}[act]
    lab.server.before("GET", f"{API}/hosts/{esx.id}", doing(change))
    with pytest.raises(StorageError, match="knows no host"):
        array.plan_group(HOST, [FC])


def test_an_adapter_that_belongs_to_no_host_is_left_out(
    array: StorageArray, sim: InfiniBoxSimulator, esx: SimHost
) -> None:
    sim.set_ports(esx.id, ("FC", FC_2.name))
    assert ensure(array, FC, FC_2).initiators == (FC_2,)


def test_a_host_with_both_kinds_of_ports_is_used_with_a_warning(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    ensure(connect(lab), FC)
    assert caplog.text == ""
    sim.hosts.clear()
    sim.add_host("both", ports([FC, IQN]))
    assert ensure(connect(lab), FC).initiators == (FC,)
    assert "has ports of FC and of iSCSI" in caplog.text


# Mappings


def test_mappings_of_hosts_and_clusters(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    """Of none, of two hosts, and of a cluster, which the Go driver skips; hosts are asked for once, all together."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    assert array.mappings_of(lun) == ()
    workers = [sim.add_host(f"w{number}", [("FC", f"{number:016x}")]) for number in range(2)]
    members = [sim.add_host(f"m{number}", [("FC", f"1{number:015x}")]) for number in range(2)]
    cluster = sim.add_cluster("vms", *members)
    for worker in workers:
        sim.map(lab.volume(volume), worker.id)
    sim.map(lab.volume(volume), cluster=cluster.id)
    lab.calls.clear()
    mappings = {mapping.group.name: mapping for mapping in array.mappings_of(lun)}
    assert paths(lab) == [f"GET /volumes/{lun.id}/luns", f"GET /clusters/{cluster.id}", "GET /hosts"]
    assert {name: mapping.lun_id for name, mapping in mappings.items()} == {"w0": 1, "w1": 1, "vms": 11}
    assert {initiator.name for initiator in mappings["vms"].initiators} == {
        port for member in members for _, port in member.ports
    }
    assert [initiator.name for initiator in mappings["w1"].initiators] == ["0000000000000001"]
    assert not any(mapping.ours or mapping.host for mapping in mappings.values())
    lab.calls.clear()
    array.mappings_of(lun)
    assert len(lab.calls) == 1


def test_a_cluster_is_one_mapping_however_many_rows_it_has(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    """Some list a row for each of its hosts, with the host's id."""
    volume = lab.add_volume()
    cluster = sim.add_cluster("vms", esx)
    item = sim.map(lab.volume(volume), cluster=cluster.id)
    rows = [sim.lun_record(item), sim.lun_record(item, esx.id)]
    metadata = {"page": 1, "pages_total": 1}
    body = {"result": rows, "error": None, "metadata": metadata}
    lab.server.before("GET", f"{API}/volumes/{lab.volume(volume).id}/luns", answering(Reply(200, body)))
    (mapping,) = array.mappings_of(array.find_lun(volume))
    assert (mapping.group.name, mapping.initiators) == ("vms", frozenset({FC, FC_2}))


def test_an_error_is_not_taken_for_no_mappings(lab: InfiniBoxLab, array: StorageArray) -> None:
    """The Go driver does not look at the code."""
    lun = array.find_lun(lab.add_volume())
    body = refusal(200, "SYSTEM_BUSY", "Not now").body | {"result": []}
    lab.server.before("GET", f"{API}/volumes", answering(Reply(200, body)))
    with pytest.raises(StorageError, match="Not now"):
        array.mappings_of(lun)


def test_a_volume_of_more_mappings_than_a_page_has(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    for number in range(1100):
        sim.hosts[number + 1] = SimHost(number + 1, f"h{number}")
        sim.map(lab.volume(volume), number + 1)
    lun = array.find_lun(volume)
    assert len(array.mappings_of(lun)) == 1100
    assert paths(lab).count(f"GET /volumes/{lun.id}/luns") == 2


def test_a_host_that_is_gone_by_then_is_known_by_its_number(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    worker = sim.add_host("w", [("FC", WORKER.name)])
    sim.map(lab.volume(volume), worker.id)
    lab.server.before("GET", f"{API}/hosts", doing(lambda: sim.remove_host(worker.id)))
    (mapping,) = array.mappings_of(array.find_lun(volume))
    assert (mapping.group.name, mapping.initiators) == (f"host {worker.id}", frozenset())


# Map


def test_a_mapping_that_is_not_approved_is_refused(lab: InfiniBoxLab, esx: SimHost) -> None:
    """By the simulator, as by the array: so each change of the driver is approved."""
    volume = lab.volume(lab.add_volume())
    mapping = "POST", f"hosts/{esx.id}/luns", {"volume_id": volume.id}
    assert refused(lab, *mapping) == (403, "APPROVAL_REQUIRED")
    assert refused(lab, *mapping, approved="false") == (403, "APPROVAL_REQUIRED")
    lab.simulator.map(volume, esx.id)
    unmapping = "DELETE", f"hosts/{esx.id}/luns/volume_id/{volume.id}"
    assert refused(lab, *unmapping) == (403, "APPROVAL_REQUIRED")


def test_mapping_is_one_call_and_says_all(lab: InfiniBoxLab, array: StorageArray, esx: SimHost) -> None:
    lun = array.find_lun(lab.add_volume())
    group = ensure(array, FC, FC_2)
    lab.calls.clear()
    mapping = array.map(lun, group)
    assert paths(lab) == [f"POST /hosts/{esx.id}/luns"]
    assert (mapping.group, mapping.ours, mapping.initiators) == (group, True, frozenset({FC, FC_2}))
    assert seen(lab, FC) == {lun.device: mapping.lun_id}


def test_lun_ids_are_not_those_that_the_array_gives_next(lab: InfiniBoxLab, array: StorageArray) -> None:
    """An id that was just given back may be another device to a host that has not dropped the old path."""
    used = []
    for _ in range(3):
        lun = array.find_lun(lab.add_volume())
        used.append(array.map(lun, ensure(array, FC)).lun_id)
        unmap(array, lun)
    assert len(set(used)) == 3
    assert {number for number in used if number in names.OF_OUR_CHOICE} == set(used)


def test_a_lun_id_that_is_taken_leaves_the_choice_to_the_array(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    """Whatever its code for that is; also where an array takes no wishes."""
    lun = array.find_lun(lab.add_volume())
    sim.own_id = False
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.lun_id, mapping.ours) == (1, True)
    unmap(array, lun)
    assert sim.luns == []


def test_a_lun_id_that_hosts_do_not_see_is_an_error_and_undone(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    sim.own_id, sim.next_lun = False, 1500
    with pytest.raises(
        StorageError, match="the LUN id 1500 for esx-1-fc, which ESXi hosts do not see"
    ) as caught:
        array.map(array.find_lun(lab.add_volume()), ensure(array, FC))
    assert "low LUN ids" in caught.value.hint
    assert sim.luns == []


def test_nor_is_such_a_mapping_of_somebody_else_of_use(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    volume = lab.add_volume()
    sim.map(lab.volume(volume), esx.id, lun=1024)
    with pytest.raises(StorageError, match="1024"):
        array.map(array.find_lun(volume), ensure(array, FC))
    assert len(sim.luns) == 1


def test_a_mapping_that_comes_in_between_is_used(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, FC)
    lab.server.before("POST", API, doing(lambda: sim.map(lab.volume(volume), esx.id, lun=9)))
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours) == (9, False)


@pytest.mark.parametrize("knows_cluster", [True, False])
@pytest.mark.parametrize("looked", [True, False])
def test_a_host_whose_cluster_has_the_volume_is_not_given_it_again(
    lab: InfiniBoxLab,
    sim: InfiniBoxSimulator,
    array: StorageArray,
    esx: SimHost,
    knows_cluster: bool,
    looked: bool,
) -> None:
    """The Go driver does, and takes it away; the array may or may not refuse."""
    sim.knows_cluster = knows_cluster
    volume = lab.add_volume()
    cluster = sim.add_cluster("esx-cluster", esx)
    sim.map(lab.volume(volume), cluster=cluster.id)
    state = lab.state()
    lun = array.find_lun(volume)
    before = array.mappings_of(lun) if looked else ()
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.name, mapping.lun_id, mapping.ours) == ("esx-cluster", 11, False)
    assert "POST" not in {method for method, _ in lab.calls}
    unmap(array, lun, *before)
    assert lab.state() == state


def test_a_cluster_that_gets_it_meanwhile_is_seen_where_the_array_says_so(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    sim.knows_cluster = True
    volume = lab.add_volume()
    cluster = sim.add_cluster("esx-cluster", esx)
    lun, group = array.find_lun(volume), ensure(array, FC)
    lab.server.before("POST", API, doing(lambda: sim.map(lab.volume(volume), cluster=cluster.id)))
    mapping = array.map(lun, group)
    assert (mapping.group.name, mapping.ours) == ("esx-cluster", False)


def test_a_host_in_a_cluster_gets_a_volume_of_its_own(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    neighbour = sim.add_host("esx-2", [("FC", WORKER.name)])
    sim.add_cluster("esx-cluster", esx, neighbour)
    lun = array.find_lun(lab.add_volume())
    array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, FC))
    assert mapping.ours
    assert len(lab.calls) == 5  # the look serves both
    assert seen(lab, WORKER) == {}
    unmap(array, lun)
    assert sim.luns == []


def test_an_old_look_is_not_trusted(lab: InfiniBoxLab, sim: InfiniBoxSimulator, esx: SimHost) -> None:
    clock = QuickClock()
    array, volume = connect(lab, clock), lab.add_volume()
    cluster = sim.add_cluster("esx-cluster", esx)
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    sim.map(lab.volume(volume), cluster=cluster.id)
    clock.wait(6)
    assert array.map(lun, ensure(array, FC)).group.name == "esx-cluster"


@pytest.mark.parametrize("code", ["VOLUME_NOT_FOUND", "HOST_NOT_FOUND"])
def test_what_is_gone_is_asked_for_once(lab: InfiniBoxLab, array: StorageArray, code: str) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, FC)
    lab.calls.clear()
    lab.server.before("POST", API, answering(refusal(404, code, "It is gone")), times=9)
    with pytest.raises(StorageError, match="It is gone"):
        array.map(lun, group)
    assert [method for method, _ in lab.calls].count("POST") == 1
    unmap(array, lun)
    assert "DELETE" not in {method for method, _ in lab.calls}


def test_a_mapping_without_the_right_to_is_refused_once_and_leaves_nothing_to_undo(lab: InfiniBoxLab) -> None:
    reader = connect(lab, username=lab.reader.username, password=lab.reader.password)
    lun, group = reader.find_lun(lab.add_volume()), ensure(reader, FC)
    with pytest.raises(StorageError, match="may not do this"):
        reader.map(lun, group)
    unmap(reader, lun)
    assert [method for method, _ in lab.calls].count("POST") == 1


@pytest.mark.parametrize(
    "reply",
    [Reply(200, {}), Reply(200, b"nonsense"), Reply(200, result({"volume_id": 1, "host_id": 2, "lun": 3}))],
)
def test_an_answer_that_does_not_tell_is_looked_up(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost, reply: Reply
) -> None:
    """Also one about another mapping: what was done counts, and is ours."""
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, FC)

    def do_and_lie(_: Request) -> Reply:
        sim.map(lab.volume(volume), esx.id, lun=77)
        return reply

    lab.server.before("POST", API, do_and_lie)
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours) == (77, True)
    unmap(array, lun)
    assert sim.luns == []


def test_a_mapping_that_is_said_to_be_made_and_is_not_listed_is_made_again(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, FC)
    lab.server.before("POST", API, answering(Reply(200, {})))
    assert array.map(lun, group).ours
    lab.server.before("POST", API, answering(Reply(200, {})), times=99)
    with pytest.raises(StorageError, match="does not list it"):
        array.map(array.find_lun(lab.add_volume()), group)
    assert len(sim.luns) == 1


def test_twenty_populators_on_one_host(lab: InfiniBoxLab, sim: InfiniBoxSimulator) -> None:
    volumes = [lab.add_volume() for _ in range(20)]
    state = lab.state()

    def populate(volume: Volume) -> None:
        array = connect(lab)
        lun = array.find_lun(volume)
        before = array.mappings_of(lun)
        mapping = array.map(lun, ensure(array, FC, FC_2))
        assert seen(lab, FC)[lun.device] == mapping.lun_id
        array.mappings_of(lun)
        unmap(array, lun, *before)

    at_once(populate, volumes)
    assert lab.state() == state
    assert sim.luns == []


# Unmap


@pytest.mark.parametrize("status", [404, 200])
@pytest.mark.parametrize("code", ["LUN_NOT_FOUND", "HOST_NOT_FOUND", "VOLUME_NOT_FOUND", ""])
def test_what_was_unmapped_before_is_success(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost, code: str, status: int
) -> None:
    """By a code, whatever the status; or by a status without one."""
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, FC))

    def unmap_first(_: Request) -> Reply:
        sim.unmap(esx.id, 0, volume=int(lun.id))
        return refusal(status, code, "Not there") if code else Reply(404)

    lab.server.before("DELETE", API, unmap_first)
    unmap(array, lun)
    assert sim.luns == []


def test_that_it_was_is_not_believed_while_it_is_listed(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray
) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, FC))
    lab.server.before("DELETE", API, answering(refusal(404, "LUN_NOT_FOUND", "Not there")))
    unmap(array, lun)
    assert sim.luns == []
    array.map(lun, ensure(array, FC))
    lab.server.before("DELETE", API, answering(refusal(404, "LUN_NOT_FOUND", "Not there")), times=99)
    with pytest.raises(StorageError, match="lists it all the same"):
        unmap(array, lun)


@pytest.mark.parametrize("status", [400, 403, 409])
def test_other_refusals_are_errors(lab: InfiniBoxLab, array: StorageArray, status: int) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, FC))
    lab.server.before("DELETE", API, answering(refusal(status, "BUSY", "In use")), times=9)
    with pytest.raises(StorageError, match="In use"):
        unmap(array, lun)
    assert [method for method, _ in lab.calls].count("DELETE") == 1


def test_a_volume_that_is_deleted_meanwhile_is_not_mapped_any_more(
    lab: InfiniBoxLab, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    lab.remove_volume(volume)
    for _ in range(2):
        unmap(array, lun)


def test_what_a_dead_run_left_is_removed_and_workers_keep_theirs(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    """The Go driver takes the first mapping for the worker's, and puts it back for ever."""
    volume = lab.add_volume()
    workers = [sim.add_host(f"w{number}", [("FC", f"{number:016x}")]) for number in range(2)]
    cluster = sim.add_cluster("vms", sim.add_host("m", [("FC", WORKER.name)]))
    for worker in workers:
        sim.map(lab.volume(volume), worker.id)
    sim.map(lab.volume(volume), cluster=cluster.id)
    state = lab.state()
    sim.map(lab.volume(volume), esx.id)
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    unmap(array, lun)
    assert lab.state() == state
    array.mappings_of(lun)
    for again in (array, array, connect(lab)):
        unmap(again, lun)
        sim.map(lab.volume(volume), esx.id)
    unmap(array, lun)
    assert lab.state() == state


def test_one_that_fails_keeps_no_other_from_being_removed(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    volume = lab.add_volume()
    sim.map(lab.volume(volume), esx.id)
    sim.map(lab.volume(volume), sim.host_named("esx-1-iscsi").id)
    lab.server.before("DELETE", f"{API}/hosts/{esx.id}/", answering(refusal(409, "BUSY", "In use")))
    lun = array.find_lun(volume)
    with pytest.raises(StorageError, match="In use"):
        unmap(array, lun)
    assert [item.host for item in sim.luns] == [esx.id]
    unmap(array, lun)
    assert sim.luns == []


def test_what_was_there_before_stays(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    volume = lab.add_volume()
    sim.map(lab.volume(volume), esx.id)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    assert not array.map(lun, ensure(array, FC)).ours
    unmap(array, lun, *before)
    assert len(sim.luns) == 1


def test_what_we_mapped_is_removed_though_the_hosts_ports_have_moved(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, array: StorageArray, esx: SimHost
) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, FC))
    sim.set_ports(esx.id)
    unmap(array, lun)
    assert sim.luns == []


def test_a_second_disk_takes_eight_calls(lab: InfiniBoxLab, array: StorageArray, esx: SimHost) -> None:
    """Counted one by one; the look before the end serves the unmapping, too."""
    lun = array.find_lun(lab.add_volume())
    array.mappings_of(lun)
    array.map(lun, ensure(array, FC, FC_2))
    array.mappings_of(lun)
    array.mappings_of(lun)
    unmap(array, lun)
    luns = f"GET /volumes/{lun.id}/luns"
    assert paths(lab) == [
        f"GET /volumes/{lun.id}",
        luns,
        f"GET /hosts/host_id_by_initiator_address/{FC.name}",
        f"GET /hosts/{esx.id}",
        f"POST /hosts/{esx.id}/luns",
        luns,
        luns,
        f"DELETE /hosts/{esx.id}/luns/volume_id/{lun.id}",
    ]


# The simulator


def test_what_it_does_not_know(lab: InfiniBoxLab, esx: SimHost) -> None:
    volume = lab.volume(lab.add_volume())
    mapping = {"volume_id": volume.id}
    for path in (
        "volumes/7",
        "volumes/7/luns",
        "hosts/7",
        "hosts/7/luns",
        "clusters/7",
        "initiators/7",
        "nonsense",
    ):
        status, code = refused(lab, "GET", path)
        assert status == 404
        assert code.endswith("NOT_FOUND")
    for path, body, code in (
        ("hosts/7/luns", mapping, "HOST_NOT_FOUND"),
        ("clusters/7/luns", mapping, "HOST_CLUSTER_NOT_FOUND"),
        (f"hosts/{esx.id}/luns", {"volume_id": 7}, "VOLUME_NOT_FOUND"),
    ):
        assert refused(lab, "POST", path, body, approved="true") == (404, code)
    for path, code in (
        (f"hosts/{esx.id}/luns/volume_id/{volume.id}", "LUN_NOT_FOUND"),
        (f"hosts/{esx.id}/luns/volume_id/7", "VOLUME_NOT_FOUND"),
        (f"hosts/{esx.id}/luns/lun/1", "LUN_NOT_FOUND"),
        (f"hosts/7/luns/volume_id/{volume.id}", "HOST_NOT_FOUND"),
    ):
        assert refused(lab, "DELETE", path, approved="true") == (404, code)


def test_what_it_takes_for_nonsense(lab: InfiniBoxLab, esx: SimHost) -> None:
    volume = lab.volume(lab.add_volume())
    for query in (
        {"colour": "red"},
        {"parent_id": "eq:0"},
        {"page_size": "1001"},
        {"page_size": "many"},
        {"page": "0"},
        {"page": "9"},
    ):
        assert refused(lab, "GET", "volumes", **query)[0] == 400
    assert refused(lab, "GET", f"volumes/{volume.id}", colour="red")[0] == 400
    bodies: tuple[object, ...] = (
        None,
        [],
        {},
        {"volume_id": str(volume.id)},
        {"volume_id": True},
        {"volume_id": volume.id, "lun": "9"},
        {"volume_id": volume.id, "lun": 16384},
        {"volume_id": volume.id, "colour": "red"},
    )
    for body in bodies:
        assert refused(lab, "POST", f"hosts/{esx.id}/luns", body, approved="true")[0] == 400
    mapping = {"volume_id": volume.id}
    assert refused(lab, "POST", f"hosts/{esx.id}/luns", mapping, approved="true", colour="red")[0] == 400
    assert refused(lab, "PUT", f"hosts/{esx.id}", mapping, approved="true")[0] == 405
    assert lab.simulator.luns == []


def test_it_has_so_many_sessions(lab: InfiniBoxLab) -> None:
    body = {"username": "admin", "password": lab.access.password}
    door = Http(lab.access, QuickClock(), "InfiniBox", explain, Basic(lab.access))
    for _ in range(100):
        door.call("POST", f"{API}/users/login", "log in", body=body)
    assert refused(lab, "POST", "users/login", body) == (503, "TOO_MANY_SESSIONS")
    assert refused(lab, "POST", "users/login", {**body, "password": "wrong"}) == (
        401,
        "AUTHENTICATION_REQUIRED",
    )


def test_it_takes_the_go_populators_spelling_of_a_path(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, esx: SimHost
) -> None:
    volume = lab.volume(lab.add_volume())
    sim.map(volume, esx.id)
    door = Http(lab.access, QuickClock(), "InfiniBox", explain, Basic(lab.access))
    path = f"{API}/hosts//{esx.id}/luns/volume_id/{volume.id}"
    assert door.call("DELETE", path, "unmap", {"approved": "true"}).number("result.lun") == 1
    assert sim.luns == []
