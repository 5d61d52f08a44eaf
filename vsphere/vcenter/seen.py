"""What vCenter says of a VM, and of a host and the devices below its datastores, as values. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WORKING = frozenset({"active", "standby"})
"""states of a path that carries I/O, or would at once"""


@dataclass(frozen=True)
class SeenVm:
    """A virtual machine."""

    id: str
    name: str
    power: str
    disks: tuple[str, ...]
    """the newest link of each disk, `[datastore] folder/disk.vmdk`"""


@dataclass(frozen=True)
class SeenDevice:
    """A device as vCenter says that a host sees it."""

    name: str
    vendor: str
    model: str
    """both as the device itself says"""
    paths: tuple[str, ...]
    """state of each: active, standby, disabled, dead, unknown"""

    @property
    def working(self) -> int:
        """How many of its paths work."""
        return sum(state in WORKING for state in self.paths)


@dataclass(frozen=True)
class SeenHost:
    """A host."""

    id: str
    name: str
    now: datetime | None
    """by its own clock; None where it does not say"""
    devices: tuple[SeenDevice, ...]


def parse_devices(names: Collection[str], luns: Collection[Any], multipath: Any) -> tuple[SeenDevice, ...]:
    """Read those devices among a host's SCSI LUNs that have these canonical names."""
    units = {unit.lun: unit for unit in getattr(multipath, "lun", None) or ()}
    return tuple(
        SeenDevice(
            lun.canonicalName,
            (lun.vendor or "").strip(),
            (lun.model or "").strip(),
            tuple(
                str(path.state or path.pathState) for path in getattr(units.get(lun.key), "path", None) or ()
            ),
        )
        for lun in luns
        if lun.canonicalName in names
    )
