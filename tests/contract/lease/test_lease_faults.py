"""The host lease among faults: real processes, a real kube-apiserver with etcd, and a proxy that breaks calls.

Each test is a table of cases that do not touch each other (a host of its own each, some a namespace), so they run at
once and the test takes as long as its longest case. The judge is the server's own history of the slots; beside it
stands what the processes say they have done.
"""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from lease.errors import LeaseError
from lease.hostlock import HostLock
from lease.kube.api import Api
from lease.record import GO_TEMPLATE, TEMPLATE, slot_names
from populator.clock import Clock
from populator.errors import VolumeError
from populator.plan.volume import Claim
from tests.contract.lease.holder import STEP
from tests.contract.lease.test_hostlock import DURATION, LEASE_VERBS, PATIENCE, RBAC, ROOT, wait_for
from tests.lab.faults import Call, Ledger, Rule, proxy
from tests.lab.kube import Client, Kube, path, start_kube
from tests.lab.kube.real import RealServer
from tests.lab.lease import go_rule
from tests.lab.lease.history import (
    Called,
    Died,
    Event,
    Failed,
    GaveUp,
    Had,
    Joined,
    Left,
    Step,
    Stopped,
    Told,
    Trouble,
    Waited,
)
from tests.lab.lease.invariants import judge
from tests.lab.lease.recording import ADMIN, Recording
from tests.lab.pki import Pki

pytestmark = pytest.mark.long
AT_ONCE = 6
"""cases: more processes than that starve each other on a small machine"""


