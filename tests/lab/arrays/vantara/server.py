"""A simulator of a VSP's REST API, as far as LU paths go, and (`snapshots`) pairs.

Real HTTPS for any client: the populator's, Cinder's, Hitachi's Ansible modules. State and rules are those of `system`.
Objects are served with `storages/<id>` before them and without, as an array itself does; by an Ops Center server only
with it.
"""

import itertools
import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.arrays.rest import Reply, Request, RestServer, Step
from tests.lab.arrays.service import Service
from tests.lab.arrays.vantara.snapshots import Pairs, SnapshotApi
from tests.lab.arrays.vantara.system import (
    FC,
    INVALID,
    ISCSI,
    MISSING,
    NOT_ALLOWED,
    Failure,
    SimGroup,
    SimLdev,
    SimPath,
    SimPort,
    System,
)
from tests.lab.san import San

ROOT = "/ConfigurationManager"
V1 = f"{ROOT}/v1"
MOST_LDEVS = 16384
RESERVE = dict.fromkeys(("openSystem", "persistent", "pgrKey", "mainframe", "acaReserve"), False)
Record = dict[str, Any]
Act = Callable[[], str]
"""what a job does; returns the object that it affects"""


@dataclass(frozen=True)
class User:
    """Credentials, with the role Storage Administrator (Provisioning), or View Only."""

    password: str
    may_write: bool = True


@dataclass
class Session:
    id: int
    user: str
    used: float = field(default_factory=time.monotonic)


@dataclass
class Job:
    id: int
    request: Record
    act: Act
    looks: int
    """at it before it is done"""
    status: str = "Initializing"
    state: str = "Queued"
    affected: list[str] = field(default_factory=list)
    error: Record | None = None


