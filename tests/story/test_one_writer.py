"""One writer for a volume: two runs for one PVC, at once or after each other, on one host or on two."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.lab import world
from tests.lab.faults import Call
from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, SVM, TARGET_NAMESPACE, Lab, Target
from tests.lab.program import Program

HOUR = 3600


def lease_of(target: Target) -> str:
    return path("leases", TARGET_NAMESPACE, f"xcopy-volume-{target.uid}")


def run_of(lab: Lab, target: Target, pod: str, host: str = world.PLAIN_HOST, **environment: str) -> Program:
    """Return a run by a pod of that name, on that host."""
    program = lab.program(
        target,
        arguments={"migration-host": lab.hosts[host].moid},
        environment={"HOSTNAME": pod, **environment},
    )
    program.message_file = lab.directory / f"termination-{pod}.json"
    program.arguments = [
        f"--termination-message-path={program.message_file}" if "termination" in argument else argument
        for argument in program.arguments
    ]
    return program


def slow_maps(call: Call) -> str | None:
    return "pause 3" if call.label.startswith("POST") and call.label.endswith("lun-maps") else None


@pytest.mark.parametrize("second", [world.PLAIN_HOST, world.OTHER_HOST])
def test_of_two_runs_that_begin_at_once_one_writes(lab: Lab, second: str) -> None:
    target = lab.add_target()
    for host in lab.hosts.values():
        host.copy_seconds = 2.0
    lab.ledger.reset(slow_maps)
    with run_of(lab, target, "populate-a") as a, run_of(lab, target, "populate-b", second) as b:
        codes = {"populate-a": a.wait(), "populate-b": b.wait()}
    assert sorted(codes.values()) == [0, 3], a.text() + b.text()
    winner, loser = ("populate-a", b) if codes["populate-a"] == 0 else ("populate-b", a)
    assert f"Pod {winner} is filling PersistentVolumeClaim" in loser.message["text"]
    assert f"oc get lease xcopy-volume-{target.uid}" in loser.message["hint"]
    assert "map the LUN" not in loser.phases, "it touched nothing"
    assert sum(host.clones_started[target.naa] for host in lab.hosts.values()) == 1
    assert lab.copied(target)
    assert lab.leftovers(target) == []


def test_a_volume_that_was_filled_is_not_filled_again_unless_somebody_says_so(lab: Lab) -> None:
    target = lab.add_target()
    with run_of(lab, target, "populate-a") as first:
        assert first.wait() == 0, first.text()
    target.lun.write_bytes(b"written by the VM".ljust(world.DISK_SIZE, b"."))
    with run_of(lab, target, "populate-b", world.OTHER_HOST) as again:
        assert again.wait() == 3, again.text()
    assert "has been filled already, by populate-a 20" in again.message["text"]
    assert f"oc delete lease xcopy-volume-{target.uid} -n {TARGET_NAMESPACE}" in again.message["hint"]
    assert target.lun.read_bytes().startswith(b"written by the VM")
    assert lab.leftovers(target) == []
    lab.kube.admin.delete(lease_of(target))
    with run_of(lab, target, "populate-b", world.OTHER_HOST) as deliberate:
        assert deliberate.wait() == 0, deliberate.text()
    assert lab.copied(target)


def test_a_failed_run_leaves_the_place_free(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.faults.locked.add(world.PLAIN_DISK)
    with run_of(lab, target, "populate-a") as failed:
        assert failed.wait() == 7, failed.text()
    lab.host.faults.locked.clear()
    with run_of(lab, target, "populate-b") as again:
        assert again.wait() == 0, again.text()
    assert lab.copied(target)


def test_a_dead_writers_place_is_taken_when_its_lease_has_run_out(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.rescan_seconds = 30.0  # it dies before its copy begins
    with run_of(lab, target, "populate-a", HOST_LEASE_DURATION_SECONDS="4") as dead:
        dead.wait_for_phase("discover the device")
    lab.host.rescan_seconds = 0.0
    with run_of(lab, target, "populate-b", HOST_LEASE_DURATION_SECONDS="4") as heir:
        assert heir.wait() == 0, heir.text()
    assert 3 < heir.phases["become the volume's writer"] < 8
    assert lab.copied(target)


def test_the_lease_belongs_to_the_pvc(lab: Lab) -> None:
    target = lab.add_target()
    with run_of(lab, target, "populate-a") as run:
        assert run.wait() == 0, run.text()
    lease = lab.kube.admin.get(lease_of(target))
    assert lease["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": target.pvc, "uid": target.uid}
    ]
    assert not lease["spec"].get("holderIdentity")


# --- queued for hours


def take_slots(lab: Lab) -> list[str]:
    """Hold both slots of the host, as two others that are at work; return where they are."""
    held = []
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for number in range(2):
        name = f"esxi-lock-{lab.host.moid}-slot-{number}"
        spec = {"holderIdentity": f"other-{number}", "leaseDurationSeconds": HOUR, "renewTime": now}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "labels": {"xcopy-populator/host": lab.host.moid}},
            "spec": spec,
        }
        lab.kube.admin.create(path("leases", LEASE_NAMESPACE), body)
        held.append(path("leases", LEASE_NAMESPACE, name))
    return held


def free_slots(lab: Lab, slots: list[str]) -> None:
    for slot in slots:
        lab.kube.edit(slot, lambda it: it["spec"].update(holderIdentity=""))


def map_to_node(lab: Lab, target: Target) -> None:
    """Let a node see the LUN, as when the VM starts."""
    group = lab.array.add_group("node-of-the-cluster", SVM, ["iqn.2004-10.com.example:node"], "iscsi")
    lab.array.add_map(target.lun_uuid, group)


def take_and_give_back(lab: Lab, target: Target) -> None:
    """Let somebody else hold the writer's lease for a while, as a run that began when we were cut off."""
    taken = lab.kube.admin.change(
        lease_of(target), lambda it: it["spec"].update(holderIdentity="somebody", leaseDurationSeconds=HOUR)
    )
    lab.kube.edit(lease_of(target), lambda it: it["spec"].update(holderIdentity=""))
    assert taken["spec"]["holderIdentity"] == "somebody"


