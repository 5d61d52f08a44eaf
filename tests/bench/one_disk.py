"""What one disk costs: time beyond the copy, remote calls, memory, the start of the process."""

import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figure import Figure
from tests.lab import vmkfstools
from tests.lab.disks import MIB, make_sparse_vmdk
from tests.lab.lab import Lab
from tests.lab.program import ROOT, Program
from tests.lab.san import San
from vsphere.copy.polling import next_delay

GIB = 1 << 30
RESCAN, FORGET = 2.0, 1.0
"""seconds that the host's rescans take, for new devices and for dead paths"""
COPIES = (0.0, 5.0, 30.0)


def measure() -> Iterator[Figure]:
    """Yield all figures of this part."""
    yield port_open()
    yield from one_disk()
    yield polls()
    yield sparse_copy()


def one_disk() -> Iterator[Figure]:
    """Measure whole runs with copies of several lengths; the real kube-apiserver serves them."""
    with Lab("real") as lab:
        for seconds in COPIES:
            lab.tidy()
            lab.host.rescan_seconds, lab.host.forget_seconds = RESCAN, FORGET
            lab.host.copy_seconds = seconds
            with lab.program(lab.add_target(), scrape_interval=5.0) as program:
                resident = resident_in_clone(program)
                if program.wait():
                    raise SystemExit(f"the run failed:\n{program.text()}")
            scrape = program.phases.get("last scrape", 0.0)
            beyond = program.seconds - seconds - scrape
            note = f"then waited {scrape:.2f} s for the controller's scrape"
            ideal = RESCAN + FORGET
            yield Figure(f"time beyond a copy of {seconds:.0f} s", beyond, ideal, ideal + 1, "s", note)
        yield from calls(lab)
        empty = "ideal: an empty Python process"
        yield Figure("resident memory, peak", program.peak_rss / MIB, bare_rss(), 150, "MiB", empty)
        yield Figure("resident memory while the copy runs", resident / MIB, bare_rss(), 110, "MiB", empty)


def bare_rss() -> float:
    """Return the MiB that a Python process takes which does nothing."""
    # Not ru_maxrss: a child inherits that of the process that forked it.
    code = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[1]) / 1024


def resident_in_clone(program: Program) -> float:
    """Return the highest resident memory seen in the phase `clone`."""
    status = Path(f"/proc/{program.pid}/status")
    highest = 0.0
    program.wait_for_phase("clone")
    while program.code is None and program.lines[-1].get("phase") == "clone":
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
        highest = max([highest, *(float(line.split()[1]) * 1024 for line in lines)])
        time.sleep(0.05)
    return highest


def calls(lab: Lab) -> Iterator[Figure]:
    """Count the remote calls of the run that has just ended."""
    vcenter = [call.label for call in lab.ledger.of("vcenter")]
    polled = sum(label == "esxcli vmkfstools.taskGet" for label in vcenter)
    yield Figure(
        "vCenter calls besides polls", len(vcenter) - polled, 32, 40, "calls", f"and {polled} polls in 30 s"
    )
    yield Figure("array calls", len(lab.ledger.of("array")), 14, 18, "calls")
    kubernetes = [call.label for call in lab.ledger.of("kubernetes")]
    renewals = renewals_of(kubernetes)
    yield Figure(
        "Kubernetes calls besides renewals",
        len(kubernetes) - renewals,
        11,
        18,
        "calls",
        f"{renewals} renewals",
    )


def renewals_of(labels: list[str]) -> int:
    """Return how many of the calls renewed a lease: all updates of slot and writer's lease but the first and last."""
    return max(sum(label.startswith("PUT ") for label in labels) - 4, 0)


def port_open() -> Figure:
    """Measure the time from the start of the process until its port answers; median of seven, with warm files."""
    took = statistics.median(start_and_connect() for _ in range(7))
    bare = statistics.median(run_bare() for _ in range(7))
    return Figure(
        "process start to metrics port open", took, bare, 0.3, "s", "ideal: an empty Python process"
    )


def start_and_connect() -> float:
    """Start the program with settings that lead nowhere, and connect as soon as the port lets us."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nowhere = {
        "source-vm-id": "vm-1",
        "source-vmdk": "[a] b/c.vmdk",
        "target-namespace": "n",
        "owner-name": "p",
        "owner-uid": "u",
        "storage-vendor-product": "ontap",
        "storage-hostname": "127.0.0.1:1",
        "storage-username": "u",
        "vsphere-hostname": "127.0.0.1:1",
        "vsphere-username": "u",
        "master": "https://127.0.0.1:1",
        "http-endpoint": f"127.0.0.1:{port}",
    }
    command = [sys.executable, "-m", "populator", *(f"--{name}={value}" for name, value in nowhere.items())]
    environment = {"STORAGE_PASSWORD": "p", "GOVMOMI_PASSWORD": "p"}
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except ConnectionRefusedError:
                if process.poll() is not None:
                    raise SystemExit("the program ended before its port was open") from None
                time.sleep(0.002)
            else:
                took = time.monotonic() - began
                process.kill()
                return took


def run_bare() -> float:
    """Measure a Python process that does nothing."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return time.monotonic() - began


def polls() -> Figure:
    """Count the polls of a copy of 600 s by the program's own schedule, in simulated time."""
    elapsed, count = 0.0, 0
    while elapsed < 600:
        elapsed += next_delay(elapsed, int(elapsed / 6), count)
        count += 1
    return Figure(
        "polls for a copy of 600 s", count, 1, 120, "calls", f"end noticed after {elapsed - 600:.1f} s"
    )


def sparse_copy() -> Figure:
    """Measure by how much memory grows when the lab's vmkfstools copies a 64 GiB disk that is one hole."""
    size = 64 * GIB
    with TemporaryDirectory(prefix="xcopy-bench-") as name:
        folder = Path(name)
        disk = make_sparse_vmdk(folder, "big.vmdk", size, {n * GIB: b"island" * 1000 for n in range(64)})
        lun = San(folder / "luns").create_lun("naa.1", size)
        before, began = own_rss(), time.monotonic()
        vmkfstools.copy(
            vmkfstools.parse_descriptor(disk, str(disk)),
            lun,
            vmkfstools.Pace(),
            threading.Event(),
            lambda percent: None,
            lambda: None,
        )
        grown, took = own_rss() - before, time.monotonic() - began
        if lun.read(63 * GIB, 6) != b"island":
            raise SystemExit("the sparse copy is wrong")
    return Figure("memory growth, 64 GiB sparse source", grown / MIB, 0, 8, "MiB", f"in {took:.2f} s")


def own_rss() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