class VantaraSimulator(System, Service):
    """One array, served from its making to `close`.

    May be set at any time, beside what `System` names: `version` (of the API), `others` (more arrays of the server, by
    id), `most_sessions`, `idle_seconds`, `looks` (at a job before it is done; then it is not waited for either),
    `says_groups` (whether ports say which host group an initiator is in), `says_registered` (whether they show those
    that are not logged in), `naa_in_lists`, `locked` (how many more jobs find the resource group locked), `fails` (what
    the next jobs end as).
    """

    def __init__(self, san: San, context: ssl.SSLContext, users: Mapping[str, User]) -> None:
        super().__init__(san)
        self.pairs = Pairs(self.ldevs, san)
        self.snapshots = SnapshotApi(self.pairs, self._job, given)
        self.users = dict(users)
        self.version = "1.42.0"
        self.others: dict[str, int] = {}
        self.most_sessions, self.idle_seconds, self.looks = 64, 300.0, 0
        self.says_groups = self.says_registered = self.naa_in_lists = True
        self.locked = 0
        self.fails: list[Failure | str] = []
        self.sessions: dict[str, Session] = {}
        self.jobs: dict[int, Job] = {}
        self._jobs, self._sessions = itertools.count(1), itertools.count(1)
        self.server = RestServer("vantara", context, self._respond)

    @property
    def base(self) -> str:
        """Path of the array's objects, as our driver asks for them."""
        return f"{V1}/objects/storages/{self.device_id}"

    def before(self, method: str, path: str, action: Step, times: int = 1) -> None:
        """Step in right before the next calls of a path (`/luns`); see `RestServer.before`."""
        self.server.before(method, self.base + path, action, times)

    def settle(self) -> None:
        """Let all jobs come to their end."""
        with self.lock:
            for job in self.jobs.values():
                while job.status != "Completed":
                    self._advance(job)

    def _respond(self, request: Request) -> Reply:
        with self.lock:
            try:
                return self._route(request)
            except Failure as failure:
                return Reply(failure.status, described(failure, request.path))

    def _route(self, request: Request) -> Reply:
        if request.path == f"{ROOT}/configuration/version":
            return Reply(200, {"productName": "Configuration Manager REST API", "apiVersion": self.version})
        match = re.fullmatch(rf"{V1}/objects/(?:storages/(\d{{12}}|instance)/)?(.+)", request.path)
        if match is None:
            raise Failure(MISSING, "The URL is not known.", status=404)
        if match[1] not in {None, "instance", self.device_id}:
            raise Failure(MISSING, f"The storage system {match[1]} is not registered.", status=404)
        what, _, key = match[2].partition("/")
        if (request.method, what) == ("POST", "sessions"):
            return self._let_in(request)
        if (request.method, match[2]) == ("GET", "storages"):
            return listed([self._storage(), *map(self._other, self.others)])
        session = self._session(request)
        if what == "sessions" and key:
            return self._of_session(request, session, key)
        if request.method != "GET" and not self.users[session.user].may_write:
            raise Failure(NOT_ALLOWED, "You do not have permission for the operation.", status=403)
        handler = self._table().get((request.method, what, bool(key)))
        if handler is None:
            raise Failure(MISSING, "The URL is not known, or not for this method.", status=404)
        return handler(request, key)

    def _table(self) -> dict[tuple[str, str, bool], Callable[[Request, str], Reply]]:
        return {
            ("GET", "storages", True): self._get_storage,
            ("GET", "sessions", False): self._list_sessions,
            ("GET", "jobs", True): self._get_job,
            ("GET", "ldevs", True): self._get_ldev,
            ("GET", "ldevs", False): self._list_ldevs,
            ("GET", "ports", True): self._get_port,
            ("GET", "ports", False): self._list_ports,
            ("GET", "host-groups", True): self._get_group,
            ("GET", "host-groups", False): self._list_groups,
            ("POST", "host-groups", False): self._post_group,
            ("DELETE", "host-groups", True): self._delete_group,
            ("GET", "host-wwns", False): self._list_members,
            ("POST", "host-wwns", False): self._post_member,
            ("GET", "host-iscsis", False): self._list_members,
            ("POST", "host-iscsis", False): self._post_member,
            ("GET", "luns", False): self._list_paths,
            ("GET", "luns", True): self._get_path,
            ("POST", "luns", False): self._post_path,
            ("DELETE", "luns", True): self._delete_path,
            **self.snapshots.table(),
        }

    # Sessions.

    def _let_in(self, request: Request) -> Reply:
        given(request.body, {}, {"aliveTime": int, "authenticationTimeout": int})
        user, password = request.basic or ("", "")
        if user not in self.users or self.users[user].password != password:
            raise Failure("KART20011-E", "The user ID or the password is wrong.", status=401)
        self._forget_idle()
        if len(self.sessions) >= self.most_sessions:
            raise Failure("KART40039-E", "No more sessions can be generated.", status=503)
        token = secrets.token_hex(16)
        self.sessions[token] = Session(next(self._sessions), user)
        return Reply(200, {"token": token, "sessionId": self.sessions[token].id})

    def _session(self, request: Request) -> Session:
        self._forget_idle()
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind != "Session" or token not in self.sessions:
            raise Failure("KART40047-E", "The token is invalid or has expired.", status=401)
        self.sessions[token].used = time.monotonic()
        return self.sessions[token]

    def _of_session(self, request: Request, own: Session, key: str) -> Reply:
        token = next((token for token, session in self.sessions.items() if str(session.id) == key), None)
        if token is None or self.sessions[token].user != own.user:
            raise Failure(MISSING, "The session does not exist.", status=404)
        if request.method == "GET":
            return Reply(200, self._session_record(self.sessions[token]))
        del self.sessions[token]
        return Reply(200, b"")

    def _list_sessions(self, request: Request, _key: str) -> Reply:
        asked(request, set())
        return listed([self._session_record(session) for session in self.sessions.values()])

    def _session_record(self, session: Session) -> Record:
        return {"sessionId": session.id, "userId": session.user, "ipAddress": "127.0.0.1"}

    def _forget_idle(self) -> None:
        limit = time.monotonic() - self.idle_seconds
        self.sessions = {token: session for token, session in self.sessions.items() if session.used > limit}

    # Jobs.

    def _job(self, request: Request, act: Act) -> Reply:
        """Begin a job, when those before it are done; it goes on whether anybody looks at it or not."""
        if self.locked:
            self.locked -= 1
            raise Failure("KART40050-E", "The resource group is locked.", status=409)
        self.settle()
        asked_for = {"requestUrl": request.path, "requestMethod": request.method}
        job = Job(next(self._jobs), asked_for, act, self.looks)
        self.jobs[job.id] = job
        first = self._job_record(job)
        if not self.looks:
            self._advance(job)
        waits = request.headers.get("response-job-status", "").startswith("Completed")
        waited = waits and int(request.headers.get("response-max-wait", "0")) > 0
        return Reply(202, self._job_record(job) if waited else first)

    def _advance(self, job: Job) -> None:
        if job.looks > 0:
            job.looks -= 1
            job.status, job.state = "Running", "Started"
            return
        job.status = "Completed"
        fails = self.fails.pop(0) if self.fails else None
        if isinstance(fails, str):
            job.state = fails
            return
        try:
            if fails:
                raise fails
            job.affected = [f"{self.base}/{job.act()}"]
            job.state = "Succeeded"
        except Failure as failure:
            job.state, job.error = "Failed", described(failure, str(job.request["requestUrl"]))

    def _get_job(self, request: Request, key: str) -> Reply:
        asked(request, set())
        if not key.isdecimal() or int(key) not in self.jobs:
            raise Failure(MISSING, "The job does not exist.", status=404)
        job = self.jobs[int(key)]
        if job.status != "Completed":
            self._advance(job)
        return Reply(200, self._job_record(job))

    def _job_record(self, job: Job) -> Record:
        record: Record = {
            "jobId": job.id,
            "self": f"{V1}/objects/jobs/{job.id}",
            "userId": "csi",
            "status": job.status,
            "state": job.state,
            "request": job.request,
        }
        if job.affected:
            record["affectedResources"] = job.affected
        return record | ({"error": job.error} if job.error else {})

    # The array.

    def _storage(self) -> Record:
        return {"storageDeviceId": self.device_id, "model": self.model, "serialNumber": self.serial}

    def _other(self, device_id: str) -> Record:
        return {"storageDeviceId": device_id, "model": self.model, "serialNumber": self.others[device_id]}

    def _get_storage(self, request: Request, key: str) -> Reply:
        asked(request, {"detailInfoType"})
        if key not in {"instance", self.device_id}:
            raise Failure(MISSING, f"The storage system {key} is not registered.", status=404)
        return Reply(200, self._storage() | {"dkcMicroVersion": self.microcode, "isSecure": True})

    # LDEVs.

    def _get_ldev(self, request: Request, key: str) -> Reply:
        asked(request, set())
        if not key.isdecimal() or int(key) > 0xFFFFF:
            raise Failure(INVALID, f"The LDEV ID {key} is invalid.")
        number = int(key)
        self.pairs.look(number)
        return Reply(
            200, self._ldev_record(self.ldevs[number]) if number in self.ldevs else undefined(number)
        )

    def _list_ldevs(self, request: Request, _key: str) -> Reply:
        query = asked(request, {"headLdevId", "count", "ldevOption", "poolId", "resourceGroupId"})
        count, head = number_in(query, "count", 100), number_in(query, "headLdevId", 0)
        option = query.get("ldevOption")
        if not 1 <= count <= MOST_LDEVS or option not in {
            None,
            "defined",
            "dpVolume",
            "luMapped",
            "luUnmapped",
            "undefined",
        }:
            raise Failure(INVALID, "A query parameter is invalid.")
        if option == "undefined":
            free = (number for number in itertools.count(head) if number not in self.ldevs)
            return listed([undefined(number) for number in itertools.islice(free, count)])
        seen = {path.ldev for path in self.paths}
        wanted = {"luMapped": {True}, "luUnmapped": {False}}.get(option or "", {True, False})
        rows = [
            self._ldev_record(ldev, naa=self.naa_in_lists)
            for number, ldev in sorted(self.ldevs.items())
            if number >= head
            and (number in seen) in wanted
            and query.get("resourceGroupId") in {None, str(ldev.resource_group)}
        ]
        return listed(rows[:count])

    def _ldev_record(self, ldev: SimLdev, *, naa: bool = True) -> Record:
        ports = [
            {
                "portId": group.port,
                "hostGroupNumber": group.number,
                "hostGroupName": group.name,
                "lun": path.lun_id,
            }
            for path, group in self.of(ldev.id)
        ]
        record: Record = {
            "ldevId": ldev.id,
            "clprId": 0,
            "emulationType": "OPEN-V-CVS",
            "byteFormatCapacity": f"{ldev.blocks / 2097152:.2f} G",
            "blockCapacity": ldev.blocks,
            "attributes": [*ldev.attributes, *(["HTI"] if any(self.pairs.of(ldev.id)) else [])],
            "label": ldev.label,
            "status": ldev.status,
            "resourceGroupId": ldev.resource_group,
            "dataReductionStatus": "DISABLED" if ldev.data_reduction == "disabled" else "ENABLED",
            "dataReductionMode": ldev.data_reduction,
            "isAluaEnabled": False,
        }
        if not ldev.label:
            del record["label"]
        if ldev.pool is not None:
            record["poolId"] = ldev.pool
        if ldev.virtual is not None:
            record["virtualLdevId"] = ldev.virtual
        if ports:
            record |= {"numOfPorts": len(ports), "ports": ports}
        if naa and (ports or ldev.tells_naa):
            record["naaId"] = ldev.naa
        return record

    # Ports, host groups and their members.

    def _list_ports(self, request: Request, _key: str) -> Reply:
        query = asked(request, {"detailInfoType", "portType", "portAttributes", "portId"})
        if query.get("portType") not in {None, FC, ISCSI} or query.get("portAttributes") not in {None, "TAR"}:
            raise Failure(INVALID, "A query parameter is invalid.")
        found = [
            port
            for port in self.ports.values()
            if query.get("portType") in {None, port.type} and query.get("portId") in {None, port.id}
        ]
        return listed([self._port_record(port, query.get("detailInfoType")) for port in found])

    def _get_port(self, request: Request, key: str) -> Reply:
        query = asked(request, {"detailInfoType"})
        if key not in self.ports:
            raise Failure(MISSING, "The port does not exist.", status=404)
        record = self._port_record(self.ports[key], query.get("detailInfoType"))
        if self.ports[key].type == ISCSI:
            record |= {"tcpPort": "3260", "ipv4Address": f"192.0.2.{key[2]}"}
        return Reply(200, record)

    def _port_record(self, port: SimPort, detail: str | None) -> Record:
        record: Record = {
            "portId": port.id,
            "portType": port.type,
            "portAttributes": ["TAR", "MCU", "RCU", "ELUN"],
            "portSpeed": "AUT",
            "loopId": "EF",
            "fabricMode": port.type == FC,
            "lunSecuritySetting": True,
        }
        if port.type == FC:
            record |= {"portConnection": "PtoP", "wwn": port.wwn}
        if detail == "logins":
            record["logins"] = self._logins(port)
        return record

    def _logins(self, port: SimPort) -> list[Record]:
        rows = []
        for group in self.groups.values():
            for initiator in group.initiators if group.port == port.id else ():
                here = initiator in self.logged_in
                row: Record = {
                    "loginWwn" if port.type == FC else "loginIscsiName": initiator,
                    "isLoggedIn": here,
                }
                if self.says_groups:
                    row["hostGroupId"] = group.id
                if here or self.says_registered:
                    rows.append(row)
        return rows

    def _list_groups(self, request: Request, _key: str) -> Reply:
        query = asked(request, {"portId", "isUndefined", "isSimpleMode", "detailInfoType"})
        rows = [
            self._group_record(group)
            for group in self.groups.values()
            if query.get("portId") in {None, group.port}
        ]
        return listed(rows)

    def _get_group(self, request: Request, key: str) -> Reply:
        asked(request, set())
        return Reply(200, self._group_record(self.group(key)))

    def _group_record(self, group: SimGroup) -> Record:
        record = {
            "hostGroupId": group.id,
            "portId": group.port,
            "hostGroupNumber": group.number,
            "hostGroupName": group.name,
            "hostMode": group.mode,
            "hostModeOptions": group.options,
        }
        if self.ports[group.port].type == ISCSI:
            record["iscsiName"] = f"iqn.1994-04.jp.co.hitachi:{group.name}"
        return record

    def _post_group(self, request: Request, _key: str) -> Reply:
        body = given(
            request.body,
            {"portId": str, "hostGroupName": str},
            {"hostGroupNumber": int, "hostMode": str, "hostModeOptions": list, "iscsiName": str},
        )
        number = body.get("hostGroupNumber")
        return self._job(
            request,
            lambda: f"host-groups/{self.add_group(body['portId'], body['hostGroupName'], number=number).id}",
        )

    def _delete_group(self, request: Request, key: str) -> Reply:
        def delete() -> str:
            self.remove_group(key)
            return f"host-groups/{key}"

        return self._job(request, delete)

    def _list_members(self, request: Request, _key: str) -> Reply:
        query = asked(request, {"portId", "hostGroupNumber", "hostGroupName"})
        port = self._port_of(request, query.get("portId", ""))
        found = [
            group
            for group in self.groups.values()
            if group.port == port.id
            and query.get("hostGroupNumber") in {None, str(group.number)}
            and query.get("hostGroupName") in {None, group.name}
        ]
        if "hostGroupName" not in query and "hostGroupNumber" not in query:
            raise Failure(INVALID, "A host group has to be specified.")
        if not found and "hostGroupNumber" in query:
            raise Failure(MISSING, "The host group does not exist.", status=404)
        return listed([member_record(port, group, name) for group in found for name in group.initiators])

    def _port_of(self, request: Request, name: str) -> SimPort:
        if name not in self.ports:
            raise Failure(MISSING, "The port does not exist.", status=404)
        kind = FC if "host-wwns" in request.path else ISCSI
        if self.ports[name].type != kind:
            raise Failure(INVALID, f"The port {name} is not of the type {kind}.")
        return self.ports[name]

    def _post_member(self, request: Request, _key: str) -> Reply:
        field_name = "hostWwn" if "host-wwns" in request.path else "iscsiName"
        body = given(request.body, {"portId": str, "hostGroupNumber": int, field_name: str}, {})
        self._port_of(request, body["portId"])
        key, name = f"{body['portId']},{body['hostGroupNumber']}", body[field_name]

        def add() -> str:
            self.add_member(key, name)
            return f"host-wwns/{key},{name}"

        return self._job(request, add)

    # LU paths.

    def _list_paths(self, request: Request, _key: str) -> Reply:
        query = asked(request, {"portId", "hostGroupNumber", "isBasicLunInformation", "lunOption"})
        if not {"portId", "hostGroupNumber"} <= query.keys():
            raise Failure(INVALID, "A port and a host group have to be specified.")
        group = self.group(f"{query['portId']},{query['hostGroupNumber']}")
        rows = [self._path_record(path) for path in self.paths if path.group == group.id]
        return listed(sorted(rows, key=lambda row: int(row["lun"])))

    def _get_path(self, request: Request, key: str) -> Reply:
        asked(request, set())
        group, lun_id = path_key(key)
        for path in self.paths:
            if (path.group, path.lun_id) == (group, lun_id):
                return Reply(200, self._path_record(path))
        raise Failure(MISSING, "The specified object does not exist.", status=404)

    def _path_record(self, path: SimPath) -> Record:
        group = self.groups[path.group]
        return {
            "lunId": f"{group.id},{path.lun_id}",
            "portId": group.port,
            "hostGroupNumber": group.number,
            "hostMode": group.mode,
            "lun": path.lun_id,
            "ldevId": path.ldev,
            "isCommandDevice": False,
            "luHostReserve": RESERVE,
            "hostModeOptions": group.options,
        }

    def _post_path(self, request: Request, _key: str) -> Reply:
        body = given(request.body, {"portId": str, "hostGroupNumber": int, "ldevId": int}, {"lun": int})
        key = f"{body['portId']},{body['hostGroupNumber']}"
        self.group(key)

        def add() -> str:
            made = self.add_path(body["ldevId"], key, body.get("lun"))
            return f"luns/{made.group},{made.lun_id}"

        return self._job(request, add)

    def _delete_path(self, request: Request, key: str) -> Reply:
        group, lun_id = path_key(key)

        def delete() -> str:
            self.remove_path(group, lun_id)
            return f"luns/{key}"

        return self._job(request, delete)


