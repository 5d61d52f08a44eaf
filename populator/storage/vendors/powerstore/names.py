"""PowerStore's names: hosts, initiators, volume handles, devices. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage.array import Volume
from populator.storage.identity import untraceable
from populator.storage.initiators import in_pairs, iscsi_names, usable_by
from populator.storage.own_names import FOR_A_HOST, in_names, stem
from vsphere.model import Initiator, InitiatorKind

OF_A_HOST = re.compile(rf"{FOR_A_HOST}(?P<host>.+?)(-(fc|iscsi))?")
"""a host object that a populator made; the Go populator gives it no ending"""
PORT_TYPES = {InitiatorKind.FC: "FC", InitiatorKind.ISCSI: "iSCSI"}
ISCSI = iscsi_names(without=',()"')
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DEVICE = re.compile(r"naa\.[0-9a-f]{32}")
SHARED_BY_NFS = "csi-nfs-"
"""begins the handle of a volume that a node of the cluster exports to the others (Dell's `sharednfs`)"""
CSI_HINT = (
    "The volume must be a block volume of Dell's CSI driver, of a storage class for iSCSI or Fibre Channel."
)


@dataclass(frozen=True)
class Place:
    """Where a volume is to be found."""

    halves: tuple[tuple[str, str], ...]
    """id and array of the volume, and of its other half where it is a metro volume; empty where the handle has no id"""
    name: str
    """on the array; empty where the volume does not say"""


def host_name(host: str, kind: InitiatorKind) -> str:
    """Return the name of the object that we make for a host of which PowerStore knows no initiator."""
    return f"{stem(host)}-{kind}"


def own_hosts(host: str) -> tuple[str, ...]:
    """Return all names that an object of ours for this host may have."""
    return (*(host_name(host, kind) for kind in PORT_TYPES), stem(host))


def host_of(name: str) -> str | None:
    """Return the host that a populator made an object for; None where it is another's."""
    match = OF_A_HOST.fullmatch(name)
    return match["host"] if match else None


def is_of(name: str, host: str) -> bool:
    """Return whether a populator made an object for this host."""
    return host_of(name) == in_names(host)


def usable(initiators: Sequence[Initiator]) -> list[Initiator]:
    """Return those that PowerStore can know, each once, in their order; raise without any."""
    return usable_by("PowerStore", ISCSI, initiators)


def any_of(initiators: Iterable[Initiator]) -> str:
    """Return the filter that finds these initiators in whatever case they were entered."""
    return f"({','.join(f'port_name.ilike.{in_pairs(port)}' for port in initiators)})"


def place(volume: Volume) -> Place:
    """Return where Dell's CSI driver keeps a volume, by its handle: `id/array/scsi`, `id/array/scsi:id/array`, `id`."""
    local, _, remote = volume.handle.partition(":")
    parts = local.split("/")
    name, protocol = volume.attributes.get("Name", ""), (parts[2] if len(parts) > 2 else "")
    if "nfs" in {protocol.lower(), volume.attributes.get("Protocol", "").lower()}:
        raise StorageError(f"The volume {volume.name!r} is a file system, shared by NFS.", CSI_HINT)
    if local.startswith(SHARED_BY_NFS):
        raise StorageError(f"The volume {volume.name!r} is shared by NFS from a node.", CSI_HINT)
    halves = tuple(_half(half) for half in (local, remote) if UUID.search(half.split("/")[0].lower()))
    if not halves and not name:
        raise untraceable(volume, CSI_HINT)
    return Place(halves, name)


def _half(handle: str) -> tuple[str, str]:
    spelled_id, _, rest = handle.partition("/")
    match = UUID.search(spelled_id.lower())
    return (match[0] if match else ""), rest.split("/")[0]