@pytest.fixture(scope="module")
def kube(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with start_kube("real", tmp_path_factory.mktemp("kube"), pki) as kube:
        yield kube


@dataclass
class Worker:
    """A process that wants the slot, and what it has said; see `lease_holder`."""

    name: str
    popen: "subprocess.Popen[str]"
    duration: int = DURATION
    peer: bool = False
    """whether it follows the Go rule; see `tests.lab.lease.go_rule`"""
    events: list[Event] = field(default_factory=list)
    """what was done to it"""
    said: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        joined = Joined(time.monotonic(), self.name, self.duration, ours=not self.peer, peer=self.peer)
        self.events.append(joined)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.popen.stdout or ():
            self.said.append(json.loads(line))

    def wait_to_be(self, state: str, times: int = 1) -> None:
        wait_for(lambda: self.states.count(state) >= times)

    @property
    def states(self) -> list[str]:
        return [str(one["state"]) for one in list(self.said) if one["state"] not in {"called", "unanswered"}]

    @property
    def unanswered(self) -> bool:
        """Whether the server has not answered in time, be it for want of a CPU."""
        return any(one["state"] == "unanswered" for one in list(self.said))

    def kill(self) -> None:
        """SIGKILL."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.events.append(Died(time.monotonic(), self.name))

    def tell(self, times: int = 1) -> None:
        """SIGTERM."""
        for _ in range(times):
            self.events.append(Told(time.monotonic(), self.name))
            self.popen.send_signal(signal.SIGTERM)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, for so long; then it goes on where it was."""
        began = time.monotonic()
        os.kill(self.popen.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.popen.pid, signal.SIGCONT)
        self.events.append(Stopped(began, time.monotonic(), self.name))

    def end(self, within: float = PATIENCE) -> int:
        code = self.popen.wait(within)
        self._reader.join()
        return code

    def history(self) -> list[Event]:
        """Return what was done to it and what it has done."""
        names = {one["who"] for one in self.said if "who" in one}
        holders = [Joined(self.events[0].at, name, self.duration) for name in names]
        return [*self.events, *holders, *(event for one in self.said if (event := self._event(one)))]

    def _event(self, one: dict[str, Any]) -> Event | None:
        at, who, state = one["at"], one.get("who", self.name), one["state"]
        if state in {"step", "rescan"}:
            return Step(at, one.get("end", at + STEP), who)
        if state == "unanswered":  # as on a machine so busy that the server does not answer in time
            return Trouble(at - self.duration / 4, at)
        if state == "lost" or (self.peer and state == "done"):  # a peer is done without releasing anything
            return None
        kinds: dict[str, Callable[[float, str], Event]]
        kinds = {"waiting": Waited, "held": Had, "called": Called, "failed": Failed}
        return kinds.get(state, Left if "held" in self.states else GaveUp)(at, who)


@dataclass
class Case:
    """A namespace with one host, behind a proxy of its own."""

    kube: Kube
    namespace: str
    kubeconfig: Path
    ledger: Ledger
    recording: Recording
    stack: ExitStack
    workers: list[Worker] = field(default_factory=list)
    slots: int = 1
    template: str = TEMPLATE

    @property
    def admin(self) -> Client:
        return self.kube.admin

    @property
    def slot(self) -> str:
        return self.slot_path(0)

    def slot_path(self, number: int) -> str:
        return path("leases", self.namespace, slot_names(self.template, "host-1", self.slots)[number])

    def start(self, name: str, seconds: float = 1.0, duration: int = DURATION, scope: str = "copy") -> Worker:
        """Start a process that holds a slot and works for that long."""
        options = [f"--slots={self.slots}", f"--template={self.template}", f"--scope={scope}"]
        who = [name, str(duration), "host-1", str(seconds)]
        return self._start(name, duration, "tests.contract.lease.holder", *who, *options)

    def start_peer(self, name: str, *rescans: float) -> Worker:
        """Start a process of the Go rule that does these rescans."""
        words = [name, "host-1", *map(str, rescans)]
        return self._start(name, go_rule.DURATION, "tests.lab.lease.go_rule", *words)

    def _start(self, name: str, duration: int, module: str, *words: str) -> Worker:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, str(self.kubeconfig), self.namespace, *words],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        worker = Worker(name, popen, duration, peer=module == go_rule.__name__)
        self.stack.callback(worker.popen.communicate)
        self.stack.callback(worker.popen.kill)
        self.workers.append(worker)
        return worker

    def break_calls(self, rule: Rule) -> None:
        self.recording.trouble_begins()
        self.ledger.reset(rule)

    def repair(self) -> None:
        self.ledger.reset()
        self.recording.trouble_ends()

    def edit(self, **spec: Any) -> None:
        """Let an admin change the record."""
        self.recording.by_hand(lambda: self.admin.change(self.slot, lambda lease: lease["spec"].update(spec)))

    def delete(self, number: int = 0) -> None:
        """Let an admin delete a slot."""
        self.recording.by_hand(lambda: self.admin.delete(self.slot_path(number)))

    def holder(self) -> str:
        return str(self.admin.get(self.slot)["spec"].get("holderIdentity") or "")

    def freed(self) -> bool:
        """Whether the slot has been released, or could not be, as the server did not answer in time."""
        return self.holder() in {"", *(worker.name for worker in self.workers if worker.unanswered)}

    def kept(self, holders: list[Worker]) -> bool:
        """Whether none of them has lost its slot, but for want of answers."""
        return not any("lost" in holder.states and not holder.unanswered for holder in holders)

    def holders(self) -> list[str]:
        """Return whom the slots name; one that is missing names nobody."""
        leases = self.admin.list(path("leases", self.namespace))
        return [holder for lease in leases if (holder := lease["spec"].get("holderIdentity"))]

    def breaches(self) -> dict[str, list[str]]:
        """Return which invariants were broken, once all is over."""
        done = chain.from_iterable(worker.history() for worker in self.workers)
        return judge([*self.recording.history(), *done], self.slots)


