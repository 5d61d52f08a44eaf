"""PowerMax's own cases: versions, port groups, hosts, handles, views, jobs, and what the Go populator gets wrong."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from populator.errors import Cancelled, StorageError
from populator.storage.array import Mapping, StorageArray, Volume
from populator.storage.failures import Refused
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import FC, FC_2, HOST, IQN, IQN_2, PORTS, ensure, know_hosts, seen, unmap
from tests.lab.arrays import QuickClock, connect, fc
from tests.lab.arrays.powermax.lab import CSI_GROUP, FC_PORTS, ISCSI_PORTS, PASSWORD, USER, PowerMaxLab
from tests.lab.arrays.powermax.server import PowerMaxSimulator
from tests.lab.arrays.powermax.system import IN_PROGRESS
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from vsphere.model import InitiatorKind

WORKER = PORTS[InitiatorKind.FC].worker
Start = Callable[..., PowerMaxLab]


@pytest.fixture
def start(rack: Rack) -> Start:
    """Return what starts an array behind such a Unisphere."""

    def begin(**simulator: Any) -> PowerMaxLab:
        lab = rack.add(PowerMaxLab, **simulator)
        know_hosts(lab)
        return lab

    return begin


@pytest.fixture
def lab(start: Start) -> PowerMaxLab:
    return start()


def error(status: int, message: str) -> Callable[[Request], Reply]:
    return lambda _: Reply(status, {"message": message})


def with_port_groups(lab: PowerMaxLab, *listed: str) -> StorageArray:
    options = {**lab.access.options, "POWERMAX_PORT_GROUP_NAME": ",".join(listed)}
    return connect(lab, options=options)


def own(volume: Volume, host: str = HOST) -> str:
    """Return the name of what the driver makes for a volume."""
    return f"xcopy-hostsystem-{host}-{volume.handle[-5:]}"


def changes(sim: PowerMaxSimulator) -> list[tuple[str, str]]:
    """Return method and last part of the path of all changes that were let in."""
    return [(method, path.split(f"{sim.id}/")[1]) for method, path, _ in sim.bodies]


def count(lab: PowerMaxLab, method: str, part: str) -> int:
    return sum(called == method and part in path for called, path in lab.calls)


def run(lab: PowerMaxLab, array: StorageArray, volume: Volume) -> Mapping:
    """Do what the populator does to an array for one disk."""
    array.info()
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, FC, FC_2))
    assert seen(lab, FC) == {lun.device: mapping.lun_id}
    unmap(lab, array, lun, before)
    assert seen(lab, FC) == {}
    return mapping


# Settings and log-in


@pytest.mark.parametrize("missing", ["POWERMAX_SYMMETRIX_ID", "POWERMAX_PORT_GROUP_NAME"])
def test_without_a_setting_nothing_is_asked(lab: PowerMaxLab, missing: str) -> None:
    given = dict(lab.access.options)
    for options in ({**given, missing: " "}, {key: given[key] for key in given if key != missing}):
        with pytest.raises(StorageError, match=f"{missing} is missing"):
            connect(lab, options=options)
    assert lab.calls == []


@pytest.mark.parametrize("before", ["{}", "https://{}", "https://{}/univmax/restapi/", " HTTPS://{}/ "])
def test_an_address_is_taken_in_any_form(lab: PowerMaxLab, before: str) -> None:
    assert connect(lab, hostname=before.format(lab.access.hostname)).info().model == "PowerMax_2500"


@pytest.mark.parametrize("hostname", ["127.0.0.9", "https://127.0.0.9/univmax"])
def test_unisphere_listens_on_8443_where_nothing_else_is_said(lab: PowerMaxLab, hostname: str) -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.9:8443"):
        connect(lab, hostname=hostname).info()


def test_wrong_credentials_are_tried_once(lab: PowerMaxLab) -> None:
    with pytest.raises(Refused, match="does not accept the credentials of 'csi'"):
        connect(lab, password="wrong").info()
    assert lab.calls == [("GET", "/univmax/restapi/version")]


def test_each_call_says_who_makes_it_and_has_the_credentials(
    lab: PowerMaxLab, sim: PowerMaxSimulator
) -> None:
    asked: list[Request] = []
    sim.server.before("GET", "/univmax", asked.append, times=9)
    array = connect(lab)
    array.info()
    array.find_lun(lab.add_volume())
    assert [request.basic for request in asked] == [(USER, PASSWORD)] * 3
    assert {request.headers["application-type"] for request in asked} == {"xcopy-populator"}


@pytest.mark.parametrize(
    ("version", "offered", "api", "model", "microcode"),
    [
        ("V9.2.4.8", None, "92", "PowerMax_2000", "5978.441.441"),
        ("V10.0.0.2", None, "100", "PowerMax_2500", "6079.175.0"),
        ("V10.1.0.5", ["101", "100", "92"], "100", "PowerMax_2500", "6079.175.0"),
        ("V10.4.0.1", ["104", "92"], "92", "PowerMax_2500", "6079.175.0"),
    ],
)
def test_a_whole_run_by_each_version_of_the_api(
    start: Start, version: str, offered: list[str] | None, api: str, model: str, microcode: str
) -> None:
    """An older array says what a port group is for by another field, and its microcode by another one."""
    lab = start(version=version, offered=offered)
    volume, array = lab.add_volume(), connect(lab)
    state = lab.state()
    run(lab, array, volume)
    info = array.info()
    assert (info.model, info.version) == (model, microcode)
    assert lab.state() == state
    assert {path.split("/")[3] for _, path in lab.calls[1:]} == {api}


@pytest.mark.parametrize(
    ("version", "offered"), [("V9.1.0.4", None), ("V11.0.0.1", None), ("V10.4.0.1", ["104", "103"])]
)
def test_a_unisphere_without_such_a_version_is_refused_by_its_name(
    lab: PowerMaxLab, sim: PowerMaxSimulator, version: str, offered: list[str] | None
) -> None:
    sim.version, sim.offered = version, offered
    with pytest.raises(StorageError, match=version) as caught:
        connect(lab).info()
    assert "100 or 92" in caught.value.text
    assert len(lab.calls) == 1


def test_an_array_that_unisphere_does_not_know_is_told(lab: PowerMaxLab) -> None:
    options = {**lab.access.options, "POWERMAX_SYMMETRIX_ID": "999999999999"}
    with pytest.raises(StorageError, match=r"999999999999.*knows no such array") as caught:
        connect(lab, options=options).info()
    assert "POWERMAX_SYMMETRIX_ID" in caught.value.hint


def test_who_may_not_ask_for_the_model_can_copy_all_the_same(
    lab: PowerMaxLab, sim: PowerMaxSimulator
) -> None:
    sim.server.before("GET", f"/univmax/restapi/100/system/symmetrix/{sim.id}", error(403, "not authorized"))
    info = connect(lab).info()
    assert (info.product, info.model, info.version) == ("PowerMax", "", "")


# Volumes


def test_the_name_in_the_handle_is_the_arrays_or_the_volume_is_refused(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The Go populator does not look: PowerMax gives the number of a deleted volume to the next one."""
    volume = lab.add_volume()
    device = lab.volume(volume).device
    lab.remove_volume(volume)
    sim.add_volume("csi-ABC-somebody-elses-ns2", 1 << 20, device)
    with pytest.raises(StorageError, match=f"somebody-elses-ns2 under the number {device}") as caught:
        array.find_lun(volume)
    assert "deleted" in caught.value.hint


