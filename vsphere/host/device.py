"""A device as a host sees it, as a value."""

from dataclasses import dataclass

ABSENT = "absent"
"""our word for the state of a device that the host does not know"""
Row = dict[str, str]


@dataclass(frozen=True)
class Device:
    """A device as the host sees it."""

    name: str
    """`naa.…` or `eui.…`"""
    status: str
    size_mib: int
    """rounded down"""
    boots: bool = False
    """the host has booted from it"""

    @property
    def path(self) -> str:
        """Return where the host's commands find it."""
        return f"/vmfs/devices/disks/{self.name}"

    @property
    def is_on(self) -> bool:
        """Return whether it can be used; a degraded one has lost a path but works."""
        return self.status in {"on", "degraded"}

    @property
    def is_off(self) -> bool:
        """Return whether it was detached."""
        return self.status == "off"


def parse_device(row: Row) -> Device:
    """Read one row of `storage core device list`."""
    size = row.get("Size", "")
    return Device(
        row.get("Device", ""),
        row.get("Status", "").strip().lower(),
        int(size) if size.isdigit() else 0,
        row.get("IsBootDevice", "").lower() == "true",
    )
