"""Time, sleep and the wish to stop: the program's only user of `time`.

One clock serves the main thread. SIGTERM calls `stop`; from then on the next wait or remote call raises
`Cancelled`, and one that is under way is broken off, so that nothing outlasts the pod's 30 s. Code that must
come to an end all the same (a copy that is running, the undo) does so within a `grace`, where waiting and calling
go on until a moment counted from SIGTERM.

`stop` may be called in a signal handler only: it raises right there when the main thread is in a remote call.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from populator.errors import Cancelled

SLICE = 0.2
"""seconds between two looks at the wish to stop, where a grace sleeps on"""
SHORTEST_CALL = 0.5
"""seconds that a remote call gets even when its grace has ended: less would only fail"""


class Clock:
    """Monotonic and wall time, an interruptible sleep, and nested graces."""

    def __init__(self) -> None:
        self._stopped_at: float | None = None
        self._graces: list[tuple[float, float]] = []
        self._blocking = False

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

    def stopping(self) -> bool:
        """Return whether we were told to stop."""
        return self._stopped_at is not None

    def wait(self, seconds: float) -> None:
        """Sleep; told to stop, raise `Cancelled` at once, but within a grace return at its end instead."""
        end = self.now() + max(seconds, 0)
        with self.blocking():
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
        """Return a time-out for one remote call: `seconds`, or what is left of the grace if that is less."""
        return max(min(seconds, self.left()), SHORTEST_CALL)

    def expired(self) -> bool:
        """Return whether the grace we are in has ended."""
        return self.left() <= 0

    @contextmanager
    def blocking(self) -> Iterator[None]:
        """Wrap one wait or remote call: told to stop, it is broken off by `Cancelled`, not so in a grace."""
        outer, self._blocking = self._blocking, True
        try:
            if self._stopped_at is not None and not self._graces:
                raise Cancelled
            yield
        finally:
            self._blocking = outer

    @contextmanager
    def grace(self, after_stop: float, within: float = math.inf) -> Iterator[None]:
        """Go on though told to stop: `after_stop` seconds from that moment, and `within` from now at most."""
        self._graces.append((after_stop, self.now() + within))
        try:
            yield
        finally:
            self._graces.pop()

    def _deadline(self) -> float:
        """Return the end of the tightest grace we are in, on our own clock."""
        ends = [end for _, end in self._graces]
        if self._stopped_at is not None:
            ends += [self._stopped_at + after for after, _ in self._graces]
        return min(ends, default=math.inf)
