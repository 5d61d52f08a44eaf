"""The fault sweep: every remote call of one run fails once, in every way there is, and the world is looked at after it.

With the method `ssh`, the commands that are sent to the host are calls, too.

The runs happen in this process, several at a time, each worker in a lab of its own; they are the program's own story
with its real parts and Forklift's arguments. A run is good when it left nothing behind (or says that a copy may be
running and left all in place), did no harm, started no second copy, and called nothing a success that is not one.
"""

import itertools
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from populator.clock import Clock
from populator.report.outcome import explain, outcome_of
from populator.report.page import Page
from populator.report.run import Report
from populator.settings.parse import parse_settings
from populator.stories import populate as story
from populator.wiring import RealParts
from tests.faults.pool import run_all
from tests.lab import arrays, world
from tests.lab.faults import FAULTS, nth
from tests.lab.lab import Lab, Target
from tests.lab.lies import LIES
from tests.lab.pki import Pki

WAITING, WORKING = 12, 4
"""labs at a time: most wait where calls hang, and else they share the processor"""
NAMES = re.compile(
    r"(?<=naa\.)[0-9a-f]+|(?<=wrapper\.)[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=disk-)\d+|(?<=slot-)\d+"
    r"|(?<=::)[0-9a-f]{16}"
)
"""what differs between runs in the path of a call"""
DEFAULTS = {
    "storage-skip-ssl-verification": "false",
    "storage-http-timeout-seconds": "3",
    "metrics-path": "/metrics",
    "termination-message-path": "/dev/null",
}
FROM_ENVIRONMENT = {
    "storage-hostname": "STORAGE_HOSTNAME",
    "storage-username": "STORAGE_USERNAME",
    "storage-password": "STORAGE_PASSWORD",
    "storage-token": "STORAGE_TOKEN",
    "vsphere-hostname": "GOVMOMI_HOSTNAME",
    "vsphere-username": "GOVMOMI_USERNAME",
    "vsphere-password": "GOVMOMI_PASSWORD",
    "kubeconfig": "KUBECONFIG",
}
SOURCES = {"vvol": (world.VVOL_VM, world.VVOL_DISK), "rdm": (world.RDM_VM, world.RDM_DISK)}
"""VM and disk, by the kind that an array copies"""
COPY_SECONDS = 0.3
"""enough for a few polls"""
UNEXPECTED, MAY_BE_RUNNING = 1, 8
COMMAND_FAULTS = ("before", "after", "hang")
"""see `Sshd.break_command`"""


@dataclass(frozen=True)
class Fault:
    """A call, by its number in the run, and what happens to it."""

    number: int
    kind: str
    command: bool = False
    """whether it is a command over SSH; they have numbers of their own"""


@dataclass(frozen=True)
class Way:
    """How the runs are made."""

    scope: str = "copy"
    method: str = "vib"
    """`vib` or `ssh`, by which a host copies; `vvol` or `rdm`, the kind of disk that the array does"""
    vendor: str = "ontap"
    hosts: str = "vm"
    """those that may copy; with `any` the VM's own lacks the wrapper, so that it is left for the other one"""

    @property
    def source(self) -> tuple[str, str]:
        """Return VM and disk."""
        return SOURCES.get(self.method, (world.PLAIN_VM, world.PLAIN_DISK))

    @property
    def by_array(self) -> bool:
        """Return whether the array copies by itself."""
        return self.method in SOURCES

    def __str__(self) -> str:
        """Return it for people."""
        hosts = "" if self.hosts == "vm" else f", hosts {self.hosts}"
        return f"array {self.vendor}, method {self.method}, scope {self.scope}{hosts}"


@dataclass
class Verdict:
    """What became of a run."""

    fault: Fault
    label: str
    code: int
    text: str
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return what was done and what became of it, for people."""
        return f"{self.fault} {self.label}: exit code {self.code} {self.text}: {'; '.join(self.problems)}"


def sweep(
    kinds: tuple[str, ...] = FAULTS, way: Way | None = None, *, in_turn: bool = False, every: int = 1
) -> list[Verdict]:
    """Run all faults of these kinds in one way; return a verdict for each, in the order of the calls.

    With `in_turn` each call meets only one of the kinds, the next call the next one; with `every` only every so-manieth
    call meets any.
    """
    way = way or Way()
    with trusted_pki() as pki:
        with Lab(pki=pki, array=way.vendor) as lab:
            run(lab, Fault(0, "none"), way)
            calls, commands = len(lab.ledger.calls), len(commands_of(lab, way))
        turn = itertools.cycle(kinds)
        faults = [
            Fault(number, kind)
            for number in range(1, calls + 1, every)
            for kind in ((next(turn),) if in_turn else kinds)
        ]
        if kinds != LIES:
            faults += [
                Fault(number, kind, True) for number in range(1, commands + 1) for kind in COMMAND_FAULTS
            ]
        faults.sort(key=lambda fault: fault.kind != "hang")  # which take longest
        verdicts = run_all(
            way.vendor,
            pki,
            faults,
            lambda lab, fault: run(lab, fault, way),
            WAITING if "hang" in kinds else WORKING,
        )
    order = (*FAULTS, *LIES)
    return sorted(
        verdicts, key=lambda one: (one.fault.command, one.fault.number, order.index(one.fault.kind))
    )


def commands_of(lab: Lab, way: Way) -> list[str]:
    """Return what the host was told over SSH."""
    return lab.host.ssh.commands if way.method == "ssh" else []


@contextmanager
def trusted_pki() -> Iterator[Pki]:
    """Make one authority for all labs, and have the array's client in this process trust it."""
    variable = "REQUESTS_CA_BUNDLE"
    before = os.environ.get(variable)
    with tempfile.TemporaryDirectory(prefix="xcopy-sweep-") as name:
        pki = Pki(Path(name))
        os.environ[variable] = str(pki.ca_file)
        try:
            yield pki
        finally:
            os.environ.pop(variable)
            if before is not None:
                os.environ[variable] = before


