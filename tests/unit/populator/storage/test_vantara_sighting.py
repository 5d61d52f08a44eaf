"""When a copy that is gone is taken for a complete one."""

import pytest

from populator.storage.vendors.vantara.sighting import FASTEST, LONGEST_GAP, Sighting

TB = 1 << 40


def last_seen(percent: int, *, at: float, gone_after: float, size: int = TB) -> Sighting:
    """Return what is known of an even copy that began at 0."""
    sighting = Sighting(size, 0.0, 0.0)
    sighting.look(at, percent, copying=True)
    sighting.missing(at + gone_after)
    return sighting


@pytest.mark.parametrize(
    ("percent", "at", "gone_after"),
    [(99, 3000.0, 30.0), (99, 3000.0, 0.1), (98, 980.0, 5.0), (50, 1.0, 0.6), (90, 540.0, 30.0)],
)
def test_what_could_be_expected_to_end_then_is_complete(percent: int, at: float, gone_after: float) -> None:
    assert last_seen(percent, at=at, gone_after=gone_after).may_be_complete


@pytest.mark.parametrize(
    ("percent", "at", "gone_after"),
    [
        (40, 1000.0, 30.0),
        (1, 100.0, 15.0),
        (95, 9500.0, 30.0),
        (0, 80.0, 12.0),
        (99, 3000.0, LONGEST_GAP + 1),
    ],
)
def test_what_could_not_is_not(percent: int, at: float, gone_after: float) -> None:
    assert not last_seen(percent, at=at, gone_after=gone_after).may_be_complete


def test_a_small_copy_may_end_before_it_shows_a_percent() -> None:
    assert last_seen(0, at=0.1, gone_after=0.2, size=FASTEST).may_be_complete
    assert not last_seen(0, at=0.1, gone_after=0.2, size=2 * FASTEST).may_be_complete


def test_the_moment_that_counts_is_the_first_without_it() -> None:
    sighting = last_seen(40, at=1000.0, gone_after=5.0)
    sighting.missing(1070.0)
    assert not sighting.may_be_complete


def test_time_before_the_copy_does_not_count_as_copying() -> None:
    sighting = Sighting(TB, 0.0, 0.0)
    sighting.look(1000.0, 0, copying=False)
    sighting.look(1001.0, 50, copying=True)
    sighting.missing(1002.0)
    assert sighting.may_be_complete
