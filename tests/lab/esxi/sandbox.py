"""An ESXi host's file system and its programs, for what runs on the host itself: bubblewrap around real processes.

Inside, `/` holds nothing but what an ESXi host has: `/bin` with busybox as the shell and all of its tools (dash can
be the shell instead), `/tmp`, `/vmfs/volumes` with the datastores, `/vmfs/devices/disks`, `/opt`, `/etc` and `/lab` for
the programs that are ESXi's own and are stubs here. This process's interpreter is there too (`PYTHON`), since stubs may
be Python programs. Processes are ordinary ones: seen and signalled from outside, and they outlive what began them.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SHELLS = ("busybox", "dash")
BASE = Path(sys.base_prefix).resolve()
PYTHON = BASE / "bin" / Path(sys.executable).resolve().name
"""for the first line of a stub"""
ORDINARY = 1000
HOME = "/lab"
"""inside: the folder of stubs and of what they need"""
PACKAGES = "usr/lib/vmware"
PROGRAMS = ("/usr/bin", "/usr/sbin", "/usr/lib64", "/usr/lib/openssh")
"""of the machine, with /usr/lib/<architecture>: busybox, dash, sshd and what they need"""


def volume_id(datastore: str) -> str:
    """Return the name of a datastore's real folder; its own name is a symbolic link to that."""
    digits = hashlib.sha256(datastore.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:16]}-{digits[16:20]}-{digits[20:32]}"


def usable() -> bool:
    """Whether sandboxes can be had on this machine: bubblewrap and busybox are there and may be used."""
    if not shutil.which("bwrap") or not shutil.which("busybox"):
        return False
    return (
        subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], capture_output=True, check=False).returncode
        == 0
    )


class Sandbox:
    """One host's root below `root`; `datastores` are folders by their names below /vmfs/volumes."""

    def __init__(self, root: Path, datastores: Mapping[str, Path], shell: str = "busybox") -> None:
        self.root, self.datastores, self.shell = root, datastores, shell
        for folder in (
            "bin",
            "tmp",
            "etc",
            "opt",
            "var",
            "lab",
            "vmfs/volumes",
            "vmfs/devices/disks",
            PACKAGES,
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name in datastores:
            (root / "vmfs/volumes" / volume_id(name)).mkdir(exist_ok=True)
            if not (root / "vmfs/volumes" / name).is_symlink():
                (root / "vmfs/volumes" / name).symlink_to(volume_id(name))
        self._fill_bin()

    def path(self, inside: str) -> Path:
        """Return where a path of the host lies outside."""
        parts = inside.strip("/").split("/")
        if parts[:2] == ["vmfs", "volumes"] and len(parts) > 2 and parts[2] in self.datastores:
            return self.datastores[parts[2]].joinpath(*parts[3:])
        return self.root.joinpath(*parts)

    def add_program(self, inside: str, text: str) -> Path:
        """Put an executable file there, such as `/bin/vmkfstools`."""
        file = self.path(inside)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # it may be a link to busybox
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
        return file

    def command(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, *, ordinary: bool = False
    ) -> list[str]:
        """Return the command line, for outside, that runs a command inside.

        An `ordinary` one is not root inside even if we are, but owns all that we own: sshd then works alike for all.
        """
        words = ["bwrap", "--tmpfs", "/", "--proc", "/proc", "--dev", "/dev"]
        # Piece by piece: below /usr/lib is also where packages install. Few pieces: each costs time at each start.
        for ours in PROGRAMS:
            words += ["--ro-bind-try", ours, ours]
        for libraries in Path("/usr/lib").glob("*-linux-gnu*"):
            words += ["--ro-bind", str(libraries), str(libraries)]
        words += ["--bind", str(self.root / PACKAGES), f"/{PACKAGES}", "--symlink", "usr/lib", "/lib"]
        if Path("/lib64").is_symlink():
            words += ["--symlink", "usr/lib64", "/lib64"]
        if not BASE.is_relative_to("/usr"):
            words += ["--ro-bind", str(BASE), str(BASE)]
        for folder in ("bin", "tmp", "etc", "opt", "var", "lab", "vmfs"):
            words += ["--bind", str(self.root / folder), f"/{folder}"]
        for name, datastore in self.datastores.items():
            words += ["--bind", str(datastore), f"/vmfs/volumes/{volume_id(name)}"]
        if ordinary:
            words += ["--unshare-user", "--uid", str(ORDINARY), "--gid", str(ORDINARY)]
        words += ["--chdir", "/", "--clearenv", "--setenv", "PATH", "/bin"]
        for name, value in (environment or {}).items():
            words += ["--setenv", name, value]
        return [*words, *argv]

    def run(self, *argv: str, stdin: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside to its end."""
        return subprocess.run(
            self.command(argv), input=stdin, capture_output=True, timeout=timeout, check=False
        )

    def processes(self) -> list[int]:
        """Return the processes that run inside, whoever began them."""
        here = (self.root / HOME.strip("/")).stat()
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            try:
                there = (each / f"root{HOME}").stat()
            except OSError:  # gone by now, or none of ours
                continue
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                found.append(int(each.name))
        return found

    def kill(self) -> None:
        """End all processes inside; those that they begin meanwhile too."""
        while running := self.processes():
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    def _fill_bin(self) -> None:
        folder = self.root / "bin"
        listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout
        for name in listed.split():
            if not os.path.lexists(folder / name):
                (folder / name).symlink_to("/usr/bin/busybox")
        (folder / "busybox").unlink(missing_ok=True)
        (folder / "busybox").symlink_to("/usr/bin/busybox")
        if self.shell == "dash":
            (folder / "sh").unlink(missing_ok=True)
            (folder / "sh").symlink_to("/usr/bin/dash")
