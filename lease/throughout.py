"""A slot from the first disruptive step to the end of the teardown: the scope `copy`.

The same contract as slots that are taken step by step (see `stepwise`). Until the slot is had, and where it never is,
tidying up takes one for each step, and only for as long as the step lasts: many that are told to stop while they wait
for a slot tidy up in turns, in the seconds they have.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from lease.errors import LeaseLost
from lease.hostlock import Held, HostLock
from lease.ports import Clock
from lease.stepwise import Stepwise

SETTLED_WITHIN = 30.0
"""seconds that a step which has not begun waits for a slot that is neither certainly ours nor known to be another's"""


class CopyLock:
    """Hands out leases that are held for the whole of a copy."""

    def __init__(self, lock: HostLock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock

    def prepare(self, *hosts: str) -> None:
        self._lock.prepare(*hosts)

    @contextmanager
    def hold(self, *hosts: str, **facts: str) -> Iterator["Throughout"]:
        """Give the lease of that host; a slot is waited for by `acquire`, and released at the end of the block.

        Where there are several hosts, the lease of the one whose slot comes free first, with that slot.
        """
        lease = Throughout(self._lock, self._clock, hosts, facts)
        try:
            if len(hosts) > 1:
                lease.acquire()
            yield lease
        finally:
            lease.release()


class Throughout:
    """The lease of one host, held from `acquire` to `release`."""

    def __init__(self, lock: HostLock, clock: Clock, hosts: tuple[str, ...], facts: dict[str, str]) -> None:
        self._lock = lock
        self._hosts = hosts
        self._steps = Stepwise(lock, clock, hosts, facts)
        self._held: Held | None = None

    @property
    def host(self) -> str:
        """The host; the preferred one, until there is a slot."""
        return (self._held or self._steps).host

    def acquire(self) -> None:
        """Wait for a slot and hold it from now on; where we have one already, go on."""
        if self._held is None:
            held = self._lock.open(self._hosts, self._steps.facts)
            held.acquire()
            self._held = held

    def release(self) -> None:
        """Free the slot, if we have one; never raises."""
        if self._held:
            self._held.release()

    def settle(self) -> None:
        """Wait a little where a renewal has trouble, so that what has not begun need not fail for it."""
        if self._held:
            self._held.wait_until_valid(SETTLED_WITHIN)

    def guard(self, step: str) -> None:
        """Raise LeaseLost unless the slot is ours now."""
        self._slot(step).guard(step)

    def step(self, name: str, unless: Callable[[], bool] | None = None) -> AbstractContextManager[bool]:
        """Do one disruptive step inside this context; raises LeaseLost unless the slot is ours."""
        self.settle()
        return self._slot(name).step(name, unless)

    def teardown(self, name: str, unless: Callable[[], bool] | None = None) -> AbstractContextManager[bool]:
        """Do one step of tidying up inside this context, in our slot or in one that is taken just for it."""
        return (self._held or self._steps).teardown(name, unless)

    def note(self, **facts: str) -> None:
        """Keep facts for the journal."""
        (self._held or self._steps).note(**facts)

    def leave(self, text: str) -> None:
        """Say in the journal that something was left running, and let the slot expire instead of releasing it."""
        (self._held or self._steps).leave(text)

    def _slot(self, step: str) -> Held:
        if self._held is None:
            raise LeaseLost(
                f"No slot of {self.host} was waited for yet, so the step {step!r} was not started."
            )
        return self._held
