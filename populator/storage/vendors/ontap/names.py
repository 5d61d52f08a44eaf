"""ONTAP's names: igroups, initiators, LUN paths, serial numbers. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.answer import ODD
from populator.storage.array import Volume
from populator.storage.initiators import OfOneKind, by_kind, iscsi_names, usable_by
from populator.storage.own_names import FOR_A_HOST, FOR_ALL_HOSTS, stem
from vsphere.model import Initiator, InitiatorKind

KINDS = ("iscsi", "fcp", "mixed")
"""endings of our igroups' names; the Go populator makes `-mixed` too, so it may be left behind"""
ENDING = f"(-({'|'.join(KINDS)}))?"
OF_A_HOST = re.compile(rf"{FOR_A_HOST}(?P<host>.+?){ENDING}")
"""an igroup that a populator made for one host; the Go populator of MTV 2.10.4 to 2.11.0 gave it no ending"""
OF_ALL_HOSTS = re.compile(rf"{FOR_ALL_HOSTS}{ENDING}")
PROTOCOLS = {InitiatorKind.FC: "fcp", InitiatorKind.ISCSI: "iscsi"}
ISCSI = iscsi_names()
ON_FLEXVOL = re.compile(r"/svm/(?P<svm>[^/]+)/flexvol/(?P<flexvol>[^/]+)(/lun/(?P<lun>.+))?")
ON_ASA_R2 = re.compile(r"/svm/(?P<svm>[^/]+)/lun/(?P<lun>.+)")
ON_NVME = re.compile(r"/svm/[^/]+/.*\b(namespace|ns|nvme)s?/.+", re.IGNORECASE)
OUI = "naa.600a0980"
"""how NetApp's device names begin"""
NAA = re.compile(rf"{re.escape(OUI)}(?P<serial>[0-9a-f]{{24}})")
OPERATORS = re.compile(r"[*|!<>\"{}\s]|\.\.")
CSI_HINT = "The volume must be a block volume of Trident's ontap-san or ontap-san-economy driver."


@dataclass(frozen=True)
class Place:
    """Where a volume's LUN is to be found."""

    path: str
    svm: str = ""
    """empty where the volume does not say"""
    flexvol: str = ""
    """where any LUN will do if it is the only one: volumes imported by Trident keep the LUN's old name"""


def own_groups(host: str) -> tuple[str, ...]:
    """Return all names that an igroup of ours for this host may have."""
    return (*(f"{stem(host)}-{kind}" for kind in KINDS), stem(host))


def is_ours(group: str) -> bool:
    """Return whether an igroup is a populator's; an admin's may begin like one."""
    return bool(OF_A_HOST.fullmatch(group) or OF_ALL_HOSTS.fullmatch(group))


def host_of(group: str) -> str | None:
    """Return the host that a populator made an igroup for; None where it is another's, or one of all hosts."""
    match = OF_A_HOST.fullmatch(group)
    return match["host"] if match else None


def usable(initiators: Sequence[Initiator]) -> list[OfOneKind]:
    """Return those that ONTAP can use, kind by kind, the first one's first; raise without any."""
    return by_kind(usable_by("ONTAP", ISCSI, initiators))


def naa(serial: str) -> str:
    """Return a LUN's device name on ESXi: NetApp's prefix and the serial number's 12 characters in hex."""
    if len(serial) != 12 or not serial.isascii():
        raise StorageError(
            f"The LUN's serial number {serial!r} has not 12 ASCII characters, so its device name is unknown.",
            ODD,
        )
    return f"{OUI}{serial.encode().hex()}"


def serial_in(device: str) -> str:
    """Return the serial number in a device name; empty where it is not NetApp's."""
    match = NAA.fullmatch(device)
    return bytes.fromhex(match["serial"]).decode("ascii", "replace") if match else ""


def lun_id(uuid: str) -> int:
    """Return the LUN id to try first for a LUN."""
    return lun_ids.by_name(uuid)


def quoted(value: str) -> str:
    """Return a value that a query takes literally: ONTAP reads `*`, `|`, `!`, `..` and more as operators."""
    return f'"{value}"' if OPERATORS.search(value) else value


def place(volume: Volume) -> Place:
    """Return where Trident keeps a volume's LUN, by the attributes that it gives its PersistentVolumes."""
    attributes = volume.attributes
    internal_id, internal_name = attributes.get("internalID", ""), attributes.get("internalName", "")
    if ON_NVME.fullmatch(internal_id) or "nvme" in attributes.get("sanType", "").lower():
        raise StorageError(f"The volume {volume.name!r} is an NVMe namespace, not a LUN.", CSI_HINT)
    if attributes.get("protocol", "block") != "block":
        raise StorageError(f"The volume {volume.name!r} is a file share, not a LUN.", CSI_HINT)
    if match := ON_FLEXVOL.fullmatch(internal_id):
        if match["lun"]:
            return Place(f"/vol/{match['flexvol']}/{match['lun']}", match["svm"])
        return Place(f"/vol/{match['flexvol']}/lun0", match["svm"], match["flexvol"])
    if match := ON_ASA_R2.fullmatch(internal_id):
        return Place(match["lun"], match["svm"])
    if internal_name:  # FSx: the internal ID is an ARN
        return Place(f"/vol/{internal_name}/lun0", flexvol=internal_name)
    raise StorageError(
        f"The volume {volume.name!r} has neither internalID nor internalName, which lead to its LUN.",
        CSI_HINT,
    )
