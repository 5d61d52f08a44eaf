"""The host lease against a Kubernetes API: real requests, real processes, a proxy that breaks calls when told to."""

import functools
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lease.decision import STRANGERS_PROMISE
from lease.errors import LeaseError, LeaseLost
from lease.hostlock import TEARDOWN_WAITS, Held, HostLock
from lease.kube.api import READY_PATH, Api, ApiError
from lease.ports import Observer
from lease.record import AUTHOR, FREE_FOR, HOST_LABEL, JOURNAL, micro_time
from lease.stepwise import AT_ONCE, StepLock
from lease.throughout import CopyLock
from lease.waiting import REFUSED_FOR
from populator.clock import Clock
from tests.lab.faults import Call, Ledger, proxy
from tests.lab.kube import Client, Kube, Refused, path
from tests.lab.pki import Pki

DURATION = 3
LONG = 60
"""a duration with which nothing expires or falls due while a test runs, so that what happens has been told"""
PATIENCE = 60.0
"""seconds for what is sure to come; how fast it comes is measured in the bench"""
ROOT = Path(__file__).resolve().parents[3]
RBAC = "rbac.authorization.k8s.io"
LEASE_VERBS = ["get", "list", "watch", "create", "update"]


def wait_for(condition: Callable[[], Any], within: float = PATIENCE) -> Any:
    deadline = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return result


class Fast(Clock):
    """A clock on which a 403 is believed soon; remote calls take their real time."""

    def now(self) -> float:
        return super().now() * 500


def allowed(call: Callable[[], Any]) -> bool:
    """Whether a call is not forbidden, be it successful or not."""
    try:
        call()
    except Refused as refused:
        return refused.status not in {401, 403}
    return True


