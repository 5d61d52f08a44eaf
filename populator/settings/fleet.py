"""What `populator vib` was told, checked in this one place; names and environment are those of Forklift's installer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from populator.errors import SettingsError
from populator.settings.reading import LONGEST_TIMEOUT, Reader
from populator.settings.values import SshSettings, VsphereSettings
from populator.settings.vsphere import read_key_file, read_ssh, read_vsphere

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
    reader = Reader(arguments, environment)
    seconds = reader.number("--ssh-timeout-seconds", reader.text("ssh-timeout-seconds"), LONGEST_TIMEOUT)
    ssh = read_ssh(reader, read_key_file(reader), seconds)
    hosts = read_hosts(reader, ssh.port)
    settings = FleetSettings(
        hosts=hosts,
        vsphere=None if hosts else read_vcenter(reader),
        datacenter=reader.text("datacenter"),
        ssh=ssh,
        parallel=reader.number("--parallel", reader.text("parallel"), MOST_AT_A_TIME),
        vib=Path(path) if (path := reader.text("vib-path")) else None,
        restart_hostd=reader.flag("--restart-hostd", reader.text("restart-hostd")),
        dry_run=dry_run,
        warnings=tuple(reader.warnings),
    )
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def read_hosts(reader: Reader, port: int) -> tuple[HostAddress, ...]:
    """Read the hosts, each once: two installations at a time on one would be in each other's way."""
    names = [name.strip() for name in reader.text("esxi-hosts").split(",")]
    places = {reader.address("esxi-hosts", name): name for name in names if name}
    return tuple(HostAddress(name, place.host, place.port or port) for place, name in places.items())


def read_vcenter(reader: Reader) -> VsphereSettings | None:
    """Read how to reach vCenter, needed where no hosts are named."""
    if not any(reader.text(f"vsphere-{name}") for name in ("hostname", "username", "password")):
        reader.problems.append("Name the hosts (--esxi-hosts), or the vCenter that has them (--vcenter).")
        return None
    return read_vsphere(reader)
