"""A simulator of Dell PowerStore's REST API, as far as SAN goes: volumes, hosts, host groups, their mappings.

Real HTTPS for the three kinds of clients in the field (see `sessions`), with `select`, filters and pages. State and
rules are those of `cluster`.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.lab.arrays.powerstore import query
from tests.lab.arrays.powerstore.cluster import (
    BAD_VALUE,
    BOTH_TARGETS,
    NO_INSTANCE,
    Cluster,
    Failure,
    Target,
)
from tests.lab.arrays.powerstore.query import Record, Resource
from tests.lab.arrays.powerstore.records import SESSION, resources
from tests.lab.arrays.powerstore.sessions import Session, Sessions, User
from tests.lab.arrays.rest import Reply, Request, RestServer, Step
from tests.lab.arrays.service import Service
from tests.lab.san import San

BASE = "/api/rest/"
ID = r"([^/]+)"
DONE = Reply(204, b"")


class PowerStoreSimulator(Cluster, Service):
    """One cluster, served from its making to `close`.

    May be set at any time, beside what `Cluster` and `Sessions` name: `page_size` (the most rows of a page).
    """

    def __init__(
        self,
        san: San,
        context: ssl.SSLContext,
        users: dict[str, User],
        release: str = "4.1.0.2",
        model: str = "PowerStore 1200T",
    ) -> None:
        super().__init__(san)
        self.sessions = Sessions(users)
        self.page_size = query.MOST
        self._resources = resources(self, release, model)
        self._routes = self._table()
        self.server = RestServer("powerstore", context, self._respond)

    def before(self, method: str, path: str, action: Step, times: int = 1) -> None:
        """Step in right before the next calls of a path (`host`); see `RestServer.before`."""
        self.server.before(method, BASE + path, action, times)

    def _respond(self, request: Request) -> Reply:
        with self._lock:
            try:
                user, session = self.sessions.enter(request)
                reply = self._route(request, user, session)
            except Failure as failure:
                message = {"code": failure.code, "severity": "Error", "message_l10n": failure.message}
                return Reply(failure.status, {"messages": [{**message, "arguments": []}]})
            return replace(reply, headers={**reply.headers, **self.sessions.headers(session)})

    def _route(self, request: Request, user: str, session: Session | None) -> Reply:
        path = request.path.removeprefix(BASE).strip("/")
        if not request.path.startswith(BASE):
            raise Failure(404, NO_INSTANCE, "There is nothing here.")
        if path == "login_session":
            return query.answer({}, self._login_session(user, session), request, self.page_size)
        if path == "logout" and request.method == "POST":
            self.sessions.end(session)
            return DONE
        name, _, key = path.partition("/")
        if request.method == "GET" and name in self._resources and "/" not in key:
            return self._get(self._resources[name], key, request)
        for method, pattern, handler in self._routes:
            if method == request.method and (match := re.fullmatch(pattern, path)):
                return handler(_body(request), *match.groups())
        raise Failure(404, NO_INSTANCE, f"There is no {request.method} of {path}.")

    def _get(self, resource: Resource, key: str, request: Request) -> Reply:
        if not key:
            return query.answer(self._resources, resource, request, self.page_size)
        for row in resource.rows():
            if key == row.get("id") or key.lower() == f"name:{row.get('name')}".lower():
                return query.instance(self._resources, resource, row, request)
        raise Failure(404, NO_INSTANCE, f"Instance with id {key} was not found.")

    def _login_session(self, user: str, session: Session | None) -> Resource:
        row: Record = {
            "id": session.id[:8] if session else "0",
            "user": user,
            "role_ids": [self.sessions.users[user].role],
            "idle_timeout": 3600,
            "is_password_change_required": self.sessions.users[user].must_change,
            "is_built_in_user": user == "admin",
        }
        return Resource("login_session", SESSION, lambda: [row])

    def _table(self) -> list[tuple[str, str, Callable[..., Reply]]]:
        hosts, groups = rf"host/{ID}", rf"host_group/{ID}"
        return [
            ("POST", "volume", self._post_volume),
            ("DELETE", rf"volume/{ID}", self._delete_volume),
            ("POST", rf"volume/{ID}/attach", self._attach_volume),
            ("POST", rf"volume/{ID}/detach", self._detach_volume),
            ("POST", "host", self._post_host),
            ("PATCH", hosts, self._patch_host),
            ("DELETE", hosts, self._delete_host),
            ("POST", f"{hosts}/attach", lambda body, key: self._attach(self.host(key), body)),
            ("POST", f"{hosts}/detach", lambda body, key: self._detach(self.host(key), body)),
            ("POST", "host_group", self._post_group),
            ("PATCH", groups, self._patch_group),
            ("DELETE", groups, self._delete_group),
            ("POST", f"{groups}/attach", lambda body, key: self._attach(self.host_group(key), body)),
            ("POST", f"{groups}/detach", lambda body, key: self._detach(self.host_group(key), body)),
        ]

    def _post_volume(self, body: Record) -> Reply:
        given = _fields(body, {"name": str, "size": int}, {"description": str})
        if given["size"] % 8192 or given["size"] < 1 << 20:
            raise Failure(400, BAD_VALUE, "The size must be a multiple of 8192, and 1 MiB at least.")
        return Reply(201, {"id": self.add_volume(given["name"], given["size"])})

    def _delete_volume(self, body: Record, key: str) -> Reply:
        self.remove_volume(key)
        return DONE

    def _delete_host(self, body: Record, key: str) -> Reply:
        self.remove_host(key)
        return DONE

    def _delete_group(self, body: Record, key: str) -> Reply:
        self.remove_host_group(key)
        return DONE

    def _attach_volume(self, body: Record, key: str) -> Reply:
        _fields(body, {}, {"host_id": str, "host_group_id": str, "logical_unit_number": int})
        self.attach(self._target(body), self.volume(key).id, body.get("logical_unit_number"))
        return DONE

    def _detach_volume(self, body: Record, key: str) -> Reply:
        _fields(body, {}, {"host_id": str, "host_group_id": str})
        self.detach(self._target(body), self.volume(key).id, by_volume=True)
        return DONE

    def _target(self, body: Record) -> Target:
        if body.get("host_id") and body.get("host_group_id"):
            raise Failure(500, BOTH_TARGETS, "Only one of host_id and host_group_id can be given.")
        if body.get("host_id"):
            return self.host(body["host_id"])
        if body.get("host_group_id"):
            return self.host_group(body["host_group_id"])
        raise Failure(400, BAD_VALUE, "One of host_id and host_group_id is required.")

    def _attach(self, target: Target, body: Record) -> Reply:
        _fields(body, {"volume_id": str}, {"logical_unit_number": int})
        self.attach(target, body["volume_id"], body.get("logical_unit_number"))
        return DONE

    def _detach(self, target: Target, body: Record) -> Reply:
        _fields(body, {"volume_id": str}, {})
        self.detach(target, body["volume_id"])
        return DONE

    def _post_host(self, body: Record) -> Reply:
        more = {"description": str, "host_connectivity": str, "metadata": dict}
        given = _fields(body, {"name": str, "os_type": str, "initiators": list}, more)
        ports = _ports(given["initiators"])
        return Reply(
            201, {"id": self.add_host(given["name"], given["os_type"], ports, body.get("description", ""))}
        )

    def _patch_host(self, body: Record, key: str) -> Reply:
        lists = {"add_initiators": list, "remove_initiators": list, "modify_initiators": list}
        _fields(body, {}, {"name": str, "description": str, "host_connectivity": str, **lists})
        if len(body.keys() & lists.keys()) > 1:
            raise Failure(400, BAD_VALUE, "Only one of add, remove and modify is supported in a request.")
        host = self.host(key)
        if "add_initiators" in body:
            self.add_ports(key, _ports(body["add_initiators"]))
        if "remove_initiators" in body:
            self.remove_ports(key, body["remove_initiators"])
        host.name, host.description = body.get("name", host.name), body.get("description", host.description)
        return DONE

    def _post_group(self, body: Record) -> Reply:
        given = _fields(body, {"name": str, "host_ids": list}, {"description": str, "host_connectivity": str})
        return Reply(201, {"id": self.add_host_group(given["name"], given["host_ids"])})

    def _patch_group(self, body: Record, key: str) -> Reply:
        lists = {"add_host_ids": list, "remove_host_ids": list}
        _fields(body, {}, {"name": str, "description": str, "host_connectivity": str, **lists})
        self.join(key, body.get("add_host_ids", []))
        self.leave(key, body.get("remove_host_ids", []))
        return DONE


def _body(request: Request) -> Record:
    if request.body is None:
        return {}
    if not isinstance(request.body, dict):
        raise Failure(400, BAD_VALUE, "The body is not a JSON object.")
    return request.body


def _fields(body: Record, needed: Mapping[str, type], more: Mapping[str, type]) -> Record:
    """Return the body, which has to have these fields, may have more, and no others."""
    for name, value in body.items():
        kind = {**needed, **more}.get(name)
        if kind is None or not isinstance(value, kind) or isinstance(value, bool):
            raise Failure(400, BAD_VALUE, f"The field {name} is not known, or not of its type.")
    if missing := needed.keys() - body.keys():
        raise Failure(400, BAD_VALUE, f"The fields {sorted(missing)} are required.")
    return body


def _ports(given: list[Any]) -> list[tuple[str, str]]:
    names = {"chap_single_username": str, "chap_single_password": str}
    return [
        (port["port_name"], port["port_type"])
        for port in (_fields(each, {"port_name": str, "port_type": str}, names) for each in given)
    ]
