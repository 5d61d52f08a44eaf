"""The array made up for the test that adds a vendor; this folder goes below `tests/lab/arrays`."""

import itertools
import re
import secrets
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab, by_kind
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

TOKEN, READERS = "toy-token", "toy-readers-token"
SHELF = "shelf-1"


@dataclass
class Host:
    id: str
    name: str
    initiators: frozenset[Initiator]
    logged_in: set[str] = field(default_factory=set)

    @property
    def record(self) -> dict[str, object]:
        spelled = [
            ":".join(re.findall("..", initiator.name.upper()))
            if initiator.kind == InitiatorKind.FC
            else initiator.name
            for initiator in self.initiators
        ]
        return {"id": self.id, "name": self.name, "initiators": spelled, "logged_in": sorted(self.logged_in)}


@dataclass
class Disk:
    id: str
    name: str
    device: str
    size: int
    mappings: dict[str, int] = field(default_factory=dict)
    """LUN id by the host's id"""

    @property
    def record(self) -> dict[str, Any]:
        return {"name": self.name, "device": self.device, "size": self.size}


class ToyLab(ArrayLab):
    """See the module."""

    vendor = "toy"

    def __init__(self, pki: Pki, san: San) -> None:
        self._disks: dict[str, Disk] = {}
        self._hosts: dict[str, Host] = {}
        self._sessions: dict[str, bool] = {}
        """whether more than reading is allowed, by token"""
        self._own = secrets.token_hex(4)
        self._lock = threading.RLock()
        super().__init__(san, RestServer("toy", pki.server_context("toy"), self._respond))

    @property
    def access(self) -> Access:
        return Access(f"127.0.0.1:{self.port}", token=TOKEN, options={"TOY_SHELF": SHELF})

    @property
    def reader(self) -> Access:
        return replace(self.access, token=READERS)

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def expire_sessions(self) -> None:
        self._sessions.clear()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        number = next(self._number)
        key, name = f"d{number}", f"pvc-{number}"
        device = f"eui.{serial or f'{self._own}{number:024x}'}"
        self.san.create_lun(device, size, "TOYS", "TOY")
        self._disks[key] = Disk(key, name, device, size)
        return Volume(name, "csi.toy.example", f"{key}/{name}")

    def remove_volume(self, volume: Volume) -> None:
        self.san.delete_lun(self._disks.pop(key_of(volume)).device)

    def contradictions(self, volume: Volume) -> list[Volume]:
        others = [disk.name for disk in self._disks.values() if disk.id != key_of(volume)]
        return [Volume(volume.name, volume.driver, f"{key_of(volume)}/{name}") for name in others]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self._add_host(f"{name}-{kind}", frozenset(own))

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        wanted = frozenset(initiators)
        known = (host.id for host in self._hosts.values() if wanted <= host.initiators)
        return next(known, None) or self._add_host(name, wanted)

    def add_map(self, volume: Volume, group: str) -> None:
        self._map(self._disks[key_of(volume)], group)

    def remove_map(self, volume: Volume, group: str) -> None:
        self._unmap(self._disks[key_of(volume)], group)

    def log_in(self, initiator: Initiator) -> None:
        for host in self._hosts.values():
            if initiator in host.initiators:
                host.logged_in.add(initiator.name)

    def device(self, volume: Volume) -> str:
        return self._disks[key_of(volume)].device

    def state(self) -> object:
        hosts = sorted((host.name, *sorted(map(str, host.initiators))) for host in self._hosts.values())
        return hosts, sorted((disk.id, *sorted(disk.mappings)) for disk in self._disks.values())

    def reset(self) -> None:
        for disk in self._disks.values():
            self.san.delete_lun(disk.device)
        self._disks.clear()

    def _add_host(self, name: str, initiators: frozenset[Initiator]) -> str:
        key = f"h{next(self._number)}"
        self._hosts[key] = Host(key, name, initiators)
        return key

    def _map(self, disk: Disk, host: str) -> int:
        taken = {other.mappings.get(host) for other in self._disks.values()}
        lun_id = disk.mappings[host] = next(n for n in itertools.count(1) if n not in taken)
        names = [initiator.name for initiator in self._hosts[host].initiators]
        self.san.map(disk.device, names, lun_id, via=self._hosts[host].name)
        return lun_id

    def _unmap(self, disk: Disk, host: str) -> None:
        del disk.mappings[host]
        self.san.unmap(disk.device, via=self._hosts[host].name)

    def _respond(self, request: Request) -> Reply:
        with self._lock:
            token = request.headers.get("x-token", "")
            if request.path == "/sessions":
                return self._let_in(request) if request.method == "POST" else self._let_out(token)
            if token not in self._sessions:
                return Reply(403, {"code": "expired", "message": "the session has expired"})
            if not self._sessions[token] and request.method != "GET":
                return Reply(403, {"code": "rights", "message": "this token may only read"})
            return self._answer(request)

    def _answer(self, request: Request) -> Reply:
        if request.path == "/info":
            return Reply(200, {"model": "T1", "version": "1.0"})
        if request.path == "/hosts":
            return Reply(200, [host.record for host in self._hosts.values()])
        return self._of_volume(request)

    def _let_out(self, token: str) -> Reply:
        self._sessions.pop(token, None)
        return Reply(204)

    def _let_in(self, request: Request) -> Reply:
        if request.body not in ({"token": TOKEN}, {"token": READERS}):
            return Reply(401, {"code": "token", "message": "no such token"})
        token = secrets.token_hex(8)
        self._sessions[token] = request.body["token"] == TOKEN
        return Reply(200, {}, {"X-Token": token})

    def _of_volume(self, request: Request) -> Reply:
        parts = request.path.split("/")[1:]
        if parts == ["shelves", SHELF, "volumes"]:
            return Reply(200, [disk.record for disk in self._disks.values()])
        if parts[:3] != ["shelves", SHELF, "volumes"] or parts[3] not in self._disks:
            return Reply(404, {"code": "unknown", "message": f"there is no {request.path}"})
        disk, host = self._disks[parts[3]], parts[5] if len(parts) > 5 else ""
        if len(parts) == 4:
            return Reply(200, disk.record)
        if request.method == "GET":
            rows = [{"host": self._hosts[key].record, "lun": n} for key, n in disk.mappings.items()]
            return Reply(200, rows)
        return self._change(disk, host or request.body["host"], add=request.method == "POST")

    def _change(self, disk: Disk, host: str, *, add: bool) -> Reply:
        if add == (host in disk.mappings):
            code = "mapped" if add else "unmapped"
            return Reply(409, {"code": code, "message": f"it is {code} already"})
        if add:
            return Reply(201, {"lun": self._map(disk, host)})
        self._unmap(disk, host)
        return Reply(204)


def key_of(volume: Volume) -> str:
    """Return the array's id of a volume."""
    return volume.handle.partition("/")[0]


start = ToyLab
"""for `tests.lab.arrays`"""
