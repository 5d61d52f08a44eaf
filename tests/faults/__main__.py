"""`python -m tests.faults`: the sweeps as tables; ends with 1 when a run leaks or lies.

Every call fails, every call is answered with a lie, and SIGTERM comes with every call; by each method.
"""

import logging
import sys

from tests.faults import stops
from tests.faults.sweep import Way, sweep, table
from tests.lab.faults import FAULTS
from tests.lab.lies import LIES

WAYS = (Way(), Way(method="ssh"))


def main() -> int:
    """Sweep, print the tables and what must not be, and say whether there was any."""
    logging.basicConfig(level=logging.CRITICAL)
    runs, bad = 0, []
    for way in WAYS:
        for kinds in (FAULTS, LIES):
            verdicts = sweep(kinds, way)
            print(f"method {way.method}, scope {way.scope}\n\n{table(verdicts, kinds)}\n", flush=True)
            runs += len(verdicts)
            bad += [str(one) for one in verdicts if one.problems]
        endings = stops.sweep(way=way)
        print(f"method {way.method}, scope {way.scope}\n\n{stops.table(endings)}\n", flush=True)
        runs += len(endings)
        bad += [str(one) for one in endings if one.problems]
    print("exit codes: 0 the copy is complete, 8 a copy may be running, 9 told to stop, others by family")
    print("\n".join(bad))
    print(f"{runs} runs, {len(bad)} of them bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
