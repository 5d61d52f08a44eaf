"""The disks of a VM as vCenter reports them: the links of their chains, kinds of backing, sizes.

Pure, over pyVmomi's data objects. A chain has more than one link where the VM has snapshots or is a linked clone: each
link but the base holds what was written since the one below it was frozen, and inherits the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vsphere.model import DiskKind, Link


@dataclass(frozen=True)
class VmDisk:
    """A disk of a VM with all links of its chain."""

    label: str
    capacity: int
    """bytes, as the VM sees them now"""
    links: tuple[Link, ...]
    """the one being written to first, the base last"""

    def at(self, path: str) -> tuple[Link, ...]:
        """Return the link of that path with those that it inherits from, the base last; nothing if it has none."""
        places = [place for place, link in enumerate(self.links) if link.path == path]
        return self.links[places[0] :] if places else ()


def disks_of(devices: Sequence[Any], layout: Any) -> list[VmDisk]:
    """Return the disks among a VM's devices that are files; `layout` is its layoutEx, or None."""
    return [_disk(device, layout) for device in devices if _is_file(device)]


def frozen_capacities(devices: Sequence[Any]) -> dict[str, int]:
    """Return the capacity of each link that a snapshot froze, by path; `devices` are the snapshot's."""
    return {device.backing.fileName: _capacity(device) for device in devices if _is_file(device)}


def _is_file(device: Any) -> bool:
    return hasattr(device, "capacityInKB") and bool(getattr(device.backing, "fileName", None))


def _disk(device: Any, layout: Any) -> VmDisk:
    label = getattr(device.deviceInfo, "label", None) or f"disk {device.key}"
    units = [
        unit for disk in getattr(layout, "disk", None) or () if disk.key == device.key for unit in disk.chain
    ]
    files = {file.key: file for file in getattr(layout, "file", None) or ()}
    parts = [[files[key] for key in unit.fileKey if key in files] for unit in units]
    return VmDisk(
        label, _capacity(device), tuple(_link(backing, parts) for backing in _chain(device.backing))
    )


def _capacity(device: Any) -> int:
    return int(getattr(device, "capacityInBytes", None) or device.capacityInKB * 1024)


def _chain(backing: Any) -> Iterator[Any]:
    while backing is not None:
        yield backing
        backing = getattr(backing, "parent", None)


def _link(backing: Any, parts: Sequence[Sequence[Any]]) -> Link:
    """Read one backing; `parts` are the files of each link of the disk."""
    extents = [
        file.size
        for files in parts
        if any(file.name == backing.fileName for file in files)
        for file in files
        if file.type == "diskExtent"
    ]
    datastore = getattr(backing, "datastore", None)
    kind, behind = _behind(backing)
    return Link(
        path=backing.fileName,
        datastore="" if datastore is None else str(datastore._GetMoId()),
        kind=kind,
        backing=behind,
        encrypted=getattr(backing, "keyId", None) is not None,
        extents=sum(extents) if extents else None,
    )


def _behind(backing: Any) -> tuple[DiskKind, str]:
    """Return kind and id of what is behind a file: a raw device mapping has a `lunUuid`, a vVol a `backingObjectId`.

    What is a link above a raw device mapping lies in a file, and is no LUN that an array could copy.
    """
    if hasattr(backing, "lunUuid") and getattr(backing, "parent", None) is None:
        return DiskKind.RDM, str(backing.deviceName or "")
    volume = str(getattr(backing, "backingObjectId", None) or "")
    return (DiskKind.VVOL if volume else DiskKind.VMDK), volume
