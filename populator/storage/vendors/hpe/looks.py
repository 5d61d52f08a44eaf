"""What the array shows of copies onto a volume: the volume, and the tasks. Pure.

A volume's states and ties are as the developer's guide has them; what a copy's task is named is written down nowhere.
"""

from dataclasses import dataclass

from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.client import CopyType, State, VolumeRecord
from populator.storage.vendors.hpe.tasks import Task

BEING_WRITTEN = {State.PROMOTING, State.COPY_TARGET, State.RESYNC_TARGET, State.IMPORTING}


@dataclass(frozen=True)
class Look:
    """What there is to see at one moment."""

    volume: VolumeRecord
    """the target"""
    tasks: tuple[Task, ...]
    """all of the array"""

    @property
    def being_written(self) -> bool:
        """Return whether the array is writing to the volume."""
        return bool(self.volume.states & BEING_WRITTEN)

    @property
    def is_copy(self) -> bool:
        """Return whether the volume is tied to another as its physical copy."""
        return self.volume.copy_type == CopyType.PHYSICAL

    @property
    def failed(self) -> bool:
        """Return whether the last copy onto the volume has failed, or was stopped."""
        return State.COPY_FAILED in self.volume.states

    @property
    def under_way(self) -> bool:
        """Return whether something is being copied onto the volume, waits to be, or has failed and left it tied.

        A physical copy that is not being written may be one that waits, or one whose snapshot somebody has saved. It
        can only be the former while a task is active.
        """
        tied = self.is_copy and (self.failed or any(task.copies for task in self.tasks))
        return self.being_written or tied or bool(self._named)

    @property
    def task(self) -> Task | None:
        """Return the task at work that names the volume; None where several do."""
        return self._named[0] if len(self._named) == 1 else None

    @property
    def source(self) -> str:
        """Return the name of what is being copied, by the volume's tie or else the task's name; empty where unknown."""
        if self.is_copy:
            return self.volume.copy_of
        named = names.volumes_in(self.task.name) if self.task else []
        others = [name for name in named if name != self.volume.name]
        return others[0] if len(others) == 1 else ""

    @property
    def _named(self) -> list[Task]:
        return [
            task for task in self.tasks if task.copies and self.volume.name in names.volumes_in(task.name)
        ]

    def active(self, task_id: str) -> bool:
        """Return whether a task is at work, or waiting to be."""
        return any(task.copies and str(task.id) == task_id for task in self.tasks)

    def knows(self, task_id: str) -> bool:
        """Return whether there is a task of that id, at work or not."""
        return any(str(task.id) == task_id for task in self.tasks)
