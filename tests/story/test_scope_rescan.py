"""HOST_LEASE_SCOPE=rescan: a slot for each step that shakes the host, none while the array copies."""

import json
import signal
import time
from typing import Any

import pytest

from lease.record import HOST_LABEL
from tests.lab.kube import Refused, path
from tests.lab.lab import LEASE_NAMESPACE, Lab, Target
from tests.lab.program import Program
from tests.lab.waiting import wait_until

SCOPE = {"HOST_LEASE_SCOPE": "rescan"}
GRACE = 30.0
"""seconds from SIGTERM to the kubelet's SIGKILL"""


def run(lab: Lab, target: Target, **environment: str | None) -> Program:
    return lab.program(target, scrape_interval=0.2, environment={**SCOPE, **environment})


def slot(lab: Lab, number: int) -> str:
    return path("leases", LEASE_NAMESPACE, f"esxi-lock-{lab.host.moid}-slot-{number}")


def occupy(lab: Lab, number: int) -> None:
    """Take a slot for ever."""
    spec = {"holderIdentity": f"somebody-{number}", "leaseDurationSeconds": 3600}
    metadata = {"name": slot(lab, number).rpartition("/")[2], "labels": {HOST_LABEL: lab.host.moid}}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    try:
        lab.kube.admin.create(path("leases", LEASE_NAMESPACE), lease)
    except Refused:
        lab.kube.admin.change(slot(lab, number), lambda lease: lease["spec"].update(spec))


def give_back(lab: Lab, number: int) -> None:
    lab.kube.admin.change(slot(lab, number), lambda lease: lease["spec"].update(holderIdentity=""))


def held(lab: Lab) -> list[dict[str, Any]]:
    """Return the Leases that somebody holds."""
    leases = lab.kube.admin.list(path("leases", LEASE_NAMESPACE))
    return [lease for lease in leases if lease["spec"].get("holderIdentity")]


def shaken(lab: Lab) -> list[str]:
    """Return what shook the host, in order."""
    return [operation.name for operation in lab.host.history]


def others_apart(lab: Lab, target: Target) -> list[str]:
    return [left for left in lab.leftovers(target) if "is held by somebody-" not in left]


def waiting(line: dict[str, Any]) -> bool:
    return str(line["message"]).startswith("Waiting for the host lease")


