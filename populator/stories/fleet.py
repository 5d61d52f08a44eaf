"""Many hosts, a few at a time: the package onto each of them or off it, none in another's way.

Promises that never more hosts are visited at once than asked for, that what fails on one leaves the others alone,
and that, told to stop, the hosts under way are finished (each command there has its timeout) and no other is begun.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol

from populator.clock import Clock
from populator.report.outcome import explain
from populator.settings.fleet import FleetSettings, HostAddress
from vsphere.errors import VsphereError
from vsphere.vcenter.hosts import ManagedHost
from vsphere.vib.installer import HostOutcome, Options, Story, carry_out
from vsphere.vib.package import Package
from vsphere.vib.software import HostSoftware

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
NOT_BEGUN = HostOutcome(UNKNOWN, UNKNOWN, "not begun: told to stop", "Run this again.", failed=True)


class FleetParts(Protocol):
    """What a visit to many hosts may take."""

    @property
    def settings(self) -> FleetSettings:
        """The settings of this run."""

    @property
    def clock(self) -> Clock:
        """Time, and the wish to stop."""

    @property
    def package(self) -> Package:
        """The package that is to be on the hosts."""

    def managed_hosts(self) -> Sequence[ManagedHost]:
        """Return the hosts that vCenter has where we were told to look."""

    def software(self, host: HostAddress, clock: Clock) -> AbstractContextManager[HostSoftware]:
        """Reach the packages of a host, until the end of the block; for the thread of one visit."""

    def lasting_clock(self) -> Clock:
        """Return a clock that nobody stops: a host that was begun is finished."""


def visit_all(story: Story, parts: FleetParts) -> list[tuple[str, HostOutcome]]:
    """Go through with a story on every host; return names and outcomes, in their order."""
    visit = Visit(story, parts)
    hosts = parts.settings.hosts or discover(parts)
    with ThreadPoolExecutor(parts.settings.parallel, "host") as pool:
        visits = [(host, pool.submit(visit, host)) for host in hosts]
    return [(host.name, outcome_of(future)) for host, future in visits]


class Visit:
    """What is done on each host, in a thread of its own."""

    def __init__(self, story: Story, parts: FleetParts) -> None:
        self._story, self._parts = story, parts
        self._package = parts.package
        self._options = Options(restart_hostd=parts.settings.restart_hostd, dry_run=parts.settings.dry_run)

    def __call__(self, host: HostAddress) -> HostOutcome:
        """Visit a host, unless told to stop before."""
        if self._parts.clock.stopping():
            return NOT_BEGUN
        facts = {"host": host.name}
        log.info("begins", extra={"facts": facts})
        clock = self._parts.lasting_clock()
        with self._parts.software(host, clock) as software:
            outcome = carry_out(self._story, software, self._package, self._options, clock)
        log.log(
            logging.ERROR if outcome.failed else logging.INFO, "%s", outcome.result, extra={"facts": facts}
        )
        return outcome


def outcome_of(visit: Future[HostOutcome]) -> HostOutcome:
    """Return what came of a visit, also where it could not even look at the host."""
    error = visit.exception()
    if error is None:
        return visit.result()
    text, hint = explain(error)
    return HostOutcome(UNKNOWN, UNKNOWN, f"failed: {text}", hint, failed=True)


def discover(parts: FleetParts) -> tuple[HostAddress, ...]:
    """Return the hosts that vCenter has; those whose address it does not report are left out, with a warning."""
    settings, managed = parts.settings, parts.managed_hosts()
    for host in managed:
        if not host.address:
            log.warning("left out: %s", host.problem, extra={"facts": {"host": host.name}})
    hosts = tuple(HostAddress(host.name, host.address, settings.ssh.port) for host in managed if host.address)
    if not hosts:
        place = f"datacenter {settings.datacenter}" if settings.datacenter else "vCenter"
        raise VsphereError(f"There is no host to visit in {place}.", "Name the hosts: --esxi-hosts.")
    return hosts
