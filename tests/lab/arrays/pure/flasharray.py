"""State and rules of a FlashArray: volumes, hosts, host groups, connections."""

import itertools
import re
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.lab.san import San
from tests.lab.transfer import Transfer

OUI = "624a9370"
WWN = re.compile(r"([0-9A-F]{2}:){7}[0-9A-F]{2}")
IQN = re.compile(r"(iqn\.\d{4}-\d{2}\.|eui\.)\S+", re.IGNORECASE)
LUN_IDS = range(1, 4096)


class Failure(Exception):
    """What the array answers instead, in its words; `context` is the object that it is about."""

    def __init__(self, message: str, context: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.message, self.context, self.status = message, context, status


@dataclass
class SimVolume:
    id: str
    name: str
    serial: str
    size: int
    destroyed: bool = False
    subtype: str = "regular"
    promotion: str = "promoted"
    requested: str = "promoted"

    @property
    def naa(self) -> str:
        return f"naa.{OUI}{self.serial.lower()}"


@dataclass
class SimHost:
    name: str
    iqns: list[str] = field(default_factory=list)
    wwns: list[str] = field(default_factory=list)
    nqns: list[str] = field(default_factory=list)
    group: str = ""
    local: bool = True
    personality: str | None = None
    logged_in: set[str] = field(default_factory=set)

    @property
    def initiators(self) -> list[str]:
        """As the SAN knows them."""
        return [iqn.lower() for iqn in self.iqns] + [wwn.replace(":", "").lower() for wwn in self.wwns]


@dataclass
class SimConnection:
    """Of a host, or of a host group."""

    volume: SimVolume
    host: str
    group: str
    lun: int | None
    nsid: int | None = None


class FlashArray:
    """One array. All methods may be called from any thread."""

    def __init__(self, san: San) -> None:
        self.san = san
        self.id = str(uuid.uuid4())
        self.volumes: dict[str, SimVolume] = {}
        """by id"""
        self.hosts: dict[str, SimHost] = {}
        self.groups: set[str] = set()
        self.connections: list[SimConnection] = []
        self.tags: dict[str, str] = {}
        """by the id of a vVol, the volume that VASA has tagged with it"""
        self.copied: list[tuple[str, str]] = []
        """source and target of all copies"""
        self.keeps_size = False
        """whether a volume that is overwritten keeps its size; what the real one does is not known of all versions"""
        self.lock = threading.RLock()
        self._serials = itertools.count(0x2B2C8)
        self._own = uuid.uuid4().hex[:16].upper()

    def add_volume(self, name: str, size: int, serial: str | None = None) -> SimVolume:
        with self.lock:
            if self.find_volume(name):
                raise Failure("Volume already exists.", name)
            serial = serial or f"{self._own}{next(self._serials):08X}"
            volume = SimVolume(str(uuid.uuid4()), name, serial, size)
            self.san.create_lun(volume.naa, size, "PURE", "FlashArray")
            self.volumes[volume.id] = volume
            return volume

    def remove_volume(self, volume_id: str) -> None:
        """Destroy and eradicate a volume."""
        with self.lock:
            volume = self.volumes.pop(volume_id)
            self.tags = {tag: key for tag, key in self.tags.items() if key != volume_id}
            self.connections = [item for item in self.connections if item.volume is not volume]
            self.san.delete_lun(volume.naa)

    def destroy_volume(self, volume_id: str) -> None:
        """Take a volume away from all, for as long as it may still be recovered."""
        with self.lock:
            volume = self.volumes[volume_id]
            for item in [item for item in self.connections if item.volume is volume]:
                self._drop(item)
            volume.destroyed = True

    def overwrite(self, name: str, source: str) -> SimVolume:
        """Give a volume the content of another one, and its size, as the array does: at once."""
        with self.lock:
            volume, origin = self.volume(name), self.volume(source)
            if volume is origin:
                raise Failure("Source and target are the same volume.", name)
            if volume.subtype != "regular" or origin.subtype != "regular" or volume.promotion != "promoted":
                raise Failure("Volume cannot be overwritten.", name)
            if not self.keeps_size:
                self.resize(volume, origin.size)
            Transfer(self.san.lun(origin.naa), self.san.lun(volume.naa))
            self.copied.append((origin.id, volume.id))
            return volume

    def resize(self, volume: SimVolume, size: int) -> None:
        with self.lock:
            if size % 512 or size <= 0:
                raise Failure("Invalid size.", volume.name)
            volume.size = size
            self.san.lun(volume.naa).resize(size)

    def add_host(
        self,
        name: str,
        iqns: Iterable[str] = (),
        wwns: Iterable[str] = (),
        nqns: Iterable[str] = (),
        *,
        local: bool = True,
    ) -> SimHost:
        with self.lock:
            if name in self.hosts:
                raise Failure("Host already exists.", name)
            if not re.fullmatch(
                r"([A-Za-z0-9]([\w-]{0,61}[A-Za-z0-9])?::)?[A-Za-z0-9]([\w-]{0,61}\w)?", name
            ):
                raise Failure("Invalid host name.", name)
            host = SimHost(name, list(iqns), list(wwns), list(nqns), local=local)
            self._check_ports(host)
            self.hosts[name] = host
            return host

    def _check_ports(self, host: SimHost) -> None:
        for port in [*host.iqns, *host.wwns, *host.nqns]:
            if not (IQN.fullmatch(port) or WWN.fullmatch(port) or port in host.nqns):
                raise Failure("Invalid initiator.", port)
            for other in self.hosts.values():
                if other is not host and other.local == host.local and port.lower() in ports(other):
                    raise Failure("The specified initiator is already in use.", port)
        if host.nqns and (host.iqns or host.wwns):
            raise Failure("A host cannot have NQNs and other initiators.", host.name)

    def set_initiators(self, name: str, iqns: Iterable[str], wwns: Iterable[str]) -> None:
        """Give a host other initiators, as its administrator may at any time."""
        with self.lock:
            host = self.hosts[name]
            host.iqns, host.wwns = list(iqns), list(wwns)
            self._check_ports(host)
            for item in self.connections:
                self._present(item)

    def remove_host(self, name: str) -> None:
        with self.lock:
            self.host(name)
            if any(item.host == name for item in self.connections):
                raise Failure("Host still has connections.", name)
            del self.hosts[name]

    def rename_host(self, old: str, new: str) -> None:
        with self.lock:
            host = self.hosts.pop(old)
            for item in [item for item in self.connections if item.host == old]:
                self.san.unmap(item.volume.naa, via(item, old))
                item.host = new
            host.name = new
            self.hosts[new] = host
            for item in self.connections:
                self._present(item)

    def join(self, group: str, *hosts: str) -> None:
        """Put hosts into a host group, which is made where there is none."""
        with self.lock:
            self.groups.add(group)
            for name in hosts:
                self.hosts[name].group = group
            for item in self.connections:
                self._present(item)

    def connect(
        self, volume: SimVolume, host: str = "", group: str = "", lun: int | None = None
    ) -> SimConnection:
        """Connect a volume to a host, or to a host group, by the rules."""
        with self.lock:
            if volume.destroyed:
                raise Failure("Volume does not exist.", volume.name)
            if lun is not None and lun not in LUN_IDS:
                raise Failure("LUN must be between 1 and 4095.", volume.name)
            members = self.members(host, group)
            for member in members:
                if any(item.volume is volume for item in self.seen_by(member.name)):
                    raise Failure("Connection already exists.", volume.name)
            if any(item.volume is volume and group and item.group == group for item in self.connections):
                raise Failure("Connection already exists.", volume.name)
            nvme = any(member.nqns for member in members)
            self._check_protocol(volume, nvme=nvme)
            taken = {item.lun for member in members for item in self.seen_by(member.name)}
            if lun in taken and lun is not None:
                raise Failure("LUN is already in use.", volume.name)
            shared = itertools.chain(range(254, 0, -1), range(255, 4096))
            free = (number for number in (shared if group else LUN_IDS) if number not in taken)
            item = SimConnection(
                volume, host, group, None if nvme else lun or next(free), 1 if nvme else None
            )
            self.connections.append(item)
            self._present(item)
            return item

    def _check_protocol(self, volume: SimVolume, *, nvme: bool) -> None:
        for item in self.connections:
            if item.volume is volume and (item.nsid is not None) != nvme:
                if nvme:
                    raise Failure(
                        "NVME connected hgroups and hosts cannot be connected to volumes already connected to "
                        "non-NVME connected hosts.",
                        volume.name,
                    )
                raise Failure(
                    "Non-NVME connected hgroups and hosts cannot be connected to volumes already connected to NVME "
                    "connected hosts.",
                    volume.name,
                )

    def disconnect(self, volume: SimVolume, host: str = "", group: str = "") -> None:
        with self.lock:
            for item in self.connections:
                if item.volume is volume and (item.host, item.group) == (host, group):
                    self._drop(item)
                    return
            raise Failure("Connection does not exist.", volume.name)

    def _drop(self, item: SimConnection) -> None:
        self.connections.remove(item)
        for host in [item.host] if item.host else self.hosts:
            self.san.unmap(item.volume.naa, via(item, host))

    def _present(self, item: SimConnection) -> None:
        """Let the SAN know who sees a volume by a connection; NVMe is not a part of it."""
        if item.lun is None:
            return
        for host in [self.hosts[item.host]] if item.host else self.hosts.values():
            if item.host or host.group == item.group:
                self.san.map(item.volume.naa, host.initiators, item.lun, via(item, host.name))
            else:
                self.san.unmap(item.volume.naa, via(item, host.name))

    def members(self, host: str, group: str) -> list[SimHost]:
        if host:
            return [self.host(host)]
        if group not in self.groups:
            raise Failure("Host group does not exist.", group)
        return [member for member in self.hosts.values() if member.group == group]

    def seen_by(self, host: str) -> list[SimConnection]:
        """Return the connections by which a host has volumes."""
        group = self.hosts[host].group
        return [item for item in self.connections if item.host == host or (group and item.group == group)]

    def host(self, name: str) -> SimHost:
        if name not in self.hosts:
            raise Failure("Host does not exist.", name)
        return self.hosts[name]

    def find_volume(self, name: str) -> SimVolume | None:
        return next((v for v in self.volumes.values() if v.name == name and not v.destroyed), None)

    def volume(self, name: str) -> SimVolume:
        found = self.find_volume(name)
        if found is None:
            raise Failure("Volume does not exist.", name)
        return found

    def volume_record(self, volume: SimVolume) -> dict[str, Any]:
        parts = volume.name.split("::")
        pod = {"name": "::".join(parts[:-1])} if len(parts) > 1 else {}
        group = {"name": volume.name.rpartition("/")[0]} if "/" in volume.name else {}
        return {
            "id": volume.id,
            "name": volume.name,
            "serial": volume.serial,
            "provisioned": volume.size,
            "destroyed": volume.destroyed,
            "subtype": volume.subtype,
            "promotion_status": volume.promotion,
            "requested_promotion_state": volume.requested,
            "connection_count": sum(item.volume is volume for item in self.connections),
            "pod": pod,
            "volume_group": group,
            "source": {},
        }

    def tag_records(self) -> Iterator[dict[str, Any]]:
        """Yield what VASA knows its vVols by, of those that are not destroyed."""
        for tag, key in self.tags.items():
            if not self.volumes[key].destroyed:
                yield {
                    "key": "PURE_VVOL_ID",
                    "value": tag,
                    "namespace": "vasa-integration.purestorage.com",
                    "copyable": False,
                    "resource": {"id": key, "name": self.volumes[key].name},
                }

    def host_record(self, host: SimHost) -> dict[str, Any]:
        seen = bool(host.logged_in)
        return {
            "name": host.name,
            "iqns": host.iqns,
            "wwns": host.wwns,
            "nqns": host.nqns,
            "is_local": host.local,
            "personality": host.personality,
            "host_group": {"name": host.group} if host.group else {},
            "connection_count": len(self.seen_by(host.name)),
            "port_connectivity": {
                "details": "Redundant" if seen else "None",
                "status": "healthy" if seen else "critical",
            },
        }

    def connection_records(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each host of a connection; one without a host for a group that has none."""
        for item in self.connections:
            for host in [member.name for member in self.members(item.host, item.group)] or [""]:
                record: dict[str, Any] = {
                    "host": {"name": host} if host else {},
                    "host_group": {"name": item.group} if item.group else {},
                    "protocol_endpoint": {},
                    "volume": {"id": item.volume.id, "name": item.volume.name},
                }
                yield record | ({"nsid": item.nsid} if item.lun is None else {"lun": item.lun})


def ports(host: SimHost) -> set[str]:
    return {port.lower() for port in (*host.iqns, *host.wwns, *host.nqns)}


def via(item: SimConnection, host: str) -> str:
    """Return what the SAN calls a connection."""
    return f"{item.group}/{host}" if item.group else host
