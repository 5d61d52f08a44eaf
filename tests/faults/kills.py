"""The kill sweep: SIGKILL with every remote call of a run, and then `populator recover --apply`.

Both are real processes. A run is good when after it host, array and Leases are as they were found, nothing was harmed,
and `recover` says so. It is called as an administrator would: when the Leases of the dead have expired.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.pool import run_all
from tests.faults.stops import Stop
from tests.faults.sweep import NAMES, Way, begin, harm_of, trusted_pki
from tests.lab.faults import Call
from tests.lab.lab import TARGET_NAMESPACE, Lab, Target
from tests.lab.program import ROOT, Program
from tests.lab.waiting import wait_until

DURATION = 5
"""seconds, of the Leases"""
WORKERS = 8
"""most of them wait"""
METHODS = ("vib", "ssh")
VENDORS = ("ontap", "powerstore", "flashsystem")
"""one that makes groups of its own for each host, one that has the administrator's hosts, one that shares a token"""
WAYS = tuple(Way(vendor=vendor, method=method) for vendor in VENDORS for method in METHODS)


@dataclass
class Aftermath:
    """What became of a run that was killed, and of what it left."""

    number: int
    label: str
    code: int
    """of `recover`"""
    found: list[str]
    """what it says that it found"""
    calls: int
    """that the run made"""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return when it was killed and what became of it, for people."""
        return f"SIGKILL with {self.number} {self.label}: recover ended with {self.code}: {'; '.join(self.problems)}"


class Killer:
    """A rule for the ledger: sends SIGKILL with a call."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.program: Program | None = None

    def __call__(self, call: Call) -> str | None:
        """Let the call through: what it asks for may well be done."""
        if call.number == self.number and self.program:
            os.kill(self.program.pid, signal.SIGKILL)
        return None


def sweep(way: Way, every: int = 1) -> list[Aftermath]:
    """Kill a run at each call, or at every so-manieth; return what became of each, in order."""
    with trusted_pki() as pki:
        with Lab(pki=pki, array=way.vendor) as lab:
            calls = run(lab, Stop(10**6, "answering"), way).calls
        kills = [Stop(number, "answering") for number in range(1, calls + 1, every)]
        ends = run_all(way.vendor, pki, kills, lambda lab, stop: run(lab, stop, way), WORKERS)
    return sorted(ends, key=lambda one: one.number)


def run(lab: Lab, stop: Stop, way: Way) -> Aftermath:
    """Populate once, kill it, put things in order, and judge."""
    target = begin(lab, way)
    state = lab.array.state()
    environment: dict[str, str | None] = {"HOST_LEASE_DURATION_SECONDS": str(DURATION)}
    if way.method == "ssh":
        environment |= lab.start_ssh()
    killer = Killer(stop.number)
    lab.ledger.reset(killer)
    vm, disk = way.source
    with lab.program(target, environment=environment, vm=vm, disk=disk) as program:
        killer.program = program
        ended = program.wait()
    calls = [f"{call.service}: {call.label}" for call in lab.ledger.calls]
    label = NAMES.sub("…", calls[stop.number - 1]) if stop.number <= len(calls) else "(not reached)"
    lab.ledger.reset()
    if ended == -signal.SIGKILL:
        time.sleep(
            DURATION + 1.0
        )  # the Leases have run out by then, also for who looks at nothing but their dates
        wait_until(lambda: not lab.host.running_copies)
    code, found, said = recover(lab, way, environment)
    after = Aftermath(stop.number, label, code, found, len(calls))
    after.problems = problems(lab, target, after, said)
    if (now := lab.array.state()) != state:
        after.problems.append(f"the array is not as found: {now}")
    return after


def recover(lab: Lab, way: Way, environment: dict[str, str | None]) -> tuple[int, list[str], str]:
    """Run the command; return its exit code, what it found, and what it said."""
    given = {name: value or "" for name, value in environment.items()}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "populator", "recover", "--apply", "--output=json"),
            f"--storage-vendor-product={way.vendor}",
            f"--esxi-clone-method={'ssh' if way.method == 'ssh' else 'vib'}",
            f"--namespaces={TARGET_NAMESPACE}",
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **lab.environment(), **given, "HOSTNAME": "admin"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    items = json.loads(done.stdout)["items"] if done.stdout else []
    return done.returncode, [f"{item['found']}: {item['state']}" for item in items], done.stderr


def problems(lab: Lab, target: Target, after: Aftermath, said: str) -> list[str]:
    """Return what must not be."""
    found = harm_of(lab, target) + lab.leftovers(target)
    if after.code != 0:
        found.append(f"recover said: {'; '.join(after.found)} {said.strip()}")
    return found


def tabulated(way: Way) -> tuple[str, int, list[str]]:
    """Sweep, and return the table, the number of runs, and those that were bad."""
    ends = sweep(way)
    return table(ends), len(ends), [str(one) for one in ends if one.problems]


def table(ends: Sequence[Aftermath]) -> str:
    """Return a line a call: how much was found and put in order; `!` marks what must not be."""
    lines = [f"{'SIGKILL with, then recover --apply':<68}{'code':>6}{'found':>7}"]
    for one in ends:
        bad = "!" if one.problems else ""
        lines.append(f"{one.number:>3} {one.label[-63:]:<64}{one.code:>6}{len(one.found):>7}{bad}")
    return "\n".join(lines)
