"""What is ESXi's own among the programs that the wrapper calls: vmkfstools, vsish, esxcli, ps and logger, as stubs.

All are as light as can be. vmkfstools hands its work to this process over a Unix socket (`/lab/vmkfstools`) and is
killed like any other process; the others show what `publish` has put below /lab.
"""

import os
import select
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.esxi.copies import Copies, Task
from tests.lab.esxi.sandbox import HOME, PYTHON, Sandbox

SOCKET = f"{HOME}/vmkfstools"
LOG = f"{HOME}/syslog"
DEVICES = "/vmfs/devices/disks"
VMKFSTOOLS = f"""#!{PYTHON} -IS
import os, socket, sys

lab = socket.socket(socket.AF_UNIX)
lab.connect("{SOCKET}")
lab.sendall(b"\\0".join(map(os.fsencode, sys.argv[1:])))
lab.shutdown(socket.SHUT_WR)
answers = lab.makefile("rb")
while True:
    kind, size = answers.read(1), answers.read(4)
    if not kind:
        os._exit(1)
    text = answers.read(int.from_bytes(size, "little"))
    if kind == b"x":
        os._exit(int(text))
    try:
        os.write(int(kind), text)
    except OSError:
        pass  # no space left: the copy itself does not care
"""
VSISH = f"""#!/bin/sh
[ "$1 $2 $3" = "-r -e cat" ] && exec cat "{HOME}/vsish$4"
exit 1
"""
ESXCLI = f"""#!/bin/sh
case $* in
    'system settings advanced list -o /DataMover/HardwareAcceleratedMove') exec cat {HOME}/hardware ;;
    'storage core device vaai status get -d '*) exec cat "{HOME}/vaai" ;;
esac
echo "Error: Unknown command or namespace $*" >&2
exit 1
"""
# Whose root is ours belongs to this host; other hosts of the lab, and the machine, have other processes.
PS = f"""#!/bin/sh
[ "$1" = -c ] || exit 1
ours=' '
for each in /proc/[0-9]*; do
    # What may not be looked at (in another user namespace, as sshd's commands are) may be ours.
    [ -d $each/root ] && [ ! $each/root{HOME} -ef {HOME} ] || ours="$ours${{each#/proc/}} "
done
/bin/busybox ps -o pid,pgid,comm,args | exec /bin/busybox awk -v ours="$ours" 'NR == 1 || index(ours, " " $1 " ")'
"""
LOGGER = f"""#!/bin/sh
printf '%s\\n' "$*" >>{LOG}
"""


@dataclass
class Acceleration:
    """What the host tells of the array's part; read again by each call of the wrapper."""

    enabled: bool = True
    """/DataMover/HardwareAcceleratedMove"""
    plugin: str = "VMW_VAAIP_NETAPP"
    clone_status: str = "supported"


class Process(Task):
    """A task whose vmkfstools is a real process; `connection` leads to it."""

    def __init__(
        self, connection: socket.socket, pid: int, pidfd: int, source: str, rdmfile: str, device: str
    ) -> None:
        super().__init__(rdmfile.rpartition("-rdmdisk-")[2], pid, source, rdmfile, device)
        self._connection, self._pidfd = connection, pidfd

    def __del__(self) -> None:
        os.close(self._pidfd)

    def say(self, text: str) -> None:
        super().say(text)
        self.send("1", text)

    def send(self, kind: str, text: str) -> None:
        """Hand text for stdout (1) or stderr (2) to the process, or its exit code (x)."""
        data = text.encode()
        try:
            self._connection.sendall(kind.encode() + len(data).to_bytes(4, "little") + data)
        except OSError:
            self.halt.set()

    def die(self) -> None:
        """Kill it together with the shell around it."""
        os.killpg(os.getpgid(self.pid), 9)
        self.halt.set()

    def settle(self) -> None:
        # The process is gone before its thread here has noticed; in the real world they are one.
        if select.select([self._pidfd], [], [], 0)[0]:
            self.halt.set()
            if self.thread is not threading.current_thread() and self.thread:
                self.thread.join()

    def follow(self) -> None:
        """Have the copy ended when the process is."""
        select.select([self._pidfd], [], [])
        self.halt.set()

    def close(self) -> None:
        """Let go of the process."""
        self._connection.close()


