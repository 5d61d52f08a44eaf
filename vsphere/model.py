"""Hosts, adapters, disks and results of copies as frozen values, free of pyVmomi."""

from dataclasses import dataclass
from enum import StrEnum


class InitiatorKind(StrEnum):
    """How an adapter reaches an array."""

    FC = "fc"
    ISCSI = "iscsi"
    SDC = "sdc"
    """PowerFlex's own client, a kernel module on the host"""


@dataclass(frozen=True)
class Initiator:
    """What an array knows an adapter by, in the one form by which two of them are compared."""

    kind: InitiatorKind
    name: str
    """in lower case: the port's world-wide name in 16 hex digits, `iqn.…` or `eui.…`, or the SDC's GUID"""

    def __str__(self) -> str:
        """Return it as people look for it."""
        return self.name


@dataclass(frozen=True)
class Adapter:
    """A storage adapter of a host."""

    name: str
    """`vmhba64`"""
    initiator: Initiator


@dataclass(frozen=True)
class EsxiHost:
    """The host that does the copy."""

    id: str
    """managed object id, `host-1234`"""
    name: str
    adapters: tuple[Adapter, ...]
    """those to be offered to the array, best first: with active paths to the source, then all others that can work"""
    initiators: frozenset[Initiator]
    """of all its storage adapters, whatever their state: by any of them it may see a LUN already"""


@dataclass(frozen=True)
class SourceDisk:
    """A virtual disk as seen at one link of its chain: with all that this link inherits, and nothing written later."""

    path: str
    """`[datastore] folder/disk.vmdk`, as vSphere spells it"""
    capacity: int
    """bytes, as the VM saw them when it wrote to this link; never fewer than there are"""
    allocated: int | None
    """bytes that its extents, and those it inherits from, take on their datastores, where vSphere says"""
    kind: str
    """`vmdk`, `vvol` or `rdm`"""


@dataclass(frozen=True)
class Xcopy:
    """What the array did of one copy, by the device's counters before and after."""

    operations: int
    """clone operations onto the device"""
    failed: int
    """those that the array refused or failed; the host then copies by itself"""
    bytes: int | None
    """moved by the array; None where the host does not count them"""


@dataclass(frozen=True)
class CopyResult:
    """What a copy that has ended did."""

    task_id: str
    xcopy_used: bool | None
    """whether the array copied; None where the host cannot tell"""
    xcopy: Xcopy | None = None
    fallback: str = ""

    @property
    def verdict(self) -> str:
        """Say for people whether the array moved the bytes."""
        if self.xcopy_used is None:
            return "unknown: the host cannot tell"
        if not self.xcopy_used:
            return "not used: the host moved the bytes" + (
                f", because: {self.fallback}" if self.fallback else ""
            )
        if self.xcopy is None:
            return "used, by a counter that an earlier copy onto the same device may have moved"
        if self.xcopy.failed:
            return f"partly used: {self.xcopy.operations} operations by the array, {self.xcopy.failed} failed"
        return f"used: {self.xcopy.operations} operations by the array"
