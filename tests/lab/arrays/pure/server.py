"""A simulator of a FlashArray's REST API: log-in by REST 1 and 2, volumes, hosts, connections.

Real HTTPS for any client: the populator's, Pure's own SDKs, curl. State and rules are those of `flasharray`.
"""

import re
import secrets
import ssl
from collections.abc import Callable
from typing import Any

from tests.lab.arrays.pure.flasharray import Failure, FlashArray
from tests.lab.arrays.pure.query import COMMON, BadQuery, Record, page
from tests.lab.arrays.pure.rest_one import RestOne, User
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.arrays.service import Service
from tests.lab.san import San

VERSIONS = ("1.0", "1.9", "1.19", "2.0", "2.2", "2.9", "2.26", "2.X", "2.s-1f00")
OPEN = {"login", "logout"}
OF_VOLUME, OF_HOST = ("volume_names", "volume_ids"), ("host_names", "host_group_names")
QUERIES = {
    "arrays": COMMON,
    "controllers": COMMON | {"names"},
    "volumes": COMMON | {"names", "ids", "destroyed", "overwrite", "truncate"},
    "volumes/tags": COMMON | {"namespaces", "resource_names", "resource_ids", "resource_destroyed"},
    "hosts": COMMON | {"names"},
    "connections": COMMON | {*OF_VOLUME, *OF_HOST, "protocol_endpoint_names"},
}
FIELDS = {
    "arrays": ("id", "name", "os", "version"),
    "controllers": ("name", "mode", "model", "status", "type", "version"),
    "connections": ("host", "host_group", "lun", "nsid", "protocol_endpoint", "volume"),
    "hosts": (
        "name",
        "iqns",
        "wwns",
        "nqns",
        "is_local",
        "personality",
        "host_group",
        "connection_count",
        "port_connectivity",
    ),
    "volumes/tags": ("key", "value", "namespace", "copyable", "resource"),
    "volumes": (
        "id",
        "name",
        "serial",
        "provisioned",
        "destroyed",
        "subtype",
        "promotion_status",
        "requested_promotion_state",
        "connection_count",
        "pod",
        "volume_group",
        "source",
    ),
}


