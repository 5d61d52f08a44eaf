"""What goes wrong on the way to the API server, and when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

CALLS = (
    "refused", "hang", "late", "lost", "slow", "half", "stale",
    "409", "429", "429 with Retry-After", "500", "503", "401", "403", "no namespace", "untrusted",
)  # fmt: skip
WRITES = ("422",)
"""what is not drawn, as it never passes: writes that the server finds invalid"""
WATCHES = ("gap", "silent", "bookmarks", "gone", "close")


@dataclass(frozen=True)
class Fault:
    """Within a span of true time, that share of calls (or events) meets with that."""

    kind: str
    at: float
    until: float
    share: float = 1.0
    seconds: float = 0.0
    """how late, or how slow"""


class Faults:
    """The faults of a schedule."""

    def __init__(self, faults: Sequence[Fault], chance: random.Random) -> None:
        self._faults = faults
        self._chance = chance

    def of_call(self, verb: str, now: float) -> Fault | None:
        """Return what befalls a call that is sent now."""
        found = self._find((*CALLS, *WRITES), now)
        if found and (found.kind, verb == "GET") in {("stale", False), ("409", True), ("422", True)}:
            return None
        return found

    def of_watch(self, now: float) -> Fault | None:
        """Return what befalls an event that is sent now."""
        return self._find(WATCHES, now)

    def _find(self, kinds: Sequence[str], now: float) -> Fault | None:
        for fault in self._faults:
            if fault.kind in kinds and fault.at <= now < fault.until and self._chance.random() < fault.share:
                return fault
        return None
