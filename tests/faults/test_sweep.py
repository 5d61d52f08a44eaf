"""Remote calls that fail, are answered with a lie, or meet SIGTERM: nothing leaks, and nothing wrong succeeds.

Each call meets one kind of fault and of lie in turn here; every second one where the array copies, or a host is left
for another, and every third in scope `rescan` the fault that is hardest to survive, a lost reply. SIGTERM and SIGKILL
come with some of them. `python -m tests.faults` (`make sweep`) tries all, also over SSH, and prints tables.
"""

from collections.abc import Sequence

import pytest

from tests.faults import kills, stops
from tests.faults.sweep import Verdict, Way, sweep
from tests.lab.faults import FAULTS
from tests.lab.lies import LIES

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


BY_VVOL, BY_RDM = Way(vendor="pureFlashArray", method="vvol"), Way(vendor="primera3par", method="rdm")
EVERY = {Way(scope="rescan"): 3, Way(hosts="any"): 2, BY_VVOL: 2, BY_RDM: 2}
"""calls from one that meets a fault to the next, where that is not the very next"""


def bad(results: Sequence[Verdict | stops.Ending | kills.Aftermath]) -> list[str]:
    return [str(one) for one in results if one.problems]


@pytest.mark.parametrize(
    ("way", "kinds"),
    [
        (Way(), FAULTS),
        (Way(scope="rescan"), ("after",)),
        (Way(method="ssh"), ()),
        (Way(hosts="any"), FAULTS),
        (BY_VVOL, FAULTS),
        (BY_RDM, FAULTS),
    ],
    ids=str,
)
def test_no_fault_of_a_single_call_leaks_or_lies(way: Way, kinds: tuple[str, ...]) -> None:
    verdicts = sweep(kinds, way, in_turn=len(kinds) > 0, every=EVERY.get(way, 1))
    assert bad(verdicts) == []
    # With a wrapper that can be asked what runs, a fault that passes is survived everywhere.
    assert [str(one) for one in verdicts if one.code] == []


def test_no_answer_that_is_wrong_leaks_or_lies() -> None:
    assert bad(sweep(LIES, in_turn=True)) == []


def test_sigterm_with_any_call_ends_in_time_and_leaves_nothing_untold() -> None:
    assert bad(stops.sweep(every=9)) == []


def test_what_sigkill_with_any_call_leaves_is_put_in_order_by_recover() -> None:
    assert bad(kills.sweep(Way(), every=13)) == []