@pytest.mark.parametrize("name", ["", "_DEL{0}", "{0}x", "x{0}"])
def test_a_name_that_is_only_like_it_is_another(lab: PowerMaxLab, array: StorageArray, name: str) -> None:
    """Dell's CSI driver renames what it is about to delete."""
    volume = lab.add_volume()
    lab.volume(volume).name = name.format(lab.volume(volume).name)
    with pytest.raises(StorageError, match="under the number"):
        array.find_lun(volume)


def test_a_handle_may_be_spelled_in_lower_case(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.describe(sim.add_volume("csi-ABC-v", 1 << 20, "0ABCD"))
    assert array.find_lun(replace(volume, handle=volume.handle.replace("0ABCD", "0abcd"))).id == "0ABCD"


@pytest.mark.parametrize("second", [False, True])
def test_of_a_metro_volume_the_half_on_our_array_is_taken(
    lab: PowerMaxLab,
    sim: PowerMaxSimulator,
    array: StorageArray,
    caplog: pytest.LogCaptureFixture,
    second: bool,
) -> None:
    """Its hosts see it by the WWN that both halves show, which is not this half's own."""
    made = sim.add_volume("csi-ABC-metro-ns1", 1 << 20)
    made.effective_wwn = "60000970000120000606533030304344"
    halves = [(sim.id, made.device), ("000120000606", "000CD")]
    arrays, devices = zip(*(halves[::-1] if second else halves), strict=True)
    handle = f"{made.name}-{':'.join(arrays)}-{':'.join(devices)}"
    lun = array.find_lun(Volume("pv-metro", "csi-powermax.dellemc.com", handle))
    assert (lun.id, lun.device) == (made.device, "naa.60000970000120000606533030304344")
    assert "metro" in caplog.text


def test_a_volume_on_another_array_is_not_asked_for(lab: PowerMaxLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    handle = volume.handle.replace(lab.simulator.id, "000120000606")
    with pytest.raises(StorageError, match="is on 000120000606"):
        array.find_lun(replace(volume, handle=handle))
    assert lab.calls == []


def test_the_device_is_the_effective_wwn_in_lower_case(lab: PowerMaxLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    lab.volume(volume).wwn = "60000970000197900046533030324AB8"
    assert array.find_lun(volume).device == "naa.60000970000197900046533030324ab8"
    lab.volume(volume).effective_wwn = "6006048000019790004653303032FFFF"
    assert array.find_lun(volume).device == "naa.6006048000019790004653303032ffff"


def test_the_size_is_that_of_whole_cylinders(lab: PowerMaxLab, array: StorageArray) -> None:
    """Unisphere rounds its megabytes, also upwards: by them a disk would seem to fit that does not."""
    volume = lab.add_volume(547 * 1966080)
    assert array.find_lun(volume).size == 547 * 1966080 == 1075445760 < 1026 << 20


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("status", "Not Ready", "is Not Ready"), ("emulation", "CKD-3390", "not FBA")],
)
def test_what_cannot_be_written_to_is_refused(
    lab: PowerMaxLab, array: StorageArray, field: str, value: str, said: str
) -> None:
    volume = lab.add_volume()
    setattr(lab.volume(volume), field, value)
    with pytest.raises(StorageError, match=said):
        array.find_lun(volume)


def test_a_volume_that_is_gone_is_told_with_its_name_and_number(
    lab: PowerMaxLab, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lab.remove_volume(volume)
    with pytest.raises(StorageError, match=f"no volume {volume.handle[-5:]} \\(csi-ABC-pmax") as caught:
        array.find_lun(volume)
    assert "STORAGE_HOSTNAME" in caught.value.hint


def test_a_volume_that_is_replaced_while_a_run_waits_is_not_touched(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    lab.remove_volume(volume)
    sim.add_volume("csi-ABC-other-ns2", 1 << 20, lun.id)
    state = lab.state()
    for act in (lambda: array.mappings_of(lun), lambda: array.map(lun, ensure(array, FC))):
        with pytest.raises(StorageError, match="by now"):
            act()
    assert lab.state() == state


# Port groups and hosts


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("group", "taken"), [(FC_PORTS, FC), (ISCSI_PORTS, IQN)])
def test_the_port_group_decides_which_kind_is_used(start: Start, older: bool, group: str, taken: Any) -> None:
    lab = start(version="V9.2.4.8" if older else "V10.0.0.2")
    array = with_port_groups(lab, group)
    for offered in ([FC, IQN], [IQN, FC]):
        assert ensure(array, *offered).initiators == (taken,)
    assert count(lab, "GET", "/portgroup/") == 1


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (["nobody"], "no port group nobody"),
        (["nvme"], "for NVMe_TCP"),
        (["odd"], "for an unknown protocol"),
        ([FC_PORTS, "second"], "two port groups of fc: esx-fc and second"),
        ([ISCSI_PORTS], "no initiator for the port groups"),
    ],
)
def test_a_wrong_port_group_is_told_before_anything_is_made(
    lab: PowerMaxLab, sim: PowerMaxSimulator, listed: list[str], said: str
) -> None:
    """The Go populator made its storage group first, and left one with each attempt."""
    sim.add_port_group("nvme", "NVMe_TCP", ["OR-1C:1"])
    sim.add_port_group("odd", "", ["OR-1C:2"])
    sim.add_port_group("second", "SCSI_FC", ["OR-1C:3"])
    array = with_port_groups(lab, *listed)
    array.find_lun(lab.add_volume())
    with pytest.raises(StorageError, match=said) as caught:
        array.plan_group(HOST, [FC, FC_2])
    assert "POWERMAX_PORT_GROUP_NAME" in caught.value.text + caught.value.hint
    assert sim.bodies == []


