"""The state of a simulated PowerStore cluster, and its rules; nothing of HTTP.

Kept as documented: an initiator belongs to one host, a host to at most one host group, what a group is given all its
members see, members cannot be attached or detached alone, a LUN id is used once for each host, and the array hands ids
out in sequence, beginning again after the last one. Statuses and codes are those of Dell's clients where these name
them, plausible ones elsewhere. What is attached appears in the SAN.
"""

import itertools
import re
import secrets
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tests.lab.san import San

IQN = re.compile(r"(iqn\.\d{4}-\d{2}\.[^:\s]+(:\S+)?|eui\.[0-9a-f]{16})", re.IGNORECASE)
WWPN = re.compile(r"([0-9a-f]{2}:){7}[0-9a-f]{2}", re.IGNORECASE)
NQN = re.compile(r"nqn\.\d{4}-\d{2}\..+", re.IGNORECASE)
PORT_TYPES = {"iSCSI": IQN, "FC": WWPN, "NVMe": NQN}
OS_TYPES = {"Windows", "Linux", "ESXi", "AIX", "HP-UX", "Solaris"}
LUN_IDS = 16384
NAA_PREFIX = "naa.68ccf098"

NO_INSTANCE, NO_VOLUME, NO_HOST = "0xE04040020009", "0xE0A08001000E", "0xE0A010010003"
ATTACHED, NOT_ATTACHED, NO_MAPPINGS = "0xE0A080020001", "0xE0A01001001E", "0xE0A08001000F"
VOLUME_NAME_USED, HOST_NAME_USED, PORT_USED = "0xE0A080010014", "0xE0A010010001", "0xE0A010010006"
BOTH_TARGETS, BAD_VALUE, IN_GROUP, LUN_ID_USED = (
    "0xE0A080010052",
    "0xE04040010003",
    "0xE0A010010024",
    "0xE0A080010060",
)


@dataclass
class SimVolume:
    id: str
    name: str
    size: int
    wwn: str
    state: str = "Ready"
    type: str = "Primary"
    is_replication_destination: bool = False
    metro_replication_session_id: str | None = None
    is_host_access_available: bool = True


@dataclass
class Port:
    """An initiator of a host."""

    name: str
    """as it was given"""
    type: str
    logged_in: bool = False

    @property
    def in_san(self) -> str:
        return self.name.replace(":", "").lower() if self.type == "FC" else self.name.lower()


@dataclass
class SimHost:
    id: str
    name: str
    os_type: str
    ports: list[Port]
    group: "SimGroup | None" = None
    description: str = ""


@dataclass
class SimGroup:
    id: str
    name: str
    description: str = ""


Target = SimHost | SimGroup
Found = TypeVar("Found", SimVolume, SimHost, SimGroup)


@dataclass
class SimMapping:
    id: str
    volume: SimVolume
    target: Target
    lun_id: int


