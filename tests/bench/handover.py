"""How fast a slot changes hands, released and after a death, and what the waiting costs; beside the Go rule."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator

from tests.bench.crew import Cluster, Crew, cluster, share
from tests.bench.figure import Figure
from tests.bench.waiter import Orders

WAITERS, HOLD, DURATION = 20, 1.0, 10
QUEUES = 6
"""one after the other, as one has too few handovers for a 99th percentile"""
DEATHS = 6
FOR_EVER = 3600.0


def measure() -> Iterator[Figure]:
    """Yield all figures of this part; the Go rule's slow queue stands beside ours all the time."""
    with cluster() as here:
        slow = orders(here, "go", "go-queue", {"host-1": names(WAITERS)}, 1.0)
        with Crew([slow]) as go:
            go.go()
            yield from queues(here)
            killed, go_killed = deaths(here, "ours"), deaths(here, "go")
            yield Figure(
                f"holder killed -> next holder, slowest of {DEATHS}",
                max(killed),
                DURATION,
                DURATION + 1,
                "s",
                f"Go rule: {statistics.median(go_killed):.1f} s, at most {max(go_killed):.1f} s",
            )
            go.wait()
        handovers, calls = go.handovers, sum(go.calls.values()) / WAITERS
        yield Figure(
            "the same queue by the Go rule: handover, median",
            statistics.median(handovers),
            0,
            20,
            "s",
            f"at most {max(handovers):.1f} s; {calls:.1f} calls per waiter in {statistics.mean(go.waits):.0f} s",
        )


def queues(here: Cluster) -> Iterator[Figure]:
    """Let waiters, each in a process of its own, stand in one queue, several times."""
    handovers: list[float] = []
    waits: list[float] = []
    calls: Counter[str] = Counter()
    for number in range(QUEUES):
        ours = orders(here, "ours", f"queue-{number}", {"host-1": names(WAITERS)}, HOLD)
        with Crew(share(ours, WAITERS)) as crew:
            crew.go()
            crew.wait()
        handovers += crew.handovers
        waits += crew.waits
        calls += crew.calls
    handovers.sort()
    waited, waiters = statistics.mean(waits), QUEUES * WAITERS
    note = f"{len(handovers)} handovers in {QUEUES} queues of {WAITERS} waiters, holding {HOLD:.0f} s each"
    yield Figure("slot released -> next holder, median", statistics.median(handovers), 0.01, 0.1, "s", note)
    yield Figure(
        "slot released -> next holder, p99",
        statistics.quantiles(handovers, n=100, method="inclusive")[98],
        0.01,
        0.5,
        "s",
        f"at most {handovers[-1]:.2f} s",
    )
    yield Figure(
        "calls to the API server per waiter",
        sum(calls.values()) / waiters,
        4,
        10 + waited / 30,
        "calls",
        f"in {waited:.0f} s of waiting; {(calls['PUT 409'] + calls['POST 409']) / waiters:.1f} claims lost",
    )


def deaths(here: Cluster, rule: str) -> list[float]:
    """Kill holders, each with one waiter; return the seconds until each slot had its next holder."""
    hosts = [f"host-{number}" for number in range(DEATHS)]
    held = orders(here, rule, f"deaths-{rule}", {host: ["victim"] for host in hosts}, FOR_EVER, slots=1)
    wanted = orders(here, rule, f"deaths-{rule}", {host: ["heir"] for host in hosts}, 0.0, slots=1)
    with Crew([held]) as victims, Crew([wanted]) as heirs:
        victims.go()
        victims.wait_until_held(hosts)
        heirs.go()
        time.sleep(2 * DURATION / 3)  # so that the heirs have seen renewals
        victims.processes[0].kill()
        killed = time.monotonic()
        heirs.wait()
    return [turn.got - killed for turn in heirs.turns]


def orders(
    here: Cluster, rule: str, namespace: str, hosts: dict[str, list[str]], hold: float, slots: int = 2
) -> Orders:
    """Return the orders for a queue in a namespace of its own."""
    return Orders(here.kubeconfig, here.namespace(namespace), rule, hosts, DURATION, slots, hold)


def names(count: int) -> list[str]:
    """Return identities."""
    return [f"pod-{number}" for number in range(count)]
