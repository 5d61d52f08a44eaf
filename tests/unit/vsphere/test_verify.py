"""The comparison of source and volume on a simulated host in simulated time: what is believed, and what is left."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tests.unit.vsphere.test_clone import SimulatedClock, Stopped
from vsphere.copy.verify import PATIENCE, Verifier
from vsphere.errors import EsxcliFault, LoginRefused, Unreachable, VsphereError
from vsphere.host.device import Device
from vsphere.model import CloneMethod, Proof, ProofOutcome
from vsphere.paths import VmdkPath, encode
from vsphere.ports import Guard
from vsphere.wrapper.contract import Answer, Version

DEVICE = Device("naa.600a098038303053453f463045727654", "on", 1024)
SOURCE = "[ds one] vm a/disk.vmdk"
OURS = Version("0.4.3", frozenset({"pct", "taskStop", "verify"}))


@dataclass
class Host:
    """A host that compares for `seconds`, and then says `end`."""

    clock: SimulatedClock
    seconds: float = 1.0
    end: dict[str, object] = field(default_factory=lambda: {"state": "equal", "bytes": 4096})
    fault: Callable[[str, int], VsphereError | None] = lambda command, number: None
    """what fails the call of that name, by its number among all calls"""
    lost: bool = False
    """a call that fails is carried out all the same"""
    lie: Callable[[Answer], Answer] = lambda answer: answer
    frozen: bool = False
    busy: bool = False
    """it takes what has ended for running, until it is told to stop it"""
    tasks: dict[str, float] = field(default_factory=dict)
    """when each began"""
    calls: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    method = CloneMethod.VIB
    host = "esx-1"

    def spell(self, path: VmdkPath, version: Version) -> str:
        return encode(path)

    def version(self) -> Answer:
        raise AssertionError

    def clone(self, source: str, device: str, guard: Guard, limit: int) -> Answer:
        raise AssertionError

    def task_list(self) -> Answer:
        raise AssertionError

    def verify(self, source: str, device: str, task: str, samples: str) -> Answer:
        def act() -> Answer:
            self.tasks.setdefault(task, self.clock.now())
            return self._state(task)

        self.asked.append((source, device, samples))
        return self._call("verify", act)

    def task_get(self, task: str) -> Answer:
        return self._call("get", lambda: self._state(task))

    def task_stop(self, task: str) -> Answer:
        def act() -> Answer:
            self.seconds, self.busy = 0.0, False
            return self._state(task)

        return self._call("stop", act)

    def task_clean(self, task: str) -> Answer:
        def act() -> Answer:
            if task in self.tasks and (self.busy or self._running(task)):
                return Answer("1", json.dumps({"taskId": task, "stdErr": "it runs", "reason": "running"}))
            return Answer("0", "") if self.tasks.pop(task, None) is not None else Answer("1", "no such task")

        return self._call("clean", act)

    def close(self) -> None:
        """Nothing is open."""

    def _running(self, task: str) -> bool:
        return self.clock.now() - self.tasks[task] < self.seconds

    def _state(self, task: str) -> Answer:
        if task not in self.tasks:
            return Answer("1", json.dumps({"taskId": task, "stdErr": "no such task"}))
        percent = 0 if self.frozen else int(100 * (self.clock.now() - self.tasks[task]) / (self.seconds or 1))
        facts = {"state": "running", "percent": percent} if self._running(task) else self.end
        return self.lie(Answer("0", json.dumps({"taskId": task, **facts})))

    def _call(self, command: str, act: Callable[[], Answer]) -> Answer:
        self.clock.check()
        self.calls.append(command)
        error = self.fault(command, len(self.calls))
        if error and not self.lost:
            raise error
        answer = act()
        if error:
            raise error
        return answer


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def host(clock: SimulatedClock) -> Host:
    return Host(clock)


def verify(host: Host, samples: str = "64", version: Version = OURS) -> Proof:
    return Verifier(host, version, host.clock, samples, "populate-1_0").verify(SOURCE, DEVICE)


def away(*, sent: bool = True) -> Unreachable:
    return Unreachable("vCenter is away.", sent=sent)


def test_what_is_equal_is_said_with_how_much_of_it(host: Host) -> None:
    assert verify(host, "7") == Proof(equal=4096, samples="7")
    assert host.asked == [("pct:/vmfs/volumes/ds%20one/vm%20a/disk.vmdk", DEVICE.path, "7")]
    assert (host.tasks, host.calls[-1], "stop" in host.calls) == ({}, "clean", False)


def test_what_differs_is_said_with_the_byte(host: Host) -> None:
    host.end = {"state": "different", "offset": 0}
    proof = verify(host)
    assert (proof.outcome, proof.offset, str(proof)) == (ProofOutcome.DIFFERENT, 0, "different at byte 0")


def test_what_cannot_be_read_is_not_verified(host: Host) -> None:
    host.end = {"state": "unread", "stdErr": "the source cannot be read: busy"}
    assert str(verify(host)) == "not verified: the source cannot be read: busy"
    assert host.tasks == {}


@pytest.mark.parametrize(("samples", "version"), [("0", OURS), ("64", Version("0.3.3")), ("64", Version())])
def test_where_nothing_is_to_be_compared_no_call_is_made(host: Host, samples: str, version: Version) -> None:
    assert verify(host, samples, version).outcome is ProofOutcome.NOT_VERIFIED
    assert host.calls == []


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("number", range(1, 6))
def test_one_call_that_fails_is_made_up_for(host: Host, number: int, lost: bool) -> None:
    host.lost = lost
    host.fault = lambda _, at: away() if at == number else None
    assert verify(host).outcome is ProofOutcome.EQUAL
    assert len(set(host.asked)) == 1


def test_a_host_that_refuses_for_long_is_given_up_on_and_nothing_is_left(
    host: Host, clock: SimulatedClock
) -> None:
    host.fault = lambda command, _: (
        EsxcliFault("esxcli failed.", reason="Out of resources", unclear=False) if command == "get" else None
    )
    host.seconds = 1e6
    began = clock.now()
    assert verify(host).reason == "esxcli failed."
    assert PATIENCE < clock.now() - began < 2 * PATIENCE
    assert (host.tasks, host.calls[-2:]) == ({}, ["stop", "clean"])


def test_a_comparison_that_does_not_get_on_is_ended(host: Host, clock: SimulatedClock) -> None:
    host.seconds, host.frozen = 1e6, True
    assert verify(host).outcome is ProofOutcome.NOT_VERIFIED
    assert host.tasks == {}
    assert clock.now() < 100 + 2 * PATIENCE


def test_a_long_one_that_gets_on_is_waited_for_and_asked_for_often_enough(host: Host) -> None:
    host.seconds = 7200.0
    asked: list[float] = []
    host.fault = lambda *_: asked.append(host.clock.now())
    assert verify(host, "all").outcome is ProofOutcome.EQUAL
    assert max(later - earlier for earlier, later in pairwise(asked)) < PATIENCE


def test_a_host_that_has_forgotten_it_is_not_asked_again(host: Host) -> None:
    def forget(command: str, _: int) -> None:
        if command == "get":
            host.tasks.clear()

    host.fault = forget
    assert verify(host).reason == "no such task"
    assert host.calls == ["verify", "get", "stop", "clean"]


def test_a_refused_log_in_is_not_tried_again(host: Host) -> None:
    host.fault = lambda command, _: LoginRefused("No.") if command == "get" else None
    assert verify(host).outcome is ProofOutcome.NOT_VERIFIED
    assert host.calls.count("get") == 1


def test_told_to_stop_it_is_ended_on_the_host(host: Host, clock: SimulatedClock) -> None:
    host.seconds, clock.stop_at = 1000.0, 150.0
    with pytest.raises(Stopped):
        verify(host)
    assert (host.tasks, host.calls[-2:]) == ({}, ["stop", "clean"])


def changed(**facts: object) -> Callable[[Answer], Answer]:
    return lambda answer: Answer(answer.status, json.dumps(answer.facts | facts))


@pytest.mark.parametrize(
    "lie",
    [
        changed(taskId="0b7e21c4-1111-4222-8333-000000000001"),
        changed(state="succeeded", exitCode="0"),
        changed(state="equal", bytes=None),
        changed(state="equal", bytes="4096"),
        changed(state="equal", bytes=True),
        changed(state="equal", bytes=-1),
        changed(state="different", offset=None),
        lambda _: Answer("0", ""),
        lambda _: Answer("1", '{"state": "equal", "bytes": 1}'),
    ],
)
def test_an_answer_that_is_none_of_this_comparison_is_not_believed(
    host: Host, lie: Callable[[Answer], Answer]
) -> None:
    host.lie = lie
    assert verify(host).outcome is ProofOutcome.NOT_VERIFIED


def test_what_the_host_will_not_clean_up_is_stopped_first(clock: SimulatedClock) -> None:
    host = Host(clock, busy=True)
    assert verify(host).outcome is ProofOutcome.EQUAL
    assert host.calls[-3:] == ["clean", "stop", "clean"]
    assert host.tasks == {}
