"""How many waiters reach for a slot that was released, and how soon: the rules of the crowd, without a server."""

import functools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, quantiles

import pytest

from lease.crowd import (
    FIRST_SPREAD,
    HANDOVER,
    NARROWEST,
    WIDEST,
    clamp_spread,
    crowd_spread,
    hesitate,
    spread_after,
)

COST = 0.003
"""seconds of a small machine for a claim in vain"""


@dataclass(frozen=True)
class Handover:
    """One slot changing hands."""

    free: float
    """seconds from the release to the claim that got it"""
    lost: int
    """claims that came too late"""
    left: int
    """how many still wait"""


def handovers(
    waiters: int, heard_after: float, seed: int, spread: float = FIRST_SPREAD
) -> Iterator[Handover]:
    """Let a crowd through two slots, turn by turn.

    Each hears of each release and of each claim late by a time of its own, `heard_after` on average: half of it is
    the same for all, the rest has a long tail. Claims that come too late keep the server busy, so that all hear of the
    one that did not later still.
    """
    chance = random.Random(seed)
    lost, of_late = [0] * waiters, [0] * waiters
    waiting = set(range(waiters))
    told = [spread, spread]

    def late() -> float:
        return heard_after / 2 + chance.expovariate(2 / heard_after)

    for turn in range(waiters):
        by_race = {many: crowd_spread(told, many) for many in set(of_late)}
        fits = {one: by_race[of_late[one]] for one in sorted(waiting)}
        pauses = {one: hesitate(fits[one], 0.0, lost[one], chance.random()) for one in fits}
        reach = {one: late() + pause for one, pause in pauses.items()}
        first = min(reach, key=lambda one: reach[one])
        waiting.discard(first)
        in_vain = 0
        for one in sorted(waiting, key=lambda one: reach[one]):
            if reach[one] < reach[first] + late() + in_vain * COST:
                in_vain += 1
                lost[one] += 1
                of_late[one] += 1
            else:
                of_late[one] = max(of_late[one] - 1, 0)
        told[turn % 2] = spread_after(fits[first], pauses[first], lost[first])
        yield Handover(reach[first], in_vain, len(waiting))


@functools.cache
def many(waiters: int, heard_after: float, times: int) -> list[Handover]:
    return [one for seed in range(times) for one in handovers(waiters, heard_after, seed)]


@pytest.mark.parametrize(("heard_after", "lost"), [(0.02, 4), (0.1, 7), (0.3, 13)])
@pytest.mark.parametrize("waiters", [20, 250, 1000])
def test_each_of_a_crowd_reaches_in_vain_a_few_times(waiters: int, heard_after: float, lost: float) -> None:
    times = 2000 // waiters
    assert sum(one.lost for one in many(waiters, heard_after, times)) / times / waiters < lost


@pytest.mark.parametrize(("heard_after", "free"), [(0.02, 0.08), (0.1, 0.15), (0.3, 0.25)])
@pytest.mark.parametrize("waiters", [1, 2, 20, 250, 1000])
def test_a_slot_does_not_stand_free_for_long(waiters: int, heard_after: float, free: float) -> None:
    seen = many(waiters, heard_after, 2000 // waiters)
    assert mean(one.free - heard_after / 2 for one in seen) < free


def test_twenty_waiters_leave_it_free_for_half_a_second_at_most_in_ninety_nine_of_a_hundred_cases() -> None:
    assert quantiles((one.free for one in many(20, 0.02, 100)), n=100)[98] < 0.5


@pytest.mark.parametrize("waiters", [20, 250])
def test_the_last_ones_of_a_crowd_do_not_wait_as_if_it_were_still_there(waiters: int) -> None:
    assert mean(one.free for one in many(waiters, 0.02, 20) if one.left < 3) < 0.25


def test_whoever_is_alone_after_a_crowd_does_not_wait_for_long() -> None:
    alone = [one.free for seed in range(100) for one in handovers(1, 0.02, seed, spread=30.0)]
    assert mean(alone) < 1.0
    assert max(hesitate(WIDEST, 0.0, 0, number / 1000) for number in range(1000)) < 2.0


def test_whoever_has_waited_longer_is_ahead() -> None:
    assert hesitate(1.0, 90.0, 0, 0.05) < hesitate(1.0, 0.0, 0, 0.05)
    assert hesitate(1.0, 0.0, 0, 0.0) == 0.0


def test_whoever_was_late_more_often_takes_more_time() -> None:
    assert hesitate(10.0, 0.0, 8, 0.5) > hesitate(10.0, 0.0, 0, 0.5)
    assert spread_after(1.0, HANDOVER, 8) > spread_after(1.0, HANDOVER, 0)


@pytest.mark.parametrize("nonsense", [-math.inf, -1.0, 0.0])
def test_a_spread_that_makes_no_sense_is_put_right(nonsense: float) -> None:
    assert clamp_spread(nonsense) == NARROWEST
    assert clamp_spread(1e300) == WIDEST
    assert crowd_spread([None], 0) == crowd_spread([], 0) == pytest.approx(FIRST_SPREAD)
    assert crowd_spread([nonsense, 1e300], 10**9) == WIDEST
    assert spread_after(WIDEST, 0.0, 10**9) == WIDEST
