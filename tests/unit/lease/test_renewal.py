"""A slot that is kept: when it is written, what wakes the one who renews it, and how it ends."""

import pytest

from lease.record import JOURNAL
from lease.renewal import Renewal
from tests.lab.lease.bench import DURATION, FIRST, Bench
from tests.lab.lease.faults import Fault

RENEWED = DURATION / 3


def state(renewal: Renewal) -> set[str]:
    """Return what the renewal is now."""
    return {name for name in ("valid", "lost", "kept") if getattr(renewal, name)}


def test_renewals_come_by_the_clock_and_bring_the_newest_facts() -> None:
    bench = Bench()

    def hold() -> None:
        renewal = bench.renewal(volume="pvc-1")
        assert bench.journal() == {"volume": "pvc-1"}
        for percent in range(95):  # as a copy reports it, far more often than the slot is renewed
            renewal.note(percent=str(percent))
            bench.clock.wait(RENEWED / 10)
        seen = int(bench.journal()["percent"])
        assert 85 < seen < 94, "as of the last renewal"
        claim, *renewals = bench.writes()[1:]
        assert len(renewals) == 9, "what is noted costs no call of its own"
        spans = [later - earlier for earlier, later in zip([claim, *renewals], renewals, strict=False)]
        assert spans == pytest.approx([RENEWED] * 9, abs=0.1)
        renewal.end()

    bench.play(hold)


def test_what_is_left_is_written_at_once_and_the_slot_is_not_released() -> None:
    bench = Bench()

    def leave() -> None:
        renewal = bench.renewal()
        before = bench.world.now
        renewal.note(left="a copy")
        renewal.leave()
        bench.clock.wait(0.1)
        assert bench.journal() == {"left": "a copy"}
        assert bench.writes()[-1] - before < 0.1
        renewal.end()

    bench.play(leave)
    assert bench.lease()["spec"]["holderIdentity"] == "me"
    assert bench.journal() == {"left": "a copy"}


@pytest.mark.parametrize("achieved", [True, False])
def test_at_the_end_the_slot_is_free_and_the_outcome_stays(achieved: bool) -> None:
    bench = Bench()

    def hold() -> None:
        renewal = bench.renewal(volume="pvc-1")
        renewal.conclude('{"populated": "true"}', achieved=achieved)
        renewal.end()

    bench.play(hold)
    assert bench.lease()["spec"]["holderIdentity"] == ""
    assert JOURNAL not in bench.lease()["metadata"]["annotations"]
    assert "populated" in bench.lease()["metadata"]["annotations"]["xcopy-populator/outcome"]


def test_it_is_certain_for_two_thirds_of_its_duration_without_an_answer() -> None:
    bench = Bench(Fault("refused", 1.0, 20.0))

    def hold() -> None:
        renewal = bench.renewal()
        bench.clock.wait(DURATION * 2 / 3 - 0.1)
        assert state(renewal) == {"valid", "kept"}
        bench.clock.wait(0.2)
        assert state(renewal) == {"kept"}, "nobody else is known to hold it"
        renewal.wait_until_valid(30.0)
        assert state(renewal) == {"valid", "kept"}, "nobody else can have had it"
        renewal.end()

    bench.play(hold)


def test_taken_over_it_is_lost_and_queued_for_again() -> None:
    bench = Bench()

    def hold() -> None:
        renewal = bench.renewal()
        lease = bench.lease()
        bench.server.put(
            "somebody", FIRST, {**lease, "spec": {**lease["spec"], "holderIdentity": "somebody"}}
        )
        bench.clock.wait(RENEWED + 0.5)
        assert state(renewal) == {"lost"}
        bench.server.put("somebody", FIRST, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        renewal.wait_until_valid(30.0)
        assert state(renewal) == {"valid"}, "not kept: what was done in between is not known"
        renewal.end()

    bench.play(hold)


def test_a_lease_that_was_deleted_is_made_again() -> None:
    bench = Bench()

    def hold() -> None:
        renewal = bench.renewal(volume="pvc-1")
        bench.server.put("admin", FIRST, None)
        bench.clock.wait(RENEWED + 0.5)
        assert bench.journal() == {"volume": "pvc-1"}
        assert renewal.valid
        renewal.end()

    bench.play(hold)


def test_a_release_that_hangs_is_given_up_and_left_to_expire() -> None:
    bench = Bench(Fault("hang", 1.0, 600.0))

    def hold() -> None:
        renewal = bench.renewal()
        bench.clock.wait(1.5)
        began = bench.clock.now()
        renewal.end()
        assert bench.clock.now() - began < DURATION

    bench.play(hold)
    assert bench.lease()["spec"]["holderIdentity"] == "me"
