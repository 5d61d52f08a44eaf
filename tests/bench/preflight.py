"""What a look before a populate costs: one disk with its volume, and several VMs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from tests.bench.figure import Figure
from tests.bench.one_disk import run_bare
from tests.lab import world
from tests.lab.lab import Lab
from tests.lab.program import ROOT

LIMIT = 10.0
"""seconds for one VM"""
SEVERAL = (world.PLAIN_VM, world.FC_VM, world.SNAPSHOT_VM, world.ODD_VM, world.SIMPLE_VM, world.QUOTE_VM)


def measure() -> Iterator[Figure]:
    """Yield the figures of this part; the real kube-apiserver answers."""
    with Lab("real") as lab:
        target = lab.add_target()
        words = [f"--{name}={value}" for name, value in lab.arguments(target).items()]
        yield timed(lab, "preflight of one disk", words, {0})
        plan = [f"--vm={vm}" for vm in SEVERAL]
        vendor = f"--storage-vendor-product={lab.array.vendor}"
        yield timed(lab, f"preflight of {len(SEVERAL)} VMs on two hosts", [*plan, vendor], {0, 10})


def timed(lab: Lab, quantity: str, words: Sequence[str], codes: set[int]) -> Figure:
    """Run the command once; the exit code says whether it saw what there is."""
    lab.ledger.reset()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "populator", "preflight", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **lab.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.monotonic() - began
    if done.returncode not in codes:
        raise SystemExit(f"the preflight saw what is not there:\n{done.stdout}{done.stderr}")
    note = f"{len(lab.ledger.calls)} calls; ideal: an empty Python process"
    return Figure(quantity, took, run_bare(), LIMIT, "s", note)