@dataclass
class Programs:
    """The stubs of one host; `copies` does their work."""

    sandbox: Sandbox
    copies: Copies
    acceleration: Acceleration = field(default_factory=Acceleration)

    def __post_init__(self) -> None:
        for name, text in (
            ("vmkfstools", VMKFSTOOLS), ("vsish", VSISH), ("esxcli", ESXCLI), ("ps", PS), ("logger", LOGGER),
        ):  # fmt: skip
            self.sandbox.add_program(f"/bin/{name}", text)
        self._server = socket.socket(socket.AF_UNIX)
        path = self.sandbox.path(SOCKET)
        self._server.bind(str(path))
        self._server.listen(64)
        self._thread = threading.Thread(target=self._serve, name="vmkfstools", daemon=True)
        self._thread.start()
        self.copies.counted = self.publish_counters

    def publish(self) -> None:
        """Show the devices that the host sees now, and the state of its acceleration."""
        stats = self.sandbox.path(f"{HOME}/vsish/storage/scsifw/devices")
        devices = set(self.copies.stack.devices)
        for naa in devices:
            self.publish_counters(naa)
        for gone in {each.name for each in stats.glob("*")} - devices:
            (stats / gone / "stats").unlink(missing_ok=True)
        self._publish_devices()
        here = self.acceleration
        self.sandbox.path(f"{HOME}/hardware").write_text(
            f"   Path: /DataMover/HardwareAcceleratedMove\n   Type: integer\n   Int Value: {int(here.enabled)}\n"
            "   Default Int Value: 1\n"
        )
        self.sandbox.path(f"{HOME}/vaai").write_text(
            f"   VAAI Plugin Name: {here.plugin}\n   ATS Status: supported\n"
            f"   Clone Status: {here.clone_status}\n   Zero Status: supported\n   Delete Status: supported\n"
        )

    def _publish_devices(self) -> None:
        """Let the bytes of the devices that can be reached be read in the host's own file system."""
        folder, stack = self.sandbox.path(DEVICES), self.copies.stack
        with stack.lock:
            usable = {naa: device.lun.path for naa, device in stack.devices.items() if stack.usable(naa)}
        for shown in folder.iterdir():
            if shown.name not in usable and not shown.is_symlink():  # links are a test's
                shown.unlink(missing_ok=True)
        for naa, path in usable.items():
            with suppress(FileExistsError):
                (folder / naa).hardlink_to(path)

    def openers(self, naa: str) -> list[tuple[int, str]]:
        """Return the processes on this host that have a device open: number and name."""
        shown = self.sandbox.path(f"{DEVICES}/{naa}")
        return [
            (pid, (Path("/proc") / str(pid) / "comm").read_text().strip())
            for pid in self.sandbox.processes()
            if shown.exists() and _has_open(pid, shown)
        ]

    def publish_counters(self, naa: str) -> None:
        """Show a device's counters as vsish does; cumulative, in hexadecimal."""
        file = self.sandbox.path(f"{HOME}/vsish/storage/scsifw/devices/{naa}/stats")
        if self.copies.xcopy is None:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        counters = {
            "cloneReadOps": self.copies.clone_write_ops[naa],
            "cloneWriteOps": self.copies.clone_write_ops[naa],
            "failedCloneOps": self.copies.clone_failed_ops[naa],
            "blocksCloneWrite": self.copies.clone_write_blocks[naa],
        }
        lines = "".join(f"   {name}:0x{value:016x}\n" for name, value in counters.items())
        new = file.with_suffix(f".{threading.get_ident()}")
        new.write_text(f"Statistics {{\n   successfulCmds:44265\n   failedCmds:0\n{lines}}}\n")
        new.rename(file)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        """Be one vmkfstools, until it is killed or done."""
        given = _receive(connection)
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        pidfd = _pidfd_of(pid) if given else None
        if pidfd is None:  # killed before it had begun
            connection.close()
            return
        match words := [each.decode(errors="surrogateescape") for each in given.split(b"\0")]:
            case ["-i", source, "-d", target, rdmfile] if target.startswith("rdm:/vmfs/devices/disks/"):
                process = Process(connection, pid, pidfd, source, rdmfile, Path(target).name)
            case _:
                raise ValueError(f"the lab's vmkfstools does not know {words}")
        threading.Thread(target=process.follow, daemon=True).start()
        self.copies.run(process)
        if process.exitcode:
            process.send("2", process.err)
            process.send("x", process.exitcode)
        process.close()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def _has_open(pid: int, file: Path) -> bool:
    """Return whether a process has a file open; one that is gone has none."""
    try:
        return any(each.samefile(file) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    except OSError:
        return False


def _pidfd_of(pid: int) -> int | None:
    """Return a file descriptor of a process; None where it is gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _receive(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)
