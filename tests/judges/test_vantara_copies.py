"""Copies inside a VSP by Hitachi's driver in Cinder, and by its Ansible modules: each sees what our driver has
made, and the other way round; what one of them ends is gone for all.
"""

from collections.abc import Iterator
from typing import cast

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import Backing, Copy, CopyingArray
from tests.judges import Judge
from tests.judges.test_vantara import judge, lab, modules
from tests.lab.arrays import connect
from tests.lab.arrays.vantara.lab import MAPPED, VantaraLab
from tests.lab.arrays.vantara.server import VantaraSimulator
from tests.lab.disks import MIB, noise
from tests.lab.pki import Pki
from tests.lab.san import LunFile
from vsphere.model import DiskKind

__all__ = ["judge", "lab"]
SIZE = 2 * MIB
LONG = 120.0


class World:
    """A mapped device, a volume for it, and our driver."""

    def __init__(self, lab: VantaraLab) -> None:
        self.source_file = lab.san.lun(lab.add_source(lab.backings.rdm, SIZE))
        self.source_file.path.write_bytes(noise(5, 0, SIZE))
        self.array = cast("CopyingArray", connect(lab))
        self.source: Lun = self.array.find_source(Backing(DiskKind.RDM, lab.backings.rdm))
        self.target: Lun = self.array.find_lun(lab.add_volume(SIZE))
        self.file: LunFile = lab.san.lun(self.target.device)

    @property
    def ids(self) -> dict[str, int]:
        return {"source": int(self.source.id), "target": int(self.target.id)}

    @property
    def copied(self) -> bool:
        return self.file.read(0, SIZE) == noise(5, 0, SIZE)


@pytest.fixture
def world(lab: VantaraLab) -> Iterator[World]:
    made = World(lab)
    yield made
    lab.simulator.pairs.clear()
    made.array.close()


def test_its_clone_is_one_as_ours(sim: VantaraSimulator, judge: Judge, world: World) -> None:
    """With the same request, but for names and speed."""
    judge("clone", **world.ids)
    assert world.copied
    world.file.write(0, bytes(SIZE))
    sim.pairs.clear()
    world.array.begin_copy(world.source, world.target)
    assert world.copied
    theirs, ours = sim.pairs.made
    for name in ("pvol", "svol", "mu", "pool", "clone", "cascade", "force"):
        assert getattr(theirs, name) == getattr(ours, name), name


def test_its_clone_is_left_alone_by_ours(
    lab: VantaraLab, sim: VantaraSimulator, judge: Judge, world: World
) -> None:
    lab.copy_seconds = LONG
    judge("clone", **world.ids)
    (listed,) = world.array.copies_onto(world.target)
    assert listed == Copy(f"{MAPPED},3", world.source.id, world.target.id)
    with pytest.raises(StorageError, match="No run has made"):
        world.array.end_copy(listed)
    judge("end_pair", **world.ids)
    assert world.array.copies_onto(world.target) == ()
    assert sim.pairs.all == []


def test_our_copy_is_what_it_sees_and_can_end(
    lab: VantaraLab, sim: VantaraSimulator, judge: Judge, world: World
) -> None:
    lab.copy_seconds = LONG
    copy = world.array.begin_copy(world.source, world.target)
    (row,) = judge("pairs", svolLdevId=int(world.target.id))
    assert (row["snapshotId"], row["status"], row["isClone"]) == (copy.id, "PSUP", True)
    assert "HTI" in judge("ldev", ldev=MAPPED)["attributes"]
    world.array.end_copy(copy)
    assert judge("pairs", svolLdevId=int(world.target.id)) == []
    assert "HTI" not in judge("ldev", ldev=MAPPED)["attributes"]
    world.array.begin_copy(world.source, world.target)
    judge("end_pair", **world.ids)
    assert sim.pairs.all == []
    assert world.array.copies_onto(world.target) == ()


def test_what_it_restores_is_written_to_the_source(sim: VantaraSimulator, judge: Judge, world: World) -> None:
    """The call that ours never makes."""
    judge("snapshot", **world.ids)
    assert sim.pairs.made[0].status == "PSUS"
    judge("restore", **world.ids)
    assert world.source_file.bytes_written == SIZE


def test_the_modules_see_and_end_our_copy(
    lab: VantaraLab, sim: VantaraSimulator, pki: Pki, world: World
) -> None:
    lab.copy_seconds = LONG
    copy = world.array.begin_copy(world.source, world.target)
    with modules(sim, pki) as ansible:
        (row,) = ansible("pairs", ldev=MAPPED)["snapshots"]
        assert (row["primary_volume_id"], row["secondary_volume_id"]) == (MAPPED, int(world.target.id))
        assert (row["status"], row["is_cloned"]) == ("PSUP", True)
        ansible("end_pairs", group=sim.pairs.all[0].group)
    world.array.end_copy(copy)
    assert sim.pairs.all == []
