"""State and rules of an InfiniBox: volumes, hosts, host clusters, mappings."""

import itertools
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.lab.san import San

SYSTEM_ID = 0x0F6F
WWPN = re.compile(r"[0-9a-f]{16}")
ISCSI = re.compile(r"(iqn\.\d{4}-\d{2}\.|eui\.)\S+", re.IGNORECASE)
LUN_IDS = range(16384)
FIRST_OF_HOST, FIRST_OF_CLUSTER = 1, 11


class Failure(Exception):
    """What the array answers instead."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class SimVolume:
    id: int
    name: str
    serial: str
    size: int
    type: str = "MASTER"
    write_protected: bool = False

    @property
    def naa(self) -> str:
        return f"naa.6{self.serial.lower()}"


@dataclass
class SimHost:
    id: int
    name: str
    ports: list[tuple[str, str]] = field(default_factory=list)
    """type and address, as they were entered"""
    cluster: int = 0

    @property
    def initiators(self) -> list[str]:
        """As the SAN knows them; NVMe is not a part of it."""
        return [
            address.replace(":", "").lower() if kind == "FC" else address.lower()
            for kind, address in self.ports
            if kind != "NVME"
        ]


@dataclass
class SimCluster:
    id: int
    name: str


@dataclass
class SimLun:
    """A mapping, to a host or to a cluster."""

    id: int
    volume: SimVolume
    lun: int
    host: int = 0
    cluster: int = 0


class InfiniBox:
    """One array. All methods may be called from any thread.

    May be set at any time: `own_id` (whether LUN ids are given that were asked for), `next_lun` (the id that the array
    chooses next), `knows_cluster` (whether a host cannot be given what its cluster has), `lists_offline` (whether
    initiators of hosts are listed that are not logged in).
    """

    def __init__(self, san: San) -> None:
        self.san = san
        self.volumes: dict[int, SimVolume] = {}
        self.hosts: dict[int, SimHost] = {}
        self.clusters: dict[int, SimCluster] = {}
        self.luns: list[SimLun] = []
        self.logged_in: set[str] = set()
        self.own_id, self.knows_cluster, self.lists_offline = True, False, False
        self.next_lun: int | None = None
        self.lock = threading.RLock()
        self._ids = itertools.count(0x102A1)

    def add_volume(self, name: str, size: int, serial: str | None = None) -> SimVolume:
        with self.lock:
            if any(volume.name == name for volume in self.volumes.values()):
                raise Failure("VOLUME_NAME_CONFLICT", f"The name {name} is taken", 409)
            key = next(self._ids)
            volume = SimVolume(key, name, serial or f"742b0f00000{SYSTEM_ID:04x}{key:016x}", size)
            self.san.create_lun(volume.naa, size, "NFINIDAT", "InfiniBox")
            self.volumes[key] = volume
            return volume

    def remove_volume(self, key: int) -> None:
        with self.lock:
            volume = self.volumes.pop(key)
            self.luns = [item for item in self.luns if item.volume is not volume]
            self.san.delete_lun(volume.naa)

    def add_host(self, name: str, ports: Iterable[tuple[str, str]] = ()) -> SimHost:
        with self.lock:
            if not name or any(host.name == name for host in self.hosts.values()):
                raise Failure("HOST_NAME_CONFLICT", f"The name {name!r} is taken or empty", 409)
            host = SimHost(next(self._ids), name)
            self.hosts[host.id] = host
            for kind, address in ports:
                self.add_port(host.id, kind, address)
            return host

    def remove_host(self, key: int) -> SimHost:
        """Remove a host, with its mappings, as the array does for whoever approves of it."""
        with self.lock:
            self.host(key)
            for item in [item for item in self.luns if item.host == key]:
                self._drop(item)
            self.move(key, 0)
            return self.hosts.pop(key)

    def add_port(self, key: int, kind: str, address: str) -> None:
        with self.lock:
            host, kind = self.host(key), kind.upper()
            address = address.replace(":", "").lower() if kind == "FC" else address
            pattern = {"FC": WWPN, "ISCSI": ISCSI, "NVME": re.compile("nqn.+")}.get(kind)
            if pattern is None or not pattern.fullmatch(address):
                raise Failure("BAD_PORT_ADDRESS", f"{address} is no {kind} address")
            for other in self.hosts.values():
                if any(address.lower() == port.lower() for _, port in other.ports):
                    raise Failure("PORT_ALREADY_BELONGS_TO_HOST", f"{address} belongs to {other.name}", 409)
            host.ports.append((kind, address))
            self._present_all()

    def set_ports(self, key: int, *ports: tuple[str, str]) -> None:
        """Give a host other ports, as its administrator may at any time, in whatever spelling."""
        with self.lock:
            self.hosts[key].ports = list(ports)
            self._present_all()

    def add_cluster(self, name: str, *hosts: SimHost) -> SimCluster:
        with self.lock:
            cluster = SimCluster(next(self._ids), name)
            self.clusters[cluster.id] = cluster
            for host in hosts:
                self.move(host.id, cluster.id)
            return cluster

    def move(self, host: int, cluster: int) -> None:
        """Put a host into a cluster; 0 takes it out of its own."""
        with self.lock:
            if cluster and self.host(host).cluster:
                raise Failure("HOST_ALREADY_IN_CLUSTER", "The host is in a cluster", 409)
            for item in self.luns:
                if item.cluster and item.cluster == self.host(host).cluster:
                    self.san.unmap(item.volume.naa, via(item, host))
            self.host(host).cluster = self.cluster(cluster).id if cluster else 0
            self._present_all()

    def map(self, volume: SimVolume, host: int = 0, cluster: int = 0, lun: int | None = None) -> SimLun:
        """Map a volume to a host or to a cluster."""
        with self.lock:
            members = self.members(host, cluster)
            where = self.host(host).name if host else self.cluster(cluster).name
            for item in self.luns:
                theirs = host and self.knows_cluster and item.cluster == self.host(host).cluster != 0
                if item.volume is volume and ((item.host, item.cluster) == (host, cluster) or theirs):
                    text = f"Volume {volume.name!r} is already mapped to {where!r}"
                    raise Failure("MAPPING_ALREADY_EXISTS", text, 409)
            taken = {item.lun for member in members for item in self.seen_by(member.id)}
            if lun is not None and (not self.own_id or lun in taken):
                raise Failure("LUN_CONFLICT", f"LUN {lun} is in use on {where!r}", 409)
            if lun is not None and lun not in LUN_IDS:
                raise Failure("BAD_REQUEST", f"LUN {lun} is out of range")
            counted = itertools.count(FIRST_OF_HOST if host else FIRST_OF_CLUSTER)
            free = self.next_lun or next(number for number in counted if number not in taken)
            item = SimLun(next(self._ids), volume, free if lun is None else lun, host, cluster)
            self.luns.append(item)
            self._present(item)
            return item

    def unmap(self, host: int, cluster: int, *, volume: int | None = None, lun: int | None = None) -> SimLun:
        with self.lock:
            self.members(host, cluster)
            if volume is not None:
                self.volume(volume)
            for item in self.luns:
                if (item.host, item.cluster) == (host, cluster) and (
                    item.volume.id == volume or item.lun == lun
                ):
                    self._drop(item)
                    return item
            raise Failure("LUN_NOT_FOUND", "The volume is not mapped there", 404)

    def members(self, host: int, cluster: int) -> list[SimHost]:
        if host:
            return [self.host(host)]
        self.cluster(cluster)
        return [member for member in self.hosts.values() if member.cluster == cluster]

    def seen_by(self, key: int) -> list[SimLun]:
        """Return the mappings by which a host has volumes."""
        cluster = self.hosts[key].cluster
        return [item for item in self.luns if item.host == key or (cluster and item.cluster == cluster)]

    def volume(self, key: int) -> SimVolume:
        if key not in self.volumes:
            raise Failure("VOLUME_NOT_FOUND", f"Volume {key} was not found", 404)
        return self.volumes[key]

    def host(self, key: int) -> SimHost:
        if key not in self.hosts:
            raise Failure("HOST_NOT_FOUND", f"Host {key} was not found", 404)
        return self.hosts[key]

    def cluster(self, key: int) -> SimCluster:
        if key not in self.clusters:
            raise Failure("HOST_CLUSTER_NOT_FOUND", f"Host cluster {key} was not found", 404)
        return self.clusters[key]

    def host_of(self, address: str) -> SimHost | None:
        """Return the host that has a port of that address, letter for letter."""
        return next((h for h in self.hosts.values() if any(port == address for _, port in h.ports)), None)

    def host_named(self, name: str) -> SimHost:
        return next(host for host in self.hosts.values() if host.name == name)

    def _drop(self, item: SimLun) -> None:
        self.luns.remove(item)
        for host in self.hosts:
            self.san.unmap(item.volume.naa, via(item, host))

    def _present_all(self) -> None:
        for item in self.luns:
            self._present(item)

    def _present(self, item: SimLun) -> None:
        """Let the SAN know who sees a volume by a mapping."""
        for host in self.members(item.host, item.cluster):
            self.san.map(item.volume.naa, host.initiators, item.lun, via(item, host.id))

    # As the API shows them

    def volume_record(self, volume: SimVolume) -> dict[str, Any]:
        mapped = any(item.volume is volume for item in self.luns)
        return {
            "id": volume.id,
            "name": volume.name,
            "serial": volume.serial,
            "size": volume.size,
            "type": volume.type,
            "write_protected": volume.write_protected,
            "mapped": mapped,
            "parent_id": 0,
            "pool_id": 1001,
            "dataset_type": "VOLUME",
            "provtype": "THIN",
        }

    def host_record(self, host: SimHost) -> dict[str, Any]:
        return {
            "id": host.id,
            "name": host.name,
            "ports": [{"type": kind, "address": port, "host_id": host.id} for kind, port in host.ports],
            "luns": [self.lun_record(item, host.id) for item in self.seen_by(host.id)],
            "host_type": "DEFAULT",
            "san_client_type": "HOST",
            "host_cluster_id": host.cluster,
            "security_method": "NONE",
            "tenant_id": 1,
        }

    def cluster_record(self, cluster: SimCluster) -> dict[str, Any]:
        return {
            "id": cluster.id,
            "name": cluster.name,
            "hosts": [self.host_record(host) for host in self.members(0, cluster.id)],
            "luns": [self.lun_record(item) for item in self.luns if item.cluster == cluster.id],
            "host_type": "DEFAULT",
            "san_client_type": "CLUSTER",
            "tenant_id": 1,
        }

    def lun_record(self, item: SimLun, member: int = 0) -> dict[str, Any]:
        """Return a row; of a cluster's mapping, a host's own list has its member, too."""
        return {
            "id": item.id,
            "lun": item.lun,
            "clustered": bool(item.cluster),
            "host_cluster_id": item.cluster,
            "volume_id": item.volume.id,
            "host_id": item.host or member,
            "udid": None,
        }

    def initiator_records(self) -> list[dict[str, Any]]:
        """Return the initiators that are logged in, and, where that is so, all that belong to hosts."""
        known = {port: (kind, host.id) for host in self.hosts.values() for kind, port in host.ports}
        addresses = [port for port in known if self.lists_offline or port.lower() in self.logged_in]
        addresses += [
            port for port in sorted(self.logged_in) if port not in {address.lower() for address in known}
        ]
        records = []
        for address in addresses:
            kind, host = known.get(address, ("FC" if WWPN.fullmatch(address) else "ISCSI", 0))
            targets = (
                [{"address": "5742b0f000000f6f", "node_id": 1}] if address.lower() in self.logged_in else []
            )
            records.append(
                {"address": address, "type": kind, "host_id": host, "port_key": 6.9e18, "targets": targets}
            )
        return records


def via(item: SimLun, host: int) -> str:
    """Return what the SAN calls a mapping."""
    return f"cluster-{item.cluster}/{host}" if item.cluster else f"host-{item.host}"
