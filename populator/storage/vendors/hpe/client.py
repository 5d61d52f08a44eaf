"""HPE's WSAPI, version 1: one method for each call we make, with the API's own fields and error codes.

Facts are those of the "HP 3PAR Web Services API Developer's Guide", and of HPE's own Python client, python-3parclient,
whose docstrings name the errors of each call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import ODD, Answer
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.initiators import in_capitals, read_initiators
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.session import Session
from populator.storage.vendors.hpe.tasks import Task, read_task
from vsphere.model import Initiator, InitiatorKind

API = "/api/v1"
PERMISSION_DENIED = "13"
HOST_EXISTS, HOST_MISSING, PATH_TAKEN = "16", "17", "73"
VLUN_MISSING, VOLUME_MISSING, SET_MISSING = "19", "23", "102"
ID_TAKEN, EXPORTED, IN_USE, HOST_IN_SET = "18", "26", "34", "77"
UNMAPPED = {VLUN_MISSING, VOLUME_MISSING, HOST_MISSING, SET_MISSING}
"""the mapping, or one end of it, does not exist: nothing is left to unmap"""
HOST_RACES = {HOST_EXISTS, HOST_MISSING, PATH_TAKEN}
"""somebody else created or deleted the host object between our look and our act"""
STILL_USED = {EXPORTED, IN_USE, HOST_IN_SET}
PERSONA_VMWARE = 8
"""of the API; the CLI has other numbers"""
ADD_PATH = 1
STOP_PHYSICAL_COPY, CANCEL_TASK = 1, 1
"""actions by number, of a volume and of a task. Of a volume's others, 4 promotes a snapshot: it writes to the base"""


class Kind(IntEnum):
    """What a VLUN was made for."""

    PORT = 2
    HOST = 3
    MATCHED_SET = 4
    """a host by one port of the array; the CSI driver's usual way"""
    HOST_SET = 5


class CopyType(IntEnum):
    """What a volume is."""

    BASE = 1
    PHYSICAL = 2
    """for as long as its copy is under way, and after that where its snapshot was to be saved"""
    SNAPSHOT = 3


class State(IntEnum):
    """What may be said of a volume in detail, as far as copies are concerned."""

    COPY_FAILED = 9
    """until the next copy onto it begins"""
    PROMOTING = 12
    COPY_TARGET = 13
    RESYNC_TARGET = 14
    IMPORTING = 21


@dataclass(frozen=True)
class VolumeRecord:
    """A volume as the array describes it."""

    name: str
    wwn: str
    size: int
    """bytes"""
    read_only: bool
    domain: str
    """the virtual domain, empty where it is in none"""
    id: int | None
    uuid: str
    copy_type: CopyType | None
    """None where the array does not say it"""
    copy_of: str
    """the name of the volume that this is a copy of, empty where of none"""
    parent: int | None
    """the id of the volume that this is a physical copy of"""
    states: frozenset[int]
    """numbers as in `State`, and others"""


@dataclass(frozen=True)
class HostRecord:
    """A host object; one without a name stands for paths that the array sees and nobody has given to a host."""

    name: str
    domain: str
    initiators: frozenset[Initiator]
    logged_in: frozenset[Initiator]


@dataclass(frozen=True)
class Vlun:
    """A template, which is what somebody asked for, or an active VLUN, which comes of it for each path."""

    volume: str
    lun_id: int
    host: str
    """a host object, or `set:` and a host set; empty for a port"""
    kind: int
    active: bool
    port: str
    """`node:slot:port`, empty where it is for all"""
    initiator: frozenset[Initiator]
    """of an active VLUN"""


