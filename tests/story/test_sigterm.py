"""SIGTERM, as the kubelet sends it: the work stops, the undo does not, and no device is pulled from under a copy."""

import itertools
import json
import signal
import time

import pytest
from pyVim.connect import Disconnect, SmartConnect

from lease.record import JOURNAL
from tests.lab.faults import Rule
from tests.lab.kube import Refused, path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, VCENTER_PASSWORD, VCENTER_USER, Lab
from tests.lab.program import Program
from tests.lab.waiting import wait_until

GRACE = 30.0
"""seconds from SIGTERM to the kubelet's SIGKILL"""
END = 28.0
"""seconds from SIGTERM to the end of the process, at most"""
CLONE, RESCAN = "vmkfstools.clone", "storage.core.adapter.rescan"


def stop(program: Program) -> int:
    """Send SIGTERM; return the exit code of a process that ends in time, and says why."""
    program.signal(signal.SIGTERM)
    began = time.monotonic()
    code = program.wait(2 * GRACE)
    assert time.monotonic() - began <= END, program.text()
    assert program.message["reason"], program.text()
    return code


def slow(*names: str, fault: str = "late 60", first: int = 1) -> Rule:
    """Return a rule by which the answers to some calls, from the first one that is meant on, come late."""
    seen = itertools.count(1)
    return lambda call: fault if any(name in call.label for name in names) and next(seen) >= first else None


