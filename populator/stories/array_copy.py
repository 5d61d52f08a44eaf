"""The other story: the array copies a disk that is a volume of its own onto the PersistentVolume's, by itself.

No host is involved: no mapping, no rescan, no slot. The source is only ever read. The target has to be the
PersistentVolume's, large enough, seen by nobody, and not being copied onto by anybody. Where the array cannot do it,
`CannotCopy` is raised before anything is changed. Whatever ends the run early ends the array's copy, too; what could
not be ended is told by `CopyMayBeRunning`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from populator.clock import Clock
from populator.errors import StorageError, VolumeError
from populator.report.phase import Phase
from populator.report.run import Report
from populator.retry import FOLLOW
from populator.settings.names import BY_HOST
from populator.storage.array import Lun, Volume
from populator.storage.copies import Backing, CannotCopy, Copy, CopyingArray, backing_of
from populator.storage.failures import passing
from populator.stories.lun import find_lun
from populator.stories.parts import Writing
from populator.undo import AFTER_STOP, WITHIN
from vsphere.copy.polling import next_delay
from vsphere.errors import CopyMayBeRunning
from vsphere.model import CopyPhase, SourceDisk

log = logging.getLogger(__name__)

STALLED = 12 * 3600.0
"""seconds without a percent more after which a copy is given up: the largest disk (62 TB) has a percent in ten hours at
17 MB/s, and some arrays run two copies at a time while others wait"""
NO_PROTOCOL = "n/a"
"""on the metrics page: no host reaches the LUN"""


@dataclass(frozen=True)
class Job:
    """What goes where."""

    disk: SourceDisk
    volume: Volume


def populate(job: Job, writing: Writing, array: CopyingArray, report: Report, clock: Clock) -> None:
    """Have the array copy one disk onto the LUN behind one volume."""
    report.phase(Phase.FIND_LUN)
    lun = find_lun(job.disk, job.volume, array, report)
    source = find_source(backing_of(job.disk), job.disk, array, lun)
    check_unseen(array, lun)
    check_idle(array, lun)
    report.uses(NO_PROTOCOL, job.disk)

    report.phase(CopyPhase.CLONE)
    with report.copying(), ended_early(array, source, lun, writing, clock) as begin:
        writing.will_copy(source.id)
        writing.check()
        check_unseen(array, lun)
        follow(begin(), job.disk, array, report, clock)
        check_the_same(job, array, lun)
        writing.confirm()
    report.xcopy = "not needed: the array copied by itself"


def find_source(backing: Backing, disk: SourceDisk, array: CopyingArray, target: Lun) -> Lun:
    """Return the volume that the disk is, if it can be that, and fits."""
    source = array.find_source(backing)
    log.info("the disk is the array's volume %s, by its %s", source.name, backing)
    if source.id == target.id:
        raise StorageError(
            f"Disk {disk.path} is the PersistentVolume's own LUN {target.name}.",
            "Choose another PersistentVolumeClaim: nothing can be copied onto itself.",
        )
    if not disk.capacity <= source.size <= target.size:
        raise CannotCopy(
            f"The volume {source.name} has {source.size} bytes, disk {disk.path} {disk.capacity}, and LUN "
            f"{target.name} {target.size}."
        )
    return source


def check_unseen(array: CopyingArray, lun: Lun) -> None:
    """Raise where any host sees the LUN: it would see its bytes change."""
    if seers := sorted({mapping.group.name for mapping in array.mappings_of(lun)}):
        raise CannotCopy(
            f"LUN {lun.name} is mapped to {', '.join(seers)}, so the array does not overwrite it."
        )


def check_idle(array: CopyingArray, lun: Lun) -> None:
    """Raise where the array copies onto the LUN already, and not for a run of ours."""
    if copies := array.copies_onto(lun):
        raise VolumeError(
            f"The array copies onto LUN {lun.name} already, by {', '.join(copy.id for copy in copies)}.",
            "See who began it; start the migration again when it has come to its end.",
        )


@contextmanager
def ended_early(
    array: CopyingArray, source: Lun, lun: Lun, writing: Writing, clock: Clock
) -> Iterator[Callable[[], Copy]]:
    """Give what begins the copy, and end it where the block ends early, also one of which no answer has told."""
    begun = False

    def begin() -> Copy:
        nonlocal begun
        begun = True
        return array.begin_copy(source, lun)

    try:
        yield begin
    except BaseException as error:
        if begun:
            with clock.grace(AFTER_STOP, WITHIN):
                end_or_tell(array, source, lun, error)
        writing.copy_ended()
        raise
    writing.copy_ended()


def end_or_tell(array: CopyingArray, source: Lun, lun: Lun, error: BaseException) -> None:
    """End the copy; raise `CopyMayBeRunning` where that fails. `error` is why the run ends."""
    try:
        end_copies(array, source, lun)
    except Exception as failure:
        log.debug("the copy could not be ended", exc_info=True)
        raise CopyMayBeRunning(
            f"The array may still be copying {source.name} onto LUN {lun.name}, since it could not be ended: {failure}",
            "When the array shows no such copy any more, start the migration again with a new PersistentVolumeClaim. "
            "The source is only read.",
        ) from error


def end_copies(array: CopyingArray, source: Lun, lun: Lun) -> None:
    """End the copies of that source onto the LUN."""
    for copy in array.copies_onto(lun):
        if copy.source == source.id:
            array.end_copy(copy)
            log.warning(
                "the array's copy of %s onto %s was ended before it was complete", source.name, lun.name
            )


def follow(copy: Copy, disk: SourceDisk, array: CopyingArray, report: Report, clock: Clock) -> None:
    """Wait until a copy is complete, and report how far it is; an array that is away for a while is waited for."""
    began = moved = clock.now()
    percent, polls = -1, 0
    while not (progress := FOLLOW.run(lambda: array.progress(copy), passing, clock)).complete:
        report.percent(progress.percent)
        if progress.percent > percent:
            percent, moved = progress.percent, clock.now()
        elif clock.now() - moved > STALLED:
            raise StorageError(
                f"The array's copy {copy.id} has stood at {progress.percent} % for {STALLED / 3600:.0f} hours.",
                f"See on the array what keeps it. With {BY_HOST[disk.kind]}=true a host copies.",
            )
        polls += 1
        clock.wait(next_delay(clock.now() - began, progress.percent, polls))


def check_the_same(job: Job, array: CopyingArray, before: Lun) -> None:
    """Raise unless the volume's LUN is what it was, with all its bytes: nothing but those may have changed."""
    after = array.find_lun(job.volume)
    if after != before:
        raise StorageError(
            f"LUN {before.name} ({before.device}, {before.size} bytes) is {after.name} ({after.device}, {after.size} "
            "bytes) after the copy.",
            "Do not use the PersistentVolume. Start the migration again with a new PersistentVolumeClaim, with "
            f"{BY_HOST[job.disk.kind]}=true, and report this with the array's version.",
        )
