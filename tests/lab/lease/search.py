"""Finding schedules that break an invariant, and leaving out of them what the breach does not need."""

from collections.abc import Iterable
from typing import Any

from tests.lab.lease.invariants import INVARIANTS, History, judge
from tests.lab.lease.schedule import REAL, Schedule, play


def first_breach(schedules: Iterable[Schedule], lease: Any, invariant: str) -> Schedule | None:
    """Return the first schedule in which that invariant is broken."""
    for schedule in schedules:
        if INVARIANTS[invariant](History(play(schedule, lease), schedule.slots)):
            return schedule
    return None


def smallest(schedule: Schedule, lease: Any = REAL) -> Schedule:
    """Leave out part after part, as long as one of the invariants that were broken stays so."""
    broken = judge(play(schedule, lease), schedule.slots).keys()
    for smaller in schedule.smaller():
        if broken & judge(play(smaller, lease), smaller.slots).keys():
            return smallest(smaller, lease)
    return schedule


def explain(schedule: Schedule) -> str:
    """Return what is broken, by how little, and how to see it again."""
    small = smallest(schedule)
    breaches = [
        f"{name}: {text}" for name, texts in judge(play(small), small.slots).items() for text in texts
    ]
    again = f"again: make test-lease SCHEDULES=1 SEED={schedule.seed}"
    return "\n".join([*breaches, str(small), again])
