"""What Unisphere's answers hold, read into values. Lists that are empty are left out of its answers."""

import re
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage.answer import ODD, Answer
from populator.storage.initiators import read_initiator
from vsphere.model import Initiator

CYLINDER = 1966080
"""bytes: 15 tracks of 128 KiB. Unisphere's other capacities are rounded, also upwards"""
AT_PORT = re.compile(r"[A-Z]{2}-\w+:\w+:")


@dataclass(frozen=True)
class VolumeRecord:
    """A volume as the array describes it."""

    device: str
    """its number, 5 hex digits"""
    name: str
    wwn: str
    """by which hosts see it"""
    size: int
    status: str
    emulation: str
    storage_groups: tuple[str, ...]


@dataclass(frozen=True)
class StorageGroup:
    """A storage group: who sees its volumes does so by its views, or by those of a group that it belongs to."""

    name: str
    views: tuple[str, ...]
    parents: tuple[str, ...]


@dataclass(frozen=True)
class ViewRecord:
    """A masking view."""

    name: str
    host: str
    """a host, or empty where it is a group of hosts"""
    host_group: str
    port_group: str
    storage_group: str


@dataclass(frozen=True)
class Connection:
    """A path by which an initiator sees a volume in a view; it has no LUN id while the array is at work."""

    initiator: Initiator
    lun_id: int | None


@dataclass(frozen=True)
class Port:
    """An initiator as one of the array's ports knows it."""

    host: str
    """empty where it belongs to none"""
    logged_in: bool


def volume(row: Answer) -> VolumeRecord:
    """Read a volume."""
    own = "effective_wwn" if row.find("has_effective_wwn") is True else "wwn"
    return VolumeRecord(
        device=row.text("volumeId").upper(),
        name=row.optional("volume_identifier"),
        wwn=row.text(own),
        size=row.number("cap_cyl") * CYLINDER,
        status=row.optional("status"),
        emulation=row.optional("emulation"),
        storage_groups=tuple(row.texts("storageGroupId")),
    )


def storage_group(row: Answer) -> StorageGroup:
    """Read a storage group."""
    views, parents = row.texts("maskingview"), row.texts("parent_storage_group")
    return StorageGroup(row.text("storageGroupId"), tuple(views), tuple(parents))


def view(row: Answer) -> ViewRecord:
    """Read a masking view."""
    return ViewRecord(
        name=row.text("maskingViewId"),
        host=row.optional("hostId"),
        host_group=row.optional("hostGroupId"),
        port_group=row.optional("portGroupId"),
        storage_group=row.optional("storageGroupId"),
    )


def connections(body: Answer, device: str) -> list[Connection]:
    """Read the paths of a volume."""
    rows = body.objects("maskingViewConnection")
    return [
        Connection(initiator(row.text("initiatorId")), _lun_id(row.optional("host_lun_address")))
        for row in rows
        if row.text("volumeId").upper() == device
    ]


def port(row: Answer) -> Port:
    """Read an initiator. Its `host_id` is NVMe's, and no name of a host."""
    return Port(row.optional("host"), row.find("logged_in") is True)


def host(row: Answer) -> frozenset[Initiator]:
    """Read the initiators of a host; what does not name it is no host."""
    row.text("hostId")
    return frozenset(map(initiator, row.texts("initiator")))


def initiator(spelled: str) -> Initiator:
    """Read a name, before which may stand the director and port that know it: `FA-1D:4:10000090fa1b2c3d`."""
    return read_initiator(AT_PORT.sub("", spelled))


def _lun_id(address: str) -> int | None:
    """Read a LUN address, which is hexadecimal."""
    try:
        return int(address, 16) if address else None
    except ValueError as error:
        raise StorageError(f"The array gives {address!r} as the LUN address of a volume.", ODD) from error
