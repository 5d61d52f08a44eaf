"""Each vendor's array, by each kind of initiators that it serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from populator.storage.array import StorageArray
from populator.storage.registry import SCSI, VENDORS
from tests.contract.storage.hosts import PORTS, Ports, know_hosts
from tests.lab.arrays import ArrayLab, QuickClock, connect, start
from tests.lab.faults import Ledger, proxy
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import InitiatorKind

Way = tuple[str, InitiatorKind]
WAYS = [
    pytest.param((vendor, kind), id=f"{vendor}-{kind}")
    for vendor in sorted(VENDORS)
    for kind in sorted(VENDORS[vendor].initiators)
]
BY_SCSI = [vendor for vendor in sorted(VENDORS) if VENDORS[vendor].initiators >= SCSI]


@pytest.fixture
def trusted(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the lab's authority, and no other."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca_file))


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
def lab(way: Way, pki: Pki, tmp_path: Path, trusted: None) -> Iterator[ArrayLab]:
    """That vendor's array."""
    with start(way[0], pki, San(tmp_path / "san")) as array_lab:
        know_hosts(array_lab)
        yield array_lab


@pytest.fixture(params=BY_SCSI)
def scsi_lab(request: pytest.FixtureRequest, pki: Pki, tmp_path: Path, trusted: None) -> Iterator[ArrayLab]:
    """The array of each vendor that serves Fibre Channel and iSCSI."""
    with start(request.param, pki, San(tmp_path / "san")) as array_lab:
        know_hosts(array_lab)
        yield array_lab


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
