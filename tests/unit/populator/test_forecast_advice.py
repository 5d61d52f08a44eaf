"""What holds a plan up, and what would help, in plans in which it is plain."""

from dataclasses import replace

import pytest

from lease.decision import Scope
from populator.plan.forecast import MIB, Conditions, HostChoice, Plan, PlannedDisk, Rates
from populator.plan.forecast_advice import advise
from populator.plan.forecast_bounds import Limit, bottleneck
from populator.plan.forecast_run import simulate

GIB = 1024 * MIB


def plan(number: int, hosts: int = 1, stores: int = 1, **conditions: object) -> Plan:
    disks = tuple(
        PlannedDisk(f"disk {n}", 100 * GIB, f"esx-{n % hosts}", f"ds-{n % stores}") for n in range(number)
    )
    return Plan(disks, {}, Conditions(**conditions))  # type: ignore[arg-type]


HUGE = PlannedDisk("huge", 9000 * GIB, "esx-0", "ds-0")
FAST_ARRAY = Rates(array=1e9)


@pytest.mark.parametrize(
    ("of", "limit", "subject"),
    [
        (plan(40), Limit.SLOTS, "esx-0"),
        (plan(40, 4, choice=HostChoice.ANY), Limit.SLOTS, ""),
        (plan(40, rates=Rates(host=210)), Limit.HOST_RATE, "esx-0"),
        (plan(400, 40), Limit.ARRAY_RATE, ""),
        (plan(400, scope=Scope.RESCAN, rates=FAST_ARRAY), Limit.IN_FLIGHT, "esx-0"),
        (replace(plan(2), disks=(HUGE, *plan(2).disks)), Limit.DISK, "huge"),
    ],
)  # fmt: skip
def test_the_bottleneck_is_named(of: Plan, limit: Limit, subject: str) -> None:
    found = bottleneck(simulate(of))
    assert (found.limit, found.subject) == (limit, subject)


def test_hosts_that_have_the_datastore_would_help_one_that_has_all_the_work() -> None:
    lonely = plan(40, rates=FAST_ARRAY)
    spread = replace(lonely, mounts={"ds-0": frozenset({"esx-1", "esx-2", "esx-3"})})
    best = {advice.text: advice.makespan for advice in advise(simulate(spread))}
    assert best["spread over 4 hosts"] == pytest.approx(simulate(lonely).makespan / 4, rel=0.05)


def test_hosts_that_do_not_have_it_yet_are_said_to_need_it() -> None:
    texts = [advice.text for advice in advise(simulate(plan(40, rates=FAST_ARRAY)))]
    assert "spread over 4 hosts, which must have the datastores mounted" in texts


def test_more_pods_would_help_where_they_are_too_few() -> None:
    crowded = plan(400, scope=Scope.RESCAN, rates=FAST_ARRAY)
    best = advise(simulate(crowded))[0]
    assert best.text == "MAX_POPULATOR_INFLIGHT=40 instead of 20"
    assert best.makespan < simulate(crowded).makespan * 0.6


def test_what_saves_next_to_nothing_is_not_told() -> None:
    assert advise(simulate(plan(1))) == ()
    assert [advice.text for advice in advise(simulate(plan(400, 40)))] == [
        "an array that copies twice as fast"
    ]


def test_the_largest_first_would_help_where_it_comes_last() -> None:
    small = plan(100, in_flight=2)
    last = replace(small, disks=(*small.disks, HUGE))
    assert "start with the largest disks" in [advice.text for advice in advise(simulate(last))]
