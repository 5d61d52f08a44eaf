"""Copies by the array itself: FlashCopy mappings, each made for one copy, and deleted at its end.

The source is only ever the source of a mapping: none is made onto it, and none started with `restore`. What has become
of a mapping is read from the list of them, not from codes, which differ by release: the same one says that a copy is
under way, and that it was never started. A mapping does not delete itself when it is complete: of one that is gone
nobody could tell why. It is deleted only while it is idle, so with that it is certain that the target stands alone; or
once it was stopped, which keeps the target offline until then.

Mappings are named to the array by their names: it gives the number of a deleted one to the next.
"""

from collections.abc import Sequence
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import Backing, CannotCopy, Copy, Progress
from populator.storage.failures import Refused, Unanswered
from populator.storage.repeat import Repeat
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import Client
from populator.storage.vendors.flashsystem.copy_start import CopyStart
from populator.storage.vendors.flashsystem.records import (
    COPYING,
    IDLE,
    PREPARED,
    PREPARING,
    STOPPED,
    STOPPING,
    SUSPENDED,
    FlashCopyRecord,
)

COMPLETE = Progress(100, complete=True)
ENDS_WITHIN, LOOK_AGAIN = 120.0, 0.5
"""seconds for what a mapping does at its end, and between two looks at it"""
BEGIN_AGAIN = "The PersistentVolume does not hold the whole disk. Start the migration again."


class Copies:
    """See the module."""

    def __init__(self, client: Client, repeat: Repeat, clock: Clock) -> None:
        self._client, self._repeat, self._clock = client, repeat, clock
        self._start = CopyStart(client)
        self._full: set[Copy] = set()
        """those that were seen at 100 %"""

    def find_source(self, backing: Backing) -> Lun:
        """Return the one volume of a UID."""
        uid = names.uid_of(backing.id)
        if not uid:
            raise CannotCopy(f"The {backing} is not of a FlashSystem, Storwize or SVC.")
        listed = self._repeat.read(partial(self._client.volumes, uid))
        if len(listed) != 1:
            raise CannotCopy(f"{self._client.name} has {len(listed) or 'no'} volumes for the {backing}.")
        if listed[0].status == "offline":
            raise CannotCopy(f"The volume {listed[0].name} of the {backing} is offline.")
        return Lun(listed[0].id, listed[0].name, names.device(uid), listed[0].size)

    def onto(self, target: Lun) -> Sequence[Copy]:
        """Return the mappings at work, whoever made them, and of ours those that are idle, too: they have to go."""
        listed = self._repeat.read(partial(self._client.flash_copies, target.id))
        return [record.copy for record in listed if record.status != IDLE or record.ours]

    def begin(self, source: Lun, target: Lun) -> Copy:
        """Make a mapping and start it."""
        if source.size != target.size:
            raise CannotCopy(
                f"FlashCopy needs volumes of equal size: {source.name} has {source.size} bytes, {target.name} "
                f"{target.size}."
            )
        copy = self._repeat.write(partial(self._start.run, source, target)).copy
        self._full.discard(copy)
        return copy

    def progress(self, copy: Copy) -> Progress:
        """Return how far it is, and delete the mapping when all is copied."""
        return self._repeat.write(partial(self._progress, copy))

    def end(self, copy: Copy) -> None:
        """Bring a mapping to its end and delete it, in as many steps as that takes."""
        deadline, refused_when = self._clock.now() + ENDS_WITHIN, ""
        while record := self._repeat.read(partial(self._client.flash_copy, copy)):
            failure = self._bring_to_end(record)
            late = self._clock.now() > deadline or self._clock.expired()
            if failure and (late or (_is_final(failure) and record.status == refused_when)):
                raise failure
            if late:
                raise StorageError(
                    f"The FlashCopy mapping {record.name} is still {record.status}, at {record.progress} %.",
                    "Others may be reading by its target: see lsfcmapdependentmaps.",
                )
            refused_when = record.status if failure else ""
            self._clock.wait(LOOK_AGAIN)

    def _progress(self, copy: Copy) -> Progress:
        record = self._client.flash_copy(copy)
        if record is None:
            return self._gone(copy)
        if record.status in {PREPARING, PREPARED}:
            return Progress(0, complete=False)
        if record.progress == 100 and record.status in {COPYING, STOPPING, IDLE}:
            self._full.add(copy)
        if record.progress == 100 and record.status == IDLE:
            self._start.delete(record)
            return COMPLETE
        if record.status in {COPYING, SUSPENDED} or (record.progress == 100 and record.status == STOPPING):
            return Progress(record.progress, complete=False)
        raise StorageError(
            f"The FlashCopy mapping {record.name} is {record.status} at {record.progress} %.",
            f"See the array's event log: a pool may be full or offline, or somebody stopped it. {BEGIN_AGAIN}",
        )

    def _gone(self, copy: Copy) -> Progress:
        """Return that it is complete, if all was copied when the mapping was last seen; raise if not."""
        if copy in self._full:
            return COMPLETE
        raise StorageError(
            f"{self._client.name} has no FlashCopy mapping {copy.id} from volume {copy.source} onto {copy.target} any "
            "more, and not all was copied when it was last seen.",
            f"Somebody deleted it. {BEGIN_AGAIN}",
        )

    def _bring_to_end(self, record: FlashCopyRecord) -> Refused | Unanswered | None:
        """Do what comes next, and return why that failed: most often since the status has changed."""
        try:
            if record.status in {IDLE, STOPPED}:
                self._client.delete_flash_copy(record.name, stopped=record.status == STOPPED)
            elif record.status in {PREPARED, COPYING, SUSPENDED}:
                self._client.stop_flash_copy(record.name)
        except (Refused, Unanswered) as failure:
            return failure
        return None


def _is_final(failure: Refused | Unanswered) -> bool:
    """Return whether the array would refuse it again, if nothing has changed."""
    return isinstance(failure, Refused) and not failure.passing
