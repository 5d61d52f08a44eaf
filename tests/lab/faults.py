"""A reverse proxy that numbers every remote call and can make any one of them fail.

It stands in front of one HTTPS service (vCenter, array, API server), speaks real TLS to both sides, streams answers
(watches too), and writes each call into a ledger shared by all proxies of a lab. A rule looks at a call before it is
forwarded and may name a fault for it:

=========  ==========================================================
``before``  the connection is closed, the service never sees the call
``after``   the service does it, the answer is lost
``hang``    the service does it, the answer never comes
``reset``   the service does it, half of the answer comes, then RST
``5xx``     the service never sees it, the client gets a 503
=========  ==========================================================

These a sweep can apply to any call, and those of `lies`, which are answers. Others are for single tests:

============  =======================================================
``pause N``    the call reaches the service after N seconds
``late N``     the service does it, the answer comes N seconds later
``half``       the service does it, half of the answer comes, then an end
``NNN``        the service never sees it, the client gets that status
``NNN N``      the same, with a Retry-After of N seconds
``mute``       a watch begins, and nothing comes, nor its end
``bookmarks``  a watch begins, and nothing comes but bookmarks
``ends``       a watch begins, and ends at once
============  =======================================================
"""

import http
import http.client
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.lab.body import read_body
from tests.lab.lies import LIES, NONSENSE, UNDONE, Answer, lie

FAULTS = ("before", "after", "hang", "reset", "5xx")
HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length"}
SOAP_BODY = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
SOAP_ESXCLI = re.compile(rb"<(?:\w+:)?method[^>]*>vim\.EsxCLI\.([^<]+)<")
FORWARD_TIMEOUT = 120.0
HANG = 40.0
"""seconds after which a hanging connection is closed all the same: longer than any client ought to wait for a read"""


@dataclass
class Call:
    """One remote call, in the order in which the calls arrived."""

    number: int
    """from 1"""
    service: str
    label: str
    """`GET /api/cluster`, `Login`, `esxcli storage.core.device.list`"""
    at: float
    fault: str | None = None


Rule = Callable[[Call], str | None]


@dataclass
class Ledger:
    """All calls of a lab; `rule` decides which of them fail."""

    rule: Rule = lambda call: None
    calls: list[Call] = field(default_factory=list)
    answers: dict[tuple[str, bytes], Answer] = field(default_factory=dict)
    """the last answer to each request, told apart by service, path and body"""
    slow_to_connect: dict[str, float] = field(default_factory=dict)
    """seconds for which a service's new connections are held back"""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, service: str, label: str) -> Call:
        """Number a call, and ask the rule for its fault."""
        with self._lock:
            call = Call(len(self.calls) + 1, service, label, time.monotonic())
            self.calls.append(call)
            call.fault = self.rule(call)
            return call

    def reset(self, rule: Rule = lambda call: None) -> None:
        """Begin a new page with a new rule."""
        with self._lock:
            self.calls, self.answers, self.rule, self.slow_to_connect = [], {}, rule, {}

    def of(self, service: str) -> list[Call]:
        """Return one service's calls."""
        return [call for call in self.calls if call.service == service]


def nth(number: int, fault: str) -> Rule:
    """Return a rule that fails one call by its number."""
    return lambda call: fault if call.number == number else None


def label_of(method: str, path: str, body: bytes) -> str:
    """Name a call for people: what a SOAP body or a REST path says."""
    if found := SOAP_ESXCLI.search(body):
        return f"esxcli {found[1].decode()}"
    if found := SOAP_BODY.search(body):
        return found[1].decode()
    return f"{method} {urlsplit(path).path}"


