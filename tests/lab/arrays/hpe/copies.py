"""Copies inside a simulated 3PAR, Primera or Alletra: physical copies, snapshots, promotions, and the tasks of these.

Kept as documented: the target of a physical copy has to be a base volume that no host sees, and at least as large as
the parent; it is tied to its parent until all is copied, and longer where the snapshot is saved; a few copies run at a
time, the others wait; a copy that is stopped or fails leaves its mark on the target until the next begins. A promotion
copies a snapshot **onto its base volume**. Codes of which only the name is known are made up; they are 920 and more.
"""

import itertools
from dataclasses import dataclass

from tests.lab.arrays.hpe.system import (
    BAD_ENUM,
    EXISTENT_VOL,
    EXPORTED_VLUN,
    Failure,
    SimVolume,
    System,
    check_name,
)
from tests.lab.transfer import State, Transfer

BASE, PHYSICAL, SNAPSHOT = 1, 2, 3
COPY_FAILED, PROMOTING, COPY_TARGET, RESYNC_TARGET = 9, 12, 13, 14
WRITTEN = {PROMOTING, COPY_TARGET, RESYNC_TARGET}
COPY, RESYNC, PROMOTE = 1, 2, 4
DONE, ACTIVE, CANCELLED, FAILED = 1, 2, 3, 4
FLAGS = {COPY: COPY_TARGET, RESYNC: RESYNC_TARGET, PROMOTE: PROMOTING}
STEPS = 256
NON_EXISTENT_TASK, PCOPY_TARGET = 145, 97
(
    NON_BASE,
    TO_SELF,
    READONLY_SNAPSHOT,
    COPY_TO_BASE,
    CIRCULAR,
    PCOPY_IN_PROGRESS,
    PARENT_TOO_BIG,
    NO_PARENT,
    NON_EXISTENT_VVCOPY,
    NO_SNAP_CPG,
    NO_SNAPSHOT_ALLOWED,
    NOT_SAME_DOMAIN,
    NON_ACTIVE_TASK,
    CANNOT_CANCEL_TASK,
    PARENT_EXPORTED,
    CPG_NOT_ALLOWED,
    NOT_A_SNAPSHOT,
) = range(920, 937)


@dataclass
class SimTask:
    id: int
    kind: int
    name: str
    source: SimVolume
    target: SimVolume
    keeps: bool
    """whether the target stays tied to the source"""
    priority: int = 2
    status: int = ACTIVE
    transfer: Transfer | None = None
    """None while it waits"""
    requests_left: int | None = None
    """how many requests it goes on for, having been told to stop"""

    tells_early: bool = False
    """shown as cancelled already"""

    @property
    def shown(self) -> int:
        return CANCELLED if self.tells_early and self.status == ACTIVE else self.status

    @property
    def steps(self) -> int:
        return self.transfer.percent * STEPS // 100 if self.transfer else 0


