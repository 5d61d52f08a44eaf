"""Processes that wait for leases of a real kube-apiserver, started at one line, and what became of them."""

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.waiter import Orders
from tests.lab.kube import Kube, start_kube
from tests.lab.pki import Pki
from tests.lab.program import ROOT


@dataclass(frozen=True)
class Cluster:
    """A real API server, and an administrator's way to it."""

    kube: Kube
    kubeconfig: str

    def namespace(self, name: str) -> str:
        """Make a namespace and return its name."""
        self.kube.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def cpu(self) -> float:
        """Return the seconds of CPU that the API server has used."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.kube.port, context=self.kube.client_context()
        )
        token = self.kube.server.admin_token
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        page = connection.getresponse().read().decode()
        connection.close()
        line = next(line for line in page.splitlines() if line.startswith("process_cpu_seconds_total "))
        return float(line.split()[1])


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a real API server."""
    with TemporaryDirectory(prefix="xcopy-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        kube = stack.enter_context(start_kube("real", folder / "kube", Pki(folder / "pki")))
        yield Cluster(kube, str(kube.kubeconfig(folder)))


@dataclass(frozen=True)
class Turn:
    """One waiter's turn; times are of the monotonic clock."""

    me: str
    host: str
    slot: str
    asked: float
    got: float
    left: float
    """when its work was done: the release follows"""


@dataclass
class Crew:
    """Processes that carry out orders; killed with the block."""

    orders: Sequence[Orders]
    turns: list[Turn] = field(default_factory=list)
    holding: Counter[str] = field(default_factory=Counter)
    """host -> turns begun"""
    calls: Counter[str] = field(default_factory=Counter)
    """`PUT 409` -> number"""
    cpu: float = 0.0
    """seconds that the processes used"""

    def __enter__(self) -> "Crew":
        """Start all, and return when the last one is ready."""
        command = [sys.executable, "-m", "tests.bench.waiter"]
        self.processes = [
            subprocess.Popen(
                [*command, json.dumps(asdict(orders))],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for orders in self.orders
        ]  # fmt: skip
        for process in self.processes:
            assert process.stdout
            if process.stdout.readline() != "ready\n":
                raise SystemExit("a waiter did not start")
        self._readers = [
            threading.Thread(target=self._read, args=(one,), daemon=True) for one in self.processes
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.kill()
            process.communicate()

    def go(self) -> None:
        """Let all begin."""
        for process in self.processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()

    def wait(self) -> "Crew":
        """Wait until all have ended."""
        for process, reader in zip(self.processes, self._readers, strict=True):
            reader.join()
            if process.wait():
                raise SystemExit("a waiter failed")
        return self

    def wait_until_held(self, hosts: Sequence[str]) -> None:
        """Wait until somebody of ours has held a slot of each of those hosts."""
        while any(not self.holding[host] for host in hosts):
            time.sleep(0.01)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            said: dict[str, Any] = json.loads(line)
            if "holds" in said:
                self.holding[said["host"]] += 1
            elif "calls" in said:
                self.calls.update(said["calls"])
                self.cpu += said["cpu"]
            else:
                self.turns.append(Turn(**said))

    @property
    def waits(self) -> list[float]:
        """Return the seconds that each waited, in order of length."""
        return sorted(turn.got - turn.asked for turn in self.turns)

    @property
    def handovers(self) -> list[float]:
        """Return the seconds from the end of each turn to the beginning of the next one in the same slot."""
        slots: dict[str, list[Turn]] = defaultdict(list)
        for turn in sorted(self.turns, key=lambda turn: turn.got):
            slots[turn.slot].append(turn)
        pairs = [pair for turns in slots.values() for pair in itertools.pairwise(turns)]
        return sorted(after.got - before.left for before, after in pairs)


def share(orders: Orders, processes: int) -> list[Orders]:
    """Divide the waiters of one order among so many processes."""
    return [
        Orders(**asdict(orders) | {"hosts": {host: who[n::processes] for host, who in orders.hosts.items()}})
        for n in range(processes)
    ]
