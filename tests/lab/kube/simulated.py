"""An API server inside the test's process: real HTTPS and the same answers as kube-apiserver, in milliseconds.

For the few resources of `resources.py`: get, list, watch, create, update, patch, delete, TokenRequest, RBAC, and as
much of discovery as kubectl needs. Bodies may be JSON or, as client-go sends them, protobuf; answers are JSON, or a
Table for who asks for one. Left out: server-side apply, paging (a list is always whole), admission but for namespaces.
`tests/lab_checks/test_kube.py` holds it to what a real kube-apiserver answers.
"""

import contextlib
import json
import re
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.lab.body import read_body
from tests.lab.kube import protobuf, tables
from tests.lab.kube.access import Access, Attempt
from tests.lab.kube.patches import patched
from tests.lab.kube.resources import GROUPS, RESOURCES, SERVED_BY_ALL, Resource
from tests.lab.kube.shapes import decode, validate
from tests.lab.kube.statuses import (
    Refusal,
    bad_method,
    bad_request,
    details,
    unknown_path,
    unsupported,
)
from tests.lab.kube.store import Json, Store, Wanted
from tests.lab.pki import Pki

OBJECT_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[0-9a-z]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[a-z]+))?)?"
)
NAMESPACE_PATH = re.compile(r"/api/v1/(?P<plural>namespaces)/(?P<name>[^/]+)(?:/(?P<sub>status|finalize))?")
REVIEWS = {
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": Access.review_rules,
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": Access.review_access,
    "/apis/authentication.k8s.io/v1/selfsubjectreviews": Access.review_user,
}
"""what anybody may ask about himself"""
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete", "PATCH": "patch"}
READERS: dict[str, Callable[[bytes], Any]] = {
    "application/json": json.loads,
    protobuf.MEDIA_TYPE: protobuf.decode,
}
SELECTORS = {"metadata.name": "name", "metadata.namespace": "namespace"}
LOOK = 1.0
"""seconds between two looks at whether the reader of a watch has gone"""


