"""The state of a simulated ONTAP cluster, and the array's rules; nothing of HTTP.

Kept as documented: an initiator sees a LUN through one map only, a LUN id is used once for each initiator, all
igroups of an initiator agree in OS type, initiators are stored in lower case. What is mapped appears in the SAN.
Error codes are those of the API reference; the HTTP statuses beside them are plausible ones.
"""

import itertools
import re
import secrets
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.lab.san import San

WWPN = re.compile(r"([0-9a-f]{2}:){7}[0-9a-f]{2}|[0-9a-f]{16}")
IQN = re.compile(r"iqn\.\d{4}-\d{2}\.[^:\s]+(:\S+)?")
EUI = re.compile(r"eui\.[0-9a-f]{16}")
LUN_IDS = 4096
NAA_PREFIX = "naa.600a0980"

CLUSTER_ONLY = ("/cluster", "/cluster/nodes")
NOT_AUTHORISED = "6"
API_NOT_FOUND = "3"
NO_ENTRY = "4"
NO_SVM, SVM_MISMATCH, SVM_NEEDED = "2621462", "2621706", "2621707"
GROUP_EXISTS, GROUP_MISSING, GROUP_MAPPED = "5374023", "5374852", "1254213"
MEMBER_EXISTS, MEMBER_MISSING, MEMBERS_NEEDED = "5374035", "5374034", "5374033"
BAD_WWPN, BAD_ISCSI, BAD_INITIATOR, BAD_GROUP_NAME = "5374038", "5374039", "5373993", "5373958"
OS_CONFLICT_CREATE, OS_CONFLICT_ADD = "5374732", "5374734"
SEEN_TWICE, LUN_ID_CLASH = "1254193", "1254324"
MAPPED_ALREADY, MAP_MISSING, LUN_NEEDED, GROUP_NEEDED = "1254207", "5374922", "5374901", "5374902"
LUN_MISSING, LUN_EXISTS, LUN_MAPPED, NOT_MAPPABLE, BAD_LUN_NAME = (
    "5374875",
    "5374242",
    "1254197",
    "5374329",
    "5374352",
)
MAP_GROUP_MISSING = "5374878"


@dataclass
class Svm:
    uuid: str
    name: str
    services: set[str] = field(default_factory=lambda: {"fcp", "iscsi"})
    """protocols by which it serves LUNs"""


@dataclass
class SimLun:
    uuid: str
    path: str
    svm: Svm
    size: int
    serial: str
    kind: str = "regular"
    state: str = "online"
    enabled: bool = True
    comment: str = ""
    os_type: str = "linux"

    @property
    def naa(self) -> str:
        return NAA_PREFIX + self.serial.encode().hex()


@dataclass
class SimGroup:
    uuid: str
    name: str
    svm: Svm
    protocol: str = "mixed"
    os_type: str = "vmware"
    initiators: list[str] = field(default_factory=list)


@dataclass
class SimMap:
    lun: SimLun
    group: SimGroup
    lun_id: int


