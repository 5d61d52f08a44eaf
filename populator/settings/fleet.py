"""What `populator vib` was told, checked in this one place; names and environment are those of Forklift's installer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from populator.errors import SettingsError
from populator.settings.parse import Parser
from populator.settings.values import SshSettings, VsphereSettings

MOST_AT_A_TIME = 1000


@dataclass(frozen=True)
class HostAddress:
    """A host to visit."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class FleetSettings:
    """All of it; `hosts` empty: those that vCenter has."""

    hosts: tuple[HostAddress, ...]
    vsphere: VsphereSettings | None
    datacenter: str
    """name; empty: all"""
    ssh: SshSettings
    parallel: int
    vib: Path | None
    """None: the one of this program"""
    restart_hostd: bool
    dry_run: bool
    warnings: tuple[str, ...] = ()
    """what was taken otherwise than it was given, a sentence each"""


def parse_fleet_settings(
    arguments: Mapping[str, str | None], environment: Mapping[str, str], *, dry_run: bool
) -> FleetSettings:
    """Check all values and return them; raise `SettingsError` with every problem found."""
    return FleetParser(arguments, environment).fleet(dry_run=dry_run)


class FleetParser(Parser):
    """Reads one value after the other and gathers the problems."""

    def fleet(self, *, dry_run: bool) -> FleetSettings:
        """Return the settings, or raise with all problems."""
        ssh = self.ssh()
        hosts = self.hosts(ssh.port)
        settings = FleetSettings(
            hosts=hosts,
            vsphere=None if hosts else self.vcenter(),
            datacenter=self.text("datacenter"),
            ssh=ssh,
            parallel=self.number("--parallel", self.text("parallel"), MOST_AT_A_TIME),
            vib=Path(path) if (path := self.text("vib-path")) else None,
            restart_hostd=self.flag("--restart-hostd", self.text("restart-hostd")),
            dry_run=dry_run,
            warnings=tuple(self.warnings),
        )
        if self.problems:
            raise SettingsError(self.problems)
        return settings

    def hosts(self, port: int) -> tuple[HostAddress, ...]:
        """Read the hosts, each once: two installations at a time on one would be in each other's way."""
        names = [name.strip() for name in self.text("esxi-hosts").split(",")]
        found = {self.address("esxi-hosts", name): name for name in names if name}
        return tuple(HostAddress(name, place.host, place.port or port) for place, name in found.items())

    def vcenter(self) -> VsphereSettings | None:
        """Read how to reach vCenter, needed where no hosts are named."""
        if not any(self.text(f"vsphere-{name}") for name in ("hostname", "username", "password")):
            self.problems.append("Name the hosts (--esxi-hosts), or the vCenter that has them (--vcenter).")
            return None
        return self.vsphere()

    def private_key(self) -> str:
        """Read the key from a file: another one than Forklift's, which may do no more than call the wrapper."""
        path = self.required("ssh-key-file")
        try:
            return Path(path).read_text(encoding="utf-8") if path else ""
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            self.problems.append(f"--ssh-key-file: cannot read {path}: {reason}.")
            return ""
