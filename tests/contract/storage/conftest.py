"""Each vendor's array, by each kind of initiators that it serves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from populator.storage.registry import SCSI, VENDORS
from tests.contract.storage.hosts import PORTS, Ports, know_hosts
from tests.lab.arrays import ArrayLab, start
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
