"""Crowds: a thousand waiters on one host, and fifty hosts with twenty each, all within a second."""

import statistics
from collections.abc import Iterator

from tests.bench.crew import Cluster, Crew, cluster, share
from tests.bench.figure import Figure
from tests.bench.handover import names, orders

PROCESSES = 8
"""with threads in them, as a thousand processes do not fit on a small machine"""


def measure() -> Iterator[Figure]:
    """Yield all figures of this part."""
    with cluster() as here:
        yield from crowd(here, "many-hosts", hosts=50, waiters=20, hold=6.0)
    with cluster() as here:
        yield from crowd(here, "one-host", hosts=1, waiters=1000, hold=1.0)


def crowd(here: Cluster, name: str, *, hosts: int, waiters: int, hold: float) -> Iterator[Figure]:
    """Let a crowd through; ideal is that no slot is ever idle."""
    who = names(waiters)
    all_hosts = {f"host-{number}": who for number in range(hosts)}
    before = here.cpu()
    with Crew(share(orders(here, "ours", name, all_hosts, hold), PROCESSES)) as crew:
        crew.go()
        crew.wait()
    server, many = here.cpu() - before, hosts * waiters
    if len(crew.turns) != many:
        raise SystemExit(f"{many - len(crew.turns)} waiters never got a slot")
    ideal, waited = (waiters / 2 - 1) * hold, statistics.mean(crew.waits)
    title = f"{hosts} host{'s' * (hosts > 1)} x {waiters} waiters"
    note = f"holding {hold:.0f} s; CPU: API server {server:.0f} s, waiters {crew.cpu:.0f} s"
    yield Figure(f"{title}: longest wait", crew.waits[-1], ideal, 1.5 * ideal, "s", note)
    refused = sum(number for call, number in crew.calls.items() if call.endswith(" 429"))
    lost = sum(number for call, number in crew.calls.items() if call.endswith(" 409"))
    calls = sum(crew.calls.values()) / many
    note = f"in {waited:.0f} s; {lost / many:.1f} claims lost, {refused} answers 429"
    yield Figure(f"{title}: calls per waiter", calls, 4, 10 + waited / 30, "calls", note)
    handovers = crew.handovers
    note = f"p99 {handovers[int(len(handovers) * 0.99)]:.2f} s"
    yield Figure(f"{title}: handover, median", statistics.median(handovers), 0.01, 0.5, "s", note)