class PureSimulator(FlashArray, Service):
    """One array, served from its making to `close`.

    May be set at any time: `versions`, `page_size` (the most rows of a page), `model`, `purity`, `forbidden` (resources
    that nobody may read).
    """

    def __init__(self, san: San, context: ssl.SSLContext, users: dict[str, User]) -> None:
        super().__init__(san)
        self.users = users
        self.versions: tuple[str, ...] = VERSIONS
        self.page_size = 1000
        self.purity, self.model = "6.4.10", "FA-X70R3"
        self.forbidden: set[str] = set()
        self.sessions: dict[str, str] = {}
        """of REST 2: the user's name by token"""
        self.old = RestOne(self)
        self.server = RestServer("pure", context, self._respond)

    def _respond(self, request: Request) -> Reply:
        with self.lock:
            try:
                return self._route(request)
            except Failure as failure:
                return refusal(failure.status, failure.message, failure.context)
            except BadQuery as bad:
                return refusal(400, f"Invalid query: {bad}.")

    def _route(self, request: Request) -> Reply:
        if request.path == "/api/api_version":
            return Reply(200, {"version": list(self.versions)})
        match = re.fullmatch(r"/api/([^/]+)/(.+)", request.path)
        if match is None or match[1] not in self.versions:
            raise Failure("Not found.", status=404)
        version, resource = match.groups()
        if version.startswith("1."):
            return self.old.answer(request, resource)
        if resource in OPEN and request.method == "POST":
            return self._let_in(request) if resource == "login" else self._let_out(request)
        self._check_rights(request, resource)
        return Reply(200, self._answer(request, resource))

    def _check_rights(self, request: Request, resource: str) -> None:
        user = self.users.get(self.sessions.get(request.headers.get("x-auth-token", ""), ""))
        if user is None:
            raise Failure("Unauthorized", status=401)
        if resource in self.forbidden or (request.method != "GET" and not user.may_write):
            raise Failure("Operation not permitted.", status=403)

    def _let_in(self, request: Request) -> Reply:
        name = self.owner_of(request.headers.get("api-token"))
        if not name:
            raise Failure("Invalid API token.", status=401)
        session = secrets.token_hex(16)
        self.sessions[session] = name
        return Reply(200, {"items": [{"username": name}]}, {"x-auth-token": session})

    def _let_out(self, request: Request) -> Reply:
        if self.sessions.pop(request.headers.get("x-auth-token", ""), None) is None:
            raise Failure("Unauthorized", status=401)
        return Reply(200)

    def owner_of(self, token: str | None) -> str:
        """Return whose API token it is; empty where nobody's."""
        return next((name for name, user in self.users.items() if user.token == token), "")

    def _answer(self, request: Request, resource: str) -> Record:
        routes: dict[tuple[str, str], Callable[[Request], Record]] = {
            ("POST", "connections"): self._post_connections,
            ("DELETE", "connections"): self._delete_connections,
            ("POST", "hosts"): self._post_hosts,
            ("DELETE", "hosts"): self._delete_hosts,
            ("POST", "volumes"): self._post_volumes,
            ("PATCH", "volumes"): self._patch_volumes,
        }
        if resource not in QUERIES:
            raise Failure("Not found.", status=404)
        unknown = request.query.keys() - QUERIES[resource]
        if unknown:
            raise Failure(f"Invalid query parameter {min(unknown)}.")
        if request.method == "GET":
            return page(self._rows(resource, request.query), request.query, FIELDS[resource], self.page_size)
        if (request.method, resource) not in routes:
            raise Failure("Method not allowed.", status=405)
        return routes[request.method, resource](request)

    def _rows(self, resource: str, query: dict[str, str]) -> list[Record]:
        if resource == "arrays":
            return [{"id": self.id, "name": "lab", "os": "Purity//FA", "version": self.purity}]
        if resource == "controllers":
            return [self._controller(number) for number in (0, 1)]
        if resource == "hosts":
            hosts = [self.host(name) for name in listed(query, "names")] or list(self.hosts.values())
            return [self.host_record(host) for host in hosts]
        if resource == "connections":
            return self._connection_rows(query)
        if resource == "volumes/tags":
            wanted = listed(query, "namespaces")
            return [row for row in self.tag_records() if not wanted or row["namespace"] in wanted]
        return [self.volume_record(volume) for volume in self._volumes(query)]

    def _volumes(self, query: dict[str, str]) -> list[Any]:
        names, ids = listed(query, "names"), listed(query, "ids")
        if names and ids:
            raise Failure("Only one of names and ids may be given.")
        if names:
            return [self.volume(name) for name in names]
        for key in ids:
            if key not in self.volumes:
                raise Failure("Volume does not exist.", key)
        wanted = query.get("destroyed")
        return [
            volume
            for volume in ([self.volumes[key] for key in ids] or self.volumes.values())
            if wanted is None or volume.destroyed == (wanted == "true")
        ]

    def _controller(self, number: int) -> Record:
        return {
            "name": f"CT{number}",
            "mode": "primary" if number else "secondary",
            "model": self.model if number else None,
            "status": "ready",
            "type": "array_controller",
            "version": self.purity,
        }

    def _connection_rows(self, query: dict[str, str]) -> list[Record]:
        volumes = {volume.id for volume in self._volumes_of(query)}
        hosts = {self.host(name).name for name in listed(query, "host_names")}
        groups = set(listed(query, "host_group_names"))
        for group in groups - self.groups:
            raise Failure("Host group does not exist.", group)
        return [
            row
            for row in self.connection_records()
            if (not volumes or row["volume"]["id"] in volumes)
            and (not hosts or row["host"].get("name") in hosts)
            and (not groups or row["host_group"].get("name") in groups)
        ]

    def _volumes_of(self, query: dict[str, str]) -> list[Any]:
        names, ids = listed(query, "volume_names"), listed(query, "volume_ids")
        return self._volumes({"names": ",".join(names), "ids": ",".join(ids)}) if names or ids else []

    def _ends(self, request: Request) -> list[tuple[Any, str, str]]:
        """Return volumes with hosts or groups; some clients give their names in the body."""
        body = request.body or {}
        extra = {name: body[name] for name in (*OF_VOLUME, *OF_HOST) if name in body}
        query = request.query or extra
        volumes = self._volumes_of(query)
        hosts, groups = (listed(query, name) for name in OF_HOST)
        if not volumes or bool(hosts) == bool(groups):
            raise Failure("Volumes, and hosts or host groups, are required.")
        ends = [(self.host(name).name, "") for name in hosts] or [("", name) for name in groups]
        if len(volumes) > 1 and len(ends) > 1:
            raise Failure("Only one of volumes and hosts may be several.")
        return [(volume, host, group) for volume in volumes for host, group in ends]

    def _post_connections(self, request: Request) -> Record:
        body = request.body or {}
        unknown = body.keys() - {"lun", "protocol_endpoint", *OF_VOLUME, *OF_HOST}
        lun = body.get("lun")
        if unknown or ("lun" in body and (isinstance(lun, bool) or not isinstance(lun, int))):
            raise Failure("Invalid body.")
        made = [self.connect(volume, host, group, lun) for volume, host, group in self._ends(request)]
        keys = {(item.volume.id, item.host, item.group) for item in made}
        rows = [
            row
            for row in self.connection_records()
            if {
                (row["volume"]["id"], row["host"].get("name", ""), ""),
                (row["volume"]["id"], "", row["host_group"].get("name", "")),
            }
            & keys
        ]
        return {"items": rows}

    def _delete_connections(self, request: Request) -> Record:
        for volume, host, group in self._ends(request):
            self.disconnect(volume, host, group)
        return {}

    def _post_volumes(self, request: Request) -> Record:
        """Copy a volume onto others; making one of a given size is not what this lab is for."""
        body, names = request.body or {}, listed(request.query, "names")
        if not names or body.keys() - {"source", "provisioned"} or "provisioned" in body:
            raise Failure("Invalid body.")
        source = body.get("source") or {}
        name = source.get("name") or self._volumes({"ids": source.get("id", "")})[0].name
        made = []
        for target in names:
            if self.find_volume(target) is None:
                self.add_volume(target, self.volume(name).size)
            elif request.query.get("overwrite") != "true":
                raise Failure("Volume already exists.", target)
            made.append(self.overwrite(target, name))
        return {"items": [self.volume_record(volume) for volume in made]}

    def _patch_volumes(self, request: Request) -> Record:
        body = request.body or {}
        if body.keys() != {"provisioned"} or not isinstance(body["provisioned"], int):
            raise Failure("Invalid body.")
        changed = self._volumes(request.query)
        for volume in changed:
            if body["provisioned"] < volume.size and request.query.get("truncate") != "true":
                raise Failure("Volume cannot be truncated without truncate.", volume.name)
            self.resize(volume, body["provisioned"])
        return {"items": [self.volume_record(volume) for volume in changed]}

    def _post_hosts(self, request: Request) -> Record:
        body = request.body or {}
        if body.keys() - {"iqns", "wwns", "nqns", "personality"}:
            raise Failure("Invalid body.")
        names = listed(request.query, "names")
        if not names:
            raise Failure("Names are required.")
        hosts = [
            self.add_host(name, body.get("iqns", ()), body.get("wwns", ()), body.get("nqns", ()))
            for name in names
        ]
        return {"items": [self.host_record(host) for host in hosts]}

    def _delete_hosts(self, request: Request) -> Record:
        for name in listed(request.query, "names"):
            self.remove_host(name)
        return {}


def listed(query: dict[str, str], name: str) -> list[str]:
    return [item for item in query.get(name, "").split(",") if item]


def refusal(status: int, message: str, context: str = "") -> Reply:
    return Reply(status, {"errors": [{"message": message, "context": context}]})
