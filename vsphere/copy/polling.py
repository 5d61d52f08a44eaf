"""When to ask a host next how its copy is progressing: a pure function of time and percent.

Fast at first and near the end, slow between. At most 120 polls in the first ten minutes and two a minute after
that, whatever the copy does: hostd pays for each with a process.
"""

WINDOW = 600.0
POLLS_IN_WINDOW = 120
SLOWEST = 30.0
FIRST = 0.1
NEAR_END = 0.2
RESERVE = 40
"""polls of the window that are kept for its whole rest, so that a copy which stalls near its end is not dear"""


def next_delay(elapsed: float, percent: int | None, polls: int) -> float:
    """Return the seconds to wait before the next poll.

    `elapsed` since the copy began, `percent` as last reported (whole, rounded down; None where unknown), `polls` so
    far.
    """
    if elapsed >= WINDOW:
        # One poll is moved to where the end is expected, rather than half a minute after it.
        rest = soonest_end(elapsed, percent)
        return max(SLOWEST, min(rest, 2 * SLOWEST))
    wanted = max(FIRST, 0.15 * elapsed)
    if percent:
        wanted = min(wanted, max(0.5 * soonest_end(elapsed, percent), NEAR_END, elapsed / 300))
    return min(max(wanted, _least(elapsed, polls)), SLOWEST)


def soonest_end(elapsed: float, percent: int | None) -> float:
    """Return the seconds to the earliest end that fits the percent reported, at an even rate; 0 where unknown."""
    if not percent:
        return 0.0
    return elapsed * max(99 - percent, 0) / (percent + 1)


def _least(elapsed: float, polls: int) -> float:
    """Return the delay that keeps within the window's polls."""
    left = POLLS_IN_WINDOW - polls
    return 0.0 if left > RESERVE else (WINDOW - elapsed) / max(left, 1)
