"""SIGTERM, as the kubelet sends it: the work stops, the undo does not, and no device is pulled from under a copy."""

import json
import signal
import time

import pytest

from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab
from tests.lab.program import Program

GRACE = 30.0
"""seconds from SIGTERM to the kubelet's SIGKILL"""


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
    lab.kube.admin.create(path("leases", LEASE_NAMESPACE), lease)
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
    (journal,) = [json.loads(text) for text in lease["metadata"]["annotations"].values()]
    assert journal["task"] == started["task"]
    assert journal["left"]


def test_a_copy_that_is_to_be_followed_keeps_its_device_when_we_stop_before_that(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "60"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    (held,) = lab.kube.lease_holders(LEASE_NAMESPACE)
    hold(lab, 1 - int(held[-1]))
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
