"""Dell's Python SDK against the simulated PowerFlex gateway, in both generations, and crosswise with our driver."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from populator.storage.array import StorageArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, sdc
from tests.lab.arrays.powerflex.lab import PASSWORD, USER, PowerFlexLab
from tests.lab.arrays.powerflex.system import WRONG_GENERATION, SimVolume
from tests.lab.arrays.rack import Rack
from tests.lab.pki import Pki

GUID = "9e56672f-2f4b-4a42-bff4-88b6846fbfda"
ESX, WORKER = sdc(GUID), sdc("9e56672f-2f4b-4a42-bff4-88b6846fbfdb")
FIRST, SECOND = "PyPowerFlex.objects.gen1.volume", "PyPowerFlex.objects.gen2.volume"
VERSIONS = {
    "3.6": ("3.6", "3.6.700.103", FIRST),
    "4.5": ("4.5", "4.5.2100.105", FIRST),
    "5.1 of 4.5": ("5.1", "4.5.6000.162", FIRST),
    "5.0": ("5.0", "5.0.1000.1", SECOND),
}
FIRST_GENERATION = ["3.6", "4.5", "5.1 of 4.5"]


@pytest.fixture
def version(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "4.5"))


@pytest.fixture
def lab(version: str, rack: Rack) -> PowerFlexLab:
    lab = rack.add(PowerFlexLab, *VERSIONS[version][:2])
    lab.know_host("esx-1", [ESX])
    lab.simulator.add_sdc(WORKER.name, name="worker-7", os="Linux")
    return lab


@pytest.fixture
def judge(lab: PowerFlexLab, pki: Pki) -> Iterator[Judge]:
    with Judge(
        "powerflex", lab.access.hostname, str(pki.ca_file), {"username": USER, "password": PASSWORD}
    ) as client:
        yield client


@pytest.fixture
def volume(lab: PowerFlexLab) -> SimVolume:
    return lab.volume(lab.add_volume(3 << 20))


def maps(volume: SimVolume) -> set[str]:
    """Return the SDCs that a volume is mapped to, in the simulator's own state."""
    return set(volume.maps)


def code(judge: Judge, function: str, **arguments: Any) -> int:
    """Return the error code with which the array refuses something."""
    with pytest.raises(JudgeError) as caught:
        judge(function, **arguments)
    assert caught.value.kind in {"PowerFlexClientException", "PowerFlexFailQuerying"}
    return int(caught.value.text.split("'errorCode': ")[1].split("}")[0].split(",")[0])


def test_wrong_credentials_let_nobody_in(lab: PowerFlexLab, pki: Pki) -> None:
    with (
        pytest.raises(JudgeError, match="401"),
        Judge("powerflex", lab.access.hostname, str(pki.ca_file), {"username": USER, "password": "wrong"}),
    ):
        pass
    assert lab.sessions == 0


def test_it_verifies_the_certificate(lab: PowerFlexLab, tmp_path: Path) -> None:
    other = str(Pki(tmp_path / "other").ca_file)
    with (
        pytest.raises(JudgeError, match="CERTIFICATE_VERIFY_FAILED"),
        Judge("powerflex", lab.access.hostname, other, {"username": USER, "password": PASSWORD}),
    ):
        pass
    assert lab.calls == []


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_it_takes_the_generation_for_what_our_driver_does(
    lab: PowerFlexLab, judge: Judge, version: str
) -> None:
    assert judge("versions") == list(VERSIONS[version])
    volume = lab.add_volume()
    array = connect(lab)
    assert array.info().version == VERSIONS[version][1]
    array.map(array.find_lun(volume), array.ensure_group(array.plan_group("host-1", [ESX])))
    ((path, _),) = lab.simulator.bodies
    assert path.endswith("addMappedHost" if VERSIONS[version][2] == SECOND else "addMappedSdc")


def test_what_there_is(lab: PowerFlexLab, judge: Judge, volume: SimVolume) -> None:
    (system,) = judge("systems")
    assert (system["id"], system["name"]) == (lab.simulator.system.id, "lab-system")
    (host,) = judge("sdcs", sdcGuid=GUID.upper())
    assert (host["id"], host["osType"], host["mdmConnectionState"]) == (lab.sdc(ESX).id, "Esx", "Connected")
    assert {row["name"] for row in judge("sdcs")} == {"esx-1", "worker-7"}
    (row,) = judge("volumes", name=volume.name)
    assert (row["id"], row["sizeInKb"], row["mappedSdcInfo"]) == (volume.id, 3 << 10, None)
    assert judge("volume", volume=volume.id) == row


def test_a_list_is_whole_however_long(lab: PowerFlexLab, judge: Judge) -> None:
    """The gateway pages nothing, and the SDK asks for no pages."""
    names = {lab.volume(lab.add_volume(512)).name for _ in range(1200)}
    assert {row["name"] for row in judge("volumes")} == names


@pytest.mark.parametrize("by", ["sdc_id", "sdc_guid"])
@pytest.mark.parametrize("version", FIRST_GENERATION, indirect=True)
def test_map_and_unmap(lab: PowerFlexLab, judge: Judge, volume: SimVolume, by: str) -> None:
    host = lab.sdc(ESX)
    whom = {by: host.id if by == "sdc_id" else GUID}
    (row,) = judge("add", volume=volume.id, several=True, **whom)["mappedSdcInfo"]
    assert (row["sdcId"], row["sdcName"], row["accessMode"]) == (host.id, "esx-1", "ReadWrite")
    assert maps(volume) == {host.id}
    assert list(lab.san.seen_by([GUID])) == [volume.device]
    assert [item["id"] for item in judge("mapped_to", sdc=host.id)] == [volume.id]
    assert judge("remove", volume=volume.id, **whom)["mappedSdcInfo"] is None
    assert judge("mapped_to", sdc=host.id) == []
    assert maps(volume) == set()
    assert lab.san.seen_by([GUID]) == {}


