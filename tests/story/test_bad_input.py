"""Bad input: one clear sentence and the next step, a code of its own, and nothing mapped, rescanned or left.

Each case prepares the lab, starts the real program, and looks at what it said and at what it did not do.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import world
from tests.lab.arrays import lab_of
from tests.lab.arrays.ontap.lab import SVM, OntapLab
from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target

Values = dict[str, str | None]
Prepare = Callable[[Lab, Target], object]
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
NOBODY_THERE = "https://127.0.0.1:1"
DEAD_PROXY = "http://u:not-this-one@127.0.0.1:1"


@dataclass(frozen=True)
class Case:
    """What is wrong, and what the user is to read; `says` are pieces of text or hint."""

    code: int
    says: tuple[str, ...]
    arguments: Values = field(default_factory=dict)
    environment: Values = field(default_factory=dict)
    kubeconfig: Callable[[dict[str, Any]], object] | None = None
    prepare: Prepare = lambda lab, target: None
    target: dict[str, object] = field(default_factory=dict)


def forbid(lab: Lab, _: Target) -> None:
    lab.kube.admin.delete(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/rolebindings/"
        f"populator-lease.{TARGET_NAMESPACE}"
    )


def take_right(lab: Lab, verb: str) -> None:
    """Take one right on leases from the populator, and wait until the server judges by that."""

    def edit(role: dict[str, Any]) -> None:
        role["rules"][0]["verbs"].remove(verb)

    lab.kube.admin.change(path("roles", LEASE_NAMESPACE, "populator-lease"), edit)
    mine = lab.kube.client(lab.kube.service_account_token(TARGET_NAMESPACE, "populator"))
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    deadline = time.monotonic() + 10
    while True:
        answer = mine.create(REVIEWS, {**review, "spec": {"namespace": LEASE_NAMESPACE}})
        if all(
            verb not in r["verbs"] for r in answer["status"]["resourceRules"] if "leases" in r["resources"]
        ):
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def give_away(lab: Lab, target: Target) -> None:
    """Let the volume belong to another claim, though the prime PVC still names it."""
    pv = path("persistentvolumes", name=target.volume.name)
    lab.kube.edit(pv, lambda it: it["spec"]["claimRef"].update(uid="somebody"))


def set_phase(lab: Lab, target: Target, phase: str) -> None:
    lab.kube.set_phase(path("persistentvolumes", name=target.volume.name), phase)


def kubeconfig(lab: Lab, edit: Callable[[dict[str, Any]], object]) -> str:
    """Write the populator's kubeconfig with something wrong in it."""
    config = json.loads(Path(lab.environment()["KUBECONFIG"]).read_text())
    edit(config)
    file = lab.directory / "wrong-kubeconfig"
    file.write_text(json.dumps(config))
    return str(file)


def expire(config: dict[str, Any]) -> None:
    """Have the user log in by an old auth-provider, with an expired token and an issuer that is not there."""
    header, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none"}, {"exp": 1})
    )
    provider = {"client-id": "x", "client-secret": "x", "refresh-token": "x", "idp-issuer-url": NOBODY_THERE}
    provider["id-token"] = f"{header}.{claims}.signature"
    config["users"][0]["user"] = {"auth-provider": {"name": "oidc", "config": provider}}


def several(lab: Lab, target: Target) -> None:
    """Replace the volume's LUN by two others, as after an import under another name."""
    lab.array.remove_volume(target.volume)
    for name in ("a", "b"):
        path = f"/vol/{target.volume.attributes['internalName']}/{name}"
        lab_of(OntapLab, lab.array).simulator.add_lun(path, SVM, world.DISK_SIZE)


