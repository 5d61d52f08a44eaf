"""Cinder's client of Unisphere and Dell's own against the simulated PowerMax, and crosswise with our driver."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from populator.storage.array import StorageArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc, iscsi
from tests.lab.arrays.powermax.lab import CSI_GROUP, FC_PORTS, PASSWORD, USER, PowerMaxLab
from tests.lab.arrays.powermax.server import PowerMaxSimulator
from tests.lab.arrays.rack import Rack
from tests.lab.pki import Pki

WWPN, WWPN_2, IQN = fc("20000025b5aa0001"), fc("20000025b5aa0002"), iscsi("iqn.1998-01.com.vmware:esx-1")
HOST, OURS = "host-1234", "xcopy-hostsystem-host-1234-{}"
CINDER, DELL = "powermax", "powermax_pyu4v"
UNISPHERES: dict[tuple[str, str], dict[str, Any]] = {
    (CINDER, "92"): {"version": "V9.2.4.8"},
    (CINDER, "100"): {"version": "V10.1.0.5", "offered": ["101", "100", "92"]},
    (DELL, "104"): {"version": "V10.4.0.1", "offered": ["104", "103", "102", "101", "100", "92"]},
}
"""by judge and the version of the API that it uses"""


@pytest.fixture(params=UNISPHERES, ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    judge, api = request.param
    return judge, api


@pytest.fixture
def lab(way: tuple[str, str], rack: Rack) -> PowerMaxLab:
    lab = rack.add(PowerMaxLab, **UNISPHERES[way])
    lab.know_host("esx-1", [WWPN, WWPN_2, IQN])
    return lab


def options(lab: PowerMaxLab, password: str = PASSWORD) -> dict[str, Any]:
    return {"username": USER, "password": password, "array": lab.simulator.id}


@pytest.fixture
def judge(way: tuple[str, str], lab: PowerMaxLab, pki: Pki) -> Iterator[Judge]:
    with Judge(way[0], lab.access.hostname, str(pki.ca_file), options(lab)) as client:
        yield client


@pytest.fixture
def array(lab: PowerMaxLab) -> StorageArray:
    return connect(lab)


def refused(judge: Judge, function: str, said: str, **arguments: Any) -> None:
    """Check that the array refuses something, and says so."""
    with pytest.raises(JudgeError, match=said) as caught:
        judge(function, **arguments)
    assert caught.value.kind in {"VolumeBackendAPIException", "ResourceNotFoundException"}


def test_wrong_credentials_let_nobody_in(way: tuple[str, str], lab: PowerMaxLab, pki: Pki) -> None:
    state = lab.state()
    with (
        pytest.raises(JudgeError),
        Judge(way[0], lab.access.hostname, str(pki.ca_file), options(lab, "x")) as judge,
    ):
        judge("create_group", name="g1")
    assert lab.state() == state


def test_it_verifies_the_certificate(way: tuple[str, str], lab: PowerMaxLab, tmp_path: Path) -> None:
    other = str(Pki(tmp_path / "other").ca_file)
    with pytest.raises(JudgeError), Judge(way[0], lab.access.hostname, other, options(lab)) as judge:
        judge("arrays")
    assert lab.calls == []


def test_what_there_is(way: tuple[str, str], lab: PowerMaxLab, sim: PowerMaxSimulator, judge: Judge) -> None:
    assert judge("version") == [sim.version, way[1]]
    assert judge("arrays") == [sim.id]
    assert judge("microcode") == ("5978.441.441" if sim.older else "6079.175.0")
    made = lab.add_volume(3 << 20)
    volume = lab.volume(made)
    row = judge("volume", device=volume.device)
    assert (row["volumeId"], row["volume_identifier"], row["wwn"]) == (volume.device, volume.name, volume.wwn)
    assert judge("device", name=volume.name) == volume.device
    assert judge("groups_of", device=volume.device) == [CSI_GROUP]
    assert (judge("group", name=CSI_GROUP)["num_of_vols"], judge("views_of", group=CSI_GROUP)) == (1, [])
    ports = judge("port_group", name=FC_PORTS)["symmetrixPortKey"]
    assert [f"{port['directorId']}:{port['portId']}" for port in ports] == ["FA-1D:4", "FA-2D:4"]
    ids = judge("initiators", in_a_host="true", initiator_hba=WWPN.name)
    assert ids == [f"FA-1D:4:{WWPN.name}", f"FA-2D:4:{WWPN.name}"]
    assert {judge("host_of", initiator=name) for name in ids} == {"esx-1-fc"}
    assert judge("host", name="esx-1-fc")["initiator"] == [WWPN.name, WWPN_2.name]
    (first, _) = judge("initiators", initiator_hba=IQN.name)
    assert judge("host_of", initiator=first) == "esx-1-iscsi"


def test_a_list_of_several_pages_is_whole(
    way: tuple[str, str], lab: PowerMaxLab, sim: PowerMaxSimulator, judge: Judge
) -> None:
    """Cinder deletes the iterator after that, Dell's client lets it expire."""
    sim.page_size = 100
    devices = {lab.volume(lab.add_volume(512)).device for _ in range(250)}
    assert set(judge("volumes", storageGroupId=CSI_GROUP)) == devices
    assert bool(sim.iterators) == (way[0] == DELL)


