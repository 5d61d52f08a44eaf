"""The lease in virtual time: random schedules of all that may happen, judged by their histories.

`make test-lease` plays ten thousand of them; here a few hundred. A failure prints the schedule without all that it does
not need, and the command that plays it again.
"""

import functools
import logging
import math
import os
import random
from collections.abc import Iterator
from itertools import chain

import pytest

from tests.lab.lease.actors import GoPeer, Populator
from tests.lab.lease.faults import Fault
from tests.lab.lease.history import Called, Failed, GaveUp, Had, Left, Step, Written
from tests.lab.lease.invariants import judge
from tests.lab.lease.mutants import MUTANTS, Mutant, mutated
from tests.lab.lease.schedule import Deed, Edit, Schedule, draw, play
from tests.lab.lease.search import explain, first_breach

SCHEDULES = int(os.environ.get("LEASE_SCHEDULES", "300"))
FIRST = int(os.environ.get("LEASE_SEED", "0"))
PARTS = 10 if SCHEDULES >= 10 else 1


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave the lease's warnings out: in here thousands of slots are lost."""
    logging.disable(logging.CRITICAL)
    state = random.getstate()
    yield
    random.setstate(state)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1800)
def test_no_schedule_breaks_an_invariant(part: int) -> None:
    for seed in range(FIRST + part, FIRST + SCHEDULES, PARTS):
        schedule = draw(seed)
        assert not judge(play(schedule), schedule.slots), explain(schedule)


def test_a_seed_repeats_its_history_to_the_last_event() -> None:
    assert play(draw(5)) == play(draw(5))
    assert play(draw(5)) != play(draw(6))


def hard() -> Iterator[Schedule]:
    """What is rarely drawn: a crowd, a reply that is slow before the API goes away, a last word that comes late."""
    busy = Populator("busy", 0.0, 10, steps=((0.05, 0.1),) * 120)
    heir = Populator("heir", 5.0, 10)
    yield crowd(20)
    outage = (Fault("slow", 3.0, 4.0, seconds=2.0), Fault("refused", 4.0, 30.0))
    yield Schedule(-1, 1, (busy, heir), faults=outage)
    yield draw(402)  # a holder, cut off for long, tells what it leaves just as it is taken over
    yield draw(500)  # a reply that comes late
    yield draw(596)  # a slot that is deleted while held and made again in advance


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_judge_catches_each_known_mistake(mutant: Mutant) -> None:
    with mutated(mutant) as lease:
        found = first_breach(chain(hard(), map(draw, range(2000))), lease, mutant.caught_by)
    assert found is not None, f"no schedule shows that {mutant.caught_by} is broken by: {mutant.mistake}"
    assert not judge(play(found), found.slots), "the rules themselves break nothing there"


def test_who_has_no_answer_about_one_slot_does_not_spin_while_the_other_is_free() -> None:
    assert not judge(play(draw(3690)), 2)  # raises Runaway where it does


def crowd(waiters: int) -> Schedule:
    """All of them within a second, on one host."""
    chance = random.Random(waiters)
    pods = [
        Populator(f"pod-{n}", chance.random(), 10, chance.uniform(0.8, 1.2), steps=((0.1, 0.5),))
        for n in range(waiters)
    ]
    return Schedule(waiters, 2, tuple(pods))


@pytest.mark.parametrize("waiters", [20, 100])
def test_a_crowd_is_served_in_time_and_with_few_calls(waiters: int) -> None:
    events = play(crowd(waiters))
    assert judge(events, 2) == {}
    assert sum(isinstance(event, Left) for event in events) == waiters


def test_all_holders_die_and_the_others_wait_for_no_more_than_an_expiry() -> None:
    doomed = tuple(Populator(f"doomed-{n}", 0.0, 10, steps=((60.0, 0.5),)) for n in range(2))
    heirs = tuple(Populator(f"heir-{n}", 5.0, 10, steps=((0.1, 0.5),)) for n in range(4))
    deaths = tuple(Deed("kill", 20.0, pod.name) for pod in doomed)
    events = play(Schedule(1, 2, doomed + heirs, deeds=deaths))
    assert judge(events, 2) == {}
    first = min(event.at for event in events if isinstance(event, Had) and event.who.startswith("heir"))
    assert 20.0 < first < 20.0 + 10 + 2


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_go_populators_share_the_slots_and_none_of_them_fails(scope: str) -> None:
    """Four of them, on slots that ours have released, and ours on slots that theirs have let expire."""
    taken = set[tuple[bool, bool]]()
    for seed in range(40):
        chance = random.Random(seed)
        skew = functools.partial(chance.uniform, -0.5, 0.5)
        ours = tuple(
            Populator(
                f"pod-{n}", chance.choice((0.0, chance.uniform(0, 40))), chance.choice((5, 10, 20)), offset=skew(),
                steps=((chance.uniform(0, 3), 0.8),) * 3, scope=scope,
            )
            for n in range(4)
        )  # fmt: skip
        peers = tuple(
            GoPeer(f"go-{n}", chance.uniform(3, 10), (chance.uniform(3, 20), 5.0), offset=skew())
            for n in range(4)
        )
        events = play(Schedule(seed, 2, ours, peers))
        assert judge(events, 2) == {}
        assert not any(isinstance(event, Failed) for event in events)
        writes = [event for event in events if isinstance(event, Written) and event.before and event.after]
        taken |= {
            (write.before.holder.startswith("go"), write.holder.startswith("go")) for write in writes
            if write.before and write.before.holder != write.holder
        }  # fmt: skip
    assert {(False, True), (True, False)} <= taken


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_no_third_gets_in_when_a_held_slot_is_deleted(scope: str) -> None:
    """Two hold; of the others, one has waited for long, and one comes just after the deletion."""
    for seed in range(40):
        chance = random.Random(seed)
        deleted = chance.uniform(12, 20)
        holders = tuple(Populator(f"pod-{n}", 0.0, 10, steps=((2.0, 0.5),) * 12) for n in range(2))
        others = (
            Populator("waiter", 5.0, 10, scope=scope),
            Populator("newcomer", deleted + chance.uniform(0.01, 3), 10, scope=scope),
        )
        events = play(Schedule(seed, 2, holders + others, edits=(Edit(deleted, seed % 2, None),)))
        assert judge(events, 2) == {}
        steps = [event for event in events if isinstance(event, Step)]
        crowds = [{s.who for s in steps if s.at <= step.at < s.end} for step in steps]
        assert max(map(len, crowds)) <= 2
        held = min(event.at for event in events if isinstance(event, Left) and event.who.startswith("pod"))
        assert all(event.at > held for event in events if isinstance(event, Had) and event.at > 5.0)


def test_who_does_not_need_a_slot_any_more_leaves_the_queue() -> None:
    pods = [
        Populator(f"pod-{n}", 0.0, 10, steps=((0.1, 1.0),), scope="rescan", needless=1.0) for n in range(6)
    ]
    events = play(Schedule(1, 1, tuple(pods)))
    assert judge(events, 1) == {}
    assert any(isinstance(event, GaveUp) for event in events)


def test_whose_claims_are_refused_for_good_gives_up_though_what_he_reads_is_fine() -> None:
    pods = Populator("holder", 0.0, 10, steps=((0.1, 1.0),)), Populator("waiter", 0.5, 10)
    events = play(Schedule(1, 1, pods, faults=(Fault("422", 1.2, math.inf),)))
    last = max(event.at for event in events if isinstance(event, Called) and event.who == "waiter")
    assert 10.0 + 30.0 < last < 10.0 + 30.0 + 15.0
