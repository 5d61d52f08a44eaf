"""FlashSystem's names: volume handles, host objects, initiators, devices, LUN ids. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.array import Volume
from populator.storage.initiators import OfOneKind, by_kind, in_capitals, iscsi_names, usable_by
from populator.storage.own_names import FOR_A_HOST, in_names, stem
from vsphere.model import Initiator, InitiatorKind

OF_A_HOST = re.compile(rf"{FOR_A_HOST}(?P<host>.+?)(-(fc|iscsi)|(?<=\d)-\d{{10}})?")
"""a host object that a populator made: ours end with the protocol, the Go populator's not at all, or with seconds"""
HANDLE = re.compile(r"SVC:((?:[^:;]+:)?(?P<id>\d+);)?(?P<uid>6005076[0-9A-F]{25})", re.IGNORECASE)
ISCSI = iscsi_names(without=",")
USUAL_IDS = range(1, 512)
"""LUN ids that smaller systems give to a host, too"""
MOST_MAPPINGS = {"small": 512, "large": 2048}
"""per host, by the size of the system"""
NAA_OF_A_VOLUME = re.compile(r"naa\.6005076[0-9a-f]{25}")
CSI_HINT = "It must be a volume of IBM's block storage CSI driver on a FlashSystem, Storwize or SVC."


@dataclass(frozen=True)
class Place:
    """Where a volume is to be found."""

    uid: str
    """`vdisk_UID`, 32 hex digits in upper case"""
    id: str
    """of the volume on the array; empty where the handle has none"""
    name: str
    """on the array; empty where the attributes have none"""


def place(volume: Volume) -> Place:
    """Read a handle: `SVC:<id>;<UID>`, `SVC:<system>:<id>;<UID>` or `SVC:<UID>`."""
    match = HANDLE.fullmatch(volume.handle)
    if match is None:
        raise StorageError(
            f"The handle {volume.handle!r} of the volume {volume.name!r} is none of a Storage Virtualize volume.",
            CSI_HINT,
        )
    return Place(match["uid"].upper(), match["id"] or "", volume.attributes.get("volume_name", ""))


def nguid(uid: str) -> str:
    """Return what the array shows instead of the UID of a volume that NVMe hosts see."""
    return f"{uid[16:]}0050760{uid[7:16]}"


def device(uid: str) -> str:
    """Return the name that ESXi gives to the device."""
    return f"naa.{uid.lower()}"


def uid_of(device: str) -> str:
    """Return the UID of a volume that ESXi calls so; empty for what is no device of such an array."""
    return device.removeprefix("naa.").upper() if NAA_OF_A_VOLUME.fullmatch(device) else ""


def flash_copy(source: str, target: str) -> str:
    """Return the name of our FlashCopy mapping from one volume onto another, by their ids."""
    return f"xcopy-{source}-to-{target}"


def own_host(host: str, kind: InitiatorKind) -> str:
    """Return the name of the host object that we make where the array knows none of the host's initiators."""
    return f"{stem(host)}-{kind}"


def host_of(name: str) -> str | None:
    """Return the host that a populator made a host object for; None where it is another's."""
    match = OF_A_HOST.fullmatch(name)
    return match["host"] if match else None


def is_of(name: str, host: str) -> bool:
    """Return whether a populator made a host object for this host."""
    return host_of(name) == in_names(host)


def usable(initiators: Sequence[Initiator]) -> list[OfOneKind]:
    """Return those that the array can use, kind by kind, the first one's first; raise without any."""
    return by_kind(usable_by("FlashSystem", ISCSI, initiators))


def ports(initiators: Iterable[Initiator]) -> dict[str, object]:
    """Return initiators of one kind as commands take them: WWPNs joined by colons, iSCSI names by commas."""
    members = list(initiators)
    field, between = ("fcwwpn", ":") if members[0].kind == InitiatorKind.FC else ("iscsiname", ",")
    return {field: between.join(map(in_capitals, members))}


def part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def first_id(uid: str) -> int:
    """Return the LUN id to try first."""
    return lun_ids.by_name(uid, USUAL_IDS)


def free_ids(first: int, used: Collection[int]) -> Iterator[int]:
    """Yield the LUN ids that are free, from the first one on, those last that only larger systems have."""
    usual = [*range(first, USUAL_IDS.stop), *range(USUAL_IDS.start, first), 0]
    high = range(USUAL_IDS.stop, lun_ids.SEEN.stop)
    yield from (number for number in [*usual, *high] if number not in used)
