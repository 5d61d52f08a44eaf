"""The state of a simulated 3PAR, Primera or Alletra, and the array's rules; nothing of HTTP.

Kept as documented: an initiator belongs to one host object; a host object may be in several host sets; a LUN id is used
once for each host; one volume may be given to one host twice, under two LUN ids; a VLUN template (who asked for what)
brings forth an active VLUN for each path that is there; a host object or host set that sees a volume cannot be deleted;
volumes, hosts and host sets of different virtual domains cannot meet. What is mapped appears in the SAN.
Error codes are those of the developer's guide and of HPE's own clients. Where these give a name only, the number is
made up; it is 900 and more.
"""

import itertools
import re
import secrets
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.lab.san import San

WWN = re.compile(r"[0-9A-F]{16}")
IQN = re.compile(r"(iqn\.\d{4}-\d{2}|eui|naa)\.\S+")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LONGEST_NAME = 31
LUN_IDS = 16384
NAA_PREFIX = "60002AC"
PERSONA_WINDOWS, PERSONA_VMWARE = 11, 8
TEMPLATE_PORT, TEMPLATE_HOST, TEMPLATE_MATCHED_SET, TEMPLATE_HOST_SET = 2, 3, 4, 5

INTERNAL, WRONG_PASSWORD, WRONG_KEY, UNSUPPORTED, NOT_FOUND = 1, 5, 6, 9, 11
INV_INPUT, PERMISSION_DENIED = 12, 13
EXISTENT_HOST, NON_EXISTENT_HOST, EXISTENT_LUN, NON_EXISTENT_VLUN = 16, 17, 18, 19
EXISTENT_VOL, NON_EXISTENT_VOL, EXPORTED_VLUN, TOO_LARGE, BUSY, IN_USE = 22, 23, 26, 28, 29, 34
NON_EXISTENT_DOMAIN, WRONG_TYPE, MISSING_REQUIRED, PARAM_CONFLICT, BAD_ENUM = 38, 39, 40, 44, 46
EXCEEDS_LENGTH, ILLEGAL_CHAR, EXISTENT_PATH, HOST_IN_SET, ONE_REQUIRED = 57, 69, 73, 77, 78
NON_EXISTENT_PATH, EXISTENT_SET, NON_EXISTENT_SET, MEMBER_IN_SET = 80, 101, 102, 104
LUN_ID_CONFLICT, AUTO_LUN_ID_UNAVAILABLE, OTHER_DOMAIN, NO_EXPORT_INFO, MEMBER_NOT_IN_SET = range(900, 905)
BAD_QUERY = 905


class Failure(Exception):
    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass
class SimVolume:
    id: int
    name: str
    wwn: str
    """32 upper-case hex digits"""
    size_mib: int
    domain: str = ""
    read_only: bool = False
    vvol: bool = False
    """of a vVol datastore: in no list that is not asked for it"""
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    copy_type: int = 1
    """base, 2 physical copy, 3 snapshot"""
    parent: "SimVolume | None" = None
    """what it is a copy of"""
    states: set[int] = field(default_factory=set)
    """in detail"""
    snap_cpg: str = ""

    @property
    def naa(self) -> str:
        return f"naa.{self.wwn.lower()}"


@dataclass
class SimHost:
    id: int
    name: str
    persona: int
    domain: str = ""
    fc: list[str] = field(default_factory=list)
    """WWPNs in 16 upper-case hex digits"""
    iscsi: list[str] = field(default_factory=list)

    @property
    def initiators(self) -> list[str]:
        return [*self.fc, *self.iscsi]


@dataclass
class SimSet:
    id: int
    name: str
    domain: str = ""
    members: list[str] = field(default_factory=list)


@dataclass
class Template:
    """A VLUN that somebody asked for."""

    volume: str
    lun_id: int
    host: str
    """a host, `set:` and a host set, or empty"""
    port: str = ""
    """`node:slot:port`"""
    by_volume_set: bool = False
    """made for a set of volumes, so it is not in the list of one"""

    @property
    def kind(self) -> int:
        if self.host.startswith("set:"):
            return TEMPLATE_HOST_SET
        if not self.host:
            return TEMPLATE_PORT
        return TEMPLATE_MATCHED_SET if self.port else TEMPLATE_HOST

    @property
    def via(self) -> str:
        return f"{self.host},{self.port}" if self.port else self.host


