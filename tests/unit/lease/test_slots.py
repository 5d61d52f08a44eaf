"""The slots of one host as one claimant knows them: what is read, and which writes the server lets through."""

import pytest

from lease.decision import Ours, Take, Wait
from lease.kube.api import ApiError
from tests.lab.lease.bench import DURATION, FIRST, Bench
from tests.lab.lease.faults import Fault

SECOND = "esxi-lock-host-1-slot-1"


def test_all_slots_of_a_new_host_are_made_at_once_and_are_free() -> None:
    bench = Bench(slots=2)

    def prepare() -> None:
        bench.slots.prepare()
        for name in bench.names:
            lease = bench.server.lease(name)
            assert lease is not None
            assert (lease["spec"]["holderIdentity"], lease["spec"].get("acquireTime")) == ("", None)
            assert bench.slots.decision(name) == Take(dead=False)
        assert bench.slots.rights_seen

    bench.play(prepare)


def test_a_slot_that_is_missing_beside_one_that_was_used_is_not_made() -> None:
    bench = Bench(slots=2)

    def prepare() -> None:
        bench.slots.prepare()
        assert bench.slots.write(FIRST, "{}")
        bench.server.put("admin", SECOND, None)
        other = bench.slots_of("other")
        other.prepare()
        assert bench.server.lease(SECOND) is None
        decision = other.decision(SECOND)
        assert isinstance(decision, Wait), "its holder may be about to make it again"
        assert decision.until - bench.clock.now() == pytest.approx(DURATION * 2 / 3, abs=0.5)

    bench.play(prepare)


def test_who_saw_an_older_version_writes_nothing_and_looks_again() -> None:
    bench = Bench()

    def race() -> None:
        bench.slots.prepare()
        other = bench.slots_of("other")
        other.look(FIRST)
        assert bench.slots.write(FIRST, '{"volume": "mine"}')
        assert other.write(FIRST, '{"volume": "its"}') is None
        assert FIRST not in other.seen, "what it believed was not so"
        assert bench.journal() == {"volume": "mine"}
        other.look(FIRST)
        record = other.held_by_another()
        assert record is not None
        assert (record.holder, other.holders()) == ("me", "me")
        assert isinstance(other.decision(FIRST), Wait)
        assert isinstance(bench.slots.decision(FIRST), Ours)

    bench.play(race)


def test_what_a_dead_holder_left_is_inherited_and_what_we_hold_is_kept() -> None:
    bench = Bench()

    def inherit() -> None:
        bench.slots.prepare()
        first = bench.slots.write(FIRST, '{"task": "t-1"}')
        assert first is not None
        assert (first.inherited, first.kept) == (None, False)
        again = bench.slots.write(FIRST, '{"task": "t-1"}')
        assert again is not None
        assert (again.inherited, again.kept) == (None, True)
        other = bench.slots_of("other")
        other.look(FIRST)
        bench.clock.wait(DURATION + 1)
        assert other.decision(FIRST) == Take(dead=True)
        taken = other.write(FIRST, "{}")
        assert taken is not None
        assert taken.inherited is not None
        assert (taken.inherited.holder, dict(taken.inherited.facts)) == ("me", {"task": "t-1"})
        assert bench.slots.free(FIRST) is False, "its version is another by now"

    bench.play(inherit)


def test_a_slot_that_is_not_ours_is_not_freed() -> None:
    bench = Bench()

    def free() -> None:
        bench.slots.prepare()
        assert bench.slots.write(FIRST, "{}")
        other = bench.slots_of("other")
        other.look(FIRST)
        assert other.free(FIRST), "there is nothing to do"
        assert bench.lease()["spec"]["holderIdentity"] == "me"
        assert bench.slots.free(FIRST)
        assert bench.lease()["spec"]["holderIdentity"] == ""

    bench.play(free)


def test_the_clock_of_a_claim_begins_before_its_request() -> None:
    bench = Bench(Fault("slow", 1.0, 600.0, seconds=1.5))

    def claim() -> None:
        bench.slots.prepare()
        bench.clock.wait(1.0)
        before = bench.clock.now()
        claimed = bench.slots.write(FIRST, "{}")
        assert claimed is not None
        assert claimed.sent == before
        assert bench.clock.now() - before > 1.5

    bench.play(claim)


def test_a_namespace_that_is_missing_is_not_a_slot_that_has_changed() -> None:
    bench = Bench(Fault("no namespace", 1.0, 600.0))

    def claim() -> None:
        bench.slots.prepare()
        bench.clock.wait(1.0)
        with pytest.raises(ApiError) as caught:
            bench.slots.write(FIRST, "{}")
        assert caught.value.no_namespace

    bench.play(claim)


def test_events_of_other_leases_are_no_news() -> None:
    bench = Bench()

    def listen() -> None:
        bench.slots.prepare()
        lease = bench.lease()
        stranger = {**lease, "metadata": {**lease["metadata"], "name": "leader"}}
        assert bench.slots.news_of({"type": "MODIFIED", "object": stranger}) is None
        news = bench.slots.news_of({"type": "DELETED", "object": lease})
        assert news is not None
        assert (news.deleted, news.free, news.at) == (True, True, bench.clock.now())
        bench.slots.hear(news)
        assert bench.slots.seen[FIRST].record is None

    bench.play(listen)
