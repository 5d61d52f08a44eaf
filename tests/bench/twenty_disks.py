"""Twenty disks for one host at once, whole programs, by both scopes of the lease.

Twenty Python processes need a while to start on a small machine, and that is not what is measured: the array lets
nobody map a LUN until all have come that far. From then on the time counts, to the moment the last program has torn
down.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from tests.bench.figure import Figure
from tests.lab.arrays import lab_of
from tests.lab.arrays.ontap.lab import OntapLab
from tests.lab.arrays.rest import Request
from tests.lab.esxi import STOCK
from tests.lab.lab import Lab
from tests.lab.program import Program
from tests.lab.world import DATA_DISK, FC_DISK, FC_VM, PLAIN_DISK, PLAIN_VM, SIMPLE_DISK, SIMPLE_VM

DISKS, COPY, RESCAN = 20, 6.0, 2.0
TOGETHER = 120
"""seconds within which all must have come to the starting line"""
MAPS = "/protocols/san/lun-maps"
SOURCES = (
    {"vm": PLAIN_VM, "disk": PLAIN_DISK},
    {"vm": PLAIN_VM, "disk": DATA_DISK},
    {"vm": FC_VM, "disk": FC_DISK},
    {"vm": SIMPLE_VM, "disk": SIMPLE_DISK},
)
"""a disk for each host, since what copies leave beside a disk would meet there"""


def measure() -> Iterator[Figure]:
    """Yield all figures of this part."""
    # Our wrapper would run its shells on the cores that are measured, and the lab's proxies their TLS: this one is a
    # model, and those are left out.
    with Lab("real", proxied=False, wrapper=STOCK) as lab:
        ideal = DISKS / 2 * COPY
        yield run(lab, "copy", ideal, ideal * 1.05 + RESCAN)
        yield run(lab, "rescan", COPY + RESCAN, COPY + RESCAN + 3)


def run(lab: Lab, scope: str, ideal: float, reach: float) -> Figure:
    """Populate all disks on one host in one scope."""
    took = populate(lab, scope, [lab.host.moid] * DISKS).seconds
    copies = [one for one in lab.host.history if one.name == "clone"]
    rescans = sum(one.name == "rescan add" for one in lab.host.history)
    note = f"{len(copies)} copies, {rescans} rescans for new devices, at most {lab.host.max_overlap} steps at once"
    return Figure(f"{DISKS} disks on one host, scope {scope}", took, ideal, reach, "s", note)


@dataclass(frozen=True)
class Night:
    """What became of all disks."""

    seconds: float
    programs: list[Program]


def populate(lab: Lab, scope: str, hosts: Sequence[str]) -> Night:
    """Populate a disk on each of these hosts, given by their ids, once for each time that it is named."""
    lab.tidy()
    for host in lab.hosts.values():
        host.rescan_seconds, host.copy_seconds = RESCAN, COPY
        # The lab counts copies, too, which are many at once by the other scope.
        host.falls_over = scope == "copy"
    source_of = dict(zip(dict.fromkeys(hosts), SOURCES, strict=False))
    line = threading.Barrier(len(hosts))
    begun: list[float] = []

    def arrive(request: Request) -> None:
        line.wait(TOGETHER)
        begun.append(time.time())

    lab_of(OntapLab, lab.array).simulator.before("POST", MAPS, arrive, len(hosts))
    programs = [
        lab.program(
            lab.add_target(),
            arguments={"storage-http-timeout-seconds": str(TOGETHER), "migration-host": host},
            environment={"HOST_LEASE_SCOPE": scope, "HOSTNAME": f"pod-{n}"},
            scrape_interval=1.0,
            **source_of[host],
        )
        for n, host in enumerate(hosts)
    ]
    with ExitStack() as stack:
        for program in programs:
            stack.enter_context(program)
        for program in programs:
            if program.wait(300):
                raise SystemExit(f"a run failed:\n{program.text()}")
    return Night(max(map(torn_down, programs)) - min(begun), programs)


def torn_down(program: Program) -> float:
    """Return when a program had torn down: what follows is the wait for the controller's last scrape."""
    line = next(line for line in program.lines if line["message"] == line.get("phase") == "last scrape")
    return datetime.fromisoformat(line["time"]).timestamp()
