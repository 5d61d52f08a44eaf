"""`python -m tests.bench [PART …]`: the figures of the README, with the ideal and the reach beside each.

Prints a table, then the same as JSON. Without a part, all are measured, one after the other. Ends with 1 when a
figure is out of reach, so that it can be a gate by hand; it is not part of the tests, which are never timed.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from tests.bench import (
    arrays,
    crowd,
    esxi,
    forecast,
    free_hosts,
    handover,
    one_disk,
    preflight,
    ssh,
    twenty_disks,
    vib,
)
from tests.bench.figure import Figure

PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "disk": one_disk.measure,
    "arrays": arrays.measure,
    "lease": handover.measure,
    "twenty": twenty_disks.measure,
    "hosts": free_hosts.measure,
    "forecast": forecast.measure,
    "crowd": crowd.measure,
    "esxi": esxi.measure,
    "ssh": ssh.measure,
    "vib": vib.measure,
    "preflight": preflight.measure,
}


def main(names: list[str]) -> int:
    """Measure, print, and say whether all is within reach."""
    if unknown := set(names) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    try:
        for name in names or PARTS:
            figures.extend(PARTS[name]())
    finally:
        show(figures)
    return 0 if all(one.holds for one in figures) else 1


def show(figures: list[Figure]) -> None:
    """Print what was measured, also where a later part failed."""
    table = Table(*("quantity", "measured", "ideal", "reach", "unit", "", "note"))
    for one in figures:
        mark = "[green]✓" if one.holds else "[red]✗"
        numbers = (f"{number:.2f}" for number in (one.measured, one.ideal, one.reach))
        table.add_row(one.quantity, *numbers, one.unit, mark, one.note)
    Console(width=150).print(table)
    print(json.dumps([asdict(one) | {"holds": one.holds} for one in figures], indent=2))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
