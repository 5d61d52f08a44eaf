"""The commands of install.md, in their order, by a shell, against a real API server."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.deploy.cluster import Cluster
from tests.lab.kube import path
from tests.lab.lab import TARGET_NAMESPACE, Lab
from tests.lab.program import ROOT
from tests.lab.tools import tool

PAGE = (ROOT / "deploy/docs/install.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NEEDS = "# needs "
FORKLIFTS = {"openshift-mtv": "openshift-mtv", "konveyor-forklift": "konveyor-forklift"}
"""the namespace of Forklift by overlay"""


@pytest.fixture(params=FORKLIFTS)
def overlay(request: pytest.FixtureRequest, cluster: Cluster, lab: Lab) -> Iterator[str]:
    """An overlay's cluster, with a Forklift that has a ForkliftController; nothing of it afterwards."""
    name = str(request.param)
    cluster.define()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FORKLIFTS[name]}}
    lab.kube.admin.apply(namespace)
    kind = {"apiVersion": "forklift.konveyor.io/v1beta1", "kind": "ForkliftController"}
    where = f"/apis/forklift.konveyor.io/v1beta1/namespaces/{FORKLIFTS[name]}/forkliftcontrollers"
    metadata = {"name": "forklift-controller"}
    lab.kube.admin.create(where, kind | {"metadata": metadata, "spec": {"feature_copy_offload": "false"}})
    yield name
    lab.kube.admin.delete(f"{where}/forklift-controller")
    viewer = "populator-viewer"
    cluster.clear(path("clusterroles", name=viewer), path("clusterrolebindings", name=viewer))
    cluster.clear(path("rolebindings", TARGET_NAMESPACE, viewer))
    cluster.clear(path("persistentvolumeclaims", TARGET_NAMESPACE, "my-disk"))
    cluster.clear(path("secrets", FORKLIFTS[name], "storage"))
    cluster.clear_applied(TARGET_NAMESPACE)


def programs(cluster: Cluster) -> Path:
    """Return a folder with kubectl as an administrator has it, and an editor in which nothing is changed."""
    folder = cluster.folder / "bin"
    folder.mkdir()
    words = [str(tool("kubectl")), f"--kubeconfig={cluster.config}"]
    for name, command in (("kubectl", shlex.join(words) + ' "$@"'), ("editor", 'test -w "$1"')):
        (folder / name).write_text(f"#!/bin/sh\n{command}\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_commands_are_as_the_page_says(cluster: Cluster, overlay: str) -> None:
    first, *rest = [block for block in BLOCKS if not block.startswith(NEEDS)]
    first = first.replace("OVERLAY=openshift-mtv ", f"OVERLAY={overlay} ")
    first = first.replace("FORKLIFT=openshift-mtv ", f"FORKLIFT={FORKLIFTS[overlay]} ")
    *before, last = rest
    names = "populate-my-disk populator-preflight populator-vib-install"
    look = f"kubectl get job -n {TARGET_NAMESPACE} {names} -o name\n"
    look += f"kubectl get forkliftcontroller forklift-controller -n {FORKLIFTS[overlay]} -o yaml\n"
    done = subprocess.run(
        ["/bin/bash", "-euxo", "pipefail", "-c", "\n".join([first, *before, look, last])],
        cwd=cluster.folder,
        env={
            "PATH": f"{programs(cluster)}:{os.environ['PATH']}",
            "EDITOR": "editor",
            "HOME": str(cluster.folder),
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in names.split():
        assert f"job.batch/{name}\n" in done.stdout
    assert "populator_vsphere_copy_offload_image_fqin: registry.example.com/" in done.stdout
    assert 'controller_retain_populator_pods: "true"' in done.stdout


def test_each_command_that_is_not_run_says_what_it_needs() -> None:
    assert len(BLOCKS) > 15
    assert PAGE.count("```") == 2 * len(re.findall(r"^```(?:sh|yaml)$", PAGE, re.MULTILINE))
    for block in BLOCKS:
        if block.startswith(NEEDS):
            assert len(block.splitlines()[0]) > len(NEEDS)