class Failure(Exception):
    def __init__(self, status: int, code: str, message: str, target: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.target = status, code, message, target


class Cluster:
    """What an administrator sees and does.

    May be set at any time: `seen_twice_code`, and the attributes of `svms`, `luns` and `groups`.
    """

    def __init__(self, san: San, svms: Iterable[str]) -> None:
        self.san = san
        self.seen_twice_code = SEEN_TWICE
        """the reference names the code for adding an initiator, none for mapping; so a test may choose"""
        self.svms: dict[str, Svm] = {}
        self.luns: dict[str, SimLun] = {}
        self.groups: dict[str, SimGroup] = {}
        self.maps: list[SimMap] = []
        self.logins: list[tuple[Svm, str]] = []
        """initiators that are logged in to an SVM, in ONTAP's spelling"""
        # Other arrays on this machine have LUNs of other names: a lab's host sees the processes of all labs.
        own = secrets.token_hex(2)
        self._serials = (f"w{own}+{n:06d}" for n in itertools.count(1))
        self._lock = threading.RLock()
        for name in svms:
            self.add_svm(name)

    def add_svm(self, name: str) -> str:
        svm = Svm(str(uuid.uuid4()), name)
        self.svms[svm.uuid] = svm
        return svm.uuid

    def add_lun(self, path: str, svm: str, size: int, serial: str | None = None, **more: Any) -> str:
        """Create a LUN on the array and in the SAN."""
        with self._lock:
            lun = SimLun(str(uuid.uuid4()), path, self.svm(svm), size, serial or next(self._serials), **more)
            if any(other.path == path and other.svm is lun.svm for other in self.luns.values()):
                raise Failure(409, LUN_EXISTS, f"A LUN already exists at {path}")
            self.san.create_lun(lun.naa, size, "NETAPP", "LUN C-Mode")
            self.luns[lun.uuid] = lun
            return lun.uuid

    def log_in(self, svm: str, initiator: str) -> None:
        """Let an initiator be logged in, as one is that has paths to the SVM."""
        self.logins.append((self.svm(svm), initiator))

    def remove_lun(self, lun_uuid: str) -> None:
        """Delete a LUN with all its maps."""
        with self._lock:
            lun = self.luns.pop(lun_uuid)
            self.maps = [item for item in self.maps if item.lun is not lun]
            self.san.delete_lun(lun.naa)

    def add_group(
        self,
        name: str,
        svm: str,
        initiators: Iterable[str] = (),
        protocol: str = "mixed",
        os_type: str = "vmware",
    ) -> str:
        """Create an igroup, by the rules."""
        with self._lock:
            if self.find_group(name, svm):
                raise Failure(409, GROUP_EXISTS, f'Initiator group "{name}" already exists.', "name")
            group = SimGroup(str(uuid.uuid4()), name, self.svm(svm), protocol, os_type)
            self._admit(group, initiators, OS_CONFLICT_CREATE)
            self.groups[group.uuid] = group
            return group.uuid

    def add_initiators(self, group_uuid: str, initiators: Iterable[str]) -> None:
        with self._lock:
            group = self.groups[group_uuid]
            self._admit(group, initiators, OS_CONFLICT_ADD)
            for item in self.maps_of_group(group):
                self.present(item)

    def add_map(self, lun_uuid: str, group_uuid: str, lun_id: int | None = None) -> int:
        """Map a LUN to an igroup, by the rules."""
        with self._lock:
            lun, group = self.luns[lun_uuid], self.groups[group_uuid]
            if self.find_map(lun_uuid, group_uuid):
                raise Failure(409, MAPPED_ALREADY, "LUN already mapped to this group")
            if lun.kind != "regular":
                raise Failure(400, NOT_MAPPABLE, f"A LUN of class {lun.kind} cannot be mapped.")
            self._must_not_see(lun, group)
            item = SimMap(lun, group, self._free_id(group) if lun_id is None else lun_id)
            if lun_id is not None and lun_id in self._ids(group):
                raise Failure(409, LUN_ID_CLASH, f"LUN id {lun_id} is in use for an initiator of the group")
            self.maps.append(item)
            self.present(item)
            return item.lun_id

    def remove_map(self, lun_uuid: str, group_uuid: str) -> None:
        with self._lock:
            item = self.find_map(lun_uuid, group_uuid)
            if item is None:
                raise Failure(404, MAP_MISSING, "The specified LUN map does not exist.")
            self.maps.remove(item)
            self.san.unmap(item.lun.naa, via=item.group.name)

    def remove_group(self, group_uuid: str) -> None:
        """Delete an igroup with all its maps."""
        with self._lock:
            group = self.groups[group_uuid]
            for item in self.maps_of_group(group):
                self.remove_map(item.lun.uuid, group_uuid)
            del self.groups[group_uuid]

    def svm(self, name: str) -> Svm:
        return next(svm for svm in self.svms.values() if svm.name == name)

    def find_group(self, name: str, svm: str) -> SimGroup | None:
        return next((g for g in self.groups.values() if (g.name, g.svm.name) == (name, svm)), None)

    def find_map(self, lun_uuid: str, group_uuid: str) -> SimMap | None:
        return next((m for m in self.maps if (m.lun.uuid, m.group.uuid) == (lun_uuid, group_uuid)), None)

    def groups_of(self, lun_uuid: str) -> set[str]:
        """Return the names of the igroups that a LUN is mapped to."""
        with self._lock:
            return {item.group.name for item in self.maps if item.lun.uuid == lun_uuid}

    # The array's rules.

    def _admit(self, group: SimGroup, initiators: Iterable[str], conflict: str) -> None:
        """Add initiators, all of them or none."""
        new = [self._initiator(name, group.protocol) for name in initiators]
        for name in new:
            if name in group.initiators:
                raise Failure(409, MEMBER_EXISTS, f'Initiator "{name}" is already in the group.')
            for other in self._groups_with(name, group.svm):
                if other.os_type != group.os_type:
                    message = (
                        f'Initiator "{name}" is in the igroup "{other.name}" with OS type {other.os_type}.'
                    )
                    raise Failure(409, conflict, message)
            self._may_join(name, group)
        group.initiators += dict.fromkeys(new)

    def _may_join(self, name: str, group: SimGroup) -> None:
        seen = {m.lun.uuid: m.lun_id for m in self.maps if name in m.group.initiators}
        for item in self.maps_of_group(group):
            if item.lun.uuid in seen:
                raise Failure(
                    409, SEEN_TWICE, f'Initiator "{name}" would be mapped to {item.lun.path} twice.'
                )
            if item.lun_id in seen.values():
                raise Failure(409, LUN_ID_CLASH, f'Initiator "{name}" would have LUN id {item.lun_id} twice.')

    def _must_not_see(self, lun: SimLun, group: SimGroup) -> None:
        for item in self.maps:
            if item.lun is lun and set(item.group.initiators) & set(group.initiators):
                message = (
                    f'LUN already mapped to initiator(s) of this group, by the group "{item.group.name}"'
                )
                raise Failure(409, self.seen_twice_code, message)

    def _ids(self, group: SimGroup) -> set[int]:
        mine = set(group.initiators)
        return {m.lun_id for m in self.maps if m.group is group or mine & set(m.group.initiators)}

    def _free_id(self, group: SimGroup) -> int:
        taken = self._ids(group)
        return next(number for number in range(LUN_IDS) if number not in taken)

    def _groups_with(self, initiator: str, svm: Svm) -> list[SimGroup]:
        return [g for g in self.groups.values() if g.svm is svm and initiator in g.initiators]

    def maps_of_group(self, group: SimGroup) -> list[SimMap]:
        return [item for item in self.maps if item.group is group]

    def present(self, item: SimMap) -> None:
        initiators = [name if is_iscsi(name) else name.replace(":", "") for name in item.group.initiators]
        self.san.map(item.lun.naa, initiators, item.lun_id, via=item.group.name)

    @staticmethod
    def _initiator(name: str, protocol: str) -> str:
        lower = name.lower()
        if is_iscsi(lower):
            if protocol == "fcp" or not (IQN.fullmatch(lower) or EUI.fullmatch(lower)):
                raise Failure(400, BAD_ISCSI, f'"{name}" is not a valid iSCSI name here.')
            return lower
        if not WWPN.fullmatch(lower):
            raise Failure(400, BAD_INITIATOR, f'"{name}" does not match any valid format.')
        if protocol == "iscsi":
            raise Failure(400, BAD_WWPN, f'"{name}" is a WWPN in an iSCSI group.')
        return ":".join(re.findall("..", lower.replace(":", "")))


def is_iscsi(initiator: str) -> bool:
    return initiator.startswith(("iqn.", "eui."))