class System:
    """What an administrator sees and does.

    May be set at any time: `domains`, `refuses_twice` (the code for giving a volume to a host once more, where a
    version does not take it), and the attributes of `volumes`, `hosts` and `sets`.
    """

    def __init__(self, san: San) -> None:
        self.san = san
        self.domains: set[str] = set()
        self.refuses_twice = 0
        self.volumes: dict[str, SimVolume] = {}
        self.hosts: dict[str, SimHost] = {}
        self.sets: dict[str, SimSet] = {}
        self.templates: list[Template] = []
        self.logins: dict[str, str] = {}
        """the port of the array at which an initiator is logged in"""
        self._serial = secrets.token_hex(3).upper()
        self._number = itertools.count(1)
        self._lock = threading.RLock()

    def add_volume(
        self, name: str, size_mib: int, wwn: str = "", domain: str = "", *, vvol: bool = False
    ) -> SimVolume:
        with self._lock:
            check_name(name)
            if name in self.volumes:
                raise Failure(409, EXISTENT_VOL, "volume exists")
            number = next(self._number)
            wwn = wwn or f"{NAA_PREFIX}000000000000{number:07X}{self._serial}"
            volume = SimVolume(number, name, wwn, size_mib, domain, vvol=vvol)
            self.san.create_lun(volume.naa, size_mib << 20, "3PARdata", "VV")
            self.volumes[name] = volume
            return volume

    def remove_volume(self, name: str) -> None:
        """Delete a volume, and with it what it was mapped by."""
        with self._lock:
            volume = self.volumes.pop(name)
            self.templates = [one for one in self.templates if one.volume != name]
            self.san.delete_lun(volume.naa)

    def add_host(
        self, name: str, initiators: Iterable[str], persona: int = PERSONA_VMWARE, domain: str = ""
    ) -> SimHost:
        with self._lock:
            check_name(name)
            self._check_domain(domain)
            if name in self.hosts:
                raise Failure(409, EXISTENT_HOST, f"host {name} exists")
            host = SimHost(next(self._number), name, persona, domain)
            self._admit(host, initiators)
            self.hosts[name] = host
            return host

    def add_paths(self, name: str, initiators: Iterable[str]) -> None:
        with self._lock:
            self._admit(self.host(name), initiators)
            self._present_all(name)

    def remove_paths(self, name: str, initiators: Iterable[str]) -> None:
        with self._lock:
            host, gone = self.host(name), [spelled(one) for one in initiators]
            if set(gone) - set(host.initiators):
                raise Failure(404, NON_EXISTENT_PATH, "host has no such path")
            if any(self._covers(one, name) for one in self.templates):
                raise Failure(409, EXPORTED_VLUN, "host has exported VLUNs")
            host.fc = [one for one in host.fc if one not in gone]
            host.iscsi = [one for one in host.iscsi if one not in gone]

    def remove_host(self, name: str) -> None:
        with self._lock:
            self.host(name)
            if any(one.host == name for one in self.templates):
                raise Failure(409, EXPORTED_VLUN, "host has exported VLUNs")
            if any(name in one.members for one in self.sets.values()):
                raise Failure(409, HOST_IN_SET, "host is a member of a host set")
            del self.hosts[name]

    def add_set(self, name: str, members: Iterable[str] = (), domain: str = "") -> SimSet:
        with self._lock:
            check_name(name)
            self._check_domain(domain)
            if name in self.sets:
                raise Failure(409, EXISTENT_SET, "set exists")
            made = SimSet(next(self._number), name, domain)
            self._join(made, members)
            self.sets[name] = made
            return made

    def join(self, name: str, members: Iterable[str]) -> None:
        with self._lock:
            self._join(self.set_of(name), members)
            for template in self.templates:
                if template.host == f"set:{name}":
                    self._present(template)

    def leave(self, name: str, members: Iterable[str]) -> None:
        with self._lock:
            host_set, gone = self.set_of(name), set(members)
            if gone - set(host_set.members):
                raise Failure(404, MEMBER_NOT_IN_SET, "host is not in the set")
            host_set.members = [one for one in host_set.members if one not in gone]
            for template in self.templates:
                if template.host == f"set:{name}":
                    self._present(template)

    def remove_set(self, name: str) -> None:
        with self._lock:
            self.set_of(name)
            if any(one.host == f"set:{name}" for one in self.templates):
                raise Failure(409, EXPORTED_VLUN, "host set has exported VLUNs")
            del self.sets[name]

    def export(self, volume: str, host: str, lun_id: int | None = None, port: str = "") -> Template:
        """Make a template under a LUN id, or under the lowest that is free."""
        return (
            self.export_from(volume, host, 0, LUN_IDS - 1, port)
            if lun_id is None
            else self._export(volume, host, lun_id, port)
        )

    def export_from(self, volume: str, host: str, first: int, last: int, port: str = "") -> Template:
        """Make a template under the first LUN id of a range that is free."""
        with self._lock:
            self.volume(volume)
            taken = self._taken(host, port)
            free = next((number for number in range(first, last + 1) if number not in taken), None)
            if free is None:
                raise Failure(409, AUTO_LUN_ID_UNAVAILABLE, "no LUN id is free in the range")
            return self._export(volume, host, free, port)

    def _export(self, volume: str, host: str, lun_id: int, port: str) -> Template:
        with self._lock:
            found = self.volume(volume)
            for domain in {self.hosts[name].domain for name in self.hosts_of(host)} - {found.domain}:
                raise Failure(
                    400, OTHER_DOMAIN, f"VV ({found.domain}) and host ({domain}) must be in the same domain"
                )
            if not 0 <= lun_id < LUN_IDS:
                raise Failure(400, TOO_LARGE, "LUN is too large")
            if lun_id in self._taken(host, port):
                raise Failure(409, EXISTENT_LUN, f"LUN {lun_id} exists for {host}")
            if self.refuses_twice and any((one.volume, one.via) == (volume, host) for one in self.templates):
                raise Failure(403, self.refuses_twice, "volume is exported to the host already")
            template = Template(volume, lun_id, host, port)
            self.templates.append(template)
            self._present(template)
            return template

    def unexport(self, volume: str, lun_id: int, host: str, port: str = "") -> None:
        with self._lock:
            self.volume(volume)
            self.hosts_of(host)
            wanted = Template(volume, lun_id, host, port)
            if wanted not in self.templates:
                raise Failure(404, NON_EXISTENT_VLUN, "VLUN does not exist")
            self.templates.remove(wanted)
            self.san.unmap(self.volumes[volume].naa, via=f"{wanted.via},{lun_id}")

    def log_in(self, initiator: str, port: str = "0:2:1") -> None:
        """Let an initiator be logged in at a port of the array."""
        with self._lock:
            self.logins[spelled(initiator)] = port

    def volume(self, name: str) -> SimVolume:
        if name not in self.volumes:
            raise Failure(404, NON_EXISTENT_VOL, "volume does not exist")
        return self.volumes[name]

    def host(self, name: str) -> SimHost:
        if name not in self.hosts:
            raise Failure(404, NON_EXISTENT_HOST, "host does not exist")
        return self.hosts[name]

    def set_of(self, name: str) -> SimSet:
        if name not in self.sets:
            raise Failure(404, NON_EXISTENT_SET, "host set does not exist")
        return self.sets[name]

    def hosts_of(self, host: str) -> list[str]:
        """Return the host objects behind the name that a template has."""
        if host.startswith("set:"):
            return list(self.set_of(host.removeprefix("set:")).members)
        return [self.host(host).name] if host else []

    def owner(self, initiator: str) -> SimHost | None:
        return next((one for one in self.hosts.values() if spelled(initiator) in one.initiators), None)

    def active(self) -> Iterator[tuple[Template, str, str, str]]:
        """Yield template, host, initiator and port of each active VLUN."""
        for template in self.templates:
            for name in self.hosts_of(template.host) if template.host else self.hosts:
                for initiator in self.hosts[name].initiators:
                    port = self.logins.get(initiator, "")
                    if port and template.port in {"", port}:
                        yield template, name, initiator, port

    def _taken(self, host: str, port: str) -> set[int]:
        """Return the LUN ids that any of the hosts behind a name has."""
        names = self.hosts_of(host)
        if not host:
            return {one.lun_id for one in self.templates if one.port in {"", port}}
        return {
            one.lun_id
            for one in self.templates
            for name in names
            if self._covers(one, name) and (not port or one.port in {"", port})
        }

    def _covers(self, template: Template, host: str) -> bool:
        return not template.host or host in self.hosts_of(template.host)

    def _present_all(self, host: str) -> None:
        for template in self.templates:
            if self._covers(template, host):
                self._present(template)

    def _present(self, template: Template) -> None:
        found = self.hosts_of(template.host) if template.host else list(self.hosts)
        seen_by = [one for name in found for one in self.hosts[name].initiators]
        if template.port:
            seen_by = [one for one in seen_by if self.logins.get(one) == template.port]
        naa = self.volumes[template.volume].naa
        self.san.map(naa, map(str.lower, seen_by), template.lun_id, via=f"{template.via},{template.lun_id}")

    def _admit(self, host: SimHost, initiators: Iterable[str]) -> None:
        """Give initiators to a host, all of them or none."""
        new = [spelled(one) for one in initiators]
        for name in new:
            if not (WWN.fullmatch(name) or IQN.fullmatch(name)):
                raise Failure(400, WRONG_TYPE, f"{name} is no WWN and no iSCSI name")
            if owner := self.owner(name):
                raise Failure(409, EXISTENT_PATH, f"{name} is already used by host {owner.name}")
        host.fc += [name for name in new if WWN.fullmatch(name)]
        host.iscsi += [name for name in new if not WWN.fullmatch(name)]

    def _join(self, host_set: SimSet, members: Iterable[str]) -> None:
        for name in list(members):
            host = self.host(name)
            if name in host_set.members:
                raise Failure(409, MEMBER_IN_SET, "host is in the set already")
            if host.domain != host_set.domain:
                raise Failure(409, OTHER_DOMAIN, "objects must be in the same domain")
            clash = self._taken(name, "") & {
                one.lun_id for one in self.templates if one.host == f"set:{host_set.name}"
            }
            if clash:
                raise Failure(400, LUN_ID_CONFLICT, "LUN id conflict")
            host_set.members.append(name)

    def _check_domain(self, domain: str) -> None:
        if domain and domain not in self.domains:
            raise Failure(404, NON_EXISTENT_DOMAIN, "domain does not exist")


def check_name(name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise Failure(400, EXCEEDS_LENGTH, "string length exceeds limit")
    if not NAME.fullmatch(name):
        raise Failure(400, ILLEGAL_CHAR, "illegal character in input")


def spelled(initiator: str) -> str:
    """Return an initiator as the array keeps it."""
    plain = initiator.replace(":", "").upper()
    return plain if WWN.fullmatch(plain) else initiator.lower()
