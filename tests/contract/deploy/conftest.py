"""The lab's API server for manifests; its namespaces are called as those of the overlays."""

from pathlib import Path

import pytest

from tests.contract.deploy.cluster import Cluster
from tests.lab.lab import Lab


@pytest.fixture
def cluster(running_lab: Lab, tmp_path: Path) -> Cluster:
    """The lab's cluster, and a copy of the manifests."""
    return Cluster(running_lab.kube, tmp_path)
