"""PowerMax's names: arrays, port groups, volume handles, devices, what we make. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.answer import ODD
from populator.storage.array import Volume
from populator.storage.initiators import iscsi_names, usable_by
from populator.storage.own_names import FOR_A_HOST, OURS
from vsphere.model import Initiator, InitiatorKind

SYMMETRIX_ID, PORT_GROUPS = "POWERMAX_SYMMETRIX_ID", "POWERMAX_PORT_GROUP_NAME"
GO_VIEW = re.compile(rf"{OURS}[0-9a-f]{{8}}")
"""a view that Forklift's Go populator made, for whichever host is in it"""
OBJECT = re.compile(r"[A-Za-z0-9_-]{1,64}")
ARRAY = re.compile(r"\d{12}")
DEVICE = re.compile(r"[0-9A-F]{5}")
NAA = re.compile(r"[0-9a-f]{32}")
ISCSI = iscsi_names(without=",/")
HANDLE = re.compile(
    r"(?P<name>.+)-(?P<arrays>\d{12}(:\d{12})?)-(?P<devices>[0-9a-f]{5}(:[0-9a-f]{5})?)", re.IGNORECASE
)
FILE_SYSTEM = re.compile(r".+-\d{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
KINDS = {
    "scsi_fc": InitiatorKind.FC,
    "fibre": InitiatorKind.FC,
    "iscsi": InitiatorKind.ISCSI,
}
"""by a port group's `port_group_protocol` (PowerMax 2500 and 8500) or `type` (2000 and 8000)"""
LOW_IDS = range(1, 400)
"""LUN ids that ESXi sees also if Unisphere reads their digits as hexadecimal ones: nothing says which it does"""
VERSION = re.compile(r"[A-Za-z]?(?P<major>\d+)\.(?P<minor>\d+)\b.*")
APIS = ("100", "92")
"""the versions of the API that this driver speaks, best first"""
CSI_HINT = "The volume must be a block volume of Dell's CSI driver for PowerMax."


@dataclass(frozen=True)
class Place:
    """Where a volume is to be found."""

    name: str
    """what its array must call it: numbers of deleted volumes are given to new ones"""
    halves: tuple[tuple[str, str], ...]
    """array and number; of a metro volume, which is one on each of two arrays, both"""


def array_id(options: Mapping[str, str]) -> str:
    """Return the setting that names the array."""
    value = options.get(SYMMETRIX_ID, "").strip()
    if not ARRAY.fullmatch(value):
        raise StorageError(
            f"{SYMMETRIX_ID} is {'missing' if not value else f'{value!r}, not 12 digits'}.",
            "Set it to the id of the array, as Unisphere shows it.",
        )
    return value


def port_groups(options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the setting that names a port group, or several by commas."""
    value = options.get(PORT_GROUPS, "")
    listed = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if not listed:
        raise StorageError(f"{PORT_GROUPS} is missing.", "Set it to the port group by which hosts see LUNs.")
    for name in listed:
        if not OBJECT.fullmatch(name):
            raise StorageError(
                f"{PORT_GROUPS} has {name!r}, which is no name of a port group.",
                "Such names have letters, digits, _ and -; several are separated by commas.",
            )
    return listed


def api_version(offered: Sequence[str], unisphere: str) -> str:
    """Return the version of the API to use; releases before 10.1 do not list what they offer. Empty without one."""
    match = VERSION.fullmatch(unisphere)
    if not offered and match:
        if match["major"] == "10":
            offered = ["100"]
        elif (match["major"], match["minor"]) == ("9", "2"):
            offered = ["92"]
    return next((version for version in APIS if version in offered), "")


def own(host: str, device: str) -> str:
    """Return the name of the storage group, and of the masking view, that show one volume to one host."""
    return f"{FOR_A_HOST}{_clean(host)}-{device}"


def first_lun_id(device: str) -> int:
    """Return the LUN id that a volume gets where it is free."""
    return lun_ids.by_number(int(device, 16), LOW_IDS)


def host_of(view: str, device: str) -> str | None:
    """Return the host that a populator made a view of this volume for; None where it is another's, or does not say."""
    stem = view.removesuffix(f"-{device}")
    return stem.removeprefix(FOR_A_HOST) or None if view.startswith(FOR_A_HOST) and stem != view else None


def is_ours(view: str, storage_group: str, device: str) -> bool:
    """Return whether a populator made a view of this volume."""
    return host_of(view, device) is not None or is_of_go(view, storage_group)


def is_of_go(view: str, storage_group: str) -> bool:
    """Return whether Forklift's Go populator made a view: it names the storage group after it."""
    return GO_VIEW.fullmatch(view) is not None and storage_group == f"{view}-SG"


def _clean(host: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", host.lower())


def usable(initiators: Sequence[Initiator]) -> list[Initiator]:
    """Return those that PowerMax can know, each once, in their order; raise without any."""
    return usable_by("PowerMax", ISCSI, initiators)


def place(volume: Volume) -> Place:
    """Return where Dell's CSI driver keeps a volume, by its handle: `<name>-<array>-<number>`, metro with pairs."""
    handle = volume.handle
    if FILE_SYSTEM.fullmatch(handle):
        raise StorageError(f"The volume {volume.name!r} is a file system, shared by NFS.", CSI_HINT)
    match = HANDLE.fullmatch(handle)
    arrays = match["arrays"].split(":") if match else []
    devices = match["devices"].upper().split(":") if match else []
    if not match or len(arrays) != len(devices):
        raise StorageError(
            f"The handle {handle!r} of the volume {volume.name!r} does not end with the array's 12 digits and the "
            "5 characters of the volume's number.",
            CSI_HINT,
        )
    return Place(match["name"], tuple(zip(arrays, devices, strict=True)))


def naa(wwn: str, device: str) -> str:
    """Return a volume's device name on ESXi."""
    if not NAA.fullmatch(wwn.lower()):
        raise StorageError(
            f"The volume {device} has the WWN {wwn!r}, not 32 hex digits, so its device name is unknown.", ODD
        )
    return f"naa.{wwn.lower()}"