def begin(lab: Lab, way: Way) -> Target:
    """Make a new world for one run, and return its volume."""
    lab.tidy()
    for host in lab.hosts.values():
        host.copy_seconds = COPY_SECONDS
    lab.host.plugin_installed = way.hosts == "vm"
    if way.by_array:
        lab.add_source(way.source[1])
        arrays.copying(lab.array).copy_seconds = COPY_SECONDS
    return lab.add_target()


def run(lab: Lab, fault: Fault, way: Way) -> Verdict:
    """Populate once with the fault, and judge."""
    target = begin(lab, way)
    report, error = populate(lab, target, fault, way)
    calls = [f"{call.service}: {call.label}" for call in lab.ledger.calls]
    if fault.command:
        calls = [f"ssh: {command}" for command in commands_of(lab, way)]
    label = NAMES.sub("…", calls[fault.number - 1]) if fault.number <= len(calls) else "(not reached)"
    code, text = outcome_of(error).exit_code, " ".join(explain(error)) if error else ""
    verdict = Verdict(fault, label, code, text)
    verdict.problems = problems(lab, target, way, report, code, text)
    if fault.kind in LIES and (report.left_steps or report.undo_failures):
        # Lied to, it may leave something, as long as it says so.
        verdict.problems = [one for one in verdict.problems if one not in lab.leftovers(target)]
    return verdict


def populate(lab: Lab, target: Target, fault: Fault, way: Way) -> tuple[Report, Exception | None]:
    """Run the program's work; return its report and its error."""
    environment = lab.environment() | {"HOST_LEASE_SCOPE": way.scope}
    rule = nth(fault.number, fault.kind)
    if way.method == "ssh":
        environment |= {name: value or "" for name, value in lab.start_ssh().items()}
        environment["SSH_TIMEOUT_SECONDS"] = "3"
    if fault.command:
        rule = nth(0, "none")
        lab.host.ssh.break_command(fault.kind, number=fault.number)
    vm, disk = way.source
    given: dict[str, str | None] = dict(DEFAULTS | lab.arguments(target, disk, vm))
    given["copy-hosts"] = way.hosts
    given["esxi-clone-method"] = "vib" if way.by_array else way.method
    given |= {name: environment.get(variable) for name, variable in FROM_ENVIRONMENT.items()}
    settings = parse_settings(given, environment)
    clock = Clock()
    report = Report(Page(target.uid, way.vendor, way.method), clock)
    lab.ledger.reset(rule)
    try:
        with RealParts(settings, clock, report) as parts:
            story.populate(parts)
    except Exception as error:  # noqa: BLE001 - judged by the caller
        return report, error
    return report, None


def harm_of(lab: Lab, target: Target) -> list[str]:
    """Return what no run may ever do: harm to a host, or one byte written to any LUN but its own."""
    found = [f"{host.name}: {harm}" for host in lab.hosts.values() for harm in (*host.harm, *host.unclean)]
    return found + [
        f"{naa} was written to"
        for naa, lun in lab.san.luns.items()
        if lun.bytes_written and naa != target.naa
    ]


def problems(lab: Lab, target: Target, way: Way, report: Report, code: int, text: str) -> list[str]:
    """Return what must not be."""
    found = harm_of(lab, target)
    if code == 0 and not lab.copied(target, way.source[1]):
        found.append("WRONG SUCCESS")
    if (report.page.percent == 100) != (code == 0):
        found.append(f"the page shows {report.page.percent} % after exit code {code}")
    started = sum(host.clones_started[target.naa] for host in lab.hosts.values())
    if started > 1:
        found.append("a second copy was started")
    if code == UNEXPECTED:
        found.append(f"not explained: {text}")
    if code != MAY_BE_RUNNING:
        found += lab.leftovers(target)
    elif not lab.san.mappings(target.naa) and started:
        found.append("the mapping is gone, though a copy may be running")
    return found


def tabulated(way: Way, kinds: tuple[str, ...]) -> tuple[str, int, list[str]]:
    """Sweep, in a process of its own, and return the table, the number of runs, and those that were bad."""
    logging.basicConfig(level=logging.CRITICAL)
    verdicts = sweep(kinds, way)
    return table(verdicts, kinds), len(verdicts), [str(one) for one in verdicts if one.problems]


def table(verdicts: list[Verdict], kinds: tuple[str, ...] = FAULTS) -> str:
    """Return a line a call, and an exit code for each kind of fault; `!` marks what must not be."""
    rows: dict[tuple[bool, int, str], dict[str, str]] = {}
    for one in verdicts:
        cell = str(one.code) + ("!" if one.problems else "")
        rows.setdefault((one.fault.command, one.fault.number, one.label), {})[one.fault.kind] = cell
    lines = [f"{'call':<78}" + "".join(f"{kind:>8}" for kind in kinds)]
    for (_, number, label), cells in sorted(rows.items()):
        lines.append(
            f"{number:>3} {label[-73:]:<74}" + "".join(f"{cells.get(kind, ''):>8}" for kind in kinds)
        )
    return "\n".join(lines)
