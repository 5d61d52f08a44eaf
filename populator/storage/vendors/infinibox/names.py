"""InfiniBox's names: handles of volumes, device names, LUN ids, initiators. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.array import Volume
from populator.storage.identity import untraceable
from populator.storage.initiators import iscsi_names, usable_by
from vsphere.model import Initiator

HANDLE = re.compile(r"(?P<id>[^$]*)\$\$(?P<protocol>[^$]*)")
NUMBER = re.compile(r"[1-9][0-9]{0,18}")
SERIAL = re.compile(r"[0-9a-f]{31}")
"""of a volume: Infinidat's number, five digits in reserve, four of the system, and the volume's id in 16"""
BLOCK = ("fc", "iscsi", "nvme")
"""protocols by which the CSI driver gives a whole volume to a node"""
OF_OUR_CHOICE = range(256, lun_ids.SEEN.stop)
"""LUN ids; the array itself counts upward, from 1 for a host and from 11 for a cluster"""
ISCSI = iscsi_names()
CSI_HINT = (
    "The PersistentVolume must be a block volume (fc or iscsi) of Infinidat's CSI driver, on the InfiniBox that "
    "STORAGE_HOSTNAME names."
)


@dataclass(frozen=True)
class Place:
    """By what the array knows a volume."""

    id: int | None
    name: str
    """empty where the PersistentVolume does not say it"""


def place(volume: Volume) -> Place:
    """Return where Infinidat's CSI driver keeps a volume, by its handle: `66209$$fc`, `12#3$$nfs_treeq`."""
    name, match = volume.attributes.get("Name", ""), HANDLE.fullmatch(volume.handle)
    if match is None:
        if name:
            return Place(None, name)
        raise untraceable(volume, CSI_HINT)
    protocol = match["protocol"].lower()
    if protocol.startswith("nfs"):
        raise StorageError(f"The volume {volume.name!r} is a file system, shared by NFS.", CSI_HINT)
    if protocol not in BLOCK or not NUMBER.fullmatch(match["id"]):
        raise StorageError(
            f"The volume {volume.name!r} has the handle {volume.handle!r}, which names no volume of an InfiniBox.",
            CSI_HINT,
        )
    other = volume.attributes.get("ID", "")
    if other not in {"", match["id"]}:
        raise StorageError(
            f"The volume {volume.name!r} has the id {match['id']} in its handle, and {other} in its attributes.",
            "See which volume of the array belongs to the PersistentVolume.",
        )
    return Place(int(match["id"]), name)


def device(serial: str, name: str) -> str:
    """Return what ESXi calls the volume of a serial number."""
    if not SERIAL.fullmatch(serial.lower()):
        raise StorageError(
            f"The volume {name} has the serial number {serial!r}, not one of 31 hex digits, so its device name is "
            "unknown.",
            CSI_HINT,
        )
    return f"naa.6{serial.lower()}"


def serial_in(device: str) -> str:
    """Return the serial number in a device name; empty where it is none of an InfiniBox."""
    serial = device.removeprefix("naa.6")
    return serial if serial != device and SERIAL.fullmatch(serial) else ""


def id_in(serial: str) -> int:
    """Return the id of the volume that was given this serial number when it was made."""
    return int(serial[15:], 16)


def first_lun_id(volume_id: int) -> int:
    """Return the LUN id to ask for."""
    return lun_ids.by_number(volume_id, OF_OUR_CHOICE)


def usable(initiators: Sequence[Initiator]) -> list[Initiator]:
    """Return those that an InfiniBox can know, each once, in their order; raise without any."""
    return usable_by("an InfiniBox", ISCSI, initiators)