def described(failure: Failure, url: str) -> Record:
    """Return an error as the API has it."""
    record: Record = {
        "errorSource": url,
        "message": failure.text,
        "cause": "The reason is in the message.",
        "solution": "See the message.",
        "solutionType": "SEE_ERROR_DETAIL",
        "messageId": failure.message_id,
    }
    if failure.ssb:
        record["errorCode"] = dict(zip(("SSB1", "SSB2"), failure.ssb, strict=True))
    return record


def undefined(number: int) -> Record:
    """Return what the API says of a number for which there is no LDEV."""
    return {"ldevId": number, "emulationType": "NOT DEFINED"}


def member_record(port: SimPort, group: SimGroup, name: str) -> Record:
    """Return an initiator of a host group."""
    where = {"portId": port.id, "hostGroupNumber": group.number, "hostGroupName": group.name}
    if port.type == FC:
        return {"hostWwnId": f"{group.id},{name}", **where, "hostWwn": name, "wwnNickname": "-"}
    return {"hostIscsiId": f"{group.id},{name}", **where, "iscsiName": name, "iscsiNickname": "-"}


def listed(rows: list[Record]) -> Reply:
    """Return a list as the API has it."""
    return Reply(200, {"data": rows})


def asked(request: Request, known: set[str]) -> dict[str, str]:
    """Return the query; refuse parameters that the call does not have."""
    if unknown := request.query.keys() - known:
        raise Failure(INVALID, f"The query parameter {min(unknown)} is unknown.")
    return request.query


