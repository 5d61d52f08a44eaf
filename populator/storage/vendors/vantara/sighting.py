"""How far a copy was when it was last seen, and whether it can have come to its end since. Pure.

A pair that somebody deletes disappears as a complete one does. But an even copy is nearly complete when it is last
seen, since it is looked at the more often the nearer its end is. One that was far from it was deleted, or has gone on
faster than before, for want of data: which of the two nobody can tell.
"""

from dataclasses import dataclass

FASTEST = 1 << 30
"""bytes a second: more than any array copies, for a copy that has shown no percent yet"""
LONGEST_GAP = 75.0
"""seconds between two looks, beyond which all may have happened: they are a minute apart at most"""
SLACK = 1.0
"""seconds by which a percent may be late"""


@dataclass
class Sighting:
    """What was seen of a copy, at moments of one clock."""

    size: int
    """bytes to copy"""
    began: float
    """when it was last seen without copying yet"""
    at: float
    """when it was last seen"""
    percent: int = 0
    ended: float | None = None
    """when it was first not there any more"""
    seen: bool = False

    def look(self, now: float, percent: int, *, copying: bool) -> None:
        """Note that it is there."""
        self.seen, self.ended, self.at = True, None, now
        if copying:
            self.percent = percent
        else:
            self.began = now

    def missing(self, now: float) -> None:
        """Note that it is not there, or leaving."""
        if self.ended is None:
            self.ended = now

    @property
    def may_be_complete(self) -> bool:
        """Return whether the rest can have been copied between the last two looks."""
        gap = (self.at if self.ended is None else self.ended) - self.at
        if gap > LONGEST_GAP:
            return False
        if not self.percent:
            return self.size <= FASTEST * (gap + SLACK)
        rest = (self.at - self.began) * max(99 - self.percent, 0) / (self.percent + 1)
        return rest <= 2 * gap + SLACK
