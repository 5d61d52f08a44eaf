"""Bring the wrapper's package onto one host, or off it: look, decide, act, make sure. The story of `populator vib`.

Promises that a host which cannot have the package is left as found, that none of our files stay on it, and that
"installed" means that the plugin was called through hostd and reported the package's version. Can be run again at any
time, also after being broken off: it looks first, and does what is missing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from vsphere.errors import VsphereError
from vsphere.host.ssh import Output
from vsphere.ports import Clock
from vsphere.vib.decision import NONE, Act, Decision, Facts, decide_install, decide_remove, needs_restart
from vsphere.vib.package import Package
from vsphere.vib.software import HostSoftware

HOSTD_SECONDS = 180.0
"""that hostd gets to come back"""
POLL = 0.5
"""seconds between two looks for it; each look starts a process there"""
RESTART = "/etc/init.d/hostd restart"


@dataclass(frozen=True)
class Options:
    """How to go about it."""

    restart_hostd: bool = True
    dry_run: bool = False
    hostd_seconds: float = HOSTD_SECONDS


@dataclass(frozen=True)
class HostOutcome:
    """What came of one host; `todo` is the user's next step, if there is one."""

    before: str
    after: str
    result: str
    todo: str = ""
    failed: bool = False
    pending: bool = False
    """nothing was to be done, but something is left to do"""


@dataclass(frozen=True)
class HostJob:
    """One host, what was found there, and what is to come onto it."""

    host: HostSoftware
    facts: Facts
    package: Package
    options: Options
    clock: Clock


Story = Callable[[HostJob], HostOutcome]


def carry_out(
    story: Story, host: HostSoftware, package: Package, options: Options, clock: Clock
) -> HostOutcome:
    """Look at a host and go through with a story there; what fails after the look becomes the outcome."""
    facts = host.look(package)
    try:
        return story(HostJob(host, facts, package, options, clock))
    except VsphereError as error:
        todo = error.hint or "Look at the host again."
        return HostOutcome(facts.before, _after_failure(host), f"failed: {error.text}", todo, failed=True)


def install(job: HostJob) -> HostOutcome:
    """Bring the package onto a host."""
    decision = decide_install(job.facts, job.package)
    if settled := _settled(job, decision):
        return settled
    if decision.act is Act.INSTALL:
        output = job.host.install(job.package, force=decision.force)
        if _wants_reboot(output):
            return _outcome(job, "installed, not loaded", "Reboot the host.", failed=True)
    if needs_restart(job.facts, job.package):
        if not job.options.restart_hostd:
            return _outcome(job, "installed, not loaded", f"Restart hostd on the host: {RESTART}.")
        job.host.restart_hostd()
    _await_plugin(job)
    return _outcome(job, f"installed{decision.note}" if decision.act is Act.INSTALL else "loaded")


def remove(job: HostJob) -> HostOutcome:
    """Take the package off a host."""
    if settled := _settled(job, decide_remove(job.facts)):
        return settled
    job.host.remove()
    if job.options.restart_hostd:
        job.host.restart_hostd()
        _await(job, job.host.hostd_answers, "hostd does not answer")
    if (after := _after(job.host)) != NONE:
        raise VsphereError(f"The host still lists {after}.", "See /var/log/esxupdate.log on the host.")
    return _outcome(job, "removed")


def status(job: HostJob) -> HostOutcome:
    """Report how a host stands, and what installing would do; pending where that is not nothing."""
    facts = job.facts
    decision = decide_install(facts, job.package)
    boot = {True: "on", False: "off", None: "unknown"}[facts.secure_boot]
    state = [f"plugin {facts.answers or 'not loaded'}", facts.level, f"Secure Boot {boot}"]
    state += [f"copying onto {device}" for device in facts.copies]
    todo = f"{decision.text} {decision.hint}".strip()
    return HostOutcome(
        facts.before, facts.before, ", ".join(state), todo, pending=decision.act is not Act.NOTHING
    )


def _settled(job: HostJob, decision: Decision) -> HostOutcome | None:
    """Return the outcome where there is nothing to do, or nothing may be done."""
    before = job.facts.before
    if decision.act is Act.REFUSE:
        return HostOutcome(before, before, f"refused: {decision.text}", decision.hint, failed=True)
    if decision.act is Act.NOTHING:
        return HostOutcome(before, before, decision.text, decision.hint)
    if job.options.dry_run:
        return HostOutcome(before, before, f"would {decision.text}")
    return None


def _outcome(job: HostJob, result: str, todo: str = "", *, failed: bool = False) -> HostOutcome:
    return HostOutcome(job.facts.before, _after(job.host), result, todo, failed)


def _wants_reboot(output: Output) -> bool:
    return re.search(r"reboot required:\s*true", output.stdout, re.IGNORECASE) is not None


def _await_plugin(job: HostJob) -> None:
    """Wait until the plugin can be called through hostd; raise where it cannot."""
    host, package = job.host, job.package
    _await(
        job,
        lambda: host.answers() == package.version and host.knows(package.commands),
        f"The host does not answer `esxcli vmkfstools version` with {package.version}",
    )


def _await(job: HostJob, ready: Callable[[], bool], otherwise: str) -> None:
    deadline = job.clock.now() + job.options.hostd_seconds
    while not ready():
        if job.clock.now() >= deadline:
            raise VsphereError(
                f"{otherwise} {job.options.hostd_seconds:.0f} s after hostd was restarted.",
                f"On the host: {RESTART}; if that does not help see /var/log/hostd.log there.",
            )
        job.clock.wait(POLL)


def _after(host: HostSoftware) -> str:
    return str(host.installed() or NONE)


def _after_failure(host: HostSoftware) -> str:
    try:
        return _after(host)
    except VsphereError:
        return "unknown"