@dataclass
class World:
    """A namespace of leases, seen through a proxy as the populator's service account, and directly as an admin."""

    namespace: str
    kubeconfig: Path
    admin: Client
    mine: Client
    """as the service account, but without the proxy"""
    ledger: Ledger

    def grant(self, verbs: list[str]) -> None:
        """Give the service account these rights on leases and no others, and wait until the server knows."""
        rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}
        metadata = {"name": "populator", "namespace": self.namespace}
        self.admin.apply({"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]})
        leases, nobody = path("leases", self.namespace), {"labelSelector": "no=one"}
        probe = {"metadata": {"name": "NOT A NAME"}, "spec": {"leaseDurationSeconds": 0}}
        tries: dict[str, Callable[[], Any]] = {
            "get": lambda: self.mine.get(f"{leases}/probe"),
            "list": lambda: self.mine.get(leases),
            "watch": lambda: list(self.mine.watch(leases, timeoutSeconds="1", **nobody)),
            "create": lambda: self.mine.create(leases, probe),
            "update": lambda: self.mine.replace(f"{leases}/probe", probe),
        }
        # One change of the role: the server learns of it as a whole, so the slow probe of a watch is rarely needed.
        for verb in tries.keys() - ({"watch"} if "watch" in verbs else set()):
            wait_for(functools.partial(lambda verb: allowed(tries[verb]) == (verb in verbs), verb))

    def lock(
        self,
        identity: str,
        slots: int = 2,
        duration: int = DURATION,
        kubeconfig: Path | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> HostLock:
        api = Api.connect(str(kubeconfig or self.kubeconfig))
        return HostLock(
            api,
            namespace=self.namespace,
            identity=identity,
            duration=duration,
            clock=clock or Clock(),
            slots=slots,
            observer=observer,
        )

    def slot(self, number: int = 0, host: str = "host-1") -> str:
        return path("leases", self.namespace, f"esxi-lock-{host}-slot-{number}")

    def lease(self, number: int = 0, host: str = "host-1") -> Any:
        return self.admin.get(self.slot(number, host))

    def holder(self, number: int = 0, host: str = "host-1") -> str:
        return str(self.lease(number, host)["spec"].get("holderIdentity") or "")

    def stranger(self, number: int, host: str, *, author: str = "", **spec: Any) -> None:
        """Put a record there as another program, or a hand, might have written it; with an author, as one of ours."""
        name = self.slot(number, host).rpartition("/")[2]
        lease = {
            "metadata": {"name": name, "namespace": self.namespace, "annotations": {AUTHOR: author}},
            "spec": {"holderIdentity": "stranger", **spec},
        }
        self.admin.create(
            path("leases", self.namespace), {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease}
        )

    def labels(self) -> list[str]:
        return [call.label.split(" ")[0] for call in self.ledger.calls]

    @contextmanager
    def process(self, identity: str, host: str = "host-1", duration: int = DURATION) -> Iterator["Process"]:
        command = [sys.executable, "-m", "tests.contract.lease.holder"]
        popen = subprocess.Popen(
            [*command, str(self.kubeconfig), self.namespace, identity, str(duration), host],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        try:
            yield Process(popen)
        finally:
            popen.kill()
            popen.communicate()


@dataclass
class Process:
    popen: "subprocess.Popen[str]"

    def says(self) -> dict[str, Any]:
        assert self.popen.stdout
        line = self.popen.stdout.readline()
        assert line, "the holder ended without a word"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, line: str) -> None:
        assert self.popen.stdin
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.close()
        self.popen.stdin = None


@pytest.fixture
def world(kube: Kube, pki: Pki, tmp_path: Path) -> Iterator[World]:
    namespace = f"leases-{uuid.uuid4().hex[:8]}"
    metadata = {"name": "populator", "namespace": namespace}
    role, subject = (
        {"kind": "Role", "name": "populator", "apiGroup": RBAC},
        {"kind": "ServiceAccount", **metadata},
    )
    binding = {"kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]}
    kube.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    kube.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    kube.admin.apply({"apiVersion": f"{RBAC}/v1", **binding})
    token, ledger = kube.service_account_token(namespace, "populator"), Ledger()
    contexts = pki.server_context("proxy"), pki.client_context()
    with proxy("kubernetes", ("127.0.0.1", kube.port), ledger, *contexts) as port:
        kubeconfig = kube.kubeconfig(tmp_path, token=token, port=port)
        world = World(namespace, kubeconfig, kube.admin, kube.client(token), ledger)
        world.grant(LEASE_VERBS)
        yield world


class Background:
    """A rival in a thread of its own: takes the lease, notes when, and holds it until told."""

    def __init__(self, lock: HostLock, *hosts: str) -> None:
        self.lock, self.hosts = lock, hosts or ("host-1",)
        self.got = threading.Event()
        self.at = 0.0
        self.held: Held | None = None
        self.error: LeaseError | None = None
        self.let_go = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            with self.lock.hold(*self.hosts) as self.held:
                self.at = time.monotonic()
                self.got.set()
                self.let_go.wait(2 * PATIENCE)
        except LeaseError as error:
            self.error = error
            self.got.set()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, *error: object) -> None:
        self.let_go.set()
        self.thread.join(PATIENCE)


def test_a_hold_takes_few_calls_and_leaves_a_free_record(world: World) -> None:
    with world.lock("first").hold("host-1"):
        pass
    assert world.labels() == ["GET", "GET", "POST", "PUT"], "a look at the other one, as the first is missing"
    world.ledger.reset()
    with world.lock("first").hold("host-1") as held:
        number = int(held.slot[-1])
        spec = world.lease(number)["spec"]
        assert spec["holderIdentity"] == "first"
        assert spec["leaseDurationSeconds"] == DURATION
        assert held.inherited is None
    assert world.labels() == ["GET", "PUT", "PUT"]
    lease = world.lease(number)
    assert not lease["spec"].get("holderIdentity")
    assert lease["spec"]["leaseDurationSeconds"] == DURATION
    freed = datetime.fromisoformat(lease["spec"]["renewTime"]) + timedelta(seconds=DURATION + FREE_FOR)
    assert abs(freed - datetime.now(UTC)) < timedelta(seconds=5)
    assert JOURNAL not in lease["metadata"].get("annotations", {})
    assert lease["metadata"]["labels"][HOST_LABEL] == "host-1"


def test_two_hold_a_third_waits_and_gets_the_slot_when_it_hears_of_the_release(world: World) -> None:
    world.lock("first", duration=LONG).prepare("host-1")
    with ExitStack() as stack:
        first = stack.enter_context(Background(world.lock("first", duration=LONG)))
        second = stack.enter_context(Background(world.lock("second", duration=LONG)))
        assert first.got.wait(PATIENCE)
        assert second.got.wait(PATIENCE)
        assert {world.holder(0), world.holder(1)} == {"first", "second"}
        third = stack.enter_context(Background(world.lock("third", duration=LONG)))
        wait_for(lambda: any("GET" in c.label and c.label.endswith("leases") for c in world.ledger.calls))
        assert not third.got.wait(1), "both slots are held"
        world.ledger.reset()
        first.let_go.set()
        assert third.got.wait(LONG / 4), (
            "its next look is due after half the duration, and an expiry after all of it"
        )
        assert world.labels() == ["PUT", "PUT"], "a release, and a claim without a look"
        assert third.held
        assert third.held.inherited is None
        assert third.held.waited > 1


def test_of_several_hosts_the_preferred_one_is_taken_else_one_that_is_free(world: World) -> None:
    hosts = ("host-1", "host-2")
    world.lock("first", slots=1, duration=LONG).prepare(*hosts)
    assert [world.holder(0, host) for host in hosts] == ["", ""], "both are created, free"
    lock, rival = (world.lock(name, slots=1, duration=LONG) for name in ("first", "second"))
    with lock.hold(*hosts) as first, rival.hold(*hosts) as second:
        assert (first.host, second.host) == hosts
        assert second.title == "host lease of host-2"
        assert [world.holder(0, host) for host in hosts] == ["first", "second"]


def test_who_waits_for_several_hosts_hears_of_a_release_at_any_by_one_watch(world: World) -> None:
    hosts = ("host-1", "host-2", "host-3")
    world.lock("first", slots=1, duration=LONG).prepare(*hosts)
    with ExitStack() as stack:
        held = [Background(world.lock(f"for-{host}", slots=1, duration=LONG), host) for host in hosts]
        for each in held:
            stack.enter_context(each)
            assert each.got.wait(PATIENCE)
        world.ledger.reset()
        waiter = stack.enter_context(Background(world.lock("waiter", slots=1, duration=LONG), *hosts))
        wait_for(lambda: world.labels().count("GET") == 2)
        assert not waiter.got.wait(1), "all slots are held"
        assert world.labels() == ["GET", "GET"], "a list, and a watch"
        held[2].let_go.set()
        assert waiter.got.wait(LONG / 4)
        assert waiter.held
        assert waiter.held.host == "host-3"
        assert world.labels().count("GET") == 2


def test_a_waiters_calls_are_few(world: World) -> None:
    with Background(world.lock("holder", slots=1)) as holder:
        assert holder.got.wait(PATIENCE)
        world.ledger.reset()
        waiter = Background(world.lock("waiter", slots=1))
        wait_for(lambda: world.labels().count("PUT") > 6)
        assert not waiter.got.is_set()
        calls = list(world.ledger.calls)
        renewed = [call.at for call in calls if call.label.startswith("PUT")]
        assert len(renewed) <= 2 + (renewed[-1] - renewed[0]) / (DURATION / 3), (
            "one in a third of the duration"
        )
        late = sum(b - a > DURATION / 2 for a, b in itertools.pairwise([calls[0].at, *renewed]))
        assert len(calls) - len(renewed) <= 3 + late, (
            "a look, a watch, maybe one more, and one for each silence"
        )
        holder.let_go.set()
        assert waiter.got.wait(PATIENCE)
        waiter.let_go.set()
        waiter.thread.join(PATIENCE)


def test_a_crowd_never_holds_more_than_two_and_all_get_their_turn(world: World) -> None:
    inside, most, served = [0], [0], [0]
    guard = threading.Lock()
    world.lock("first", duration=LONG).prepare("host-1")  # a missing slot beside a used one is waited for

    def one(number: int) -> None:
        with world.lock(f"pod-{number}", duration=LONG).hold("host-1") as held:
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            held.guard("rescan")
            time.sleep(0.1)
            with guard:
                inside[0] -= 1
                served[0] += 1

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert served[0] == 12
    assert most[0] == 2
    assert world.lease(0)["spec"]["leaseTransitions"] + world.lease(1)["spec"]["leaseTransitions"] == 12


def test_a_killed_holders_slot_is_had_after_its_duration_with_his_journal(world: World) -> None:
    with world.process("victim") as victim:
        assert [victim.says()["state"], victim.says()["state"]] == ["waiting", "held"]
        wait_for(lambda: "task-1" in world.lease()["metadata"]["annotations"][JOURNAL])
        with Background(world.lock("heir", slots=1)) as heir:
            wait_for(lambda: any(call.label.endswith("leases") for call in world.ledger.calls))
            victim.popen.kill()
            renewed = datetime.fromisoformat(world.lease()["spec"]["renewTime"])
            assert heir.got.wait(PATIENCE)
            taken = datetime.fromisoformat(world.lease()["spec"]["acquireTime"])
            assert DURATION <= (taken - renewed).total_seconds() < 2 * DURATION
            assert heir.held
            assert heir.held.inherited
            assert heir.held.inherited.holder == "victim"
            assert heir.held.inherited.facts == {"task": "task-1", "device": "naa.600a0980"}
            assert "task-1" not in world.lease()["metadata"]["annotations"][JOURNAL], (
                "the journal is the holder's"
            )
            assert world.lease()["spec"]["leaseTransitions"] == 1


RECORDS: dict[str, tuple[dict[str, Any], int]] = {
    "future": ({"renewTime": "2099-01-01T00:00:00.000000Z", "leaseDurationSeconds": 2}, STRANGERS_PROMISE),
    "past": ({"renewTime": "1970-01-01T00:00:00.000000Z", "leaseDurationSeconds": 11}, 11),
    "never-renewed": ({"leaseDurationSeconds": 1, "leaseTransitions": 2**31 - 1}, STRANGERS_PROMISE),
    "no-duration": ({"renewTime": "2026-01-01T00:00:00.000000Z"}, STRANGERS_PROMISE),
    "one-of-ours": ({"leaseDurationSeconds": 2, "author": "stranger"}, 2),
}
"""what a holder has written, and for how long it is believed"""


def test_only_our_own_clock_decides_when_a_record_is_dead(world: World) -> None:
    with ExitStack() as stack:
        began, waiters = time.monotonic(), {}
        for host, (spec, _) in RECORDS.items():
            world.stranger(0, host, **spec)
            own = LONG if "leaseDurationSeconds" in spec else DURATION
            waiters[host] = stack.enter_context(Background(world.lock("me", slots=1, duration=own), host))
        for host, (_, promised) in RECORDS.items():
            assert waiters[host].got.wait(PATIENCE)
            assert promised <= waiters[host].at - began < LONG / 2
            held = waiters[host].held
            assert held
            assert held.inherited
            assert held.inherited.holder == "stranger"


def test_a_holder_with_a_wrong_clock_keeps_his_slot_while_he_renews(world: World) -> None:
    world.stranger(0, "host-8", leaseDurationSeconds=2, author="stranger")

    def renew(lease: Any) -> None:
        lease["spec"]["renewTime"] = micro_time(datetime(1999, 1, 1, tzinfo=UTC))
        lease["spec"]["leaseTransitions"] = lease["spec"].get("leaseTransitions", 0) + 1

    with Background(world.lock("me", slots=1), "host-8") as me:
        for _ in range(8):
            if me.got.wait(0.6):
                break  # on a machine so busy that the renewal came too late
            last = time.monotonic()
            world.admin.change(world.slot(0, "host-8"), renew)
        assert me.got.wait(PATIENCE)
        assert me.at - last >= 2


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_a_reply_lost_after_the_commit_is_found_out_by_reading(world: World, verb: str) -> None:
    if verb == "PUT":
        with world.lock("before", slots=1).hold("host-1"):
            pass
    lost: list[int] = []

    def lose_first(call: Call) -> str | None:
        if call.label.startswith(verb) and not lost:
            lost.append(call.number)
            return "after"
        return None

    world.ledger.reset(lose_first)
    began = time.monotonic()
    with world.lock("me", slots=1, duration=LONG).hold("host-1") as held:
        assert lost
        assert time.monotonic() - began < LONG / 4, "not by an expiry, nor by the look that falls due"
        assert held.valid
        assert held.inherited is None
        assert world.holder() == "me"
    assert world.holder() == ""


def test_the_slot_is_renewed_while_the_holder_is_blocked(world: World) -> None:
    with ExitStack() as stack:
        with world.lock("me", slots=1, duration=2 * DURATION).hold("host-1") as held:
            rival = stack.enter_context(Background(world.lock("rival", slots=1)))
            first = world.lease()["spec"]["renewTime"]
            time.sleep(2 * DURATION + 1)  # as a call of minutes would
            held.guard("clone")
            assert not rival.got.is_set()
            assert world.lease()["spec"]["renewTime"] > first
            assert world.lease()["spec"]["leaseTransitions"] == 0
        assert rival.got.wait(PATIENCE)


def test_an_api_server_that_goes_away_costs_the_holder_his_certainty_and_gives_it_back(world: World) -> None:
    with world.lock("me", slots=1).hold("host-1") as held:
        held.guard("rescan")
        world.ledger.reset(lambda call: "before")
        wait_for(lambda: not held.valid)
        with pytest.raises(LeaseLost) as lost:
            held.guard("rescan")
        assert "rescan" in lost.value.text
        assert "esxi-lock-host-1-slot-0" in lost.value.hint
        threading.Timer(1.0, world.ledger.reset).start()
        with held.teardown("detach") as needed:
            assert needed
            assert held.valid, "it was waited for, and not for nothing"
    assert world.holder() == ""


def test_a_hanging_call_does_not_cost_the_slot(world: World) -> None:
    with world.lock("me", slots=1, duration=12).hold("host-1") as held:
        hung: list[int] = []

        def hang_once(call: Call) -> str | None:
            if call.label.startswith("PUT") and not hung:
                hung.append(call.number)
                return "hang"
            return None

        world.ledger.reset(hang_once)
        wait_for(lambda: hung or not held.valid)
        while world.labels().count("PUT") < 2:
            assert held.valid
            time.sleep(0.02)
        held.guard("clone")


def test_a_slot_taken_by_hand_is_lost_and_another_is_found(world: World) -> None:
    with world.lock("me").hold("host-1") as held:
        number = int(held.slot[-1])
        world.admin.change(world.slot(number), lambda lease: lease["spec"].update(holderIdentity="admin"))
        wait_for(lambda: held.slot == f"esxi-lock-host-1-slot-{1 - number}")
        held.guard("clone")
        assert world.holder(number) == "admin"
        assert world.holder(1 - number) == "me"
    assert world.holder(number) == "admin", "what is another's is left alone"
    assert world.holder(1 - number) == ""


def test_tidying_up_goes_on_without_a_slot_that_does_not_come_back(world: World) -> None:
    with world.lock("me", slots=1).hold("host-1") as held:
        world.admin.change(
            world.slot(),
            lambda lease: lease["spec"].update(holderIdentity="admin", leaseDurationSeconds=LONG),
        )
        wait_for(lambda: not held.valid)
        began = time.monotonic()
        with held.teardown("remove dead paths") as needed:
            assert needed
        waited = time.monotonic() - began
        assert not held.valid
        assert TEARDOWN_WAITS - 0.1 < waited < LONG / 2, "the admin's record is good for longer"
    assert time.monotonic() - began < LONG / 2
    assert world.holder() == "admin"


def test_a_lease_deleted_while_held_is_made_again(world: World) -> None:
    with world.lock("me", slots=1).hold("host-1") as held:
        world.admin.delete(world.slot())

        def again() -> bool:
            try:
                return world.holder() == "me"
            except Refused:
                return False

        wait_for(again)
        held.guard("clone")
    assert world.holder() == ""


def test_the_journal_is_readable_and_what_is_left_is_not_released(world: World) -> None:
    with world.lock("me", slots=1).hold("host-1") as held:
        held.note(device="naa.600a0980", phase="clone")
        held.note(phase="teardown")
        wait_for(lambda: "naa.600a0980" in world.lease()["metadata"]["annotations"][JOURNAL])
        assert json.loads(world.lease()["metadata"]["annotations"][JOURNAL]) == {
            "device": "naa.600a0980",
            "phase": "teardown",
        }
        held.leave("copy task-1 was left running")
    lease = world.lease()
    assert lease["spec"]["holderIdentity"] == "me"
    assert lease["spec"]["leaseDurationSeconds"] == DURATION
    assert json.loads(lease["metadata"]["annotations"][JOURNAL])["left"] == "copy task-1 was left running"
    began = time.monotonic()
    with Background(world.lock("heir", slots=1)) as heir:
        assert heir.got.wait(PATIENCE)
        assert heir.at - began >= DURATION
        assert heir.held
        assert heir.held.inherited
        assert heir.held.inherited.facts["left"] == "copy task-1 was left running"


def test_what_is_known_before_stands_in_the_first_write_and_costs_no_call(world: World) -> None:
    with world.lock("me", slots=1).hold("host-1", lun="lun-1", mapping="group-1") as held:
        held.note(phase="clone")
        journal = json.loads(world.lease()["metadata"]["annotations"][JOURNAL])
        assert journal == {"lun": "lun-1", "mapping": "group-1"}
        assert world.labels() == ["GET", "POST"]
    assert world.labels() == ["GET", "POST", "PUT"]


def test_the_slots_of_a_new_host_are_all_made_in_advance_and_of_another_one_none(world: World) -> None:
    world.lock("me").prepare("host-1")
    for number in range(2):
        spec = world.lease(number)["spec"]
        assert (spec.get("holderIdentity") or "", spec["leaseDurationSeconds"]) == ("", DURATION)
        assert datetime.fromisoformat(spec["renewTime"]) < datetime.now(UTC) - timedelta(seconds=DURATION)
    world.stranger(0, "host-2", leaseDurationSeconds=LONG)
    world.lock("me").prepare("host-2")
    with pytest.raises(Refused):
        world.lease(1, "host-2")


def test_a_slot_missing_beside_a_used_one_is_left_to_its_holder_for_a_while(world: World) -> None:
    world.stranger(0, "host-1", leaseDurationSeconds=LONG)
    lock = world.lock("me")
    lock.prepare("host-1")
    began = time.monotonic()
    with lock.hold("host-1") as held:
        assert held.slot == "esxi-lock-host-1-slot-1"
        assert DURATION * 2 / 3 - 0.5 < time.monotonic() - began < LONG / 4


def test_whoever_has_seen_a_slot_held_goes_on_believing_its_holder_when_it_is_deleted(world: World) -> None:
    """And hands on what the holder has left: nobody else can read it any more."""
    world.stranger(0, "host-1", leaseDurationSeconds=DURATION, author="stranger")
    world.admin.change(
        world.slot(),
        lambda lease: lease["metadata"].update(
            labels={HOST_LABEL: "host-1"}, annotations={AUTHOR: "stranger", JOURNAL: '{"task": "task-1"}'}
        ),
    )
    with Background(world.lock("heir", slots=1, duration=LONG)) as heir:
        wait_for(lambda: any(call.label.endswith("leases") for call in world.ledger.calls))
        began = time.monotonic()
        world.admin.delete(world.slot())
        world.lock("newcomer", slots=1).prepare("host-1")
        assert world.holder() == "", "made by one who cannot know"
        assert not heir.got.wait(DURATION - 1.5)
        assert heir.got.wait(LONG / 4)
        assert heir.at - began < LONG / 4
        assert heir.held
        assert heir.held.inherited
        assert heir.held.inherited.facts == {"task": "task-1"}


class Counts:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.heard.append("waiting")
        yield
        self.heard.append("waited")

    def waited(self, seconds: float) -> None:
        self.seconds.setdefault("waited", []).append(seconds)

    def renewed(self, seconds: float) -> None:
        self.seconds.setdefault("renewed", []).append(seconds)

    def renew_failed(self) -> None:
        self.heard.append("renew failed")

    def took_over(self) -> None:
        self.heard.append("took over")

    def lost(self) -> None:
        self.heard.append("lost")

    def held(self, seconds: float) -> None:
        self.seconds.setdefault("held", []).append(seconds)


def test_an_observer_hears_what_becomes_of_the_lease(world: World) -> None:
    world.stranger(0, "host-1", leaseDurationSeconds=1, author="stranger")
    counts = Counts()
    with world.lock("me", slots=1, observer=counts).hold("host-1") as held:
        wait_for(lambda: "renewed" in counts.seconds)
        assert counts.heard.count("took over") == 1
        world.ledger.reset(lambda call: "before")
        wait_for(lambda: counts.heard.count("lost"))
        assert not held.valid
        failed = counts.heard.count("renew failed")
        wait_for(lambda: counts.heard.count("renew failed") >= failed + 2)
        world.ledger.reset()
        wait_for(lambda: held.valid)
    assert counts.heard.count("lost") == 1
    assert counts.heard.count("renew failed") >= 1
    assert counts.heard.count("took over") == 1
    assert [word for word in counts.heard if word.startswith("wait")] == ["waiting", "waited"]
    assert counts.seconds["waited"][0] >= 1
    assert counts.seconds["held"][0] > counts.seconds["renewed"][0] > 0
    assert (len(counts.seconds["waited"]), len(counts.seconds["held"])) == (1, 1)


def test_who_waits_for_a_step_looks_at_most_once_a_second_and_leaves_when_it_is_done(world: World) -> None:
    looks: list[float] = []
    done = threading.Event()
    needed: list[bool] = []

    def unless() -> bool:
        looks.append(time.monotonic())
        return done.is_set()

    def wait() -> None:
        lock = StepLock(world.lock("waiter", slots=1), Clock())
        with lock.hold("host-1") as steps, steps.step("rescan", unless) as need:
            needed.append(need)

    with world.lock("holder", slots=1).hold("host-1") as held:
        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        wait_for(lambda: "GET" in world.labels())
        for number in range(30):  # events, ten a second

            def touch(lease: Any, number: int = number) -> None:
                lease["metadata"].setdefault("labels", {})["n"] = str(number)

            world.admin.change(world.slot(), touch)
            time.sleep(0.1)
        assert looks
        assert all(later - sooner > 0.95 for sooner, later in itertools.pairwise(looks))
        done.set()
        waiter.join(PATIENCE)
        assert needed == [False]
        assert held.slot
        wait_for(lambda: world.holder() == "holder")


def test_a_step_whose_slot_came_late_is_looked_at_once_more(world: World) -> None:
    needed: list[bool] = []

    def wait() -> None:
        lock = StepLock(world.lock("waiter", slots=1), Clock())
        with lock.hold("host-1") as steps, steps.step("rescan", lambda: True) as need:
            needed.append(need)

    with world.lock("holder", slots=1).hold("host-1"):
        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        wait_for(lambda: any("GET" in c.label and c.label.endswith("leases") for c in world.ledger.calls))
        time.sleep(AT_ONCE)
    waiter.join(PATIENCE)
    assert needed == [False]
    assert world.holder() == ""


def test_each_step_is_a_holder_of_its_own_and_nothing_is_held_between(world: World) -> None:
    lock = StepLock(world.lock("me", slots=1), Clock())
    with lock.hold("host-1", lun="lun-1") as steps:
        for number, name in enumerate(("rescan", "detach"), 1):
            with steps.step(name) as needed:
                assert needed
                assert world.holder() == f"me-{number}"
                journal = json.loads(world.lease()["metadata"]["annotations"][JOURNAL])
                assert journal == {"lun": "lun-1", "phase": name}
            assert world.holder() == ""


def test_a_slot_for_the_whole_copy_is_held_from_the_moment_it_is_asked_for(world: World) -> None:
    with CopyLock(world.lock("me", slots=1), Clock()).hold("host-1", lun="lun-1") as lease:
        lease.note(mapping="group-1")
        with pytest.raises(LeaseLost):
            lease.guard("clone")
        with pytest.raises(LeaseLost), lease.step("rescan"):
            pytest.fail("nothing disruptive without a slot")
        lease.acquire()
        assert world.holder() == "me"
        assert json.loads(world.lease()["metadata"]["annotations"][JOURNAL]) == {
            "lun": "lun-1",
            "mapping": "group-1",
        }
        for context in (lease.step, lease.teardown):
            with context("rescan") as needed:
                assert needed
            assert world.holder() == "me"
    assert world.holder() == ""


def test_a_step_that_has_not_begun_outlasts_a_renewal_in_trouble(world: World) -> None:
    with CopyLock(world.lock("me", slots=1), Clock()).hold("host-1") as lease:
        lease.acquire()
        away = threading.Event()
        away.set()
        world.ledger.reset(lambda call: "5xx" if away.is_set() else None)

        def uncertain() -> bool:
            try:
                lease.guard("clone")
            except LeaseLost:
                return True
            return False

        for begin in (lambda: lease.step("rescan").__enter__(), lease.settle):
            away.set()
            wait_for(uncertain)
            threading.Timer(0.3, away.clear).start()
            begin()
            lease.guard("clone")


def test_who_has_no_slot_for_the_whole_copy_tidies_up_in_one_for_each_step(world: World) -> None:
    with CopyLock(world.lock("me", slots=1), Clock()).hold("host-1", lun="lun-1") as lease:
        for number, name in enumerate(("detach", "remove dead paths"), 1):
            with lease.teardown(name) as needed:
                assert needed
                assert world.holder() == f"me-{number}"
            assert world.holder() == ""


def test_a_process_told_to_stop_leaves_the_queue_at_once(world: World) -> None:
    with (
        Background(world.lock("holder", slots=1)) as holder,
        world.process("waiter", duration=LONG) as waiter,
    ):
        assert holder.got.wait(PATIENCE)
        assert waiter.says()["state"] == "waiting"
        wait_for(
            lambda: any(call.label.endswith("leases") and "GET" in call.label for call in world.ledger.calls)
        )
        told = time.monotonic()
        waiter.popen.send_signal(signal.SIGTERM)
        assert waiter.says()["state"] == "cancelled"
        assert waiter.popen.wait(PATIENCE) == 3
        assert time.monotonic() - told < LONG / 4, "sooner than it would have looked again"
        assert world.holder() == "holder"


def test_a_process_that_ends_has_released_and_one_that_leaves_has_not(world: World) -> None:
    with world.process("one") as one:
        assert [one.says()["state"], one.says()["state"]] == ["waiting", "held"]
        one.tell("end")
        assert one.says()["state"] == "done"
        assert world.holder() == ""
    with world.process("two") as two:
        assert [two.says()["state"], two.says()["state"]] == ["waiting", "held"]
        two.tell("leave")
        assert two.says()["state"] == "done"
        assert world.holder() == "two"


def test_release_does_not_wait_for_a_server_that_does_not_answer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with world.lock("me", slots=1, duration=LONG).hold("host-1"):
        world.ledger.reset(lambda call: "hang")
    assert "could not be released in time" in caplog.text, "the call is still under way"


def test_a_release_when_told_to_stop_is_given_up_soon(world: World) -> None:
    clock = Clock()
    with world.lock("me", slots=1, duration=LONG, clock=clock).hold("host-1"):
        world.ledger.reset(lambda call: "hang")
        clock.stop()
        began = time.monotonic()
    assert time.monotonic() - began < 6.0, "and not as long as two calls that hang"


def test_one_call_that_hangs_does_not_keep_a_slot_from_being_released(world: World) -> None:
    with world.lock("me", slots=1, duration=10).hold("host-1"):
        world.ledger.reset(lambda call: "hang" if call.number == 1 else None)
    assert world.holder() == ""


@pytest.mark.parametrize("fault", ["after", "hang", "reset"])
def test_a_claim_without_an_answer_is_made_sure_of_before_another_slot_is_reached_for(
    world: World, fault: str
) -> None:
    claims = 0

    def first_claim(call: Call) -> str | None:
        nonlocal claims
        claims += "PUT" in call.label
        return fault if "PUT" in call.label and claims == 1 else None

    lock = world.lock("me", slots=2, duration=10)
    lock.prepare("host-1")
    world.ledger.reset(first_claim)
    with lock.hold("host-1") as held:
        claimed = [call.label for call in world.ledger.calls if "PUT" in call.label]
        assert len(claimed) > 1
        assert all(label.endswith(claimed[0][-1:]) for label in claimed), "all to the same slot"
        assert held.slot[-1:] == claimed[0][-1:]


def test_errors_that_pass_are_waited_out(world: World) -> None:
    end = time.monotonic() + 2
    faults = ["before", "5xx", "reset", "after", "5xx"]
    world.ledger.reset(lambda call: faults[call.number % 5] if time.monotonic() < end else None)
    with world.lock("me", slots=1, duration=LONG).hold("host-1") as held:
        held.guard("rescan")
    assert world.holder() == ""


@pytest.mark.parametrize("missing", ["get", "create", "update", "watch"])
def test_a_missing_right_ends_it_at_once_with_the_command_that_repairs_it(world: World, missing: str) -> None:
    world.stranger(0, "host-1", leaseDurationSeconds=3600)
    world.stranger(
        1, "host-1", **({"leaseDurationSeconds": 3600} if missing == "watch" else {"holderIdentity": ""})
    )
    if missing == "create":
        world.admin.delete(world.slot(1))
    world.grant([verb for verb in LEASE_VERBS if verb != missing])
    began = time.monotonic()
    with pytest.raises(LeaseError) as refused, world.lock("me").hold("host-1"):
        pass
    assert time.monotonic() - began < REFUSED_FOR / 2
    assert "forbids" in refused.value.text
    assert "host-1" in refused.value.text
    assert "oc create role" in refused.value.hint
    assert f"-n {world.namespace}" in refused.value.hint
    assert "--verb=get,list,watch,create,update --resource=leases.coordination.k8s.io" in refused.value.hint
    assert "serviceaccount=" in refused.value.hint


@pytest.mark.parametrize("missing", LEASE_VERBS)
@pytest.mark.parametrize("review", ["answered", "forbidden"])
def test_each_right_is_looked_for_before_anything_is_changed(world: World, missing: str, review: str) -> None:
    world.stranger(0, "host-1", leaseDurationSeconds=3600)
    world.stranger(1, "host-1", leaseDurationSeconds=3600)
    world.grant([verb for verb in LEASE_VERBS if verb != missing])
    world.ledger.reset(lambda call: "403" if review == "forbidden" and "reviews" in call.label else None)
    with pytest.raises(LeaseError) as refused:
        world.lock("me", clock=Fast()).prepare("host-1")
    assert f"cannot {missing} " in refused.value.text
    assert f"-n {world.namespace}" in refused.value.hint
    assert "--verb=get,list,watch,create,update --resource=leases.coordination.k8s.io" in refused.value.hint


def test_a_server_that_has_not_read_its_roles_yet_is_asked_again(world: World) -> None:
    world.ledger.reset(lambda call: "403" if call.number in {1, 3} else None)
    lock = world.lock("me")
    lock.prepare("host-1")
    assert [call.fault for call in world.ledger.calls[:5]] == ["403", None, "403", None, None]
    with lock.hold("host-1"):
        pass
    assert world.holder() == ""


def test_looking_for_rights_takes_one_call_and_leaves_a_held_slot_alone(world: World) -> None:
    world.stranger(0, "host-1", leaseDurationSeconds=3600)
    world.stranger(1, "host-1", leaseDurationSeconds=3600)
    before = world.lease(0), world.lease(1)
    world.lock("me").prepare("host-1")
    assert world.labels() == ["GET", "GET", "POST"]
    world.ledger.reset(lambda call: "403" if "reviews" in call.label else None)
    world.lock("me").prepare("host-1")
    assert [call.label for call in world.ledger.calls].count(
        f"GET {READY_PATH}"
    ) == 1  # to be sure of the refusal
    assert len(world.ledger.calls) == 3 + 1 + len(LEASE_VERBS)
    assert (world.lease(0), world.lease(1)) == before


def test_a_missing_namespace_ends_it_at_once(kube: Kube, tmp_path: Path) -> None:
    lock = HostLock(
        Api.connect(str(kube.kubeconfig(tmp_path))),
        namespace="nowhere",
        identity="me",
        duration=DURATION,
        clock=Clock(),
    )
    for begin in (lock.prepare, lambda host: lock.open((host,), {}).acquire()):
        with pytest.raises(LeaseError) as refused:
            begin("host-1")
        assert "namespace nowhere does not exist" in refused.value.text
        assert "oc create namespace nowhere" in refused.value.hint


def test_wrong_credentials_and_a_wrong_certificate_end_it_at_once(world: World, tmp_path: Path) -> None:
    good = json.loads(world.kubeconfig.read_text())
    bad_token, bad_ca = json.loads(json.dumps(good)), json.loads(json.dumps(good))
    bad_token["users"][0]["user"]["token"] = "not-a-token"
    bad_ca["clusters"][0]["cluster"]["certificate-authority"] = str(Pki(tmp_path / "other").ca_file)
    for name, config, words in (("token", bad_token, "credentials"), ("ca", bad_ca, "not trusted")):
        file = tmp_path / name
        file.write_text(json.dumps(config))
        lock = world.lock("me", kubeconfig=file)
        for begin in (lock.prepare, lambda host, lock=lock: lock.open((host,), {}).acquire()):
            with pytest.raises(LeaseError) as refused:
                begin("host-1")
            assert words in refused.value.text
            assert refused.value.hint
            assert "not-a-token" not in refused.value.text + refused.value.hint + repr(refused.value)


def test_a_token_that_was_rotated_is_read_again(world: World, tmp_path: Path) -> None:
    good = world.kubeconfig.read_text()
    config = json.loads(good)
    config["users"][0]["user"]["token"] = "expired"
    file = tmp_path / "config"
    file.write_text(json.dumps(config))
    api = Api.connect(str(file))
    file.write_text(good)
    assert api.get(path("leases", world.namespace))["kind"] == "LeaseList"


def test_an_address_that_nobody_answers_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ApiError) as error:
        Api.connect(master=f"https://127.0.0.1:{port}").get("/version")
    assert f"127.0.0.1:{port}" in error.value.text
    assert "refused" in error.value.text


def test_a_host_that_makes_no_name_is_refused(world: World) -> None:
    with pytest.raises(LeaseError, match="Host One"), world.lock("me").hold("Host One"):
        pass
    assert not world.ledger.calls


def test_only_what_is_used_of_the_library_is_imported_and_others_still_get_it_whole(world: World) -> None:
    code = (
        "import sys; from lease.kube.api import Api; assert 'urllib3' not in sys.modules;"
        f"Api.connect({str(world.kubeconfig)!r}).get('/version');"
        "assert not {'pydantic', 'kubernetes', 'kubernetes.client'} & set(sys.modules);"
        "import kubernetes.client; kubernetes.client.V1Lease"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
