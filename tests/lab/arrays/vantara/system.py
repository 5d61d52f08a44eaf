"""What a VSP has and enforces, without its API: ports, host groups and their initiators, LDEVs, LU paths.

Codes are those that the REST reference and Hitachi's driver in Cinder name. Those that stand for what neither names
(`OTHER`) are made up.
"""

import itertools
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.lab.san import San

LUN_IDS = 2048
WWN, IQN = re.compile(r"[0-9a-f]{16}"), re.compile(r"(iqn\.|eui\.)\S+")
MISSING, NOT_ALLOWED, INVALID, OTHER = "KART30013-E", "KART40046-E", "KART40038-E", "KART30000-E"
PATH_DEFINED, LUN_TAKEN = ("B958", "015A"), ("B958", "0947")
FC, ISCSI = "FIBRE", "ISCSI"
UNASSIGNED = 0xFFFE
SERIAL_MASK = 0x50700000
"""of a VSP E with a serial number from 700000 on, in an NAA id; Hitachi's Ansible modules have those of others, too"""


class Failure(Exception):
    """What the array refuses, at once or as the end of a job."""

    def __init__(
        self, message_id: str, text: str, ssb: tuple[str, str] | None = None, status: int = 400
    ) -> None:
        super().__init__(text)
        self.message_id, self.text, self.ssb, self.status = message_id, text, ssb, status


@dataclass
class SimPort:
    id: str
    type: str
    wwn: str


@dataclass
class SimGroup:
    port: str
    number: int
    name: str
    initiators: list[str] = field(default_factory=list)
    mode: str = "VMWARE_EX"
    options: list[int] = field(default_factory=lambda: [54, 63])

    @property
    def id(self) -> str:
        return f"{self.port},{self.number}"


@dataclass
class SimLdev:
    id: int
    label: str
    blocks: int
    naa: str
    attributes: list[str] = field(default_factory=lambda: ["CVS", "HDP"])
    status: str = "NML"
    resource_group: int = 0
    virtual: int | None = None
    data_reduction: str = "disabled"
    pool: int | None = 0
    tells_naa: bool = False
    """also while no host group sees it"""


@dataclass(frozen=True)
class SimPath:
    ldev: int
    group: str
    lun_id: int


