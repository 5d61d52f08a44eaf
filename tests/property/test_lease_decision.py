"""The rules of the lease, for any record; what comes of them in any order of events is `test_lease_simulation`."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lease.decision import (
    LONGEST,
    SHORTEST,
    Claimant,
    Ours,
    Sighting,
    Take,
    Wait,
    backoff,
    check_settings,
    decide,
)
from lease.record import parse_record

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


def sighting(spec: Any, since: float = 0.0) -> Sighting:
    return Sighting(parse_record({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": spec}), since)


@given(SPECS, TIMES, TIMES, st.floats(0, 1e6))
def test_wall_clock_times_in_a_record_decide_nothing(
    spec: dict[str, Any], one: Any, other: Any, now: float
) -> None:
    me = Claimant("me", 10)
    assert decide(sighting({**spec, "renewTime": one, "acquireTime": one}), me, now) == decide(
        sighting({**spec, "renewTime": other, "acquireTime": other}), me, now
    )


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
    seen = sighting({"holderIdentity": holder, "leaseDurationSeconds": theirs}, since=100.0)
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
