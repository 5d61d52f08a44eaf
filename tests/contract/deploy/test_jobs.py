"""The Jobs, filled in as their comments say, applied, and then run here as the API server has them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.deploy.cluster import Cluster
from tests.contract.deploy.pod import Started, started_by
from tests.lab import world
from tests.lab.esxi.fleet import Fleet
from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, VCENTER_PASSWORD, VCENTER_USER, Lab
from tests.lab.program import ROOT, Program
from vsphere.vib.build import VENDOR
from vsphere.wrapper.files import VERSION

OVERLAY = "konveyor-forklift"
LEASES = "leases.coordination.k8s.io"


@pytest.fixture
def lease_namespace(request: pytest.FixtureRequest) -> str:
    """Where the host lease is; a test may have another one."""
    return str(getattr(request, "param", LEASE_NAMESPACE))


@pytest.fixture
def prepared(cluster: Cluster, lab: Lab, lease_namespace: str) -> Iterator[Cluster]:
    """The rights of an overlay, none but these, and both Secrets; nothing of it all afterwards."""
    take_all_rights(cluster)
    names = cluster.copy / "overlays" / OVERLAY / "names.yaml"
    names.write_text(names.read_text().replace("lease: openshift-mtv", f"lease: {lease_namespace}"))
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lease_namespace}}
    lab.kube.admin.apply(body)
    cluster.kubectl("apply", "-k", str(cluster.copy / "overlays" / OVERLAY))
    token = lab.kube.service_account_token(TARGET_NAMESPACE, "populator")
    cluster.wait_until_may(token, "update", LEASES, lease_namespace)
    access = lab.array.access
    storage = {
        "STORAGE_VENDOR": lab.array.vendor,
        "STORAGE_HOSTNAME": f"127.0.0.1:{lab.array_port}",
        "STORAGE_USERNAME": access.username,
        "STORAGE_PASSWORD": access.password,
        "STORAGE_SKIP_SSL_VERIFICATION": "true",
        **access.options,
    }
    vsphere = {
        "GOVMOMI_HOSTNAME": f"127.0.0.1:{lab.vcenter_port}",
        "GOVMOMI_USERNAME": VCENTER_USER,
        "GOVMOMI_PASSWORD": VCENTER_PASSWORD,
        "cacert": lab.pki.ca_pem,
        "HOST_LEASE_NAMESPACE": lease_namespace,
    }
    for file, values in (("storage.yaml", storage), ("vsphere.yaml", vsphere)):
        cluster.kubectl("apply", "-n", TARGET_NAMESPACE, "-f", str(cluster.fill_in(file, values)))
    yield cluster
    cluster.clear_applied(TARGET_NAMESPACE)


def take_all_rights(cluster: Cluster) -> None:
    """Delete what the lab's populator has been given."""
    for namespace in (TARGET_NAMESPACE, LEASE_NAMESPACE):
        cluster.clear(*(path(plural, namespace) for plural in ("serviceaccounts", "roles", "rolebindings")))
    cluster.clear(path("clusterrolebindings", name=f"populator.{TARGET_NAMESPACE}"))
    cluster.clear(path("clusterroles", name="populator"))


def write_env(file: Path, **values: str) -> None:
    """Give variables of a file other values; each has to be there."""
    lines = file.read_text().splitlines()
    for name, value in values.items():
        (number,) = [n for n, line in enumerate(lines) if line.startswith(f"{name}=")]
        lines[number] = f"{name}={value}"
    file.write_text("\n".join(lines))


def run(started: Started) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "populator", *started.arguments],
        cwd=ROOT,
        env={"LANG": "C.UTF-8", "COLUMNS": "500", **started.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("lease_namespace", [LEASE_NAMESPACE, "leases"], indirect=True)
def test_a_populate_without_forklift(prepared: Cluster, lab: Lab, lease_namespace: str) -> None:
    target = lab.add_target(bound=False)
    lab.kube.bind(target.pvc, TARGET_NAMESPACE, target.volume.name)
    prepared.clear(path("persistentvolumeclaims", TARGET_NAMESPACE, f"prime-{target.uid}"))
    write_env(
        prepared.copy / "jobs/populate/disk.env",
        VM=lab.vcenter.vms[world.PLAIN_VM],
        VMDK=world.PLAIN_DISK,
        PVC_NAME=target.pvc,
        PVC_UID=target.uid,
    )
    prepared.kubectl("apply", "-k", str(prepared.copy / "jobs/populate"))
    started = started_by(prepared, f"populate-{target.pvc}", TARGET_NAMESPACE)
    of_the_node = ["--http-endpoint=127.0.0.1:0", f"--termination-message-path={prepared.folder / 'message'}"]
    message = prepared.folder / "message"
    with Program([*started.arguments, *of_the_node], started.environment, message, 0.5) as program:
        assert program.wait() == 0, program.text()
    assert program.message["reason"] == "Succeeded"
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    leases = lab.kube.admin.list(path("leases", lease_namespace))
    slots = {lease["metadata"]["name"]: lease["spec"].get("holderIdentity") for lease in leases}
    assert not slots[f"esxi-lock-{lab.host.moid}-slot-0"], "used, and free again"


def test_a_preflight_of_the_vms_in_its_list(prepared: Cluster, lab: Lab) -> None:
    (prepared.copy / "jobs/preflight/vms.txt").write_text(f"# tonight\n{lab.vcenter.vms[world.PLAIN_VM]}\n")
    prepared.kubectl("apply", "-k", str(prepared.copy / "jobs/preflight"))
    done = run(started_by(prepared, "populator-preflight", TARGET_NAMESPACE))
    assert done.stdout.startswith("ready"), done.stdout + done.stderr
    assert done.returncode == 0
    assert f"system:serviceaccount:{TARGET_NAMESPACE}:populator" in done.stdout
    for disk in (world.PLAIN_DISK, world.DATA_DISK):
        assert disk in done.stdout


def test_the_vib_on_two_hosts(prepared: Cluster, tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    with Fleet(tmp_path / "hosts", 2) as fleet:
        write_env(prepared.copy / "jobs/vib/vib.env", ESXI_HOSTS=",".join(fleet.names))
        create = ["create", "secret", "generic", "esxi-ssh", "-n", TARGET_NAMESPACE]
        prepared.kubectl(*create, "--type=kubernetes.io/ssh-auth", f"--from-file=ssh-privatekey={fleet.key}")
        prepared.kubectl("apply", "-k", str(prepared.copy / "jobs/vib"))
        started = started_by(prepared, "populator-vib-install", TARGET_NAMESPACE)
        assert "KUBECONFIG" not in started.environment
        done = run(started)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [host.installed for host in fleet.hosts] == [[(VERSION, VENDOR)]] * 2
