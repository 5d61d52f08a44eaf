"""Runs of the lab under a real Prometheus: enough of them, and different enough, that each query has something to show.

Two runs wait for slots of their host, and then copy at once; on the other host a copy falls back from XCOPY. Then one
fails and one leaves something behind. Forklift's controller reads each of them beside Prometheus, in its own interval.
"""

import json
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.lab import world
from tests.lab.esxi import EsxiHost
from tests.lab.lab import TARGET_NAMESPACE, Lab, Target
from tests.lab.program import ROOT, Program
from tests.lab.prometheus import Prometheus
from tests.lab.waiting import wait_until
from tests.story.test_one_writer import free_slots, take_slots

MANIFEST = ROOT / "deploy/monitoring/rules.yaml"
DASHBOARD = ROOT / "deploy/monitoring/dashboard.json"
POPULATOR, LEASE = "vsphere_xcopy_volume_populator_", "xcopy_populator_host_lease_"
ALERTS = 2
"""that fire in the end"""


@dataclass(frozen=True)
class Run:
    """One populator that was run, and the disk's volume."""

    name: str
    program: Program
    target: Target


@dataclass(frozen=True)
class Night:
    """All runs, in a Prometheus that still answers."""

    prometheus: Prometheus
    runs: tuple[Run, ...]
    began: float
    ended: float

    def ask(self, target: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what one of the dashboard's queries gives over the whole time, without its 0 for want of anything."""
        seconds = f"{self.ended - self.began:.0f}s"
        expr = str(target["expr"]).removesuffix(" or vector(0)")
        for name, value in {"namespace": ".*", "__range": seconds, "__rate_interval": "10s"}.items():
            expr = expr.replace(f"${name}", value)
        return self.prometheus.over_time(expr, self.began, self.ended)


def write_rules(folder: Path) -> Path:
    """Write what the manifest gives the operator as the file that Prometheus reads."""
    rules = folder / "rules"
    rules.write_text(yaml.safe_dump(yaml.safe_load(MANIFEST.read_text())["spec"]))
    return rules


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


class Gate:
    """Lets copies of a host stand at their third percent until it is opened, so that nothing depends on their time."""

    def __init__(self, host: EsxiHost) -> None:
        self._open = threading.Event()
        self._counted, self._host = host.copies.counted, host
        self._steps: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Close it."""
        self._host.copies.counted = self._count
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Open it for good."""
        self._open.set()
        self._host.copies.counted = self._counted

    def _count(self, naa: str) -> None:
        self._counted(naa)
        self._steps[naa] += 1
        if self._steps[naa] > 3:
            self._open.wait()


def play(lab: Lab, prometheus: Prometheus) -> Night:
    """Run all, at once and after each other, and wait until Prometheus has what the last one said."""
    began, (plain, other) = time.time(), lab.hosts.values()
    runs: list[Run] = []

    def start(stack: ExitStack, name: str, vm: str, disk: str) -> Run:
        target = lab.add_target()
        pod: dict[str, str | None] = {"HOSTNAME": f"populate-{name}", "HOST_LEASE_DURATION_SECONDS": "4"}
        program = lab.program(target, vm=vm, disk=disk, environment=pod, scrape_interval=5.0)
        run = Run(name, stack.enter_context(program), target)
        url = program.wait_for(lambda line: "url" in line)["url"]
        prometheus.follow(url, TARGET_NAMESPACE, f"populate-{name}")
        runs.append(run)
        return run

    def seen(expr: str, number: int = 1) -> None:
        wait_until(lambda: len(prometheus.at(expr, time.time())) >= number)

    other.copies.xcopy = False
    plain.copy_seconds = other.copy_seconds = 2.0
    slots = take_slots(lab)
    with ExitStack() as stack:
        with Gate(plain), Gate(other):
            start(stack, "first", world.PLAIN_VM, world.PLAIN_DISK)
            start(stack, "second", world.PLAIN_VM, world.DATA_DISK)
            start(stack, "slow", world.FC_VM, world.FC_DISK)
            seen(f"{LEASE}waiting_seconds > 0", 2)
            free_slots(lab, slots)
            seen(f"{POPULATOR}copy_remaining_seconds", 3)
            seen(f"rate({LEASE}renew_duration_seconds_count[10s]) > 0", 3)
        for run in runs:
            run.program.wait()
    plain.faults.fail_at = 50
    with ExitStack() as stack:
        with Gate(other):
            start(stack, "fails", world.PLAIN_VM, world.PLAIN_DISK)
            leaves = start(stack, "leaves", world.FC_VM, world.FC_DISK)
            leaves.program.wait_for(lambda line: line["message"] == "copy started")
            other.openers[leaves.target.naa] = ("vmkfstools",)
        for run in runs:
            run.program.wait()
    seen(f"last_over_time({POPULATOR}end_info[10m])", len(runs))
    wait_until(lambda: len(prometheus.firing()) == ALERTS)
    return Night(prometheus, tuple(runs), began, time.time())
