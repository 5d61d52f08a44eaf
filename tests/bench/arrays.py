"""What a vendor's driver costs: calls for a disk, twenty populators of one host at once, memory.

The simulated array takes `LATENCY` for each call, as real ones do: twenty drivers in one process share a processor.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from populator.clock import Clock
from populator.storage.array import Lun, StorageArray, Volume
from populator.storage.registry import VENDORS
from tests.bench.figure import Figure
from tests.contract.storage.hosts import HOST, PORTS, Ports, all_ports, know_hosts
from tests.faults.sweep import trusted_pki
from tests.lab.arrays import ArrayLab, connect, start
from tests.lab.faults import Ledger, proxy
from tests.lab.lab import Lab
from tests.lab.pki import Pki
from tests.lab.program import ROOT
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

LATENCY = 0.1
"""seconds that the array takes for a call"""
POPULATORS = 20
IDEAL_CALLS = 7
"""find the LUN, its mappings, its group; map; both looks at the mappings before the copy begins; unmap"""


@dataclass
class Site:
    """An array that takes its time, and the host's initiators."""

    lab: ArrayLab
    ledger: Ledger
    port: int
    ports: Ports

    def connect(self) -> StorageArray:
        """Return a driver of its own, as each populator has."""
        array = connect(self.lab, Clock(), hostname=f"127.0.0.1:{self.port}")
        array.info()
        return array


def measure() -> Iterator[Figure]:
    """Yield all figures of this part, vendor by vendor."""
    with trusted_pki() as pki:
        for vendor in sorted(VENDORS):
            yield second_disk(vendor, pki)
            with site(vendor, pki) as place:
                yield twenty(place)
            yield memory(vendor)


@contextmanager
def site(vendor: str, pki: Pki) -> Iterator[Site]:
    """Start an array, slow by a proxy."""
    kind = max(VENDORS[vendor].initiators)
    contexts = pki.server_context("bench-proxy"), pki.client_context()
    with TemporaryDirectory(prefix="xcopy-bench-") as folder, start(vendor, pki, San(Path(folder))) as lab:
        know_hosts(lab)
        ledger = Ledger(rule=lambda _: f"pause {LATENCY}")
        with proxy("array", ("127.0.0.1", lab.port), ledger, *contexts) as port:
            yield Site(lab, ledger, port, PORTS[kind])


def second_disk(vendor: str, pki: Pki) -> Figure:
    """Count a whole run's calls to the array while another disk is mapped to the same host."""
    with Lab(pki=pki, array=vendor) as lab:
        own = [Initiator(InitiatorKind(each.kind), each.port) for each in lab.host.adapters]
        other = connect(lab.array)
        volume = lab.array.add_volume()
        other.map(other.find_lun(volume), other.ensure_group(other.plan_group(lab.host.moid, own)))
        other.close()
        with lab.program(lab.add_target()) as program:
            if program.wait():
                raise SystemExit(f"the run failed:\n{program.text()}")
        calls = lab.ledger.of("array")
    note = "log-in, log-out and what is asked of the array itself included"
    return Figure(
        f"{vendor}: array calls of a host's second disk", len(calls), IDEAL_CALLS, 14, "calls", note
    )


def lun_and_map(place: Site, volume: Volume) -> tuple[StorageArray, Lun, float]:
    """Do what a run does until its LUN is mapped; return the seconds it took, too."""
    array, began = place.connect(), time.monotonic()
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    array.map(lun, array.ensure_group(array.plan_group(HOST, place.ports.own)))
    return array, lun, time.monotonic() - began


def unmap(place: Site, array: StorageArray, lun: Lun) -> None:
    """Put the array back."""
    array.unmap(lun, HOST, all_ports(place.lab), [])
    array.close()


def twenty(place: Site) -> Figure:
    """Map twenty disks to one host at once; the longest counts, against one alone."""
    volumes = [place.lab.add_volume() for _ in range(POPULATORS + 1)]
    state = place.lab.state()
    array, lun, alone = lun_and_map(place, volumes[0])
    unmap(place, array, lun)
    with ThreadPoolExecutor(POPULATORS) as pool:
        mapped = list(pool.map(lambda volume: lun_and_map(place, volume), volumes[1:]))
        list(pool.map(lambda each: unmap(place, each[0], each[1]), mapped))
    if place.lab.state() != state:
        raise SystemExit(f"{place.lab.vendor}: something was left on the array")
    slowest = max(seconds for _, _, seconds in mapped)
    note = f"the slowest {slowest:.1f} s, one alone {alone:.1f} s"
    return Figure(
        f"{place.lab.vendor}: 20 mapped to one host, by one alone", slowest / alone, 1, 3, "x", note
    )


def memory(vendor: str) -> Figure:
    """Measure what importing the driver adds to a process that can make calls already."""
    code = (
        "import importlib, populator.storage.http\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "before = resident()\n"
        f"importlib.import_module('populator.storage.vendors.{VENDORS[vendor].folder}.array')\n"
        "print(resident() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return Figure(f"{vendor}: memory of the driver", float(done.stdout), 0, 5, "MiB")
