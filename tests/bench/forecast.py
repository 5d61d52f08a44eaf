"""How near forecasts come to what the lab does, and how fast they are.

Twenty disks, both scopes, one host and four; the forecast is told what the lab's hosts are told, and no more. What it
takes for the steps around a copy (`populator.plan.forecast.Steps`) is from a quiet machine: busy ones are slower.
"""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace

from lease.decision import Scope
from populator.plan.forecast import MIB, Conditions, Forecast, Plan, PlannedDisk, Rates, Steps
from populator.plan.forecast_advice import advise
from populator.plan.forecast_run import simulate
from populator.settings.values import SLOTS
from tests.bench.figure import Figure
from tests.bench.twenty_disks import COPY, DISKS, RESCAN, populate
from tests.lab.esxi import STOCK
from tests.lab.lab import Lab
from tests.lab.world import DISK_SIZE

HOSTS = (1, 4)
OFF = 10.0
"""percent by which a forecast may be off"""
MANY_DISKS, MANY_HOSTS = 5000, 100
SECONDS = 10.0
"""that a forecast of them may take"""
STEPS = Steps(prepare=0.0, rescan=RESCAN, forget=0.03, leave=0.0)
"""of the lab: time counts from when all have come to map their LUN, to the last step; the removal of dead paths is a
call that takes no time of its own"""
BEGIN, FINISH = 0.1, 0.15
"""seconds of a processor for each program and for what answers it, from device to copy and at the copy's end: programs
that do that at the same moment, as they do here and not in a cluster, share the lab's few cores. At the end the bytes
are compared, too. Estimated so that scope rescan with one host comes out as measured on two quiet cores, some 12 s; no
other figure went in"""


def measure() -> Iterator[Figure]:
    """Yield all figures of this part."""
    yield speed()
    with Lab("real", proxied=False, wrapper=STOCK, hosts=max(HOSTS)) as lab:
        for number in HOSTS:
            for scope in Scope:
                yield compare(lab, number, scope)


def compare(lab: Lab, number: int, scope: Scope) -> Figure:
    """Run the disks, spread evenly over so many hosts, and say by how much the forecast is off."""
    names = [host.moid for host in lab.hosts.values()][:number]
    hosts = [names[disk % number] for disk in range(DISKS)]
    took = populate(lab, scope, hosts).seconds
    told = forecast(hosts, scope).makespan
    title = f"{DISKS} disks on {number} host{'s' * (number > 1)}, scope {scope}: forecast off by"
    note = (
        f"{took:.1f} s, forecast {told:.1f} s ({told - took:+.1f} s); load average {os.getloadavg()[0]:.0f}"
    )
    return Figure(title, abs(told - took) / took * 100, 0, OFF, "%", note)


def forecast(hosts: list[str], scope: Scope) -> Forecast:
    """Return the forecast of such a run."""
    disks = tuple(
        PlannedDisk(f"disk {number}", DISK_SIZE, host, "ds one") for number, host in enumerate(hosts)
    )
    rates = Rates(copy=DISK_SIZE / MIB / COPY, array=1e9)
    at_once = DISKS if scope is Scope.RESCAN else min(SLOTS * len(set(hosts)), DISKS)
    share = at_once / (os.cpu_count() or 1)
    steps = replace(STEPS, begin=max(STEPS.begin, BEGIN * share), finish=max(STEPS.finish, FINISH * share))
    return simulate(Plan(disks, {}, Conditions(rates, steps, scope=scope)))


def speed() -> Figure:
    """Measure a forecast of thousands of disks, with what would help; the slower scope, and a busy array."""
    chance = random.Random(1)
    disks = tuple(
        PlannedDisk(
            f"disk {number}",
            int(chance.lognormvariate(4, 1) * 1024 * MIB),
            f"esx-{chance.randrange(MANY_HOSTS)}",
            f"ds-{number % 10}",
        )
        for number in range(MANY_DISKS)
    )
    began = time.monotonic()
    found = simulate(Plan(disks, {}, Conditions(scope=Scope.RESCAN)))
    advice = advise(found)
    took = time.monotonic() - began
    note = f"with {len(advice)} changes that would help; load average {os.getloadavg()[0]:.0f}"
    return Figure(f"forecast of {MANY_DISKS:,} disks over {MANY_HOSTS} hosts", took, 0, SECONDS, "s", note)
