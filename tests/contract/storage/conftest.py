"""Each vendor's array, by each kind of initiators that it serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from populator.storage.array import Lun, StorageArray
from populator.storage.registry import SCSI, VENDORS
from tests.contract.storage.hosts import PORTS, Ports, know_hosts
from tests.lab.arrays import ArrayLab, QuickClock, connect, start
from tests.lab.arrays.rack import Rack
from tests.lab.faults import Ledger, proxy
from tests.lab.pki import Pki
from vsphere.model import InitiatorKind

Way = tuple[str, InitiatorKind]
WAYS = [
    pytest.param((vendor, kind), id=f"{vendor}-{kind}")
    for vendor in sorted(VENDORS)
    for kind in sorted(VENDORS[vendor].initiators)
]
BY_SCSI = [vendor for vendor in sorted(VENDORS) if VENDORS[vendor].initiators >= SCSI]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """A vendor, and a kind of initiators."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def ports(way: Way) -> Ports:
    """The hosts' initiators of that kind."""
    return PORTS[way[1]]


@pytest.fixture
def lab(way: Way, rack: Rack) -> ArrayLab:
    """That vendor's array."""
    return started(way[0], rack)


@pytest.fixture(params=BY_SCSI)
def scsi_lab(request: pytest.FixtureRequest, rack: Rack) -> ArrayLab:
    """The array of each vendor that serves Fibre Channel and iSCSI."""
    return started(request.param, rack)


def started(vendor: str, rack: Rack) -> ArrayLab:
    """Start a vendor's array that knows both hosts, if it has to."""
    array_lab = rack.add(partial(start, vendor))
    know_hosts(array_lab)
    return array_lab


@pytest.fixture
def sim(lab: Any) -> Any:
    """What stands behind one vendor's array, whose tests may turn and look at it."""
    return lab.simulator


@pytest.fixture
def array(lab: ArrayLab) -> StorageArray:
    """Our driver for the array."""
    return connect(lab)


@pytest.fixture
def lun(lab: ArrayLab, array: StorageArray) -> Lun:
    """The LUN of a new volume."""
    return array.find_lun(lab.add_volume())


@dataclass
class Front:
    """The array behind a proxy that can break any call."""

    lab: ArrayLab
    ledger: Ledger
    port: int

    def connect(self, timeout: float = 30.0, **changes: object) -> StorageArray:
        return connect(self.lab, QuickClock(), hostname=f"127.0.0.1:{self.port}", timeout=timeout, **changes)

    def calls(self) -> int:
        return len(self.ledger.calls)


@pytest.fixture
def front(lab: ArrayLab, pki: Pki) -> Iterator[Front]:
    ledger, server, client = Ledger(), pki.server_context("array-proxy"), pki.client_context()
    with proxy("array", ("127.0.0.1", lab.port), ledger, server, client) as port:
        yield Front(lab, ledger, port)
