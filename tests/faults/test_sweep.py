"""Every remote call of a run fails once, in every way: nothing leaks, and no wrong success is reported.

`python -m tests.faults` (`make sweep`) prints the same as a table, and fails the other calls of method `ssh`, too.
"""

import pytest

from tests.faults.sweep import Way, sweep, table
from tests.lab.faults import FAULTS


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("way", "kinds"),
    [*((Way(), (kind,)) for kind in FAULTS), (Way(scope="rescan"), ("after",)), (Way(method="ssh"), ())],
    ids=str,
)
def test_no_fault_of_a_single_call_leaks_or_lies(way: Way, kinds: tuple[str, ...]) -> None:
    verdicts = sweep(kinds, way)
    print(table(verdicts))
    bad = [str(one) for one in verdicts if one.problems]
    assert bad == []
    # With a wrapper that can be asked what runs, a fault that passes is survived everywhere.
    assert [f"{one.fault} {one.label}" for one in verdicts if one.code] == []
