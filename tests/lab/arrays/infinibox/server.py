"""A simulator of an InfiniBox's REST API: credentials in each call or sessions, volumes, hosts, clusters, mappings.

Real HTTPS for any client: the populator's, Infinidat's own SDK, curl. State and rules are those of `system`.
"""

import re
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.lab.arrays.infinibox.query import BadQuery, Record, page, plucked
from tests.lab.arrays.infinibox.system import Failure, InfiniBox
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.arrays.service import Service
from tests.lab.san import San

API = "/api/rest/"
COOKIE = re.compile(r"JSESSIONID=(\w+)")
MOST_SESSIONS = 100
PARTS = ("ib_ports", "fc_ports", "eth_ports", "drives", "services")
NODE: Record = {"id": 1, "name": "node-1", "model": "Node", "state": "ACTIVE", **{name: [] for name in PARTS}}
COMPONENTS: Record = {"rack": 1, "nodes": [NODE], "ups": [], "pdus": []}
NO_FILTER: frozenset[str] = frozenset()
FILTERS = {
    "volumes": frozenset({"id", "name", "serial", "size", "type", "write_protected", "mapped", "pool_id"}),
    "hosts": frozenset({"id", "name", "host_cluster_id", "host_type", "tenant_id"}),
    "clusters": frozenset({"id", "name", "tenant_id"}),
    "initiators": frozenset({"host_id"}),
}
UNAPPROVED = re.compile(r"(hosts|clusters)/\d+/(luns|ports)\b.*|hosts/\d+")
"""what, if not read, needs approval"""


@dataclass(frozen=True)
class User:
    """Who may log in."""

    password: str
    role: str = "ADMIN"


@dataclass(frozen=True)
class Asked:
    """A call, as the routes see it."""

    request: Request
    numbers: tuple[int, ...]

    @property
    def body(self) -> Record:
        body = self.request.body
        if not isinstance(body, dict):
            raise Failure("BAD_REQUEST", "The body is no object")
        return body

    def fields(self, required: str, kind: type, **optional: type) -> Record:
        """Return the body, whose fields are these and of these types."""
        for name, value in self.body.items():
            wanted = {required: kind, **optional}.get(name)
            if wanted is None or isinstance(value, bool) or not isinstance(value, wanted):
                raise Failure("BAD_REQUEST", f"The field {name} is unknown, or of a wrong type")
        if required not in self.body:
            raise Failure("MISSING_FIELD", f"The field {required} is missing")
        return self.body


