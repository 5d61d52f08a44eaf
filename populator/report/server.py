"""The metrics page served over HTTPS, from the first moment on.

Promises: the port answers before anything slow is imported; slow or silent clients, however many, take a bounded number
of threads and delay others by a moment only; `scraped` is set when a completed page has gone out to the controller, and
`monitors` know what has gone out to them.
"""

import logging
import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from populator.clock import Clock
from populator.report.monitors import HEADER
from populator.report.page import Page

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

CONTROLLER = "Go-http-client/"
"""how the User-Agent of Forklift's controller begins, as Go's default has it; monitors read the page too"""

CLIENT_SECONDS = 10.0
"""seconds a client may take for all: handshake, request, reading its answer"""

CLIENTS = 32
"""connections at a time, each with a thread"""

LEAST_SECONDS = 0.25
"""seconds that a connection keeps its place while others wait for one; a scrape takes some hundredths"""

LARGEST_REQUEST = 16 * 1024
"""bytes"""


class Handler(BaseHTTPRequestHandler):
    """Answers GET for the page and nothing else."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Do the TLS handshake here, in the client's own thread, and read one request: no more are answered."""
        self.request.settimeout(CLIENT_SECONDS)
        self.request.do_handshake()
        super().setup()
        self.rfile = BytesIO(self._head())

    def _head(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if len(data) > LARGEST_REQUEST:
                raise OSError("the request is too large")
            piece = self.request.recv(4096)
            if not piece:
                break
            data += piece
        return data

    def do_GET(self) -> None:
        """Serve the page; note when one that shows the end has gone out to the controller."""
        if urlsplit(self.path).path != self.server.path:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        page = self.server.page
        shown = page.render()
        body = shown.text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        agent = self.headers.get("User-Agent", "")
        if HEADER in self.headers:
            page.monitors.served(str(self.client_address[0]), agent, run_ended=shown.run_ended)
        elif shown.copy_ended and agent.startswith(CONTROLLER):
            page.scraped.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a scrape every five seconds is not worth a line."""


class Server(ThreadingHTTPServer):
    """HTTPS with a thread per client, and places for a few: who has one for long makes room for those who wait."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, path: str, page: Page, seconds: float = CLIENT_SECONDS) -> None:
        self.page, self.path = page, path
        self._seconds, self._clock = seconds, Clock()
        self._clients: dict[socket.socket, float] = {}
        """open connections, the oldest first, and when they began"""
        self._change = threading.Condition()
        self.address_family = family(host)
        self._context = self_signed()
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Bind to IPv4 as well where all of IPv6 is asked for; skip the base class's look-up of our name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept without a handshake, so that a silent client holds up nobody."""
        client, address = super().get_request()
        return self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a client a thread, as soon as there is a place."""
        with self._change:
            while len(self._clients) >= CLIENTS:
                self._hang_up(LEAST_SECONDS, at_most=1)
                self._change.wait(LEAST_SECONDS / 5)
            self._clients[request] = self._clock.now()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and give its place to the next."""
        super().shutdown_request(request)
        with self._change:
            self._clients.pop(request, None)
            self._change.notify()

    def service_actions(self) -> None:
        """Hang up on clients that take too long, from time to time."""
        with self._change:
            self._hang_up(self._seconds, at_most=CLIENTS)

    def _hang_up(self, seconds: float, at_most: int) -> None:
        """End the oldest connections that are open for so long; their threads notice, and leave."""
        for client in list(self._clients)[:at_most]:
            if self._clock.now() - self._clients[client] >= seconds:
                with suppress(OSError):  # it has just gone
                    socket.socket.shutdown(client, socket.SHUT_RDWR)  # below TLS, which its thread is using

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's
        """Note at debug level a client that went away or never spoke TLS."""
        log.debug("metrics: client %s failed: %s", client_address, sys.exception())


def family(host: str) -> socket.AddressFamily:
    """Return the address family to listen with: all interfaces means IPv6 and IPv4 where IPv6 exists."""
    if host:
        return socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET


def self_signed() -> ssl.SSLContext:
    """Return a TLS context with a fresh self-signed certificate that never touches a disk.

    The controller does not verify it; an elliptic-curve key costs a millisecond.
    """
    import datetime  # noqa: PLC0415 - with cryptography a tenth of a second, needed here only

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vsphere-xcopy-volume-populator")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    pem += cert.public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    memory = os.memfd_create("metrics-tls")
    try:
        os.write(memory, pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context


@contextmanager
def serve(host: str, port: int, path: str, page: Page, seconds: float = CLIENT_SECONDS) -> Iterator[str]:
    """Serve the page on a thread of its own; gives its URL. Raises OSError when the port is taken.

    `seconds` is what a client may take for all.
    """
    server = Server(host, port, path, page, seconds)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    try:
        shown = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
        yield f"https://{shown}:{server.server_port}{path}"
    finally:
        server.shutdown()
        server.server_close()
