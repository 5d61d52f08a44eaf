"""The state of a simulated FlashSystem, and the array's rules; nothing of HTTP.

Kept as documented: numbers of deleted objects are given to the next ones, UIDs never are; a port belongs to one host;
a SCSI id is used once for each host; a volume is mapped to a second host only with `force`, and to a host once; a
mapping of a host cluster is one for each member and goes with the cluster's; a host with mappings cannot be deleted; a
volume that NVMe hosts see shows its NGUID as its UID; what is protected cannot be unmapped after recent I/O. What is
mapped appears in the SAN. Error codes are those of IBM's own clients; the rest are made up, and begin with CMMVC99.
"""

import itertools
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.lab.san import San

WWPN = re.compile(r"[0-9A-F]{16}")
ANY_NAME = re.compile(r"(iqn|nqn)\.\d{4}-\d{2}\.\S+|eui\.[0-9a-f]{16}")
NAME = re.compile(r"[A-Za-z_][\w .-]{0,62}", re.ASCII)
SCSI_IDS = 2048

NO_SUCH_OBJECT, NO_SUCH_NAME, NO_SUCH_MEMBER = "CMMVC5753E", "CMMVC5754E", "CMMVC5804E"
UNKNOWN_PARAMETER, MISSING_PARAMETER, INVALID_PARAMETER = "CMMVC5709E", "CMMVC5707E", "CMMVC5767E"
INVALID_FILTER, NOT_SUPPORTED, NO_SUCH_COMMAND, NOT_ALLOWED = (
    "CMMVC5741E",
    "CMMVC7205E",
    "CMMVC6051E",
    "CMMVC6253E",
)
MAPPED_ALREADY, ID_TAKEN, NOT_MAPPED, MAPPED_ELSEWHERE = (
    "CMMVC5878E",
    "CMMVC5879E",
    "CMMVC5842E",
    "CMMVC6071E",
)
FC_PORT_TAKEN, ISCSI_PORT_TAKEN, NAME_TAKEN, HAS_MAPPINGS = (
    "CMMVC5867E",
    "CMMVC6578E",
    "CMMVC6035E",
    "CMMVC5871E",
)
TOO_MANY_MAPPINGS, SHARED_MAPPING, IN_USE, IN_CLUSTER, BAD_NAME = (
    f"CMMVC990{number}E" for number in range(1, 6)
)


class Failure(Exception):
    """What a command line says."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass
class SimPool:
    id: int
    name: str
    protected: bool = True
    """by which volumes are, where the system's own flag is on"""


@dataclass
class SimVolume:
    id: int
    name: str
    uid: str
    size: int
    pool: SimPool
    status: str = "online"
    busy: bool = False
    """whether there was I/O within the time of the protection"""
    unusable: bool = False
    """whether a FlashCopy mapping keeps it offline"""

    @property
    def naa(self) -> str:
        return f"naa.{self.uid.lower()}"


class Named(Protocol):
    """An object of the array."""

    @property
    def name(self) -> str: ...


@dataclass
class SimHost:
    id: int
    name: str
    ports: list[str]
    """WWPNs in 16 upper-case hex digits, iSCSI names"""
    protocol: str = "scsi"
    """or `nvme`"""
    cluster: "SimCluster | None" = None


@dataclass
class SimCluster:
    id: int
    name: str


@dataclass
class SimMap:
    volume: SimVolume
    host: SimHost
    scsi_id: int
    cluster: SimCluster | None = None
    """by which it is"""

    @property
    def via(self) -> str:
        return f"{self.host.name} {self.scsi_id}"


