"""What every driver of an array that copies by itself promises, whatever fails; see `populator.storage.copies`.

The bytes are real: the source's are compared, and so is what each volume was written to.
"""

from functools import partial
from typing import cast

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun, StorageArray, Volume
from populator.storage.copies import Backing, CannotCopy, Copy, CopyingArray, device_of
from populator.storage.registry import VENDORS
from tests.contract.storage.conftest import Front
from tests.contract.storage.hosts import HOST, PORTS, ensure, know_hosts
from tests.lab.arrays import CopyingLab, connect, copying, start
from tests.lab.arrays.rack import Rack
from tests.lab.disks import MIB, noise
from tests.lab.faults import FAULTS, nth
from tests.lab.lies import LIES
from tests.lab.san import LunFile
from vsphere.model import DiskKind

AT_ONCE = {"pureFlashArray"}
"""vendors whose copies are complete when they are begun: there is none to look at or to end"""
PAIRS = [(name, kind) for name, vendor in sorted(VENDORS.items()) for kind in sorted(vendor.copies)]
KINDS = [pytest.param(pair, id="-".join(pair)) for pair in PAIRS]
TAKING_TIME = [pytest.param(pair, id="-".join(pair)) for pair in PAIRS if pair[0] not in AT_ONCE]
SIZE = 2 * MIB
SECONDS = 0.4
"""of a copy that is looked at while it is under way"""
NOWHERE = {
    DiskKind.VVOL: (
        "rfc4122.00000000-0000-4000-8000-00000000dead",
        "rfc4122.",
        "rfc4122.' or name='*",
        "nonsense",
    ),
    DiskKind.RDM: ("naa.600a098038313954492458313032502d", f"naa.{'f' * 32}"),
}
"""backings of no volume here: another array's, and what is no id at all"""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[str, DiskKind]:
    """A vendor, and a kind of disk that its arrays copy."""
    chosen: tuple[str, DiskKind] = request.param
    return chosen


@pytest.fixture
def lab(kind: tuple[str, DiskKind], rack: Rack) -> CopyingLab:
    array_lab = rack.add(partial(start, kind[0]))
    know_hosts(array_lab)
    return copying(array_lab)


class World:
    """A disk with noise on it, an empty volume for it, and a bystander that nobody may touch."""

    def __init__(self, lab: CopyingLab, kind: DiskKind, size: int = SIZE) -> None:
        self.lab = lab
        raw = lab.backings.vvol if kind == DiskKind.VVOL else lab.backings.rdm
        self.backing = Backing(kind, raw.lower() if kind == DiskKind.VVOL else device_of(raw))
        self.source = lab.san.lun(lab.add_source(raw, SIZE))
        self.volume: Volume = lab.add_volume(size)
        self.bystander = lab.san.lun(lab.device(lab.add_volume(SIZE)))
        self.bytes = noise(7, 0, SIZE)
        self.source.path.write_bytes(self.bytes)
        self.state = lab.state()

    @property
    def target(self) -> LunFile:
        return self.lab.san.lun(self.lab.device(self.volume))

    @property
    def copied(self) -> bool:
        return self.target.read(0, SIZE) == self.bytes

    def check_untouched(self) -> None:
        """Raise where anything but the target was written to, or the array is not as found."""
        assert self.source.read(0, self.source.size) == self.bytes
        assert (self.source.bytes_written, self.bystander.bytes_written) == (0, 0)
        assert self.lab.state() == self.state


@pytest.fixture
def world(lab: CopyingLab, kind: tuple[str, DiskKind]) -> World:
    return World(lab, kind[1])


def driver(lab: CopyingLab) -> CopyingArray:
    return cast("CopyingArray", connect(lab))


def found(array: CopyingArray, world: World) -> tuple[Lun, Lun]:
    return array.find_source(world.backing), array.find_lun(world.volume)


def follow(array: CopyingArray, copy: Copy) -> list[int]:
    """Wait for a copy's end, and return what was reported meanwhile."""
    percents = []
    while not (progress := array.progress(copy)).complete:
        percents.append(progress.percent)
    return [*percents, progress.percent]


def test_the_source_is_found_by_what_vsphere_calls_it(world: World) -> None:
    source = driver(world.lab).find_source(world.backing)
    assert (source.device, source.size) == (world.source.naa, SIZE)


def test_what_is_not_on_this_array_for_certain_is_not_copied(
    lab: CopyingLab, kind: tuple[str, DiskKind]
) -> None:
    for backing in NOWHERE[kind[1]]:
        with pytest.raises(CannotCopy):
            driver(lab).find_source(Backing(kind[1], backing))


def test_all_bytes_are_copied_and_nothing_else_is_written_to(world: World) -> None:
    world.lab.copy_seconds = SECONDS
    array = driver(world.lab)
    source, target = found(array, world)
    percents = follow(array, array.begin_copy(source, target))
    assert world.copied
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert array.find_lun(world.volume) == target
    assert list(array.copies_onto(target)) == []
    assert world.lab.copies == 0
    world.check_untouched()
    array.close()
    assert world.lab.sessions == 0


def test_a_larger_volume_keeps_its_size_or_is_not_copied_onto(
    lab: CopyingLab, kind: tuple[str, DiskKind]
) -> None:
    world = World(lab, kind[1], size=2 * SIZE)
    world.target.write(SIZE, b"behind")
    array = driver(lab)
    source, target = found(array, world)
    try:
        follow(array, array.begin_copy(source, target))
    except CannotCopy:
        assert world.target.read(0, SIZE) == bytes(SIZE)
    else:
        assert world.copied
    assert array.find_lun(world.volume) == target
    assert world.target.size == 2 * SIZE
    world.check_untouched()


