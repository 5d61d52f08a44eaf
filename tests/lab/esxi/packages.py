"""An ESXi host that packages can be installed on: its own esxcli, hostd, ps and Secure Boot state, in a sandbox.

What it is made of are real processes and files; `esxcli_program` tells where its state lies.
"""

import inspect
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.esxi import esxcli_program
from tests.lab.esxi.sandbox import HOME, PYTHON, Sandbox
from tests.lab.waiting import wait_until

HOSTD = f"""#!/bin/sh
# hostd reads the plugins when it starts
[ "$1" = restart ] || exit 2
echo restart >>{HOME}/hostd/history
[ ! -e {HOME}/faults/hostd-refuses ] || {{ echo "hostd: cannot stop: busy" >&2; exit 1; }}
if [ -e {HOME}/faults/hostd-dies ]; then seconds=1000000; else seconds=$(cat {HOME}/hostd/seconds); fi
rm -f {HOME}/hostd/plugin.xml
[ ! -e {esxcli_program.PLUGIN} ] || cp {esxcli_program.PLUGIN} {HOME}/hostd/plugin.xml
echo $(($(date +%s) + seconds)) >{HOME}/hostd/up
echo "hostd started."
"""
SECURE_BOOT = f"#!/bin/sh\ncat {HOME}/secure-boot\n"
# A copy that has begun says so in /lab/copies: the machine's own processes are no business of the host's.
PS = f"""#!/bin/sh
echo "WID      CID      World Name            Command Line"
for each in {HOME}/copies/*; do
    [ ! -d /proc/${{each##*/}} ] || echo "${{each##*/}}  ${{each##*/}}  vmkfstools            $(cat $each)"
done
"""
VMKFSTOOLS = f"""#!/bin/sh
echo "$0 $*" >{HOME}/copies/$$
exec sleep 600
"""
# `cat` of its standard input stops after some bytes for as long as the fault lasts, and says that it is there.
CAT = f"""#!/bin/sh
[ $# -eq 0 ] || exec /usr/bin/busybox cat "$@"
/usr/bin/busybox dd bs=1000 count=1 2>/dev/null
while [ -e {HOME}/faults/hold ]; do : >{HOME}/copying; sleep 0.05; done
exec /usr/bin/busybox cat
"""


class Small(Sandbox):
    """A host whose /tmp is small."""

    def __init__(self, root: Path, room: int) -> None:
        super().__init__(root, {})
        self._room = room

    def command(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, *, ordinary: bool = False
    ) -> list[str]:
        words = super().command((), environment, ordinary=ordinary)
        return [*words, "--size", str(self._room), "--tmpfs", "/tmp", *argv]


class PackageHost:
    """One host below `root`; with `room`, its /tmp has only so many bytes, and is another one for each connection."""

    def __init__(self, root: Path, shell: str = "busybox", room: int = 0) -> None:
        self.sandbox = Small(root, room) if room else Sandbox(root, {}, shell)
        program = inspect.getsource(esxcli_program)
        self.sandbox.add_program("/bin/esxcli", f"#!{PYTHON} -IS\n{program}")
        self.sandbox.add_program("/bin/ps", PS)
        self.sandbox.add_program("/bin/vmkfstools", VMKFSTOOLS)
        self.sandbox.add_program("/bin/cat", CAT)
        self.sandbox.add_program("/etc/init.d/hostd", HOSTD)
        self.sandbox.add_program("/usr/lib/vmware/secureboot/bin/secureBoot.py", SECURE_BOOT)
        for folder in ("copies", "faults", "hostd"):
            self.lab(folder).mkdir()
        self.lab("packages.json").write_text(json.dumps([]))
        self.level, self.secure_boot, self.hostd_seconds = "PartnerSupported", "Disabled", 0
        self.lab("hostd/up").write_text("0")

    def lab(self, name: str) -> Path:
        return self.sandbox.path(f"{HOME}/{name}")

    @property
    def level(self) -> str:
        """The host's acceptance level."""
        return self.lab("level").read_text()

    @level.setter
    def level(self, value: str) -> None:
        self.lab("level").write_text(value)

    @property
    def secure_boot(self) -> str:
        """`Enabled` or `Disabled`."""
        return self.lab("secure-boot").read_text()

    @secure_boot.setter
    def secure_boot(self, value: str) -> None:
        self.lab("secure-boot").write_text(value)

    @property
    def hostd_seconds(self) -> int:
        """How long hostd takes to come back."""
        return int(self.lab("hostd/seconds").read_text())

    @hostd_seconds.setter
    def hostd_seconds(self, value: int) -> None:
        self.lab("hostd/seconds").write_text(str(value))

    def fail(self, name: str, text: str = "") -> None:
        """Make something go wrong from now on; see `esxcli_program` and `HOSTD`."""
        self.lab(f"faults/{name}").write_text(text)

    def heal(self, name: str) -> None:
        """End a fault."""
        self.lab(f"faults/{name}").unlink()

    def close(self) -> None:
        """End what hangs on the host."""
        for fault in self.lab("faults").iterdir():
            fault.unlink()

    @property
    def hostd_restarts(self) -> int:
        """How often hostd was told to restart."""
        file = self.lab("hostd/history")
        return len(file.read_text().splitlines()) if file.exists() else 0

    @property
    def installed(self) -> list[tuple[str, str]]:
        """Version and vendor of each package."""
        return [
            (each["version"], each["vendor"]) for each in json.loads(self.lab("packages.json").read_text())
        ]

    @property
    def temporary(self) -> list[str]:
        """What lies in /tmp."""
        return sorted(each.name for each in self.sandbox.path("/tmp").iterdir())

    def esxcli(self, *words: str) -> str:
        """Run esxcli on the host; raise where it fails."""
        done = self.sandbox.run("/bin/esxcli", *words)
        if done.returncode:
            raise RuntimeError(f"esxcli {' '.join(words)}: {done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    @contextmanager
    def copying(self, device: str) -> Iterator[int]:
        """Let a copy run; yield its process id."""
        command = [
            "/bin/vmkfstools",
            "-i",
            "/vmfs/volumes/a/b.vmdk",
            "-d",
            f"rdm:/vmfs/devices/disks/{device}",
            "/c",
        ]
        with subprocess.Popen(self.sandbox.command(command)):
            wait_until(lambda: any(self.lab("copies").iterdir()))
            (file,) = self.lab("copies").iterdir()
            try:
                yield int(file.name)
            finally:
                os.kill(int(file.name), signal.SIGKILL)

    def put_in(self, vib: bytes) -> None:
        """Install a package as somebody else would have, hostd restarted."""
        self.sandbox.path("/tmp/x.vib").write_bytes(vib)
        self.esxcli("software", "vib", "install", "-v", "/tmp/x.vib", "-f")
        self.sandbox.path("/tmp/x.vib").unlink()
        seconds, self.hostd_seconds = self.hostd_seconds, 0
        self.sandbox.run("/etc/init.d/hostd", "restart")
        self.hostd_seconds = seconds
        self.lab("hostd/history").unlink()
