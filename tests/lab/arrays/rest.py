"""A small HTTPS server for simulators of management APIs that speak JSON.

Keeps a log of calls, and lets a test step in right before one: to change the world under the client's feet, to
answer in the service's place, or to be slow.
"""

import base64
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.lab.body import read_body


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    """names in lower case"""

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password of HTTP Basic."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user, password


@dataclass(frozen=True)
class Reply:
    """What the service answers; a `bytes` body goes out as it is."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Respond = Callable[[Request], Reply]
Step = Callable[[Request], Reply | None]


@dataclass
class StepIn:
    """An action for the next calls that match."""

    method: str
    prefix: str
    action: Step
    times: int


class RestServer:
    """Runs from its making to `close`, on a free port of 127.0.0.1 unless another address is asked for."""

    def __init__(
        self,
        name: str,
        context: ssl.SSLContext,
        respond: Respond,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self.accepted = 0
        """connections"""
        self._respond = respond
        self._steps: list[StepIn] = []
        self._lock = threading.Lock()
        self._server = Server(context, self, address)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name=name, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"{self._server.server_address[0]!s}:{self.port}"

    def before(self, method: str, prefix: str, action: Step, times: int = 1) -> None:
        """Call `action` right before so many calls; what it returns, if anything, is the answer."""
        with self._lock:
            self._steps.append(StepIn(method, prefix, action, times))

    def answer(self, request: Request) -> Reply:
        with self._lock:
            self.calls.append((request.method, request.path))
            actions = list(self._due(request))
        for action in actions:
            reply = action(request)
            if reply is not None:
                return reply
        return self._respond(request)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _due(self, request: Request) -> Iterable[Step]:
        for step in self._steps:
            if step.times and step.method == request.method and request.path.startswith(step.prefix):
                step.times -= 1
                yield step.action


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext, rest: RestServer, address: tuple[str, int]) -> None:
        self.context, self.rest = context, rest
        self.live: set[socket.socket] = set()
        self.guard = threading.Lock()
        super().__init__(address, Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = super().get_request()
        wrapped = self.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        self.rest.accepted += 1
        with self.guard:
            self.live.add(wrapped)
        return wrapped, address

    def shutdown_request(self, request: Any) -> None:
        with self.guard:
            self.live.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Break off what clients keep open, so that their threads end."""
        with self.guard:
            for client in self.live:
                with contextlib.suppress(OSError):  # it is gone already
                    client.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def setup(self) -> None:
        self.request.settimeout(self.timeout)
        self.request.do_handshake()  # here, in the connection's own thread
        super().setup()

    def serve(self) -> None:
        raw = read_body(self)
        address = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            self.send(Reply(400, {"error": {"message": "the body is not JSON", "code": "262247"}}))
            return
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        self.send(self.server.rest.answer(Request(self.command, unquote(address.path), query, body, headers)))

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = serve

    def send(self, reply: Reply) -> None:
        raw = (
            reply.body
            if isinstance(reply.body, bytes)
            else json.dumps({} if reply.body is None else reply.body).encode()
        )
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep the test's output free of it."""
