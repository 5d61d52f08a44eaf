"""A DNS server on loopback that is silent, or knows all names by one address; and how to have a program ask it.

The C library asks the servers of /etc/resolv.conf, at port 53. So the server takes that port of a loopback address of
its own, which needs root, and the program is started in a mount namespace with a /etc/resolv.conf of its own.
"""

import random
import shlex
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

ADDRESS, IN, POINTER = 1, 1, 0xC00C
HEADER = struct.Struct("!HHHHHH")
ANSWERED = 0x8180


class Dns:
    """The server; `address` may be set at any time, and None makes it silent."""

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self.asked: list[str] = []
        """names, in the order in which they were asked for"""

    def __enter__(self) -> Self:
        """Serve, at an address that no other test has."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = ".".join(str(part) for part in (127, *random.sample(range(2, 255), 3)))
        self._socket.bind((self.host, 53))
        threading.Thread(target=self._serve, name="dns", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._socket.close()

    def prefix(self, folder: Path) -> list[str]:
        """Return the words by which a program is started that asks this server, and it alone."""
        files = {
            "resolv.conf": f"nameserver {self.host}\noptions timeout:30 attempts:5\n",
            "nsswitch.conf": "hosts: files dns\n",
        }
        mounts = []
        for name, text in files.items():
            (folder / name).write_text(text)
            mounts.append(f"mount --bind {shlex.quote(str(folder / name))} $(readlink -f /etc/{name})")
        script = f'{" && ".join(mounts)} && exec "$@"'
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]

    def _serve(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(512)
            except OSError:
                return
            self.asked.append(name_in(query))
            if self.address is not None:
                self._socket.sendto(answer(query, self.address), client)


def name_in(query: bytes) -> str:
    """Return the name that is asked for."""
    labels, at = [], HEADER.size
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels)


def answer(query: bytes, address: str) -> bytes:
    """Return the answer to a query: the address, or for another kind of record that there is none."""
    end = HEADER.size + len(name_in(query)) + 2
    kind = struct.unpack_from("!H", query, end)[0]
    record = struct.pack("!HHHLH", POINTER, ADDRESS, IN, 0, 4) + socket.inet_aton(address)
    found = kind == ADDRESS
    header = HEADER.pack(struct.unpack_from("!H", query)[0], ANSWERED, 1, int(found), 0, 0)
    return header + query[HEADER.size : end + 4] + (record if found else b"")