class Client:
    """The calls, on one session at a time."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._http = Http(access, clock, "HPE", explain, Session(access, clock))
        self.name = self._http.name

    def system(self) -> tuple[str, str]:
        """Return model and version."""
        answer = self._http.call("GET", f"{API}/system", "tell its model and version")
        return answer.optional("model"), answer.optional("systemVersion")

    def volume(self, name: str) -> VolumeRecord | None:
        """Return a volume, if there is one of that name."""
        try:
            return volume_record(
                self._http.call("GET", f"{API}/volumes/{names.part(name)}", f"find the volume {name}")
            )
        except Refused as error:
            if error.code != VOLUME_MISSING:
                raise
            return None

    def volumes(self, query: str) -> list[VolumeRecord]:
        """Return what matches a query, and perhaps more; volumes of vVols are in no list without one."""
        return [volume_record(row) for row in self._list("volumes", "find a disk among its volumes", query)]

    def start_copy(self, source: str, target: str) -> int:
        """Have a physical copy made onto a volume that exists, and return its task; the source is only read.

        The target becomes the source's physical copy, and a base volume again when all is copied.
        """
        parameters = {"destVolume": target, "online": False, "saveSnapshot": False}
        body = {"action": "createPhysicalCopy", "parameters": parameters}
        answer = self._http.call(
            "POST",
            f"{API}/volumes/{names.part(source)}",
            f"copy the volume {source} onto {target}",
            body=body,
        )
        return answer.number("taskid")

    def stop_copy(self, target: str) -> None:
        """Stop the physical copy onto a volume."""
        act, body = f"stop the copy onto {target}", {"action": STOP_PHYSICAL_COPY}
        self._http.call("PUT", f"{API}/volumes/{names.part(target)}", act, body=body)

    def tasks(self) -> list[Task]:
        """Return the tasks of the last 24 hours."""
        return [read_task(row) for row in self._list("tasks", "list its tasks")]

    def task(self, task_id: str) -> Task:
        """Return a task."""
        return read_task(
            self._http.call("GET", f"{API}/tasks/{names.part(task_id)}", f"find its task {task_id}")
        )

    def cancel_task(self, task_id: str) -> None:
        """Cancel a task; it may go on for a while."""
        act, body = f"cancel its task {task_id}", {"action": CANCEL_TASK}
        self._http.call("PUT", f"{API}/tasks/{names.part(task_id)}", act, body=body)

    def vluns(self, volume: str) -> list[Vlun]:
        """Return all VLUNs of a volume."""
        rows = self._list("vluns", f"list the VLUNs of {volume}", f"volumeName EQ {volume}")
        return [row for row in map(vlun, rows) if row.volume == volume]

    def hosts(self, initiators: Iterable[Initiator] = ()) -> list[HostRecord]:
        """Return the host objects that hold any of the initiators, and perhaps more."""
        query, act = names.hosts_with(initiators), "list its hosts"
        rows = self._list("hosts", act, query)
        if query and not rows:  # some versions take the query and find nothing by it
            rows = self._list("hosts", act)
        return [host_record(row) for row in rows]

    def host(self, name: str) -> HostRecord | None:
        """Return a host object, if there is one of that name."""
        try:
            return host_record(
                self._http.call("GET", f"{API}/hosts/{names.part(name)}", f"find the host {name}")
            )
        except Refused as error:
            if error.code != HOST_MISSING:
                raise
            return None

    def members(self, host_set: str) -> list[str]:
        """Return the host objects of a host set; none where there is no such set."""
        try:
            answer = self._http.call(
                "GET", f"{API}/hostsets/{names.part(host_set)}", f"find the host set {host_set}"
            )
        except Refused as error:
            if error.code != SET_MISSING:
                raise
            return []
        return answer.texts("setmembers")

    def create_host(self, name: str, initiators: Iterable[Initiator], domain: str) -> None:
        """Create a host object for ESXi with initiators of one kind."""
        body: dict[str, object] = {"name": name, "persona": PERSONA_VMWARE, **paths(initiators)}
        if domain:
            body["domain"] = domain
        self._http.call("POST", f"{API}/hosts", f"create the host {name}", body=body)

    def add_paths(self, name: str, initiators: Iterable[Initiator]) -> None:
        """Add initiators of one kind to a host object."""
        body = {"pathOperation": ADD_PATH, **paths(initiators)}
        self._http.call(
            "PUT", f"{API}/hosts/{names.part(name)}", f"add initiators to the host {name}", body=body
        )

    def delete_host(self, name: str) -> bool:
        """Delete a host object that sees nothing; return whether it was there, also where it could not be deleted."""
        return self._delete(f"hosts/{names.part(name)}", f"delete the host {name}", HOST_MISSING)

    def delete_set(self, name: str) -> bool:
        """Delete a host set that sees nothing, in the same way."""
        return self._delete(f"hostsets/{names.part(name)}", f"delete the host set {name}", SET_MISSING)

    def map(self, volume: str, host: str, first_id: int) -> int | None:
        """Let a host see a volume under the first LUN id from this one on that is free; None where it is not said."""
        body = {"volumeName": volume, "hostname": host, "lun": first_id, "autoLun": True, "maxAutoLun": 0}
        answer = self._http.call("POST", f"{API}/vluns", f"map {volume} to {host}", body=body)
        return names.lun_id_in(answer.headers.get("Location", ""))

    def unmap(self, row: Vlun) -> bool:
        """Remove a template; return whether there was one."""
        key = ",".join(map(names.part, (row.volume, str(row.lun_id), row.host)))
        try:
            self._http.call("DELETE", f"{API}/vluns/{key}", f"unmap {row.volume} from {row.host}")
        except Refused as error:
            if error.code not in UNMAPPED:
                raise
            return False
        return True

    def log_out(self) -> None:
        """End the session and drop the connections; the next call begins another."""
        self._http.close()

    def _list(self, what: str, act: str, query: str = "") -> list[Answer]:
        """Return a whole list, or about what matches the query: the caller has to look at each."""
        try:
            answer = self._http.call("GET", names.with_query(f"{API}/{what}", query), act)
        except Refused as error:
            if not query or error.status not in {400, 404}:  # versions differ in which queries they know
                raise
            return self._list(what, act)
        rows = answer.records("members")
        total = answer.number_if_any("total") or 0
        if total > len(rows):
            raise StorageError(f"{self.name} was asked to {act} and gave only {len(rows)} of {total}.", ODD)
        return rows

    def _delete(self, path: str, act: str, missing: str) -> bool:
        try:
            self._http.call("DELETE", f"{API}/{path}", act)
        except Refused as error:
            if error.code not in {missing, *STILL_USED}:
                raise
            return error.code != missing
        return True


def explain(body: Answer) -> tuple[str, str]:
    """Return code and description of an error; only the code is stable."""
    return body.optional("code"), body.optional("desc")


def paths(initiators: Iterable[Initiator]) -> dict[str, object]:
    """Return initiators of one kind as a request names them."""
    members = list(initiators)
    field = "FCWWNs" if members[0].kind == InitiatorKind.FC else "iSCSINames"
    return {field: [in_capitals(initiator) for initiator in members]}


def volume_record(row: Answer) -> VolumeRecord:
    """Read a volume."""
    kind, parent = row.find("copyType"), row.find("physParentId")
    states = [row.find(name) or [] for name in ("failedStates", "degradedStates", "additionalStates")]
    return VolumeRecord(
        name=row.text("name"),
        wwn=row.text("wwn"),
        size=row.number("sizeMiB") << 20,
        read_only=row.find("readOnly") is True,
        domain=row.optional("domain"),
        id=row.find("id"),
        uuid=row.optional("uuid"),
        copy_type=CopyType(kind) if kind in set(CopyType) else None,
        copy_of=row.optional("copyOf"),
        parent=parent if kind == CopyType.PHYSICAL and isinstance(parent, int) else None,
        states=frozenset(chain.from_iterable(states)),
    )


def host_record(row: Answer) -> HostRecord:
    """Read a host object; where a path has a port, the initiator is logged in there."""
    named_paths = [(path.text("wwn"), path) for path in row.objects("FCPaths")]
    named_paths += [(path.text("name"), path) for path in row.objects("iSCSIPaths")]
    return HostRecord(
        name=row.optional("name"),
        domain=row.optional("domain"),
        initiators=read_initiators(name for name, _ in named_paths),
        logged_in=read_initiators(name for name, path in named_paths if path.find("portPos") is not None),
    )


def vlun(row: Answer) -> Vlun:
    """Read a VLUN."""
    port = "" if row.find("portPos") is None else position(row)
    remote = row.optional("remoteName")
    return Vlun(
        volume=row.text("volumeName"),
        lun_id=row.number("lun"),
        host=row.optional("hostname"),
        kind=row.number("type"),
        active=row.find("active") is True,
        port=port,
        initiator=read_initiators([remote] if remote else []),
    )


def position(row: Answer) -> str:
    """Return a port of the array as its CLI writes it."""
    return ":".join(str(row.number(f"portPos.{name}")) for name in ("node", "slot", "cardPort"))
