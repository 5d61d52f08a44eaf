"""Writes that go by a look: the first by the one that was just taken, each further one by a new one."""

import pytest

from populator.storage.failures import Refused
from populator.storage.repeat import Repeat
from tests.lab.arrays import QuickClock

PASSING, FINAL = 503, 400


@pytest.mark.parametrize("failures", range(4))
def test_each_try_after_the_first_begins_with_a_look_of_its_own(failures: int) -> None:
    looks, acts = iter(range(1, 10)), []

    def act(known: int) -> str:
        acts.append(known)
        if len(acts) <= failures:
            raise Refused("busy", "", PASSING, "")
        return f"done by look {known}"

    done = Repeat(QuickClock()).write_by(0, lambda: next(looks), act)
    assert acts == list(range(failures + 1))
    assert done == f"done by look {failures}"


def test_a_final_refusal_is_not_looked_behind() -> None:
    acts = []

    def act(known: int) -> None:
        acts.append(known)
        raise Refused("no", "", FINAL, "")

    with pytest.raises(Refused):
        Repeat(QuickClock()).write_by(0, lambda: 1, act)
    assert acts == [0]