class System:
    """What an administrator sees and does.

    May be set at any time: `protected` (the system's own flag of volume protection), `most_mappings` of a host,
    `elsewhere` (the code for a volume that another host has), and the attributes of `volumes`, `hosts`, `pools`.
    """

    def __init__(self, san: San) -> None:
        self.san = san
        self.protected = False
        self.most_mappings = 512
        self.elsewhere = MAPPED_ELSEWHERE
        self.pools = {0: SimPool(0, "Pool0"), 1: SimPool(1, "Pool1", protected=False)}
        self.volumes: dict[int, SimVolume] = {}
        self.hosts: dict[int, SimHost] = {}
        self.clusters: dict[int, SimCluster] = {}
        self.maps: list[SimMap] = []
        self.logins: set[str] = set()
        """ports that are logged in"""
        self._serial = secrets.token_hex(4).upper()
        self._made = itertools.count(1)
        self.lock = threading.RLock()

    def add_volume(self, name: str, size: int, uid: str = "", pool: int = 0) -> SimVolume:
        with self.lock:
            check_name(name, self.volumes.values())
            uid = uid or f"600507681{self._serial}{next(self._made):015X}"
            number = lowest(self.volumes)
            volume = self.volumes[number] = SimVolume(number, name, uid, size, self.pools[pool])
            self.san.create_lun(volume.naa, size, "IBM", "2145")
            return volume

    def remove_volume(self, volume: SimVolume) -> None:
        """Delete a volume, and with it what it was mapped by."""
        with self.lock:
            del self.volumes[volume.id]
            self.maps = [item for item in self.maps if item.volume is not volume]
            self.san.delete_lun(volume.naa)

    def add_host(self, name: str, ports: Iterable[str], protocol: str = "scsi") -> SimHost:
        with self.lock:
            check_name(name, self.hosts.values())
            number = lowest(self.hosts)
            host = SimHost(number, name, [], protocol)
            self._admit(host, ports)
            self.hosts[number] = host
            return host

    def add_ports(self, host: SimHost, ports: Iterable[str]) -> None:
        with self.lock:
            self._admit(host, ports)
            self._present(item for item in self.maps if item.host is host)

    def remove_ports(self, host: SimHost, ports: Iterable[str], *, force: bool) -> None:
        with self.lock:
            gone = list(ports)
            if set(gone) - set(host.ports):
                raise Failure(
                    NO_SUCH_MEMBER, "The action failed because an object that was specified does not exist."
                )
            if not force and any(item.host is host for item in self.maps):
                raise Failure(HAS_MAPPINGS, "One or more of the configured port names is in a mapping.")
            host.ports = [port for port in host.ports if port not in gone]
            self._present(item for item in self.maps if item.host is host)

    def remove_host(self, host: SimHost, *, force: bool = False) -> None:
        with self.lock:
            found = [item for item in self.maps if item.host is host]
            if host.cluster:
                raise Failure(IN_CLUSTER, "The host is a member of a host cluster.")
            if found and not force:
                raise Failure(HAS_MAPPINGS, "One or more of the configured port names is in a mapping.")
            for item in found:
                self._drop(item)
            del self.hosts[host.id]

    def add_cluster(self, name: str) -> SimCluster:
        with self.lock:
            check_name(name, self.clusters.values())
            number = lowest(self.clusters)
            self.clusters[number] = SimCluster(number, name)
            return self.clusters[number]

    def join(self, cluster: SimCluster, host: SimHost) -> None:
        """Let a host see what the cluster sees."""
        with self.lock:
            if host.cluster:
                raise Failure(IN_CLUSTER, "The host is a member of a host cluster.")
            shared = {item.volume.id: item for item in self.maps if item.cluster is cluster}
            host.cluster = cluster
            for item in shared.values():
                self._map(item.volume, host, item.scsi_id, cluster)

    def remove_cluster(self, cluster: SimCluster, *, with_hosts: bool) -> None:
        """Delete a host cluster without members, or with all of them and their mappings."""
        with self.lock:
            members = [host for host in self.hosts.values() if host.cluster is cluster]
            if members and not with_hosts:
                raise Failure(IN_USE, "The host cluster has members.")
            for host in members:
                host.cluster = None
                self.remove_host(host, force=True)
            del self.clusters[cluster.id]

    def map(
        self, volume: SimVolume, host: SimHost, scsi_id: int | None = None, *, force: bool = True
    ) -> SimMap:
        with self.lock:
            self._check_others(volume, [host], force=force)
            if any((item.volume, item.host) == (volume, host) for item in self.maps):
                raise Failure(MAPPED_ALREADY, "The volume is already mapped to this host.")
            return self._map(volume, host, scsi_id, None)

    def map_to_cluster(
        self, volume: SimVolume, cluster: SimCluster, scsi_id: int | None = None, *, force: bool = True
    ) -> None:
        with self.lock:
            members = [host for host in self.hosts.values() if host.cluster is cluster]
            self._check_others(volume, members, force=force)
            if any((item.volume, item.cluster) == (volume, cluster) for item in self.maps):
                raise Failure(MAPPED_ALREADY, "The volume is already mapped to this host cluster.")
            for host in members:
                self._map(volume, host, scsi_id, cluster)

    def unmap(self, volume: SimVolume, host: SimHost) -> None:
        with self.lock:
            found = [item for item in self.maps if (item.volume, item.host) == (volume, host)]
            if not found:
                raise Failure(NOT_MAPPED, "The volume is not mapped to this host.")
            if found[0].cluster:
                raise Failure(SHARED_MAPPING, "The mapping is one of the host's cluster.")
            self._check_protection(volume)
            self._drop(found[0])

    def unmap_from_cluster(self, volume: SimVolume, cluster: SimCluster) -> None:
        with self.lock:
            found = [item for item in self.maps if (item.volume, item.cluster) == (volume, cluster)]
            if not found:
                raise Failure(NOT_MAPPED, "The volume is not mapped to this host cluster.")
            self._check_protection(volume)
            for item in found:
                self._drop(item)

    def shown_uid(self, volume: SimVolume) -> str:
        """Return `vdisk_UID` as it is shown: the NGUID where NVMe hosts see the volume."""
        if any(item.volume is volume and item.host.protocol == "nvme" for item in self.maps):
            return f"{volume.uid[16:]}0050760{volume.uid[7:16]}"
        return volume.uid

    def owner(self, port: str) -> SimHost | None:
        return next((host for host in self.hosts.values() if spelled(port) in host.ports), None)

    def log_in(self, port: str) -> None:
        with self.lock:
            self.logins.add(spelled(port))

    def clear(self) -> None:
        """Delete all that was added, and let nobody be logged in."""
        with self.lock:
            for volume in list(self.volumes.values()):
                self.remove_volume(volume)
            self.hosts.clear()
            self.clusters.clear()
            self.logins.clear()

    def _check_others(self, volume: SimVolume, hosts: Sequence[SimHost], *, force: bool) -> None:
        others = any(item.volume is volume and item.host not in hosts for item in self.maps)
        if others and not force:
            raise Failure(self.elsewhere, "The volume is already mapped to a host. Use the force flag.")

    def _check_protection(self, volume: SimVolume) -> None:
        if self.protected and volume.pool.protected and volume.busy:
            raise Failure(IN_USE, "Volume protection is on, and the volume was in use.")

    def _map(
        self, volume: SimVolume, host: SimHost, scsi_id: int | None, cluster: SimCluster | None
    ) -> SimMap:
        used = {item.scsi_id for item in self.maps if item.host is host}
        if len(used) >= self.most_mappings:
            raise Failure(TOO_MANY_MAPPINGS, "The maximum number of mappings for the host was reached.")
        if scsi_id is None:
            scsi_id = lowest(used)
        elif not 0 <= scsi_id < SCSI_IDS:
            raise Failure(INVALID_PARAMETER, f"The SCSI id {scsi_id} is not valid.")
        elif scsi_id in used:
            raise Failure(ID_TAKEN, "A volume is already mapped to this host with this SCSI LUN.")
        made = SimMap(volume, host, scsi_id, cluster)
        self.maps.append(made)
        self._present([made])
        return made

    def _drop(self, item: SimMap) -> None:
        self.maps.remove(item)
        self.san.unmap(item.volume.naa, item.via)

    def _present(self, maps: Iterable[SimMap]) -> None:
        for item in maps:
            self.san.map(item.volume.naa, map(str.lower, item.host.ports), item.scsi_id, item.via)

    def _admit(self, host: SimHost, ports: Iterable[str]) -> None:
        """Give ports to a host, all of them or none."""
        new = [spelled(port) for port in ports]
        for port in new:
            known = (WWPN if host.protocol == "scsi" and "." not in port else ANY_NAME).fullmatch(port)
            if not known or self.owner(port):
                code = FC_PORT_TAKEN if WWPN.fullmatch(port) else ISCSI_PORT_TAKEN
                raise Failure(code, f"The port {port} is not valid, or another host has it.")
        host.ports += [port for port in new if port not in host.ports]


def lowest(used: Collection[int]) -> int:
    """Return the lowest number that is free."""
    return next(number for number in itertools.count() if number not in used)


def spelled(port: str) -> str:
    """Return a port as the array stores it."""
    return port.upper() if WWPN.fullmatch(port.upper()) else port


def check_name(name: str, others: Iterable[Named]) -> None:
    if not NAME.fullmatch(name):
        raise Failure(BAD_NAME, f"The name {name!r} is not valid.")
    if any(other.name == name for other in others):
        raise Failure(NAME_TAKEN, "The object already exists.")