class InfiniBoxSimulator(InfiniBox, Service):
    """One array, served from its making to `close`.

    May be set at any time: `page_size` (the most rows of a page), `version`, `forbidden` (paths that nobody may use),
    `auth_sessions` (whether clients may do without credentials in each call once they are logged in).
    """

    def __init__(self, san: San, context: ssl.SSLContext, users: dict[str, User]) -> None:
        super().__init__(san)
        self.users = users
        self.page_size: int | None = None
        self.version, self.auth_sessions = "7.3.0.0", False
        self.forbidden: set[str] = set()
        self.sessions: dict[str, str] = {}
        """user by cookie"""
        self.server = RestServer("infinibox", context, self._respond)

    def _respond(self, request: Request) -> Reply:
        with self.lock:
            try:
                answer = self._route(request)
            except Failure as failure:
                return refusal(failure.status, failure.code, failure.message)
            except BadQuery as bad:
                return refusal(400, "BAD_REQUEST", f"{bad}")
        return answer if isinstance(answer, Reply) else Reply(200, answer)

    def _route(self, request: Request) -> Reply | Record:
        path = re.sub("/+", "/", request.path)
        if not path.startswith(API):
            return Reply(404, b"<html>Not Found</html>")
        path = path.removeprefix(API)
        if path == "_features":
            features = ["iscsi", "fc/soft_targets", *(["api/auth_sessions"] if self.auth_sessions else [])]
            return result([{"name": name, "version": 1, "enabled": True} for name in features])
        if (request.method, path) == ("POST", "users/login"):
            return self._let_in(request)
        self._check_rights(request, path)
        for method, pattern, act in self._routes():
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                return act(Asked(request, tuple(int(part) for part in match.groups() if part.isdecimal())))
        return self._read(request, path)

    def _check_rights(self, request: Request, path: str) -> None:
        user = self.users[self._user(request)]
        if path in self.forbidden or (
            request.method != "GET" and user.role == "READ_ONLY" and "logout" not in path
        ):
            raise Failure("INSUFFICIENT_PERMISSIONS", f"The role {user.role} may not do this", 403)
        if request.method != "GET" and UNAPPROVED.fullmatch(path) and request.query.get("approved") != "true":
            raise Failure("APPROVAL_REQUIRED", "The operation requires approval", 403)
        if request.method != "GET" and request.query.keys() - {"approved"}:
            raise Failure("BAD_REQUEST", f"Unknown parameter {min(request.query)}")

    def _user(self, request: Request) -> str:
        name, password = request.basic or ("", "")
        if name in self.users and self.users[name].password == password:
            return name
        cookie = COOKIE.search(request.headers.get("cookie", ""))
        if cookie and cookie[1] in self.sessions and request.basic is None:
            return self.sessions[cookie[1]]
        raise Failure("AUTHENTICATION_REQUIRED", "Authentication failed", 401)

    def _let_in(self, request: Request) -> Reply:
        body = request.body or {}
        user = self.users.get(body.get("username", ""))
        if (
            user is None
            or user.password != body.get("password")
            or body.keys() - {"username", "password", "clientid"}
        ):
            raise Failure("AUTHENTICATION_REQUIRED", "Authentication failed", 401)
        if len(self.sessions) >= MOST_SESSIONS:
            raise Failure("TOO_MANY_SESSIONS", "Too many sessions are open", 503)
        cookie = secrets.token_hex(16)
        self.sessions[cookie] = body["username"]
        headers = {"Set-Cookie": f"JSESSIONID={cookie}; Path=/api; Secure; HttpOnly"}
        return Reply(200, result({"username": body["username"], "roles": [user.role]}), headers)

    def _let_out(self, asked: Asked) -> Record:
        cookie = COOKIE.search(asked.request.headers.get("cookie", ""))
        if cookie:
            self.sessions.pop(cookie[1], None)
        return result({})

    def _routes(self) -> list[tuple[str, str, Callable[[Asked], Record]]]:
        """Return what changes something; the double slash is how Forklift's Go populator spells a path."""
        return [
            ("POST", "users/logout", self._let_out),
            (
                "POST",
                "hosts",
                lambda a: result(self.host_record(self.add_host(a.fields("name", str)["name"]))),
            ),
            ("DELETE", r"hosts/(\d+)", self._delete_host),
            ("POST", r"hosts/(\d+)/ports", self._post_port),
            ("POST", "clusters", self._post_cluster),
            ("POST", r"clusters/(\d+)/hosts", self._post_member),
            ("DELETE", r"clusters/(\d+)/hosts/(\d+)", self._delete_member),
            ("POST", r"(hosts|clusters)/(\d+)/luns", self._post_lun),
            ("DELETE", r"(hosts|clusters)/(\d+)/luns/(volume_id|lun)/(\d+)", self._delete_lun),
        ]

    def _delete_host(self, asked: Asked) -> Record:
        row = self.host_record(self.host(asked.numbers[0]))
        self.remove_host(asked.numbers[0])
        return result(row)

    def _post_port(self, asked: Asked) -> Record:
        body = asked.fields("type", str, address=str)
        self.add_port(asked.numbers[0], body["type"], body.get("address", ""))
        kind, address = self.host(asked.numbers[0]).ports[-1]
        return result({"host_id": asked.numbers[0], "type": kind, "address": address})

    def _post_cluster(self, asked: Asked) -> Record:
        return result(self.cluster_record(self.add_cluster(asked.fields("name", str)["name"])))

    def _post_member(self, asked: Asked) -> Record:
        self.move(asked.fields("id", int)["id"], asked.numbers[0])
        return result(self.cluster_record(self.cluster(asked.numbers[0])))

    def _delete_member(self, asked: Asked) -> Record:
        cluster, host = asked.numbers
        if self.host(host).cluster != cluster:
            raise Failure("HOST_NOT_FOUND", "The host is not in the cluster", 404)
        self.move(host, 0)
        return result(self.cluster_record(self.cluster(cluster)))

    def _target(self, asked: Asked) -> tuple[int, int]:
        """Return host and cluster, of which one is 0."""
        key = asked.numbers[0]
        return (0, key) if f"{API}clusters" in asked.request.path else (key, 0)

    def _post_lun(self, asked: Asked) -> Record:
        body = asked.fields("volume_id", int, lun=int)
        host, cluster = self._target(asked)
        self.members(host, cluster)
        return result(
            self.lun_record(self.map(self.volume(body["volume_id"]), host, cluster, body.get("lun")))
        )

    def _delete_lun(self, asked: Asked) -> Record:
        host, cluster = self._target(asked)
        by = "volume" if "/volume_id/" in asked.request.path else "lun"
        return result(self.lun_record(self.unmap(host, cluster, **{by: asked.numbers[1]})))

    def _read(self, request: Request, path: str) -> Record:
        if request.method != "GET":
            raise Failure("METHOD_NOT_ALLOWED", "There is no such operation", 405)
        kind, _, rest = path.partition("/")
        if path == "system":
            return result(plucked(self._system(), request.query))
        if path == "components":
            return result(plucked(COMPONENTS, request.query))
        if path in FILTERS:
            return page(self._rows(kind), request.query, FILTERS[kind], self.page_size)
        if match := re.fullmatch(r"(hosts|clusters|volumes)/(\d+)(/luns(?:/(\d+))?|/ports)?", path):
            return self._read_one(match[1], int(match[2]), match[3] or "", request.query)
        if kind == "initiators":
            record = next((row for row in self.initiator_records() if row["address"] == rest), None)
            if record is None:
                raise Failure("INITIATOR_NOT_FOUND", "Initiator not found", 404)
            return result(plucked(record, request.query))
        if path.startswith("hosts/host_id_by_initiator_address/"):
            host = self.host_of(rest.partition("/")[2])
            if host is None:
                raise Failure("HOST_NOT_FOUND", "No host has that initiator", 404)
            return result(host.id)
        raise Failure("NOT_FOUND", f"There is nothing at {path}", 404)

    def _read_one(self, kind: str, key: int, part: str, query: dict[str, str]) -> Record:
        if kind == "volumes":
            row = self.volume_record(self.volume(key))
            luns = [self.lun_record(item) for item in self.luns if item.volume.id == key]
        else:
            row = (
                self.host_record(self.host(key))
                if kind == "hosts"
                else self.cluster_record(self.cluster(key))
            )
            luns = row["luns"]
        if part == "/luns":
            return page(luns, query, frozenset({"volume_id", "lun"}), self.page_size)
        if part == "/ports":
            return page(row["ports"], query, NO_FILTER, self.page_size)
        if part:
            wanted = [item for item in luns if item["lun"] == int(part.rpartition("/")[2])]
            if not wanted:
                raise Failure("LUN_NOT_FOUND", "The LUN is not in use", 404)
            return result(wanted[0])
        if query.keys() - {"fields"}:
            raise Failure("BAD_REQUEST", f"Unknown parameter {min(query)}")
        return result(plucked(row, query))

    def _rows(self, kind: str) -> list[Record]:
        if kind == "volumes":
            return [self.volume_record(volume) for volume in self.volumes.values()]
        if kind == "hosts":
            return [self.host_record(host) for host in self.hosts.values()]
        if kind == "clusters":
            return [self.cluster_record(cluster) for cluster in self.clusters.values()]
        return self.initiator_records()

    def _system(self) -> Record:
        return {
            "id": 1,
            "name": "ibox3951",
            "serial_number": 0x0F6F,
            "model": "F6304",
            "full_model": "InfiniBox F6304",
            "version": self.version,
            "release": {"system": {"revision": "1", "version": self.version}},
            "state": "ACTIVE",
        }


def result(value: Any) -> Record:
    return {"result": value, "error": None, "metadata": {"ready": True}}


def refusal(status: int, code: str, message: str) -> Reply:
    error = {
        "code": code,
        "message": message,
        "reasons": [],
        "severity": "ERROR",
        "is_remote": False,
        "data": None,
    }
    return Reply(status, {"result": None, "error": error, "metadata": {"ready": True}})
