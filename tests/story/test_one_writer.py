"""One writer for a volume: two runs for one PVC, at once or after each other, on one host or on two."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.lab import world
from tests.lab.arrays import iscsi
from tests.lab.faults import Call, Ledger, proxy
from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target
from tests.lab.program import Program
from tests.lab.waiting import wait_until

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


def take_slots(lab: Lab, host: str = world.PLAIN_HOST) -> list[str]:
    """Hold both slots of a host, as two others that are at work; return where they are."""
    held, moid = [], lab.hosts[host].moid
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for number in range(2):
        name = f"esxi-lock-{moid}-slot-{number}"
        spec = {"holderIdentity": f"other-{number}", "leaseDurationSeconds": HOUR}
        spec |= {"acquireTime": now, "renewTime": now}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "labels": {"xcopy-populator/host": moid}},
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
    group = lab.array.add_group("node-of-the-cluster", [iscsi("iqn.2004-10.com.example:node")])
    lab.array.add_map(target.volume, group)


def take_and_give_back(lab: Lab, target: Target) -> None:
    """Let somebody else hold the writer's lease for a while, as a run that began when we were cut off."""
    taken = lab.kube.admin.change(
        lease_of(target), lambda it: it["spec"].update(holderIdentity="somebody", leaseDurationSeconds=HOUR)
    )
    lab.kube.edit(lease_of(target), lambda it: it["spec"].update(holderIdentity=""))
    assert taken["spec"]["holderIdentity"] == "somebody"


def wait_until_held_again(lab: Lab, target: Target) -> None:
    name = lease_of(target).rpartition("/")[2]
    wait_until(lambda: lab.kube.lease_holders(TARGET_NAMESPACE).get(name, "").startswith("populate-b"))


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
    "somebody else had the writer's place": (3, "was held by another run meanwhile", take_and_give_back),
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
        elif "writer" in name:
            wait_until_held_again(lab, target)
        free_slots(lab, slots)
        assert queued.wait() == code, queued.text()
    assert says in queued.message["text"]
    assert lab.host.clones_started[target.naa] == 0
    assert queued.status.result != "success"
    ours = {"node-of-the-cluster", "somebody"}
    assert [one for one in lab.leftovers(target) if not any(word in one for word in ours)] == []


def test_a_deleted_writers_lease_is_made_again_where_nobody_has_had_it_meanwhile(lab: Lab) -> None:
    target = lab.add_target()
    slots = take_slots(lab)
    with run_of(lab, target, "populate-b", HOST_LEASE_DURATION_SECONDS="4") as queued:
        queued.wait_for_phase("wait for a slot of the host")
        lab.kube.admin.delete(lease_of(target))
        wait_until_held_again(lab, target)
        free_slots(lab, slots)
        assert queued.wait() == 0, queued.text()
    metadata = lab.kube.admin.get(lease_of(target))["metadata"]
    assert metadata["ownerReferences"][0]["uid"] == target.uid
    assert "populated" in metadata["annotations"]["xcopy-populator/outcome"]


def rob(lab: Lab, target: Target) -> None:
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": HOUR}
    lab.kube.edit(lease_of(target), lambda it: it["spec"].update(spec))


def test_losing_the_writers_lease_does_not_stop_a_copy_but_is_no_success(lab: Lab) -> None:
    """Somebody else may begin to write at any moment: nobody is to use the volume yet."""
    target = lab.add_target()
    lab.host.copy_seconds = 4.0
    with run_of(lab, target, "populate-a", HOST_LEASE_DURATION_SECONDS="4") as run:
        run.wait_for(lambda line: line["message"] == "copy started")
        rob(lab, target)
        assert run.wait() == 3, run.text()
    assert "The copy is complete, but the writer's lease" in run.message["text"]
    assert "lost to somebody" in run.message["text"]
    assert (run.status.result, run.status.progress) == ("failure", 99)
    assert lab.copied(target)
    assert [one for one in lab.leftovers(target) if "somebody" not in one] == []
    lease = lab.kube.admin.get(lease_of(target))
    assert lease["spec"]["holderIdentity"] == "somebody", "not written over"
    assert "xcopy-populator/outcome" not in lease["metadata"]["annotations"]


