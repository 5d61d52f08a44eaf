"""Disks of one busy host spread over four (COPY_HOSTS=any), whole programs, in scope `copy`.

As in `twenty_disks`, the starting line is behind what a small machine needs to start that many Python processes: here
the array lets nobody read the LUN's mappings until all have come that far, which is the last call before the first
slot. From then on the time counts, to the moment the last program has torn down.

Two numbers of disks. Twenty on eight slots need three rounds whatever anybody does, 18 s of copies of 6 s, not the 15 s
of a quarter of one host's time; twenty-four fill the three rounds, so that theirs is exactly a quarter.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.figure import Figure
from tests.bench.twenty_disks import TOGETHER, torn_down
from tests.lab.arrays import lab_of
from tests.lab.arrays.ontap.lab import OntapLab
from tests.lab.arrays.rest import Request
from tests.lab.esxi import STOCK
from tests.lab.lab import Lab

HOSTS, SLOTS, COPY, RESCAN = 4, 2, 6.0, 0.3
"""seconds; with a choice of hosts each copy needs a rescan of its own, inside its slot"""
DISKS = (20, 24)
REACH = 1.15
MAPS = "/protocols/san/lun-maps"


def measure() -> Iterator[Figure]:
    """Yield all figures of this part."""
    with Lab("real", proxied=False, wrapper=STOCK, hosts=HOSTS) as lab:
        for disks in DISKS:
            yield run(lab, disks)


def run(lab: Lab, disks: int) -> Figure:
    """Populate so many disks of one host's VM."""
    lab.tidy()
    for host in lab.hosts.values():
        host.rescan_seconds, host.copy_seconds, host.falls_over = RESCAN, COPY, True
    line = threading.Barrier(disks)
    begun: list[float] = []

    def arrive(request: Request) -> None:
        line.wait(TOGETHER)
        begun.append(time.time())

    lab_of(OntapLab, lab.array).simulator.before("GET", MAPS, arrive, disks)
    programs = [
        lab.program(
            lab.add_target(),
            arguments={"storage-http-timeout-seconds": str(TOGETHER)},
            environment={"COPY_HOSTS": "any", "HOSTNAME": f"pod-{n}"},
            scrape_interval=1.0,
        )
        for n in range(disks)
    ]
    with ExitStack() as stack:
        for program in programs:
            stack.enter_context(program)
        for program in programs:
            if program.wait(300):
                raise SystemExit(f"a run failed:\n{program.text()}")
    took = max(map(torn_down, programs)) - min(begun)
    copies = Counter(
        name for name, host in lab.hosts.items() for step in host.history if step.name == "clone"
    )
    most = max(host.max_overlap for host in lab.hosts.values())
    ideal = math.ceil(disks / (HOSTS * SLOTS)) * COPY
    shares = ", ".join(str(copies[name]) for name in lab.hosts)
    note = f"copies by host: {shares}; at most {most} steps at once on one"
    return Figure(f"{disks} disks of one host on {HOSTS}, scope copy", took, ideal, ideal * REACH, "s", note)
