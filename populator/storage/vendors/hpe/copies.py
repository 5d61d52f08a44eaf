"""Copies by the array itself: physical copies, offline, onto the volume that is there.

The source stands in the path of one call, which only reads it; nothing is ever called that promotes a snapshot, since
that writes to its base. The target is tied to the source while the copy is under way, by which it is known whose copy
it is; when all is copied, the array makes it a base volume again, and it keeps its name, size and WWN.
"""

import logging
from collections.abc import Sequence
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import CannotCopy, Copy, Progress
from populator.storage.failures import Refused, passing
from populator.storage.repeat import Repeat
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.attempts import AGAIN, NO_RIGHT, Attempt, check_identity
from populator.storage.vendors.hpe.client import Client, CopyType
from populator.storage.vendors.hpe.looks import Look
from populator.storage.vendors.hpe.tasks import Status

log = logging.getLogger(__name__)

BADLY = {Status.CANCELLED: "was cancelled", Status.FAILED: "has failed"}
NEARLY, COMPLETE = Progress(99, complete=False), Progress(100, complete=True)


class Unsettled(StorageError):
    """The array has not come to the end yet of what it does."""


class Copies:
    """See the module."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._repeat = Repeat(clock)
        self._until_settled = Repeat(clock, lambda error: passing(error) or isinstance(error, Unsettled))
        self._names: dict[int | None, str] = {}
        """of the sources of this run, by the array's numbers for them"""
        self._begun: dict[str, str] = {}
        """source by target, of what this run has begun"""

    def onto(self, target: Lun) -> Sequence[Copy]:
        """Return the one copy that can be under way onto a volume; without an id where its task is not certain."""
        look = self._repeat.read(partial(self._look, target.name))
        check_identity(look.volume, target)
        return (self._copy(look),) if look.under_way else ()

    def begin(self, source: Lun, target: Lun) -> Copy:
        """Have the copy begun; a try after one whose answer was lost finds it, by both volumes."""
        attempt = Attempt(source, target)
        return self._repeat.write(partial(self._begin, attempt))

    def progress(self, copy: Copy) -> Progress:
        """Return how far the copy's task is; it is complete when the target is a base volume again."""
        try:
            task = self._repeat.read(partial(self._client.task, copy.id))
        except Refused as error:
            if error.status != 404:
                raise
            raise StorageError(
                f"{self._client.name} does not know the task {copy.id} any more, so it is not certain that all of "
                f"{copy.source} was copied onto {copy.target}.",
                AGAIN,
            ) from error
        if task.status == Status.ACTIVE:
            return Progress(task.percent, complete=False)
        if task.status == Status.DONE:
            return self._repeat.read(partial(self._when_done, copy))
        how = next((how for status, how in BADLY.items() if status == task.status), "is in no known state")
        raise StorageError(
            f"The task {copy.id} of {self._client.name}, a copy of {copy.source} onto {copy.target}, {how}.",
            f"`showtask -d {copy.id}` on the array tells why. {AGAIN}",
        )

    def end(self, copy: Copy) -> None:
        """Stop a copy, and wait until the array is done with it: a task that was cancelled may go on for a while."""
        self._until_settled.write(partial(self._end, copy))

    def _begin(self, attempt: Attempt) -> Copy:
        source, target = attempt.source, attempt.target
        look = self._look(target.name)
        check_identity(look.volume, target)
        if look.under_way:
            known = self._copy(look)
            self._check_ours(look, source)
            if known.id:
                return known
            self.end(known)  # without its task it could not be followed
            look = self._look(target.name)
        self._check(source, look)
        self._begun[target.id] = source.id
        task = attempt.start(self._client)
        if look.knows(task):
            raise StorageError(
                f"{self._client.name} says that the task {task} copies onto {target.name}, which was there before.",
                AGAIN,
            )
        return Copy(task, source.id, target.id)

    def _end(self, copy: Copy) -> None:
        look = self._look(copy.target)
        active, ours = look.active(copy.id), look.is_copy and self._source(look) == copy.source
        idle = not look.is_copy and not look.being_written
        if not active and (idle or (look.is_copy and not ours)):
            return
        try:
            self._stop(copy, active=active, ours=ours)
        except Refused as refusal:
            if refusal.code in NO_RIGHT:
                raise
            if not (active or look.being_written):
                log.warning("what is left of a failed copy stays on the array: %s", refusal)
                return
            refusal.passing = True  # it may have come to its end meanwhile
            raise
        raise Unsettled(
            f"{self._client.name} has not yet stopped copying {copy.source} onto {copy.target}.",
            "Look for it on the array: `showtask -active`.",
        )

    def _stop(self, copy: Copy, *, active: bool, ours: bool) -> None:
        """Stop the copy by its target, or by its task where the target is not tied, or cannot be stopped by."""
        try:
            if ours:
                self._client.stop_copy(copy.target)
                return
        except Refused as refusal:
            if not active or refusal.passing or refusal.code in NO_RIGHT:
                raise
        if active:
            self._client.cancel_task(copy.id)

    def _look(self, name: str) -> Look:
        volume = self._client.volume(name)
        if volume is None:
            raise StorageError(f"{self._client.name} has no volume {name} any more.", names.CSI_HINT)
        return Look(volume, tuple(self._client.tasks()))

    def _copy(self, look: Look) -> Copy:
        source = self._source(look) or self._begun.get(look.volume.name, "")
        return Copy(str(look.task.id) if look.task else "", source, look.volume.name)

    def _source(self, look: Look) -> str:
        """Return the name of what is copied onto a volume; empty where the array does not show it."""
        parent = look.volume.parent
        known = self._names.get(parent) if parent is not None else None
        return known or look.source

    def _check_ours(self, look: Look, source: Lun) -> None:
        if (known := self._source(look)) != source.id:
            raise StorageError(
                f"{self._client.name} copies {known or 'something else'} onto {look.volume.name} already.",
                "See who began that; start the migration again when it has come to its end.",
            )

    def _check(self, source: Lun, look: Look) -> None:
        """Raise where the array could not copy, or the names are not those of the two volumes any more."""
        target = look.volume
        volume = self._client.volume(source.name)
        if volume is None:
            raise CannotCopy(f"{self._client.name} has no volume {source.name} any more.")
        check_identity(volume, source)
        if look.is_copy and not look.failed:
            raise CannotCopy(f"{target.name} is kept as a physical copy of {target.copy_of}.")
        if not look.is_copy and target.copy_type != CopyType.BASE:
            raise CannotCopy(f"{target.name} is no base volume, so the array does not copy onto it.")
        if target.size < volume.size:
            raise CannotCopy(f"{target.name} has {target.size} bytes, and {source.name} {volume.size}.")
        self._names[volume.id] = source.id

    def _when_done(self, copy: Copy) -> Progress:
        """Return whether the target has come out of its copy, and depends on the source no longer."""
        look = self._look(copy.target)
        if look.failed:
            raise StorageError(
                f"The task {copy.id} of {self._client.name} is done, and the copy onto {copy.target} has failed.",
                f"`showvv -state {copy.target}` on the array tells more. {AGAIN}",
            )
        if look.being_written or look.volume.copy_type != CopyType.BASE:
            return NEARLY
        return COMPLETE
