"""Whether a waiter still needs what it queues for.

Others' work may have done ours: a rescan of theirs shows our device as well. So whoever waits for a slot looks when
the wait wakes it, and leaves the queue when there is nothing left to do. A look is a call to the host, and one event
wakes the whole queue; hence the distance between two looks of one waiter.
"""

import math
from collections.abc import Callable

from lease.ports import Clock

APART = 1.0
"""seconds between two looks"""


class Glance:
    """Asks `unless`, which says True when the step is not needed any more; for one wait."""

    def __init__(self, unless: Callable[[], bool], clock: Clock) -> None:
        self._unless = unless
        self._clock = clock
        self._asked = clock.now()  # whoever begins to wait has just looked
        self.due = math.inf
        """when to look next, on our monotonic clock; infinite while nothing has happened since the last look"""
        self.needless = False
        """the last answer"""

    def needless_now(self, *, heard: bool) -> bool:
        """Look if it is time to, and say whether the wait is over; `heard` that something has happened."""
        if heard:
            self.due = min(self.due, self._asked + APART)
        return self._clock.now() >= self.due and self.ask()

    def ask(self) -> bool:
        """Look now."""
        self.due = math.inf
        self.needless = self._unless()
        self._asked = self._clock.now()
        return self.needless
