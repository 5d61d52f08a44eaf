"""The stop sweep: SIGTERM arrives with every remote call of a run, while the services answer, are slow, or hang.

The runs are real processes, since signals are theirs; several at a time, each worker with a lab of its own. A run is
good when it ends in time, tells truly how it ended and what it left, does no harm, and calls nothing a success that is
not one.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.pool import run_all
from tests.faults.sweep import MAY_BE_RUNNING, NAMES, UNEXPECTED, Way, begin, harm_of, trusted_pki
from tests.lab.faults import Call
from tests.lab.lab import Lab, Target
from tests.lab.program import Program

STATES = {"answering": None, "slow": "pause 2", "hanging": "hang"}
"""of all services from the signal on -> the fault that each call meets"""
IN_TIME = 28.0
"""seconds; SIGKILL comes after 30"""
WORKERS = 10
"""most of them wait"""
KILLED_AFTER = 40.0
"""seconds after the signal for which a run that does not end is waited for"""


@dataclass(frozen=True)
class Stop:
    """The call that SIGTERM arrives with, and how the services are from then on."""

    number: int
    state: str


@dataclass
class Ending:
    """What became of a run."""

    stop: Stop
    label: str
    code: int
    seconds: float
    """from the signal to the end of the process"""
    left: list[str]
    """what the run said that it left"""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return when it was stopped and what became of it, for people."""
        when = f"SIGTERM with {self.stop.number} {self.label}, {self.stop.state}"
        return f"{when}: exit code {self.code}: {'; '.join(self.problems)}"


class Signaller:
    """A rule for the ledger: sends SIGTERM with a call, and lets this and all later calls meet one fault."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.program: Program | None = None
        self.sent: float | None = None

    def __call__(self, call: Call) -> str | None:
        """Return the fault of a call."""
        if call.number < self.stop.number:
            return None
        if call.number == self.stop.number and self.program:
            self.sent = time.monotonic()
            os.kill(self.program.pid, signal.SIGTERM)
        return STATES[self.stop.state]


def sweep(states: Sequence[str] = tuple(STATES), every: int = 1, way: Way | None = None) -> list[Ending]:
    """Stop a run at each call, or at every so-manieth, in each state; return an ending for each, in order."""
    way = way or Way()
    with trusted_pki() as pki:
        with Lab(pki=pki, array=way.vendor) as lab:
            run(lab, Stop(10**6, "answering"), way)
            calls = len(lab.ledger.calls)
        stops = [Stop(number, state) for number in range(1, calls + 1, every) for state in states]
        stops.sort(key=lambda stop: stop.state != "hanging")  # which take longest
        endings = run_all(way.vendor, pki, stops, lambda lab, stop: run(lab, stop, way), WORKERS)
    return sorted(endings, key=lambda one: (one.stop.number, list(STATES).index(one.stop.state)))


def run(lab: Lab, stop: Stop, way: Way) -> Ending:
    """Populate once, stop it, and judge."""
    target = begin(lab, way)
    environment: dict[str, str | None] = {"HOST_LEASE_SCOPE": way.scope, "COPY_HOSTS": way.hosts}
    if way.method == "ssh":
        environment |= lab.start_ssh()
    signaller = Signaller(stop)
    lab.ledger.reset(signaller)
    vm, disk = way.source
    with lab.program(target, environment=environment, vm=vm, disk=disk) as program:
        signaller.program = program
        code = end_of(program, signaller)
        seconds = time.monotonic() - (signaller.sent or time.monotonic())
    calls = [f"{call.service}: {call.label}" for call in lab.ledger.calls]
    label = NAMES.sub("…", calls[stop.number - 1]) if stop.number <= len(calls) else "(not reached)"
    message = program.message
    told = [*message.get("left", []), *message.get("undoFailures", [])]
    ending = Ending(stop, label, code, seconds, told)
    ending.problems = problems(lab, target, way, ending, message.get("reason", ""))
    return ending


def end_of(program: Program, signaller: Signaller) -> int:
    """Wait for the end, for so long after the signal; return the exit code, or that of SIGKILL."""
    while True:
        try:
            return program.wait(1.0)
        except TimeoutError:
            if signaller.sent and time.monotonic() - signaller.sent > KILLED_AFTER:
                return -int(signal.SIGKILL)


def problems(lab: Lab, target: Target, way: Way, ending: Ending, reason: str) -> list[str]:
    """Return what must not be."""
    found = harm_of(lab, target)
    if ending.seconds > IN_TIME:
        found.append(f"it took {ending.seconds:.0f} s")
    if not reason:
        found.append("there is no termination message")
    if ending.code == 0 and not lab.copied(target, way.source[1]):
        found.append("WRONG SUCCESS")
    if ending.code == UNEXPECTED or ending.code < 0:
        found.append(f"it ended with {ending.code}")
    if ending.code == MAY_BE_RUNNING and not (lab.san.mappings(target.naa) or way.by_array):
        found.append("the mapping is gone, though a copy may be running")
    if not ending.left and ending.code != MAY_BE_RUNNING:
        # A slot that could not be released expires by itself.
        held = " is held by " if ending.stop.state != "answering" else "\0"
        found += [f"not told: {one}" for one in lab.leftovers(target) if held not in one]
    return found


def tabulated(way: Way) -> tuple[str, int, list[str]]:
    """Sweep, and return the table, the number of runs, and those that were bad."""
    endings = sweep(way=way)
    return table(endings), len(endings), [str(one) for one in endings if one.problems]


def table(endings: Sequence[Ending]) -> str:
    """Return a line a call: for each state exit code, seconds and number of things left; `!` marks what must not be."""
    rows: dict[tuple[int, str], dict[str, str]] = {}
    for one in endings:
        left = f" left {len(one.left)}" if one.left else ""
        cell = f"{one.code} {one.seconds:.1f} s{left}" + ("!" if one.problems else "")
        rows.setdefault((one.stop.number, one.label), {})[one.stop.state] = cell
    lines = [f"{'SIGTERM with':<68}" + "".join(f"{state:>18}" for state in STATES)]
    for (number, label), cells in sorted(rows.items()):
        lines.append(
            f"{number:>3} {label[-63:]:<64}" + "".join(f"{cells.get(state, ''):>18}" for state in STATES)
        )
    return "\n".join(lines)
