"""Copies by a FlashArray: which volume is meant, what is refused, and the size that must stay."""

from typing import cast

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import Backing, CannotCopy, CopyingArray
from tests.lab.arrays import connect
from tests.lab.arrays.pure.flasharray import OUI, SimVolume
from tests.lab.arrays.pure.lab import PureLab
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply
from vsphere.model import DiskKind

MIB = 1 << 20
VOLUMES, TAGS = "/api/2.26/volumes", "/api/2.26/volumes/tags"
ID = "rfc4122.0b1c2d3e-1111-4aaa-8bbb-000000000009"
VVOL = Backing(DiskKind.VVOL, ID)


@pytest.fixture
def lab(rack: Rack) -> PureLab:
    return rack.add(PureLab)


@pytest.fixture
def array(lab: PureLab) -> CopyingArray:
    return cast("CopyingArray", connect(lab))


@pytest.fixture
def vvol(lab: PureLab) -> SimVolume:
    """A vVol of one MiB."""
    made = lab.simulator.add_volume("vvol-vm/Data-1", MIB)
    lab.simulator.tags[ID] = made.id
    return made


def target(lab: PureLab, array: CopyingArray, size: int = MIB) -> Lun:
    return array.find_lun(lab.add_volume(size))


def refused(array: CopyingArray, backing: Backing) -> str:
    with pytest.raises(CannotCopy) as caught:
        array.find_source(backing)
    return caught.value.text


@pytest.mark.parametrize("backing", [ID, f"vvol:{ID}"])
def test_a_vvol_is_found_by_its_tag(array: CopyingArray, vvol: SimVolume, backing: str) -> None:
    found = array.find_source(Backing(DiskKind.VVOL, backing))
    assert (found.id, found.name, found.device, found.size) == (vvol.id, vvol.name, vvol.naa, MIB)


def test_a_mapped_device_is_found_by_its_serial_number(array: CopyingArray, vvol: SimVolume) -> None:
    assert array.find_source(Backing(DiskKind.RDM, vvol.naa)).id == vvol.id


@pytest.mark.parametrize("digits", [f"{OUI}{'0' * 24}", f"60002ac{'0' * 25}", "0" * 32])
def test_a_device_that_is_not_here_is_refused(array: CopyingArray, digits: str) -> None:
    assert "no volumes" in refused(array, Backing(DiskKind.RDM, f"naa.{digits}")) or OUI not in digits


def test_a_tag_that_two_volumes_have_names_none(lab: PureLab, array: CopyingArray, vvol: SimVolume) -> None:
    rows = [
        {
            "key": "PURE_VVOL_ID",
            "value": ID,
            "namespace": "vasa-integration.purestorage.com",
            "resource": {"id": key, "name": "x"},
        }
        for key in (vvol.id, "another")
    ]
    lab.server.before("GET", TAGS, lambda _: Reply(200, {"items": rows}))
    assert "2 volumes" in refused(array, VVOL)


@pytest.mark.parametrize("others", [1, 2])
def test_a_list_of_other_volumes_than_were_asked_for_names_none(
    lab: PureLab, array: CopyingArray, vvol: SimVolume, others: int
) -> None:
    strangers = [lab.volume(lab.add_volume()) for _ in range(others)]
    rows = [lab.simulator.volume_record(each) for each in strangers]
    lab.server.before("GET", VOLUMES, lambda _: Reply(200, {"items": rows}))
    assert "no volumes" in refused(array, Backing(DiskKind.RDM, vvol.naa))
    twice = [lab.simulator.volume_record(vvol)] * 2
    lab.server.before("GET", VOLUMES, lambda _: Reply(200, {"items": twice}))
    assert "2 volumes" in refused(array, Backing(DiskKind.RDM, vvol.naa))


def test_a_volume_that_was_destroyed_is_no_source(lab: PureLab, array: CopyingArray, vvol: SimVolume) -> None:
    lab.simulator.destroy_volume(vvol.id)
    assert "no volumes" in refused(array, VVOL)
    assert "no volumes" in refused(array, Backing(DiskKind.RDM, vvol.naa))


def test_a_protocol_endpoint_is_no_source(array: CopyingArray, vvol: SimVolume) -> None:
    vvol.subtype = "protocol_endpoint"
    assert "protocol_endpoint" in refused(array, VVOL)


def test_the_call_names_the_source_only_as_what_is_read(
    lab: PureLab, array: CopyingArray, vvol: SimVolume
) -> None:
    seen: list[tuple[dict[str, str], object]] = []
    lab.server.before("POST", VOLUMES, lambda request: seen.append((request.query, request.body)))
    volume = target(lab, array)
    array.begin_copy(array.find_source(VVOL), volume)
    assert seen == [({"names": volume.name, "overwrite": "true"}, {"source": {"name": vvol.name}})]
    assert lab.simulator.copied == [(vvol.id, volume.id)]


@pytest.mark.parametrize("keeps_size", [False, True])
def test_the_volume_has_its_size_afterwards_whatever_purity_does(
    lab: PureLab, array: CopyingArray, vvol: SimVolume, keeps_size: bool
) -> None:
    lab.simulator.keeps_size = keeps_size
    volume = target(lab, array, 3 * MIB)
    array.begin_copy(array.find_source(VVOL), volume)
    assert lab.simulator.volumes[volume.id].size == lab.san.lun(volume.device).size == 3 * MIB
    assert lab.calls.count(("PATCH", VOLUMES)) == (not keeps_size)


def test_a_volume_that_was_given_another_ones_name_is_told(
    lab: PureLab, array: CopyingArray, vvol: SimVolume
) -> None:
    volume = target(lab, array)
    source = array.find_source(VVOL)
    lab.simulator.volumes[volume.id].name = "renamed"
    lab.simulator.add_volume(volume.name, MIB)
    with pytest.raises(StorageError, match="was given the name") as caught:
        array.begin_copy(source, volume)
    assert "recovered" in caught.value.hint
    assert lab.san.lun(vvol.naa).bytes_written == 0


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": [{}]}])
def test_an_answer_that_does_not_say_what_was_done_is_no_success(
    lab: PureLab, array: CopyingArray, vvol: SimVolume, body: dict[str, object]
) -> None:
    volume = target(lab, array)
    source = array.find_source(VVOL)
    lab.server.before("POST", VOLUMES, lambda _: Reply(200, body))
    with pytest.raises(StorageError):
        array.begin_copy(source, volume)


def test_what_the_array_refuses_is_told_in_its_words(
    lab: PureLab, array: CopyingArray, vvol: SimVolume
) -> None:
    volume = target(lab, array)
    source = array.find_source(VVOL)
    lab.simulator.volumes[volume.id].promotion = "demoted"
    with pytest.raises(StorageError, match="cannot be overwritten"):
        array.begin_copy(source, volume)
    assert lab.san.lun(volume.device).bytes_written == 0