CASES = {
    "argument missing": Case(2, ("--source-vm-id is missing", "arguments"), {"source-vm-id": None}),
    "argument unknown": Case(2, ("--speed",), {"speed": "warp"}),
    "metrics address unusable": Case(
        2, ("--http-endpoint", "cannot listen"), {"http-endpoint": "192.0.2.1:8443"}
    ),
    "vendor unknown": Case(2, ("'floppy'", "ontap"), {"storage-vendor-product": "floppy"}),
    "VMDK path malformed": Case(
        2, ("[datastore] folder/disk.vmdk", "'plain.vmdk'"), {"source-vmdk": "plain.vmdk"}
    ),
    "VM not found": Case(5, ("no VM vm-9999",), {"source-vm-id": "vm-9999"}),
    "disk not found": Case(
        5, ("has no disk", "plain vm.vmdk"), {"source-vmdk": "[ds one] plain vm/other.vmdk"}
    ),
    "no way to Kubernetes": Case(3, ("no way", "--kubeconfig"), environment={"KUBECONFIG": "/nowhere"}),
    "PVC not found": Case(3, ("nowhere", TARGET_NAMESPACE), {"owner-name": "nowhere"}),
    "volume of another claim": Case(3, ("belongs to", "(UID somebody)"), prepare=give_away),
    "volume released": Case(
        3, ("is Released", "new volume"), prepare=lambda lab, it: set_phase(lab, it, "Released")
    ),
    "volume with a file system": Case(
        3, ("volumeMode Filesystem", "volumeMode Block"), target={"mode": "Filesystem"}
    ),
    "PVC re-created": Case(3, ("another",), {"owner-uid": "00000000-0000-0000-0000-000000000000"}),
    "PV not found": Case(
        3,
        ("PersistentVolume",),
        prepare=lambda lab, target: lab.kube.admin.delete(f"/api/v1/persistentvolumes/{target.volume.name}"),
    ),
    "PV of another vendor": Case(
        4,
        ("csi.other.example", "NetApp ONTAP", "csi.trident.netapp.io"),
        target={"driver": "csi.other.example"},
    ),
    "PV without CSI": Case(3, ("CSI",), target={"csi": False}),
    "LUN smaller than the disk": Case(
        4, ("512 less than disk", str(world.DISK_SIZE)), target={"size": world.DISK_SIZE - 512}
    ),
    "no LUN matches": Case(
        4, ("There is no LUN",), prepare=lambda lab, target: lab.array.remove_volume(target.volume)
    ),
    "several LUNs match": Case(4, ("2 LUNs",), prepare=several),
    "host disconnected": Case(
        5,
        ("disconnected", "Reconnect"),
        prepare=lambda lab, _: lab.vcenter.set_host(lab.host.moid, connection_state="disconnected"),
    ),
    "host in maintenance": Case(
        5,
        ("maintenance mode",),
        prepare=lambda lab, _: lab.vcenter.set_host(lab.host.moid, in_maintenance_mode=True),
    ),
    "migration host unknown": Case(5, ("no ESXi host host-9999",), {"migration-host": "host-9999"}),
    "datastore not mounted": Case(
        5,
        ("does not have datastore 'local' mounted",),
        {"source-vm-id": world.LOCAL_VM, "source-vmdk": world.LOCAL_DISK, "migration-host": world.OTHER_HOST},
    ),
    "datastore of a linked clone's base not mounted": Case(
        5,
        ("does not have datastore 'local' mounted", world.CLONE_BASE),
        {"source-vm-id": world.CLONE_VM, "source-vmdk": world.CLONE_DISK, "migration-host": world.OTHER_HOST},
    ),
    "disk on NFS": Case(
        5, ("of type NFS,", "VMFS"), {"source-vm-id": world.NFS_VM, "source-vmdk": world.NFS_DISK}
    ),
    "disk on vSAN": Case(
        5, ("of type vSAN,", "VMFS"), {"source-vm-id": world.VSAN_VM, "source-vmdk": world.VSAN_DISK}
    ),
    "disk encrypted": Case(
        5,
        ("encrypted", "storage policy"),
        {"source-vm-id": world.ENCRYPTED_VM, "source-vmdk": world.ENCRYPTED_DISK},
    ),
    "privilege missing": Case(
        5,
        ("config.hardware.device of VM plain vm", "the privilege System.Read on it", "Read-only"),
        prepare=lambda lab, _: lab.vcenter.withhold(
            (lab.vcenter.vms[world.PLAIN_VM], "config", "System.Read")
        ),
    ),
    "vCenter refuses the log-in": Case(
        5, ("user name", "GOVMOMI_"), environment={"GOVMOMI_PASSWORD": "not-this-one"}
    ),
    "vCenter's certificate not trusted": Case(
        5, ("certificate", "not trusted", "cacert"), environment={"cacert": None}
    ),
    "vCenter not there": Case(5, ("refuses connections",), environment={"GOVMOMI_HOSTNAME": "127.0.0.1:1"}),
    "proxy not there": Case(
        3, ("through the proxy 127.0.0.1:1", "NO_PROXY"), environment={"HTTPS_PROXY": DEAD_PROXY}
    ),
    "proxy to vCenter not there": Case(
        5,
        ("vCenter localhost", "through the proxy 127.0.0.1:1", "NO_PROXY"),
        environment={
            "HTTPS_PROXY": DEAD_PROXY,
            "NO_PROXY": "127.0.0.1",
            "GOVMOMI_HOSTNAME": "localhost:1",
        },
    ),
    "variables of Services": Case(
        5,
        ("refuses the user name",),
        environment={
            "SSH_PORT": "tcp://172.30.12.3:22",
            "STORAGE_PORT": "tcp://172.30.12.3:443",
            "GOVMOMI_SERVICE_HOST": "172.30.12.3",
            "GOVMOMI_PASSWORD": "not-this-one",
        },
    ),
    "token for ONTAP": Case(
        2, ("ontap takes no token",), environment={"STORAGE_TOKEN": "not-this-one", "STORAGE_PASSWORD": None}
    ),
    "bytes that are no text": Case(
        2, ("--storage-password", "not UTF-8"), environment={"STORAGE_PASSWORD": "not-this-one\udce9"}
    ),
    "array refuses the log-in": Case(4, ("STORAGE_",), environment={"STORAGE_PASSWORD": "not-this-one"}),
    "array's certificate not trusted": Case(
        4, ("certificate", "not trusted"), environment={"REQUESTS_CA_BUNDLE": None}
    ),
    "SVM unknown": Case(4, ("svm9", "ONTAP_SVM"), environment={"ONTAP_SVM": "svm9"}),
    "plugin missing on the host": Case(
        5, ("vmkfstools plugin", "VIB"), prepare=lambda lab, _: setattr(lab.host, "plugin_installed", False)
    ),
    "namespace of the leases missing": Case(
        6, ("no-such-namespace", "oc create"), environment={"HOST_LEASE_NAMESPACE": "no-such-namespace"}
    ),
    "namespace of the leases forbidden": Case(6, ("oc create",), prepare=forbid),
    "Kubernetes not there": Case(
        3,
        ("did not answer", "refused", "oc get --raw /readyz"),
        kubeconfig=lambda config: config["clusters"][0]["cluster"].update(server=NOBODY_THERE),
    ),
    "Kubernetes' certificate not trusted": Case(
        3,
        ("certificate", "not trusted", "certificate-authority"),
        kubeconfig=lambda config: config["clusters"][0]["cluster"].pop("certificate-authority"),
    ),
    "token expired": Case(
        3,
        ("does not accept our credentials", "oc whoami"),
        kubeconfig=lambda config: config["users"][0]["user"].update(token="not-this-one"),
    ),
    "token expired, and its issuer not there": Case(
        3, ("auth-provider has expired", "could not be renewed", "--kubeconfig"), kubeconfig=expire
    ),
} | {
    f"right to {verb} leases missing": Case(
        6,
        (f"cannot {verb} ", "oc create role", f"-n {LEASE_NAMESPACE}", "oc create rolebinding"),
        prepare=lambda lab, _, verb=verb: take_right(lab, verb),  # type: ignore[misc]
    )
    for verb in ("get", "list", "watch", "create", "update")
}


