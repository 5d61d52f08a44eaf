"""How many waiters reach for a slot that was released, and how soon: the rules of the crowd, without a server."""

import math
import random
from statistics import mean

import pytest

from lease.decision import (
    FIRST_SPREAD,
    HANDOVER,
    LONGEST_HANDOVER,
    WIDEST,
    handover_for,
    hesitate,
    spread_after,
)


def handovers(waiters: int, rounds: int, heard_after: float = 0.02) -> list[tuple[float, int]]:
    """Return for each handover how long the slot stood free, and how many reached for it.

    All others hear of a claim so many seconds after it was made, a little more or less.
    """
    chance, spreads, soonest = random.Random(1), [FIRST_SPREAD] * waiters, [math.inf] * waiters
    seen = []
    for _ in range(rounds):
        moments = [
            hesitate(spread, 0.0, chance.random(), handover_for(least))
            for spread, least in zip(spreads, soonest, strict=True)
        ]
        first = min(moments)
        late = [first < moment < first + heard_after for moment in moments]
        heard = [first + heard_after * chance.uniform(0.6, 1.4) for _ in moments]
        soonest = [min(pair) for pair in zip(soonest, heard, strict=True)]
        spreads = [
            spread_after(min(spread * (2 if lost else 1), WIDEST), gap, handover_for(least))
            for spread, lost, gap, least in zip(spreads, late, heard, soonest, strict=True)
        ]
        seen.append((first, 1 + sum(late)))
    return seen


@pytest.mark.parametrize("heard_after", [0.01, 0.03, 0.08, 0.2])
@pytest.mark.parametrize("waiters", [1, 2, 20, 100, 1000])
def test_a_crowd_finds_the_spread_that_fits_it(waiters: int, heard_after: float) -> None:
    settled = handovers(waiters, 300, heard_after)[60:]
    assert mean(reached for _, reached in settled) < 6
    assert mean(free for free, _ in settled) < 4 * max(HANDOVER, heard_after)


@pytest.mark.parametrize("heard_after", [0.02, 0.08, 0.2])
def test_finding_it_costs_each_of_a_thousand_few_claims(heard_after: float) -> None:
    assert sum(reached for _, reached in handovers(1000, 60, heard_after)) < 10 * 1000


def test_a_slot_is_never_meant_to_stand_free_for_long() -> None:
    assert handover_for(math.inf) == handover_for(0.0) == HANDOVER
    assert handover_for(60.0) == LONGEST_HANDOVER


def test_whoever_is_alone_after_a_crowd_does_not_wait_for_long() -> None:
    assert max(hesitate(WIDEST, 0.0, number / 1000, HANDOVER) for number in range(1000)) < 300 * HANDOVER
    assert hesitate(WIDEST, 0.0, 0.5, HANDOVER) < 4


def test_whoever_has_waited_longer_is_ahead() -> None:
    assert hesitate(1.0, 90.0, 0.2, HANDOVER) < hesitate(1.0, 0.0, 0.2, HANDOVER)
    assert hesitate(1.0, 0.0, 0.0, HANDOVER) == 0.0
