"""`python -m tests.faults [VENDOR …]`: the sweeps as tables, on all arrays or some; 1 when a run leaks or lies.

Every call fails, every call is answered with a lie, and SIGTERM comes with every call; by each method, and on the array
of each vendor, also where that copies by itself. SIGKILL comes with every call, too, after which `populator recover
--apply` has to put in order what was left. The sweeps that run in this program's own threads share the processors, each
in a process of its own; those of signals start processes by themselves, and come one after the other, since they are
judged by the time they take.
"""

import multiprocessing
import os
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor

from populator.storage.registry import VENDORS
from tests.faults import kills, stops, sweep
from tests.faults.sweep import Way
from tests.lab.faults import FAULTS
from tests.lab.lies import LIES

WAYS = (
    Way(method="ssh"),
    Way(hosts="any"),
    *(Way(vendor=vendor) for vendor in VENDORS),
    *(Way(vendor=name, method=kind) for name, vendor in VENDORS.items() for kind in sorted(vendor.copies)),
)
CODES = "exit codes: 0 the copy is complete, 8 a copy may be running, 9 told to stop, others by family"


def sweeps(vendors: Collection[str]) -> Iterator[tuple[Way, str, int, list[str]]]:
    """Make all on the vendors' arrays, and return each with its way as soon as it is done, in a fixed order."""
    ways = [way for way in WAYS if way.vendor in vendors]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        made = [(way, pool.submit(sweep.tabulated, way, kinds)) for way in ways for kinds in (FAULTS, LIES)]
        for way, result in made:
            yield way, *result.result()
    for way in ways:
        yield way, *stops.tabulated(way)
    for way in kills.WAYS:
        if way.vendor in vendors:
            yield way, *kills.tabulated(way)


def main(vendors: list[str]) -> int:
    """Sweep, print the tables and what must not be, and say whether there was any."""
    if unknown := set(vendors) - set(VENDORS):
        print(
            f"no such vendor: {', '.join(sorted(unknown))}; there are: {', '.join(VENDORS)}", file=sys.stderr
        )
        return 2
    runs, bad = 0, []
    for way, text, number, found in sweeps(vendors or VENDORS):
        print(f"{way}\n\n{text}\n", flush=True)
        runs += number
        bad += found
    print(CODES)
    print("\n".join(bad))
    print(f"{runs} runs, {len(bad)} of them bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
