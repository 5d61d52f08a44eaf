"""Time, sleep and the wish to stop: the program's only user of `time`.

One clock serves the main thread. SIGTERM calls `stop`; from then on the next wait or remote call raises
`Cancelled`, and one that is under way is broken off, so that nothing outlasts the pod's 30 s. Code that must
come to an end all the same (a copy that is running, the undo) does so within a `grace`, where waiting and calling
go on until a moment counted from SIGTERM. A call that is still under way at that moment is broken off by `Late`,
whatever timeout it began with and whichever library makes it.

`stop` and `cut` may be called in signal handlers only: they raise right there when the main thread is in a remote call.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime

from populator.errors import Cancelled

SLICE = 0.2
"""seconds between two looks at the wish to stop, where a grace sleeps on"""
SHORTEST_CALL = 0.5
"""seconds that a remote call gets even when its grace has ended: less would only fail"""
NUDGE = 1.0
"""seconds of a wait or call after which the alarm looks whether a stop signal went unheard: one that comes right before
the system call, or that the kernel gives to another thread, does not break it off"""
CUT_AFTER = 0.2
"""seconds by which a call may outlast its timeout before it is broken off: its own error says more"""
FINISH_UNTIL = 8.0
"""seconds after SIGTERM for what should not be broken off half-way; the undo needs the rest of the 30"""


class Late(TimeoutError):
    """A remote call was still under way when its grace had ended."""


class Clock:
    """Monotonic and wall time, an interruptible sleep, and nested graces."""

    def __init__(self) -> None:
        self.alarm: Callable[[float], object] = lambda _: None
        """has `cut` called so many seconds later, and again and again until 0 takes that back. Without one, calls end
        by their own timeouts alone, and a stop signal may be heard late"""
        self._stopped_at: float | None = None
        self._graces: list[tuple[float, float]] = []
        self._blocking = self._calling = False
        self._cut_at = math.inf

    def now(self) -> float:
        """Return seconds on a clock that never jumps."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Return the wall clock's time, for people and other programs only."""
        return datetime.now(UTC)

    def stop(self) -> None:
        """Ask for the end, from a signal handler; a second call changes nothing."""
        if self._stopped_at is None:
            self._stopped_at = self.now()
        if self._blocking and not self._graces:
            self._blocking = False
            raise Cancelled
        self._set_alarm()

    def cut(self) -> None:
        """Break off a call whose grace has ended, from the alarm's signal handler."""
        if self._calling and self.now() >= self._cut_at:
            raise Late("no time is left for it")

    def stopping(self) -> bool:
        """Return whether we were told to stop."""
        return self._stopped_at is not None

    def wait(self, seconds: float) -> None:
        """Sleep; told to stop, raise `Cancelled` at once, but within a grace return at its end instead."""
        end = self.now() + max(seconds, 0)
        with self._interruptible():
            while (left := min(end - self.now(), self.left())) > 0:
                time.sleep(min(left, SLICE) if self._graces else left)
                if self._woken_by_stop(end - seconds):
                    return

    def _woken_by_stop(self, began: float) -> bool:
        return self._stopped_at is not None and self._stopped_at > began

    def left(self) -> float:
        """Return the seconds left in the innermost grace; infinite outside or while nobody said stop."""
        return max(self._deadline() - self.now(), 0.0)

    def limit(self, seconds: float) -> float:
        """Return a timeout for one remote call: `seconds`, or what is left of the grace if that is less."""
        return max(min(seconds, self.left()), SHORTEST_CALL)

    def expired(self) -> bool:
        """Return whether the grace we are in has ended."""
        return self.left() <= 0

    def blocking(self) -> AbstractContextManager[None]:
        """Wrap one remote call: told to stop, it is broken off by `Cancelled`; in a grace, at its end by `Late`."""
        return self._interruptible(call=True)

    @contextmanager
    def grace(self, after_stop: float, within: float = math.inf) -> Iterator[None]:
        """Go on though told to stop: `after_stop` seconds from that moment, and `within` from now at most."""
        self._graces.append((after_stop, self.now() + within))
        try:
            yield
        finally:
            self._graces.pop()

    @contextmanager
    def finishing(self, after_stop: float = FINISH_UNTIL) -> Iterator[None]:
        """Do what should not be broken off half-way, since it may be done behind our back all the same.

        Told to stop before, it is not begun; told to stop meanwhile, it has so many seconds, and where it failed in
        them, being told to stop is what it ends with. In a grace it has that one's time.
        """
        self.check()
        try:
            with nullcontext() if self._graces else self.grace(after_stop):
                yield
        except Exception:
            self.check()
            raise

    def check(self) -> None:
        """Raise `Cancelled` where we were told to stop; within a grace return."""
        if self._stopped_at is not None and not self._graces:
            raise Cancelled

    @contextmanager
    def _interruptible(self, *, call: bool = False) -> Iterator[None]:
        outer = self._calling, self._blocking
        try:
            self._calling, self._blocking = self._calling or call, True
            self.check()
            self._set_alarm()
            yield
        finally:
            self._calling, self._blocking = outer
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Have the main thread woken at the end of the call that we are in, and now and then in any wait or call.

        Once more if told to stop in the middle of this.
        """
        stopped_at: float | None = math.nan
        while stopped_at != self._stopped_at:
            stopped_at = self._stopped_at
            self._cut_at = self._end_of_call() if self._calling else math.inf
            woken = min(self._cut_at - self.now(), NUDGE) if self._calling or self._blocking else 0.0
            self.alarm(woken)

    def _end_of_call(self) -> float:
        return max(self._deadline(), self.now() + SHORTEST_CALL) + CUT_AFTER

    def _deadline(self) -> float:
        """Return the end of the tightest grace we are in, on our own clock."""
        ends = [end for _, end in self._graces]
        if self._stopped_at is not None:
            ends += [self._stopped_at + after for after, _ in self._graces]
        return min(ends, default=math.inf)