def test_a_port_that_knew_the_initiator_before_it_was_in_a_host_is_passed_over(
    sim: PowerMaxSimulator, array: StorageArray
) -> None:
    sim.initiators[FC.name].hostless_at = {"FA-1D:4"}
    assert ensure(array, FC).id == "esx-1-fc"


@pytest.mark.parametrize("pair", [(FC, FC_2), (IQN, IQN_2)])
def test_an_initiator_that_no_host_has_is_passed_over(
    sim: PowerMaxSimulator, array: StorageArray, pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The Go populator gave up on the first IQN that the array did not know."""
    first, second = pair
    sim.hosts[f"esx-1-{first.kind}"].initiators.remove(first.name)
    group = ensure(array, first, second)
    assert (group.id, group.initiators) == (f"esx-1-{first.kind}", (second,))
    assert first.name in caplog.text


def test_a_host_that_nobody_described_is_told_with_its_initiators(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    sim.log_in("20000025b5aa0099")
    with pytest.raises(
        StorageError, match="no host with any of 20000025b5aa0099, 20000025b5aa0098"
    ) as caught:
        array.plan_group(HOST, [fc("20000025b5aa0099"), fc("20000025b5aa0098")])
    assert "Create a host in Unisphere" in caught.value.hint
    assert HOST in caught.value.hint
    assert sim.bodies == []


def test_initiators_in_two_hosts_are_refused(sim: PowerMaxSimulator, array: StorageArray) -> None:
    sim.hosts["esx-1-fc"].initiators.remove(FC_2.name)
    sim.add_host("esx-1-b", [FC_2.name])
    with pytest.raises(StorageError, match="in several hosts: esx-1-fc, and another one") as caught:
        array.plan_group(HOST, [FC, FC_2])
    assert FC_2.name in caught.value.text


def test_initiators_are_asked_for_in_lower_case_and_by_a_filter(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    asked: list[Request] = []
    sim.server.before("GET", sim.path("initiator"), asked.append, times=9)
    ensure(array, FC, FC_2)
    assert asked[0].query == {"in_a_host": "true", "initiator_hba": FC.name}
    assert [request.path.rsplit("/", 1)[1] for request in asked] == ["initiator", f"FA-1D:4:{FC.name}"]


def test_an_initiator_that_was_not_asked_for_leads_to_no_host(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """As from a Unisphere that does not know the filter."""
    neighbour = PORTS[InitiatorKind.FC].neighbour
    listed = {"initiatorId": [f"FA-1D:4:{neighbour.name}", f"FA-1D:4:{FC.name}"]}
    sim.server.before("GET", sim.path("initiator"), lambda _: Reply(200, listed))
    assert ensure(array, FC).id == "esx-1-fc"


def test_a_host_that_is_listed_without_the_initiator_that_led_to_it_is_not_used(
    sim: PowerMaxSimulator, array: StorageArray
) -> None:
    sim.server.before("GET", sim.path("host/"), lambda _: Reply(200, {"hostId": "esx-1-fc"}))
    with pytest.raises(StorageError, match="lists it without"):
        array.plan_group(HOST, [FC])


# Mapping


def test_a_storage_group_is_made_then_filled_then_shown(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    name, device = own(volume), volume.handle[-5:]
    array.map(array.find_lun(volume), ensure(array, FC, FC_2))
    (_, _, made), (_, _, filled), (_, _, shown) = sim.bodies
    assert changes(sim) == [
        ("POST", "storagegroup"),
        ("PUT", f"storagegroup/{name}"),
        ("POST", "maskingview"),
    ]
    assert made == {
        "storageGroupId": name,
        "srpId": "None",
        "emulation": "FBA",
        "executionOption": "SYNCHRONOUS",
    }
    listed = {"volumeId": [device], "remoteSymmSGInfoParam": {}}
    assert filled["editStorageGroupActionParam"] == {
        "expandStorageGroupParam": {"addSpecificVolumeParam": listed}
    }
    assert shown["hostOrHostGroupSelection"] == {"useExistingHostParam": {"hostId": "esx-1-fc"}}
    assert shown["portGroupSelection"] == {"useExistingPortGroupParam": {"portGroupId": FC_PORTS}}
    assert shown["storageGroupSelection"] == {"useExistingStorageGroupParam": {"storageGroupId": name}}


def test_the_volume_stays_in_the_groups_of_the_csi_driver(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    assert sim.groups_of(lun.id) == [CSI_GROUP, own(volume)]
    unmap(lab, array, lun)
    assert sim.groups_of(lun.id) == [CSI_GROUP]
    assert not any(CSI_GROUP in path for _, path, _ in sim.bodies)


def test_it_is_taken_away_in_the_order_that_the_array_wants(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    name, lun = own(volume), array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    sim.bodies.clear()
    unmap(lab, array, lun)
    assert changes(sim) == [
        ("DELETE", f"maskingview/{name}"),
        ("PUT", f"storagegroup/{name}"),
        ("DELETE", f"storagegroup/{name}"),
    ]
    assert sim.bodies[1][2]["editStorageGroupActionParam"] == {
        "removeVolumeParam": {"volumeId": [lun.id], "remoteSymmSGInfoParam": {}}
    }


def test_two_disks_of_a_host_share_nothing(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    first, second = lab.add_volume(), lab.add_volume()
    luns = [array.find_lun(volume) for volume in (first, second)]
    for lun in luns:
        array.map(lun, ensure(array, FC))
    assert set(sim.views) == {own(first), own(second)}
    unmap(lab, array, luns[0])
    assert set(sim.views) == {own(second)}
    assert sim.storage_groups[own(second)].volumes == [luns[1].id]


@pytest.mark.parametrize(
    "message", ["Storage group cannot be found", "A device is already masked within a view"]
)
def test_what_will_not_heal_is_tried_once_and_leaves_nothing_after_the_undo(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray, message: str
) -> None:
    """HTTP 500 all the same: the Go populator tried for minutes, and left group and volume behind."""
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)
    sim.server.before("POST", sim.path("maskingview"), error(500, message), times=99)
    with pytest.raises(Refused, match=message):
        array.map(lun, ensure(array, FC))
    assert count(lab, "POST", "maskingview") == 1
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_host_that_is_gone_by_then_is_told_at_once(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, FC)
    sim.remove_host("esx-1-fc")
    with pytest.raises(Refused, match="Host esx-1-fc cannot be found"):
        array.map(lun, group)
    assert count(lab, "POST", "maskingview") == 1


@pytest.mark.parametrize(
    ("method", "part"), [("POST", "storagegroup"), ("PUT", "storagegroup"), ("POST", "maskingview")]
)
def test_an_array_that_is_busy_is_waited_for(
    lab: PowerMaxLab, sim: PowerMaxSimulator, method: str, part: str
) -> None:
    volume, clock = lab.add_volume(), QuickClock()
    array = connect(lab, clock)
    sim.server.before(method, sim.path(part), error(500, IN_PROGRESS), times=4)
    run(lab, array, volume)
    assert count(lab, method, part) >= 5
    assert clock.waited >= 7


def test_an_array_that_stays_busy_ends_the_run_in_bounded_time(
    lab: PowerMaxLab, sim: PowerMaxSimulator
) -> None:
    volume, clock = lab.add_volume(), QuickClock()
    state, array = lab.state(), connect(lab, clock)
    lun, group = array.find_lun(volume), ensure(array, FC)
    sim.server.before("POST", sim.path("maskingview"), error(500, IN_PROGRESS), times=999)
    with pytest.raises(Refused, match="in progress"):
        array.map(lun, group)
    assert 60 < clock.waited < 180
    unmap(lab, array, lun)
    assert lab.state() == state


def test_any_other_error_of_the_server_may_pass(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    sim.server.before("POST", sim.path("maskingview"), error(500, "Internal Server Error"), times=2)
    run(lab, array, volume)
    assert count(lab, "POST", "maskingview") == 3


def test_a_view_whose_answer_was_lost_is_found(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The Go populator had no name for it then, and never took it away."""
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)

    def lose(request: Request) -> Reply:
        sim._respond(request)
        return Reply(502, b"<html>Bad Gateway</html>")

    sim.server.before("POST", sim.path("maskingview"), lose)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.name, mapping.ours) == (own(volume), True)
    assert count(lab, "POST", "maskingview") == 1
    unmap(lab, array, lun)
    assert lab.state() == state