class SimulatedServer:
    """Serves one store on a free port of 127.0.0.1 until closed."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        self.store = Store()
        self.admin_token = secrets.token_urlsafe(16)
        self.access = Access(self.store, self.admin_token)
        self.bookmark_seconds = 60.0
        self.clock_offset = 0.0
        """seconds by which the dates of answers are ahead"""
        self.closing = False
        self._http = _HttpServer(self, pki)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), name="kube", daemon=True).start()

    def forget_history(self) -> None:
        """Make every resourceVersion seen so far too old to watch from."""
        self.store.forget()

    def close(self) -> None:
        """End all watches and the server."""
        with self.store.changed:
            self.closing = True
            self.store.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, api: SimulatedServer, pki: Pki) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)
        # The handshake is left to the connection's own thread: a client that is slow in it delays nobody.
        self.socket = pki.server_context("kube-apiserver").wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up when they like."""

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 300
    server: _HttpServer

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Stay silent."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        body = read_body(self)
        try:
            if url.path in {"/readyz", "/livez", "/healthz"}:
                self._send(200, b"ok", "text/plain; charset=utf-8")
                return
            request = Request(self.server.api, self, url.path, dict(parse_qsl(url.query)), body)
            answer = request.run()
        except Refusal as refusal:
            self._send(refusal.code, json.dumps(refusal.body).encode())
        else:
            if answer is not None:
                created = answer.get("kind") != "Status" and request.created
                self._send(201 if created else 200, json.dumps(answer).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 504:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.api.clock_offset)

    def begin_stream(self) -> None:
        """Send the head of a watch's answer."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def stream(self, event: Json | None) -> None:
        """Send one event, or the end."""
        data = json.dumps(event).encode() + b"\n" if event is not None else b""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def reader_gone(self) -> bool:
        """Return whether the client has hung up: nothing else can come from it during a watch."""
        return bool(select.select([self.connection], [], [], 0)[0])


@dataclass
class Request:
    """One request: who, what, which object; `run` does it."""

    api: SimulatedServer
    handler: _Handler
    path: str
    params: dict[str, str]
    body: bytes
    created: bool = False

    def run(self) -> Json | None:
        """Return the answer, or nothing where it has been streamed."""
        user = self.api.access.user(self.handler.headers.get("Authorization"))
        if self.handler.command == "POST" and (review := REVIEWS.get(self.path)):
            self.created = True
            return review(self.api.access, user, json.loads(self.body))
        found = NAMESPACE_PATH.fullmatch(self.path) or OBJECT_PATH.fullmatch(self.path)
        if not found:
            self.api.access.check_path(user, self.path)
            return discovery(self.path)
        part = {key: value or "" for key, value in found.groupdict().items()}
        self.namespace, self.name, self.sub = part.get("namespace", ""), part["name"], part.get("sub", "")
        known = RESOURCES.get(part["plural"])
        version = part.get("version", "v1")
        served = known is not None and (known.group, known.version) == (part.get("group", ""), version)
        self.resource = known if known and served else Resource(part["plural"], "", part.get("group", ""))
        self.wanted = selector(self.params)
        self.api.access.check(user, self._attempt())
        if not served or self.sub not in {"", self.resource.subresource}:
            raise unknown_path()
        return self._act()

    def _attempt(self) -> Attempt:
        """Return what is asked for; a selected name counts as the name, for roles with resourceNames."""
        verb, name = VERBS[self.handler.command], self.name
        if verb == "get" and not name:
            verb = "watch" if self.params.get("watch") in {"1", "true"} else "list"
            equal = re.fullmatch(r"metadata\.name==?([^,]+)", self.params.get("fieldSelector", ""))
            name = equal[1] if equal else ""
        return Attempt(verb, self.resource, self.namespace, name, self.sub)

    def _act(self) -> Json | None:
        acts = {"get": self._get, "list": self._list, "watch": self._watch, "delete": self._delete}
        acts |= {"create": self._create, "update": self._update, "patch": self._patch}
        verb = self._attempt().verb
        # A collection can be created into, an object be updated or deleted; `token` can only be created.
        fits = {
            "create": not self.name or self.sub == "token",
            "update": self.sub != "token" and bool(self.name),
            "patch": self.sub != "token" and bool(self.name),
        }
        if verb not in acts or not fits.get(verb, True) or (verb == "delete" and not self.name):
            raise bad_method()
        return acts[verb]()

    def _get(self) -> Json:
        self.api.store.check_reached(self._version())
        found = self.api.store.get(self.resource, self.namespace, self.name)
        if self.as_table:
            version = {"resourceVersion": found["metadata"]["resourceVersion"]}
            return tables.table(self.resource.kind, [found], version)
        return found

    @property
    def as_table(self) -> bool:
        """Whether objects are to be told as rows of a Table."""
        return tables.wanted(self.handler.headers.get("Accept"), self.resource.kind)

    def _watch(self) -> None:
        Watching(self).run()

    def _create(self) -> Json:
        self.created = True
        if self.sub:
            return self._token()
        return self.api.store.create(self.resource, self.namespace, self._checked(self._given()))

    def _update(self) -> Json:
        if self.sub == "finalize":
            return self.api.store.finalize(self.name)
        return self._replace(self._given())

    def _patch(self) -> Json:
        with self.api.store.changed:  # a patch that names no version is one of whatever there is
            old = self.api.store.get(self.resource, self.namespace, self.name)
            return self._replace(patched(self._media_type, self.body, old))

    def _replace(self, given: object) -> Json:
        body = self._checked(given)
        new, self.created = self.api.store.replace(self.resource, self.namespace, body, self.sub)
        return new

    def _delete(self) -> Json:
        gone = self.api.store.delete(self.resource, self.namespace, self.name)
        if self.resource.kind == "Namespace":
            return gone | {"status": {"phase": "Terminating"}}
        about = details(self.resource, self.name, uid=gone["metadata"]["uid"])
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}

    def _list(self) -> Json:
        self.api.store.check_reached(self._version())
        version, found = self.api.store.list(self.resource, self.namespace, self.wanted)
        if self.as_table:
            return tables.table(self.resource.kind, found, {"resourceVersion": str(version)})
        bare = [{k: v for k, v in item.items() if k not in {"kind", "apiVersion"}} for item in found]
        return {
            "kind": f"{self.resource.kind}List",
            "apiVersion": self.resource.api_version,
            "metadata": {"resourceVersion": str(version)},
            "items": bare,
        }

    def _token(self) -> Json:
        token = self.api.access.issue(self.namespace, self.name)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "status": {"token": token},
        }

    def _version(self) -> int:
        text = self.params.get("resourceVersion") or "0"
        if not text.isdigit():
            why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
            raise Refusal(500, "", f'resourceVersion: Invalid value: "{text}": {why}')
        return int(text)

    @property
    def _media_type(self) -> str:
        return str(self.handler.headers.get("Content-Type") or "application/json").partition(";")[0].strip()

    def _given(self) -> object:
        """Return the object in the body, as JSON."""
        if self._media_type not in READERS:
            raise unsupported(*READERS)
        try:
            given = READERS[self._media_type](self.body)
        except ValueError as error:
            kind = self.resource.kind
            why = f"couldn't get version/kind; json parse error: {error}"
            raise bad_request(
                f"the object provided is unrecognized (must be of type {kind}): {why}"
            ) from error
        if given is None:  # a kind that is only known in JSON
            raise unsupported("application/json")
        return given

    def _checked(self, given: object) -> Json:
        """Return an object that may be stored."""
        if not isinstance(given, dict):
            kind = self.resource.kind
            raise bad_request(
                f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
                "json parse error: not an object"
            )
        body = decode(self.resource, given)
        metadata = body["metadata"]
        if self.namespace and metadata.get("namespace", self.namespace) != self.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if self.name and (name := metadata.setdefault("name", self.name)) != self.name:
            raise bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({self.name})"
            )
        if not self.name and metadata.get("resourceVersion"):
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        if not self.sub:  # of a status nothing is asked
            validate(self.resource, body)
        return body


class Watching:
    """One watch, from its first event to its end."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._api = request.api
        self._send = request.handler.stream
        self._until = time.monotonic() + _seconds(request.params.get("timeoutSeconds", "1800"))
        self._bookmarks = request.params.get("allowWatchBookmarks") in {"1", "true"}
        self._version = request._version()
        self._headed = False

    def run(self) -> None:
        """Send events until the time is over, the reader has gone or the server closes."""
        self._request.handler.begin_stream()
        if not self._version:
            self._send_present()
        try:
            self._follow()
        except Refusal as refusal:  # what fails once the answer has begun is an event
            self._send({"type": "ERROR", "object": refusal.body})
        self._send(None)

    def _send_present(self) -> None:
        request = self._request
        self._version, found = self._api.store.list(request.resource, request.namespace, request.wanted)
        for item in found:
            self._tell({"type": "ADDED", "object": item})
        self._bookmark({"k8s.io/initial-events-end": "true"})

    def _follow(self) -> None:
        request, store = self._request, self._api.store
        next_bookmark = time.monotonic() + self._api.bookmark_seconds
        while (left := self._until - time.monotonic()) > 0 and not self._api.closing:
            with store.changed:
                now, changes = (
                    store.version,
                    list(store.since(self._version, request.resource, request.namespace)),
                )
                if now <= self._version:
                    store.changed.wait(min(left, LOOK, self._api.bookmark_seconds))
            for change in changes:
                if event := change.event(request.wanted):
                    self._tell(event)
            self._version = max(now, self._version)
            if time.monotonic() >= next_bookmark:
                self._bookmark()
                next_bookmark = time.monotonic() + self._api.bookmark_seconds
            if not changes and request.handler.reader_gone():
                return

    def _tell(self, event: Json) -> None:
        """Send an event about an object, which may be told as a row; just the first row comes with its heads."""
        if self._request.as_table:
            item = event["object"]
            version = {"resourceVersion": item["metadata"]["resourceVersion"]}
            kind = self._request.resource.kind
            event = event | {"object": tables.table(kind, [item], version, headed=not self._headed)}
            self._headed = True
        self._send(event)

    def _bookmark(self, annotations: Json | None = None) -> None:
        if self._bookmarks:
            resource = self._request.resource
            metadata: Json = {"resourceVersion": str(self._version)}
            if annotations:
                metadata["annotations"] = annotations
            body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
            self._send({"type": "BOOKMARK", "object": body})


