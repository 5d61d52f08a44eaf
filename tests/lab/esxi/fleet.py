"""Several hosts that packages are installed on, each with a real SSH server that lets one key in, and the program."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.esxi.packages import PackageHost
from tests.lab.esxi.sshd import Sshd, make_key
from tests.lab.program import ROOT


class Fleet:
    """`count` hosts below a folder; `names` is how the program is told of them."""

    def __init__(self, folder: Path, count: int) -> None:
        self.key = make_key(folder / "key")
        self.hosts = [PackageHost(folder / f"esx-{number}") for number in range(count)]
        self.servers = [Sshd(host.sandbox) for host in self.hosts]
        for server in self.servers:
            server.authorize(Path(f"{self.key}.pub").read_text().strip())
        self.names = [f"127.0.0.1:{server.port}" for server in self.servers]

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start `populator vib` with the hosts in the environment, as callers of Forklift's installer have them."""
        ours = {"ESXI_HOSTS": ", ".join(self.names), "SSH_KEY_FILE": str(self.key)}
        return subprocess.Popen(
            [sys.executable, "-m", "populator", "vib", *words],
            cwd=ROOT,
            env={**ours, "LANG": "C.UTF-8", "COLUMNS": "500", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what hangs on the hosts, and their servers."""
        for host in self.hosts:
            host.close()
        for server in self.servers:
            server.close()