class Copies:
    """What is copied. May be set at any time: the attributes that have a docstring."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.tasks: dict[int, SimTask] = {}
        self._ids = itertools.count(2571)
        self.reset()

    def reset(self) -> None:
        """End all copies, forget them, and be as every array is."""
        for task in self.tasks.values():
            if task.transfer:
                task.transfer.end()
        self.tasks.clear()
        self.seconds = 0.0
        """that a copy takes"""
        self.at_once = 2
        """copies that run at a time"""
        self.lag = 0
        """requests for which a copy goes on that was told to stop"""
        self.tells_early = False
        """whether a task that was told to stop is shown as cancelled at once, though it goes on"""
        self.unties_early = False
        """whether the target of a copy that was told to stop is untied at once, though the copy goes on"""
        self.task_names = "{source}->{target}"
        self.stops = True
        """whether a copy can be stopped by its target"""
        self.cancels = True
        """whether a task can be cancelled"""
        self.shows_waiting = True
        """whether the target of a copy that waits is shown as tied already"""
        self.stays_tied = 0
        """requests for which a target is still tied when its task is done"""
        self.fails_tied = True
        """whether a copy that failed leaves its target tied"""
        self.needs_snap_cpg = False
        """whether a parent needs a CPG of its own for snapshots, as before 2023"""
        self.vvol_parents = True
        """whether the volume of a vVol can be copied physically"""

    @property
    def count(self) -> int:
        """Return how many copies are under way, or have left a volume tied to its parent."""
        self.settle()
        tied = {volume.name for volume in self._system.volumes.values() if volume.copy_type == PHYSICAL}
        return len(tied | {task.target.name for task in self._active()})

    def settle(self) -> None:
        """Let what has happened by now be seen; called with each request."""
        for task in self._active():
            if task.requests_left is not None and task.transfer:
                task.requests_left -= 1
                if task.requests_left < 0:
                    task.transfer.end()
            if task.transfer and task.transfer.state != State.RUNNING:
                self._finish(task)
        waiting = [task for task in self._active() if not task.transfer]
        for task in waiting[: max(self.at_once - sum(1 for one in self._active() if one.transfer), 0)]:
            self._run(task)
        for task in self.tasks.values():
            self._release(task)

    def start(
        self, parent: SimVolume, target: SimVolume, *, keeps: bool = False, priority: int = 2
    ) -> SimTask:
        self._check(parent, target)
        if priority not in {1, 2, 3}:
            raise Failure(400, BAD_ENUM, "invalid priority")
        task = self._add(COPY, parent, target, keeps=keeps, priority=priority)
        if self.shows_waiting:
            tie(target, parent)
        self.settle()
        return task

    def resync(self, target: SimVolume) -> SimTask:
        if target.copy_type != PHYSICAL or target.parent is None:
            raise Failure(403, NO_PARENT, "the volume has no physical parent")
        self._check_idle(target)
        task = self._add(RESYNC, target.parent, target, keeps=True)
        self.settle()
        return task

    def stop(self, target: SimVolume) -> None:
        """Stop the copy onto a volume; what a failed one has left is removed."""
        task = self._onto(target)
        if task and not self.stops:
            raise Failure(403, NO_PARENT, "the volume has no physical parent")
        if task:
            self._stop(task)
        elif target.copy_type == PHYSICAL and COPY_FAILED in target.states:
            untie(target)
        else:
            raise Failure(404, NON_EXISTENT_VVCOPY, "physical copy not found")

    def cancel(self, task: SimTask) -> None:
        if task.status != ACTIVE:
            raise Failure(400, NON_ACTIVE_TASK, "task is not active")
        if not self.cancels:
            raise Failure(409, CANNOT_CANCEL_TASK, "task cannot be cancelled")
        self._stop(task)

    def snapshot(self, parent: SimVolume, name: str, *, read_only: bool = False) -> SimVolume:
        """Make a snapshot: of a writable volume a read-only or a writable one."""
        check_name(name)
        if name in self._system.volumes:
            raise Failure(409, EXISTENT_VOL, "volume exists")
        made = self._system.add_volume(name, parent.size_mib, domain=parent.domain)
        made.copy_type, made.parent, made.read_only = SNAPSHOT, parent, read_only
        lun = self._system.san.lun
        Transfer(lun(parent.naa), lun(made.naa))
        return made

    def promote(self, snapshot: SimVolume, *, online: bool = False) -> SimTask:
        """Copy a snapshot onto its base volume, which reverts that to it."""
        base = snapshot.parent
        if snapshot.copy_type != SNAPSHOT or base is None:
            raise Failure(403, NOT_A_SNAPSHOT, "the volume is not a virtual copy")
        if not online and self._exported(base):
            raise Failure(403, PARENT_EXPORTED, "the parent volume is exported")
        self._check_idle(base)
        task = self._add(PROMOTE, snapshot, base, keeps=False)
        self.settle()
        return task

    def forget(self, volume: SimVolume) -> None:
        """End what is copied from or onto a volume that is deleted."""
        for task in self._active():
            if volume in (task.source, task.target):
                if task.transfer:
                    task.transfer.end()
                task.status = CANCELLED

    def being_written(self, volume: SimVolume) -> bool:
        return bool(volume.states & WRITTEN) or self._onto(volume) is not None

    def _check(self, parent: SimVolume, target: SimVolume) -> None:
        if parent is target:
            raise Failure(403, TO_SELF, "the destination volume is the same as the parent")
        self._check_idle(target)
        if target.copy_type != BASE and COPY_FAILED not in target.states:
            raise Failure(403, NON_BASE, "the destination volume is not a base volume")
        if self._exported(target):
            raise Failure(403, EXPORTED_VLUN, "the destination volume is exported")
        if parent.copy_type == SNAPSHOT and parent.read_only:
            raise Failure(403, READONLY_SNAPSHOT, "the parent volume is a read-only snapshot")
        if parent.copy_type == SNAPSHOT and parent.parent is target:
            raise Failure(403, COPY_TO_BASE, "the destination is the base volume of the parent")
        if parent.parent is target:
            raise Failure(403, CIRCULAR, "the parent volume is a copy of the destination")
        if parent.domain != target.domain:
            raise Failure(403, NOT_SAME_DOMAIN, "the volumes are not in the same domain")
        if parent.vvol and not self.vvol_parents:
            raise Failure(403, NO_SNAPSHOT_ALLOWED, "the parent volume must allow snapshots")
        if self.needs_snap_cpg and not parent.snap_cpg:
            raise Failure(409, NO_SNAP_CPG, "no snapshot CPG has been configured for the volume")
        if parent.size_mib > target.size_mib:
            raise Failure(409, PARENT_TOO_BIG, "the parent is larger than the destination")

    def _check_idle(self, target: SimVolume) -> None:
        if self._onto(target):
            raise Failure(409, PCOPY_IN_PROGRESS, "the destination volume has a physical copy in progress")

    def _exported(self, volume: SimVolume) -> bool:
        return any(template.volume == volume.name for template in self._system.templates)

    def _active(self) -> list[SimTask]:
        return [task for task in self.tasks.values() if task.status == ACTIVE]

    def _onto(self, target: SimVolume) -> SimTask | None:
        return next((task for task in self._active() if task.target is target), None)

    def _add(
        self, kind: int, source: SimVolume, target: SimVolume, *, keeps: bool, priority: int = 2
    ) -> SimTask:
        name = self.task_names.format(source=source.name, target=target.name)
        task = SimTask(next(self._ids), kind, name, source, target, keeps, priority)
        self.tasks[task.id] = task
        return task

    def _run(self, task: SimTask) -> None:
        task.target.states.discard(COPY_FAILED)
        task.target.states.add(FLAGS[task.kind])
        if task.kind == COPY:
            tie(task.target, task.source)
        lun = self._system.san.lun
        task.transfer = Transfer(lun(task.source.naa), lun(task.target.naa), self.seconds)
        if task.transfer.state != State.RUNNING:
            self._finish(task)

    def _stop(self, task: SimTask) -> None:
        if task.transfer is None:
            self._ended(task, CANCELLED)
        elif task.requests_left is None:
            task.requests_left, task.tells_early = self.lag, self.tells_early
            if self.unties_early:
                untie(task.target)
            self.settle()

    def _finish(self, task: SimTask) -> None:
        assert task.transfer
        match task.transfer.state:
            case State.COMPLETE:
                task.status, task.requests_left = DONE, self.stays_tied
                task.target.states -= WRITTEN
                self._release(task)
            case State.FAILED:
                self._ended(task, FAILED)
            case _:
                self._ended(task, CANCELLED)

    def _ended(self, task: SimTask, status: int) -> None:
        task.status = status
        task.target.states -= WRITTEN
        if task.transfer:
            task.target.states.add(COPY_FAILED)
        if task.kind == COPY and not (status == FAILED and self.fails_tied):
            untie(task.target)

    def _release(self, task: SimTask) -> None:
        """Make the target of a copy that is done a base volume again, in its time."""
        if task.status != DONE or task.kind != COPY or task.requests_left is None:
            return
        task.requests_left -= 1
        if task.requests_left < 0:
            task.requests_left = None
            if not task.keeps:
                untie(task.target)


def tie(target: SimVolume, parent: SimVolume) -> None:
    target.copy_type, target.parent = PHYSICAL, parent


def untie(target: SimVolume) -> None:
    target.copy_type, target.parent = BASE, None
