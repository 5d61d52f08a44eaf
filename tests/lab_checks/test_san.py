"""The lab's SAN, its disks and its vmkfstools do what they say."""

import threading
import time
from pathlib import Path

import pytest

from tests.lab import disks, vmkfstools
from tests.lab.san import San

MIB = 1 << 20
NAA = "naa.600a098038303053455d463045727654"
IQN = "iqn.1998-01.com.vmware:esx-1"
WWPN = "20000025b5aa0001"


@pytest.fixture
def san(tmp_path: Path) -> San:
    return San(tmp_path / "luns")


def copy(source: Path, san: San, pace: vmkfstools.Pace | None = None) -> list[int]:
    percents: list[int] = []
    extent = vmkfstools.parse_descriptor(source, "/vmfs/volumes/ds/disk.vmdk")
    vmkfstools.copy(
        extent, san.lun(NAA), pace or vmkfstools.Pace(), threading.Event(), percents.append, lambda: None
    )
    return percents


def test_an_initiator_sees_what_is_mapped_to_it_and_nothing_else(san: San) -> None:
    san.create_lun(NAA, MIB)
    san.map(NAA, {IQN}, 3, "igroup")
    assert san.seen_by([IQN, WWPN]) == {NAA: 3}
    assert san.seen_by([WWPN]) == {}
    san.unmap(NAA, "igroup")
    san.unmap(NAA, "igroup")
    assert san.seen_by([IQN]) == {}
    assert san.mappings(NAA) == {}


def test_who_watches_hears_of_every_way_to_lose_a_lun(san: San) -> None:
    lost: list[str] = []
    san.subscribe(lost.append)
    san.create_lun(NAA, MIB)
    san.map(NAA, {IQN, WWPN}, 0, "a")
    assert lost == []
    san.map(NAA, {IQN}, 0, "a")
    san.set_initiators("a", {WWPN})
    san.unmap(NAA, "a")
    san.map(NAA, {IQN}, 0, "b")
    san.delete_lun(NAA)
    assert lost == [NAA] * 4
    assert san.seen_by([IQN]) == {}


def test_luns_cost_no_space_until_written(san: San) -> None:
    lun = san.create_lun(NAA, 1 << 40)
    lun.zero(0, lun.size)
    assert lun.path.stat().st_blocks == 0
    lun.write(5 * MIB, b"x" * 4096)
    lun.zero(4 * MIB, 2 * MIB)
    assert lun.read(5 * MIB, 4096) == bytes(4096)
    assert lun.path.stat().st_blocks < 4096


def test_a_disk_arrives_byte_for_byte(san: San, tmp_path: Path) -> None:
    disk = disks.make_vmdk(tmp_path / "ds" / "vm a", "disk 1.vmdk", 3 * MIB + 512, content=7)
    lun = san.create_lun(NAA, 8 * MIB)
    assert copy(disk, san)[0] == 0
    assert copy(disk, san)[-1] == 100
    assert disks.same_bytes(disk, lun.path)
    assert len({disks.flat_of(disk).read_bytes()[n * MIB : (n + 1) * MIB] for n in range(3)}) == 3
    lun.write(2 * MIB, b"?")
    assert not disks.same_bytes(disk, lun.path)


def test_holes_of_the_disk_overwrite_old_bytes_with_zeros(san: San, tmp_path: Path) -> None:
    disk = disks.make_sparse_vmdk(tmp_path, "thin.vmdk", 4 * MIB, {2 * MIB: b"island"})
    lun = san.create_lun(NAA, 4 * MIB)
    lun.write(0, b"\xff" * 4 * MIB)
    copy(disk, san)
    assert disks.same_bytes(disk, lun.path)


def test_a_large_thin_disk_takes_little_time_and_tells_its_progress(san: San, tmp_path: Path) -> None:
    size = 64 << 30
    disk = disks.make_sparse_vmdk(tmp_path, "thin.vmdk", size, {0: b"first", size - 512: b"last"})
    lun = san.create_lun(NAA, size)
    began = time.monotonic()
    assert copy(disk, san) == list(range(101))
    assert time.monotonic() - began < 5
    assert lun.read(size - 512, 4) == b"last"
    assert lun.path.stat().st_blocks * 512 < MIB


@pytest.mark.parametrize("pace", [vmkfstools.Pace(rate=16 * MIB), vmkfstools.Pace(seconds=0.5)])
def test_a_paced_copy_takes_its_time_exactly(san: San, tmp_path: Path, pace: vmkfstools.Pace) -> None:
    disk = disks.make_vmdk(tmp_path, "disk.vmdk", 8 * MIB, content=1)
    san.create_lun(NAA, 8 * MIB)
    began = time.monotonic()
    copy(disk, san, pace)
    assert 0.5 <= time.monotonic() - began < 1.5  # within 1 % when nothing else runs on the machine


def test_a_full_or_failing_lun_fails_in_the_middle(san: San, tmp_path: Path) -> None:
    disk = disks.make_vmdk(tmp_path, "disk.vmdk", 4 * MIB, content=1)
    lun = san.create_lun(NAA, 4 * MIB)
    san.set_fault(NAA, full_from=2 * MIB + 512)
    with pytest.raises(vmkfstools.VmkfstoolsError, match="No space left on device"):
        copy(disk, san)
    assert lun.bytes_written == 2 * MIB + 512
    assert lun.read(2 * MIB + 512, 512) == bytes(512)
    san.set_fault(NAA, failing_from=0)
    with pytest.raises(vmkfstools.VmkfstoolsError, match="Input/output error"):
        copy(disk, san)
    san.set_fault(NAA)
    copy(disk, san)
    assert disks.same_bytes(disk, lun.path)


