"""What InfiniBox's answers hold, read into values."""

from dataclasses import dataclass

from populator.storage.answer import Answer
from populator.storage.initiators import read_initiators
from vsphere.model import Initiator

PORT_TYPES = {"FC", "ISCSI"}
"""in whatever case; NVME is the third"""


@dataclass(frozen=True)
class VolumeRecord:
    """A volume as the array shows it."""

    id: int
    name: str
    serial: str
    size: int
    kind: str
    """`MASTER` or `SNAPSHOT`"""
    write_protected: bool


@dataclass(frozen=True)
class HostRecord:
    """A host."""

    id: int
    name: str
    initiators: frozenset[Initiator]
    cluster: int
    """0 outside of one"""


@dataclass(frozen=True)
class ClusterRecord:
    """A host cluster: each of its hosts sees what is mapped to it."""

    id: int
    name: str
    hosts: tuple[int, ...]


@dataclass(frozen=True)
class Port:
    """An initiator that the array has seen."""

    host: int
    """0 where it belongs to none"""
    logged_in: bool


@dataclass(frozen=True)
class LunRecord:
    """A volume's being mapped, to a host or to a cluster."""

    volume: int
    host: int
    """of one by a cluster, a member or 0"""
    cluster: int
    """0 where it is the host's own"""
    lun_id: int

    @property
    def target(self) -> str:
        """Return what it is mapped to, as in the API's paths."""
        return cluster_path(self.cluster) if self.cluster else host_path(self.host)


def host_path(key: int) -> str:
    """Return a host's path, which a cluster of the same number does not have."""
    return f"hosts/{key}"


def cluster_path(key: int) -> str:
    """Return a cluster's."""
    return f"clusters/{key}"


def volume(row: Answer, at: str = "") -> VolumeRecord:
    """Read a volume, from a field of that name or the row itself."""
    return VolumeRecord(
        id=row.number(f"{at}id"),
        name=row.text(f"{at}name"),
        serial=row.optional(f"{at}serial"),
        size=row.number(f"{at}size"),
        kind=row.optional(f"{at}type"),
        write_protected=row.find(f"{at}write_protected") is True,
    )


def host(row: Answer, at: str = "") -> HostRecord:
    """Read a host in the same way; of its ports those of the kinds that we use."""
    ports = [port for port in row.records(f"{at}ports") if port.text("type").upper() in PORT_TYPES]
    return HostRecord(
        id=row.number(f"{at}id"),
        name=row.text(f"{at}name"),
        initiators=read_initiators(port.text("address") for port in ports),
        cluster=_id(row, f"{at}host_cluster_id"),
    )


def cluster(row: Answer, at: str = "") -> ClusterRecord:
    """Read a cluster."""
    members = tuple(member.number("id") for member in row.records(f"{at}hosts"))
    return ClusterRecord(row.number(f"{at}id"), row.text(f"{at}name"), members)


def port(row: Answer, at: str = "") -> Port:
    """Read an initiator: where it is logged in, it has targets."""
    return Port(_id(row, f"{at}host_id"), bool(row.objects(f"{at}targets")))


def lun(row: Answer, at: str = "") -> LunRecord:
    """Read a mapping."""
    return LunRecord(
        volume=row.number(f"{at}volume_id"),
        host=_id(row, f"{at}host_id"),
        cluster=_id(row, f"{at}host_cluster_id"),
        lun_id=row.number(f"{at}lun"),
    )


def _id(row: Answer, name: str) -> int:
    """Return another object's id; 0, which the array puts for none, where the field is missing or null."""
    return row.number_if_any(name) or 0
