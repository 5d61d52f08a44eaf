"""Rate and remaining time of a copy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populator.plan.journal import MIB
from populator.report.pace import Pace, duration


def test_says_rate_and_remaining_time() -> None:
    assert str(Pace(1000 * MIB, 25, 50.0)) == "25 %, 5 MiB/s, 2m30s left"


@given(st.integers(0, 2**50), st.integers(0, 100), st.floats(0, 1e6))
def test_is_never_negative_and_ends_at_100(size: int, percent: int, seconds: float) -> None:
    pace = Pace(size, percent, seconds)
    assert pace.rate >= 0
    assert (pace.remaining is None) == (percent == 0)
    assert (pace.remaining or 0.0) >= 0
    assert percent < 100 or pace.remaining == 0
    assert str(pace)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0s"), (59.4, "59s"), (60, "1m00s"), (7620, "2h07m")])
def test_spans_are_short(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
