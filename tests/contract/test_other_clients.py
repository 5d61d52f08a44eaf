"""Other people's clients in the lab: govmomi's own esxcli client against the hosts, kubectl against both APIs.

They judge the simulators: what they cannot read, no user of the real thing would have to read.
"""

import json
import subprocess

import pytest

from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, VCENTER_PASSWORD, VCENTER_USER, Lab
from tests.lab.tools import tool

Rows = list[dict[str, list[str]]]


def esxcli(lab: Lab, *words: str) -> Rows:
    """Run an esxcli command by govmomi's client, which asks the host for the command's description first."""
    done = subprocess.run(
        [str(tool("esxcli")), lab.vcenter.url, lab.host.moid, *words],
        env={
            "ESXCLI_USERNAME": VCENTER_USER,
            "ESXCLI_PASSWORD": VCENTER_PASSWORD,
            "ESXCLI_CA_FILE": str(lab.pki.ca_file),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(json.loads(done.stderr)["error"])
    rows: Rows = json.loads(done.stdout) or []
    return rows


def test_govmomi_sees_and_changes_devices(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "by-hand")
    (device,) = esxcli(lab, "storage", "core", "device", "list", "-d", target.naa)
    assert (device["Device"], device["Status"], device["Size"]) == ([target.naa], ["on"], ["8"])
    esxcli(lab, "storage", "core", "device", "set", "--state", "off", "-d", target.naa)
    assert lab.host.device_status(target.naa) == "off"
    assert [row["DeviceUID"] for row in esxcli(lab, "storage", "core", "device", "detached", "list")] == [
        [target.naa]
    ]
    assert {row["HBAName"][0] for row in esxcli(lab, "storage", "core", "adapter", "list")} == {
        "vmhba64",
        "vmhba2",
    }
    assert esxcli(lab, "storage", "core", "path", "list", "-d", target.naa)
    esxcli(lab, "storage", "core", "adapter", "rescan", "--type", "all", "--all", "1")
    assert [operation.name for operation in lab.host.history] == ["detach", "rescan all"]


def test_govmomi_runs_a_copy_by_the_plugin(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "by-hand")
    source, device = "/vmfs/volumes/ds one/plain vm/plain vm.vmdk", f"/vmfs/devices/disks/{target.naa}"
    (started,) = esxcli(lab, "vmkfstools", "clone", "-s", source, "-t", device)
    assert started["status"] == ["0"]
    task = json.loads(started["message"][0])["taskId"]
    while True:
        (state,) = esxcli(lab, "vmkfstools", "taskGet", "-i", task)
        found = json.loads(state["message"][0])
        if found["exitCode"]:
            break
    assert found["exitCode"] == "0"
    assert lab.copied(target)
    esxcli(lab, "vmkfstools", "taskClean", "-i", task)


def test_govmomi_reads_versions(lab: Lab) -> None:
    (system,) = esxcli(lab, "system", "version", "get")
    assert system["Product"] == ["VMware ESXi"]
    assert any("vmkfstools" in row["Name"][0] for row in esxcli(lab, "software", "vib", "list"))


def test_govmomi_is_told_what_a_host_does_not_know(lab: Lab) -> None:
    lab.host.plugin_installed = False
    with pytest.raises(RuntimeError, match="could not be found"):
        esxcli(lab, "vmkfstools", "version")


def test_kubectl_lists_slots_and_claims(lab: Lab) -> None:
    target = lab.add_target()
    config = lab.kube.kubeconfig(lab.directory / "kubectl")
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()

    def kubectl(*words: str) -> str:
        return subprocess.run(
            [str(tool("kubectl")), f"--kubeconfig={config}", f"--cache-dir={lab.directory}/kubectl", *words],
            env={"HOME": str(lab.directory)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    assert f"lease.coordination.k8s.io/esxi-lock-{lab.host.moid}-slot-" in kubectl(
        "get", "leases", "-n", LEASE_NAMESPACE, "-o", "name"
    )
    assert f"persistentvolumeclaim/{target.pvc}" in kubectl(
        "get", "pvc", "-n", TARGET_NAMESPACE, "-o", "name"
    )
