"""Each thing that may be wrong before a populate: seen as a line of the preflight, with what mends it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lease.record import leases_path, micro_time
from populator.preflight.line import Mark, Verdict, verdict
from tests.lab import world
from tests.lab.arrays import iscsi
from tests.lab.esxi.wire import Structure
from tests.lab.esxi.wire import failed as esxcli_failed
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target
from tests.story.preflights import Preflight, changing, lines_of, shown, state

pytestmark = pytest.mark.any_kube


@pytest.fixture
def look(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Preflight:
    return Preflight(lab, monkeypatch)


@dataclass(frozen=True)
class Fault:
    """Something that is wrong, and the line that it is to be seen by."""

    plant: Callable[[Lab, Target], object]
    check: str
    text: str
    mend: str
    mark: Mark = Mark.FAILED
    source: dict[str, str] | None = None
    environment: dict[str, str | None] | None = None


def without(plural: str, verb: str, role: str, namespace: str) -> Callable[[Lab, Target], object]:
    """Take a verb out of a role."""
    kind = "roles" if namespace else "clusterroles"
    where = (
        f"/apis/rbac.authorization.k8s.io/v1/{f'namespaces/{namespace}/' if namespace else ''}{kind}/{role}"
    )

    def plant(lab: Lab, _: Target) -> None:
        def edit(body: dict[str, Any]) -> None:
            for rule in body["rules"]:
                if plural in rule["resources"]:
                    rule["verbs"].remove(verb)

        lab.kube.admin.change(where, edit)

    return plant


def setting(path: str, value: int) -> Callable[[Lab, Target], object]:
    return lambda lab, _: lab.host.settings.update({path: value})


def vaai(**status: str) -> Callable[[Lab, Target], object]:
    return lambda lab, _: lab.host.vaai.update({world.ISCSI_LUN: status})


def missing(privilege: str, of: Callable[[Lab], str]) -> Callable[[Lab, Target], object]:
    return lambda lab, _: lab.vcenter.deny((of(lab), privilege))


def the_host(lab: Lab) -> str:
    return lab.host.moid


def the_vm(lab: Lab) -> str:
    return lab.vcenter.vms[world.PLAIN_VM]


def the_store(lab: Lab) -> str:
    return lab.vcenter.datastores["ds one"]


def lease(
    lab: Lab, namespace: str, name: str, ago: float, outcome: dict[str, str] | None = None, **more: Any
) -> None:
    """Put a Lease there that somebody renewed some seconds ago."""
    moment = micro_time(datetime.now(UTC) - timedelta(seconds=ago))
    spec = {"holderIdentity": "populate-old_1", "renewTime": moment, "acquireTime": moment}
    body: dict[str, Any] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    body |= {"metadata": {"name": name}, "spec": spec | {"leaseDurationSeconds": 3000} | more}
    if outcome:
        body["metadata"]["annotations"] = {"xcopy-populator/outcome": json.dumps(outcome)}
    lab.kube.admin.create(leases_path(namespace), body)


def all_slots_held(lab: Lab, _: Target) -> None:
    for number in (0, 1):
        lease(lab, LEASE_NAMESPACE, f"esxi-lock-{lab.host.moid}-slot-{number}", 0)


def slot_expired(lab: Lab, _: Target) -> None:
    lease(lab, LEASE_NAMESPACE, f"esxi-lock-{lab.host.moid}-slot-0", 60, leaseDurationSeconds=10)


def another_writer(lab: Lab, target: Target) -> None:
    lease(lab, TARGET_NAMESPACE, f"xcopy-volume-{target.uid}", 0)


def filled(lab: Lab, target: Target) -> None:
    outcome = {"populated": "true", "by": "populate-old_1", "at": "2026-11-01"}
    lease(lab, TARGET_NAMESPACE, f"xcopy-volume-{target.uid}", 60, outcome, holderIdentity="")


def no_plugin(lab: Lab, _: Target) -> None:
    lab.host.plugin_installed = False


def old_plugin(lab: Lab, _: Target) -> None:
    lab.host.instead["vmkfstools version"] = lambda: _version("0.3.3")


def _version(number: str) -> Any:
    return Structure("result", {"status": "0", "message": json.dumps({"version": number})})


def refused_vaai(lab: Lab, _: Target) -> None:
    def refuse() -> Any:
        raise esxcli_failed("Unknown command or namespace storage core device vaai status get")

    lab.host.instead["storage core device vaai status get"] = refuse


def low_max_lun(lab: Lab, _: Target) -> None:
    lab.host.max_lun = 256


def unclaimed(lab: Lab, _: Target) -> None:
    lab.host.claimed.remove("NETAPP")


def occupied_target(lab: Lab, target: Target) -> None:
    lab.host.extents[target.naa] = "another datastore"


def left_mapping(lab: Lab, target: Target) -> None:
    other = lab.hosts[world.OTHER_HOST]
    own = [iscsi(adapter.port) for adapter in other.adapters if adapter.kind == "iscsi"]
    lab.array.add_map(target.volume, lab.array.add_group(f"xcopy-hostsystem-{other.moid}-iscsi", own))


def off(lab: Lab, _: Target) -> None:
    lab.vcenter.set_host(lab.host.moid, connection_state="notResponding")


ROLE = r"govc role\.update -a StorageOffloader "
SET = "esxcli system settings advanced set -o "
FAULTS = {
    "right in the lease namespace": Fault(
        without("leases", "update", "populator-lease", LEASE_NAMESPACE),
        "rights",
        rf"missing: update leases in namespace {LEASE_NAMESPACE}",
        rf"oc create role xcopy-leases --verb=update --resource=leases\.coordination\.k8s\.io -n {LEASE_NAMESPACE} "
        r"&& oc create rolebinding xcopy-leases --role=xcopy-leases "
        rf"--serviceaccount={TARGET_NAMESPACE}:populator -n {LEASE_NAMESPACE}.*",
    ),
    "right in the target namespace": Fault(
        without("persistentvolumeclaims", "watch", "populator", TARGET_NAMESPACE),
        "rights",
        rf"missing: watch persistentvolumeclaims in namespace {TARGET_NAMESPACE}",
        rf"oc create role .*--verb=watch --resource=persistentvolumeclaims -n {TARGET_NAMESPACE}.*",
    ),
    "right in the cluster": Fault(
        without("persistentvolumes", "get", "populator", ""),
        "rights",
        "missing: get persistentvolumes in the cluster",
        "oc create clusterrole .*--verb=get --resource=persistentvolumes.*",
    ),
    "slots held": Fault(
        all_slots_held,
        "slots",
        "all are held, by populate-old.*would wait",
        "populator leases.*",
        Mark.WARNING,
    ),
    "slot expired": Fault(
        slot_expired,
        "slots",
        r"slot 0 is expired\?, held by populate-old",
        "see .*populator leases -n openshift-mtv.*",
        Mark.WARNING,
    ),
    "another writer": Fault(
        another_writer, "writer", "Pod populate-old is filling .*", "Let it finish.*oc get lease .*"
    ),
    "filled already": Fault(
        filled, "writer", ".* has been filled already, by populate-old.*", ".*oc delete lease .*"
    ),
    "privilege of esxcli": Fault(
        missing("Global.Settings", the_host),
        "privileges",
        r"missing on esx-1\.lab \(host-\d+\): Global\.Settings",
        rf"{ROLE}Global\.Settings;.*",
    ),
    "privilege to rescan": Fault(
        missing("Host.Config.Storage", the_host),
        "privileges",
        r"missing on esx-1\.lab \(host-\d+\): Host\.Config\.Storage",
        rf"{ROLE}Host\.Config\.Storage;.*",
    ),
    "published privilege": Fault(
        missing("Host.Config.Patch", the_host),
        "privileges",
        r"missing on esx-1\.lab \(host-\d+\): Host\.Config\.Patch \(.*",
        rf"{ROLE}Host\.Config\.Patch;.*",
        Mark.WARNING,
    ),
    "no right to read": Fault(
        missing("System.Read", the_vm),
        "privileges",
        r"missing on plain vm \(vm-\d+\): System\.Read",
        rf"{ROLE}System\.Read;.*",
    ),
    "privilege on the datastore": Fault(
        missing("Datastore.Browse", the_store),
        "privileges",
        r"missing on ds one \(datastore-\d+\): Datastore\.Browse \(.*",
        rf"{ROLE}Datastore\.Browse;.*",
        Mark.WARNING,
    ),
    "certificate not verified": Fault(
        lambda *_: None,
        "certificate",
        "not verified .*",
        ".*cacert.*",
        Mark.WARNING,
        environment={"GOVMOMI_INSECURE": "true"},
    ),
    "host is off": Fault(off, "host", r"Host esx-1\.lab .*notResponding.*", "Reconnect it.*"),
    "host in maintenance": Fault(
        lambda lab, _: lab.vcenter.set_host(lab.host.moid, in_maintenance_mode=True),
        "host",
        ".*in maintenance mode.*",
        "End that.*",
    ),
    "clock of the host": Fault(
        lambda lab, _: lab.vcenter.set_host(lab.host.moid, clock_offset=-120),
        "clock",
        "the host's clock is (119|12[0-4]) s behind this machine's",
        "esxcli system ntp set .*",
        Mark.WARNING,
    ),
    "no wrapper": Fault(
        no_plugin,
        "wrapper",
        ".* has no vmkfstools plugin loaded.*",
        "Install the VIB.*populator vib install.*",
    ),
    "old wrapper": Fault(
        old_plugin, "wrapper", "version 0.3.3, older than .*", "populator vib install.*", Mark.WARNING
    ),
    "no acceleration": Fault(
        setting("/DataMover/HardwareAcceleratedMove", 0),
        "settings",
        "/DataMover/HardwareAcceleratedMove is 0: .*",
        f"{SET}/DataMover/HardwareAcceleratedMove -i 1",
    ),
    "small transfers": Fault(
        setting("/DataMover/MaxHWTransferSize", 4096),
        "settings",
        "/DataMover/MaxHWTransferSize is 4096 KiB.*",
        f"{SET}/DataMover/MaxHWTransferSize -i 16384",
        Mark.WARNING,
    ),
    "low Disk.MaxLUN": Fault(
        low_max_lun, "settings", "/Disk/MaxLUN is 256.*", f"{SET}/Disk/MaxLUN -i 1024", Mark.WARNING
    ),
    "no VAAI plugin": Fault(
        vaai(VAAIPluginName=""),
        "VAAI",
        rf"no plugin has claimed {world.ISCSI_LUN}.*",
        "esxcli storage core .*",
    ),
    "clone not supported": Fault(
        vaai(CloneStatus="unsupported"), "VAAI", ".*clone unsupported.*", ".*vaai status get -d naa.*"
    ),
    "VAAI cannot be asked": Fault(
        refused_vaai,
        "VAAI",
        "'esxcli storage core device vaai status get' failed .*",
        "Try that command on the host, .*",
        Mark.NOT_CHECKED,
    ),
    "no claim rule": Fault(
        unclaimed,
        "claim rule",
        "none of the class VAAI names NETAPP.*",
        "esxcli storage core claimrule add .*",
    ),
    "target in use": Fault(
        occupied_target,
        "target device",
        ".*is not a volume to copy onto.*another datastore.*",
        "See which LUN.*",
    ),
    "left by another host": Fault(
        left_mapping, "mapping", ".*still mapped to .* by an earlier run on another host.*", "When no .*"
    ),
    "nobody of that name": Fault(
        lambda *_: None, "VM", "There is no VM nobody .*", "Give the VM's .*", source={"vm": "nobody"}
    ),
    "no such disk": Fault(
        lambda *_: None,
        "disk",
        ".*has no disk.*its disks are.*",
        "Correct the VMDK's path.",
        source={"disk": "[ds one] a/b.vmdk"},
    ),
    "encrypted": Fault(
        lambda *_: None,
        "disk",
        ".*is encrypted.*",
        "Decrypt .*",
        source={"vm": world.ENCRYPTED_VM, "disk": world.ENCRYPTED_DISK},
    ),
    "snapshots": Fault(
        lambda *_: None,
        "chain",
        "3 links, .*",
        "Delete the snapshots: govc snapshot.*",
        Mark.WARNING,
        source={"vm": world.SNAPSHOT_VM, "disk": world.NEWEST},
    ),
    "NFS": Fault(
        lambda *_: None,
        "datastore",
        ".*datastore of type NFS.*",
        "Move the disk .*",
        source={"vm": world.NFS_VM, "disk": world.NFS_DISK},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_a_line_with_what_mends_it(lab: Lab, look: Preflight, name: str) -> None:
    fault, target = FAULTS[name], lab.add_target()
    fault.plant(lab, target)
    sections = look.look(target, environment=fault.environment, **(fault.source or {}))
    found = [line for line in lines_of(sections, fault.mark) if line.check == fault.check]
    assert any(
        re.fullmatch(fault.text, line.text, re.DOTALL) and re.fullmatch(fault.mend, line.mend, re.DOTALL)
        for line in found
    ), shown(sections)
    others = {line.check for line in lines_of(sections, Mark.PASSED)}
    assert {"API server", "log-in", "array"} <= others, "what is in order is still said"


def test_a_volume_that_does_not_fit_or_is_somebody_elses_is_said(lab: Lab, look: Preflight) -> None:
    small = look.look(lab.add_target(world.DISK_SIZE // 2))
    [size] = [line for line in lines_of(small, Mark.FAILED) if line.check == "size"]
    assert "less than disk" in size.text
    assert str(world.DISK_SIZE) in size.mend
    foreign = look.look(lab.add_target(driver="csi.example.com"))
    [driver] = [line for line in lines_of(foreign, Mark.FAILED) if line.check == "CSI driver"]
    assert "csi.example.com" in driver.text
    target = lab.add_target()
    lab.array.remove_volume(target.volume)
    gone = look.look(target)
    assert [line.check for line in lines_of(gone, Mark.FAILED)] == ["LUN"]
    unbound = look.look(lab.add_target(bound=False))
    [pvc] = [line for line in lines_of(unbound, Mark.FAILED) if line.check == "PVC"]
    assert pvc.text.endswith("yet.")
    assert "oc describe pvc" in pvc.mend


def test_several_faults_at_once_are_all_said(lab: Lab, look: Preflight) -> None:
    target = lab.add_target(world.DISK_SIZE // 2)
    planted = (
        "privilege to rescan",
        "no wrapper",
        "no acceleration",
        "clone not supported",
        "right in the cluster",
    )
    for name in planted:
        FAULTS[name].plant(lab, target)
    sections = look.look(target)
    assert verdict(sections) is Verdict.NOT_READY
    checks = {line.check for line in lines_of(sections, Mark.FAILED)}
    assert {FAULTS[name].check for name in planted} - {"settings"} <= checks | {"PVC"}, shown(sections)
    assert "settings" in checks


def test_a_lease_namespace_that_is_not_there_is_said_by_who_may_know(
    lab: Lab, look: Preflight, tmp_path: Path
) -> None:
    target, environment = lab.add_target(), {"HOST_LEASE_NAMESPACE": "nowhere"}
    unknown = look.look(target, environment=dict(environment))
    [line] = [line for line in lines_of(unknown) if line.check == "lease namespace"]
    assert (line.mark, line.mend) == (Mark.NOT_CHECKED, "oc get namespace nowhere")
    rights = [line.text for line in lines_of(unknown, Mark.FAILED) if line.check == "rights"]
    assert rights == ["missing: get, list, watch, create, update leases in namespace nowhere"]
    admin = str(lab.kube.kubeconfig(tmp_path, port=lab.kube_port))
    known = look.look(target, environment={**environment, "KUBECONFIG": admin})
    [line] = lines_of(known, Mark.FAILED)
    assert (line.check, line.mend) == ("lease namespace", "oc create namespace nowhere")


def test_a_clock_of_the_api_server_that_is_wrong_is_said(lab: Lab, look: Preflight) -> None:
    server: Any = lab.kube.server
    server.clock_offset = 90.0
    try:
        sections = look.look(lab.add_target())
    finally:
        server.clock_offset = 0.0
    [line] = lines_of(sections, Mark.WARNING)
    assert re.fullmatch("the API server's clock is (8[6-9]|90) s ahead of this machine's", line.text)
    assert "chronyc" in line.mend


def nowhere(variable: str) -> dict[str, str | None]:
    return {variable: "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environment", "check", "skipped"),
    [
        (nowhere("GOVMOMI_HOSTNAME"), "log-in", {"certificate", "clock", "VM", "disks", "host"}),
        (nowhere("STORAGE_HOSTNAME"), "array", {"LUN", "size", "mapping", "initiators"}),
        ({"GOVMOMI_PASSWORD": "wrong"}, "log-in", {"certificate", "VM"}),
        ({"STORAGE_PASSWORD": "wrong"}, "array", {"LUN", "initiators"}),
    ],
)
def test_a_peer_that_is_not_to_be_had_is_one_line(
    lab: Lab, look: Preflight, environment: dict[str, str | None], check: str, skipped: set[str]
) -> None:
    sections = look.look(lab.add_target(), environment=environment)
    failures = lines_of(sections, Mark.FAILED)
    assert [line.check for line in failures] == [check], shown(sections)
    assert failures[0].mend
    assert skipped <= {line.check for line in lines_of(sections, Mark.NOT_CHECKED)}
    assert "secret" not in shown(sections)


def test_an_api_server_that_is_not_to_be_had_is_one_line(lab: Lab, look: Preflight, tmp_path: Path) -> None:
    environment: dict[str, str | None] = {"KUBECONFIG": str(lab.kube.kubeconfig(tmp_path, port=1))}
    sections = look.look(lab.add_target(), environment=environment)
    assert [line.check for line in lines_of(sections, Mark.FAILED)] == ["API server"], shown(sections)
    unknown = {line.check for line in lines_of(sections, Mark.NOT_CHECKED)}
    assert {"rights", "lease namespace", "slots", "PVC", "writer"} <= unknown
    assert {"disk", "host", "VAAI"} <= {line.check for line in lines_of(sections, Mark.PASSED)}


def test_a_host_that_does_not_answer_leaves_the_rest_of_it_unchecked(lab: Lab, look: Preflight) -> None:
    lab.host.hostd_restart(600)
    sections = look.look(lab.add_target())
    lab.host.hostd_restart(0)
    assert [line.check for line in lines_of(sections, Mark.FAILED)] == ["esxcli"], shown(sections)
    unknown = {line.check for line in lines_of(sections, Mark.NOT_CHECKED)}
    assert {"wrapper", "settings", "VAAI", "claim rule", "target device"} <= unknown


def test_by_ssh_the_key_line_is_asked_and_nothing_is_put_onto_the_datastore(
    lab: Lab, look: Preflight
) -> None:
    target, environment = lab.add_target(), lab.start_ssh()
    before = state(lab)
    lab.ledger.reset()
    sections = look.look(target, environment=environment)
    [wrapper] = [line for line in lines_of(sections) if line.check == "wrapper"]
    assert (wrapper.mark, "will be put onto datastore ds one" in wrapper.text) == (Mark.PASSED, True), shown(
        sections
    )
    assert changing(lab) == set()
    assert state(lab) == before
    lab.authorize("")
    sections = look.look(target, environment=environment)
    [wrapper] = [line for line in lines_of(sections, Mark.FAILED) if line.check == "wrapper"]
    assert "authorized_keys" in wrapper.mend
    lab.vcenter.deny((the_store(lab), "Datastore.FileManagement"))
    sections = look.look(target, environment=environment)
    [privileges] = [line for line in lines_of(sections, Mark.FAILED) if line.check == "privileges"]
    assert privileges.text.endswith("Datastore.FileManagement")
