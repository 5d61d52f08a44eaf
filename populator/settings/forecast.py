"""What `populator forecast` was told, checked in this one place."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lease.decision import Scope
from populator.errors import SettingsError
from populator.settings.reading import Reader, short
from populator.settings.values import VsphereSettings
from populator.settings.vsphere import read_vsphere

MOST = 100_000
"""slots, and pods in flight"""
MOST_MIB = 1e9
"""per second"""
LONGEST_RESCAN = 86_400
"""seconds"""


@dataclass(frozen=True)
class TextFile:
    """A file that was named, and what is in it."""

    option: str
    path: Path
    text: str

    def refuse(self, problems: Sequence[str]) -> SettingsError:
        """Return the error that says what is wrong in it."""
        return SettingsError([f"{self.option}: {self.path}: {problem}" for problem in problems])


@dataclass(frozen=True)
class ForecastSettings:
    """All of it; a rate of None is the program's own."""

    vms: tuple[str, ...]
    disks: TextFile | None
    """None: the disks of the VMs, from vCenter"""
    vsphere: VsphereSettings | None
    measured: TextFile | None
    copy_rate: float | None
    host_rate: float | None
    array_rate: float | None
    """MiB per second"""
    rescan: float | None
    """seconds"""
    slots: int
    in_flight: int
    scope: Scope
    copy_hosts: str
    """`vm` or `any`, as `HostChoice` has them"""


def parse_forecast_settings(
    arguments: Mapping[str, str | None], environment: Mapping[str, str], vms: Sequence[str]
) -> ForecastSettings:
    """Check all values and return them; raise `SettingsError` with every problem found."""
    reader = Reader(arguments, environment)
    disks = read_file(reader, "disks")
    names = [*(vm.strip() for vm in vms), *read_names(read_file(reader, "vm-file"))]
    scope = reader.choice("scope", tuple(Scope))
    settings = ForecastSettings(
        vms=tuple(names),
        disks=disks,
        vsphere=read_vcenter(reader, has_disks=disks is not None, has_vms=bool(names)),
        measured=read_file(reader, "measured"),
        copy_rate=read_amount(reader, "copy-rate", MOST_MIB),
        host_rate=read_amount(reader, "host-rate", MOST_MIB),
        array_rate=read_amount(reader, "array-rate", MOST_MIB),
        rescan=read_amount(reader, "rescan", LONGEST_RESCAN),
        slots=reader.number("--slots", reader.text("slots"), MOST),
        in_flight=reader.number("--in-flight", reader.text("in-flight"), MOST),
        scope=Scope(scope) if scope in set(Scope) else Scope.COPY,
        copy_hosts=reader.choice("copy-hosts", ("vm", "any")),
    )
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def read_file(reader: Reader, name: str) -> TextFile | None:
    """Read a file that an option names, if it does."""
    path = reader.text(name)
    if not path:
        return None
    try:
        return TextFile(f"--{name}", Path(path), Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file in UTF-8"
        reader.problems.append(f"--{name}: cannot read {path}: {reason}.")
        return None


def read_names(file: TextFile | None) -> list[str]:
    """Return the names in a file, one a line; empty lines and those that begin with # do not count."""
    lines = [line.strip() for line in file.text.splitlines()] if file else []
    return [line for line in lines if line and not line.startswith("#")]


def read_amount(reader: Reader, name: str, most: float) -> float | None:
    """Read a positive number that may have a fraction; None where it is not given, or wrong."""
    text = reader.text(name)
    if not text:
        return None
    amount = float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text) else math.nan
    if 0 < amount <= most:
        return amount
    reader.problems.append(f"--{name}: {short(text)} is not a number above 0, and at most {most:.0f}.")
    return None


def read_vcenter(reader: Reader, *, has_disks: bool, has_vms: bool) -> VsphereSettings | None:
    """Read how to reach vCenter, needed where no list has the disks; say where both have, or none."""
    if has_disks and has_vms:
        reader.problems.append("Give the disks by a list (--disks), or VMs (--vm, --vm-file), not both.")
    elif has_vms:
        return read_vsphere(reader)
    elif not has_disks and not reader.problems:
        reader.problems.append("Name the VMs (--vm, --vm-file), or give a list of disks (--disks).")
    return None