@pytest.mark.any_kube
@pytest.mark.wrappers("busybox", "dash")
def test_a_clone_whose_answer_is_pending_is_looked_for_and_ended(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    lab.ledger.reset(slow(CLONE))
    with lab.program(target) as program:
        wait_until(lambda: lab.host.running_copies, 60)
        assert stop(program) == 9, program.text()
    assert [line for line in program.lines if "Looking whether the copy was started" in line["message"]]
    assert lab.host.running_copies == []
    assert lab.leftovers(target) == []
    assert "undoFailures" not in program.message


@pytest.mark.wrappers("0.3.3")
def test_a_clone_that_cannot_be_looked_for_is_left_in_place(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    lab.ledger.reset(slow(CLONE))
    with lab.program(target) as program:
        wait_until(lambda: lab.host.running_copies, 60)
        assert stop(program) == 8, program.text()
    assert lab.host.running_copies == [target.naa]
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.harm == []


@pytest.mark.any_kube
def test_a_rescan_under_way_in_the_undo_is_cut(lab: Lab) -> None:
    target = lab.add_target()
    lab.ledger.reset(slow(RESCAN, fault="pause 60", first=2))
    with lab.program(target) as program:
        wait_until(lambda: [call for call in lab.ledger.calls if call.fault], 60)
        assert stop(program) == 0, program.text()
    assert lab.copied(target)
    assert not lab.san.mappings(target.naa)
    (failure,) = program.message["undoFailures"]
    assert failure.startswith("remove the dead paths: ")
    assert "no time is left" in failure


@pytest.mark.any_kube
def test_a_vcenter_that_falls_silent_in_mid_copy_leaves_it_in_place(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.ledger.reset(lambda call: "hang" if call.service == "vcenter" else None)
        wait_until(lambda: lab.ledger.calls, 60)
        assert stop(program) == 8, program.text()
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.harm == []


@pytest.mark.any_kube
def test_an_array_that_falls_silent_keeps_nobody(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.rescan_seconds = 3.0
    with lab.program(target) as program:
        wait_until(lambda: lab.host.history, 60)
        lab.ledger.reset(lambda call: "hang" if call.service == "array" else None)
        assert stop(program) == 9, program.text()
    assert program.message["undoFailures"][0].startswith("restore the mapping: ")
    assert lab.host.unclean == []


@pytest.mark.any_kube
@pytest.mark.parametrize("fault", ["late 3", "pause 3"])
def test_a_write_under_way_on_the_array_is_finished_and_undone(lab: Lab, fault: str) -> None:
    for part in ("igroups", "lun-maps"):
        target = lab.add_target()
        lab.ledger.reset(slow(f"POST /api/protocols/san/{part}", fault=fault))
        with lab.program(target) as program:
            wait_until(lambda: [call for call in lab.ledger.calls if call.fault], 60)
            assert stop(program) == 9, program.text()
        time.sleep(3.5)  # whatever was broken off has been done by now
        assert lab.leftovers(target) == []


def sessions(lab: Lab) -> set[str]:
    """Return the keys of vCenter's sessions, but for the one that asks."""
    context = lab.vcenter.client_context()
    place = {"host": "127.0.0.1", "port": lab.vcenter.port, "sslContext": context}
    client = SmartConnect(user=VCENTER_USER, pwd=VCENTER_PASSWORD, **place)
    try:
        manager = client.content.sessionManager
        return {session.key for session in manager.sessionList} - {manager.currentSession.key}
    finally:
        Disconnect(client)


@pytest.mark.any_kube
@pytest.mark.parametrize("fault", ["pause 0.3", "late 0.3"])
@pytest.mark.long
def test_sigterm_at_any_moment_of_the_login_leaves_no_session(lab: Lab, fault: str) -> None:
    target, before = lab.add_target(), sessions(lab)
    for moment in (0.0, 0.1, 0.2, 0.28, 0.3, 0.302, 0.304, 0.306, 0.308, 0.31, 0.32, 0.4):
        lab.ledger.reset(slow("Login", fault=fault))
        with lab.program(target) as program:
            wait_until(lambda: [call for call in lab.ledger.calls if call.fault], 60)
            time.sleep(moment)
            assert stop(program) == 9, program.text()
        assert sessions(lab) == before, moment


@pytest.mark.any_kube
@pytest.mark.parametrize("fault", ["pause 1", "late 1"])
def test_sigterm_while_it_logs_in_again_leaves_no_session(lab: Lab, fault: str) -> None:
    target, before = lab.add_target(), sessions(lab)
    lab.host.rescan_seconds = 3.0
    with lab.program(target) as program:
        wait_until(lambda: lab.host.history, 60)
        lab.ledger.reset(slow("Login", fault=fault))
        lab.vcenter.expire_sessions()
        wait_until(lambda: [call for call in lab.ledger.calls if call.fault], 60)
        assert stop(program) == 9, program.text()
    assert sessions(lab) <= before
    assert lab.leftovers(target) == []


@pytest.mark.any_kube
@pytest.mark.parametrize("fault", ["pause 2", "late 2"])
def test_sigterm_during_the_upload_leaves_no_half_of_it(lab: Lab, fault: str) -> None:
    target = lab.add_target()
    lab.ledger.reset(slow("PUT /folder/", fault=fault))
    with lab.program(target, environment=lab.start_ssh()) as program:
        wait_until(lambda: [call for call in lab.ledger.calls if call.fault], 60)
        assert stop(program) == 9, program.text()
    time.sleep(2.5)  # whatever was broken off has been done by now
    assert lab.leftovers(target) == []


@pytest.mark.any_kube
def test_a_silent_ssh_keeps_nobody(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment=lab.start_ssh()) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.ssh.hanging = True
        lab.host.ssh.freeze()
        try:
            time.sleep(1.0)  # a poll is under way then
            assert stop(program) == 8, program.text()
        finally:
            lab.host.ssh.hanging = False
            lab.host.ssh.thaw()
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)


@pytest.mark.parametrize("phase", ["find the volume", "wait for a slot of the host", "discover the device"])
def test_before_the_copy_all_is_put_back(lab: Lab, phase: str) -> None:
    target = lab.add_target(bound=phase != "find the volume")
    lab.host.rescan_seconds = 5.0
    others = []
    if phase.startswith("wait"):
        others = [hold(lab, slot) for slot in range(2)]
    with lab.program(target) as program:
        program.wait_for_phase(phase)
        well_inside(lab, program, phase)
        program.signal(signal.SIGTERM)
        began = time.monotonic()
        assert program.wait(GRACE) == 9, program.text()
        assert time.monotonic() - began < GRACE / 2
    assert program.message["reason"] == "Cancelled"
    assert "undoFailures" not in program.message
    assert [left for left in lab.leftovers(target) if not any(name in left for name in others)] == []
    assert lab.host.clones_started[target.naa] == 0


def well_inside(lab: Lab, program: Program, phase: str) -> None:
    """Wait until the phase does what it spends its time on."""
    if phase == "discover the device":
        deadline = time.monotonic() + 10
        while not lab.host.history:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return
    says = "Waiting for the host lease" if phase.startswith("wait") else "waiting for PersistentVolumeClaim"
    program.wait_for(lambda line: line["message"].startswith(says))


def hold(lab: Lab, slot: int) -> str:
    """Take a slot of the plain host for ever; return its holder."""
    holder = f"somebody-{slot}"
    name = f"esxi-lock-{lab.host.moid}-slot-{slot}"
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 3600,
        "renewTime": "2026-01-01T00:00:00.000000Z",
    }
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": spec,
    }
    try:
        lab.kube.admin.create(path("leases", LEASE_NAMESPACE), lease)
    except Refused:  # it was made in advance
        there = path("leases", LEASE_NAMESPACE, name)
        lab.kube.admin.change(there, lambda lease: lease["spec"].update(spec))
    return holder


@pytest.mark.wrappers("busybox", "dash")
def test_a_copy_is_stopped_before_anything_is_put_back(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert lab.host.running_copies == []
    assert lab.leftovers(target) == []
    assert program.message["reason"] == "Cancelled"


@pytest.mark.wrappers("0.3.3")
def test_a_copy_that_ends_in_time_is_a_success(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 5.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        program.signal(signal.SIGTERM)
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []


@pytest.mark.wrappers("0.3.3")
def test_a_copy_that_outlasts_the_pod_is_left_alone_loudly(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target) as program:
        started = program.wait_for(lambda line: line["message"] == "copy started")
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 8, program.text()
    assert lab.host.running_copies == [target.naa]
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.harm == []
    assert lab.host.unclean == []

    assert program.message["reason"] == "CopyMayBeRunning"
    assert program.message["left"] == ["detach the device", "restore the mapping", "remove the dead paths"]
    assert [line for line in program.lines if line["level"] == "error" and "NOT done" in line["message"]]
    (lease,) = [
        lease
        for lease in lab.kube.admin.list(path("leases", LEASE_NAMESPACE))
        if lease["spec"].get("holderIdentity")
    ]
    journal = json.loads(lease["metadata"]["annotations"][JOURNAL])
    assert journal["task"] == started["task"]
    assert journal["left"]


def test_a_copy_that_is_to_be_followed_keeps_its_device_when_we_stop_before_that(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "60"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    (held,) = lab.kube.lease_holders(LEASE_NAMESPACE)
    hold(lab, 1 - int(held[-1]))
    # As if the dead one's place as the volume's writer had run out, while its slot has not.
    lab.kube.admin.delete(path("leases", TARGET_NAMESPACE, f"xcopy-volume-{target.uid}"))
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"].startswith("Waiting for the host lease"))
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert lab.host.running_copies == [target.naa]
    assert lab.san.mappings(target.naa)
    assert lab.host.harm == []
    assert lab.host.unclean == []
    assert program.message["left"] == ["restore the mapping", "remove the dead paths"]
    assert "vmkfstools has it open" in program.message["undoFailures"][0]


def test_an_unbound_prime_pvc_is_no_reason_to_stay(lab: Lab) -> None:
    target = lab.add_target(bound=False)
    with lab.program(target) as program:
        program.wait_for_phase("find the volume")
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert lab.kube.admin.get(path("persistentvolumeclaims", TARGET_NAMESPACE, target.pvc))
