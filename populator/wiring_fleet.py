"""What stands behind the contract of the story of many hosts; see `wiring`. Imported late, since it is slow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from populator.clock import Clock
from populator.errors import SettingsError
from populator.reach import reach_vcenter, trust_of
from populator.report.outcome import explain
from populator.settings.fleet import FleetSettings, HostAddress
from vsphere.errors import VsphereError
from vsphere.host.ssh import Login, Ssh
from vsphere.vcenter.hosts import ManagedHost, find_hosts
from vsphere.vib.build import build_vib
from vsphere.vib.package import Package, parse_package
from vsphere.vib.software import HostSoftware
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION


class RealFleet:
    """The real parts of a visit to many hosts; satisfies `stories.fleet.FleetParts`."""

    def __init__(self, settings: FleetSettings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self._trust = trust_of(settings.ssh)

    @cached_property
    def package(self) -> Package:
        """The package in the file that was named, or our own."""
        file = self.settings.vib
        if file is None:
            return parse_package(build_vib(SCRIPT, PLUGIN_XML, VERSION))
        try:
            return parse_package(file.read_bytes())
        except OSError as error:
            raise SettingsError([f"--vib-path: cannot read {file}: {error.strerror}."]) from error
        except VsphereError as error:
            raise SettingsError([f"--vib-path: {' '.join(explain(error))}"]) from error

    def managed_hosts(self) -> Sequence[ManagedHost]:
        """Return the hosts that vCenter has in the datacenter that was named, or in all."""
        if self.settings.vsphere is None:
            return ()
        with reach_vcenter(self.settings.vsphere, self.clock) as session:
            return find_hosts(session, self.settings.datacenter)

    @contextmanager
    def software(self, host: HostAddress, clock: Clock) -> Iterator[HostSoftware]:
        """Reach the packages of a host over SSH, until the end of the block."""
        ssh = self.settings.ssh
        login = Login(host.name, host.address, ssh.private_key, host.port)
        with Ssh(login, self._trust, clock, ssh.seconds) as shell:
            yield HostSoftware(shell)

    def lasting_clock(self) -> Clock:
        """Return a clock that nobody stops."""
        return Clock()
