"""The Jobs' pods: admitted where only restricted ones are, and their image is named in one place."""

import re
import subprocess

import pytest
import yaml

from tests.contract.deploy.cluster import Cluster, Json

JOBS = ("populate", "preflight", "vib")


@pytest.fixture
def restricted(cluster: Cluster) -> str:
    """A namespace that takes pods of the level `restricted` only."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": "restricted", "labels": level}
    cluster.kube.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return "restricted"


def pod_of(cluster: Cluster, job: str, namespace: str) -> Json:
    """Return the pod that the Job's controller would make."""
    (made,) = [item for item in cluster.render(cluster.copy / "jobs" / job) if item["kind"] == "Job"]
    template = made["spec"]["template"]
    metadata = {"name": "pod", "namespace": namespace, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def create(cluster: Cluster, pod: Json) -> "subprocess.CompletedProcess[str]":
    return cluster.call("create", "-f", "-", "--dry-run=server", stdin=yaml.safe_dump(pod))


@pytest.mark.parametrize("job", JOBS)
def test_the_jobs_pods_are_admitted_where_only_restricted_ones_are(
    cluster: Cluster, restricted: str, job: str
) -> None:
    pod = pod_of(cluster, job, restricted)
    done = create(cluster, pod)
    assert done.returncode == 0, done.stderr
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    assert {"name": "tmp", "emptyDir": {}} in pod["spec"]["volumes"]
    del container["securityContext"]["capabilities"]
    done = create(cluster, pod)
    assert done.returncode != 0
    assert "violates PodSecurity" in done.stderr


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_accepted_and_its_image_is_named_in_one_place(cluster: Cluster, job: str) -> None:
    image = cluster.copy / "components/image/kustomization.yaml"
    image.write_text(
        re.sub(r"newName: .*\n(\s*)newTag: .*", r"newName: quay.test/x\n\1newTag: 1.2.3", image.read_text())
    )
    folder = cluster.copy / "jobs" / job
    cluster.kubectl("apply", "-k", str(folder), "--dry-run=server")
    (made,) = [item for item in cluster.render(folder) if item["kind"] == "Job"]
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "quay.test/x:1.2.3"
    assert made["spec"]["backoffLimit"] == 0


def test_the_example_of_a_volume_is_accepted(cluster: Cluster) -> None:
    file = cluster.copy / "jobs/populate/pvc.yaml"
    cluster.kubectl("apply", "-f", str(file), "--dry-run=server")
    assert yaml.safe_load(file.read_text())["spec"]["volumeMode"] == "Block"
