"""How many waiters reach for a slot that was released, and how soon: the rules of the crowd, without a server."""

import random
from statistics import mean

import pytest

from lease.decision import FIRST_SPREAD, HANDOVER, WIDEST, hesitate, spread_after

HEARD_AFTER = 0.02
"""seconds from a claim until all others have heard of it"""


def handovers(waiters: int, rounds: int) -> list[tuple[float, int]]:
    """Return for each handover how long the slot stood free, and how many reached for it."""
    chance, spreads, seen = random.Random(1), [FIRST_SPREAD] * waiters, []
    for _ in range(rounds):
        moments = [hesitate(spread, 0.0, chance.random()) for spread in spreads]
        first = min(moments)
        reached = [moment < first + HEARD_AFTER for moment in moments]
        spreads = [
            min(spread_after(spread, first) * (2 if moment != first and late else 1), WIDEST)
            for spread, moment, late in zip(spreads, moments, reached, strict=True)
        ]
        seen.append((first, sum(reached)))
    return seen


@pytest.mark.parametrize("waiters", [1, 2, 20, 100, 1000])
def test_a_crowd_finds_the_spread_that_fits_it(waiters: int) -> None:
    settled = handovers(waiters, 200)[30:]
    assert mean(reached for _, reached in settled) < 4
    assert mean(free for free, _ in settled) < 4 * HANDOVER


def test_finding_it_costs_each_of_a_thousand_few_claims() -> None:
    assert sum(reached for _, reached in handovers(1000, 30)) < 5 * 1000


def test_whoever_is_alone_after_a_crowd_does_not_wait_for_long() -> None:
    assert max(hesitate(WIDEST, 0.0, number / 1000) for number in range(1000)) < 30 * 10 * HANDOVER
    assert hesitate(WIDEST, 0.0, 0.5) < 4


def test_whoever_has_waited_longer_is_ahead() -> None:
    assert hesitate(1.0, 90.0, 0.2) < hesitate(1.0, 0.0, 0.2)
    assert hesitate(1.0, 0.0, 0.0) == 0.0