@pytest.mark.parametrize("left", ["group", "filled", "shown"])
def test_what_a_dead_run_left_is_used_as_far_as_it_came(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray, left: str
) -> None:
    volume = lab.add_volume()
    state, name, lun = lab.state(), own(volume), array.find_lun(volume)
    sim.add_storage_group(name)
    if left != "group":
        sim.add_to_group(name, [lun.id])
    if left == "shown":
        sim.add_view(name, "esx-1-fc", FC_PORTS, name)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.name, mapping.ours, mapping.host) == (name, True, HOST)
    assert seen(lab, FC) == {lun.device: mapping.lun_id}
    assert len(sim.bodies) == {"group": 3, "filled": 1, "shown": 0}[left]
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_view_of_ours_for_another_host_object_is_made_anew(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The host's initiators were put into another object since; or it is another vCenter's host of that number."""
    volume = lab.add_volume()
    state, name, lun = lab.state(), own(volume), array.find_lun(volume)
    sim.add_storage_group(name)
    sim.add_to_group(name, [lun.id])
    sim.add_view(name, "esx-5-fc", FC_PORTS, name)
    mapping = array.map(lun, ensure(array, FC))
    assert sim.views[name].host == "esx-1-fc"
    assert seen(lab, FC) == {lun.device: mapping.lun_id}
    assert seen(lab, PORTS[InitiatorKind.FC].neighbour) == {}
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_volume_that_comes_into_the_group_between_look_and_map_is_no_obstacle(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """By a job of a dead run, which went on; the array refuses it a second time."""
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, FC)
    array.mappings_of(lun)
    sim.add_storage_group(own(volume))
    sim.add_to_group(own(volume), [lun.id])
    mapping = array.map(lun, group)
    assert seen(lab, FC) == {lun.device: mapping.lun_id}
    assert count(lab, "POST", "maskingview") == 1


def test_a_conflict_that_cannot_be_seen_is_no_success(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """To the Go populator 409 was success for every call."""
    lun = array.find_lun(lab.add_volume())
    sim.server.before("POST", sim.path("maskingview"), error(409, "is already in use"), times=99)
    with pytest.raises(Refused, match="409"):
        array.map(lun, ensure(array, FC))


def test_a_view_that_the_host_has_by_other_ports_is_used_and_not_doubled(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The array would let us: it refuses only what is seen twice by the same port."""
    volume = lab.add_volume()
    sim.add_port_group("other-fc", "SCSI_FC", ["FA-3D:5"])
    sim.add_storage_group("admins")
    sim.add_to_group("admins", [lab.volume(volume).device])
    sim.add_view("admins", "esx-1-fc", "other-fc", "admins")
    state, lun = lab.state(), array.find_lun(volume)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.name, mapping.ours) == ("admins", False)
    unmap(lab, array, lun, array.mappings_of(lun))
    assert lab.state() == state


