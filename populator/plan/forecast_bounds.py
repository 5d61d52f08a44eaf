"""What no plan can beat, and so what holds it up: for each limit the time that it alone would cost. Pure.

The bottleneck is the limit with the highest of these times. A forecast is never below any of them, which is tested.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lease.decision import Scope
from populator.plan.forecast import MIB, Forecast, HostChoice, Plan, PlannedDisk


class Limit(StrEnum):
    """What there is too little of."""

    SLOTS = "slots"
    HOST_RATE = "host rate"
    IN_FLIGHT = "in-flight limit"
    ARRAY_RATE = "array rate"
    DISK = "one big disk"


@dataclass(frozen=True)
class Bound:
    """The seconds that a limit alone would cost."""

    limit: Limit
    subject: str
    """host or disk that it is about; empty: all hosts"""
    seconds: float


def bottleneck(forecast: Forecast) -> Bound:
    """Return the limit that costs most; there must be a disk."""
    return max(bounds(forecast.plan), key=lambda bound: bound.seconds)


def bounds(plan: Plan) -> Iterator[Bound]:
    """Yield what each limit would cost if there were no other."""
    rates, steps = plan.conditions.rates, plan.conditions.steps
    largest = max(plan.disks, key=lambda disk: disk.size)
    yield Bound(Limit.DISK, largest.name, steps.least + _seconds(largest, rates.alone))
    yield Bound(Limit.ARRAY_RATE, "", steps.prepare + _mib(plan.disks) / rates.array)
    yield from _of_hosts(plan)
    limit = plan.conditions.in_flight
    for host, disks in _by_host(plan.disks).items():
        pods = sum(steps.least + steps.leave + _seconds(disk, rates.alone) for disk in disks)
        yield Bound(Limit.IN_FLIGHT, host, pods / limit - steps.leave)


def _of_hosts(plan: Plan) -> Iterator[Bound]:
    """Yield what the hosts cost: each for its own disks, or together where any of them may copy."""
    rates, steps = plan.conditions.rates, plan.conditions.steps
    anywhere = plan.conditions.choice is HostChoice.ANY
    groups = {"": plan.disks} if anywhere else _by_host(plan.disks)
    for host, disks in groups.items():
        hosts = len({name for disk in disks for name in plan.hosts_for(disk)})
        slots = plan.conditions.slots * hosts
        before = steps.prepare if anywhere else steps.prepare + steps.map_lun
        yield Bound(Limit.SLOTS, host, before + sum(_in_slot(plan, disk) for disk in disks) / slots)
        yield Bound(Limit.HOST_RATE, host, steps.prepare + _mib(disks) / (rates.host * hosts))


def _in_slot(plan: Plan, disk: PlannedDisk) -> float:
    """Return the seconds for which a disk needs a slot whatever others do."""
    rates, steps = plan.conditions.rates, plan.conditions.steps
    if plan.conditions.scope is Scope.RESCAN:
        return steps.detach
    around = steps.begin + steps.finish + steps.detach + steps.unmap + steps.forget
    return around + _seconds(disk, min(rates.copy, rates.host, rates.array))


def _by_host(disks: Sequence[PlannedDisk]) -> Mapping[str, Sequence[PlannedDisk]]:
    hosts = defaultdict(list)
    for disk in disks:
        hosts[disk.host].append(disk)
    return hosts


def _mib(disks: Sequence[PlannedDisk]) -> float:
    return sum(disk.size for disk in disks) / MIB


def _seconds(disk: PlannedDisk, rate: float) -> float:
    return disk.size / MIB / rate
