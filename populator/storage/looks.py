"""The last look at a LUN's mappings: kept for what is done right after it, which would have to look again."""

from math import inf
from typing import Generic, TypeVar

from populator.clock import Clock
from populator.storage.array import Lun

FRESH = 5.0
"""seconds for which `map` trusts the look before it"""
Seen = TypeVar("Seen")


class LastLook(Generic[Seen]):
    """What was seen when one LUN was last looked at, as long as nobody has forgotten it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[str, float, Seen] | None = None

    def note(self, lun: Lun, seen: Seen) -> None:
        """Remember what has just been seen."""
        self._last = (lun.id, self._clock.now(), seen)

    def recall(self, lun: Lun, within: float = inf) -> Seen | None:
        """Return what was seen of this LUN, if that was within so many seconds."""
        if self._last is None:
            return None
        lun_id, at, seen = self._last
        return seen if lun_id == lun.id and self._clock.now() - at <= within else None

    def take(self, lun: Lun, within: float = inf) -> Seen | None:
        """Recall it for the last time, before a change that makes it out of date."""
        seen = self.recall(lun, within)
        self.forget()
        return seen

    def forget(self) -> None:
        """Remember nothing any more."""
        self._last = None
