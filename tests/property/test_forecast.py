"""Forecasts of random plans: what lease and Forklift promise holds, and nothing is faster than it can be."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lease.decision import Scope
from populator.plan.forecast import (
    MIB,
    Conditions,
    Forecast,
    HostChoice,
    Passage,
    Plan,
    PlannedDisk,
    Rates,
    Steps,
)
from populator.plan.forecast_bounds import bounds
from populator.plan.forecast_run import simulate
from populator.plan.forecast_slots import Slots, Wish

HOSTS, STORES = ("esx-1", "esx-2", "esx-3"), ("ds-1", "ds-2")
untimed = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # speed is measured in tests/bench
ALMOST = 1e-6
"""seconds, of numbers that were added up in another order"""

rates = st.builds(
    Rates,
    copy=st.floats(1, 1000),
    host=st.one_of(st.floats(1, 1000), st.just(math.inf)),
    array=st.one_of(st.floats(1, 3000), st.just(math.inf)),
)
seconds = st.floats(0, 30)
steps = st.builds(Steps, *([seconds] * 10))
conditions = st.builds(
    Conditions,
    rates,
    steps,
    slots=st.integers(1, 3),
    in_flight=st.integers(1, 6),
    scope=st.sampled_from(Scope),
    choice=st.sampled_from(HostChoice),
)
sizes = st.integers(1, 500).map(lambda mib: mib * MIB)
disks = st.lists(
    st.builds(PlannedDisk, st.just(""), sizes, st.sampled_from(HOSTS), st.sampled_from(STORES)),
    min_size=1,
    max_size=25,
).map(lambda disks: tuple(replace(disk, name=f"disk {number}") for number, disk in enumerate(disks)))
mounts = st.dictionaries(st.sampled_from(STORES), st.frozensets(st.sampled_from(HOSTS)))
plans = st.builds(Plan, disks, mounts, conditions)


def most(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many spans overlap at most; one that ends as another begins does not."""
    running = highest = 0
    events = [(begin, 1) for begin, end in spans if end > begin + ALMOST]
    events += [(end - ALMOST / 2, -1) for begin, end in spans if end > begin + ALMOST]
    for _, change in sorted(events):
        running += change
        highest = max(highest, running)
    return highest


def of(passages: Sequence[Passage], host: str) -> list[Passage]:
    return [passage for passage in passages if passage.host == host]


@untimed
@given(plans)
def test_the_same_plan_gives_the_same_forecast(plan: Plan) -> None:
    assert simulate(plan).passages == simulate(plan).passages


@untimed
@given(plans)
def test_every_disk_is_copied_once_in_the_order_of_its_steps_by_a_host_that_may(plan: Plan) -> None:
    forecast = simulate(plan)
    assert [passage.disk for passage in forecast.passages] == list(plan.disks)
    for passage in forecast.passages:
        assert passage.host in plan.hosts_for(passage.disk)
        steps = plan.conditions.steps
        assert passage.shaken >= passage.admitted + steps.prepare + steps.map_lun - ALMOST
        moments = (passage.shaken, passage.began, passage.ended, passage.left)
        assert list(moments) == sorted(moments)


@untimed
@given(plans)
def test_no_host_has_more_holders_than_slots_in_scope_copy(plan: Plan) -> None:
    plan = replace(plan, conditions=replace(plan.conditions, scope=Scope.COPY))
    passages = simulate(plan).passages
    for host in HOSTS:
        assert most([(p.shaken, p.left) for p in of(passages, host)]) <= plan.conditions.slots


@untimed
@given(plans)
def test_never_more_pods_for_a_hosts_disks_than_may_be_in_flight(plan: Plan) -> None:
    passages, steps = simulate(plan).passages, plan.conditions.steps
    for host in HOSTS:
        pods = [(p.admitted, p.left + steps.leave) for p in passages if p.disk.host == host]
        assert most(pods) <= plan.conditions.in_flight


@untimed
@given(plans)
def test_no_copy_no_host_and_not_the_array_is_faster_than_its_rate_over_any_span(plan: Plan) -> None:
    passages, rates = simulate(plan).passages, plan.conditions.rates
    for passage in passages:
        mib = passage.disk.size / MIB
        assert passage.ended - passage.began >= mib / rates.copy * (1 - ALMOST) - ALMOST
    for group, rate in [(of(passages, host), rates.host) for host in HOSTS] + [(list(passages), rates.array)]:
        for first in group:
            for last in group:
                inside = [p for p in group if p.began >= first.began and p.ended <= last.ended]
                moved = sum(passage.disk.size for passage in inside) / MIB
                assert moved / rate * (1 - ALMOST) <= max(last.ended - first.began + ALMOST, 0)


@untimed
@given(plans)
def test_a_plan_is_never_faster_than_any_limit_alone(plan: Plan) -> None:
    makespan = simulate(plan).makespan
    for bound in bounds(plan):
        assert makespan >= bound.seconds * (1 - ALMOST) - ALMOST, bound