def test_one_disk_and_no_slot_is_held_while_it_is_copied(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with run(lab, target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        assert held(lab) == []
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert shaken(lab) == ["rescan add", "clone", "detach", "detached remove", "rescan delete"]
    taken = [line["message"] for line in program.lines if str(line["message"]).startswith("Holding esxi")]
    assert len(taken) == 3, "rescan, detach, dead paths"


def test_a_slots_journal_tells_of_the_step_from_its_first_write_on(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.rescan_seconds = 2.0
    with run(lab, target) as program:
        (lease,) = wait_until(lambda: held(lab))
        assert program.wait() == 0, program.text()
    journal = json.loads(lease["metadata"]["annotations"]["xcopy-populator/journal"])
    assert (journal["phase"], journal["device"], journal["host"]) == ("rescan", target.naa, lab.host.name)
    assert journal["mapping"].startswith("xcopy-hostsystem-")
    assert {"volume", "lun", "disk"} <= set(journal)
    assert lease["spec"]["holderIdentity"].startswith("populate-pod_")
    assert lease["spec"]["holderIdentity"].endswith("-1")


def test_a_device_visible_and_on_takes_no_slot_at_all(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "admins-group")
    for number in range(2):
        occupy(lab, number)
    with run(lab, target) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert shaken(lab) == ["clone"]


def test_who_waits_sees_that_anothers_rescan_has_done_his_work(lab: Lab) -> None:
    target = lab.add_target()
    for number in range(2):
        occupy(lab, number)
    with run(lab, target) as program:
        program.wait_for(waiting)
        lab.host.stack.add(lab.host.adapters)  # as the rescan of a slot's holder would
        lab.kube.admin.change(
            slot(lab, 0), lambda lease: lease["spec"].update(leaseTransitions=7)
        )  # an event
        program.wait_for(lambda line: line["message"] == "copy started", 10)
        assert {lease["spec"]["holderIdentity"] for lease in held(lab)} == {"somebody-0", "somebody-1"}
        for number in range(2):
            give_back(lab, number)
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert shaken(lab) == ["clone", "detach", "detached remove", "rescan delete"]


def test_the_teardown_goes_on_without_a_slot_and_says_so(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with run(lab, target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        for number in range(2):
            occupy(lab, number)
        program.signal(signal.SIGTERM)
        told = time.monotonic()
        assert program.wait(GRACE) == 9, program.text()
        assert time.monotonic() - told < 28
    said = [line["message"] for line in program.lines if "going on without it" in str(line["message"])]
    assert [message.rpartition(": ")[2] for message in said] == ["detach.", "remove dead paths."]
    assert others_apart(lab, target) == []


def test_dead_paths_that_anothers_removal_took_need_no_slot(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with run(lab, target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        for number in range(2):
            occupy(lab, number)
        program.signal(signal.SIGTERM)  # so that the detach does not wait long for a slot
        wait_until(lambda: len([line for line in program.lines if waiting(line)]) == 2)
        assert lab.host.device_status(target.naa)
        assert not lab.san.mappings(target.naa)
        lab.host.stack.delete(lab.host.adapters, frozenset())  # as the removal of a slot's holder would
        lab.kube.admin.change(slot(lab, 0), lambda lease: lease["spec"].update(leaseTransitions=7))
        assert program.wait(60) == 9, program.text()
    assert others_apart(lab, target) == []
    assert "rescan delete" not in shaken(lab)


def number_of(lease: dict[str, Any]) -> int:
    return int(lease["metadata"]["name"][-1])


@pytest.mark.parametrize("phase", ["waiting for a slot", "rescan", "clone", "teardown"])
def test_told_to_stop(lab: Lab, phase: str) -> None:
    target = lab.add_target()
    lab.host.rescan_seconds = 3.0
    lab.host.copy_seconds = 4.0
    lab.host.forget_seconds = 3.0
    if phase == "waiting for a slot":
        for number in range(2):
            occupy(lab, number)
    with run(lab, target) as program:
        match phase:
            case "waiting for a slot":
                program.wait_for(waiting)
            case "rescan":
                wait_until(lambda: lab.host.history)
            case "clone":
                program.wait_for(lambda line: line["message"] == "copy started")
            case _:
                wait_until(lambda: lab.host.history and lab.host.history[-1].name == "rescan delete", 40)
        program.signal(signal.SIGTERM)
        told = time.monotonic()
        code = program.wait(GRACE)
        assert time.monotonic() - told < 28
    assert code == (0 if phase == "teardown" else 9), program.text()
    assert "undoFailures" not in program.message
    assert others_apart(lab, target) == []
    assert lab.copied(target) == (code == 0)
    assert lab.host.clones_started[target.naa] == (phase in {"clone", "teardown"})


@pytest.mark.parametrize("fault", ["hang", "before"])
@pytest.mark.long
def test_an_api_server_that_never_comes_back_keeps_nobody_beyond_the_pods_time(lab: Lab, fault: str) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 3.0
    with run(lab, target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.ledger.reset(lambda call: fault if call.service == "kubernetes" else None)
        program.signal(signal.SIGTERM)
        told = time.monotonic()
        assert program.wait(GRACE) == 9, program.text()
        assert time.monotonic() - told < 28
    lab.ledger.reset()
    assert "undoFailures" not in program.message
    # A claim that hung was done all the same; nobody renews it, so it runs out.
    assert [left for left in lab.leftovers(target) if "is held by populate-pod" not in left] == []


@pytest.mark.wrappers("0.3.3")
def test_a_copy_that_outlasts_the_pod_is_written_down_in_a_slot_that_runs_out(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with run(lab, target) as program:
        started = program.wait_for(lambda line: line["message"] == "copy started")
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 8, program.text()
    assert lab.host.running_copies == [target.naa]
    assert lab.host.device_status(target.naa) == "on"
    (lease,) = held(lab)
    journal = json.loads(lease["metadata"]["annotations"]["xcopy-populator/journal"])
    assert (journal["task"], journal["device"]) == (started["task"], target.naa)
    assert "may be running" in journal["left"]


def test_a_slot_lost_in_mid_rescan_harms_nobody_and_stops_nothing(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.rescan_seconds = 8.0
    with run(lab, target, HOST_LEASE_DURATION_SECONDS="3") as program:
        (lease,) = wait_until(lambda: held(lab))
        number = number_of(lease)
        wait_until(lambda: lab.host.history)
        occupy(lab, number)
        program.wait_for(lambda line: "was lost to" in str(line["message"]))
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert others_apart(lab, target) == []


def test_a_copy_that_fails_puts_everything_back(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    lab.host.faults.dies_at = 50
    with run(lab, target) as program:
        assert program.wait() == 7, program.text()
    assert not {"undoFailures", "left"} & set(program.message)
    assert lab.leftovers(target) == []


@pytest.mark.long
def test_ten_disks_at_once_shake_the_host_two_at_a_time_and_copy_together(lab: Lab) -> None:
    lab.host.rescan_seconds = 0.5
    lab.host.copy_seconds = 6.0
    targets = [lab.add_target() for _ in range(10)]
    programs = [run(lab, target, HOSTNAME=f"pod-{n}") for n, target in enumerate(targets)]
    for program in programs:
        program.__enter__()
    try:
        for program in programs:
            assert program.wait() == 0, program.text()
    finally:
        for program in programs:
            program.__exit__(None, None, None)
    steps = [operation for operation in lab.host.history if operation.name != "clone"]
    for step in steps:
        assert len([o for o in steps if o.start <= step.start < (o.end or step.start)]) <= 2, steps
    assert lab.host.max_overlap > 4, "the copies ran together"
    for target in targets:
        assert lab.copied(target)
        assert lab.leftovers(target) == []
