"""The rules of the lease: for any record, and for any order of looks, writes, lost replies, pauses and clocks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
    see,
)
from lease.record import free_lease, held_lease, parse_record

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


@dataclass
class Actor:
    """A claimant with a clock of his own; what he knows and believes."""

    me: Claimant
    rate: float
    offset: float
    seen: dict[str, Sighting] = field(default_factory=dict)
    valid_until: dict[str, float] = field(default_factory=dict)

    def clock(self, true: float) -> float:
        return self.offset + true * self.rate


SLOTS = ("slot-0", "slot-1")


class Cluster(RuleBasedStateMachine):
    """Three to five claimants, two slots, a server that compares and swaps."""

    @initialize(
        actors=st.lists(
            # up to 20 % each way; a hair less, since at exactly that the two ends of a term meet
            st.tuples(st.floats(0.801, 1.199), st.floats(-1e5, 1e5), st.integers(3, 20)),
            min_size=3,
            max_size=5,
        )
    )
    def start(self, actors: list[tuple[float, float, int]]) -> None:
        self.true = 0.0
        self.version = 0
        self.history: dict[str, list[dict[str, Any]]] = {slot: [] for slot in SLOTS}
        self.written: dict[str, float] = {}
        self.actors = [
            Actor(Claimant(f"pod-{n}", duration), rate, offset)
            for n, (rate, offset, duration) in enumerate(actors)
        ]

    def actor(self, number: int) -> Actor:
        return self.actors[number % len(self.actors)]

    def store(self, slot: str, based_on: str | None, lease: dict[str, Any]) -> dict[str, Any] | None:
        """Do what the API server does with a create or a replace."""
        current = self.history[slot][-1]["metadata"]["resourceVersion"] if self.history[slot] else None
        if based_on != current:
            return None
        self.version += 1
        stored = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        self.history[slot].append(stored)
        self.written[slot] = self.true
        return stored

    @rule(seconds=st.floats(0.0, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.true += seconds

    @rule(who=st.integers(0, 4), slot=st.sampled_from(SLOTS), behind=st.integers(0, 3))
    def look(self, who: int, slot: str, behind: int) -> None:
        """Read, from a cache that may lag some versions behind."""
        actor, history = self.actor(who), self.history[slot]
        lease = history[max(len(history) - 1 - behind, 0)] if history else None
        record = parse_record(lease) if lease else None
        actor.seen[slot] = see(actor.seen.get(slot), record, actor.clock(self.true))

    @rule(who=st.integers(0, 4), slot=st.sampled_from(SLOTS), request=st.floats(0, 3), told=st.booleans())
    def act(self, who: int, slot: str, request: float, told: bool) -> None:
        """Do what the rules say; the request takes a while, and its reply may be lost after the commit."""
        actor = self.actor(who)
        if slot not in actor.seen:
            return
        seen, sent = actor.seen[slot], actor.clock(self.true)
        decision = decide(seen, actor.me, sent)
        if isinstance(decision, Wait):
            return
        self.true += request
        before = self.history[slot][-1]["spec"]["holderIdentity"] if self.history[slot] else ""
        age = self.true - self.written.get(slot, self.true)
        lease = held_lease(
            seen.record, slot, "host-1", holder=actor.me.identity, duration=actor.me.duration,
            now=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=actor.offset), journal="{}",
        )  # fmt: skip
        promised = self.history[slot][-1]["spec"]["leaseDurationSeconds"] if before else 0
        stored = self.store(slot, seen.record.version if seen.record else None, lease)
        if stored is None:
            del actor.seen[slot]
            return
        if before not in {"", actor.me.identity}:
            assert age * 1.2 >= promised, "a slot was taken from a holder who kept his word"
            others = [other for other in self.actors if other is not actor]
            assert not any(self.believes(other, slot) for other in others), (
                "taken while its holder was sure of it"
            )
        if told:
            actor.seen[slot] = see(seen, parse_record(stored), actor.clock(self.true))
            actor.valid_until[slot] = sent + actor.me.give_up_after

    @rule(who=st.integers(0, 4), slot=st.sampled_from(SLOTS))
    def release(self, who: int, slot: str) -> None:
        actor = self.actor(who)
        seen = actor.seen.get(slot)
        if seen and seen.record and seen.record.holder == actor.me.identity:
            actor.valid_until.pop(slot, None)
            freed = free_lease(seen.record, datetime(2026, 1, 1, tzinfo=UTC))
            self.store(slot, seen.record.version, freed)
            del actor.seen[slot]

    def believes(self, actor: Actor, slot: str) -> bool:
        return actor.clock(self.true) < actor.valid_until.get(slot, float("-inf"))

    @invariant()
    def at_most_one_holder_per_slot_is_sure_of_it(self) -> None:
        for slot in SLOTS:
            assert sum(self.believes(actor, slot) for actor in self.actors) <= 1

    @invariant()
    def every_change_of_holder_is_counted(self) -> None:
        for slot in SLOTS:
            names = [lease["spec"]["holderIdentity"] for lease in self.history[slot]]
            changes = sum(1 for a, b in pairwise(names) if b and b != a)
            if names:
                assert self.history[slot][-1]["spec"]["leaseTransitions"] == changes


Cluster.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


TestCluster = Cluster.TestCase
