"""A simulator of HPE's WSAPI, version 1, as far as exports go: sessions, volumes, hosts, host sets, VLUNs.

Real HTTPS, for any client: the populator's, HPE's own, curl. State and rules are those of `system`.
"""

import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.lab.arrays.hpe.query import BadQuery, select
from tests.lab.arrays.hpe.system import (
    BAD_ENUM,
    BAD_QUERY,
    IN_USE,
    INTERNAL,
    INV_INPUT,
    LUN_IDS,
    MISSING_REQUIRED,
    NO_EXPORT_INFO,
    NON_EXISTENT_VLUN,
    NOT_FOUND,
    ONE_REQUIRED,
    PARAM_CONFLICT,
    PERMISSION_DENIED,
    UNSUPPORTED,
    WRONG_KEY,
    WRONG_PASSWORD,
    WRONG_TYPE,
    Failure,
    SimHost,
    SimSet,
    SimVolume,
    System,
    Template,
)
from tests.lab.arrays.rest import Reply, Request, RestServer, Step
from tests.lab.arrays.service import Service
from tests.lab.san import San

API = "/api/v1"
KEY = "x-hp3par-wsapi-sessionkey"
IDLE_SECONDS = 15 * 60
Record = dict[str, Any]


@dataclass(frozen=True)
class User:
    """Credentials; of all virtual domains, or of one."""

    password: str
    role: str = "edit"
    """`super`, `edit`, or `browse`, which may only read"""
    domain: str | None = None

    def sees(self, thing: SimVolume | SimHost | SimSet) -> bool:
        return self.domain is None or thing.domain == self.domain


@dataclass
class Session:
    user: User
    used: float = field(default_factory=time.monotonic)