class System:
    """What an administrator sees and does; the attributes of `ldevs` and `groups` may be set at any time."""

    def __init__(self, san: San) -> None:
        self.san = san
        self.serial = 715010
        self.model, self.microcode = "VSP E790H", "93-07-21-80/00"
        self.device_id = f"934000{self.serial}"
        self.wwn = secrets.randbits(24) << 8
        """what its ports' names and all NAA ids have in common"""
        self.ports: dict[str, SimPort] = {}
        for number in range(1, 9):
            name, kind = f"CL{number}-A", FC if number < 5 else ISCSI
            self.ports[name] = SimPort(name, kind, f"50060e80{self.wwn | number:08x}")
        self.groups: dict[str, SimGroup] = {}
        self.ldevs: dict[int, SimLdev] = {}
        self.paths: list[SimPath] = []
        self.logged_in: set[str] = set()
        self._number = itertools.count(0x100)
        self.lock = threading.RLock()

    def naa(self, ldev: int, serial: int | None = None) -> str:
        """Return the NAA id of an LDEV; with another serial number, that of a virtual storage machine."""
        shown = (self.serial if serial is None else serial) % 100000 | SERIAL_MASK
        return f"60060e80{self.wwn:08x}{shown:08x}{ldev:08x}"

    def vvol_id(self, ldev: int) -> str:
        """Return a vVol's id, which its LDEV is not known by in the REST API: Hitachi's audit log has such."""
        return self.naa(ldev).replace("60060e80", "60060e81", 1)

    def add_ldev(self, label: str, size: int, number: int | None = None, naa: str = "") -> SimLdev:
        with self.lock:
            number = next(self._number) if number is None else number
            made = SimLdev(number, label, -(-size // 512), naa or self.naa(number))
            self.san.create_lun(f"naa.{made.naa}", size, "HITACHI", "OPEN-V")
            self.ldevs[number] = made
            return made

    def remove_ldev(self, number: int) -> None:
        """Delete an LDEV, and with it its paths."""
        with self.lock:
            self.paths = [path for path in self.paths if path.ldev != number]
            self.san.delete_lun(f"naa.{self.ldevs.pop(number).naa}")

    def add_group(
        self, port: str, name: str, initiators: Iterable[str] = (), number: int | None = None
    ) -> SimGroup:
        with self.lock:
            if port not in self.ports:
                raise Failure(MISSING, f"The port {port} does not exist.", status=404)
            used = {group.number for group in self.groups.values() if group.port == port}
            if any(group.name == name for group in self.groups.values() if group.port == port):
                raise Failure(OTHER, f"The host group name {name} is used on port {port}.", ("B956", "3187"))
            number = (
                next(free for free in itertools.count(1) if free not in used) if number is None else number
            )
            made = SimGroup(port, number, name)
            self.groups[made.id] = made
            for initiator in initiators:
                self.add_member(made.id, initiator)
            return made

    def remove_group(self, key: str) -> None:
        with self.lock:
            if any(path.group == key for path in self.paths):
                raise Failure(OTHER, "The host group has LU paths.", ("B956", "31B3"))
            del self.groups[self.group(key).id]

    def add_member(self, key: str, initiator: str) -> None:
        """Register an initiator, which may be in one host group of a port."""
        with self.lock:
            group, name = self.group(key), initiator.lower()
            if not (WWN if self.ports[group.port].type == FC else IQN).fullmatch(name):
                raise Failure(INVALID, f"{initiator} cannot be registered on port {group.port}.")
            owner = next(
                (
                    other
                    for other in self.groups.values()
                    if other.port == group.port and name in other.initiators
                ),
                None,
            )
            if owner:
                raise Failure(OTHER, f"{initiator} is registered in {owner.id}.", ("B957", "4180"))
            group.initiators.append(name)
            for path in [path for path in self.paths if path.group == key]:
                self._present(path)

    def remove_member(self, key: str, initiator: str) -> None:
        with self.lock:
            self.group(key).initiators.remove(initiator.lower())
            for path in [path for path in self.paths if path.group == key]:
                self._present(path)

    def add_path(self, ldev: int, key: str, lun_id: int | None = None) -> SimPath:
        """Let a host group see an LDEV, under a LUN id or under the lowest that is free."""
        with self.lock:
            group = self.group(key)
            if ldev not in self.ldevs:
                raise Failure(OTHER, f"The LDEV {ldev} is not defined.", ("2E11", "9800"))
            if self.ldevs[ldev].virtual == UNASSIGNED:
                raise Failure(OTHER, f"The LDEV {ldev} has no virtual LDEV ID.", ("B958", "0233"))
            used = {path.lun_id for path in self.paths if path.group == key}
            if any((path.ldev, path.group) == (ldev, key) for path in self.paths):
                raise Failure(OTHER, "An LU path is already defined in the LDEV.", PATH_DEFINED)
            lun_id = (
                next(free for free in itertools.count() if free not in used) if lun_id is None else lun_id
            )
            if lun_id in used:
                raise Failure(OTHER, "Another LDEV is already mapped to the LUN.", LUN_TAKEN)
            if lun_id >= LUN_IDS:
                raise Failure(OTHER, "The LUN is out of range.", ("B958", "0155"))
            made = SimPath(ldev, group.id, lun_id)
            self.paths.append(made)
            self._present(made)
            return made

    def remove_path(self, key: str, lun_id: int) -> None:
        with self.lock:
            found = [path for path in self.paths if (path.group, path.lun_id) == (key, lun_id)]
            if not found:
                raise Failure(MISSING, "The specified object does not exist.", status=404)
            self.paths.remove(found[0])
            self.san.unmap(f"naa.{self.ldevs[found[0].ldev].naa}", via=_via(found[0]))

    def log_in(self, initiator: str) -> None:
        """Let an initiator be logged in at each port that has it registered."""
        with self.lock:
            self.logged_in.add(initiator.lower())

    def group(self, key: str) -> SimGroup:
        if key not in self.groups:
            raise Failure(MISSING, f"The host group {key} does not exist.", status=404)
        return self.groups[key]

    def of(self, ldev: int) -> Iterator[tuple[SimPath, SimGroup]]:
        """Yield the paths of an LDEV with their host groups."""
        return ((path, self.groups[path.group]) for path in self.paths if path.ldev == ldev)

    def _present(self, path: SimPath) -> None:
        naa = f"naa.{self.ldevs[path.ldev].naa}"
        self.san.map(naa, self.groups[path.group].initiators, path.lun_id, via=_via(path))


def _via(path: SimPath) -> str:
    return f"{path.group},{path.lun_id}"