class Failure(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Cluster:
    """What an administrator sees and does.

    May be set at any time: attributes of volumes, hosts and groups, `next_lun_id`, `discovered` (initiators that are
    logged in and belong to no host), `attached_twice` and `detached_twice` (status and code, which differ by release).
    """

    def __init__(self, san: San) -> None:
        self.san = san
        self.global_id = f"PS{secrets.token_hex(6)}"
        self.attached_twice, self.detached_twice = (422, ATTACHED), (400, NOT_ATTACHED)
        self.next_lun_id = 1
        self.volumes: dict[str, SimVolume] = {}
        self.hosts: dict[str, SimHost] = {}
        self.host_groups: dict[str, SimGroup] = {}
        self.mappings: list[SimMapping] = []
        self.discovered: list[Port] = []
        # Other arrays on this machine have LUNs of other names: a lab's host sees the processes of all labs.
        own = secrets.token_hex(4)
        self._serials = (f"00{own}{number:014x}" for number in itertools.count(1))
        self._lock = threading.RLock()

    # Volumes

    def add_volume(self, name: str, size: int, serial: str | None = None) -> str:
        """Create a volume on the array and in the SAN."""
        with self._lock:
            if any(other.name.lower() == name.lower() for other in self.volumes.values()):
                raise Failure(422, VOLUME_NAME_USED, f"The volume name {name} is already in use.")
            volume = SimVolume(str(uuid.uuid4()), name, size, NAA_PREFIX + (serial or next(self._serials)))
            self.san.create_lun(volume.wwn, size, "DellEMC", "PowerStore")
            self.volumes[volume.id] = volume
            return volume.id

    def remove_volume(self, key: str) -> None:
        """Delete a volume; refused while it is attached."""
        with self._lock:
            volume = self.volume(key)
            if self.mappings_of(volume):
                raise Failure(422, ATTACHED, f"The volume {volume.name} is attached.")
            del self.volumes[volume.id]
            self.san.delete_lun(volume.wwn)

    # Hosts and groups

    def add_host(
        self, name: str, os_type: str, ports: Iterable[tuple[str, str]], description: str = ""
    ) -> str:
        """Create a host with its initiators, given as name and type."""
        with self._lock:
            if not name or len(name) > 128 or os_type not in OS_TYPES:
                raise Failure(400, BAD_VALUE, "The value of name or os_type is not valid.")
            self._free_name(name, self.hosts.values())
            host = SimHost(str(uuid.uuid4()), name, os_type, [], description=description)
            host.ports = self._admitted(host, ports)
            for port in host.ports:
                port.logged_in = any(port.in_san == other.in_san for other in self.discovered)
            self.hosts[host.id] = host
            return host.id

    def add_ports(self, key: str, ports: Iterable[tuple[str, str]]) -> None:
        with self._lock:
            host = self.host(key)
            host.ports += self._admitted(host, ports)
            self._present_again(host)

    def remove_ports(self, key: str, names: Iterable[str]) -> None:
        with self._lock:
            host = self.host(key)
            gone = {name.lower() for name in names}
            if gone - {port.name.lower() for port in host.ports}:
                raise Failure(404, NO_INSTANCE, "The host has no such initiator.")
            host.ports = [port for port in host.ports if port.name.lower() not in gone]
            self._present_again(host)

    def remove_host(self, key: str) -> None:
        with self._lock:
            host = self.host(key)
            if host.group is not None or any(item.target is host for item in self.mappings):
                raise Failure(422, IN_GROUP, f"The host {host.name} is attached to a volume or in a group.")
            del self.hosts[host.id]

    def add_host_group(self, name: str, hosts: Iterable[str]) -> str:
        with self._lock:
            self._free_name(name, self.host_groups.values())
            members = [self.host(key) for key in hosts]
            if not members:
                raise Failure(400, BAD_VALUE, "A host group needs hosts.")
            for host in members:
                self._may_join(host)
            group = SimGroup(str(uuid.uuid4()), name)
            self.host_groups[group.id] = group
            for host in members:
                host.group = group
            return group.id

    def join(self, group_key: str, hosts: Iterable[str]) -> None:
        with self._lock:
            group = self.host_group(group_key)
            for host in [self.host(key) for key in hosts]:
                self._may_join(host)
                host.group = group
                self._present_again(host)

    def leave(self, group_key: str, hosts: Iterable[str]) -> None:
        with self._lock:
            group = self.host_group(group_key)
            for host in [self.host(key) for key in hosts]:
                if host.group is not group:
                    raise Failure(404, NO_HOST, f"The host {host.name} is not in the group.")
                host.group = None
                self._present_all(group)

    def remove_host_group(self, key: str) -> None:
        with self._lock:
            group = self.host_group(key)
            if any(item.target is group for item in self.mappings):
                raise Failure(422, IN_GROUP, f"The host group {group.name} is attached to a volume.")
            for host in self.members(group):
                host.group = None
            del self.host_groups[group.id]

    def log_in(self, name: str, kind: str) -> None:
        """Let an initiator be logged in, as one is that has paths to the array; of no host, it is discovered."""
        port = Port(name, kind)
        owned = [other for other in self._ports() if other.in_san == port.in_san]
        for other in owned:
            other.logged_in = True
        if not owned:
            self.discovered.append(port)

    # Attaching

    def attach(self, target: Target, volume_key: str, lun_id: int | None = None) -> int:
        """Attach a volume to a host or a group, by the rules."""
        with self._lock:
            volume = self._attachable(volume_key)
            if isinstance(target, SimHost) and target.group is not None:
                raise Failure(422, IN_GROUP, f"The host {target.name} belongs to a host group.")
            if self.find_mapping(volume, target):
                raise Failure(*self.attached_twice, "The volume is already attached to the host.")
            taken = self.lun_ids(target)
            if lun_id is None:
                lun_id = self._next_lun_id(taken)
            if not 0 <= lun_id < LUN_IDS:
                raise Failure(400, BAD_VALUE, f"The logical unit number {lun_id} is not valid.")
            if lun_id in taken:
                raise Failure(422, LUN_ID_USED, f"The logical unit number {lun_id} is already in use.")
            item = SimMapping(str(uuid.uuid4()), volume, target, lun_id)
            self.mappings.append(item)
            self.present(item)
            return lun_id

    def detach(self, target: Target, volume_key: str, *, by_volume: bool = False) -> None:
        with self._lock:
            volume = self.volume(volume_key, NO_VOLUME)
            if isinstance(target, SimHost) and target.group is not None:
                raise Failure(422, IN_GROUP, f"The host {target.name} belongs to a host group.")
            item = self.find_mapping(volume, target)
            if item is None and by_volume:
                raise Failure(
                    422, NO_MAPPINGS, "Could not find any host volume mappings matching the volume."
                )
            if item is None:
                raise Failure(*self.detached_twice, "Host is not attached to volume.")
            self.mappings.remove(item)
            self.san.unmap(volume.wwn, via=target.id)

    def clear(self) -> None:
        """Delete everything, whatever the rules."""
        with self._lock:
            for volume in list(self.volumes.values()):
                self.san.delete_lun(volume.wwn)
            for kept in (self.volumes, self.hosts, self.host_groups, self.mappings, self.discovered):
                kept.clear()

    # Looking

    def volume(self, key: str, code: str = NO_INSTANCE) -> SimVolume:
        """Return a volume by its id, or by `name:…`."""
        return _find(self.volumes.values(), key, code, "volume")

    def host(self, key: str, code: str = NO_HOST) -> SimHost:
        return _find(self.hosts.values(), key, code, "host")

    def host_group(self, key: str, code: str = NO_HOST) -> SimGroup:
        return _find(self.host_groups.values(), key, code, "host group")

    def members(self, target: Target) -> list[SimHost]:
        if isinstance(target, SimHost):
            return [target]
        return [host for host in self.hosts.values() if host.group is target]

    def mappings_of(self, volume: SimVolume) -> list[SimMapping]:
        return [item for item in self.mappings if item.volume is volume]

    def find_mapping(self, volume: SimVolume, target: Target) -> SimMapping | None:
        return next((m for m in self.mappings_of(volume) if m.target is target), None)

    def lun_ids(self, target: Target) -> set[int]:
        """Return the LUN ids that are used for any host of the target."""
        hosts = self.members(target)
        return {m.lun_id for m in self.mappings if any(host in hosts for host in self.members(m.target))}

    def present(self, item: SimMapping) -> None:
        ports = [port.in_san for host in self.members(item.target) for port in host.ports]
        self.san.map(item.volume.wwn, ports, item.lun_id, via=item.target.id)

    # Rules

    def _admitted(self, host: SimHost, ports: Iterable[tuple[str, str]]) -> list[Port]:
        new = [Port(name, kind) for name, kind in ports]
        if not new:
            raise Failure(400, BAD_VALUE, "Initiators are required.")
        for port in new:
            if port.type not in PORT_TYPES or not PORT_TYPES[port.type].fullmatch(port.name):
                raise Failure(
                    400, BAD_VALUE, f"{port.name} is not a valid name of an initiator of type {port.type}."
                )
            if any(other.in_san == port.in_san for other in self._ports()):
                raise Failure(
                    400, PORT_USED, "One of the provided port names is already registered with another host."
                )
        if len({port.type for port in [*host.ports, *new]}) > 1:
            raise Failure(400, BAD_VALUE, "All initiators of a host must be of one type.")
        return new

    def _ports(self) -> Iterator[Port]:
        for host in self.hosts.values():
            yield from host.ports

    def _free_name(self, name: str, among: Iterable[Target]) -> None:
        if any(other.name.lower() == name.lower() for other in among):
            raise Failure(400, HOST_NAME_USED, f"The name {name} is already in use.")

    def _may_join(self, host: SimHost) -> None:
        if host.group is not None or any(item.target is host for item in self.mappings):
            raise Failure(422, IN_GROUP, f"The host {host.name} is in a group or has volumes of its own.")

    def _attachable(self, key: str) -> SimVolume:
        volume = self.volume(key, NO_VOLUME)
        if volume.type == "Snapshot" or volume.is_replication_destination or volume.state != "Ready":
            raise Failure(422, BAD_VALUE, f"The volume {volume.name} cannot be attached.")
        return volume

    def _next_lun_id(self, taken: set[int]) -> int:
        rounds = itertools.chain(range(self.next_lun_id, LUN_IDS), range(1, LUN_IDS))
        lun_id = next(number for number in rounds if number not in taken)
        self.next_lun_id = lun_id + 1
        return lun_id

    def _present_again(self, host: SimHost) -> None:
        self._present_all(host)
        if host.group is not None:
            self._present_all(host.group)

    def _present_all(self, target: Target) -> None:
        for item in self.mappings:
            if item.target is target:
                self.present(item)


def _find(among: Iterable[Found], key: str, code: str, kind: str) -> Found:
    by_name = key.startswith("name:")
    wanted = key.removeprefix("name:").lower()
    for item in among:
        if wanted == (item.name.lower() if by_name else item.id):
            return item
    raise Failure(404, code, f"The {kind} {key} was not found.")
