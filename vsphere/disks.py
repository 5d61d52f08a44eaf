"""The disks of a VM as vCenter tells them: chains of snapshots, kinds of backing, sizes.

Pure, over pyVmomi's data objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vsphere.host import SourceDisk

DESCRIPTOR_AND_EXTENTS = {"diskDescriptor", "diskExtent"}


@dataclass(frozen=True)
class VmDisk:
    """A disk of a VM with all the files of its chain."""

    label: str
    chain: tuple[str, ...]
    """paths as vSphere spells them, the one being written to first, the base last"""
    base: SourceDisk


def disks_of(devices: Sequence[Any], layout: Any) -> list[VmDisk]:
    """Return the disks among a VM's devices that are files; `layout` is its layoutEx, or None."""
    return [
        _disk(device, layout)
        for device in devices
        if hasattr(device, "capacityInKB") and getattr(device.backing, "fileName", None)
    ]


def find_disk(disks: Sequence[VmDisk], path: str) -> VmDisk | None:
    """Return the disk that has the path anywhere in its chain."""
    return next((disk for disk in disks if path in disk.chain), None)


def _disk(device: Any, layout: Any) -> VmDisk:
    backings = list(_chain(device.backing))
    label = getattr(device.deviceInfo, "label", None) or f"disk {device.key}"
    capacity = getattr(device, "capacityInBytes", None) or device.capacityInKB * 1024
    base = SourceDisk(backings[-1].fileName, capacity, _allocated(device.key, layout), _kind(backings))
    return VmDisk(label, tuple(backing.fileName for backing in backings), base)


def _chain(backing: Any) -> Iterator[Any]:
    while backing is not None:
        yield backing
        backing = getattr(backing, "parent", None)


def _kind(backings: Sequence[Any]) -> str:
    """Tell by the backing: a raw device mapping has a `lunUuid` field, a VVol a `backingObjectId`."""
    if hasattr(backings[-1], "lunUuid"):
        return "rdm"
    return "vvol" if any(getattr(backing, "backingObjectId", None) for backing in backings) else "vmdk"


def _allocated(key: int, layout: Any) -> int | None:
    """Return the bytes that the base's files take; vCenter lists a chain from its base on."""
    units = [disk.chain for disk in (getattr(layout, "disk", None) or []) if disk.key == key and disk.chain]
    if not units:
        return None
    wanted = set(units[0][0].fileKey)
    files = [one for one in layout.file or [] if one.key in wanted and one.type in DESCRIPTOR_AND_EXTENTS]
    return sum(one.size for one in files) if files else None
