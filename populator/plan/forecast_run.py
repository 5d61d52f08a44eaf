"""All populators of a plan in virtual time, by the rules of the host lease.

Pure: the same plan gives the same forecast.
Each disk is a course of steps, written as the story goes (`stories.xcopy`) in either scope of the lease
(`lease.throughout`, `lease.stepwise`). Nobody dies, and no call fails.
"""

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeAlias

from lease.decision import Scope
from populator.plan.forecast import MIB, Forecast, HostChoice, Passage, Plan, PlannedDisk
from populator.plan.forecast_rates import Sharing
from populator.plan.forecast_slots import Host, Slots, Wish


@dataclass(frozen=True)
class Copy:
    """What a course asks for when its copy is to run."""


Course: TypeAlias = Generator[float | Wish | Copy, bool, None]
"""asks for seconds to pass, for a slot, or for the copy; it is sent whether it has got a slot"""
Pause: TypeAlias = Generator[float, bool, float]
"""a part of a course that only takes time; returns a moment"""


def simulate(plan: Plan) -> Forecast:
    """Return what becomes of a plan."""
    return Simulation(plan).run()


@dataclass(eq=False)
class Populator:
    """The populator of one disk."""

    disk: PlannedDisk
    host: "Host[Populator]"
    """whose slot it had last; the VM's own before"""
    seen: Passage
    course: Course = field(init=False)

    def note(self, **moments: float) -> None:
        """Keep what has happened."""
        self.seen = replace(self.seen, host=self.host.name, **moments)  # type: ignore[arg-type]


