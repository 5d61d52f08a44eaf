"""What lies on the way to a service: an HTTP proxy that lets connections through (CONNECT), and a plain relay.

Both listen from their making to the end of the `with` block, and copy bytes without looking into them.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """Passes each connection on to one place; for services that listen at another address than tests want."""

    def __init__(self, to: tuple[str, int], address: str = "::1") -> None:
        self._to = to
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=kind, backlog=64)
        self._live: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, and break off what is open."""
        for one in (self._listener, *self._live):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._live.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, self._open(client) as server:
            self._live.add(server)
            back = threading.Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            copy(client, server)
            back.join()

    def _open(self, client: socket.socket) -> socket.socket:
        return socket.create_connection(self._to)


class ConnectProxy(Relay):
    """An HTTP proxy; `authorization` is what it demands, `status` what it answers in place of letting through."""

    def __init__(self, authorization: str = "", status: str = "", address: str = "127.0.0.1") -> None:
        self.asked: list[str] = []
        """`host:port` of each connection that was asked for"""
        self._authorization, self._status = authorization, status
        super().__init__(("", 0), address)

    def _open(self, client: socket.socket) -> socket.socket:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1) or b"\r\n\r\n"
        first, *headers = head.decode("latin-1").split("\r\n")
        method, place, _ = first.split(" ")
        assert method == "CONNECT"
        self.asked.append(place)
        status = self._status
        given = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
        if self._authorization not in {"", given.get("proxy-authorization")}:
            status = "407 Proxy Authentication Required"
        if status:
            client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            raise OSError(status)
        host, _, port = place.rpartition(":")
        server = socket.create_connection((host.strip("[]"), int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return server


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copy all bytes, and the end."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
