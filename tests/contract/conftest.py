"""What contract tests share: a certificate authority, and both Kubernetes APIs of the lab, empty at first."""

from collections.abc import Iterator

import pytest

from tests.lab.kube import Kube, start_kube
from tests.lab.pki import Pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=["simulated", "real"])
def kube(
    request: pytest.FixtureRequest, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kube]:
    with start_kube(request.param, tmp_path_factory.mktemp("kube"), pki) as running:
        yield running
