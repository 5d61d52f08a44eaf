"""Each right of the base is needed: without it a populate fails, with a sentence that names it.

For each right an account of its own has all the others, and all populates run side by side.
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from populator.shared_token import SECRET
from tests.contract.deploy.cluster import Cluster
from tests.lab.kube import Kube, path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab
from tests.lab.program import ROOT, Program

BASE = ROOT / "deploy/base/populator.yaml"
LEASES = "leases.coordination.k8s.io"
ROLES = {"Role", "ClusterRole"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Right:
    """One verb of one rule of one role."""

    role: str
    rule: int
    verb: str
    resource: str

    @property
    def account(self) -> str:
        """Return the name of the account that lacks it."""
        return f"without-{self.role}-{self.rule}-{self.verb}"


def documents() -> list[Json]:
    """Return the base with the lab's namespaces."""
    text = BASE.read_text().replace("target-namespace", TARGET_NAMESPACE)
    return list(yaml.safe_load_all(text.replace("lease-namespace", LEASE_NAMESPACE)))


def rights() -> Iterator[Right]:
    """Yield each right of the base."""
    for item in documents():
        if item["kind"] in ROLES:
            role = item["metadata"]["name"] if item["kind"] == "Role" else "cluster"
            for number, rule in enumerate(item["rules"]):
                for verb in rule["verbs"]:
                    yield Right(role, number, verb, rule["resources"][0])


def grant_all_but(kube: Kube, right: Right) -> None:
    """Make the account that lacks one right."""
    for item in copy.deepcopy(documents()):
        name = item["metadata"]["name"]
        role = name if item["kind"] == "Role" else "cluster"
        if item["kind"] in ROLES and role == right.role:
            item["rules"][right.rule]["verbs"].remove(right.verb)
            item["rules"] = [rule for rule in item["rules"] if rule["verbs"]]
        item["metadata"]["name"] = right.account if name == "populator" else f"{right.account}-{name}"
        for subject in item.get("subjects", []):
            subject["name"] = right.account
        if "roleRef" in item:
            of = item["roleRef"]["name"]
            item["roleRef"]["name"] = right.account if of == "populator" else f"{right.account}-{of}"
        kube.admin.apply(item)


def forget(kube: Kube, right: Right) -> None:
    """Take the account and its roles away."""
    for plural in ("serviceaccounts", "roles", "rolebindings", "clusterroles", "clusterrolebindings"):
        namespaces = (None,) if plural.startswith("cluster") else (TARGET_NAMESPACE, LEASE_NAMESPACE)
        for namespace in namespaces:
            for item in kube.admin.list(path(plural, namespace)):
                if item["metadata"]["name"].startswith(right.account):
                    kube.admin.delete(path(plural, namespace, item["metadata"]["name"]))


def run_without(lab: Lab, cluster: Cluster, right: Right, folder: Path) -> Program:
    """Return a populate by the account that lacks a right."""
    token = cluster.token(TARGET_NAMESPACE, right.account)
    for namespace in (TARGET_NAMESPACE, LEASE_NAMESPACE):
        verb = "get" if right.verb != "get" else "list"
        cluster.wait_until_may(token, verb, LEASES, namespace)
    # A PVC is followed only where its prime is not bound yet.
    target = lab.add_target(bound=(right.resource, right.verb) != ("persistentvolumeclaims", "watch"))
    config = lab.kube.kubeconfig(folder / right.account, token=token)
    return lab.program(target, environment={"KUBECONFIG": str(config)})


@pytest.fixture
def needed(lab: Lab) -> Iterator[list[Right]]:
    """The rights without which nothing goes, each taken from an account."""
    found = [right for right in rights() if right.resource != "secrets"]
    for right in found:
        grant_all_but(lab.kube, right)
    yield found
    for right in found:
        forget(lab.kube, right)


def test_without_any_one_right_a_populate_fails_and_names_it(
    lab: Lab, cluster: Cluster, needed: list[Right], tmp_path: Path
) -> None:
    assert len(needed) == 13
    with ExitStack() as stack:
        runs = {right: stack.enter_context(run_without(lab, cluster, right, tmp_path)) for right in needed}
        for right, program in runs.items():
            assert program.wait() in {3, 6}, f"{right}: {program.text()}"
    for right, program in runs.items():
        text = f"{program.message['text']} {program.message['hint']}"
        assert f'cannot {right.verb} resource "{right.resource}"' in text, right
        assert "oc create " in text, right
        assert f"--serviceaccount={TARGET_NAMESPACE}:{right.account}" in text, right


@pytest.mark.arrays("flashsystem")
@pytest.mark.parametrize("verb", ["get", "update"])
def test_without_a_right_to_the_tokens_secret_a_flashsystems_runs_say_so(lab: Lab, verb: str) -> None:
    assert [right.verb for right in rights() if right.resource == "secrets"] == ["get", "update"]
    where = path("secrets", LEASE_NAMESPACE)
    metadata = {"name": SECRET, "namespace": LEASE_NAMESPACE}
    lab.kube.admin.create(where, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    role = path("roles", LEASE_NAMESPACE, "populator-lease")
    lab.kube.edit(role, lambda it: it["rules"][1]["verbs"].remove(verb))
    with lab.program(lab.add_target()) as program:
        assert program.wait() == 0, program.text()
    lab.kube.admin.delete(f"{where}/{SECRET}")
    assert f"cannot {verb} resource" in program.text()
    assert f"get and update the Secret {SECRET}" in program.text()