@pytest.mark.parametrize("by", ["host_id", "guid"])
@pytest.mark.parametrize("version", ["5.0"], indirect=True)
def test_map_and_unmap_in_the_second_generation(
    lab: PowerFlexLab, judge: Judge, volume: SimVolume, by: str
) -> None:
    host = lab.sdc(ESX)
    whom = {by: host.id if by == "host_id" else GUID}
    judge("add", volume=volume.id, several=True, **whom)
    assert maps(volume) == {host.id}
    (row,) = judge("volume", volume=volume.id)["mappedSdcInfo"]
    assert row["sdcId"] == host.id
    judge("remove", volume=volume.id, **whom)
    assert maps(volume) == set()


@pytest.mark.parametrize(
    ("version", "mapped", "unmapped"), [("3.6", 81, 84), ("4.5", 4037, 4039)], indirect=["version"]
)
def test_twice_is_refused_by_the_codes_of_the_version(
    lab: PowerFlexLab, judge: Judge, volume: SimVolume, mapped: int, unmapped: int
) -> None:
    host = lab.sdc(ESX).id
    assert code(judge, "remove", volume=volume.id, sdc_id=host) == unmapped
    judge("add", volume=volume.id, several=True, sdc_id=host)
    assert code(judge, "add", volume=volume.id, several=True, sdc_id=host) == mapped
    assert maps(volume) == {host}
    judge("remove", volume=volume.id, sdc_id=host)
    assert code(judge, "remove", volume=volume.id, sdc_id=host) == unmapped


def test_a_second_host_is_let_in_where_that_is_asked_for(
    lab: PowerFlexLab, judge: Judge, volume: SimVolume
) -> None:
    esx, worker = lab.sdc(ESX).id, lab.sdc(WORKER).id
    judge("add", volume=volume.id, sdc_id=esx)
    for several in (None, False):
        code(judge, "add", volume=volume.id, several=several, sdc_id=worker)
    assert maps(volume) == {esx}
    judge("add", volume=volume.id, several=True, sdc_id=worker)
    assert maps(volume) == {esx, worker}
    judge("limit", volume=volume.id, sdc=worker, iops="500", bandwidth="102400")
    assert (volume.maps[worker].iops, volume.maps[worker].bandwidth) == (500, 100)
    judge("remove", volume=volume.id, all_sdcs=True)
    assert maps(volume) == set()


def test_what_is_unknown_is_refused(lab: PowerFlexLab, judge: Judge, volume: SimVolume) -> None:
    host, nobody = lab.sdc(ESX).id, "0123456789abcdef"
    assert code(judge, "volume", volume=nobody) == 79
    assert code(judge, "volume", volume="not-hex") == 0
    assert code(judge, "add", volume=nobody, sdc_id=host) == 79
    code(judge, "add", volume=volume.id, sdc_id=nobody)
    code(judge, "add", volume=volume.id, sdc_guid="00000000-0000-0000-0000-000000000000")
    code(judge, "mapped_to", sdc=nobody)
    assert maps(volume) == set()


def test_the_verbs_of_the_other_generation_are_refused(
    lab: PowerFlexLab, judge: Judge, volume: SimVolume
) -> None:
    """The judge has settled on its own before the system became another."""
    lab.simulator.api_version, lab.simulator.system.version = "5.0", "5.0.1000.1"
    for call in ("add", "remove"):
        assert code(judge, call, volume=volume.id, sdc_id=lab.sdc(ESX).id) == WRONG_GENERATION
    assert maps(volume) == set()


@pytest.fixture
def array(lab: PowerFlexLab) -> StorageArray:
    return connect(lab)


@pytest.mark.parametrize("version", VERSIONS, indirect=True)
def test_what_our_driver_maps_the_judge_lists_and_what_the_judge_maps_our_driver_takes_away(
    lab: PowerFlexLab, judge: Judge, array: StorageArray, version: str
) -> None:
    made = lab.add_volume()
    volume, host, worker = lab.volume(made), lab.sdc(ESX), lab.sdc(WORKER)
    (row,) = judge("volumes", name=made.attributes["Name"])
    lun = array.find_lun(made)
    assert (lun.id, lun.size) == (row["id"], row["sizeInKb"] << 10)
    (system,) = judge("systems")
    assert lun.device == f"eui.{system['id']}{row['id']}"

    array.map(lun, array.ensure_group(array.plan_group("host-1", [ESX])))
    assert [item["sdcId"] for item in judge("volume", volume=lun.id)["mappedSdcInfo"]] == [host.id]
    assert [item["id"] for item in judge("mapped_to", sdc=host.id)] == [lun.id]
    array.unmap(lun, "host-1", {ESX}, ())
    assert judge("volume", volume=lun.id)["mappedSdcInfo"] is None

    key = "host_id" if VERSIONS[version][2] == SECOND else "sdc_id"
    for mapped in (host, worker):
        judge("add", volume=lun.id, several=True, **{key: mapped.id})
    assert {m.group.id: m.initiators for m in array.mappings_of(lun)} == {host.id: {ESX}, worker.id: {WORKER}}
    array.unmap(lun, "host-1", {ESX}, ())
    assert [item["sdcId"] for item in judge("volume", volume=lun.id)["mappedSdcInfo"]] == [worker.id]
    assert maps(volume) == {worker.id}
