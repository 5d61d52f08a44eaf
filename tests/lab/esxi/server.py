"""The Unix socket on which the lab's vCenter hands over esxcli calls: HTTP, POST /execute, JSON both ways."""

import json
import socketserver
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType

from tests.lab.body import read_body
from tests.lab.esxi import commands
from tests.lab.esxi.host import EsxiHost


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False  # a kept-alive connection of vCenter must not hold up the end of a test
    request_queue_size = 128
    hosts: dict[str, EsxiHost]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = read_body(self)
        if self.path != "/execute":
            self._answer(404, {"error": f"no such path: {self.path}"})
            return
        request = json.loads(body)
        host = self.server.hosts.get(request["host"])
        if host is None:
            self._answer(404, {"error": f"no such host: {request['host']}"})
            return
        self._answer(200, commands.execute(host, request))

    def _answer(self, status: int, answer: dict[str, object]) -> None:
        data = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the caller gave up waiting, as a client of a slow host may

    def address_string(self) -> str:
        return "vcenter"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


class EsxcliServer:
    """Serves any number of hosts by their managed object ids, from construction or `with` on until closed."""

    def __init__(self, socket_path: Path, hosts: Iterable[EsxiHost] = ()) -> None:
        self.socket_path = socket_path
        self._server = _Server(str(socket_path), _Handler)
        self._server.hosts = {host.moid: host for host in hosts}
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="esxcli", daemon=True
        )
        self._thread.start()

    def add(self, host: EsxiHost) -> None:
        """Serve one more host: its id may only be known once vCenter runs, which wants the socket first."""
        self._server.hosts[host.moid] = host

    def close(self) -> None:
        """Stop serving and end all copies."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for host in self._server.hosts.values():
            host.close()
        self.socket_path.unlink(missing_ok=True)

    def __enter__(self) -> "EsxcliServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