def test_a_view_that_comes_between_look_and_map_is_used(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The array refuses ours then: "already masked within a view"."""
    volume = lab.add_volume()
    lun, group = array.find_lun(volume), ensure(array, FC)
    array.mappings_of(lun)

    def admin(_: Request) -> None:
        sim.add_storage_group("admins")
        sim.add_to_group("admins", [lun.id])
        sim.add_view("admins", "esx-1-fc", FC_PORTS, "admins")

    sim.server.before("POST", sim.path("maskingview"), admin)
    mapping = array.map(lun, group)
    assert (mapping.group.name, mapping.ours) == ("admins", False)
    unmap(lab, array, lun)
    assert set(sim.views) == {"admins"}
    assert sim.groups_of(lun.id) == [CSI_GROUP, "admins"]


def test_who_sees_a_volume_by_a_group_of_hosts_is_known(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    sim.add_host_group("cluster", ["esx-1-fc", "esx-5-fc"])
    sim.add_storage_group("shared")
    sim.add_to_group("shared", [lab.volume(volume).device])
    view = sim.add_view("shared", "cluster", FC_PORTS, "shared", of_hosts=True)
    lun = array.find_lun(volume)
    for settled_after in (0, 9):  # from its paths, and where there are none yet
        view.settled_after = settled_after
        (mapping,) = array.mappings_of(lun)
        assert mapping.initiators == {FC, FC_2, PORTS[InitiatorKind.FC].neighbour}
        assert (mapping.group.name, mapping.ours, mapping.host) == ("shared", False, None)
    state = lab.state()
    assert array.map(lun, ensure(array, FC)).group.name == "shared"
    assert lab.state() == state


def test_a_volume_that_is_seen_by_way_of_a_group_above_its_own_is_found(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    sim.add_storage_group("parent").children.append(CSI_GROUP)
    sim.add_view("parent", "esx-5-fc", FC_PORTS, "parent")
    (mapping,) = array.mappings_of(array.find_lun(volume))
    assert mapping.group.name == "parent"
    assert mapping.initiators == {PORTS[InitiatorKind.FC].neighbour}


def test_a_storage_group_that_goes_while_it_is_asked_for_is_asked_for_again(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """What is not there any more cannot have shown the volume; what is there may not be passed over."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    sim.server.before("GET", sim.path("storagegroup/"), error(404, "Could not find Storage Group"))
    sim.add_view("csi-mv-worker", "esx-5-fc", FC_PORTS, CSI_GROUP)
    assert [mapping.group.name for mapping in array.mappings_of(lun)] == ["csi-mv-worker"]


def test_a_view_that_is_called_like_its_host_is_not_taken_for_it(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The volume's Lease has the id of the host object that a dead run was about to map to."""
    volume = lab.add_volume()
    sim.add_storage_group("esx-1-fc")
    sim.add_to_group("esx-1-fc", [lab.volume(volume).device])
    sim.add_view("esx-1-fc", "esx-1-fc", FC_PORTS, "esx-1-fc")
    (mapping,) = array.mappings_of(array.find_lun(volume))
    assert mapping.group.name == ensure(array, FC).id == "esx-1-fc"
    assert mapping.group.id != ensure(array, FC).id


def test_a_host_object_with_initiators_of_the_other_protocol_is_told_with_the_setting(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    sim.hosts["esx-1-fc"].initiators.append("iqn.1998-01.com.vmware:other")
    with pytest.raises(Refused, match="protocol of initiator iqn") as caught:
        array.map(array.find_lun(lab.add_volume()), ensure(array, FC))
    assert "POWERMAX_PORT_GROUP_NAME" in caught.value.hint
    assert count(lab, "POST", "maskingview") == 1


# LUN ids


def test_a_lun_id_depends_on_the_volume_and_is_read_from_the_array(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """So one that was just given back does not become another volume's before the host has dropped the path."""
    ids = [run(lab, array, volume).lun_id for volume in (lab.add_volume(), lab.add_volume())]
    assert len(set(ids)) == 2
    assert [
        body["starting_lun_address"] for *_, body in sim.bodies if body and "maskingViewId" in body
    ] == ids


def test_a_lun_id_in_use_is_passed_over(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    first, second = lab.add_volume(), lab.add_volume()
    lun = array.find_lun(first)
    array.map(lun, ensure(array, FC))
    sim.views[own(first)].lun_ids[lun.id] = 1 + int(second.handle[-5:], 16) % 399
    mapping = array.map(array.find_lun(second), ensure(array, FC))
    assert mapping.lun_id == 2 + int(second.handle[-5:], 16) % 399


@pytest.mark.parametrize("refused", ["Unrecognized field starting_lun_address", "The LUN address is in use"])
def test_where_our_lun_id_is_refused_the_array_chooses(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray, refused: str
) -> None:
    volume = lab.add_volume()

    def refuse(request: Request) -> Reply | None:
        return Reply(400, {"message": refused}) if "starting_lun_address" in request.body else None

    sim.server.before("POST", sim.path("maskingview"), refuse, times=2)
    assert run(lab, array, volume).lun_id == 1


def test_a_lun_id_that_hosts_do_not_see_is_refused(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)
    sim.takes_lun_ids, sim.first_lun_id = False, 1024
    with pytest.raises(StorageError, match="LUN id 1024"):
        array.map(lun, ensure(array, FC))
    unmap(lab, array, lun)
    assert lab.state() == state


def test_of_lun_ids_that_differ_by_path_the_highest_counts(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """By ports whose low addresses are taken; ESXi would not see all paths."""
    lun = array.find_lun(lab.add_volume())
    rows = [
        {"volumeId": lun.id, "initiatorId": FC.name, "dir_port": port, "host_lun_address": address}
        for port, address in (("FA-1D:4", "0001"), ("FA-2D:4", "0400"))
    ]
    name = f"xcopy-hostsystem-{HOST}-{lun.id}"
    sim.server.before(
        "GET",
        sim.path(f"maskingview/{name}/connections"),
        lambda _: Reply(200, {"maskingViewConnection": rows}),
        times=9,
    )
    with pytest.raises(StorageError, match="LUN id 1024"):
        array.map(lun, ensure(array, FC))


def test_the_lun_id_is_waited_for(lab: PowerMaxLab, sim: PowerMaxSimulator) -> None:
    volume, clock = lab.add_volume(), QuickClock()
    array = connect(lab, clock)
    sim.settling = 3
    lun = array.find_lun(volume)
    mapping = array.map(lun, ensure(array, FC, FC_2))
    assert seen(lab, FC) == {lun.device: mapping.lun_id}
    assert 0 < clock.waited < 10


def test_where_the_array_shows_no_path_the_mapping_has_no_lun_id(
    lab: PowerMaxLab, sim: PowerMaxSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The host will say whether it sees the LUN."""
    volume, clock = lab.add_volume(), QuickClock()
    array = connect(lab, clock)
    sim.settling = 99
    lun = array.find_lun(volume)
    mapping = array.map(lun, ensure(array, FC, FC_2))
    assert (mapping.lun_id, mapping.ours) == (None, True)
    assert mapping.initiators == {FC, FC_2}
    assert clock.waited < 30
    assert "no path" in caplog.text


# What the Go populator left


def leave(sim: PowerMaxSimulator, device: str, host: str, base: str = "xcopy-0a1b2c3d") -> None:
    """Leave what the Go populator does when it is killed."""
    sim.add_storage_group(f"{base}-SG")
    sim.add_to_group(f"{base}-SG", [device])
    sim.add_view(base, host, FC_PORTS, f"{base}-SG")


def test_what_the_go_populator_left_for_the_host_is_used_and_taken_away(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)
    leave(sim, lun.id, "esx-1-fc")
    (before,) = array.mappings_of(lun)
    assert (before.ours, before.host) == (True, None)
    assert before.initiators == {FC, FC_2}
    assert array.map(lun, ensure(array, FC)).group.id == before.group.id
    unmap(lab, array, lun)
    assert lab.state() == state


def test_what_it_left_for_another_host_stays(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """A copy may be running there, which the story looks for."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    leave(sim, lun.id, "esx-5-fc")
    state = lab.state()
    assert [(mapping.ours, mapping.host) for mapping in array.mappings_of(lun)] == [(True, None)]
    array.map(lun, ensure(array, FC))
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_view_of_its_kind_that_another_host_is_in_stays(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The other host may be copying by it."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    sim.add_host_group("both", ["esx-1-fc", "esx-5-fc"])
    sim.add_storage_group("xcopy-0a1b2c3d-SG")
    sim.add_to_group("xcopy-0a1b2c3d-SG", [lun.id])
    sim.add_view("xcopy-0a1b2c3d", "both", FC_PORTS, "xcopy-0a1b2c3d-SG", of_hosts=True)
    state = lab.state()
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_view_of_its_kind_with_a_storage_group_of_another_name_stays(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The Go populator names both after each other, and the group may be somebody's for other views, too."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    sim.add_storage_group("esx-cluster-SG")
    sim.add_to_group("esx-cluster-SG", [lun.id])
    sim.add_view("xcopy-0a1b2c3d", "esx-1-fc", FC_PORTS, "esx-cluster-SG")
    state = lab.state()
    unmap(lab, array, lun)
    assert lab.state() == state


# Taking away


@pytest.mark.parametrize("status", [500, 503])
def test_a_view_that_cannot_be_deleted_keeps_its_group(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray, status: int
) -> None:
    """And the next try can: the Go populator had forgotten its name by then."""
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    mapped = lab.state()
    sim.server.before("DELETE", sim.path("maskingview"), error(status, "out of resources"), times=99)
    with pytest.raises(Refused, match="out of resources"):
        unmap(lab, array, lun)
    assert lab.state() == mapped
    assert len(sim.bodies) == 3
    sim.server._steps.clear()
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_volume_that_left_the_group_already_is_no_obstacle(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)
    sim.add_storage_group(own(volume))
    for refusal in (None, error(500, "The device is not in the storage group")):
        if refusal:
            sim.server.before("PUT", sim.path("storagegroup"), refusal, times=9)
        unmap(lab, array, lun)
        assert lab.state() == state


def test_a_group_that_is_said_to_be_gone_and_is_not_is_deleted_all_the_same(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    state, lun = lab.state(), array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    sim.server.before("DELETE", sim.path("storagegroup"), error(404, "Could not find Storage Group"))
    unmap(lab, array, lun)
    assert lab.state() == state


def test_somebody_elses_volume_in_our_group_keeps_it(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume, other = lab.add_volume(), lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    sim.add_to_group(own(volume), [other.handle[-5:]])
    with pytest.raises(Refused, match="still has members"):
        unmap(lab, array, lun)
    assert sim.groups_of(lun.id) == [CSI_GROUP]
    assert sim.views == {}


# Jobs


def test_what_becomes_a_job_is_waited_for(lab: PowerMaxLab, sim: PowerMaxSimulator) -> None:
    """Asked to answer when it is done, Unisphere may answer before all the same."""
    sim.jobs_always = True
    volume, clock = lab.add_volume(), QuickClock()
    state, array = lab.state(), connect(lab, clock)
    run(lab, array, volume)
    assert lab.state() == state
    assert {job.status for job in sim.jobs.values()} == {"SUCCEEDED"}
    assert len(sim.jobs) == 6
    assert count(lab, "GET", f"/system/symmetrix/{sim.id}/job/") >= 6


def test_a_job_that_fails_is_the_calls_failure(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    state, lun, group = lab.state(), array.find_lun(volume), ensure(array, FC)
    sim.jobs_always = True
    sim.remove_host("esx-1-fc")
    with pytest.raises(Refused, match=r"Host esx-1-fc cannot be found \(job \d+, failed\)"):
        array.map(lun, group)
    assert count(lab, "POST", "maskingview") == 1
    sim.add_host("esx-1-fc", [FC.name, FC_2.name])
    unmap(lab, array, lun)
    assert lab.state() == state


def test_what_is_there_already_is_no_failure_of_a_job_either(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    sim.add_storage_group(own(volume))
    sim.jobs_always = True
    run(lab, array, volume)
    (failed,) = (job.result for job in sim.jobs.values() if job.status == "FAILED")
    assert failed.startswith("The storage group name")


def test_a_job_that_never_ends_is_given_up(lab: PowerMaxLab, sim: PowerMaxSimulator) -> None:
    clock = QuickClock()
    array = connect(lab, clock)
    lun, group = array.find_lun(lab.add_volume()), ensure(array, FC)
    running = {"jobId": "7", "status": "RUNNING"}
    sim.server.before("POST", sim.path("storagegroup"), lambda _: Reply(202, running), times=99)
    path = f"/univmax/restapi/100/system/symmetrix/{sim.id}/job/7"
    sim.server.before("GET", path, lambda _: Reply(200, running), times=9999)
    with pytest.raises(StorageError, match="job 7 is not done"):
        array.map(lun, group)
    assert clock.waited < 900


def test_told_to_stop_a_job_is_seen_to_its_end(lab: PowerMaxLab, sim: PowerMaxSimulator) -> None:
    """It goes on by itself, and would be done behind the undo."""
    volume, clock = lab.add_volume(), QuickClock()
    state, array = lab.state(), connect(lab, clock)
    lun, group = array.find_lun(volume), ensure(array, FC)
    sim.jobs_always = True
    path = f"/univmax/restapi/100/system/symmetrix/{sim.id}/job/"
    sim.server.before("GET", path, lambda _: clock.stop())
    with pytest.raises(Cancelled):
        array.map(lun, group)
    assert [job.status for job in sim.jobs.values()] == ["SUCCEEDED"]
    with clock.grace(24):
        unmap(lab, array, lun)
    assert lab.state() == state


def test_a_job_is_asked_for_again_where_the_server_fails(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    sim.jobs_always = True
    path = f"/univmax/restapi/100/system/symmetrix/{sim.id}/job/"
    sim.server.before("GET", path, error(503, "Service Unavailable"), times=2)
    run(lab, array, lab.add_volume())
    assert len(sim.jobs) == 6


# Many at once


class FastClock(QuickClock):
    """A hundred times as fast as others."""

    def wait(self, seconds: float) -> None:
        with self.blocking():
            time.sleep(seconds / 100)
            self.waited += seconds * 99 / 100


def test_twenty_populators_of_one_host_on_an_array_that_does_one_thing_at_a_time(
    lab: PowerMaxLab, sim: PowerMaxSimulator
) -> None:
    volumes = [lab.add_volume() for _ in range(20)]
    state = lab.state()
    sim.change_seconds = 0.002

    def populate(volume: Volume) -> None:
        array = connect(lab, FastClock())
        lun = array.find_lun(volume)
        array.mappings_of(lun)
        mapping = array.map(lun, ensure(array, FC, FC_2))
        assert seen(lab, FC)[lun.device] == mapping.lun_id
        unmap(lab, array, lun)

    at_once(populate, volumes)
    assert count(lab, "POST", "maskingview") > len(volumes), "the array was never busy"
    assert lab.state() == state


def test_a_lun_of_five_thousand_in_one_storage_group_is_not_looked_for_there(
    lab: PowerMaxLab, sim: PowerMaxSimulator, array: StorageArray
) -> None:
    """The volume knows its groups; to list theirs would be pages and pages."""
    volumes = [lab.add_volume(512) for _ in range(1500)]
    run(lab, array, volumes[-1])
    assert not [path for _, path in lab.calls if path.endswith("/volume") or "Iterator" in path]