@contextmanager
def new_case(kube: Kube, pki: Pki, folder: Path) -> Iterator[Case]:
    namespace = f"faults-{uuid.uuid4().hex[:8]}"
    kube.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    metadata = {"name": "populator", "namespace": namespace}
    kube.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    grant(kube, namespace, LEASE_VERBS)
    role = {"kind": "Role", "name": "populator", "apiGroup": RBAC}
    subjects = [{"kind": "ServiceAccount", **metadata}]
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": role}
    kube.admin.apply({**binding, "subjects": subjects})
    token, ledger = kube.service_account_token(namespace, "populator"), Ledger()
    mine = kube.client(token)
    wait_for(lambda: can_list(mine, namespace))
    with ExitStack() as stack:
        contexts = pki.server_context("proxy"), pki.client_context()
        port = stack.enter_context(proxy("kubernetes", ("127.0.0.1", kube.port), ledger, *contexts))
        kubeconfig = kube.kubeconfig(folder / namespace, token=token, port=port)
        yield Case(kube, namespace, kubeconfig, ledger, Recording(kube.admin, namespace), stack)


def grant(kube: Kube, namespace: str, verbs: list[str]) -> None:
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}
    metadata = {"name": "populator", "namespace": namespace}
    kube.admin.apply({"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]})


def can_list(client: Client, namespace: str) -> bool:
    try:
        client.list(path("leases", namespace))
    except Exception as refused:  # noqa: BLE001 - asked again by the caller
        return "403" not in str(refused) and "401" not in str(refused)
    return True


Act = Callable[[Case], None]


def run_all(cases: Mapping[str, Act], kube: Kube, pki: Pki, folder: Path) -> dict[str, list[object]]:
    """Run all cases, some at once; return what was wrong with those that went wrong."""

    def one(act: Act) -> list[object]:
        with new_case(kube, pki, folder) as case:
            wrong: list[object] = []
            try:
                act(case)
            except Exception as error:  # noqa: BLE001 - told with its case
                wrong += [error, {worker.name: worker.states[-5:] for worker in case.workers}]
                for worker in case.workers:
                    worker.kill()
            return wrong + [breaches for breaches in (case.breaches(),) if breaches]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(cases, pool.map(one, cases.values()), strict=True))
    return {name: wrong for name, wrong in found.items() if wrong}


# Faults of calls: three processes share the slot while calls fail, some of them for a while, some all the time.


def queue_survives(
    rule: Callable[[random.Random, Call], str | None], seconds: float, work: float, case: Case
) -> None:
    """Let three processes take turns while the rule holds; all get theirs, and the slot is free at the end."""
    chance, end = random.Random(7), time.monotonic() + seconds
    case.break_calls(lambda call: rule(chance, call) if time.monotonic() < end else None)
    workers = [case.start(f"pod-{number}", work) for number in range(3)]
    assert [worker.end(PATIENCE + 3 * work) for worker in workers] == [0, 0, 0]
    wait_for(lambda: not case.holder() or time.monotonic() > end + DURATION + 1)
    assert [worker.states.count("done") for worker in workers] == [1, 1, 1]


def calls(
    fault: str,
    share: float,
    seconds: float = 20.0,
    verbs: tuple[str, ...] = ("GET", "POST", "PUT"),
    work: float = 1.5,
) -> Act:
    """Return the case in which such a share of calls has that fault."""

    def rule(chance: random.Random, call: Call) -> str | None:
        return fault if call.label.split()[0] in verbs and chance.random() < share else None

    return functools.partial(queue_survives, rule, seconds, work)


def is_watch(call: Call) -> bool:
    return call.label.startswith("GET ") and call.label.endswith("/leases")


def watches(fault: str) -> Act:
    """Return the case in which every watch has that fault."""

    def rule(chance: random.Random, call: Call) -> str | None:
        return fault if is_watch(call) else None

    return functools.partial(queue_survives, rule, 20.0, 1.5)


def held_through(fault: str) -> Act:
    """Return the case in which all calls of a working holder have that fault for longer than its promise lasts."""

    def act(case: Case) -> None:
        worker = case.start("worker", PATIENCE)
        worker.wait_to_be("step", 3)
        heir = case.start("heir", 0.5)
        heir.wait_to_be("waiting")
        case.break_calls(lambda call: fault)
        worker.wait_to_be("lost")
        time.sleep(DURATION)
        case.repair()
        worker.wait_to_be("step", worker.states.count("step") + 3)
        worker.tell()
        assert [worker.end(), heir.end()] == [3, 0]
        assert case.holder() == ""

    return act


CALLS = {
    # First, as it takes longest: what was sent early arrives when others have long had the slot.
    "paused for a minute and a half": calls("pause 90", 0.1, 100.0, work=35.0),
    "cut off while it works": held_through("before"),
    "hang while it works": held_through("hang"),
    "refused while it works": held_through("429 1"),
    "paused for less than a timeout": calls("pause 0.5", 0.3),
    "paused for longer than the duration": calls("pause 5", 0.1),
    "all hang for longer than the duration": calls("hang", 1.0, 5.0),
    "all are cut off for longer than the duration": calls("before", 1.0, 5.0),
    "1 % fail": calls("5xx", 0.01),
    "half of them answered with 500": calls("500", 0.5),
    "all answered with 503 for a while": calls("5xx", 1.0, 5.0),
    "429 without a word on when": calls("429", 0.5),
    "429 with Retry-After": calls("429 1", 0.3),
    "all answered with 429 for a while": calls("429 2", 1.0, 5.0),
    "conflicts, half of the writes": calls("409", 0.5, verbs=("POST", "PUT")),
    "conflicts, all writes for a while": calls("409", 1.0, 5.0, verbs=("POST", "PUT")),
    "replies to writes lost after the commit": calls("after", 0.4, verbs=("POST", "PUT")),
    "all replies to writes lost for a while": calls("after", 1.0, 5.0, verbs=("POST", "PUT")),
    "reset in the middle of an answer": calls("reset", 0.3, verbs=("POST", "PUT")),
    "half an answer": calls("half", 0.3, verbs=("POST", "PUT")),
}
WATCHES = {
    "tell nothing": watches("mute"),
    "send only bookmarks": watches("bookmarks"),
    "end at once": watches("ends"),
    "are refused with 410": watches("410"),
    "are refused with 429": watches("429 1"),
    "never begin": watches("hang"),
    "are cut off": watches("before"),
}


@pytest.mark.timeout(600)
def test_calls_that_fail(kube: Kube, pki: Pki, tmp_path: Path) -> None:
    assert run_all(CALLS, kube, pki, tmp_path) == {}


@pytest.mark.timeout(600)
def test_watches_that_fail(kube: Kube, pki: Pki, tmp_path: Path) -> None:
    assert run_all(WATCHES, kube, pki, tmp_path) == {}


# Signals: a victim at each step, with an heir who waits.


@dataclass(frozen=True)
class Ending:
    """How a process is ended from outside, and with which codes it may come to its end."""

    signal: Callable[[Worker], None]
    codes: set[int]
    code_when_done: set[int]
    """where the signal may come too late, as all its work is done"""


KILLED = Ending(Worker.kill, {-signal.SIGKILL}, {-signal.SIGKILL})
TERMINATED = Ending(Worker.tell, {3}, {0, 3})
# The second one may find the interpreter at its very end, where the handler is gone and all is done.
LATE = -signal.SIGTERM
TERMINATED_TWICE = Ending(functools.partial(Worker.tell, times=2), {3, LATE}, {0, 3, LATE})


WITH_TIME = 16
"""seconds of a duration whose claims may take 4 s: one under way at a SIGTERM is done in time on a busy machine"""


def slow_writes(call: Call) -> str | None:
    """Leave a signal the time to come while a write is under way, and the write that to be done before its timeout."""
    return "pause 0.7" if call.label.startswith("PUT") else None


def while_it_waits(ending: Ending, case: Case) -> None:
    holder = case.start("holder", PATIENCE)
    holder.wait_to_be("held")
    victim = case.start("victim")
    wait_for(lambda: any(is_watch(call) for call in case.ledger.calls))
    ending.signal(victim)
    assert victim.end() in ending.codes
    heir = case.start("heir")
    heir.wait_to_be("waiting")
    holder.tell()
    assert (holder.end(), heir.end()) == (3, 0)
    assert case.holder() == ""
    assert case.recording.taken_from("victim") == []


def while_it_takes(ending: Ending, case: Case) -> None:
    """The request that claims the slot is under way, and is stored after the signal."""
    case.start("first", STEP).end()
    victim = case.start("victim", PATIENCE, WITH_TIME)
    case.break_calls(slow_writes)
    wait_for(lambda: any(call.label.startswith("PUT") for call in case.ledger.calls))
    ending.signal(victim)
    assert victim.end() in ending.codes
    case.repair()
    if ending is KILLED:  # what it sent is stored all the same
        wait_for(lambda: case.holder() == "victim")
    assert case.start("heir").end() == 0
    assert case.holder() == ""
    assert case.recording.taken_from("heir") == ["victim" if ending is KILLED else ""]


def while_it_holds(ending: Ending, case: Case) -> None:
    victim = case.start("victim", PATIENCE)
    victim.wait_to_be("step", 3)
    heir = case.start("heir")
    heir.wait_to_be("waiting")
    ending.signal(victim)
    assert victim.end() in ending.codes
    assert heir.end() == 0
    assert case.holder() == ""
    assert case.recording.taken_from("heir") == ["victim" if ending is KILLED else ""]


def while_it_releases(ending: Ending, case: Case) -> None:
    """The second write is under way: the first one was the claim, and the work is done before a renewal is due."""
    case.break_calls(slow_writes)
    victim = case.start("victim", 0.5)
    wait_for(lambda: [call.label[:3] for call in case.ledger.calls].count("PUT") == 2)
    ending.signal(victim)
    assert victim.end() in ending.code_when_done
    case.repair()
    assert case.start("heir").end() == 0
    assert case.holder() == ""


def stopped_while_it_holds(seconds: float, case: Case) -> None:
    """SIGSTOP in mid-work, for longer or shorter than the record is good for; it goes on where it was."""
    victim = case.start("victim", PATIENCE)
    victim.wait_to_be("step", 3)
    heir = case.start("heir", 1.0)
    heir.wait_to_be("waiting")
    written = len(
        case.recording.writes
    )  # stopped right after a renewal, however late that comes on a busy machine
    wait_for(lambda: len(case.recording.writes) > written)
    victim.stop(seconds)
    victim.wait_to_be("step", victim.states.count("step") + 3)
    victim.tell()
    assert (victim.end(), heir.end()) == (3, 0)
    assert case.holder() == ""
    taken = case.recording.taken_from("heir")
    if seconds > DURATION:
        assert taken == ["victim"], "it was dead in all eyes"
    if seconds < DURATION:
        assert taken == [""], "it had time to renew"


SIGNALS: Mapping[str, Act] = {
    f"{how} {step.__name__.replace('_', ' ')}": functools.partial(step, ending)
    for how, ending in {
        "killed": KILLED,
        "terminated": TERMINATED,
        "terminated twice": TERMINATED_TWICE,
    }.items()
    for step in (while_it_waits, while_it_takes, while_it_holds, while_it_releases)
} | {
    "stopped for half the duration": functools.partial(stopped_while_it_holds, DURATION / 2),
    "stopped for the duration": functools.partial(stopped_while_it_holds, DURATION),
    "stopped for three times the duration": functools.partial(stopped_while_it_holds, 3 * DURATION),
}


@pytest.mark.timeout(600)
def test_signals_at_every_step(kube: Kube, pki: Pki, tmp_path: Path) -> None:
    assert run_all(SIGNALS, kube, pki, tmp_path) == {}


# People and their clusters.


def deleted_by_an_admin(case: Case) -> None:
    worker = case.start("worker", 3.0)
    worker.wait_to_be("step", 3)
    case.delete()
    assert worker.end() == 0
    assert case.freed()


def emptied_by_an_admin(case: Case) -> None:
    """Whoever waits may take what an admin has freed; the holder notices, and comes back to it later."""
    worker = case.start("worker", 3.0)
    worker.wait_to_be("step", 3)
    rival = case.start("rival", 1.0)
    rival.wait_to_be("waiting")
    case.edit(holderIdentity="")
    assert (worker.end(), rival.end()) == (0, 0)
    assert case.freed()


def taken_by_hand(case: Case) -> None:
    worker = case.start("worker", 2.0)
    worker.wait_to_be("step", 3)
    case.edit(holderIdentity=ADMIN, leaseDurationSeconds=2)
    worker.wait_to_be("lost")
    assert worker.end() == 0
    assert case.freed()


def made_unreadable(case: Case) -> None:
    worker = case.start("worker", 3.0)
    worker.wait_to_be("step", 3)
    heir = case.start("heir", 0.5)
    case.edit(renewTime=None, leaseDurationSeconds=None, acquireTime=None)
    assert (worker.end(), heir.end()) == (0, 0)
    assert case.freed()


def token_rotated(case: Case) -> None:
    """The old token is refused from one moment to the next; the new one lies in the file by then."""
    worker = case.start("worker", PATIENCE)
    worker.wait_to_be("step", 3)
    account = path("serviceaccounts", case.namespace)
    case.admin.delete(f"{account}/populator")
    metadata = {"name": "populator", "namespace": case.namespace}
    case.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    config = json.loads(case.kubeconfig.read_text())
    old = config["users"][0]["user"]["token"]
    config["users"][0]["user"]["token"] = case.kube.service_account_token(case.namespace, "populator")
    case.kubeconfig.write_text(json.dumps(config))
    wait_for(lambda: not can_list(case.kube.client(old), case.namespace))
    renewals = len(case.recording.writes)
    wait_for(lambda: len(case.recording.writes) > renewals + 3 or "lost" in worker.states)
    worker.tell()
    assert worker.end() == 3
    assert "lost" not in worker.states
    assert case.freed()


def forbidden_in_mid_run(case: Case) -> None:
    worker = case.start("worker", 5.0)
    worker.wait_to_be("step", 3)
    case.recording.trouble_begins()
    grant(case.kube, case.namespace, ["get"])
    worker.wait_to_be("lost")
    grant(case.kube, case.namespace, LEASE_VERBS)
    case.recording.trouble_ends()
    assert worker.end() == 0
    assert case.freed()


def namespace_deleted(case: Case) -> None:
    """No controller runs that would empty it, so this does; a namespace that ends takes nothing new."""
    worker = case.start("worker", 3.0)
    worker.wait_to_be("step", 3)
    case.admin.delete(f"/api/v1/namespaces/{case.namespace}")
    case.delete()
    worker.wait_to_be("lost")
    worker.tell()
    assert worker.end() == 3


def deleted_while_a_third_waits(case: Case) -> None:
    """Both slots are held; the one that is deleted stays its holder's, who makes it again."""
    case.slots = 2
    holders = [case.start(f"holder-{number}", 6.0, go_rule.DURATION) for number in range(2)]
    for holder in holders:
        holder.wait_to_be("step", 3)
    third = case.start("third", 0.5, go_rule.DURATION)
    third.wait_to_be("waiting")
    wait_for(lambda: any(is_watch(call) for call in case.ledger.calls))
    case.delete()
    assert [worker.end() for worker in (*holders, third)] == [0, 0, 0]
    assert case.kept(holders)
    assert case.holders() == []


def deleted_before_a_third_comes(case: Case) -> None:
    """He finds a slot missing beside one that is held, and gives its holder the time to make it again."""
    case.slots = 2
    holders = [case.start(f"holder-{number}", 8.0, go_rule.DURATION) for number in range(2)]
    for holder in holders:
        holder.wait_to_be("step", 3)
    case.delete()
    third = case.start("third", 0.5, go_rule.DURATION)
    assert [worker.end() for worker in (*holders, third)] == [0, 0, 0]
    assert case.kept(holders)
    assert case.holders() == []


def deleted_after_its_holder_died(case: Case) -> None:
    """It is the heir's when the holder's word has run out, and not before."""
    victim = case.start("victim", PATIENCE)
    victim.wait_to_be("step", 3)
    heir = case.start("heir", 0.5)
    wait_for(lambda: any(is_watch(call) for call in case.ledger.calls))
    victim.kill()
    last = max(write.at for write in case.recording.writes)
    case.delete()
    assert heir.end() == 0
    had = next(one["at"] for one in heir.said if one["state"] == "held")
    assert had - last >= DURATION
    assert case.holders() == []


PEOPLE = {
    "the Lease is deleted": deleted_by_an_admin,
    "the Lease is deleted while a third waits": deleted_while_a_third_waits,
    "the Lease is deleted before a third comes": deleted_before_a_third_comes,
    "the Lease is deleted after its holder died": deleted_after_its_holder_died,
    "the Lease is emptied": emptied_by_an_admin,
    "the Lease is taken": taken_by_hand,
    "the Lease loses its times": made_unreadable,
    "the token is rotated": token_rotated,
    "the rights are taken for a while": forbidden_in_mid_run,
    "the namespace is deleted": namespace_deleted,
}


@pytest.mark.timeout(600)
def test_people_who_change_what_is_held(kube: Kube, pki: Pki, tmp_path: Path) -> None:
    assert run_all(PEOPLE, kube, pki, tmp_path) == {}


# Go populators in the same cluster, on the same slots: they never write a duration when they take a slot over.


def go_takes_what_ours_released(scope: str, case: Case) -> None:
    """Ours release, four peers and ours take; all get their turn, none of the peers fails."""
    case.slots, case.template = 2, GO_TEMPLATE
    first = [case.start(f"first-{number}", 1.0, go_rule.DURATION, scope) for number in range(2)]
    assert [worker.end() for worker in first] == [0, 0]
    peers = [case.start_peer(f"go-{number}", 7.0) for number in range(4)]
    wait_for(lambda: sum("held" in peer.states for peer in peers) == 2)
    ours = [case.start(f"ours-{number}", 0.3, go_rule.DURATION, scope) for number in range(3)]
    assert [worker.end() for worker in (*peers, *ours)] == [0] * 7
    assert any(case.recording.took_over_from_peers("ours"))


def go_holds_what_an_older_release_left(case: Case) -> None:
    """It left a duration of 1 s, which says nothing about the peer that has taken the slot since."""
    case.slots, case.template = 2, GO_TEMPLATE
    for name in slot_names(GO_TEMPLATE, "host-1", 2):
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name},
            "spec": spec,
        }
        create = functools.partial(case.admin.create, path("leases", case.namespace), lease)
        case.recording.by_hand(create)
    peers = [case.start_peer(f"go-{number}", 10.0) for number in range(2)]
    wait_for(lambda: all("held" in peer.states for peer in peers))
    ours = [case.start(f"ours-{number}", 0.3, go_rule.DURATION) for number in range(2)]
    assert [worker.end() for worker in (*peers, *ours)] == [0] * 4
    assert any(case.recording.took_over_from_peers("ours"))


