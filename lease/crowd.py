"""The rules of the crowd, pure: how long each of many waiters lets a free slot stand before it reaches for it."""

import math
from collections.abc import Sequence
from statistics import geometric_mean

NARROWEST, FIRST_SPREAD, WIDEST = 0.02, 0.05, 200.0
"""seconds: for one waiter, for a crowd of which nothing is known yet, for some thousands"""

HANDOVER = 0.03
"""seconds that a slot stands free on average; others hear of a claim some 10 to 30 ms after it was sent"""

LONG, LONGER = 0.1, 0.03
"""seconds: a pause that is long for one who has lost no race, and what each lost one adds to that"""

MOST_LEAD = 4.0
"""how many times as likely to be the next as a newcomer one is at most who has waited for long"""

EULER = 0.5772
"""how far the logarithm of an exponential variable lies below that of its mean, on average"""


def hesitate(spread: float, waited: float, lost: int, chance: float) -> float:
    """Return seconds to let a slot stand free before reaching for it; `chance` is random, from 0 to below 1.

    Many who draw with a spread in proportion to their number leave it free for HANDOVER, more or less, and seldom
    meet; those who have waited longer are a little ahead. A long pause matters only when the crowd has gone, so it
    grows by its logarithm; with each race that was `lost`, as on a busy machine where news of claims comes late, that
    begins later.
    """
    drawn = -spread * math.log(1 - chance) / lead(waited)
    long = LONG + LONGER * lost
    return drawn if drawn <= long else long * (1 + math.log(drawn / long))


def lead(waited: float) -> float:
    """Return how many times as likely as a newcomer a waiter of so many seconds is to be the next."""
    return min(1 + waited / 30, MOST_LEAD)


def spread_after(spread: float, paused: float, lost: int) -> float:
    """Return the spread that fits the crowd better, as judged by a waiter that got the slot after a pause of `paused`
    seconds.

    The shortest of many pauses tells how many there are: its logarithm lies around that of spread / number, Euler's
    constant below. One such word is not worth much, so it is followed for a third, but where it is far off for most of
    it. Each race that it `lost` before says that all should take more time.
    """
    error = math.log(HANDOVER / max(paused, 1e-4)) - EULER
    step = 0.3 * error + 0.5 * math.copysign(max(abs(error) - 1.5, 0.0), error)
    return clamp_spread(spread * math.exp(max(step, -1.5) + 0.05 * min(lost, 20)))


def crowd_spread(recorded: Sequence[float | None], lost_of_late: int) -> float:
    """Return the spread to go by, from those that a host's records tell: there is one crowd for all of its slots.

    A waiter that has lost so many more races recently than it has heard of in time does not believe it: a crowd that
    has just come up stampedes.
    """
    known = [FIRST_SPREAD if spread is None else clamp_spread(spread) for spread in recorded] or [
        FIRST_SPREAD
    ]
    return clamp_spread(geometric_mean(known) * 3.0 ** min(lost_of_late, 20))


def clamp_spread(spread: float) -> float:
    """Return a spread that makes sense, whatever a record says."""
    return min(max(spread, NARROWEST), WIDEST)
