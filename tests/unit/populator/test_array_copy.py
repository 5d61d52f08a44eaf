"""What the story of a copy by the array refuses, and how it follows one; with an array of a few lines, handed in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import pytest

from populator.clock import Clock
from populator.errors import Cancelled, StorageError, VolumeError
from populator.report.page import Page
from populator.report.run import Report
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.copies import Backing, CannotCopy, Copy, Progress
from populator.stories import array_copy
from populator.writer import Mapped
from vsphere.errors import CopyMayBeRunning
from vsphere.model import DiskKind, Initiator, Link, SourceDisk

MIB = 1 << 20
SOURCE = Lun("7", "source", "naa.60002ac0000000000000000000000007", MIB)
TARGET = Lun("8", "target", "naa.60002ac0000000000000000000000008", MIB)
OURS, THEIRS = Copy("task 1", "7", "8"), Copy("task 2", "9", "8")
DISK = SourceDisk(
    (Link("[ds] vm/vm.vmdk", "datastore-1", DiskKind.RDM, SOURCE.device, encrypted=False, extents=None),),
    MIB,
    "vm-1",
    "host-1",
    ("datastore-1",),
)


class Leap(Clock):
    """A clock on which pauses pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0

    def now(self) -> float:
        return super().now() + self.leapt

    def wait(self, seconds: float) -> None:
        self.check()
        self.leapt += seconds