PEERS: Mapping[str, Act] = {
    "ours hold a slot throughout": functools.partial(go_takes_what_ours_released, "copy"),
    "ours hold a slot for each step": functools.partial(go_takes_what_ours_released, "rescan"),
    "an older release has left 1 s": go_holds_what_an_older_release_left,
}


@pytest.mark.timeout(600)
def test_go_populators_in_the_same_cluster(kube: Kube, pki: Pki, tmp_path: Path) -> None:
    assert run_all(PEERS, kube, pki, tmp_path) == {}


# Servers: queues of which each has one who holds and two who wait.

Outage = Callable[[RealServer], None]


def restarted(server: RealServer) -> None:
    """The API server, and with it the history from which a watch could go on."""
    server.forget_history()


def etcd_stopped(seconds: float, server: RealServer) -> None:
    with server.etcd_stopped():
        time.sleep(seconds)


def etcd_dead(seconds: float, server: RealServer) -> None:
    with server.etcd_killed():
        time.sleep(seconds)


def etcd_stopped_and_dead(server: RealServer) -> None:
    etcd_stopped(30.0, server)
    etcd_dead(2.0, server)


def survive(outages: list[Outage], queues: int, kube: Kube, pki: Pki, folder: Path) -> None:
    """Let one outage after the other happen to some queues; a holder has lost its slot by an etcd that is away."""
    assert isinstance(kube.server, RealServer)
    with ExitStack() as stack:
        cases = [stack.enter_context(new_case(kube, pki, folder)) for _ in range(queues)]
        for outage in outages:
            crews = [[case.start(f"pod-{n}-{uuid.uuid4().hex[:4]}", 2.0) for n in range(3)] for case in cases]
            for worker in chain(*crews):
                worker.wait_to_be("waiting")
            for crew in crews:
                assert wait_for(functools.partial(any_held, crew))
            for case in cases:
                case.recording.trouble_begins()
            outage(kube.server)
            for case in cases:
                case.recording.trouble_ends()
            assert [[worker.end() for worker in crew] for crew in crews] == [[0] * 3] * queues
        assert [case.breaches() for case in cases] == [{}] * queues
        # A release that fell into an outage is left to expiry; all others freed the slot.
        assert [case.holder() for case in cases] == [""] * queues