class Handler(BaseHTTPRequestHandler):
    """Forwards one client connection's requests, each over a connection of its own."""

    server: "Proxy"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.server.closing.wait(self.server.ledger.slow_to_connect.get(self.server.service, 0.0))
        self.request.do_handshake()
        super().setup()

    def forward(self) -> None:
        body = read_body(self)
        ledger = self.server.ledger
        call = ledger.enter(self.server.service, label_of(self.command, self.path, body))
        match call.fault:
            case "before":
                self.drop()
            case "5xx":
                self.send_error(503)
            case str(fault) if fault in UNDONE:
                self.reply(lie(fault, call.service, call.label, None))
            case str(fault) if fault[:3].isdigit():
                self.refuse(*map(int, fault.split()))
            case str(fault) if fault.startswith("pause "):
                self.server.closing.wait(float(fault.split()[1]))
                self.pass_on(body, call, None)
            case fault:
                self.pass_on(body, call, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def pass_on(self, body: bytes, call: Call, fault: str | None) -> None:
        upstream = self.server.connect()
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_HEADERS}
            upstream.request(self.command, self.path, body or None, headers)
            response = upstream.getresponse()
            match fault:
                case "after":
                    response.read()
                    self.drop()
                case str(late) if late.startswith("late "):
                    self.server.closing.wait(float(late.split()[1]))
                    self.relay(response, body)
                case "hang":
                    response.read()
                    self.server.closing.wait(HANG)
                    self.drop()
                case "reset":
                    self.half(response)
                    self.reset()
                case "half":
                    self.half(response)
                    self.drop()
                case "mute" | "bookmarks" | "ends":
                    self.false_watch(fault, response)
                case str(kind) if kind in LIES:
                    self.deceive(response, body, call, kind)
                case _:
                    self.relay(response, body)
        finally:
            upstream.close()

    def relay(self, response: http.client.HTTPResponse, body: bytes) -> None:
        self.start(response)
        length = response.getheader("Content-Length")
        if length is not None or self.command == "HEAD":
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(self.remember(response, body).body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := response.read1(65536):
            self.chunk(chunk)
        self.chunk(b"")

    def remember(self, response: http.client.HTTPResponse, body: bytes) -> Answer:
        """Read an answer, and keep it for who is to be told of the past."""
        media_type = response.getheader("Content-Type") or "application/json"
        answer = Answer(response.status, media_type, response.read())
        self.server.ledger.answers[self.path, self.command.encode() + body] = answer
        return answer

    def deceive(self, response: http.client.HTTPResponse, body: bytes, call: Call, kind: str) -> None:
        """Answer with a lie; with what was true before where there is a before, else with the truth."""
        before = self.server.ledger.answers.get((self.path, self.command.encode() + body))
        if response.getheader("Content-Length") is None:  # a watch
            self.false_watch({"garbage": "garbage", "empty": "ends"}.get(kind, "mute"), response)
        elif kind == "stale" and before is None:
            self.relay(response, body)
        else:
            true = self.remember(response, body)
            self.reply(
                before if kind == "stale" and before else lie(kind, call.service, call.label, true), response
            )

    def reply(self, answer: Answer, instead_of: http.client.HTTPResponse | None = None) -> None:
        """Send an answer, with the other headers of the true one where there is one: cookies come all the same."""
        self.send_response_only(answer.status)
        for name, value in instead_of.getheaders() if instead_of else ():
            if name.lower() not in HOP_HEADERS | {"content-type"}:
                self.send_header(name, value)
        self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def half(self, response: http.client.HTTPResponse) -> None:
        self.start(response)
        body = response.read()
        self.send_header("Content-Length", str(len(body) or 1))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()

    def reset(self) -> None:
        # SO_LINGER of zero makes close() send RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def refuse(self, status: int, retry_after: int | None = None) -> None:
        """Answer in the service's place, as the Kubernetes API would."""
        reason = http.HTTPStatus(status).phrase.replace(" ", "")
        answer = {"kind": "Status", "code": status, "reason": reason, "message": "the proxy was told to"}
        body = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(body)

    def false_watch(self, kind: str, response: http.client.HTTPResponse) -> None:
        """Begin a watch of Kubernetes and tell nothing of what happens."""
        self.start(response)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if kind == "garbage":
            self.chunk(NONSENSE + b"\n")
        while kind not in {"ends", "garbage"} and not self.server.closing.wait(0.5):
            if kind == "bookmarks":
                metadata = {"resourceVersion": "1"}
                line = json.dumps({"type": "BOOKMARK", "object": {"kind": "Lease", "metadata": metadata}})
                self.chunk(line.encode() + b"\n")
        self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def start(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, value)

    def drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class Proxy(ThreadingHTTPServer):
    """The server; see the module."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        service: str,
        upstream: tuple[str, int],
        ledger: Ledger,
        server_context: ssl.SSLContext,
        client_context: ssl.SSLContext,
    ) -> None:
        self.service, self.upstream, self.ledger = service, upstream, ledger
        self.server_context, self.client_context = server_context, client_context
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = super().get_request()
        return self.server_context.wrap_socket(
            client, server_side=True, do_handshake_on_connect=False
        ), address

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            *self.upstream, timeout=FORWARD_TIMEOUT, context=self.client_context
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: broken connections are this program's trade."""


@contextmanager
def proxy(
    service: str,
    upstream: tuple[str, int],
    ledger: Ledger,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> Iterator[int]:
    """Run a proxy in front of a service; gives its port on 127.0.0.1."""
    server = Proxy(service, upstream, ledger, server_context, client_context)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=f"proxy {service}", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