def test_map_and_unmap(way: tuple[str, str], lab: PowerMaxLab, sim: PowerMaxSimulator, judge: Judge) -> None:
    """Cinder asks for jobs; Dell's client says which LUN id it wants."""
    volume = lab.volume(lab.add_volume())
    state = lab.state()
    judge("create_group", name="g1")
    assert sim.storage_groups["g1"].srp == "none"
    judge("add", name="g1", device=volume.device)
    assert sim.storage_groups["g1"].volumes == [volume.device]
    first = {"first": 77} if way[0] == DELL else {}
    judge("create_view", name="v1", host="esx-1-fc", ports=FC_PORTS, group="g1", **first)
    number = judge("lun_id", view="v1", device=volume.device)
    assert sim.views["v1"].lun_ids == {volume.device: number}
    assert not first or number == 77
    assert lab.san.seen_by([WWPN.name]) == {volume.naa: number}
    row = judge("view", name="v1")
    assert (row["hostId"], row["portGroupId"], row["storageGroupId"]) == ("esx-1-fc", FC_PORTS, "g1")
    assert judge("views_of", group="g1") == ["v1"]
    assert judge("views", port_group_name=FC_PORTS, host_or_host_group_name="esx-1-fc") == ["v1"]
    judge("delete_view", name="v1")
    assert lab.san.seen_by([WWPN.name]) == {}
    judge("remove", name="g1", device=volume.device)
    assert sim.storage_groups["g1"].volumes == []
    judge("delete_group", name="g1")
    assert lab.state() == state
    assert {job.status for job in sim.jobs.values()} == ({"SUCCEEDED"} if way[0] == CINDER else set())


def test_a_host_is_made_and_deleted(lab: PowerMaxLab, sim: PowerMaxSimulator, judge: Judge) -> None:
    state = lab.state()
    judge("create_host", name="h2", initiators=["20000025b5aa0009"])
    assert sim.hosts["h2"].initiators == ["20000025b5aa0009"]
    refused(judge, "create_host", "in use|Error", name="h3", initiators=["20000025b5aa0009"])
    judge("delete_host", name="h2")
    assert lab.state() == state


def test_what_contradicts_the_rules_is_refused(
    way: tuple[str, str], lab: PowerMaxLab, sim: PowerMaxSimulator, judge: Judge
) -> None:
    volume = lab.volume(lab.add_volume())
    if way[0] == CINDER:
        refused(judge, "volume", "not found", device="FFFFF")
        assert judge("view", name="nobody") is None
    else:
        refused(judge, "volume", "404|not found|Could not find", device="FFFFF")
    sim.add_storage_group("g1")
    view = {"name": "v1", "host": "esx-1-fc", "ports": FC_PORTS, "group": "g1"}
    refused(judge, "create_view", "no volumes", **view)
    sim.add_to_group("g1", [volume.device])
    for wrong in ({"host": "nobody"}, {"ports": "nobody"}, {"group": "nobody"}):
        refused(judge, "create_view", "cannot be found", **{**view, **wrong})
    refused(judge, "create_view", "protocol", **{**view, "host": "esx-1-iscsi"})
    sim.add_view("v1", "esx-1-fc", FC_PORTS, "g1")
    refused(judge, "create_view", "already in use", **view)
    refused(judge, "create_view", "already masked", **{**view, "name": "v2"})
    refused(judge, "add", "already in", name="g1", device=volume.device)
    state = lab.state()
    if way[0] == DELL:  # Cinder tries thrice, with pauses
        refused(judge, "remove", "last volume", name="g1", device=volume.device)
        refused(judge, "delete_group", "masking view", name="g1")
    assert lab.state() == state


def test_what_our_driver_maps_the_judge_lists(lab: PowerMaxLab, judge: Judge, array: StorageArray) -> None:
    made = lab.add_volume()
    state, lun = lab.state(), array.find_lun(made)
    assert judge("device", name=lun.name) == lun.id
    row = judge("volume", device=lun.id)
    assert (f"naa.{row['wwn']}", row["cap_cyl"] * 1966080) == (lun.device, lun.size)
    mapping = array.map(lun, array.ensure_group(array.plan_group(HOST, [WWPN, WWPN_2])))
    name = OURS.format(lun.id)
    assert judge("groups_of", device=lun.id) == [CSI_GROUP, name]
    assert judge("views_of", group=name) == [name] == [mapping.group.name]
    assert judge("view", name=name)["hostId"] == "esx-1-fc"
    assert judge("lun_id", view=name, device=lun.id) == mapping.lun_id
    array.unmap(lun, HOST, {WWPN, WWPN_2}, ())
    assert judge("groups_of", device=lun.id) == [CSI_GROUP]
    assert lab.state() == state


@pytest.mark.parametrize("ours", [False, True])
def test_what_the_judge_maps_our_driver_finds_and_takes_away_if_it_is_ours(
    lab: PowerMaxLab, sim: PowerMaxSimulator, judge: Judge, array: StorageArray, ours: bool
) -> None:
    made = lab.add_volume()
    state, lun = lab.state(), array.find_lun(made)
    name = OURS.format(lun.id) if ours else "admins"
    judge("create_group", name=name)
    judge("add", name=name, device=lun.id)
    judge("create_view", name=name, host="esx-1-fc", ports=FC_PORTS, group=name)
    (mapping,) = before = array.mappings_of(lun)
    assert (mapping.group.name, mapping.ours, mapping.host) == (name, ours, HOST if ours else None)
    assert mapping.initiators == {WWPN, WWPN_2}
    assert mapping.lun_id == judge("lun_id", view=name, device=lun.id)
    mapped = lab.state()
    assert array.map(lun, array.ensure_group(array.plan_group(HOST, [WWPN]))).group.name == name
    array.unmap(lun, HOST, {WWPN, WWPN_2}, [mapping for mapping in before if not mapping.ours])
    assert lab.state() == (state if ours else mapped)
