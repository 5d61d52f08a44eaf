"""What PowerStore's answers hold, read into values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage.answer import ODD, Answer
from populator.storage.initiators import read_initiators
from populator.storage.vendors.powerstore import names
from vsphere.model import Initiator

RANGE = re.compile(r"(\d+)-(\d+)/(\d+)")
NONE_OF = re.compile(r"\*/\d+")
PORT_TYPES = frozenset(names.PORT_TYPES.values())


@dataclass(frozen=True)
class VolumeRecord:
    """A volume as PowerStore describes it."""

    id: str
    name: str
    size: int
    wwn: str
    kind: str
    """`Primary`, `Clone` or `Snapshot`"""
    state: str
    is_destination: bool
    """of a replication: nobody may write to it"""
    is_metro: bool
    is_available: bool
    """to hosts: a metro volume may not be on this side"""


@dataclass(frozen=True)
class Target:
    """What a volume is attached to: a host, or the group of hosts that it belongs to."""

    id: str
    """`host/…` or `host_group/…`, as in the API's paths"""
    name: str
    initiators: frozenset[Initiator]
    lun_ids: frozenset[int]
    """in use when this was read"""
    is_used: bool
    """whether any volume, virtual ones too, is attached"""


@dataclass(frozen=True)
class Port:
    """An initiator that belongs to a host."""

    initiator: Initiator
    logged_in: bool
    target: Target


@dataclass(frozen=True)
class MappingRecord:
    """A volume being attached."""

    target: str
    name: str
    initiators: frozenset[Initiator]
    lun_id: int | None


def following(content_range: str, name: str) -> int:
    """Return where the rest of a list begins; 0 where there is none."""
    if not content_range or NONE_OF.fullmatch(content_range):
        return 0
    match = RANGE.fullmatch(content_range)
    if match is None:
        raise StorageError(f"{name} gives the range {content_range!r} of a list, which makes no sense.", ODD)
    _, last, total = map(int, match.groups())
    return last + 1 if last + 1 < total else 0


def volume(row: Answer) -> VolumeRecord:
    """Read a volume; a release that lacks a field has no such volumes."""
    return VolumeRecord(
        id=row.text("id"),
        name=row.text("name"),
        size=row.number("size"),
        wwn=row.optional("wwn").lower(),
        kind=row.optional("type"),
        state=row.optional("state"),
        is_destination=row.find("is_replication_destination") is True,
        is_metro=bool(row.find("metro_replication_session_id")),
        is_available=row.find("is_host_access_available") is not False,
    )


def port(row: Answer) -> Port | None:
    """Read an initiator; None where it is of no kind that we use, or its host went away meanwhile."""
    initiator = next(iter(initiators([row])), None)
    if initiator is None or row.find("host") is None:
        return None
    return Port(initiator, bool(row.find("active_sessions")), owner(row, "host."))


def owner(row: Answer, at: str = "") -> Target:
    """Read a host, or the group that it is in."""
    return host(row, at) if row.find(f"{at}host_group") is None else group(row, f"{at}host_group.")


def host(row: Answer, at: str = "") -> Target:
    """Read a host, from a field of that name or the row itself."""
    return target(row, at, f"host/{row.text(f'{at}id')}", row.records(f"{at}initiators"), "mapped_hosts")


def group(row: Answer, at: str = "") -> Target:
    """Read a group of hosts in the same way."""
    key = f"host_group/{row.text(f'{at}id')}"
    return target(row, at, key, ports_of_group(row, at), "mapped_host_groups")


def target(row: Answer, at: str, key: str, ports: Iterable[Answer], mapped: str) -> Target:
    """Read what hosts and groups have in common."""
    rows = row.records(f"{at}{mapped}")
    lun_ids = (each.find("logical_unit_number") for each in rows)
    used = bool(rows or row.objects(f"{at}host_virtual_volume_mappings"))
    return Target(key, row.text(f"{at}name"), initiators(ports), frozenset(lun_ids) - {None}, used)


def mapping(row: Answer) -> MappingRecord:
    """Read a mapping, which is one to a host or to a group of hosts."""
    at = "host." if row.find("host_group") is None else "host_group."
    ports = row.records("host.initiators") if at == "host." else ports_of_group(row, at)
    key = f"{at.replace('.', '/')}{row.text(f'{at}id')}"
    lun_id = row.number_if_any("logical_unit_number")
    return MappingRecord(key, row.text(f"{at}name"), initiators(ports), lun_id)


def ports_of_group(row: Answer, at: str) -> list[Answer]:
    """Return the rows of the initiators of a group's hosts."""
    return [port for member in row.records(f"{at}hosts") for port in member.records("initiators")]


def initiators(rows: Iterable[Answer]) -> frozenset[Initiator]:
    """Read those of the kinds that we use."""
    return read_initiators(row.text("port_name") for row in rows if row.text("port_type") in PORT_TYPES)