class HpeSimulator(System, Service):
    """One array, served from its making to `close`.

    May be set at any time, beside what `System` names: `most_sessions`, `full` (status and code of a log-in beyond
    them), `busy` (how many more attempts to delete a key find it in use), `queries` (the collections that take
    a query), `finds_paths` (whether a query for hosts finds any by their paths).
    """

    def __init__(
        self,
        san: San,
        context: ssl.SSLContext,
        users: Mapping[str, User] | None = None,
        version: str = "9.5.24.21",
        model: str = "HPE Alletra 9060",
    ) -> None:
        super().__init__(san)
        self.users = dict(users or {"admin": User("hpe-secret")})
        self.version, self.model = version, model
        self.most_sessions = 36
        self.full = (503, INTERNAL)
        self.busy = 0
        self.queries = {"hosts", "vluns", "volumes"}
        self.finds_paths = True
        self.sessions: dict[str, Session] = {}
        self.most_seen = 0
        """sessions that were open at one time"""
        self.server = RestServer("hpe", context, self._respond)

    def before(self, method: str, path: str, action: Step, times: int = 1) -> None:
        """Step in right before the next calls of a path (`/vluns`); see `RestServer.before`."""
        self.server.before(method, f"{API}{path}", action, times)

    def _respond(self, request: Request) -> Reply:
        with self._lock:
            try:
                reply = self._answer(request)
            except Failure as failure:
                return Reply(failure.status, {"code": failure.code, "desc": failure.text})
            except BadQuery as bad:
                return Reply(400, {"code": BAD_QUERY, "desc": f"invalid query string: {bad}"})
        return reply if reply.body is not None else Reply(reply.status, b"", reply.headers)

    def _answer(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/api"):
            return Reply(200, {"major": 1, "minor": 14, "revision": 0, "build": 100500048})
        if not request.path.startswith(f"{API}/"):
            raise Failure(404, NOT_FOUND, "invalid URI")
        parts = request.path.removeprefix(f"{API}/").split("/")
        if (request.method, parts) == ("POST", ["credentials"]):
            return self._log_in(request.body)
        user = self._session(request).user
        if parts[0] == "credentials" and request.method == "DELETE" and len(parts) == 2:
            return self._log_out(parts[1])
        handlers = [one for path, one in self._table().items() if re.fullmatch(path, "/".join(parts))]
        if not handlers:
            raise Failure(404, NOT_FOUND, "invalid URI")
        if request.method not in handlers[0]:
            raise Failure(501, UNSUPPORTED, "unsupported operation")
        if request.method != "GET" and user.role == "browse":
            raise Failure(403, PERMISSION_DENIED, "permission denied")
        unknown = request.query.keys() - ({"query"} if request.method == "GET" and len(parts) == 1 else set())
        if unknown or (request.query and parts[0] not in self.queries):
            raise BadQuery(f"unknown parameter {sorted(request.query)}")
        return handlers[0][request.method](request, user, *parts[1:])

    def _table(self) -> dict[str, dict[str, Callable[..., Reply]]]:
        return {
            "system": {"GET": self._get_system},
            "wsapiconfiguration": {"GET": self._get_configuration},
            "volumes": {"GET": self._list_volumes, "POST": self._post_volume},
            "volumes/[^/]+": {"GET": self._get_volume, "DELETE": self._delete_volume},
            "hosts": {"GET": self._list_hosts, "POST": self._post_host},
            "hosts/[^/]+": {"GET": self._get_host, "PUT": self._put_host, "DELETE": self._delete_host},
            "hostsets": {"GET": self._list_sets, "POST": self._post_set},
            "hostsets/[^/]+": {"GET": self._get_set, "PUT": self._put_set, "DELETE": self._delete_set},
            "vluns": {"GET": self._list_vluns, "POST": self._post_vlun},
            "vluns/[^/]+": {"GET": self._get_vlun, "DELETE": self._delete_vlun},
        }

    # Sessions.

    def _log_in(self, body: Any) -> Reply:
        given = need(body, {"user": str, "password": str}, {"sessionType": int})
        user = self.users.get(given["user"])
        if user is None or user.password != given["password"]:
            raise Failure(403, WRONG_PASSWORD, "invalid username or password")
        self._forget_idle()
        if len(self.sessions) >= self.most_sessions:
            raise Failure(*self.full, "internal server error")
        key = f"0-{secrets.token_hex(16)}-{secrets.token_hex(4)}"
        self.sessions[key] = Session(user)
        self.most_seen = max(self.most_seen, len(self.sessions))
        return Reply(201, {"key": key}, {"Location": f"{API}/credentials/{key}"})

    def _session(self, request: Request) -> Session:
        self._forget_idle()
        session = self.sessions.get(request.headers.get(KEY, ""))
        if session is None:
            raise Failure(403, WRONG_KEY, "invalid session key")
        session.used = time.monotonic()
        return session

    def _log_out(self, key: str) -> Reply:
        if key not in self.sessions:
            raise Failure(403, WRONG_KEY, "invalid session key")
        if self.busy:
            self.busy -= 1
            raise Failure(409, IN_USE, "resource in use")
        del self.sessions[key]
        return Reply(200)

    def _forget_idle(self) -> None:
        limit = time.monotonic() - IDLE_SECONDS
        self.sessions = {key: one for key, one in self.sessions.items() if one.used > limit}

    # The array.

    def _get_system(self, _request: Request, _user: User) -> Reply:
        record = {"id": 112233, "name": "lab", "serialNumber": "4UW0001234", "totalNodes": 2}
        return Reply(200, record | {"model": self.model, "systemVersion": self.version})

    def _get_configuration(self, _request: Request, _user: User) -> Reply:
        return Reply(
            200, {"httpsState": "Enabled", "httpsPort": self.port, "sessionsInUse": len(self.sessions)}
        )

    # Volumes.

    def _list_volumes(self, request: Request, user: User) -> Reply:
        query = request.query.get("query")
        found = [one for one in self.volumes.values() if user.sees(one) and (query or not one.vvol)]
        return members(select([volume_record(one) for one in found], query, ("name", "wwn", "uuid")))

    def _get_volume(self, _request: Request, user: User, name: str) -> Reply:
        volume = self.volume(name)
        return Reply(200, volume_record(volume if user.sees(volume) else self.volume("")))

    def _post_volume(self, request: Request, user: User) -> Reply:
        given = need(request.body, {"name": str, "cpg": str, "sizeMiB": int}, {"comment": str, "tpvv": bool})
        self.add_volume(given["name"], given["sizeMiB"], domain=user.domain or "")
        return Reply(201, headers={"Location": f"{API}/volumes/{given['name']}"})

    def _delete_volume(self, _request: Request, _user: User, name: str) -> Reply:
        self.volume(name)
        if any(one.volume == name for one in self.templates):
            raise Failure(403, 26, "volume is exported")
        self.remove_volume(name)
        return Reply(200)

    # Hosts.

    def _list_hosts(self, request: Request, user: User) -> Reply:
        query = request.query.get("query")
        found = [self._host_record(one) for one in self.hosts.values() if user.sees(one)]
        strangers = [one for one in self.logins if not self.owner(one)]
        found += [{"FCPaths": [], "iSCSIPaths": []} | self._paths([one]) for one in strangers]
        if query and "Paths" in query and not self.finds_paths:
            return members([])
        return members(select(found, query, ("name",)))

    def _get_host(self, _request: Request, user: User, name: str) -> Reply:
        return Reply(200, self._host_record(self._host_of(user, name)))

    def _post_host(self, request: Request, user: User) -> Reply:
        optional = {"persona": int, "domain": str, "forceTearDown": bool, "descriptors": dict}
        given = need(request.body, {"name": str}, optional | {"FCWWNs": list, "iSCSINames": list})
        persona = given.get("persona", 2)
        if persona not in range(1, 12):
            raise Failure(400, BAD_ENUM, "invalid persona")
        self.add_host(given["name"], asked_paths(given), persona, given.get("domain", user.domain or ""))
        return Reply(201, headers={"Location": f"{API}/hosts/{given['name']}"})

    def _put_host(self, request: Request, user: User, name: str) -> Reply:
        given = need(
            request.body, {}, {"pathOperation": int, "FCWWNs": list, "iSCSINames": list, "descriptors": dict}
        )
        self._host_of(user, name)
        paths = asked_paths(given)
        if not paths or "pathOperation" not in given:
            raise Failure(400, ONE_REQUIRED, "paths and an operation are required")
        if given["pathOperation"] not in {1, 2}:
            raise Failure(400, BAD_ENUM, "invalid pathOperation")
        (self.add_paths if given["pathOperation"] == 1 else self.remove_paths)(name, paths)
        return Reply(200)

    def _delete_host(self, _request: Request, user: User, name: str) -> Reply:
        self._host_of(user, name)
        self.remove_host(name)
        return Reply(200)

    def _host_of(self, user: User, name: str) -> SimHost:
        host = self.host(name)
        return host if user.sees(host) else self.host("")

    def _host_record(self, host: SimHost) -> Record:
        record: Record = {"id": host.id, "name": host.name, "persona": host.persona, "descriptors": {}}
        return record | self._paths(host.initiators) | ({"domain": host.domain} if host.domain else {})

    def _paths(self, initiators: Sequence[str]) -> Record:
        fc: list[Record] = []
        iscsi: list[Record] = []
        for one in initiators:
            port = {"portPos": position(self.logins[one])} if one in self.logins else {}
            if ":" in one or "." in one:
                iscsi.append({"name": one, "IPAddr": "10.0.0.7", "hostSpeed": 0, **port})
            else:
                fc.append({"wwn": one, "hostSpeed": 0, **port})
        return {"FCPaths": fc, "iSCSIPaths": iscsi}

    # Host sets.

    def _list_sets(self, _request: Request, user: User) -> Reply:
        return members([set_record(one) for one in self.sets.values() if user.sees(one)])

    def _get_set(self, _request: Request, _user: User, name: str) -> Reply:
        return Reply(200, set_record(self.set_of(name)))

    def _post_set(self, request: Request, user: User) -> Reply:
        given = need(request.body, {"name": str}, {"domain": str, "comment": str, "setmembers": list})
        self.add_set(given["name"], given.get("setmembers", []), given.get("domain", user.domain or ""))
        return Reply(201, headers={"Location": f"{API}/hostsets/{given['name']}"})

    def _put_set(self, request: Request, _user: User, name: str) -> Reply:
        given = need(request.body, {"action": int, "setmembers": list}, {})
        if given["action"] not in {1, 2}:
            raise Failure(400, BAD_ENUM, "invalid action")
        (self.join if given["action"] == 1 else self.leave)(name, given["setmembers"])
        return Reply(200, headers={"Location": f"{API}/hostsets/{name}"})

    def _delete_set(self, _request: Request, _user: User, name: str) -> Reply:
        self.remove_set(name)
        return Reply(200)

    # VLUNs.

    def _list_vluns(self, request: Request, user: User) -> Reply:
        rows = [self._template_record(one) for one in self.templates if not one.by_volume_set]
        rows += [self._active_record(*one) for one in self.active()]
        seen = [row for row in rows if user.sees(self.volumes[row["volumeName"]])]
        return members(select(seen, request.query.get("query"), ("volumeName", "hostname")))

    def _get_vlun(self, _request: Request, _user: User, key: str) -> Reply:
        template = self._template(key)
        if template not in self.templates:
            raise Failure(404, NON_EXISTENT_VLUN, "VLUN does not exist")
        return Reply(200, self._template_record(template))

    def _post_vlun(self, request: Request, user: User) -> Reply:
        optional = {"lun": int, "hostname": str, "portPos": dict, "autoLun": bool, "maxAutoLun": int}
        given = need(
            request.body, {"volumeName": str}, optional | {"noVcn": bool, "overrideLowerPriority": bool}
        )
        if "hostname" not in given and "portPos" not in given:
            raise Failure(400, NO_EXPORT_INFO, "either hostname or portPos is required")
        if "lun" not in given:
            raise Failure(400, MISSING_REQUIRED, "lun is required")
        volume, host = given["volumeName"], given.get("hostname", "")
        if not user.sees(self.volume(volume)):
            self.volume("")
        port = nsp(given["portPos"]) if "portPos" in given else ""
        if given.get("autoLun"):
            last = given.get("maxAutoLun") or LUN_IDS - 1
            made = self.export_from(volume, host, given["lun"], last, port)
        else:
            made = self.export(volume, host, given["lun"], port)
        return Reply(201, headers={"Location": f"{API}/vluns/{key_of(made)}"})

    def _delete_vlun(self, _request: Request, _user: User, key: str) -> Reply:
        template = self._template(key)
        self.unexport(template.volume, template.lun_id, template.host, template.port)
        return Reply(200)

    def _template(self, key: str) -> Template:
        parts = key.split(",")
        if len(parts) not in {3, 4} or not parts[1].isdecimal():
            raise Failure(400, MISSING_REQUIRED, "volume, LUN, and host or port are required")
        return Template(parts[0], int(parts[1]), parts[2], parts[3] if len(parts) == 4 else "")

    def _template_record(self, one: Template) -> Record:
        record: Record = {"lun": one.lun_id, "volumeName": one.volume, "type": one.kind, "active": False}
        if one.host:
            record["hostname"] = one.host
        if one.port:
            record["portPos"] = position(one.port)
        return record | {"volumeWWN": self.volumes[one.volume].wwn, "multipathing": 1, "failedPathPol": 1}

    def _active_record(self, one: Template, host: str, initiator: str, port: str) -> Record:
        more = {
            "hostname": host,
            "remoteName": initiator,
            "portPos": position(port),
            "active": True,
            "status": 1,
        }
        return self._template_record(one) | more


def need(body: Any, required: Mapping[str, type], optional: Mapping[str, type]) -> Record:
    """Return a request's body, refused where a member is missing, unknown or of another type."""
    if not isinstance(body, dict):
        raise Failure(400, INV_INPUT, "the body is no JSON object")
    known = {**required, **optional}
    for name in required:
        if name not in body:
            raise Failure(400, MISSING_REQUIRED, f"{name} is required")
    for name, value in body.items():
        if name not in known:
            raise Failure(400, INV_INPUT, f"unknown member {name}")
        if type(value) is not known[name]:
            raise Failure(400, WRONG_TYPE, f"{name} is of the wrong type")
    return body


def asked_paths(given: Record) -> list[str]:
    if "FCWWNs" in given and "iSCSINames" in given:
        raise Failure(400, PARAM_CONFLICT, "FCWWNs and iSCSINames are both given")
    return [*given.get("FCWWNs", ()), *given.get("iSCSINames", ())]


def members(records: list[Record]) -> Reply:
    return Reply(200, {"total": len(records), "members": records})


def volume_record(one: SimVolume) -> Record:
    record: Record = {
        "id": one.id,
        "name": one.name,
        "wwn": one.wwn,
        "uuid": one.uuid,
        "sizeMiB": one.size_mib,
    }
    record |= {
        "readOnly": one.read_only,
        "copyType": one.copy_type,
        "additionalStates": sorted(one.states),
        "provisioningType": 2,
        "state": 1,
        "userCPG": "SSD_r6",
    }
    if one.parent:
        record["copyOf"] = one.parent.name
    if one.parent and one.copy_type == 2:
        record["physParentId"] = one.parent.id
    return record | ({"domain": one.domain} if one.domain else {})


def set_record(one: SimSet) -> Record:
    record: Record = {"id": one.id, "name": one.name}
    if one.members:
        record["setmembers"] = list(one.members)
    return record | ({"domain": one.domain} if one.domain else {})


def key_of(one: Template) -> str:
    return ",".join([one.volume, str(one.lun_id), one.host, *([one.port] if one.port else [])])


def position(port: str) -> Record:
    node, slot, card_port = (int(part) for part in port.split(":"))
    return {"node": node, "slot": slot, "cardPort": card_port}


def nsp(given: Record) -> str:
    found = need(given, {"node": int, "slot": int, "cardPort": int}, {})
    return f"{found['node']}:{found['slot']}:{found['cardPort']}"