class Simulation:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._conditions, self._steps = plan.conditions, plan.conditions.steps
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._sharing = Sharing[Populator](self._conditions.rates)
        self._slots = Slots[Populator](self._conditions.slots)
        self._room: dict[str, int] = defaultdict(lambda: self._conditions.in_flight)
        self._outside: dict[str, deque[Populator]] = defaultdict(deque)

    def run(self) -> Forecast:
        """Play it to the end."""
        populators = [self._populator(disk) for disk in self._plan.disks]
        for host in list(self._outside):
            self._admit(host)
        while self._turn():
            pass
        return Forecast(self._plan, tuple(populator.seen for populator in populators))

    def _populator(self, disk: PlannedDisk) -> Populator:
        populator = Populator(
            disk, self._slots.host(disk.host), Passage(disk, disk.host, 0.0, 0.0, 0.0, 0.0, 0.0)
        )
        self._outside[disk.host].append(populator)
        return populator

    def _turn(self) -> bool:
        """Let happen what happens next; return False where nothing does."""
        ends = self._sharing.next
        begins = self._events[0][0] if self._events else math.inf
        self._now = min(ends, begins)
        if ends < begins:
            self._send(self._sharing.end())
        elif self._events:
            heapq.heappop(self._events)[2]()
        else:
            return False
        return True

    # What populators ask for.

    def _admit(self, host: str) -> None:
        """Make pods for a host's disks, as many as may be in flight."""
        while self._room[host] and self._outside[host]:
            self._room[host] -= 1
            self._begin(self._outside[host].popleft())

    def _begin(self, populator: Populator) -> None:
        courses = {Scope.COPY: self._throughout, Scope.RESCAN: self._stepwise}
        populator.course = courses[self._conditions.scope](populator)
        self._serve(populator, next(populator.course))

    def _send(self, populator: Populator, *, has_slot: bool = False) -> None:
        """Let a course come to what it asks for next, or to its end."""
        try:
            asked = populator.course.send(has_slot)
        except StopIteration:
            self._room[populator.disk.host] += 1
            self._admit(populator.disk.host)
        else:
            self._serve(populator, asked)

    def _serve(self, populator: Populator, asked: float | Wish | Copy) -> None:
        if isinstance(asked, Wish):
            self._ask(populator, asked)
        elif isinstance(asked, Copy):
            self._sharing.add(self._now, populator, populator.host.name, populator.disk.size / MIB)
        else:
            self._later(asked, lambda: self._send(populator))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._numbers), act))

    def _ask(self, populator: Populator, wish: Wish) -> None:
        """Take a free slot, the VM's own host's first, or wait."""
        if wish.unless():
            self._later(0.0, lambda: self._send(populator))
        elif host := self._slots.take(wish.hosts):
            self._later(0.0, lambda: self._grant(populator, host))
        else:
            self._slots.wait(populator, wish, self._now)

    def _grant(self, populator: Populator, host: Host[Populator]) -> None:
        populator.host = host
        self._send(populator, has_slot=True)

    def _release(self, host: Host[Populator]) -> None:
        if heir := self._slots.release(host, self._now):
            self._later(self._steps.handover, lambda: self._grant(heir, host))

    def _let_go(self, host: Host[Populator]) -> None:
        """Let those go on for whom another one's step has done it; `lease.glance` looks when a slot comes free."""
        for populator in self._slots.needless(host):
            self._later(0.0, lambda populator=populator: self._send(populator))  # type: ignore[misc]

    # The courses.

    def _throughout(self, populator: Populator) -> Course:
        """Hold one slot for all of it."""
        mapped = yield from self._prepare(populator)
        yield Wish(self._plan.hosts_for(populator.disk))
        if self._conditions.choice is HostChoice.ANY:
            mapped = yield from self._pause(self._steps.map_lun)
        populator.note(shaken=self._now)
        if populator.host.shown < mapped:
            yield from self._rescan(populator.host)
        yield from self._copy(populator)
        yield self._steps.detach + self._steps.unmap + self._steps.forget
        populator.note(left=self._now)
        self._release(populator.host)
        yield self._steps.leave

    def _stepwise(self, populator: Populator) -> Course:
        """Hold a slot for each disruptive step alone; leave the queue when another one's has done it all."""
        mapped = yield from self._prepare(populator)
        own = populator.host
        has_slot = yield Wish(self._plan.hosts_for(populator.disk), lambda: own.shown >= mapped)
        host = populator.host
        if has_slot and self._conditions.choice is HostChoice.ANY:
            mapped = yield from self._pause(self._steps.map_lun)
        populator.note(shaken=self._now)
        if host.shown < mapped:
            yield from self._rescan(host)
        if has_slot:
            self._release(host)
        yield from self._copy(populator)
        yield Wish((host.name,))
        yield self._steps.detach
        self._release(host)
        unmapped = yield from self._pause(self._steps.unmap)
        has_slot = yield Wish((host.name,), lambda: host.cleared >= unmapped)
        if host.cleared < unmapped:
            yield from self._forget(host)
        if has_slot:
            self._release(host)
        populator.note(left=self._now)
        yield self._steps.leave

    def _prepare(self, populator: Populator) -> Pause:
        """Find out all that must be known; return when the LUN was mapped: never yet where the host is to be found."""
        populator.note(admitted=self._now)
        yield self._steps.prepare
        if self._conditions.choice is HostChoice.ANY:
            return math.inf
        return (yield from self._pause(self._steps.map_lun))

    def _pause(self, seconds: float) -> Pause:
        """Return the moment at which it is over."""
        yield seconds
        return self._now

    def _rescan(self, host: Host[Populator]) -> Pause:
        """Show what was mapped before it began; return when that was."""
        began = self._now
        yield self._steps.rescan
        host.shown = max(host.shown, began)
        self._let_go(host)
        return began

    def _forget(self, host: Host[Populator]) -> Pause:
        """Clear what was unmapped before it began; return when that was."""
        began = self._now
        yield self._steps.forget
        host.cleared = max(host.cleared, began)
        self._let_go(host)
        return began

    def _copy(self, populator: Populator) -> Course:
        yield self._steps.begin
        populator.note(began=self._now)
        yield Copy()
        populator.note(ended=self._now)
        yield self._steps.finish
