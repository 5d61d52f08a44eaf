"""What ONTAP's answers hold, read into values."""

from dataclasses import dataclass

from populator.storage.answer import Answer
from populator.storage.initiators import read_initiators
from vsphere.model import Initiator


@dataclass(frozen=True)
class Svm:
    """A storage virtual machine."""

    uuid: str
    name: str
    services: frozenset[str]
    """`fcp` and `iscsi`, less what it is known not to serve"""


@dataclass(frozen=True)
class LunRecord:
    """A LUN as ONTAP describes it."""

    uuid: str
    name: str
    serial: str
    size: int
    kind: str
    """`regular`, `vvol` or `protocol_endpoint`"""
    state: str
    enabled: bool


@dataclass(frozen=True)
class Igroup:
    """An initiator group."""

    uuid: str
    name: str
    protocol: str
    os_type: str
    initiators: frozenset[Initiator]


@dataclass(frozen=True)
class MappedGroup:
    """An igroup, and the LUNs that are mapped to it."""

    uuid: str
    name: str
    luns: frozenset[str]
    """their uuids"""
    names: frozenset[str]
    """the LUNs' paths, for people: no unmap depends on them"""


@dataclass(frozen=True)
class LunMap:
    """A LUN map, with the igroup's initiators."""

    igroup_uuid: str
    igroup_name: str
    initiators: frozenset[Initiator]
    lun_id: int


def version(record: Answer) -> str:
    """Return `9.15.1` of the field `version`."""
    parts = [record.optional(f"version.{part}") for part in ("generation", "major", "minor")]
    return ".".join(parts) if all(parts) else ""


def svm(record: Answer) -> Svm:
    """Read one record of /svm/svms."""
    services = (kind for kind in ("fcp", "iscsi") if record.find(f"{kind}.enabled") is not False)
    return Svm(record.text("uuid"), record.text("name"), frozenset(services))


def lun(record: Answer) -> LunRecord:
    """Read one record of /storage/luns; where `class` or `enabled` is absent, the LUN is an ordinary one."""
    return LunRecord(
        uuid=record.text("uuid"),
        name=record.text("name"),
        serial=record.text("serial_number"),
        size=record.number("space.size"),
        kind=record.optional("class", "regular"),
        state=record.optional("status.state", "unknown"),
        enabled=record.find("enabled") is not False,
    )


def igroup(record: Answer) -> Igroup:
    """Read one record of /protocols/san/igroups."""
    return Igroup(
        uuid=record.text("uuid"),
        name=record.text("name"),
        protocol=record.text("protocol"),
        os_type=record.text("os_type"),
        initiators=read_initiators(item.text("name") for item in record.objects("initiators")),
    )


def mapped_group(record: Answer) -> MappedGroup:
    """Read one record of /protocols/san/igroups with its LUN maps; it has none where nothing is mapped."""
    maps = record.objects("lun_maps")
    uuids = frozenset(item.text("lun.uuid") for item in maps)
    paths = frozenset(item.optional("lun.name", "a LUN") for item in maps)
    return MappedGroup(record.text("uuid"), record.text("name"), uuids, paths)


def lun_map(record: Answer) -> LunMap:
    """Read one record of /protocols/san/lun-maps."""
    return LunMap(
        igroup_uuid=record.text("igroup.uuid"),
        igroup_name=record.text("igroup.name"),
        initiators=read_initiators(record.texts("igroup.initiators")),
        lun_id=record.number("logical_unit_number"),
    )
