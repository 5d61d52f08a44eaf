"""What people may do who watch: enough for `leases` and `top`, and each right is needed."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.deploy.cluster import Cluster
from tests.lab.kube import path
from tests.lab.kube.forklift import serve_populators
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab
from tests.lab.program import ROOT

ROLE = "populator-viewer"
LEASES, POPULATORS = "leases.coordination.k8s.io", "vspherexcopyvolumepopulators.forklift.konveyor.io"
ONCE = ("top", "--once")


@dataclass
class Person:
    """Somebody with that role in the whole cluster."""

    cluster: Cluster
    token: str
    config: Path

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "populator", *words, f"--kubeconfig={self.config}"],
            cwd=ROOT,
            env={"LANG": "C.UTF-8", "HOST_LEASE_NAMESPACE": LEASE_NAMESPACE},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def lose(self, verb: str, resource: str) -> None:
        plural = resource.partition(".")[0]

        def edit(role: dict[str, list[dict[str, list[str]]]]) -> None:
            for rule in role["rules"]:
                if plural in rule["resources"]:
                    rule["verbs"].remove(verb)

        self.cluster.kube.edit(path("clusterroles", name=ROLE), edit)
        self.cluster.wait_until_may(self.token, verb, resource, TARGET_NAMESPACE, allowed=False)


@pytest.fixture
def person(cluster: Cluster, lab: Lab) -> Iterator[Person]:
    serve_populators(lab.kube.admin)
    cluster.kubectl("apply", "-f", str(cluster.copy / "components/people/people.yaml"))
    token = cluster.token(TARGET_NAMESPACE, "jane")
    who = f"--serviceaccount={TARGET_NAMESPACE}:jane"
    cluster.kubectl("create", "clusterrolebinding", ROLE, f"--clusterrole={ROLE}", who)
    for resource in (LEASES, POPULATORS):
        for verb in ("list", "watch"):
            cluster.wait_until_may(token, verb, resource, TARGET_NAMESPACE)
    yield Person(cluster, token, lab.kube.kubeconfig(cluster.folder / "jane", token=token))
    cluster.clear(path("clusterrolebindings", name=ROLE), path("clusterroles", name=ROLE))


def test_the_role_is_enough(person: Person) -> None:
    for words in (("leases",), ONCE):
        done = person.call(*words)
        assert done.returncode == 0, words
        assert "may not" not in done.stderr, words


@pytest.mark.parametrize(
    ("verb", "words"), [("list", ("leases",)), ("watch", ("leases", "--watch"))], ids=["list", "watch"]
)
def test_leases_needs_both_verbs(person: Person, verb: str, words: tuple[str, ...]) -> None:
    person.lose(verb, LEASES)
    done = person.call(*words)
    assert done.returncode == 6
    assert f'cannot {verb} resource "leases"' in done.stderr


@pytest.mark.parametrize(
    ("resource", "what"),
    [(LEASES, "Slots of hosts in namespace openshift-mtv"), (POPULATORS, "VSphereXcopyVolumePopulators")],
)
def test_top_says_what_it_may_not_list(person: Person, resource: str, what: str) -> None:
    person.lose("list", resource)
    done = person.call(*ONCE)
    assert f"warning: {what}" in done.stderr
    assert "you may not list them" in done.stderr