@untimed
@given(plans)
def test_a_plan_is_never_slower_than_all_disks_one_after_the_other(plan: Plan) -> None:
    """Somebody always goes on: what waits, waits for a slot that is held, or for a place in flight."""
    rates, steps = plan.conditions.rates, plan.conditions.steps
    share = min(rates.copy, rates.host, rates.array)
    alone = [
        steps.least + disk.size / MIB / share + steps.leave + 3 * steps.handover + steps.rescan + steps.forget
        for disk in plan.disks
    ]
    assert simulate(plan).makespan <= sum(alone) * (1 + ALMOST) + ALMOST


@untimed
@given(plans, st.integers(1, 500))
def test_without_a_common_array_rate_a_host_does_not_feel_what_other_hosts_do(plan: Plan, mib: int) -> None:
    exact = Steps(*map(float, range(1, 11)))  # numbers that can be added up in any order
    free = replace(plan.conditions, choice=HostChoice.VM, rates=Rates(64.0, math.inf, math.inf), steps=exact)
    plan = replace(plan, conditions=free)
    more = replace(plan, disks=(*plan.disks, PlannedDisk("elsewhere", mib * MIB, "esx-9", "ds-1")))
    before, after = simulate(plan), simulate(more)
    assert before.passages == after.passages[:-1]
    assert after.makespan >= before.makespan


def one_slot(plan: Plan) -> Plan:
    """Return a plan in which order cannot matter: one host, one slot, held throughout.

    Elsewhere a larger disk, a lower rate or a slot less may well end a plan sooner: another disk is drawn next, a large
    one no longer comes last. That is how list scheduling is, not a fault of the forecast, so it is not asked for.
    """
    alone = tuple(replace(disk, host="esx-1") for disk in plan.disks)
    shape = replace(plan.conditions, slots=1, scope=Scope.COPY, choice=HostChoice.VM, in_flight=len(alone))
    return replace(plan, disks=alone, conditions=shape)


@untimed
@given(plans.map(one_slot), st.integers(0, 24), st.integers(1, 500))
def test_where_order_cannot_matter_a_larger_disk_never_ends_a_plan_sooner(
    plan: Plan, which: int, mib: int
) -> None:
    which %= len(plan.disks)
    larger = list(plan.disks)
    larger[which] = replace(larger[which], size=larger[which].size + mib * MIB)
    after = simulate(replace(plan, disks=tuple(larger)))
    assert after.makespan >= simulate(plan).makespan - ALMOST


@untimed
@given(plans.map(one_slot), st.floats(1.1, 10))
def test_where_order_cannot_matter_higher_rates_never_end_a_plan_later(plan: Plan, factor: float) -> None:
    old = plan.conditions.rates
    higher = Rates(old.copy * factor, old.host * factor, old.array * factor)
    after = simulate(replace(plan, conditions=replace(plan.conditions, rates=higher)))
    assert after.makespan <= simulate(plan).makespan + ALMOST


@untimed
@given(disks, st.floats(1, 3000))
def test_an_array_that_is_the_only_limit_is_never_idle_before_the_end(
    disks: tuple[PlannedDisk, ...], rate: float
) -> None:
    steps = Steps(**dict.fromkeys(Steps.__dataclass_fields__, 0.0))
    free = Conditions(Rates(1e9, math.inf, rate), steps, slots=len(disks), in_flight=len(disks))
    moved = sum(disk.size for disk in disks) / MIB
    assert simulate(Plan(disks, {}, free)).makespan == pytest.approx(moved / rate)


requests = st.lists(
    st.one_of(
        st.sets(st.sampled_from(HOSTS), min_size=1).map(lambda hosts: tuple(sorted(hosts))),
        st.integers(0, 50),  # the holder who releases, counted round
    ),
    max_size=60,
)


@untimed
@given(requests, st.integers(1, 3))
def test_slots_are_never_more_than_there_are_and_none_is_idle_while_somebody_waits(
    requests: list[tuple[str, ...] | int], number: int
) -> None:
    slots, holders, waiting = Slots[int](number), list[tuple[int, str]](), dict[int, tuple[str, ...]]()
    for who, request in enumerate(requests):
        if isinstance(request, tuple):
            if host := slots.take(request):
                holders.append((who, host.name))
            else:
                slots.wait(who, Wish(request), float(who))
                waiting[who] = request
        elif holders:
            _, name = holders.pop(request % len(holders))
            heir = slots.release(slots.host(name), float(who))
            if heir is not None:
                assert name in waiting.pop(heir)
                holders.append((heir, name))
        held = Counter(name for _, name in holders)
        assert all(held[name] <= number for name in HOSTS)
        assert all(held[name] == number for hosts in waiting.values() for name in hosts)


@untimed
@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 400))
def test_equal_disks_on_idle_hosts_take_as_long_as_one_computes_by_hand(
    slots: int, number: int, mib: int
) -> None:
    disks = tuple(PlannedDisk(f"disk {n}", mib * MIB, "esx-1", "ds") for n in range(number))
    steps = Steps(**dict.fromkeys(Steps.__dataclass_fields__, 0.0))
    shape = Conditions(Rates(100, math.inf, math.inf), steps, slots, number)
    forecast: Forecast = simulate(Plan(disks, {}, shape))
    assert forecast.makespan == pytest.approx(math.ceil(number / slots) * mib / 100)
