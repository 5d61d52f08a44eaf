"""What the array's commands answer, read into values. All numbers in it are texts."""

from collections.abc import Iterable
from dataclasses import dataclass

from populator.storage.answer import Answer
from populator.storage.copies import Copy
from populator.storage.initiators import read_initiators
from populator.storage.vendors.flashsystem import names
from vsphere.model import Initiator

YES, ACTIVE = "yes", "active"
PRIVATE = "private"
IDLE, PREPARING, PREPARED, COPYING = "idle_or_copied", "preparing", "prepared", "copying"
SUSPENDED, STOPPING, STOPPED = "suspended", "stopping", "stopped"
UNDER_WAY = {PREPARING, COPYING, SUSPENDED}
"""a suspended FlashCopy mapping goes on by itself when the array has its metadata back"""


@dataclass(frozen=True)
class SystemRecord:
    """The array."""

    model: str
    version: str
    protects: bool
    """whether what is in use cannot be unmapped, in pools that do not say otherwise"""


@dataclass(frozen=True)
class VolumeRecord:
    """A volume as the array describes it."""

    id: str
    name: str
    uid: str
    """in upper case; the NGUID where NVMe hosts see it"""
    size: int
    """bytes"""
    status: str
    pool: str
    """its id; `many` where it has copies in several"""


@dataclass(frozen=True)
class HostRecord:
    """A host object."""

    name: str
    initiators: frozenset[Initiator]
    logged_in: frozenset[Initiator]


@dataclass(frozen=True)
class MapRecord:
    """A volume being mapped to a host."""

    host: str
    cluster: str
    """the host cluster by which it is, empty where it is the host's own mapping"""
    lun_id: int
    uid: str


@dataclass(frozen=True)
class FlashCopyRecord:
    """A FlashCopy mapping."""

    id: str
    name: str
    source: str
    """the volume's id"""
    target: str
    status: str
    progress: int
    """percent of the target that has been copied since it was started"""

    @property
    def copy(self) -> Copy:
        """Return which copy it is: the id alone may be another one's by now."""
        return Copy(self.id, self.source, self.target)

    @property
    def ours(self) -> bool:
        """Return whether a populator made it."""
        return self.name == names.flash_copy(self.source, self.target)


def system(row: Answer) -> SystemRecord:
    """Read `lssystem`."""
    return SystemRecord(
        model=row.optional("product_name"),
        version=row.optional("code_level").partition(" ")[0],
        protects=row.optional("vdisk_protection_enabled") == YES,
    )


def volume(row: Answer) -> VolumeRecord:
    """Read a row of `lsvdisk`, of which bytes were asked for."""
    return VolumeRecord(
        id=whole(row, "id"),
        name=row.text("name"),
        uid=row.text("vdisk_UID").upper(),
        size=int(whole(row, "capacity")),
        status=row.optional("status"),
        pool=row.optional("mdisk_grp_id"),
    )


def host(row: Answer) -> HostRecord:
    """Read `lshost` of one host; a port with log-ins at any node is logged in."""
    nodes = [(name, node) for node in row.objects("nodes") if (name := port(node))]
    return HostRecord(
        name=row.text("name"),
        initiators=read_initiators(name for name, _ in nodes),
        logged_in=read_initiators(name for name, node in nodes if is_logged_in(node)),
    )


def port(row: Answer) -> str:
    """Return the name of a port, empty where it is one of NVMe or SAS."""
    return row.optional("WWPN") or row.optional("iscsi_name")


def is_logged_in(node: Answer) -> bool:
    """Return whether any node of the array sees a port."""
    return node.optional("state") == ACTIVE or node.optional("node_logged_in_count", "0") not in {"", "0"}


def owners(rows: Iterable[Answer]) -> dict[Initiator, str]:
    """Read `lshostports`: which host has which initiator."""
    return {
        initiator: row.text("host_name")
        for row in rows
        if (name := port(row))
        for initiator in read_initiators([name])
    }


def mapping(row: Answer) -> MapRecord:
    """Read a row of `lsvdiskhostmap`."""
    shared = row.optional("mapping_type", PRIVATE) != PRIVATE
    return MapRecord(
        host=row.text("host_name"),
        cluster=row.optional("host_cluster_name") if shared else "",
        lun_id=int(whole(row, "SCSI_id")),
        uid=row.optional("vdisk_UID").upper(),
    )


def flash_copy(row: Answer) -> FlashCopyRecord:
    """Read a row of `lsfcmap`."""
    return FlashCopyRecord(
        id=whole(row, "id"),
        name=row.text("name"),
        source=whole(row, "source_vdisk_id"),
        target=whole(row, "target_vdisk_id"),
        status=row.text("status"),
        progress=int(whole(row, "progress")),
    )


def whole(row: Answer, field: str) -> str:
    """Return the digits of a whole number, which newer releases may give as one; raise where it is none."""
    digits = row.optional(field)
    return digits if digits.isdecimal() else str(row.number(field))