def wait_until_held_again(lab: Lab, target: Target) -> None:
    deadline = time.monotonic() + 20
    name = lease_of(target).rpartition("/")[2]
    while not lab.kube.lease_holders(TARGET_NAMESPACE).get(name, "").startswith("populate-b"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


MEANWHILE: dict[str, tuple[int, str, Callable[[Lab, Target], object]]] = {
    "another run finished": (
        3,
        "another run has filled it",
        lambda lab, target: lab.kube.rebind(target.pvc, TARGET_NAMESPACE),
    ),
    "a node sees the LUN": (3, "was mapped to node-of-the-cluster since this run began", map_to_node),
    "the PVC is gone": (
        3,
        "There is no PersistentVolumeClaim",
        lambda lab, target: lab.kube.admin.delete(
            path("persistentvolumeclaims", TARGET_NAMESPACE, target.pvc)
        ),
    ),
    "somebody else had the writer's place": (3, "was another's meanwhile", take_and_give_back),
    "the writer's lease was deleted": (
        3,
        "was another's meanwhile",
        lambda lab, target: lab.kube.admin.delete(lease_of(target)),
    ),
    "the writer's lease was taken": (
        3,
        "was lost",
        lambda lab, target: lab.kube.edit(
            lease_of(target),
            lambda it: it["spec"].update(holderIdentity="somebody", leaseDurationSeconds=HOUR),
        ),
    ),
}


@pytest.mark.parametrize("name", MEANWHILE)
def test_a_run_that_has_queued_looks_again_and_gives_way(lab: Lab, name: str) -> None:
    code, says, happens = MEANWHILE[name]
    target = lab.add_target()
    slots = take_slots(lab)
    with run_of(lab, target, "populate-b", HOST_LEASE_DURATION_SECONDS="4") as queued:
        queued.wait_for_phase("wait for a slot of the host")
        happens(lab, target)
        if "taken" in name:
            queued.wait_for(lambda line: "was lost to somebody" in line["message"])
        elif code == 3 and "writer" in name:
            wait_until_held_again(lab, target)
        free_slots(lab, slots)
        assert queued.wait() == code, queued.text()
    assert says in queued.message["text"]
    assert lab.host.clones_started[target.naa] == 0
    assert queued.status.result != "success"
    ours = {"node-of-the-cluster", "somebody"}
    assert [one for one in lab.leftovers(target) if not any(word in one for word in ours)] == []


def test_losing_the_writers_lease_does_not_stop_a_copy(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 4.0
    with run_of(lab, target, "populate-a", HOST_LEASE_DURATION_SECONDS="4") as run:
        run.wait_for(lambda line: line["message"] == "copy started")
        lab.kube.edit(
            lease_of(target),
            lambda it: it["spec"].update(holderIdentity="somebody", leaseDurationSeconds=HOUR),
        )
        assert run.wait() == 0, run.text()
    assert lab.copied(target)
    assert lab.kube.admin.get(lease_of(target))["spec"]["holderIdentity"] == "somebody", "not written over"


# --- surroundings


@pytest.mark.any_kube
def test_a_writer_that_releases_lets_the_one_that_waits_begin(lab: Lab) -> None:
    """Seen to be held, then freed before it was renewed: whoever waits need not wait for the expiry."""
    target = lab.add_target()
    spec = {
        "holderIdentity": "other",
        "leaseDurationSeconds": HOUR,
        "renewTime": "2026-01-01T00:00:00.000000Z",
    }
    name = lease_of(target).rpartition("/")[2]
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {"xcopy-populator/host": target.uid}},
        "spec": spec,
    }
    lab.kube.admin.create(path("leases", TARGET_NAMESPACE), body)
    with run_of(lab, target, "populate-b") as waiting:
        waiting.wait_for(lambda line: "held by other" in line["message"])
        lab.kube.edit(lease_of(target), lambda it: it["spec"].update(holderIdentity=""))
        assert waiting.wait() == 0, waiting.text()
    assert lab.copied(target)
