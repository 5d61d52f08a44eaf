"""Tasks of the array: what it does for longer than one call. Pure."""

from dataclasses import dataclass
from enum import IntEnum

from populator.storage.answer import Answer


class TaskType(IntEnum):
    """What a task does, as far as volumes are overwritten by it."""

    COPY = 1
    RESYNC = 2
    PROMOTE = 4
    ONLINE_COPY = 18


class Status(IntEnum):
    """What has become of it."""

    DONE = 1
    ACTIVE = 2
    """or waiting: old versions run two copies at a time"""
    CANCELLED = 3
    FAILED = 4


@dataclass(frozen=True)
class Task:
    """One task."""

    id: int
    type: int
    name: str
    status: int
    percent: int
    """of an active one"""

    @property
    def copies(self) -> bool:
        """Return whether it is overwriting a volume, or waiting to."""
        return self.status == Status.ACTIVE and self.type in set(TaskType)


def read_task(row: Answer) -> Task:
    """Read a task."""
    return Task(
        id=row.number("id"),
        type=row.number("type"),
        name=row.optional("name"),
        status=row.number("status"),
        percent=percent(row),
    )


def percent(row: Answer) -> int:
    """Return how far a task is; 0 where it does not say.

    It names phases and the steps of the one it is in. An active task has not completed its last phase, whatever the
    count of those completed includes.
    """
    phases, steps = count(row, "totalPhases"), count(row, "totalSteps")
    if not phases or not steps:
        return 0
    before = min(count(row, "completedPhases"), phases - 1)
    return min(100 * (before * steps + count(row, "completedSteps")) // (phases * steps), 99)


def count(row: Answer, name: str) -> int:
    """Return a number that need not be there, as 0 where it is not."""
    value = row.find(name)
    return max(value, 0) if isinstance(value, int) else 0
