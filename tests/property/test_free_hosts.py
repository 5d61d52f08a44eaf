"""Several hosts will do, in virtual time: at each host all invariants hold, and across hosts those of the choice."""

import logging
import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.lease.actors import Populator
from tests.lab.lease.history import Called, Had, Left
from tests.lab.lease.invariants import judge
from tests.lab.lease.schedule import Deed, Schedule, play
from tests.lab.lease.spread import HOSTS, calm, of, spread

SCHEDULES = int(os.environ.get("LEASE_SCHEDULES", "300")) // 5


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave the lease's warnings out."""
    logging.disable(logging.CRITICAL)
    state = random.getstate()
    yield
    random.setstate(state)
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(1800)
def test_no_schedule_breaks_an_invariant_at_any_host() -> None:
    for seed in range(SCHEDULES):
        schedule = spread(seed)
        history = of(play(schedule), schedule)
        for host in HOSTS:
            assert judge(history.at(host), 2) == {}, (host, str(schedule))
        assert list(history.twice()) == [], str(schedule)


@pytest.mark.timeout(1800)
def test_nobody_waits_beside_a_free_slot_nor_holds_slots_on_two_hosts() -> None:
    for seed in range(SCHEDULES):
        schedule = calm(seed, 12)
        events = play(schedule)
        history = of(events, schedule)
        for host in HOSTS:
            assert judge(history.at(host), 2) == {}, (host, str(schedule))
        assert list(history.idle()) == [], str(schedule)
        assert list(history.twice()) == [], str(schedule)
        assert {event.who.split("-")[1] for event in events if isinstance(event, Left)} == {
            str(n) for n in range(12)
        }


def test_the_preferred_host_is_taken_where_it_is_free() -> None:
    for seed, preferred in enumerate(HOSTS):
        hosts = (preferred, *(host for host in HOSTS if host != preferred))
        schedule = Schedule(seed, 2, (Populator("pod-0", 0.0, 10, hosts=hosts),))
        assert of(play(schedule), schedule).host_of("pod-0") == preferred


def crowd(waiters: int) -> Schedule:
    """All of them within a second, who prefer the same host."""
    chance = random.Random(waiters)
    pods = tuple(
        Populator(f"pod-{n}", chance.random(), 10, steps=((0.1, 5.0),), hosts=HOSTS) for n in range(waiters)
    )
    return Schedule(waiters, 2, pods)


def test_a_crowd_fills_all_hosts_and_is_served_in_time_with_few_calls() -> None:
    """Thirty with holds of 5.3 s on six slots: five rounds."""
    schedule = crowd(30)
    events = play(schedule)
    history = of(events, schedule)
    copied = Counter(history.host_of(f"pod-{n}") for n in range(30))
    assert set(copied) == set(HOSTS)
    assert max(copied.values()) <= 12
    last = max(event.at for event in events if isinstance(event, Had))
    assert last < 4 * (5.3 + 1.0) + 1.0
    calls = Counter(event.who for event in events if isinstance(event, Called))
    assert max(calls.values()) < 60
    assert list(history.idle()) == []


def test_a_killed_holder_of_another_host_is_inherited_by_who_waits_for_several() -> None:
    doomed = tuple(
        Populator(f"pod-{n}", 0.0, 10, steps=((60.0, 0.5),), hosts=(host,))
        for n, host in enumerate(host for host in HOSTS for _ in range(2))
    )
    heir = Populator("pod-9", 5.0, 10, hosts=HOSTS)
    schedule = Schedule(1, 2, (*doomed, heir), deeds=(Deed("kill", 20.0, "pod-3"),))
    events = play(schedule)
    history = of(events, schedule)
    assert history.host_of("pod-9") == "host-2"
    had = next(event.at for event in events if isinstance(event, Had) and event.who == "pod-9")
    assert 20.0 < had < 20.0 + 10 + 2