def test_a_place_that_was_lost_for_a_while_in_mid_copy_does_no_harm(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 6.0
    with run_of(lab, target, "populate-a", HOST_LEASE_DURATION_SECONDS="4") as run:
        run.wait_for(lambda line: line["message"] == "copy started")
        rob(lab, target)
        run.wait_for(lambda line: "was lost to somebody" in line["message"])
        lab.kube.edit(lease_of(target), lambda it: it["spec"].update(holderIdentity=""))
        assert run.wait() == 0, run.text()
    assert lab.copied(target)
    assert (
        "populated"
        in lab.kube.admin.get(lease_of(target))["metadata"]["annotations"]["xcopy-populator/outcome"]
    )


# --- the API server away


@pytest.mark.any_kube
def test_a_place_that_is_not_certain_right_before_the_copy_is_waited_for(lab: Lab) -> None:
    target = lab.add_target()
    away, name = threading.Event(), f"xcopy-volume-{target.uid}"
    lab.ledger.reset(lambda call: "before" if away.is_set() and name in call.label else None)
    slots = take_slots(lab)
    with run_of(lab, target, "populate-a", HOST_LEASE_DURATION_SECONDS="3") as run:
        run.wait_for_phase("wait for a slot of the host")
        away.set()
        time.sleep(3.5)  # so that the others may have taken it
        free_slots(lab, slots)
        run.wait_for_phase("clone")
        with pytest.raises(TimeoutError):
            run.wait(3)
        assert lab.host.clones_started[target.naa] == 0
        away.clear()
        assert run.wait() == 0, run.text()
    assert lab.copied(target)


@pytest.mark.any_kube
def test_a_success_is_written_down_though_the_api_server_is_away_at_that_moment(lab: Lab) -> None:
    target = lab.add_target()
    away, name = threading.Event(), f"xcopy-volume-{target.uid}"
    lab.ledger.reset(lambda call: "before" if away.is_set() and name in call.label else None)
    lab.host.copy_seconds = 2.0
    with run_of(lab, target, "populate-a") as run:
        run.wait_for(lambda line: line["message"] == "copy started")
        away.set()
        run.wait_for_phase("undo")
        time.sleep(5.0)
        away.clear()
        assert run.wait() == 0, run.text()
    assert (
        "populated"
        in lab.kube.admin.get(lease_of(target))["metadata"]["annotations"]["xcopy-populator/outcome"]
    )


@pytest.mark.any_kube
@pytest.mark.long
def test_a_success_that_cannot_be_written_down_is_one_all_the_same_and_ends_in_time(lab: Lab) -> None:
    target = lab.add_target()
    away, name = threading.Event(), f"xcopy-volume-{target.uid}"
    lab.ledger.reset(lambda call: "hang" if away.is_set() and name in call.label else None)
    lab.host.copy_seconds = 2.0
    with run_of(lab, target, "populate-a") as run:
        run.wait_for(lambda line: line["message"] == "copy started")
        away.set()
        run.wait_for_phase("undo")
        time.sleep(2.0)
        began = time.monotonic()
        run.signal(signal.SIGTERM)
        assert run.wait(30) == 0, run.text()
        assert time.monotonic() - began < 28.0
    assert [line for line in run.lines if f"{name} could not be released in time" in line["message"]]
    assert lab.copied(target)


# --- cut off


@pytest.mark.any_kube
def test_a_zombie_that_comes_back_does_not_write_over_the_vm(lab: Lab) -> None:
    """A run is cut off from the API server while it queues; another one fills the volume, and the VM starts."""
    target = lab.add_target()
    slots = take_slots(lab)
    cut_off, own = threading.Event(), Ledger()
    own.reset(lambda call: "before" if cut_off.is_set() else None)
    contexts = lab.pki.server_context("kubernetes-proxy-of-a"), lab.pki.client_context()
    with proxy("kubernetes", ("127.0.0.1", lab.kube.port), own, *contexts) as port:
        token = lab.kube.service_account_token(TARGET_NAMESPACE, "populator")
        kubeconfig = lab.kube.kubeconfig(lab.directory / "of-a", token=token, port=port)
        short = {"HOST_LEASE_DURATION_SECONDS": "4"}
        with run_of(lab, target, "populate-a", KUBECONFIG=str(kubeconfig), **short) as zombie:
            zombie.wait_for(lambda line: line["message"].startswith("Waiting for the host lease"))
            cut_off.set()
            with run_of(lab, target, "populate-b", **short) as other:
                other.wait_for(lambda line: line["message"].startswith("Waiting for the host lease"))
                free_slots(lab, slots)
                assert other.wait() == 0, other.text()
            lab.kube.rebind(target.pvc, TARGET_NAMESPACE)
            target.lun.write_bytes(b"written by the VM".ljust(world.DISK_SIZE, b"."))
            lab.map_to_host(
                target, f"xcopy-hostsystem-{lab.host.moid}-iscsi"
            )  # as if our mapping were there still
            cut_off.clear()
            assert zombie.wait() == 3, zombie.text()
    assert (
        "was held by another run meanwhile" in zombie.message["text"] or "was lost" in zombie.message["text"]
    )
    assert target.lun.read_bytes().startswith(b"written by the VM")
    assert lab.leftovers(target) == []


# --- surroundings


@pytest.mark.any_kube
def test_a_writer_that_releases_lets_the_one_that_waits_begin(lab: Lab) -> None:
    """Seen to be held, then freed before it was renewed: whoever waits need not wait for the expiry."""
    target = lab.add_target()
    spec = {
        "holderIdentity": "other",
        "leaseDurationSeconds": HOUR,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
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
