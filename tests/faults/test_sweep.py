"""Remote calls of a run that fail, or are answered with a lie: nothing leaks, and nothing wrong succeeds.

Each call meets one kind of each in turn here; `python -m tests.faults` (`make sweep`) tries all of them, also over
SSH and with SIGTERM at every call, and prints tables.
"""

import pytest

from tests.faults.sweep import Verdict, Way, sweep
from tests.lab.faults import FAULTS
from tests.lab.lies import LIES

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def bad(results: list[Verdict]) -> list[str]:
    return [str(one) for one in results if one.problems]


@pytest.mark.parametrize(
    ("way", "kinds"),
    [(Way(), FAULTS), (Way(), ("after",)), (Way(scope="rescan"), ("after",)), (Way(method="ssh"), ())],
    ids=str,
)
def test_no_fault_of_a_single_call_leaks_or_lies(way: Way, kinds: tuple[str, ...]) -> None:
    verdicts = sweep(kinds, way, in_turn=len(kinds) > 0)
    assert bad(verdicts) == []
    # With a wrapper that can be asked what runs, a fault that passes is survived everywhere.
    assert [str(one) for one in verdicts if one.code] == []


def test_no_answer_that_is_wrong_leaks_or_lies() -> None:
    assert bad(sweep(LIES, in_turn=True)) == []
