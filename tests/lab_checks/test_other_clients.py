"""Other people's clients in the lab: govc against the hosts, kubectl and client-go against both APIs, and a populator
written in Go that shares nothing with ours.

They judge the simulators: what they cannot read, no user of the real thing would have to read.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import world
from tests.lab.esxi.commands import TABLE
from tests.lab.govc import Failed, Govc
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, VCENTER_PASSWORD, VCENTER_USER, Lab
from tests.lab.tools import tool

SCRIPT = Path(__file__).resolve().parents[2] / "vsphere/wrapper/files/vmkfstools-wrapper"
Esxcli = Callable[..., list[dict[str, list[str]]]]


@pytest.fixture
def govc(lab: Lab) -> Govc:
    return Govc(lab.vcenter.url, VCENTER_USER, VCENTER_PASSWORD, lab.pki.ca_file)


@pytest.fixture
def esxcli(lab: Lab, govc: Govc) -> Esxcli:
    return lambda *words: govc.esxcli(lab.host.moid, *words)


def test_govmomi_sees_and_changes_devices(lab: Lab, esxcli: Esxcli) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "by-hand")
    (device,) = esxcli("storage", "core", "device", "list", "-d", target.naa)
    assert (device["Device"], device["Status"], device["Size"]) == ([target.naa], ["on"], ["8"])
    esxcli("storage", "core", "device", "set", "--state", "off", "-d", target.naa)
    assert lab.host.device_status(target.naa) == "off"
    assert [row["DeviceUID"] for row in esxcli("storage", "core", "device", "detached", "list")] == [
        [target.naa]
    ]
    assert {row["HBAName"][0] for row in esxcli("storage", "core", "adapter", "list")} == {
        "vmhba64",
        "vmhba2",
    }
    assert esxcli("storage", "core", "path", "list", "-d", target.naa)
    esxcli("storage", "core", "adapter", "rescan", "--type", "all", "--all", "1")
    assert [operation.name for operation in lab.host.history] == ["detach", "rescan all"]


def test_govmomi_runs_a_copy_by_the_plugin(lab: Lab, esxcli: Esxcli) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "by-hand")
    source, device = "/vmfs/volumes/ds one/plain vm/plain vm.vmdk", f"/vmfs/devices/disks/{target.naa}"
    (started,) = esxcli("vmkfstools", "clone", "-s", source, "-t", device)
    assert started["status"] == ["0"]
    task = json.loads(started["message"][0])["taskId"]
    while True:
        (state,) = esxcli("vmkfstools", "taskGet", "-i", task)
        found = json.loads(state["message"][0])
        if found["exitCode"]:
            break
    assert found["exitCode"] == "0"
    assert lab.copied(target)
    esxcli("vmkfstools", "taskClean", "-i", task)


def test_govmomi_reads_versions(esxcli: Esxcli) -> None:
    (system,) = esxcli("system", "version", "get")
    assert system["Product"] == ["VMware ESXi"]
    assert any("vmkfstools" in row["Name"][0] for row in esxcli("software", "vib", "list"))


def test_govc_prints_a_table_of_whatever_a_host_lists(lab: Lab, govc: Govc, esxcli: Esxcli) -> None:
    detached, copied_to = lab.add_target(), lab.add_target()
    for target in (detached, copied_to):
        lab.map_to_host(target, f"by-hand-{target.pvc}")
    esxcli("storage", "core", "device", "set", "--state", "off", "-d", detached.naa)
    source, device = "/vmfs/volumes/ds one/plain vm/plain vm.vmdk", f"/vmfs/devices/disks/{copied_to.naa}"
    lab.host.copy_rate = 1.0
    esxcli("vmkfstools", "clone", "-s", source, "-t", device)
    listed = [
        (
            *namespace.split("."),
            name,
            *(("-d", copied_to.naa) if any(p.required for p in command.params) else ()),
        )
        for namespace, commands in TABLE.items()
        for name, command in commands.items()
        if command.formatter == "table"
    ]
    assert len(listed) >= 6
    for words in listed:
        heads, rule, *lines = govc.table(lab.host.moid, *words)
        rows = esxcli(*words)
        assert set(rule) == {"-", " "}, words
        assert len(lines) == len(rows) > 0, words
        printed = {heads[place:].split("  ")[0].strip().replace(" ", "") for place in _columns(rule)}
        assert printed == set(rows[0]), f"{words}: each field has its column"


@pytest.mark.any_kube
@pytest.mark.parametrize("words", [("storage", "core", "path", "list"), ("software", "vib", "get")])
def test_govc_prints_what_has_no_table(lab: Lab, govc: Govc, words: tuple[str, ...]) -> None:
    lab.map_to_host(lab.add_target(), "by-hand")
    assert any(":" in line for line in govc.table(lab.host.moid, *words))


def _columns(rule: str) -> list[int]:
    """Return where the columns of a table begin, by the line below its heads."""
    return [place for place, char in enumerate(rule) if char == "-" and rule[place - 1 : place] != "-"]


def test_govmomi_is_told_what_a_host_does_not_know(lab: Lab, esxcli: Esxcli) -> None:
    lab.host.plugin_installed = False
    with pytest.raises(Failed, match="could not be found"):
        esxcli("vmkfstools", "version")


@pytest.fixture
def kubectl(lab: Lab) -> Callable[..., str]:
    config = lab.kube.kubeconfig(lab.directory / "kubectl")

    def run(*words: str) -> str:
        return subprocess.run(
            [str(tool("kubectl")), f"--kubeconfig={config}", f"--cache-dir={lab.directory}/kubectl", *words],
            env={"HOME": str(lab.directory)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    return run


def test_kubectl_lists_slots_and_claims(lab: Lab, kubectl: Callable[..., str]) -> None:
    target = lab.add_target()
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    slots = kubectl("get", "leases", "-n", LEASE_NAMESPACE)
    assert slots.split("\n")[0].split() == ["NAME", "HOLDER", "AGE"]
    assert f"esxi-lock-{lab.host.moid}-slot-" in slots
    claims = kubectl("get", "pvc", "-n", TARGET_NAMESPACE)
    heads = "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE"
    assert claims.split("\n")[0].split() == heads.split()
    assert target.pvc in claims
    volumes = kubectl("get", "pv", target.volume.name, "-o", "wide").split("\n")
    heads = (
        "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE"
    )
    assert volumes[0].split() == [*heads.split(), "VOLUMEMODE"]
    assert volumes[1].split()[:3] == [target.volume.name, "1Gi", "RWX"]


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", '{"metadata":{"annotations":{"by":"hand"},"labels":null}}'),
        ("strategic", '{"metadata":{"annotations":{"by":"hand"},"labels":null}}'),
        (
            "json",
            (
                '[{"op":"add","path":"/metadata/annotations","value":{"by":"hand"}},'
                '{"op":"remove","path":"/metadata/labels"}]'
            ),
        ),
    ],
)
def test_kubectl_patches(lab: Lab, kubectl: Callable[..., str], kind: str, patch: str) -> None:
    where = ("-n", TARGET_NAMESPACE)
    claim = lab.add_target().pvc
    kubectl("label", "pvc", claim, "made=here", *where)
    kubectl("patch", "pvc", claim, f"--type={kind}", "-p", patch, *where)
    metadata = json.loads(kubectl("get", "pvc", claim, "-o", "json", *where))["metadata"]
    assert metadata["annotations"]["by"] == "hand"
    assert "labels" not in metadata


@pytest.mark.parametrize("method", ["vib", "ssh"])
def test_a_populator_in_go_copies_a_disk(lab: Lab, tmp_path: Path, method: str) -> None:
    target = lab.add_target()
    ssh = lab.start_ssh() if method == "ssh" else {}
    port = lab.host.ssh.port if ssh else 22
    arguments = lab.arguments(target, world.SIMPLE_DISK, world.SIMPLE_VM)
    taken = ("source-vm-id", "source-vmdk", "target-namespace", "owner-name")
    command = [f"--{name}={arguments[name]}" for name in taken]
    command += [f"--script={SCRIPT}", f"--ssh-port={port}"]
    given = lab.environment() | {name: value or "" for name, value in ssh.items()}
    done = subprocess.run(
        [str(tool("gopopulator")), *command],
        env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(lab.pki.ca_file), **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == target.naa
    assert lab.copied(target, world.SIMPLE_DISK)
    lease = f"esxi-lock-{lab.host.moid}-slot-0 is held by go-populator"
    assert lab.leftovers(target) == [lease]
