"""The overlays: accepted by a real API server that validates strictly, named once, no more rights than Forklift's."""

import re
from pathlib import Path

import pytest
import yaml

from tests.contract.deploy.cluster import Cluster, Json
from tests.lab.program import ROOT

DEPLOY = ROOT / "deploy"
OVERLAYS = ("openshift-mtv", "konveyor-forklift")
PLACEHOLDERS = re.compile(r"(target|lease|forklift|monitoring)-namespace")
GRANTED_BY_FORKLIFT: dict[tuple[str, str], set[str]] = {
    ("target-namespace", "persistentvolumeclaims"): {"get", "list", "watch"},
    ("target-namespace", "leases"): {"get", "list", "watch", "create", "update", "patch"},
    ("", "persistentvolumes"): {"get"},
    ("lease-namespace", "leases"): {"get", "list", "watch", "create", "update"},
    ("lease-namespace", "secrets storage-array-secret"): {"get", "update", "patch"},
}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_with_all_its_components_is_accepted_and_names_each_namespace_once(
    cluster: Cluster, overlay: str
) -> None:
    cluster.define()
    folder = cluster.with_components(overlay)
    names = yaml.safe_load((folder / "names.yaml").read_text())["data"]
    objects = cluster.render(folder)
    kinds = {item["kind"] for item in objects}
    assert {"NetworkPolicy", "PodMonitor", "ServiceAccount", "Secret"} <= kinds
    assert not PLACEHOLDERS.search(yaml.safe_dump(objects))
    used = {item["metadata"].get("namespace") for item in objects} - {None}
    assert used == {names["target"], names["lease"]}
    cluster.kubectl("apply", "-k", str(folder), "--dry-run=server")


def test_another_target_namespace_takes_nothing_from_the_first(cluster: Cluster) -> None:
    first = cluster.render(cluster.copy / "overlays/openshift-mtv")
    file = cluster.copy / "overlays/openshift-mtv/names.yaml"
    file.write_text(file.read_text().replace("target: vms", "target: other-vms"))
    second = cluster.render(cluster.copy / "overlays/openshift-mtv")

    def keys(objects: list[Json]) -> dict[tuple[str, str, str], Json]:
        return {
            (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item
            for item in objects
        }

    both = keys(first).keys() & keys(second).keys()
    assert {kind for kind, _, _ in both} == {"ClusterRole", "Role"}
    assert all(keys(first)[key] == keys(second)[key] for key in both), "what is shared is the same"


def test_a_misspelt_field_is_refused(cluster: Cluster) -> None:
    file = cluster.copy / "jobs/vib/job.yaml"
    file.write_text(file.read_text().replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    done = cluster.call("apply", "-k", str(cluster.copy / "jobs/vib"), "--dry-run=server")
    assert done.returncode != 0
    assert "readOnlyRootFileSystem" in done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_patch_fits_the_controllers_definition(cluster: Cluster, overlay: str) -> None:
    cluster.define()
    names = yaml.safe_load((DEPLOY / "overlays" / overlay / "names.yaml").read_text())["data"]
    space = f"forklift-of-{overlay}"
    cluster.kubectl(
        "apply", "-f", "-", stdin=f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {space}}}\n"
    )
    head = {"apiVersion": "forklift.konveyor.io/v1beta1", "kind": "ForkliftController"}
    metadata = {"name": "forklift-controller", "namespace": space}
    there = head | {"metadata": metadata, "spec": {"feature_copy_offload": "false"}}
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(there))
    file = cluster.copy / "overlays" / overlay / "forkliftcontroller-patch.yaml"
    patch = ["patch", "forkliftcontroller", "forklift-controller", "-n", space, "--type=merge"]
    cluster.kubectl(*patch, f"--patch-file={file}")
    answer = cluster.kubectl("get", "forkliftcontroller", "forklift-controller", "-n", space, "-o", "yaml")
    assert yaml.safe_load(answer)["spec"] == yaml.safe_load(file.read_text())["spec"]
    file.write_text(file.read_text().replace('"true"', "true"))
    assert "must be of type string" in cluster.call(*patch, f"--patch-file={file}").stderr
    assert names["forklift"] == overlay


def test_the_patch_is_the_same_for_both() -> None:
    first, second = (
        (DEPLOY / "overlays" / overlay / "forkliftcontroller-patch.yaml").read_text() for overlay in OVERLAYS
    )
    assert first == second


def test_forklift_grants_every_right_that_the_base_does() -> None:
    for item in yaml.safe_load_all((DEPLOY / "base/populator.yaml").read_text()):
        for rule in item.get("rules", []):
            (resource,) = rule["resources"]
            what = " ".join([resource, *rule.get("resourceNames", [])])
            where = item["metadata"].get("namespace", "")
            assert set(rule["verbs"]) <= GRANTED_BY_FORKLIFT[where, what], what


def test_nothing_in_the_manifests_is_left_out_of_the_kustomizations() -> None:
    known = {"forkliftcontroller-patch.yaml", "pvc.yaml"}  # of commands of their own
    for folder in {file.parent for file in DEPLOY.rglob("kustomization.yaml")}:
        text = (folder / "kustomization.yaml").read_text()
        files = {file.name for file in Path(folder).iterdir() if file.is_file() and file.suffix != ".py"}
        for name in files - known - {"kustomization.yaml"}:
            assert re.search(rf"\b{re.escape(name)}\b", text), folder / name