def any_held(crew: list[Worker]) -> bool:
    return any("held" in worker.states for worker in crew)


@pytest.mark.timeout(600)
def test_a_server_that_goes_and_comes_back(kube: Kube, pki: Pki, tmp_path: Path) -> None:
    short: list[Outage] = [
        restarted,
        functools.partial(etcd_stopped, 2 * DURATION),
        functools.partial(etcd_dead, 2.0),
    ]
    with start_kube("real", tmp_path / "second", pki) as second, ThreadPoolExecutor(1) as beside:
        long = beside.submit(survive, [etcd_stopped_and_dead], 1, second, pki, tmp_path / "long")
        survive(short, 3, kube, pki, tmp_path)
        long.result()


@pytest.mark.timeout(120)
def test_a_server_that_has_not_read_its_roles_yet_is_not_believed(kube: Kube, tmp_path: Path) -> None:
    """It forbids everything for a moment of its start; several ask all the time, so that some ask in that moment."""
    target, leases, over = f"vms-{uuid.uuid4().hex[:8]}", f"leases-{uuid.uuid4().hex[:8]}", threading.Event()
    kube.apply_rbac(target, leases)
    uid = kube.add_volume(target, target, "handle-1", {})
    kubeconfig = str(kube.kubeconfig(tmp_path, token=kube.service_account_token(target, "populator")))
    refused: list[str] = []

    def begin(act: Callable[[Api, Clock], object]) -> None:
        while not over.is_set():
            try:
                act(Api.connect(kubeconfig), Clock())
            except (VolumeError, LeaseError) as error:
                refused.append(error.text)

    def find(api: Api, clock: Clock) -> None:
        Claim(api, target, target, uid, clock).find()

    def prepare(api: Api, clock: Clock) -> None:
        HostLock(api, namespace=leases, identity="me", duration=DURATION, clock=clock).prepare("host-1")

    assert isinstance(kube.server, RealServer)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = [pool.submit(begin, act) for act in (find, prepare) for _ in range(AT_ONCE // 2)]
        try:
            kube.server.forget_history()
        finally:
            over.set()
        assert [one.result() for one in asking] == [None] * AT_ONCE
    assert [text for text in refused if "forbid" in text] == []