def test_a_lun_smaller_than_the_disk_is_refused_untouched(san: San, tmp_path: Path) -> None:
    disk = disks.make_vmdk(tmp_path, "disk.vmdk", 2 * MIB, content=1)
    lun = san.create_lun(NAA, 2 * MIB - 512)
    with pytest.raises(vmkfstools.VmkfstoolsError, match="smaller"):
        copy(disk, san)
    assert lun.bytes_written == 0


def test_sources_that_are_no_disks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.vmdk").write_text("hello")
    disk = disks.make_vmdk(tmp_path, "disk.vmdk", 512)
    with pytest.raises(vmkfstools.VmkfstoolsError, match=r"not a virtual disk \(15\)"):
        vmkfstools.parse_descriptor(tmp_path / "text.vmdk", "text.vmdk")
    disks.flat_of(disk).unlink()
    for missing in (disk, tmp_path / "none.vmdk"):
        with pytest.raises(vmkfstools.VmkfstoolsError, match=r"cannot find the file specified \(25\)"):
            vmkfstools.parse_descriptor(missing, missing.name)


def test_files_can_be_read_back_from_the_lun(san: San, tmp_path: Path) -> None:
    files = {"hello.txt": b"good day\n", "Größe & Co.bin": bytes(range(256)) * 100}
    disk = disks.make_filesystem_disk(tmp_path, "fs.vmdk", files, 4 * MIB, seed=3)
    lun = san.create_lun(NAA, 4 * MIB)
    copy(disk, san)
    assert disks.read_files(lun.path) == files
    assert disks.same_bytes(disk, lun.path)
    assert lun.read(4 * MIB - 16, 16) != bytes(16)


CHAIN_BASE, CHAIN_SIZE, GRAIN = 2 * MIB, 3 * MIB, disks.GRAIN


@pytest.fixture
def chain(tmp_path: Path) -> list[Path]:
    """A base and two deltas, the disk having grown after the first snapshot."""
    base = disks.make_vmdk(tmp_path / "ds", "disk.vmdk", CHAIN_BASE, b"b" * CHAIN_BASE)
    first = disks.make_delta(
        tmp_path / "ds", "disk-1.vmdk", base, CHAIN_SIZE, {0: b"1" * 2 * GRAIN, CHAIN_BASE: b"1" * GRAIN}
    )
    # Zeros that were written are data, and no hole.
    second = disks.make_delta(
        tmp_path / "ds", "disk-2.vmdk", first, CHAIN_SIZE, {GRAIN: b"2" * GRAIN, 4 * GRAIN: bytes(GRAIN)}
    )
    return [base, first, second]


def shown(*runs: tuple[bytes, int]) -> bytes:
    return b"".join(letter * length for letter, length in runs)


def test_a_copy_of_a_link_has_what_it_inherits(chain: list[Path], san: San, tmp_path: Path) -> None:
    grown = CHAIN_SIZE - CHAIN_BASE - GRAIN
    expected = [
        shown((b"b", CHAIN_BASE)),
        shown((b"1", 2 * GRAIN), (b"b", CHAIN_BASE - 2 * GRAIN), (b"1", GRAIN), (b"\0", grown)),
        shown(
            (b"1", GRAIN),
            (b"2", GRAIN),
            (b"b", 2 * GRAIN),
            (b"\0", GRAIN),
            (b"b", CHAIN_BASE - 5 * GRAIN),
            (b"1", GRAIN),
            (b"\0", grown),
        ),
    ]
    for link, content in zip(chain, expected, strict=True):
        lun = san.create_lun(NAA, CHAIN_SIZE)
        lun.write(0, b"x" * CHAIN_SIZE)
        copy(link, san)
        assert lun.read(0, len(content)) == content, link.name
        assert disks.shown_by(link, tmp_path) == content, "the judge of other tests agrees"
        san.delete_lun(NAA)


def test_a_parent_may_lie_on_another_datastore(chain: list[Path], san: San, tmp_path: Path) -> None:
    hint = "/vmfs/volumes/ds/disk-1.vmdk"
    clone = disks.make_delta(tmp_path / "other", "clone.vmdk", chain[1], CHAIN_SIZE, {}, hint)
    lun = san.create_lun(NAA, CHAIN_SIZE)
    extent = vmkfstools.parse_descriptor(
        clone, "/vmfs/volumes/other/clone.vmdk", lambda path: tmp_path / path.removeprefix("/vmfs/volumes/")
    )
    vmkfstools.copy(extent, lun, vmkfstools.Pace(), threading.Event(), lambda _: None, lambda: None)
    assert lun.read(0, CHAIN_SIZE) == disks.shown_by(chain[1], tmp_path) == disks.shown_by(clone, tmp_path)


@pytest.mark.parametrize("gone", ["descriptor", "extent"])
def test_a_chain_with_a_gap_cannot_be_opened(chain: list[Path], gone: str) -> None:
    (chain[0] if gone == "descriptor" else disks.flat_of(chain[0])).unlink()
    with pytest.raises(
        vmkfstools.VmkfstoolsError, match=r"parent of this virtual disk could not be opened \(23\)"
    ):
        vmkfstools.parse_descriptor(chain[2], "disk-2.vmdk")


def test_a_parent_that_has_changed_since_cannot_be_opened(chain: list[Path]) -> None:
    text = chain[1].read_text()
    chain[1].write_text(text.replace(f"CID={disks.cid(chain[1])}", "CID=12345678", 1))
    with pytest.raises(vmkfstools.VmkfstoolsError, match="has been modified since the child was created"):
        vmkfstools.parse_descriptor(chain[2], "disk-2.vmdk")
