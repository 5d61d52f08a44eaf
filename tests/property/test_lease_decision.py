"""The rules of the lease, for any record; what comes of them in any order of events is `test_lease_simulation`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lease.decision import (
    LONGEST,
    SHORTEST,
    STRANGERS_PROMISE,
    Claimant,
    Ours,
    Sighting,
    Take,
    Wait,
    backoff,
    check_settings,
    decide,
    see,
    see_deleted,
)
from lease.record import AUTHOR, Record, parse_record

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.just([])
)
TIMES = st.one_of(ANYTHING, st.datetimes().map(lambda moment: moment.isoformat() + "Z"))
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "holderIdentity": ANYTHING,
        "leaseDurationSeconds": st.one_of(ANYTHING, st.integers(1, 2**31 - 1)),
        "renewTime": TIMES,
        "acquireTime": TIMES,
        "leaseTransitions": ANYTHING,
    },
)
DURATIONS = st.integers(SHORTEST, LONGEST)


def record(spec: Any, author: str = "", version: str = "1", uid: str = "") -> Record:
    metadata = {"name": "a", "uid": uid, "resourceVersion": version, "annotations": {AUTHOR: author}}
    return parse_record({"metadata": metadata, "spec": spec})


def sighting(spec: Any, since: float = 0.0, author: str = "") -> Sighting:
    return Sighting(record(spec, author), since)


@given(SPECS, TIMES, TIMES, st.floats(0, 1e6))
def test_wall_clock_times_in_a_record_decide_nothing(
    spec: dict[str, Any], one: Any, other: Any, now: float
) -> None:
    me = Claimant("me", 10)
    assert decide(sighting({**spec, "renewTime": one, "acquireTime": one}), me, now) == decide(
        sighting({**spec, "renewTime": other, "acquireTime": other}), me, now
    )


HELD = {"holderIdentity": "go-pod", "leaseDurationSeconds": 10, "renewTime": "2026-11-24T04:05:06.000000Z"}
FREE = {"holderIdentity": "", "leaseDurationSeconds": 10, "acquireTime": "2026-11-24T04:05:06.000000Z"}
MADE = {"holderIdentity": "", "leaseDurationSeconds": 10}


@given(st.one_of(st.none(), st.integers(1, 9)), DURATIONS)
def test_a_stranger_is_believed_for_ten_seconds_whatever_duration_it_found_there(
    found: int | None, ours: int
) -> None:
    promised = max(found or ours, STRANGERS_PROMISE)
    for author in ("", "pod-of-ours"):
        seen = sighting({**HELD, "leaseDurationSeconds": found}, since=100.0, author=author)
        assert decide(seen, Claimant("me", ours), 100.0 + promised - 0.1) == Wait(100.0 + promised)
        assert decide(seen, Claimant("me", ours), 100.0 + promised) == Take(dead=True)


ME = Claimant("me", 10)


def test_a_slot_deleted_while_held_is_held_until_its_holders_promise_has_run_out() -> None:
    told = see_deleted(sighting(HELD, since=100.0), record(HELD, version="2"), 104.0)
    assert decide(told, ME, 109.9) == Wait(110.0)
    assert decide(told, ME, 110.0) == Take(dead=True)
    assert see(told, None, 105.0) == told, "looking again starts nothing over"


@pytest.mark.parametrize("known", [None, sighting(MADE), sighting({**HELD, "renewTime": "before"}, 100.0)])
def test_a_deletion_that_tells_of_a_renewal_not_seen_before_counts_from_then(known: Sighting | None) -> None:
    assert decide(see_deleted(known, record(HELD), 104.0), ME, 113.9) == Wait(114.0)


def test_a_slot_found_missing_that_was_held_when_last_seen_counts_from_then() -> None:
    """Its holder may have renewed just before the deletion."""
    assert decide(see(sighting(HELD, since=100.0), None, 104.0), ME, 113.9) == Wait(114.0)


def test_a_slot_deleted_while_free_is_free() -> None:
    told = see_deleted(sighting(FREE), record(FREE, version="2"), 104.0)
    assert decide(told, ME, 104.0, others_used=True) == Take(dead=False)


def test_our_own_slot_is_ours_when_it_is_deleted() -> None:
    mine = see(sighting({**HELD, "holderIdentity": "me"}, 100.0), None, 104.0)
    assert decide(mine, ME, 104.0, others_used=True) == Ours()


def test_that_somebody_has_made_a_deleted_slot_again_does_not_free_it_but_a_release_does() -> None:
    missing = see(sighting(HELD, since=100.0), None, 104.0)
    made = see(missing, record(MADE, version="3"), 105.0)
    assert decide(made, ME, 113.9) == Wait(114.0)
    assert decide(see(sighting(HELD, since=100.0), record(MADE, version="3"), 104.0), ME, 113.9) == Wait(
        114.0
    )
    assert see_deleted(made, record(MADE, version="4"), 106.0).last == missing.last
    released = see(made, record(FREE, version="4"), 106.0)
    assert decide(released, ME, 106.0) == Take(dead=False)


def test_a_holder_that_notes_no_times_and_takes_its_name_out_has_released_the_slot() -> None:
    """An object of another uid was made anew: the one that was held is gone, and its holder may be at work."""
    held = Sighting(record(HELD, uid="a"), 100.0)
    assert decide(see(held, record(MADE, version="2", uid="a"), 104.0), ME, 104.0) == Take(dead=False)
    assert decide(see(held, record(MADE, version="2", uid="b"), 104.0), ME, 104.0) == Wait(114.0)


def test_a_slot_missing_beside_one_that_was_used_is_left_to_its_holder_for_two_thirds_of_the_duration() -> (
    None
):
    missing = see(None, None, 100.0)
    assert decide(missing, ME, 100.0) == Take(dead=False), "a new host"
    assert decide(missing, ME, 100.0, others_used=True) == Wait(100.0 + ME.give_up_after)
    again = see(missing, None, 103.0)
    assert decide(again, ME, 100.0 + ME.give_up_after, others_used=True) == Take(dead=False)


@given(SPECS, DURATIONS, st.floats(0, 1e6), st.floats(0, LONGEST))
def test_any_record_is_free_at_once_or_after_a_bounded_time(
    spec: dict[str, Any], duration: int, since: float, waited: float
) -> None:
    me, seen = Claimant("me", duration), sighting(spec, since)
    match decide(seen, me, since + waited):
        case Wait(until):
            assert since + waited < until <= since + LONGEST
            assert isinstance(decide(seen, me, until), Take)
        case Take(dead):
            assert dead == bool(seen.record and seen.record.holder)
        case Ours():
            assert seen.record
            assert seen.record.holder == "me"


@given(st.text(min_size=1), st.integers(1, LONGEST), DURATIONS)
def test_a_holder_is_given_the_time_he_promised_not_ours(holder: str, theirs: int, ours: int) -> None:
    seen = sighting({"holderIdentity": holder, "leaseDurationSeconds": theirs}, since=100.0, author=holder)
    me = Claimant("somebody else than " + holder, ours)
    assert decide(seen, me, 100.0 + theirs * 0.999) == Wait(100.0 + theirs)
    assert decide(seen, me, 100.0 + theirs) == Take(dead=True)


@given(DURATIONS)
def test_the_spans_of_a_lease_stand_in_order_and_leave_room(duration: int) -> None:
    me = Claimant("me", duration)
    assert me.renew_after + me.request_timeout < me.give_up_after < duration
    assert me.request_timeout <= duration / 3
    assert check_settings(duration, 2, "{host}-{slot}", "copy") == {}


@given(st.integers(0, 10**6), st.one_of(st.none(), st.floats(0, 3600)), st.floats(0, 1))
def test_waits_after_failures_are_bounded_and_obey_the_server(
    failures: int, retry_after: float | None, chance: float
) -> None:
    wait = backoff(failures, retry_after, chance)
    assert (retry_after or 0.0) <= wait <= (retry_after or 0.0) + 5.0
    assert wait >= (0.05 if retry_after is None else retry_after)