@dataclass
class Array:
    """An array with two LUNs. `steps` are the looks at the copy to come: how far it is, or what goes wrong."""

    source: Lun = SOURCE
    target: Lun = TARGET
    after: Lun | None = None
    """what the target is once the copy is complete"""
    mappings: list[Mapping] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    steps: list[Progress | StorageError | Cancelled] = field(default_factory=list)
    begin: StorageError | None = None
    end: StorageError | None = None
    beside: list[Copy] = field(default_factory=list)
    """copies that others begin at the same moment"""
    ended: list[Copy] = field(default_factory=list)

    def info(self) -> ArrayInfo:
        return ArrayInfo("Lab", "Array")

    def find_lun(self, volume: Volume) -> Lun:
        return self.target

    def find_device(self, device: str) -> str:
        return self.source.name

    def own_groups(self) -> tuple[OwnGroup, ...]:
        return ()

    def find_source(self, backing: Backing) -> Lun:
        return self.source

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        return tuple(self.mappings)

    def copies_onto(self, target: Lun) -> Sequence[Copy]:
        return list(self.copies)

    def begin_copy(self, source: Lun, target: Lun) -> Copy:
        assert (source, target) == (self.source, self.target)
        self.copies += [OURS, *self.beside]
        if self.begin:
            raise self.begin
        return OURS

    def progress(self, copy: Copy) -> Progress:
        assert copy == OURS
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if not isinstance(step, Progress):
            raise step
        if step.complete:
            self.copies.remove(OURS)
            self.target = self.after or self.target
        return step

    def end_copy(self, copy: Copy) -> None:
        if self.end:
            raise self.end
        self.ended.append(copy)
        self.copies.remove(copy)

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        raise NotImplementedError

    def ensure_group(self, plan: GroupPlan) -> Group:
        raise NotImplementedError

    def map(self, lun: Lun, group: Group) -> Mapping:
        raise NotImplementedError

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[Mapping]
    ) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Right:
    """The right to write, as long as `problem` is not there; what was done with it, in order."""

    problem: VolumeError | None = None
    done: list[str] = field(default_factory=list)
    mapped: Mapped | None = None
    copying: str = ""
    predecessor: str = ""

    def note(self, **facts: str) -> None:
        """Keep nothing: the story alone is tested."""

    def will_copy(self, source: str) -> None:
        self.copying = source
        self.done.append(f"will copy {source}")

    def copy_ended(self) -> None:
        self.copying = ""
        self.done.append("copy ended")

    def will_map(self, group: str, host: str) -> None:
        raise NotImplementedError

    def unmapped(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        self.done.append("check")
        if self.problem:
            raise self.problem

    def confirm(self) -> None:
        self.done.append("confirm")

    def succeeded(self, disk: str) -> None:
        raise NotImplementedError


class Run:
    """One run of the story on such an array."""

    def __init__(self, array: Array, right: Right | None = None, disk: SourceDisk = DISK) -> None:
        self.array, self.right = array, right or Right()
        clock = Leap()
        self.report = Report(Page("uid", "lab", "rdm"), clock)
        job = array_copy.Job(disk, Volume("pv-1", "csi.example", "handle"))
        self.error: Exception | None = None
        try:
            array_copy.populate(job, self.right, array, self.report, clock)
        except Exception as error:  # noqa: BLE001 - looked at by each test
            self.error = error


def done(*percents: int) -> list[Progress | StorageError | Cancelled]:
    return [*(Progress(percent, complete=False) for percent in percents), Progress(100, complete=True)]


def test_a_copy_is_noted_before_it_is_begun_and_followed_to_its_end() -> None:
    run = Run(Array(steps=done(0, 10, 60)))
    assert run.error is None
    assert run.right.done == ["will copy 7", "check", "confirm", "copy ended"]
    assert run.array.ended == []
    assert run.report.page.percent == 100


@pytest.mark.parametrize(
    ("array", "family", "said"),
    [
        (Array(source=TARGET), StorageError, "own LUN"),
        (Array(source=replace(SOURCE, size=MIB - 512)), CannotCopy, "bytes"),
        (Array(source=replace(SOURCE, size=MIB + 512)), CannotCopy, "bytes"),
        (Array(target=replace(TARGET, size=MIB - 512)), StorageError, "512 less than"),
        (Array(mappings=[Mapping(Group("1", "node-a"), 3, ours=False)]), CannotCopy, "mapped to node-a"),
        (Array(mappings=[Mapping(Group("1", "xcopy"), 3, ours=True)]), CannotCopy, "mapped to xcopy"),
        (Array(copies=[THEIRS]), VolumeError, "task 2"),
        (Array(copies=[OURS]), VolumeError, "task 1"),
    ],
)
def test_nothing_is_begun_where_it_is_not_certain_to_be_right(
    array: Array, family: type[Exception], said: str
) -> None:
    run = Run(array)
    assert type(run.error) is family
    assert said in str(run.error)
    assert run.right.done == []
    assert array.ended == []


def test_who_has_lost_the_volume_begins_nothing() -> None:
    run = Run(Array(steps=done()), Right(VolumeError("lost")))
    assert isinstance(run.error, VolumeError)
    assert run.right.done == ["will copy 7", "check", "copy ended"]
    assert (run.array.copies, run.array.ended) == ([], [])


@pytest.mark.parametrize("wrong", [StorageError("failed on the array"), Cancelled()])
def test_what_ends_the_run_ends_the_copy_and_no_other(wrong: StorageError | Cancelled) -> None:
    array = Array(steps=[Progress(10, complete=False), wrong], beside=[THEIRS])
    run = Run(array)
    assert run.error is wrong
    assert array.ended == [OURS]
    assert run.right.copying == ""
    assert run.report.page.percent == 10


def test_a_copy_whose_begin_was_not_answered_is_ended() -> None:
    array = Array(begin=StorageError("no answer"))
    run = Run(array)
    assert str(run.error) == "no answer"
    assert array.ended == [OURS]


def test_a_copy_that_cannot_be_ended_may_be_running_and_stays_noted() -> None:
    array = Array(steps=[StorageError("failed")], end=StorageError("does not answer"))
    run = Run(array)
    assert isinstance(run.error, CopyMayBeRunning)
    assert "does not answer" in run.error.text
    assert run.right.copying == "7"


def test_an_array_that_refuses_to_copy_leaves_the_page_open_for_the_host() -> None:
    run = Run(Array(begin=CannotCopy("not this one")))
    assert isinstance(run.error, CannotCopy)
    assert run.report.copy_ended is None
    assert run.right.copying == ""


def test_a_volume_that_is_another_one_after_the_copy_is_no_success() -> None:
    run = Run(Array(steps=done(), after=replace(TARGET, device=SOURCE.device)))
    assert isinstance(run.error, StorageError)
    assert "after the copy" in run.error.text
    assert "DISABLE_RDM_METHOD" in run.error.hint
    assert run.report.page.percent < 100


def test_a_copy_that_stands_still_is_given_up_in_the_end() -> None:
    array = Array(steps=[Progress(3, complete=False)])
    run = Run(array)
    assert isinstance(run.error, StorageError)
    assert "stood at 3 %" in run.error.text
    assert array.ended == [OURS]


def test_a_copy_that_moves_on_is_waited_for_however_long_it_takes() -> None:
    looks = [percent for percent in range(100) for _ in range(300)]
    assert Run(Array(steps=done(*looks))).error is None