@pytest.mark.parametrize("kind", TAKING_TIME, indirect=True)
def test_a_copy_is_listed_while_it_is_under_way_and_can_be_ended(world: World) -> None:
    world.lab.copy_seconds = 30.0
    array = driver(world.lab)
    source, target = found(array, world)
    copy = array.begin_copy(source, target)
    assert [(c.source, c.target) for c in array.copies_onto(target)] == [(source.id, target.id)]
    for _ in range(2):
        array.end_copy(copy)
        written = world.target.bytes_written
        assert list(array.copies_onto(target)) == []
        assert world.lab.copies == 0
        assert world.target.bytes_written == written < SIZE
    world.check_untouched()
    world.lab.copy_seconds = 0.0
    follow(array, array.begin_copy(source, target))
    assert world.copied


def test_what_is_begun_twice_is_one_copy(world: World) -> None:
    world.lab.copy_seconds = SECONDS
    array = driver(world.lab)
    source, target = found(array, world)
    first, second = array.begin_copy(source, target), array.begin_copy(source, target)
    assert first == second
    assert len(array.copies_onto(target)) == (world.lab.vendor not in AT_ONCE)
    follow(array, second)
    assert world.copied
    assert world.lab.copies == 0


@pytest.mark.parametrize("kind", TAKING_TIME, indirect=True)
def test_a_copy_that_fails_is_told_and_leaves_nothing_on_the_array(world: World) -> None:
    world.lab.copy_seconds = 0.1
    world.lab.san.set_fault(world.target.naa, failing_from=SIZE // 2)
    array = driver(world.lab)
    source, target = found(array, world)
    copy = array.begin_copy(source, target)
    with pytest.raises(StorageError) as caught:
        follow(array, copy)
    assert caught.value.hint
    array.end_copy(copy)
    assert list(array.copies_onto(target)) == []
    assert world.lab.copies == 0
    world.check_untouched()


def test_who_may_only_read_copies_nothing(world: World) -> None:
    reader = world.lab.reader
    array = cast(
        "CopyingArray",
        connect(world.lab, username=reader.username, password=reader.password, token=reader.token),
    )
    source, target = found(array, world)
    with pytest.raises(StorageError) as caught:
        array.begin_copy(source, target)
    assert "role" in caught.value.hint
    assert world.target.bytes_written == 0
    world.check_untouched()


def test_a_volume_that_a_host_sees_is_shown_as_mapped(world: World) -> None:
    """By which the story knows that it must not be overwritten."""
    array = driver(world.lab)
    ports = PORTS[max(VENDORS[world.lab.vendor].initiators)]
    lun = array.find_lun(world.volume)
    assert array.mappings_of(lun) == ()
    array.map(lun, ensure(array, *ports.own))
    assert len(array.mappings_of(lun)) == 1
    array.unmap(lun, HOST, frozenset(ports.own), [])


def attempt(array: CopyingArray, world: World) -> bool:
    """Copy as a run does, which ends its copy where anything fails; return whether it was said to be complete."""
    source, target = found(array, world)
    try:
        follow(array, array.begin_copy(source, target))
    except StorageError:
        for copy in array.copies_onto(target):
            array.end_copy(copy)
        return False
    return array.find_lun(world.volume) == target


@pytest.fixture
def calls(front: Front, world: World) -> int:
    """How many calls a copy takes that nothing breaks."""
    world.lab.copy_seconds = 0.0
    array = cast("CopyingArray", front.connect())
    assert attempt(array, world)
    array.close()
    return front.calls()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_survived_at_every_call(
    front: Front, world: World, calls: int, fault: str
) -> None:
    for number in range(1, calls + 1):
        world.target.write(0, bytes(SIZE))
        front.ledger.reset(nth(number, fault))
        array = cast("CopyingArray", front.connect(0.5 if fault == "hang" else 30.0))
        assert attempt(array, world), f"call {number}"
        array.close()
        assert world.copied, f"call {number}"
        assert world.lab.copies == 0, f"call {number}"
        world.check_untouched()
        front.lab.expire_sessions()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_makes_no_false_success(front: Front, world: World, calls: int, lie: str) -> None:
    for number in range(1, calls + 1):
        world.target.write(0, bytes(SIZE))
        front.ledger.reset(nth(number, lie))
        array = cast("CopyingArray", front.connect())
        try:
            complete = attempt(array, world)
        except StorageError:
            complete = False
        array.close()
        assert world.copied or not complete, f"call {number}"
        front.ledger.reset()
        later = cast(
            "CopyingArray", front.connect()
        )  # as the next run, or who is told that a copy may be running
        target = later.find_lun(world.volume)
        for copy in later.copies_onto(target):
            later.end_copy(copy)
        later.close()
        assert world.lab.copies == 0, f"call {number}"
        world.check_untouched()
        front.lab.expire_sessions()


def test_a_session_that_expires_is_renewed_at_every_call(front: Front, world: World, calls: int) -> None:
    for number in range(1, calls + 1):
        world.target.write(0, bytes(SIZE))
        front.ledger.reset(
            lambda call, number=number: front.lab.expire_sessions() if call.number == number else None  # type: ignore[misc]
        )
        array = cast("CopyingArray", front.connect())
        assert attempt(array, world), f"call {number}"
        array.close()
        assert world.copied, f"call {number}"
        assert front.lab.sessions == 0, f"call {number}"


def test_the_array_is_asked_in_few_calls(front: Front, world: World) -> None:
    array: StorageArray = front.connect()
    array.info()
    before = front.calls()
    copier = cast("CopyingArray", array)
    source, target = found(copier, world)
    copy = copier.begin_copy(source, target)
    copier.progress(copy)
    print(world.lab.vendor, *(call.label for call in front.ledger.calls[before:]), sep="\n")
    assert front.calls() - before <= 12
