"""Every remote call of a run fails once, in every way: nothing leaks, and no wrong success is reported."""

import pytest

from tests.faults.sweep import sweep, table


@pytest.mark.timeout(1200)
def test_no_fault_of_a_single_call_leaks_or_lies(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = sweep()
    with capsys.disabled():
        print(
            f"\n{table(verdicts)}\nexit codes: 0 the copy is complete, 8 a copy may be running, others by family"
        )
    bad = [
        f"{one.fault} {one.label} ({one.code} {one.text}): {one.problems}" for one in verdicts if one.problems
    ]
    assert bad == []
    # A fault that passes is survived wherever the program may ask again: all but the start of the copy.
    assert {one.label for one in verdicts if one.code} == {"vcenter: esxcli vmkfstools.clone"}