def number_in(query: Mapping[str, str], name: str, default: int) -> int:
    """Return a number of a query."""
    if not query.get(name, "0").isdecimal():
        raise Failure(INVALID, f"The query parameter {name} is not a number.")
    return int(query.get(name, default))


def given(body: Any, required: Mapping[str, type], optional: Mapping[str, type]) -> Record:
    """Return a body with typed values, which may be texts; refuse what lacks, is unknown or of another type."""
    body = {} if body is None else body
    known = {**required, **optional}
    if not isinstance(body, dict) or required.keys() - body.keys() or body.keys() - known.keys():
        raise Failure(INVALID, "The body lacks an attribute, or has one that is unknown.")
    read: Record = {}
    for name, value in body.items():
        if known[name] is int and isinstance(value, str) and value.isdecimal():
            read[name] = int(value)
        elif known[name] is bool and value in {"true", "false"}:
            read[name] = value == "true"
        elif not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            raise Failure(INVALID, f"The attribute {name} is of a wrong type.")
        else:
            read[name] = value
    return read


def path_key(key: str) -> tuple[str, int]:
    """Return host group and LUN id of a path's id."""
    group, _, lun_id = key.rpartition(",")
    if group.count(",") != 1 or not lun_id.isdecimal():
        raise Failure(INVALID, f"The object ID {key} is invalid.")
    return group, int(lun_id)
