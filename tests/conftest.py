"""Labs and servers for all tests: a lab for each kind of Kubernetes API and wrapper, put in order before each test.

Tests run against the real Kubernetes API, with our wrapper under busybox. `@pytest.mark.wrappers(…)` names wrappers;
all but ours run against the simulated API, as does a test with `@pytest.mark.any_kube`, to which the kind of API makes
no difference. `@pytest.mark.each_kube` runs against both. `@pytest.mark.arrays(…)` names vendors, whose arrays stand in
place of ONTAP's, with our wrapper and the simulated API.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.arrays.rack import Rack
from tests.lab.esxi import OURS
from tests.lab.kube import Kube, start_kube
from tests.lab.lab import Lab
from tests.lab.pki import Pki

ARRAY = "ontap"
"""of the vendor whose array a lab has unless a test names others"""


def pytest_configure(config: pytest.Config) -> None:
    """Declare what is this file's alone."""
    config.addinivalue_line("markers", "arrays(*vendors): whose array the lab has; see tests/conftest.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the labs that a test runs in."""
    if "running_lab" not in metafunc.fixturenames:
        return
    if vendors := metafunc.definition.get_closest_marker("arrays"):
        labs = [("simulated", OURS, vendor) for vendor in vendors.args]
        metafunc.parametrize("running_lab", labs, ids=vendors.args, indirect=True, scope="session")
        return
    marks = {mark.name: mark for mark in metafunc.definition.iter_markers()}
    wrappers = marks["wrappers"].args if "wrappers" in marks else (OURS,)
    labs = [
        ("simulated" if wrapper != OURS or "any_kube" in marks else "real", wrapper, ARRAY)
        for wrapper in wrappers
    ]
    if "each_kube" in marks:
        labs.append(("simulated", OURS, ARRAY))
    names = [kube if wrapper == OURS else f"{kube}-{wrapper}" for kube, wrapper, _ in labs]
    metafunc.parametrize("running_lab", labs, ids=names, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def running_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab; see above for which."""
    kube, wrapper, array = request.param
    with Lab(kube, wrapper=wrapper, array=array) as lab:
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    """The running lab with nothing in it from the test before."""
    running_lab.tidy()
    yield running_lab
    running_lab.tidy()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A certificate authority."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def trusted(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the lab's authority, and no other."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca_file))


@pytest.fixture
def rack(pki: Pki, tmp_path: Path, trusted: None) -> Iterator[Rack]:
    """Where a test starts simulated arrays, whose certificates are trusted."""
    with Rack(pki, tmp_path) as empty:
        yield empty


@pytest.fixture(scope="module", params=["simulated", "real"])
def kube(
    request: pytest.FixtureRequest, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kube]:
    """Both Kubernetes APIs of the lab, empty at first."""
    with start_kube(request.param, tmp_path_factory.mktemp("kube"), pki) as running:
        yield running
