"""How well the installer keeps several hosts busy: twenty over real SSH, five at a time."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figure import Figure
from tests.lab.esxi.fleet import Fleet

HOSTS, PARALLEL = 20, 5
ESXCLI, HOSTD = "0.5", 4
"""seconds that a host takes for a call of its esxcli and for a restart of hostd: what it costs is waiting"""


def measure() -> Iterator[Figure]:
    """Yield the figure."""
    with TemporaryDirectory(prefix="xcopy-bench-") as name:
        folder = Path(name)
        (folder / "one").mkdir()
        (folder / "all").mkdir()
        one = install(folder / "one", 1)
        took = install(folder / "all", HOSTS)
    ideal = one * HOSTS / PARALLEL
    note = f"ideal: {HOSTS // PARALLEL} times one host, {one:.1f} s"
    yield Figure(f"VIB onto {HOSTS} hosts, {PARALLEL} at a time", took, ideal, 1.2 * ideal, "s", note)


def install(folder: Path, count: int) -> float:
    """Return the seconds that the program takes to install on so many hosts."""
    with Fleet(folder, count) as fleet:
        for host in fleet.hosts:
            host.fail("slow", ESXCLI)
            host.hostd_seconds = HOSTD
        began = time.monotonic()
        with fleet.start("install", f"--parallel={PARALLEL}") as process:
            stdout, stderr = process.communicate()
        took = time.monotonic() - began
        if process.returncode or not all(host.installed for host in fleet.hosts):
            raise SystemExit(f"the installation failed:\n{stdout}{stderr}")
    return took