def selector(params: dict[str, str]) -> Wanted:
    """Return the test that fieldSelector and labelSelector ask for: names and namespaces, labels and sets of them."""
    fields, labels = _terms(params.get("fieldSelector", "")), _terms(params.get("labelSelector", ""))
    for field, _, _ in fields:
        if field not in SELECTORS:
            known = ", ".join(f'"{name}"' for name in SELECTORS)
            raise bad_request(f'"{field}" is not a known field selector: only {known}')

    def wanted(item: Json) -> bool:
        metadata = item["metadata"]
        of_fields = (
            (metadata.get(SELECTORS[key], "") in (values or ())) != differs for key, differs, values in fields
        )
        of_labels = (
            (key in metadata.get("labels", {}))
            if values is None
            else (metadata.get("labels", {}).get(key) in values) != differs
            for key, differs, values in labels
        )
        return all(of_fields) and all(of_labels)

    return wanted


def _terms(text: str) -> list[tuple[str, bool, list[str] | None]]:
    """Return (key, differs, values) for each term of `a=b,c!=d,e in (f,g),h`; None where a key is to be there."""
    parts = filter(None, re.split(r",(?![^(]*\))", text))
    terms = [re.fullmatch(r"([^=! ]+)(?:(==|=|!=)(.*)| in \((.*)\))?", term) for term in parts]
    if None in terms:
        raise bad_request(f"unable to parse requirement: {text}")
    return [(term[1], term[2] == "!=", _values(term)) for term in terms if term]


def _values(term: re.Match[str]) -> list[str] | None:
    if term[4]:
        return term[4].split(",")
    return [term[3]] if term[2] else None


def _seconds(text: str) -> int:
    if not text.isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def discovery(path: str) -> Json:
    """Return what tells kubectl which resources there are."""
    groups = [
        {
            "name": group,
            "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
            "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
        }
        for group, version in sorted(GROUPS.items())
    ]
    pages: dict[str, Json] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.2", "platform": "in-process"},
    }
    for group, version in {"": "v1", **GROUPS}.items():
        pages[f"/apis/{group}/{version}" if group else "/api/v1"] = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else "v1",
            "resources": [_described(item) for item in RESOURCES.values() if item.group == group],
        }
    if path not in pages:
        raise unknown_path()
    return pages[path]


SHORT: dict[str, list[str]] = {
    "namespaces": ["ns"],
    "persistentvolumeclaims": ["pvc"],
    "persistentvolumes": ["pv"],
}


def _described(resource: Resource) -> Json:
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(SERVED_BY_ALL),
        "shortNames": SHORT.get(resource.plural, []),
    }
