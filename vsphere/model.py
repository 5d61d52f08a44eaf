"""Hosts, adapters and disks as frozen values, free of pyVmomi."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Adapter:
    """A storage adapter of a host."""

    name: str
    """`vmhba64`"""
    initiator: str
    """`iqn.…`, `eui.…`, or `fc.<16 hex wwnn>:<16 hex wwpn>` in lower case"""

    @property
    def protocol(self) -> str:
        """Return `fc` or `iscsi`."""
        return "fc" if self.initiator.startswith("fc.") else "iscsi"


@dataclass(frozen=True)
class EsxiHost:
    """The host that does the copy."""

    id: str
    """managed object id, `host-1234`"""
    name: str
    adapters: tuple[Adapter, ...]
    """those to be offered to the array, best first: with active paths to the source, then all others that can work"""
    initiators: tuple[str, ...]
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
