"""FlashCopy on a simulated FlashSystem: mappings between volumes, their states, and real bytes; nothing of HTTP.

Kept as documented: source and target have the same size; a volume is the target of one mapping; a mapping is made,
prepared, and started, which may be one call; stopped before all is copied, or by an error, it takes its target offline
until it is deleted with `force` or started again; it is deleted only when it is idle or stopped; while others depend on
its target it stays `copying` at 100 %, or `stopping`, until they have their data, and `force` stops those instead; a
volume that is the source of another mapping at work is a target only with `restore`; mappings of a consistency group
are started and stopped by the group alone; the number of a deleted mapping is the next one's. Codes are those of IBM's
own clients and of Cinder's tests; the rest are made up, and begin with CMMVC99.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.lab.arrays.flashsystem.system import (
    INVALID_PARAMETER,
    Failure,
    SimVolume,
    System,
    check_name,
    lowest,
)
from tests.lab.transfer import State, Transfer

MOST = 256
"""mappings of a source"""
FASTEST = 150
SAME_MAPPING, OTHER_SIZE, SAME_VOLUME = "CMMVC6466E", "CMMVC5924E", "CMMVC6303E"
OTHER_STATE, COPYING_ALREADY, STOPPED_ALREADY = "CMMVC5903E", "CMMVC5907E", "CMMVC5912E"
IS_TARGET, IS_SOURCE, TOO_MANY_COPIES, IN_GROUP, OFFLINE = (f"CMMVC99{number}E" for number in range(11, 16))


class Status(StrEnum):
    """Of a mapping."""

    IDLE = "idle_or_copied"
    PREPARING = "preparing"
    PREPARED = "prepared"
    COPYING = "copying"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDED = "suspended"


AT_WORK = {Status.COPYING, Status.STOPPING, Status.SUSPENDED}


@dataclass(eq=False)
class SimFlashCopy:
    id: int
    name: str
    source: SimVolume
    target: SimVolume
    rate: int = 50
    clean_rate: int = 50
    autodelete: bool = False
    group: str = ""
    status: Status = Status.IDLE
    progress: int = 0
    started: int = 0
    """its place among all starts; 0 before the first"""
    transfer: Transfer | None = None
    starts: bool = False
    """whether it is started as soon as it is prepared"""
    until: float = 0.0
    """when preparing, cleaning or stopping comes to its end"""


class FlashCopies:
    """May be set at any time: how long preparing, stopping, and cleaning take, and whether a flush fails."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.prepare_seconds = self.stop_seconds = self.clean_seconds = 0.0
        self.seconds: Callable[[], float] = lambda: 0.0
        """that a copy takes, by the lab"""
        self.flush_fails = False
        self.groups: set[str] = set()
        self.all: dict[int, SimFlashCopy] = {}
        self._starts = itertools.count(1)

    def make(
        self,
        source: SimVolume,
        target: SimVolume,
        name: str = "",
        rate: int = 50,
        clean_rate: int = 50,
        *,
        autodelete: bool = False,
        group: str = "",
    ) -> SimFlashCopy:
        """Create a mapping, by which nothing is copied yet."""
        with self.system.lock:
            self._check_new(source, target)
            if max(rate, clean_rate) > FASTEST or (group and group not in self.groups):
                raise Failure(INVALID_PARAMETER, "A parameter has a value that is not valid.")
            number = lowest(self.all)
            name = name or f"fcmap{number}"
            check_name(name, self.all.values())
            made = SimFlashCopy(number, name, source, target, rate, clean_rate, autodelete, group)
            self.all[number] = made
            return made

    def prestart(self, item: SimFlashCopy, *, restore: bool = False) -> None:
        """Flush the source's cache and discard the target's."""
        with self.system.lock:
            self._prepare(item, restore=restore, starts=False)

    def start(self, item: SimFlashCopy, *, prep: bool = False, restore: bool = False) -> None:
        """Begin to copy the source as it is now."""
        with self.system.lock:
            if item.status == Status.COPYING:
                raise Failure(COPYING_ALREADY, "The FlashCopy mapping is in the copying state already.")
            if prep:
                self._prepare(item, restore=restore, starts=True)
            elif item.status != Status.PREPARED:
                raise self._other_state()
            else:
                self._check_alone(item)
                self._run(item)
            self.advance()

    def stop(self, item: SimFlashCopy, *, force: bool = False) -> None:
        """End a copy; before its end that makes the target unusable."""
        with self.system.lock:
            self._check_alone(item)
            if item.status == Status.STOPPED:
                raise Failure(STOPPED_ALREADY, "The FlashCopy mapping is in the stopped state already.")
            if item.status == Status.PREPARING:
                raise self._other_state()
            if item.status in {Status.IDLE, Status.STOPPING}:
                return
            if item.transfer:
                item.transfer.end()
                item.progress = item.transfer.percent
            dependents = list(self.dependents(item))
            if force:
                for dependent in dependents:
                    self.stop(dependent, force=True)
            cleans = bool(dependents) and not force
            item.until = time.monotonic() + (self.clean_seconds if cleans else self.stop_seconds)
            item.status = Status.STOPPING
            self.advance()

    def remove(self, item: SimFlashCopy, *, force: bool = False) -> None:
        """Delete a mapping; its target is usable again, whatever it holds."""
        with self.system.lock:
            if item.status != Status.IDLE and not (item.status == Status.STOPPED and force):
                raise self._other_state()
            self._drop(item)

    def change_rate(self, item: SimFlashCopy, rate: int) -> None:
        """Give a mapping another rate; 0 keeps it from copying, and from 0 it begins again."""
        with self.system.lock:
            item.rate = rate
            if item.status == Status.COPYING and not rate and item.transfer:
                item.transfer.end()
                item.progress, item.transfer = item.transfer.percent, None
            elif item.status == Status.COPYING and rate and not item.transfer:
                item.transfer = self._transfer(item)

    def advance(self) -> None:
        """Let time have had its effect; what is asked of the array begins with this."""
        with self.system.lock:
            for item in list(self.all.values()):
                self._advance(item)
                lost = item.status == Status.STOPPING and item.progress < 100
                item.target.unusable = lost or item.status in {Status.STOPPED, Status.SUSPENDED}
                if item.autodelete and item.status == Status.IDLE and item.progress == 100:
                    self._drop(item)

    def dependents(self, item: SimFlashCopy) -> Iterator[SimFlashCopy]:
        """Yield the mappings that read by this one's target: those from it, and older ones from the same source."""
        for other in self.all.values():
            older = other.source is item.source and other.started < item.started
            if other.status in AT_WORK and other.progress < 100 and (older or other.source is item.target):
                yield other

    def drop_all_of(self, volume: SimVolume) -> None:
        """Delete the mappings of a volume that is deleted."""
        with self.system.lock:
            for item in list(self.all.values()):
                if volume in (item.source, item.target):
                    self._drop(item)

    def _advance(self, item: SimFlashCopy) -> None:
        now = time.monotonic()
        if item.status == Status.PREPARING and now >= item.until:
            item.status = Status.STOPPED if self.flush_fails else Status.PREPARED
            if item.starts and item.status == Status.PREPARED:
                self._run(item)
        if item.status == Status.COPYING and item.transfer:
            item.progress = item.transfer.percent
            if item.transfer.state == State.FAILED:
                item.status = Status.STOPPED
            elif item.transfer.state == State.COMPLETE:
                item.until = item.until or now + self.clean_seconds
                if not any(self.dependents(item)) or (item.clean_rate and now >= item.until):
                    item.status = Status.IDLE
        if item.status == Status.STOPPING and now >= item.until:
            item.status = Status.IDLE if item.progress == 100 else Status.STOPPED

    def _prepare(self, item: SimFlashCopy, *, restore: bool, starts: bool) -> None:
        self._check_alone(item)
        if item.status not in {Status.IDLE, Status.STOPPED}:
            raise self._other_state()
        if not restore and any(
            other.source is item.target and other.status in AT_WORK for other in self.all.values()
        ):
            raise Failure(IS_SOURCE, "The target is the source of another FlashCopy mapping.")
        if "offline" in (item.source.status, item.target.status):
            raise Failure(OFFLINE, "A volume of the FlashCopy mapping is offline.")
        item.status, item.progress, item.starts = Status.PREPARING, 0, starts
        item.until = time.monotonic() + self.prepare_seconds
        self.advance()

    def _run(self, item: SimFlashCopy) -> None:
        item.status, item.progress, item.until = Status.COPYING, 0, 0.0
        item.started = next(self._starts)
        item.transfer = self._transfer(item) if item.rate else None

    def _transfer(self, item: SimFlashCopy) -> Transfer:
        lun = self.system.san.lun
        return Transfer(lun(item.source.naa), lun(item.target.naa), self.seconds())

    def _drop(self, item: SimFlashCopy) -> None:
        if item.transfer:
            item.transfer.end()
        item.target.unusable = False
        self.all.pop(item.id, None)

    def _check_new(self, source: SimVolume, target: SimVolume) -> None:
        if source is target:
            raise Failure(SAME_VOLUME, "The create failed because the source and target are the same.")
        onto = [item for item in self.all.values() if item.target is target]
        if onto and onto[0].source is source:
            raise Failure(SAME_MAPPING, "The FlashCopy mapping exists already.")
        if onto:
            raise Failure(IS_TARGET, "The target is the target of another FlashCopy mapping.")
        if source.size != target.size:
            raise Failure(OTHER_SIZE, "The source and target are different sizes.")
        if sum(item.source is source for item in self.all.values()) >= MOST:
            raise Failure(TOO_MANY_COPIES, "The source is in as many FlashCopy mappings as it can be.")

    def _check_alone(self, item: SimFlashCopy) -> None:
        if item.group:
            raise Failure(IN_GROUP, "The FlashCopy mapping is in a consistency group.")

    @staticmethod
    def _other_state() -> Failure:
        words = (
            "The FlashCopy mapping was not changed because the mapping or consistency group is another state."
        )
        return Failure(OTHER_STATE, words)
