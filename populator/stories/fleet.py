"""Many hosts, a few at a time: the package onto each of them or off it, none in another's way.

Promises that never more hosts are visited at once than asked for, that what fails on one leaves the others alone,
and that, told to stop, the hosts under way are finished (each command there has its time-out) and no other is begun.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from populator import wiring
from populator.clock import Clock
from populator.errors import SettingsError
from populator.report.outcome import explain
from populator.settings.fleet import FleetSettings, HostAddress
from vsphere.errors import VsphereError
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import HostTrust
from vsphere.vcenter.hosts import find_hosts
from vsphere.vib.build import build_vib
from vsphere.vib.installer import Options, Outcome, Story, carry_out
from vsphere.vib.package import Package, parse_package
from vsphere.vib.software import HostSoftware
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
NOT_BEGUN = Outcome(UNKNOWN, UNKNOWN, "not begun: told to stop", "Run this again.", failed=True)


def visit_all(story: Story, settings: FleetSettings, clock: Clock) -> list[tuple[str, Outcome]]:
    """Go through with a story on every host; return names and outcomes, in their order."""
    visit = Visit(story, settings, clock)
    hosts = settings.hosts or discover(settings, clock)
    with ThreadPoolExecutor(settings.parallel, "host") as pool:
        visits = [(host, pool.submit(visit, host)) for host in hosts]
    return [(host.name, outcome_of(future)) for host, future in visits]


class Visit:
    """What is done on each host, in a thread of its own."""

    def __init__(self, story: Story, settings: FleetSettings, clock: Clock) -> None:
        self._story, self._settings, self._clock = story, settings, clock
        self._package = load_package(settings.vib)
        self._trust = HostTrust(settings.ssh.known_hosts, settings.ssh.fingerprints)
        self._options = Options(restart_hostd=settings.restart_hostd, dry_run=settings.dry_run)

    def __call__(self, host: HostAddress) -> Outcome:
        """Visit a host, unless told to stop before."""
        if self._clock.stopping():
            return NOT_BEGUN
        facts = {"host": host.name}
        log.info("begins", extra={"facts": facts})
        ssh, clock = self._settings.ssh, Clock()  # one that nobody stops: who has begun shall finish
        login = Login(host.name, host.address, ssh.private_key, host.port)
        with Ssh(login, self._trust, clock, ssh.seconds) as shell:
            outcome = carry_out(self._story, HostSoftware(shell), self._package, self._options, clock)
        log.log(
            logging.ERROR if outcome.failed else logging.INFO, "%s", outcome.result, extra={"facts": facts}
        )
        return outcome


def outcome_of(visit: Future[Outcome]) -> Outcome:
    """Return what came of a visit, also where it could not even look at the host."""
    error = visit.exception()
    if error is None:
        return visit.result()
    text, hint = explain(error)
    return Outcome(UNKNOWN, UNKNOWN, f"failed: {text}", hint, failed=True)


def load_package(file: Path | None) -> Package:
    """Return the package in a file, or our own."""
    if file is None:
        return parse_package(build_vib(SCRIPT, PLUGIN_XML, VERSION))
    try:
        return parse_package(file.read_bytes())
    except OSError as error:
        raise SettingsError([f"--vib-path: cannot read {file}: {error.strerror}."]) from error


def discover(settings: FleetSettings, clock: Clock) -> tuple[HostAddress, ...]:
    """Return the hosts that vCenter has; those whose address it does not report are left out, with a warning."""
    if settings.vsphere is None:
        return ()
    with wiring.connect(settings.vsphere, clock) as session:
        found = find_hosts(session, settings.datacenter)
    for host in found:
        if not host.address:
            log.warning("left out: %s", host.problem, extra={"facts": {"host": host.name}})
    hosts = tuple(HostAddress(host.name, host.address, settings.ssh.port) for host in found if host.address)
    if not hosts:
        place = f"datacenter {settings.datacenter}" if settings.datacenter else "vCenter"
        raise VsphereError(f"There is no host to visit in {place}.", "Name the hosts: --esxi-hosts.")
    return hosts
