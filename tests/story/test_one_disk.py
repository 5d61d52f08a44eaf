"""The main job, done by the real program as Forklift starts it: bytes copied, and everything as found."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lease.record import JOURNAL, leases_path
from populator.plan.journal import parse_journal
from tests.lab import world
from tests.lab.arrays import fc, iscsi
from tests.lab.disks import read_files
from tests.lab.faults import Call
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target


def populate(lab: Lab, target: Target, **how: object) -> None:
    """Run the program and expect that all went well, in every respect."""
    with lab.program(target, **how) as program:  # type: ignore[arg-type]
        code = program.wait()
    assert code == 0, program.text()
    assert lab.copied(target, str(how.get("disk", world.PLAIN_DISK)))
    assert lab.leftovers(target) == []
    assert program.message["reason"] == "Succeeded"
    assert not {"undoFailures", "left"} & set(program.message)
    status = program.status
    assert (status.progress, status.result) == (100, "success")


@pytest.mark.wrappers("busybox", "dash", "0.3.3")
@pytest.mark.each_kube
def test_one_disk(lab: Lab) -> None:
    lab.host.rescan_seconds = 0.3
    lab.host.copy_seconds = 1.5
    target = lab.add_target()
    with lab.program(target, scrape_interval=0.2) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert read_files(target.lun) == world.FILES
    assert lab.leftovers(target) == []

    shown = [status.progress for status in program.controller.seen if status.progress is not None]  # type: ignore[union-attr]
    assert shown == sorted(shown)
    assert len(set(shown)) > 3, "progress was seen to grow"
    assert shown[-1] == 100
    last = program.status
    assert (last.result, last.clone_method, last.storage_protocol) == ("success", "vib", "iscsi")
    assert (last.storage_vendor, last.vib_version) == ("ontap", lab.host.plugin_version)
    assert last.provisioned == world.DISK_SIZE
    assert last.copy_duration is not None
    assert last.copy_duration >= 1.5

    steps = [operation.name for operation in lab.host.history]
    assert lab.host.clones_started[target.naa] == 1
    assert lab.host.max_overlap == 1, steps
    facts = {(line.get("host"), line.get("lun")) for line in program.lines if line.get("phase") == "clone"}
    assert facts == {(lab.host.moid, target.naa)}
    assert len({line.get("task") for line in program.lines if line.get("phase") == "undo"} - {None}) == 1
    assert (program.message["phase"], program.message["reason"]) == ("end", "Succeeded")
    assert program.message["xcopy"].startswith("used")


@pytest.mark.parametrize(
    ("vm", "disk"),
    [
        (world.PLAIN_VM, world.DATA_DISK),
        (world.FC_VM, world.FC_DISK),
        (world.SNAPSHOT_VM, world.NEWEST),
        (world.SNAPSHOT_VM, world.MIDDLE),
        (world.SNAPSHOT_VM, world.BASE),
        (world.CLONE_VM, world.CLONE_DISK),
        (world.RDM_VM, world.RDM_DISK),
        (world.VVOL_VM, world.VVOL_DISK),
        (world.LOCAL_VM, world.LOCAL_DISK),
    ],
)
def test_every_kind_of_disk(lab: Lab, vm: str, disk: str) -> None:
    populate(lab, lab.add_target(), vm=vm, disk=disk)


def test_the_base_of_a_vm_that_is_off_is_copied_with_a_warning(lab: Lab) -> None:
    target = lab.add_target()
    with lab.program(target, vm=world.SNAPSHOT_VM, disk=world.BASE) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, world.BASE)
    assert (program.status.provisioned, program.status.allocated) == (world.BASE_SIZE, world.BASE_SIZE)
    [warning] = [line for line in program.lines if "is not copied" in line["message"]]
    assert warning["level"] == "warning"
    assert world.NEWEST in warning["message"]


@pytest.mark.parametrize("disk", world.ODD_DISKS)
@pytest.mark.wrappers("busybox", "dash", "0.3.3")
def test_odd_names(lab: Lab, disk: str) -> None:
    populate(lab, lab.add_target(), vm=world.ODD_VM, disk=disk)


def test_a_name_that_would_break_a_shell_line_is_copied(lab: Lab) -> None:
    populate(lab, lab.add_target(), vm=world.QUOTE_VM, disk=world.QUOTE_DISK)


def test_fibre_channel_is_used_where_the_datastore_is_on_it(lab: Lab) -> None:
    target = lab.add_target()
    with lab.program(target, vm=world.FC_VM, disk=world.FC_DISK) as program:
        assert program.wait() == 0, program.text()
    assert program.status.storage_protocol == "fc"


def test_the_vm_may_be_named_and_the_migration_host_chosen(lab: Lab) -> None:
    other = lab.hosts[world.OTHER_HOST]
    arguments = {"source-vm-id": world.PLAIN_VM, "migration-host": other.moid}
    populate(lab, lab.add_target(), arguments=arguments)
    assert [operation.name for operation in other.history]
    assert not lab.host.history


def test_a_larger_lun_is_fine(lab: Lab) -> None:
    populate(lab, lab.add_target(size=2 * world.DISK_SIZE))


def test_the_prime_pvc_may_be_unbound_for_a_while(lab: Lab) -> None:
    target = lab.add_target(bound=False)
    with lab.program(target) as program:
        program.wait_for_phase("find the volume")
        lab.kube.bind_prime(target.pvc, TARGET_NAMESPACE)
        assert program.wait() == 0, program.text()
    assert lab.copied(target)


def test_a_device_already_visible_and_on_needs_no_rescan(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "admins-group")
    before = lab.san.mappings(target.naa)
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert [o.name for o in lab.host.history] == ["clone"], "no rescan, and the device is not detached either"
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa) == before


def test_a_device_found_off_is_brought_back(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.detached.add(target.naa)
    populate(lab, target)


@pytest.mark.parametrize("kind", ["iscsi", "fc"])
@pytest.mark.parametrize(
    "group", ["xcopy-hostsystem-{}-iscsi", "xcopy-hostsystem-{}-fcp", "xcopy-hostsystem-{}"]
)
def test_what_a_dead_predecessor_left_is_taken_away(lab: Lab, group: str, kind: str) -> None:
    """Whichever protocol it chose, the LUN is never seen by both; MTV 2.10.4 gave its groups no ending."""
    target = lab.add_target()
    lab.map_to_host(target, group.format(lab.host.moid), kind)
    lab.array.calls.clear()
    populate(lab, target)
    assert ("POST", "/api/protocols/san/lun-maps") not in lab.array.calls


def test_an_old_group_of_all_hosts_that_holds_this_one_alone_is_left_empty(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "xcopy-esxs")
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == ["group xcopy-esxs exists"]


def test_an_old_group_by_which_other_hosts_see_the_lun_is_refused(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "xcopy-esxs", others=("iqn.1998-01.com.vmware:esx-9",))
    before = lab.san.mappings(target.naa)
    with lab.program(target) as program:
        assert program.wait() == 4, program.text()
    assert "xcopy-esxs" in program.message["hint"]
    assert lab.san.mappings(target.naa) == before
    assert lab.host.device_status(target.naa) == "on"
    assert lab.host.clones_started[target.naa] == 0


@pytest.mark.parametrize("group", ["admins-group", "xcopy-lab-hosts"])
def test_a_mapping_of_an_admin_by_another_protocol_is_used_and_left(lab: Lab, group: str) -> None:
    target = lab.add_target()
    lab.map_to_host(target, group, "fc")
    before = lab.san.mappings(target.naa)
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa) == before
    assert [o.name for o in lab.host.history] == ["clone"]


def test_the_array_is_asked_by_which_protocol_it_sees_the_host(lab: Lab) -> None:
    """The source is on iSCSI, but only the FC adapter is logged in to the array."""
    target = lab.add_target()
    (fibre,) = (adapter.wwpn for adapter in lab.host.adapters if adapter.kind == "fc")
    lab.array.log_in(fc(fibre))
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert program.status.storage_protocol == "fc"
    assert lab.copied(target)
    assert lab.leftovers(target) == []


def test_other_mappings_of_the_lun_stay(lab: Lab) -> None:
    target = lab.add_target()
    group = lab.array.add_group("kubernetes-nodes", [iscsi("iqn.1994-05.com.redhat:node-1")])
    lab.array.add_map(target.volume, group)
    before = lab.san.mappings(target.naa)
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.san.mappings(target.naa) == before


@pytest.mark.long
def test_ten_disks_on_one_host_never_shake_it_more_than_twice_at_once(lab: Lab) -> None:
    lab.host.falls_over = True
    lab.host.copy_seconds = 0.5
    lab.host.rescan_seconds = 0.2
    targets = [lab.add_target() for _ in range(10)]
    programs = [lab.program(target, environment={"HOSTNAME": f"pod-{n}"}) for n, target in enumerate(targets)]
    for program in programs:
        program.__enter__()
    try:
        for program in programs:
            assert program.wait() == 0, program.text()
    finally:
        for program in programs:
            program.__exit__(None, None, None)
    assert lab.host.max_overlap == 2
    for target in targets:
        assert lab.copied(target)
        assert lab.leftovers(target) == []


def during_the_copy(lab: Lab, target: Target, act: Callable[[], None]) -> None:
    lab.host.copy_seconds = 4.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        act()
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert lab.host.clones_started[target.naa] == 1


def test_an_expired_session_is_renewed(lab: Lab) -> None:
    during_the_copy(lab, lab.add_target(), lab.vcenter.expire_sessions)


@pytest.mark.wrappers("busybox", "dash", "0.3.3")
def test_hostd_may_restart(lab: Lab) -> None:
    during_the_copy(lab, lab.add_target(), lambda: lab.host.hostd_restart(2.0))


@pytest.mark.parametrize(
    ("service", "fault"), [("kubernetes", "5xx"), ("vcenter", "5xx"), ("vcenter", "before")]
)
def test_an_outage_during_the_copy_is_survived(lab: Lab, service: str, fault: str) -> None:
    end = threading.Event()

    def away(call: Call) -> str | None:
        return fault if call.service == service and not end.is_set() else None

    def act() -> None:
        lab.ledger.reset(away)
        threading.Timer(3.0, end.set).start()

    during_the_copy(lab, lab.add_target(), act)


@pytest.mark.long
def test_an_api_server_that_never_comes_back_does_not_keep_it_from_finishing(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 3.0
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "5"}) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.ledger.reset(lambda call: "before" if call.service == "kubernetes" else None)
        assert program.wait() == 0, program.text()
    lab.ledger.reset()
    assert lab.copied(target)
    assert [left for left in lab.leftovers(target) if "is held by" not in left] == []


@pytest.mark.each_kube
def test_the_lease_tells_who_does_what_with_what(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 5.0
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "5"}) as program:
        started = program.wait_for(lambda line: line["message"] == "copy started")
        lease = held_lease(lab, lambda facts: "percent" in facts)
        assert program.wait() == 0, program.text()
    assert lease["metadata"]["name"].startswith(f"esxi-lock-{lab.host.moid}-slot-")
    assert lease["spec"]["holderIdentity"].startswith("populate-pod")
    facts = facts_in(lease)
    journal = parse_journal(facts)
    assert (journal.task, journal.device) == (started["task"], target.naa)
    assert (journal.pvc, journal.pvc_uid) == (f"{TARGET_NAMESPACE}/{target.pvc}", target.uid)
    assert (journal.disk, journal.host) == (world.PLAIN_DISK, lab.host.name)
    assert (journal.vendor, journal.array) == ("ontap", lab.environment()["STORAGE_HOSTNAME"])
    assert (journal.adapters, journal.phase, journal.left) == (("vmhba64",), "clone", "")
    assert journal.group.startswith("xcopy-hostsystem-")
    assert None not in {journal.lun_id, journal.percent}
    assert "" not in {journal.volume, journal.lun}
    passwords = {lab.environment()[name] for name in ("STORAGE_PASSWORD", "GOVMOMI_PASSWORD")}
    assert not passwords & set(facts.values())


def held_lease(lab: Lab, wanted: Callable[[dict[str, str]], bool]) -> dict[str, Any]:
    """Return the host lease that is held, as soon as its journal is as wanted."""
    where = leases_path(LEASE_NAMESPACE)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for lease in lab.kube.admin.list(where):
            if lease["spec"].get("holderIdentity") and wanted(facts_in(lease)):
                return lease
        time.sleep(0.1)
    raise AssertionError("no host lease is held with such a journal")


def facts_in(lease: dict[str, Any]) -> dict[str, str]:
    facts: dict[str, str] = json.loads(lease["metadata"]["annotations"][JOURNAL])
    return facts


def test_it_says_nothing_secret(lab: Lab) -> None:
    target = lab.add_target()
    with lab.program(target, environment={"LOG_LEVEL": "debug"}) as program:
        assert program.wait() == 0, program.text()
    kubeconfig = json.loads(Path(program.environment["KUBECONFIG"]).read_text())
    token = kubeconfig["users"][0]["user"]["token"]
    shown = program.text() + json.dumps(program.message)
    for secret in ("vcenter-secret", "ontap-secret", token):
        assert secret not in shown
