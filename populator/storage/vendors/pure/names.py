"""The FlashArray's names: volumes of Portworx, serial numbers, initiators, REST versions, filters. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.answer import ODD
from populator.storage.array import Volume
from populator.storage.initiators import in_pairs, iscsi_names, usable_by
from vsphere.model import Initiator, InitiatorKind

OUI = "624a9370"
SERIAL = re.compile(r"[0-9A-Fa-f]{24}")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""of an object on the array; a Portworx id is a decimal number"""
NAME = re.compile(r"[\w.:/-]+", re.ASCII)
"""what a filter may hold: no quote, and no asterisk"""
ISCSI = iscsi_names(without="'")
VERSION = re.compile(r"\d+\.\d+")
"""of a REST API that is released: 2.X and 2.s-… are the vendor's own"""
OF_PORTWORX = re.compile(r"px_[0-9a-f]{8}-(?P<pv>.+)")
"""a volume that Portworx made for a PersistentVolume"""
OLD_DRIVER = "pure-csi"
"""Pure Service Orchestrator, whose handles are names of volumes"""
IMPORTED_AS = ("portworx.io/pure-volume-name", "pure_vol_name")
"""annotations of a PVC by which a volume is imported under the name that it has: PX-CSI's, Portworx Enterprise's"""
ON_ARRAY = "portworx.io/pure-array-id"
"""annotation: the array that it is on"""
CSI_HINT = (
    "The volume must be a FlashArray Direct Access volume of this Portworx cluster (PURE_CLUSTER_PREFIX: px_ and the "
    "first 8 characters of the StorageCluster's clusterUid) on this array; with several arrays, the one that it is on."
)


@dataclass(frozen=True)
class Wanted:
    """By what the array may know a volume; empty what the volume does not say."""

    pv: str
    """the PersistentVolume's name"""
    id: str
    last: str
    """the last part of its name, whatever realm, pod or volume group it is in"""
    names: tuple[str, ...]
    """whole names"""

    def is_named(self, name: str) -> bool:
        """Return whether a volume of that name is the one."""
        return name in self.names or (bool(self.last) and last_part(name) == self.last)

    def may_be_named(self, name: str) -> bool:
        """Return whether a volume of the right id may have that name: any but one that is another's."""
        match = OF_PORTWORX.fullmatch(last_part(name))
        return self.is_named(name) or match is None or match["pv"] == self.pv

    @property
    def query(self) -> str:
        """A filter for all volumes that may be it; empty where nothing is known."""
        by_id = with_id(self.id) if self.id else ""
        by_last_part = f"name='*{self.last}'" if self.last else ""
        return " or ".join(filter(None, [by_id, by_last_part, any_named(self.names)]))

    def __str__(self) -> str:
        return " or ".join(filter(None, [self.last, *self.names, self.id]))


def wanted(volume: Volume, prefix: str) -> Wanted:
    """Return by what to look for a volume.

    Portworx names it after the PersistentVolume, behind the cluster's prefix; one that was imported keeps its own name.
    """
    imported = [volume.annotations.get(annotation, "") for annotation in IMPORTED_AS]
    names = [name for name in imported if name]
    if volume.driver == OLD_DRIVER:
        names.append(volume.handle)
    search = Wanted(
        pv=volume.name,
        id=volume.handle.lower() if ID.fullmatch(volume.handle) else "",
        last=f"{prefix}-{volume.name}" if prefix else "",
        names=tuple(dict.fromkeys(names)),
    )
    for name in filter(None, (search.last, *search.names)):
        if not NAME.fullmatch(name):
            raise StorageError(f"{name!r} cannot be the name of a volume on a FlashArray.", CSI_HINT)
    if not search.query:
        raise StorageError(
            f"The volume {volume.name!r} is looked for by its name, which begins with the prefix of the Portworx "
            "cluster, and PURE_CLUSTER_PREFIX is not set.",
            "Set it in the Secret: px_ and the first 8 characters of the StorageCluster's status.clusterUid.",
        )
    return search


def last_part(name: str) -> str:
    """Return `volume` of `volume`, `pod::volume`, `realm::pod::volume` or `group/volume`."""
    return re.split(r"::|/", name)[-1]


def naa(serial: str) -> str:
    """Return a volume's device name on ESXi: Pure's prefix and the serial number."""
    if not SERIAL.fullmatch(serial):
        raise StorageError(
            f"The volume's serial number {serial!r} has not 24 hex digits, so its device name is unknown.",
            ODD,
        )
    return f"naa.{OUI}{serial.lower()}"


def serial_of(device: str) -> str:
    """Return the serial number in a device name, as the array spells it; empty where it is not of Pure."""
    digits = device.removeprefix("naa.").lower()
    serial = digits.removeprefix(OUI).upper()
    return serial if digits.startswith(OUI) and SERIAL.fullmatch(serial) else ""


def first_lun_id(device: str) -> int:
    """Return the LUN id to ask for, by the end of the serial number, which counts up."""
    return lun_ids.by_number(int(device[-8:], 16))


def usable(initiators: Sequence[Initiator]) -> list[Initiator]:
    """Return those that a FlashArray can know, each once, in their order; raise without any."""
    return usable_by("a FlashArray", ISCSI, initiators)


def with_id(key: str) -> str:
    """Return a filter for the object of an id."""
    return f"id='{key}'"


def with_serial(serial: str) -> str:
    """Return a filter for the volume of a serial number."""
    return f"serial='{serial}'"


def any_named(given: Iterable[str]) -> str:
    """Return a filter for the objects that have one of these names."""
    return " or ".join(f"name='{name}'" for name in given)


def hosts_with(initiators: Iterable[Initiator]) -> str:
    """Return a filter for the hosts that have any of these initiators.

    It has world-wide names with colons, as the array shows them, and without, as Cinder asks for them.
    """
    terms = []
    for initiator in initiators:
        if initiator.kind == InitiatorKind.FC:
            terms += [f"wwns='{spelled(initiator)}'", f"wwns='{initiator.name.upper()}'"]
        else:
            terms.append(f"iqns='{initiator.name}'")
    return " or ".join(terms)


def spelled(initiator: Initiator) -> str:
    """Return an initiator as the array shows it: a world-wide name in upper-case pairs with colons."""
    return in_pairs(initiator).upper() if initiator.kind == InitiatorKind.FC else initiator.name


def listed(initiators: Iterable[Initiator]) -> str:
    """Return initiators for people who look for them on the array."""
    return ", ".join(map(spelled, initiators))


def newest(versions: Sequence[str], major: int) -> str:
    """Return the newest released REST version of that major one; empty where there is none."""
    known = (
        tuple(int(part) for part in version.split(".")) for version in versions if VERSION.fullmatch(version)
    )
    latest = max((version for version in known if version[0] == major), default=())
    return ".".join(map(str, latest))
