"""What would make a plan faster: each change is simulated, and those that save something are told. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lease.decision import Scope
from populator.plan.forecast import Forecast, HostChoice, Plan
from populator.plan.forecast_bounds import Limit, bottleneck
from populator.plan.forecast_run import simulate

WORTH_IT = 0.9
"""of the time that it takes as planned; what saves less is not told"""
MORE_HOSTS = 4
"""hosts that are thought of where the datastores have fewer"""


@dataclass(frozen=True)
class Change:
    """What could be done otherwise."""

    text: str
    plan: Plan


@dataclass(frozen=True)
class Advice:
    """What a change would come to."""

    text: str
    makespan: float


def advise(forecast: Forecast) -> tuple[Advice, ...]:
    """Return the changes that would help, the best first."""
    limit = bottleneck(forecast).limit
    tried = (Advice(change.text, simulate(change.plan).makespan) for change in changes(forecast.plan, limit))
    worth = [advice for advice in tried if advice.makespan < forecast.makespan * WORTH_IT]
    return tuple(sorted(worth, key=lambda advice: advice.makespan))


def changes(plan: Plan, limit: Limit) -> Iterator[Change]:
    """Yield what could be done otherwise and may help against that limit."""
    conditions = plan.conditions
    if conditions.choice is HostChoice.VM and limit in {Limit.SLOTS, Limit.HOST_RATE}:
        yield _spread(plan)
    if conditions.scope is Scope.COPY and limit is Limit.SLOTS:
        rescan = replace(plan, conditions=replace(conditions, scope=Scope.RESCAN))
        yield Change(
            "let slots limit rescans and not copies (HOST_LEASE_SCOPE=rescan), where hosts bear so many",
            rescan,
        )
    if limit is Limit.IN_FLIGHT:
        more = 2 * conditions.in_flight
        yield Change(
            f"MAX_POPULATOR_INFLIGHT={more} instead of {conditions.in_flight}",
            replace(plan, conditions=replace(conditions, in_flight=more)),
        )
    if limit is Limit.ARRAY_RATE:
        faster = replace(conditions.rates, array=2 * conditions.rates.array)
        yield Change(
            "an array that copies twice as fast",
            replace(plan, conditions=replace(conditions, rates=faster)),
        )
    largest_first = tuple(sorted(plan.disks, key=lambda disk: -disk.size))
    if largest_first != plan.disks:
        yield Change("start with the largest disks", replace(plan, disks=largest_first))


def _spread(plan: Plan) -> Change:
    """Let other hosts copy as well: those that could by now, or more where there are none."""
    anywhere = replace(plan, conditions=replace(plan.conditions, choice=HostChoice.ANY))
    hosts = {host for disk in plan.disks for host in anywhere.hosts_for(disk)}
    if any(len(anywhere.hosts_for(disk)) > 1 for disk in plan.disks):
        return Change(f"spread over {len(hosts)} hosts", anywhere)
    hosts |= {f"another host, {number}" for number in range(len(hosts), MORE_HOSTS)}
    mounts = {disk.datastore: frozenset(hosts) for disk in plan.disks}
    text = f"spread over {len(hosts)} hosts, which must have the datastores mounted"
    return Change(text, replace(anywhere, mounts=mounts))
