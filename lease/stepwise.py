"""A slot for each step, and none between: the scope `rescan`.

The same contract as a slot that is held throughout (see `hostlock.Held`): a step is done inside its context. Here
the context waits for a slot, and gives it back at its end; so twenty copies may run at once on a host whose rescans,
detaches and removals of dead paths still take turns. Whoever waits looks again when the wait wakes, since the step of
another process may have done the same work.

What that costs: between two steps nothing is held, so the journal of a holder that dies in mid-copy does not outlive
it; only one that dies within a step, or that leaves a copy running and still gets a slot to write it down, is told of.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from lease.errors import LeaseError
from lease.glance import Glance
from lease.hostlock import Held, HostLock
from lease.ports import Clock
from lease.record import Notes

TEARDOWN_WAITS = 30.0
"""seconds that tidying up queues for a slot at most"""
TEARDOWN_NEEDS = 6.0
"""seconds of the time it has left that are not spent on queuing: the step itself needs them"""
LEAVE_WAITS = 2.0
"""seconds for which a slot is tried for, to write down what is left"""
TICK = 0.5
"""seconds between two looks at that time, which is cut short when we are told to stop"""
AT_ONCE = 0.1
"""seconds; a step that had its slot that fast need not look again"""

log = logging.getLogger(__name__)


class StepLock:
    """Hands out leases whose steps take a slot each; has the methods of `HostLock` that a run needs."""

    def __init__(self, lock: HostLock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock

    def prepare(self, *hosts: str) -> None:
        self._lock.prepare(*hosts)

    @contextmanager
    def hold(self, *hosts: str, **facts: str) -> Iterator["Stepwise"]:
        """Give the lease of that host; each step waits for a slot of its own.

        Where there are several hosts, the lease of the one whose slot comes free first; that slot is for the first
        step.
        """
        lease = Stepwise(self._lock, self._clock, hosts, facts)
        try:
            if len(hosts) > 1:
                lease.choose()
            yield lease
        finally:
            lease.settle()


class Stepwise:
    """The lease of one host, taken step by step."""

    def __init__(self, lock: HostLock, clock: Clock, hosts: tuple[str, ...], facts: dict[str, str]) -> None:
        self.inherited: Notes | None = None
        """what the last dead holder whose slot we took was doing"""
        self._lock = lock
        self._clock = clock
        self._hosts = hosts
        self.facts = facts
        """what the journal of the next slot says"""
        self._number = count(1)
        self._now: Held | None = None
        """the slot of the step that is being done"""
        self._first: Held | None = None
        """the slot by which the host was chosen, until there is a step for it"""

    @property
    def host(self) -> str:
        """The host; the preferred one, until there was a choice."""
        return self._hosts[0]

    def choose(self) -> None:
        """Wait for the first slot that comes free on any of the hosts, and stay with that host."""
        held, _ = self._open("choose a host", None)
        held.acquire()
        self._first, self._hosts = held, (held.host,)

    def acquire(self) -> None:
        """Go on: in this scope no slot is waited for before a step needs one."""

    def settle(self) -> None:
        """Give back a slot that no step has needed: in this scope a copy needs none."""
        if self._first:
            held, self._first = self._first, None
            self._close(held)

    def guard(self, step: str) -> None:
        """Raise LeaseLost where the slot of the step that is being done is lost; a copy needs none in this scope."""
        if self._now:
            self._now.guard(step)
        else:
            log.debug("%s on %s without a slot, as the scope is rescan", step, self.host)

    @contextmanager
    def step(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:
        """Hold a slot around one step; gives False, when `unless` has become true while it was waited for."""
        held, glance = self._open(name, unless)
        if not (held.slot or held.acquire(glance)):
            yield False
            return
        try:
            needless = self._needless(held, glance)
            held.guard(name)
            self._now = held
            yield not needless
        finally:
            self._now = None
            self._close(held)

    @contextmanager
    def teardown(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:
        """Hold a slot around one step of tidying up, or go on without when there is none in time."""
        held, glance = self._open(name, unless)
        if not (held.slot or self._had_within(held, glance, TEARDOWN_WAITS, TEARDOWN_NEEDS)):
            needless = glance is not None and glance.needless
            if not needless:
                log.warning("No slot of %s in time; going on without it, to tidy up: %s.", self.host, name)
            yield not needless
            return
        try:
            yield not self._needless(held, glance)
        finally:
            self._close(held)

    def note(self, **facts: str) -> None:
        """Keep facts for the journal of the slots to come."""
        self.facts = {**self.facts, **facts}

    def leave(self, text: str) -> None:
        """Write into the journal of a slot that something was left running, and let it expire; if one is free."""
        held, _ = self._open("left", None)
        if held.slot or self._had_within(held, None, LEAVE_WAITS):
            held.leave(text)
            self._close(held)
        else:
            log.warning("No slot of %s was free to write down in its journal: %s", self.host, text)

    def _open(self, name: str, unless: Callable[[], bool] | None) -> tuple[Held, Glance | None]:
        """Return what can acquire a slot for a step, or has one already."""
        self.note(phase=name)
        if self._first:
            held, self._first = self._first, None
            held.note(**self.facts)
            return held, None
        # Each step is another holder: a release of the one before that is still under way cannot hit this one.
        held = self._lock.open(self._hosts, self.facts, suffix=f"-{next(self._number)}")
        return held, Glance(unless, self._clock) if unless else None

    def _needless(self, held: Held, glance: Glance | None) -> bool:
        """Look once more when the slot has come late."""
        return glance is not None and held.waited > AT_ONCE and glance.ask()

    def _had_within(self, held: Held, glance: Glance | None, seconds: float, needs: float = 0.0) -> bool:
        """Wait for a slot for that time at most, and not into the last seconds of the grace, which the step needs."""
        end = self._clock.now() + seconds

        def given_up() -> bool:
            return self._clock.now() >= end or self._clock.limit(math.inf) <= needs

        try:
            return held.acquire(glance, given_up, TICK)
        except LeaseError as error:
            log.warning("%s %s", error.text, error.hint)
            return False

    def _close(self, held: Held) -> None:
        self.inherited = held.inherited or self.inherited
        held.release()
