"""`python -m tests.faults`: the fault sweep as a table for each method; ends with 1 when a fault leaks or lies."""

import logging
import sys

from tests.faults.sweep import Way, sweep, table


def main() -> int:
    """Sweep, print the tables and what must not be, and say whether there was any."""
    logging.basicConfig(level=logging.CRITICAL)
    verdicts = []
    for way in (Way(), Way(method="ssh")):
        found = sweep(way=way)
        print(f"method {way.method}, scope {way.scope}\n\n{table(found)}\n", flush=True)
        verdicts += found
    print("exit codes: 0 the copy is complete, 8 a copy may be running, others by family")
    bad = [one for one in verdicts if one.problems]
    for one in bad:
        print(f"{one.label}, {one.fault.kind}: exit code {one.code} {one.text}: {'; '.join(one.problems)}")
    print(f"{len(verdicts)} runs, {len(bad)} of them bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