UNSAFE = Case(
    5, ("a single quote", "Rename"), {"source-vm-id": world.QUOTE_VM, "source-vmdk": world.QUOTE_DISK}
)


@pytest.mark.wrappers("0.3.3")
def test_a_name_that_the_stock_wrapper_cannot_be_told_safely(lab: Lab) -> None:
    refused(lab, UNSAFE)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(lab: Lab, name: str) -> None:
    refused(lab, CASES[name], logged=name != "argument unknown")


def refused(lab: Lab, case: Case, *, logged: bool = True) -> None:
    """Run a case; `logged` is false where neither the log's format nor the message's place is known."""
    target = lab.add_target(**case.target)  # type: ignore[arg-type]
    case.prepare(lab, target)
    arguments = dict(case.arguments)
    if arguments.get("migration-host") in lab.hosts:
        arguments["migration-host"] = lab.hosts[str(arguments["migration-host"])].moid
    environment = dict(case.environment)
    if case.kubeconfig:
        environment["KUBECONFIG"] = kubeconfig(lab, case.kubeconfig)
    with lab.program(target, arguments=arguments, environment=environment) as program:
        assert program.wait() == case.code, program.text()
    if program.controller:
        assert program.status.result == "failure"
    said = program.text()
    if logged:
        said = " ".join(line["message"] for line in program.lines if line["level"] == "error")
        assert program.message["text"] in said
        assert program.message["hint"] in said
    assert [piece for piece in case.says if piece not in said] == [], said
    assert "Traceback" not in program.text()
    for secret in ("vcenter-secret", "ontap-secret", "not-this-one"):
        assert secret not in program.text()
    nothing_happened(lab, target)


def nothing_happened(lab: Lab, target: Target) -> None:
    """Nothing was mapped, no host was shaken, and nothing is left."""
    assert [call.label for call in lab.ledger.of("array") if not call.label.startswith("GET ")] == []
    assert [operation for host in lab.hosts.values() for operation in host.history] == []
    assert lab.leftovers(target) == []
