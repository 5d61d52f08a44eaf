"""The copy on a simulated host in simulated time: when it polls, what it believes, and what it never does."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.slot import Slot
from vsphere.copy.clone import Cloner
from vsphere.copy.polling import next_delay, soonest_end
from vsphere.errors import (
    CloneFailed,
    CopyMayBeRunning,
    EsxcliFault,
    EsxcliNotFound,
    LoginRefused,
    NotStarted,
    Unreachable,
    Unreadable,
    VcenterFault,
    VsphereError,
)
from vsphere.host.device import Device
from vsphere.model import CopyPhase, CopyResult, Xcopy
from vsphere.paths import VmdkPath
from vsphere.ports import Guard
from vsphere.wrapper.answers import parse_answer, parse_task, parse_version, translate
from vsphere.wrapper.by_esxcli import Plugin
from vsphere.wrapper.contract import Answer, Version

DEVICE = Device("naa.600a098038303053453f463045727654", "on", 1024)
SOURCE = "[ds one] vm a/disk.vmdk"
HOST_PATH = "/vmfs/volumes/ds one/vm a/disk.vmdk"
TASK = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Stopped(Exception):
    """What the clock raises when we are told to stop."""


@dataclass
class SimulatedClock:
    """Time that passes by waiting only, and a stop at a moment set before."""

    time: float = 100.0
    stop_at: float = float("inf")
    graces: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        before, end = self.time, self.time + max(seconds, 0)
        if before < self.stop_at < end:
            self.time = self.stop_at
        else:
            self.time = min(end, max(before, self.deadline()))
        self.check()

    def check(self) -> None:
        if self.stopping() and not self.graces:
            raise Stopped

    def limit(self, seconds: float) -> float:
        return min(seconds, max(self.deadline() - self.time, 0.5))

    @contextmanager
    def blocking(self) -> Iterator[None]:
        self.check()
        yield

    @contextmanager
    def grace(self, after_stop: float) -> Iterator[None]:
        self.graces.append(after_stop)
        try:
            yield
        finally:
            self.graces.pop()

    def finishing(self) -> AbstractContextManager[None]:
        return self.grace(8.0)

    def deadline(self) -> float:
        return self.stop_at + min(self.graces, default=float("inf"))

    def stopping(self) -> bool:
        return self.time >= self.stop_at

    def expired(self) -> bool:
        return self.time >= self.deadline()


Fault = Callable[[], VsphereError]


@dataclass
class Host:
    """A host with the stock plugin; a copy takes `seconds`, and a call `call_seconds`."""

    clock: SimulatedClock
    seconds: float = 5.0
    call_seconds: float = 0.0
    exit_code: str = "0"
    stderr: str = ""
    last_line: str = "Clone: 100% done."
    xcopy: bool | None = True
    booted: str = "Monday"
    fault: Callable[[str, int], VsphereError | None] = lambda command, number: None
    lose_answer: bool = False
    clone_answer: tuple[str, str] | None = None
    host: str = "esx-1"
    capabilities: tuple[str, ...] = ()
    """beyond those of the stock plugin"""
    others: list[float] = field(default_factory=list)
    """moments at which copies end that run onto other devices"""
    guard_seconds: float = 0.0
    """how long the way to the host takes before the guard is asked"""
    commands: list[str] = field(default_factory=list)
    """that started a copy, or asked for one"""
    foreign: list[dict[str, object]] = field(default_factory=list)
    """tasks that others started, as `taskList` tells them"""
    stops: bool = True
    """whether `taskStop` has its effect"""
    stopped: list[str] = field(default_factory=list)
    xcopy_counts: dict[str, int | None] | None = None
    fallback: str = ""
    tasks: dict[str, float] = field(default_factory=dict)
    started: list[tuple[str, str]] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)

    def ask(
        self, command: str, seconds: float = 30.0, *, guard: Guard | None = None, **arguments: str
    ) -> list[dict[str, str]]:
        return self._answer(command, arguments)

    def run(
        self,
        command: str,
        seconds: float = 30.0,
        *,
        fresh: bool = False,
        guard: Guard | None = None,
        **arguments: str,
    ) -> list[dict[str, str]]:
        if guard:
            self.clock.time += self.guard_seconds
            guard()
        return self._answer(command, arguments)

    def _answer(self, command: str, arguments: dict[str, str]) -> list[dict[str, str]]:
        self.clock.check()
        self.clock.time += self.call_seconds
        name = command.rpartition(" ")[2]
        if name == "taskGet":
            self.polls.append(self.clock.time)
        error = self.fault(name, len(self.polls))
        if error is not None and not (error.unclear and name == "clone"):
            raise error
        status, message = getattr(self, f"_{name}")(**arguments)
        if error is not None:
            raise error
        return [{"status": status, "message": message}]

    def boot_time(self) -> str:
        self.clock.check()
        return self.booted

    def restart(self) -> None:
        self.tasks.clear()
        self.booted = "Tuesday"

    def _version(self) -> tuple[str, str]:
        if self.capabilities:
            return "0", json.dumps({"version": "0.4.0", "capabilities": self.capabilities})
        return "0", '{"version":"0.3.3"}'

    def _cloneLimited(self, sourcevmdk: str, targetlun: str, limit: str) -> tuple[str, str]:  # noqa: N802
        running = sum(end > self.clock.time for end in self.others)
        if running >= int(limit):
            self.commands.append("cloneLimited")
            said = f"{running} copies run on this host, and {limit} may."
            return "1", json.dumps({"taskId": "", "stdErr": said, "xcopyUsed": False, "reason": "full"})
        answer = self._clone(sourcevmdk, targetlun)
        self.commands[-1] = "cloneLimited"
        return answer

    def _clone(self, sourcevmdk: str, targetlun: str) -> tuple[str, str]:
        self.commands.append("clone")
        if self.clone_answer is not None:
            return self.clone_answer
        if busy := [one for one in self.foreign if not one["exitCode"]]:
            refusal = {"taskId": busy[0]["taskId"], "stdErr": "busy", "xcopyUsed": False, "reason": "busy"}
            return "1", json.dumps(refusal)
        self.started.append((sourcevmdk, targetlun))
        self.tasks[TASK] = self.clock.time
        return "0", json.dumps({"taskId": TASK, "pid": 12, "xcopyUsed": False})

    def _taskGet(self, id: str) -> tuple[str, str]:  # noqa: A002, N802 - the plugin's names
        if id not in self.tasks:
            return "1", json.dumps({"taskId": id, "stdErr": "no such task", "xcopyUsed": False})
        elapsed = self.clock.time - self.tasks[id]
        running = elapsed < self.seconds
        percent = int(100 * elapsed / self.seconds) if running else 100
        state = {
            "taskId": id,
            "pid": 12,
            "exitCode": "" if running else self.exit_code,
            "lastLine": f"Clone: {percent}% done." if running else self.last_line,
            "xcopyUsed": self.xcopy,
            "stdErr": "" if running else self.stderr,
        }
        if self.capabilities:
            state |= {"source": HOST_PATH, "device": DEVICE.name, "state": "running" if running else "ended"}
            state |= {"xcopy": self.xcopy_counts, "fallback": self.fallback}
        if id in self.stopped:
            state |= {"exitCode": "143", "state": "stopped"}
        return "0", json.dumps(state)

    def _taskList(self) -> tuple[str, str]:  # noqa: N802
        theirs = [one["taskId"] for one in self.foreign]
        other = [
            foreign(device="naa.9", exit_code="" if end > self.clock.time else "0") for end in self.others
        ]
        ours = [json.loads(self._taskGet(task)[1]) for task in self.tasks if task not in theirs]
        return "0", json.dumps({"tasks": self.foreign + other + ours})

    def _taskStop(self, id: str) -> tuple[str, str]:  # noqa: A002, N802
        if not self.stops:
            return "1", json.dumps({"taskId": id, "stdErr": "still writing", "reason": "running"})
        if self.clock.time - self.tasks[id] < self.seconds:
            self.stopped.append(id)
            self.seconds = 0.0
        return self._taskGet(id)

    def _taskClean(self, id: str) -> tuple[str, str]:  # noqa: A002, N802
        assert self.clock.time - self.tasks[id] >= self.seconds, "cleaned while it runs"
        self.cleaned.append(id)
        return "0", ""


@dataclass
class Run:
    """One copy and all that was seen of it."""

    host: Host
    clock: SimulatedClock
    slot: Slot = field(default_factory=Slot)
    told: list[int] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    """how many steps had been let begin at each check"""
    forbidden: Exception | None = None
    limit: int = 0
    phases: list[tuple[str, float]] = field(default_factory=list)

    def cloner(self) -> Cloner:
        return Cloner(Plugin(self.host), self.host.boot_time, self.clock, limit=self.limit)

    def copy(self) -> CopyResult:
        cloner = self.cloner()
        cloner.version()
        return cloner.copy(SOURCE, DEVICE, self.slot, self.told.append, self.check, self.phase)

    def phase(self, name: str) -> None:
        self.phases.append((name, self.clock.time))

    def check(self) -> None:
        self.checks.append(len(self.slot.steps))
        if self.forbidden:
            raise self.forbidden


@pytest.fixture
def run() -> Run:
    clock = SimulatedClock()
    return Run(Host(clock), clock)


def unreachable(*, sent: bool) -> Unreachable:
    return Unreachable("vCenter is away.", sent=sent)


def after(
    polls: int, error: Callable[[], VsphereError], times: int
) -> Callable[[str, int], VsphereError | None]:
    """Fail a number of polls, after some that work."""

    def fault(command: str, number: int) -> VsphereError | None:
        return error() if command == "taskGet" and polls < number <= polls + times else None

    return fault


# The way it should go


def test_copies_once_reports_and_cleans_up(run: Run) -> None:
    assert run.copy() == CopyResult(TASK, xcopy_used=True)
    assert run.host.started == [("/vmfs/volumes/ds one/vm a/disk.vmdk", f"/vmfs/devices/disks/{DEVICE.name}")]
    assert run.host.cleaned == [TASK]
    assert run.slot.steps == ["clone"]
    assert run.checks == [0], "before the guard"
    assert run.slot.journal == {"device": DEVICE.name, "task": TASK, "phase": "copied", "percent": "99"}
    assert not run.slot.left


def test_percent_never_falls_and_stays_below_100_until_others_have_judged(run: Run) -> None:
    run.copy()
    assert run.told == sorted(run.told)
    assert run.told[-1] == 99


def test_percent_stays_below_100_for_a_copy_that_fails_at_its_end(run: Run) -> None:
    run.host.exit_code = "1"
    with pytest.raises(CloneFailed):
        run.copy()
    assert max(run.told) == 99


@pytest.mark.parametrize("used", [True, False, None])
def test_tells_whether_the_array_copied(run: Run, used: bool | None) -> None:
    run.host.xcopy = used
    assert run.copy().xcopy_used is used


def test_an_empty_last_line_at_the_end_is_fine(run: Run) -> None:
    run.host.last_line = ""  # the stock script's, where vmkfstools ends its line with a carriage return
    assert run.copy().task_id == TASK


# When it polls


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 5.0, 10.0, 20.0, 30.0])
def test_notices_the_end_of_a_short_copy_at_once(run: Run, seconds: float) -> None:
    run.host.seconds = seconds
    began = run.clock.time
    run.copy()
    assert run.clock.time - began - seconds <= 0.3


@pytest.mark.parametrize("seconds", [60, 120, 300, 400, 599, 600])
def test_polls_at_most_120_times_in_ten_minutes(run: Run, seconds: float) -> None:
    run.host.seconds = seconds
    began = run.clock.time
    run.copy()
    assert len(run.host.polls) <= 121  # the end state is read once more
    assert run.clock.time - began - seconds <= max(0.02 * seconds, 0.5)


@pytest.mark.parametrize("seconds", [900, 3600, 36000])
def test_polls_at_most_twice_a_minute_after_that(run: Run, seconds: float) -> None:
    run.host.seconds = seconds
    began = run.clock.time
    run.copy()
    late = [moment - began for moment in run.host.polls[:-1] if moment - began > 600]
    assert all(after - before > 29.99 for before, after in pairwise(late))
    assert run.clock.time - began - seconds <= 31


@given(
    percents=st.lists(st.integers(0, 99) | st.none(), min_size=1, max_size=50),
    call=st.floats(0, 2),
)
def test_no_course_of_a_copy_needs_more_polls(percents: list[int | None], call: float) -> None:
    elapsed, polls = 0.0, 0
    while elapsed < 600:
        delay = next_delay(elapsed, percents[min(polls, len(percents) - 1)], polls)
        assert 0.1 <= delay <= 30
        elapsed += delay + call
        polls += elapsed < 600
    assert polls <= 120


def test_the_soonest_end_takes_the_percent_for_rounded_down() -> None:
    assert soonest_end(10, 99) == 0
    assert soonest_end(10, 49) == 10
    assert soonest_end(10, None) == soonest_end(10, 0) == 0


# What it survives while the copy runs


@pytest.mark.parametrize(
    "error",
    [
        lambda: unreachable(sent=False),
        lambda: unreachable(sent=True),
        lambda: VcenterFault("HostCommunication", "hostd is away"),
        lambda: VcenterFault("HostNotConnected", "the host is away"),
        lambda: VcenterFault("NotAuthenticated", "the session is gone"),
        lambda: EsxcliFault("failed", reason="busy", unclear=False),
        lambda: LoginRefused("the password was changed"),
        lambda: VsphereError("not XML"),
    ],
    ids=["no connection", "no answer", "hostd", "host", "session", "command", "password", "answer"],
)
@pytest.mark.parametrize("times", [1, 20])
def test_a_poll_that_fails_is_repeated_until_the_state_is_known(run: Run, error: Fault, times: int) -> None:
    run.host.fault = after(2, error, times)
    assert run.copy().task_id == TASK
    assert len(run.host.started) == 1
    assert len(run.host.polls) > times


def test_log_ins_that_are_refused_are_a_minute_apart(run: Run) -> None:
    run.host.fault = after(0, lambda: LoginRefused("locked soon"), 20)
    run.copy()
    gaps = [later - sooner for sooner, later in pairwise(run.host.polls[:20])]
    assert min(gaps) > 59.99


def test_a_host_that_restarted_has_no_copy_any_more(run: Run) -> None:
    def fault(command: str, number: int) -> None:
        if number == 3:
            run.host.restart()

    run.host.fault = fault
    with pytest.raises(CloneFailed, match="esx-1 restarted in mid-copy"):
        run.copy()
    assert not run.slot.left
    assert len(run.host.started) == 1


def test_a_task_that_vanished_from_a_host_that_did_not_restart_may_be_running(run: Run) -> None:
    run.host.seconds = 1000

    def fault(command: str, number: int) -> None:
        if number == 3:
            run.host.tasks.clear()

    run.host.fault = fault
    with pytest.raises(CopyMayBeRunning, match="no longer knows the copy's task") as caught:
        run.copy()
    assert TASK in caught.value.text
    assert run.slot.left
    assert not run.host.cleaned


def test_a_plugin_that_hostd_loads_late_is_waited_for(run: Run) -> None:
    run.host.fault = after(1, lambda: EsxcliNotFound("unknown", reason="", unclear=False), 5)
    assert run.copy().task_id == TASK


# How it ends badly


@pytest.mark.parametrize(
    ("stderr", "meaning"),
    [
        ("Failed to open '/x': Failed to lock the file (16392).", "locked by another writer"),
        ("Failed to clone disk: No space left on device (1835017).", "no space left"),
        ("Failed to clone disk: Input/output error (327689).", "I/O error"),
        (
            "Failed to clone disk: The destination device is smaller than the source disk.",
            "smaller than the disk",
        ),
        ("Failed to open '/x': The system cannot find the file specified (25).", "is not there"),
        ("something never seen", "something never seen"),
        ("", "last words"),
    ],
)
def test_says_why_a_copy_failed(run: Run, stderr: str, meaning: str) -> None:
    run.host.exit_code, run.host.stderr, run.host.last_line = "255", stderr, "last words"
    with pytest.raises(CloneFailed, match="exit code 255") as caught:
        run.copy()
    assert meaning in caught.value.text
    assert caught.value.hint
    assert run.host.cleaned == [TASK]


def test_success_that_the_last_line_contradicts_is_none(run: Run) -> None:
    run.host.last_line = "Clone: 57% done."
    with pytest.raises(CloneFailed, match="57% done"):
        run.copy()
    assert 100 not in run.told


def answer_in_turn(run: Run, *answers: str) -> list[str]:
    """Let the copy's state be told so, one answer after the other; the last one stays. Returns what was told."""
    told: list[str] = []

    def fault(command: str, number: int) -> VsphereError | None:
        if command != "taskGet":
            return None
        answer = answers[min(len(told), len(answers) - 1)]
        told.append(answer)
        run.host.seconds = 1e9 if answer == "runs" else 0.0
        run.host.exit_code = answer
        if answer == "fails":
            return unreachable(sent=True)
        return Unreadable("nonsense") if answer == "nonsense" else None

    run.host.fault = fault
    return told


@pytest.mark.parametrize(
    ("answers", "good"),
    [
        (("0", "0"), True),
        (("0", "fails", "0", "0"), True),
        (("0", "nonsense", "0", "0"), True),
        (("0", "runs", "runs", "0", "0"), True),
        (("1", "runs", "0", "0"), True),
        (("1", "0", "1", "0", "0"), True),
        (("0", "fails", "fails", "1", "1"), False),
        (("0", "runs", "1", "1"), False),
        (("0", "1", "1"), False),
    ],
)
def test_an_end_counts_when_two_reads_in_a_row_agree(run: Run, answers: tuple[str, ...], good: bool) -> None:
    told = answer_in_turn(run, *answers)
    if good:
        assert run.copy().task_id == TASK
    else:
        with pytest.raises(CloneFailed, match="exit code 1"):
            run.copy()
    assert tuple(told) == answers
    assert run.host.cleaned == [TASK]


@pytest.mark.parametrize("unclear", [True, False])
@pytest.mark.parametrize("failures", [1, 2])
def test_cleaning_up_is_asked_for_once_more_where_the_host_fails_it(
    run: Run, failures: int, unclear: bool
) -> None:
    refusals = [EsxcliFault("it failed", reason="Out of resources", unclear=unclear)] * failures
    run.host.fault = lambda name, _: refusals.pop() if name == "taskClean" and refusals else None
    assert run.copy().task_id == TASK
    assert refusals == []
    assert run.host.cleaned == [TASK][: 2 - failures]


def test_a_host_that_never_agrees_with_itself_leaves_the_copy(run: Run) -> None:
    answer_in_turn(run, *("0", "runs") * 10_000)
    run.clock.stop_at = 300.0
    with pytest.raises(CopyMayBeRunning):
        run.copy()
    assert run.host.cleaned == []


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("Path validation error: Invalid path detected: /x", "does not accept a path"),
        ("Failed to create task directory", "task directory"),
    ],
)
def test_a_refusal_says_why_and_leaves_nothing(run: Run, message: str, meaning: str) -> None:
    run.host.clone_answer = ("1", message)
    with pytest.raises(CloneFailed, match=meaning):
        run.copy()
    assert not run.slot.left
    assert not run.host.polls


def test_a_host_that_cannot_tell_what_runs_is_asked_again(run: Run) -> None:
    unsure = {"stdErr": "Device: ps does not tell.", "xcopyUsed": False, "reason": "unsure"}
    run.host.clone_answer = ("1", json.dumps(unsure))

    def fault(command: str, number: int) -> None:
        if run.clock.time > 130:
            run.host.clone_answer = None

    run.host.fault = fault
    assert run.copy().task_id == TASK
    assert len(run.host.started) == 1


def test_a_host_that_can_never_tell_what_runs_has_started_nothing(run: Run) -> None:
    run.host.clone_answer = ("1", json.dumps({"stdErr": "ps does not tell", "reason": "unsure"}))
    with pytest.raises(NotStarted, match="ps does not tell") as caught:
        run.copy()
    assert "ps -c" in caught.value.hint
    assert not run.slot.left


# Never a second clone


@pytest.mark.parametrize(
    "error",
    [
        lambda: unreachable(sent=True),
        lambda: VcenterFault("HostCommunication", "no answer from the host"),
        lambda: VcenterFault("SystemError", "?"),
        lambda: EsxcliFault("?", reason="timed out", unclear=True),
    ],
    ids=["no answer", "hostd", "vCenter", "host"],
)
def test_a_lost_answer_ends_the_run_with_all_left_in_place(run: Run, error: Fault) -> None:
    run.host.fault = lambda command, number: error() if command == "clone" else None
    with pytest.raises(CopyMayBeRunning, match="may be running") as caught:
        run.copy()
    assert len(run.host.started) == 1
    assert DEVICE.name in run.slot.left
    assert "vmkfstools" in caught.value.hint
    assert not run.host.cleaned


@pytest.mark.parametrize(
    "answer", [("0", ""), ("0", "{}"), ("0", '{"taskId":"$(reboot)"}'), ("", ""), ("0", '{"taskId":"../x"}')]
)
def test_an_answer_without_a_task_id_may_mean_a_copy(run: Run, answer: tuple[str, str]) -> None:
    run.host.clone_answer = answer
    with pytest.raises(CopyMayBeRunning):
        run.copy()
    assert run.slot.left
    assert not run.host.polls


def test_a_start_that_never_left_is_tried_again(run: Run) -> None:
    failures = iter(range(3))

    def fault(command: str, number: int) -> VsphereError | None:
        return unreachable(sent=False) if command == "clone" and next(failures, None) is not None else None

    run.host.fault = fault
    run.copy()
    assert len(run.host.started) == 1
    assert run.slot.steps == ["clone"] * 4
    assert run.checks == [0, 1, 2, 3], "whether it may be started is asked each time"


def test_a_copy_that_may_not_be_started_any_more_is_not(run: Run) -> None:
    run.forbidden = PermissionError("the volume was bound meanwhile")
    with pytest.raises(PermissionError):
        run.copy()
    assert not run.host.started
    assert not run.slot.steps
    assert not run.slot.left


def test_a_start_that_never_leaves_is_given_up(run: Run) -> None:
    run.host.fault = lambda command, number: unreachable(sent=False) if command == "clone" else None
    began = run.clock.time
    with pytest.raises(Unreachable):
        run.copy()
    assert 100 < run.clock.time - began < 200
    assert not run.slot.left


@pytest.mark.parametrize("name", ["NoPermission", "HostNotConnected", "NotAuthenticated"])
def test_a_start_that_vcenter_refuses_is_over_at_once(run: Run, name: str) -> None:
    run.host.fault = lambda command, number: VcenterFault(name, "no") if command == "clone" else None
    with pytest.raises(VcenterFault):
        run.copy()
    assert not run.slot.left


@pytest.mark.parametrize("source", ["[ds] it's/disk.vmdk", "[ds] vm/$(x).vmdk", "[ds] vm..1/disk.vmdk"])
def test_a_path_that_cannot_be_told_safely_is_not_told(run: Run, source: str) -> None:
    with pytest.raises(VsphereError, match="cannot be copied by the host's plugin"):
        run.cloner().copy(source, DEVICE, run.slot, run.told.append)
    assert not run.host.started


# A host that has copies enough

LIMITS = ("pct", "taskStop", "taskList", "xcopyDelta", "limit")
"""what the wrapper can that keeps a limit itself"""


@pytest.fixture(params=[LIMITS, LIMITS[:-1]], ids=["kept by the wrapper", "kept by us"])
def crowded(run: Run, request: pytest.FixtureRequest) -> Run:
    run.host.capabilities, run.limit = request.param, 2
    return run


def test_as_many_copies_as_may_run_are_waited_for(crowded: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    crowded.host.others = [crowded.clock.time + 5000, crowded.clock.time + 400]
    crowded.copy()
    (began,) = crowded.host.tasks.values()
    assert 400 <= began - 100 <= 410
    assert [name for name, _ in crowded.phases if name != "clone"] == [CopyPhase.WAIT_FOR_ROOM] * (
        len(crowded.phases) - 1
    )
    assert crowded.phases[-1] == ("clone", began)
    assert len([line for line in caplog.messages if "2 copies run on this host" in line]) == 1
    assert len(crowded.checks) == len(crowded.phases), "each attempt asks whether it still may"


def test_told_to_stop_while_it_waits_for_others_it_ends_at_once(crowded: Run) -> None:
    crowded.host.others = [1e9, 1e9, 1e9]
    crowded.clock.stop_at = crowded.clock.time + 1000.5
    with pytest.raises(Stopped):
        crowded.copy()
    assert crowded.clock.time == crowded.clock.stop_at
    assert not crowded.host.started
    assert not crowded.slot.left
    assert crowded.slot.journal["phase"] == CopyPhase.WAIT_FOR_ROOM


def test_a_copy_of_ours_that_runs_already_needs_no_room(crowded: Run) -> None:
    crowded.host.others = [1e9, 1e9]
    crowded.host.tasks[TASK] = crowded.clock.time
    assert crowded.copy().task_id == TASK
    assert not crowded.phases


@pytest.mark.parametrize(
    ("capabilities", "limit"), [(LIMITS, 0), ((), 2), ((), 0)], ids=["no limit", "stock wrapper", "neither"]
)
def test_without_a_limit_or_a_way_to_keep_it_nothing_is_waited_for(
    run: Run, capabilities: tuple[str, ...], limit: int
) -> None:
    run.host.capabilities, run.limit = capabilities, limit
    run.host.others = [1e9] * 5
    run.copy()
    assert run.host.commands == ["clone"]


def test_the_wrapper_that_can_is_told_the_limit(run: Run) -> None:
    run.host.capabilities, run.limit = LIMITS, 2
    run.copy()
    assert run.host.commands == ["cloneLimited"]


# Told to stop


def test_a_copy_that_ends_within_the_grace_is_awaited(run: Run) -> None:
    run.host.seconds = 60
    run.clock.stop_at = run.clock.time + 50
    assert run.copy().task_id == TASK
    assert run.clock.time - run.clock.stop_at <= 10.6


def test_a_copy_that_outlasts_the_grace_is_left_loudly(run: Run) -> None:
    run.host.seconds = 3600
    run.clock.stop_at = run.clock.time + 50
    with pytest.raises(CopyMayBeRunning, match="told to stop"):
        run.copy()
    assert run.clock.time - run.clock.stop_at <= 15.1
    assert TASK in run.slot.left
    assert not run.host.cleaned


def test_told_to_stop_before_the_start_nothing_is_started(run: Run) -> None:
    run.clock.stop_at = run.clock.time
    with pytest.raises(Stopped):
        run.copy()
    assert not run.host.started


def test_told_to_stop_on_the_way_to_the_host_nothing_is_started(run: Run) -> None:
    run.host.guard_seconds, run.clock.stop_at = 4.0, run.clock.time + 2
    with pytest.raises(Stopped):
        run.copy()
    assert not run.host.started
    assert not run.slot.left


def test_told_to_stop_while_the_start_is_tried_again_it_ends(run: Run) -> None:
    run.host.fault = lambda command, number: unreachable(sent=False) if command == "clone" else None
    run.clock.stop_at = run.clock.time + 5
    with pytest.raises(Stopped):
        run.copy()
    assert not run.host.started


# The plugin


def test_tells_the_plugins_version(run: Run) -> None:
    assert run.cloner().version() == Version("0.3.3")


def test_a_missing_plugin_is_an_error_with_a_hint(run: Run) -> None:
    run.host.fault = lambda command, number: EsxcliNotFound("unknown", reason="", unclear=False)
    with pytest.raises(VsphereError, match="no vmkfstools plugin") as caught:
        run.cloner().version()
    assert "VIB" in caught.value.hint


def test_a_version_that_cannot_be_told_is_none(run: Run) -> None:
    run.host.fault = lambda command, number: EsxcliFault("failed", reason="?", unclear=False)
    assert run.cloner().version() == Version()


def test_answers_are_read_whatever_their_form() -> None:
    assert parse_answer([{"Status": "0", "Message": " x "}]) == Answer("0", "x")
    with pytest.raises(VsphereError, match="no answer"):
        parse_answer([])
    odd = parse_task(Answer("0", '{"exitCode":null,"lastLine":"\x01Clone: 7% done.","xcopyUsed":"yes"}'))
    assert (odd.ended, odd.percent, odd.xcopy_used) == (False, 7, None)
    with pytest.raises(VsphereError, match="did not report"):
        parse_task(Answer("0", "<html>"))


@given(text=st.text(max_size=1000))
def test_any_complaint_becomes_one_line(text: str) -> None:
    meaning, hint = translate(text)
    assert meaning
    assert hint
    assert "\n" not in meaning


OPEN, CLONE = "Failed to open '/vmfs/volumes/ds one/vm/vm.vmdk': ", "Failed to clone disk: "


@pytest.mark.parametrize(
    ("words", "means"),
    [
        (OPEN + "Failed to lock the file (16392).", "locked by another writer"),
        (OPEN + "Device or resource busy (1048585).", "locked by another writer"),
        (OPEN + "The disk is encrypted and a required key was not found (63).", "encrypted"),
        (OPEN + "One or more required keys were not provided (26).", "encrypted"),
        (
            OPEN + "The parent of this virtual disk could not be opened (23).",
            "inherits from cannot be opened",
        ),
        (
            "Cannot open the disk 'vm.vmdk' or one of the snapshot disks it depends on.",
            "inherits from cannot",
        ),
        (
            OPEN
            + "The parent virtual disk has been modified since the child was created. The content ID of the "
            "parent virtual disk does not match the corresponding parent content ID in the child (18).",
            "was changed after",
        ),
        (
            OPEN + "The capacity of the parent virtual disk and the capacity of the child differ.",
            "another size",
        ),
        (OPEN + "Too many levels of redo logs (38).", "too many links"),
        (
            OPEN + "Object type requires hosted I/O (5).",
            "needs repair, or has a format of VMware Workstation",
        ),
        (OPEN + "The specified virtual disk needs repair (14).", "damaged"),
        (OPEN + "The file specified is not a virtual disk (15).", "no descriptor of a disk"),
        (OPEN + "The system cannot find the file specified (25).", "not there"),
        (OPEN + "No such file or directory (131081).", "not there"),
        (CLONE + "The specified feature is not supported by this version (24).", "cannot copy such a disk"),
        (CLONE + "Function not implemented (2490377).", "cannot copy such a disk"),
        (CLONE + "Operation not supported (3997705).", "cannot copy such a disk"),
        (CLONE + "Inappropriate ioctl for device (1638402).", "cannot copy such a disk"),
        (CLONE + "The destination file system does not support large files (12).", "so large a LUN"),
        (CLONE + "File too large (1769481).", "so large a LUN"),
        (CLONE + "The destination device is smaller than the source disk.", "smaller than the disk"),
        (CLONE + "Operation not permitted (65545).", "does not allow it"),
        (CLONE + "Permission denied (851977).", "does not allow it"),
        (CLONE + "Read-only file system (1966089).", "is read-only"),
        ("Clone: 100% done." + CLONE + "No such device or address (393225).", "lost its way"),
        (CLONE + "No such device (1245193).", "lost its way"),
        (CLONE + "Connection timed out (7208969).", "did not answer in time"),
        (CLONE + "SCSI reservation conflict.", "has reserved the LUN"),
        (CLONE + "Invalid argument (1441801).", "does not take the device"),
        (CLONE + "Cannot allocate memory (786441).", "short of memory"),
        (CLONE + "No space left on device (1835017).", "no space left"),
        (CLONE + "Input/output error (327682).", "I/O error"),
        (CLONE + "The file already exists (39).", "of an earlier copy"),
        (CLONE + "File name too long (2359305).", "leaves no room"),
    ],
)
def test_what_vmkfstools_refuses_by_is_explained(words: str, means: str) -> None:
    meaning, hint = translate(words)
    assert means in meaning
    assert words.partition("(")[0].strip()[-20:] in meaning, "its own words are shown, too"
    assert hint != translate("Beyond words (77).")[1]


@pytest.mark.parametrize(
    "path",
    [
        "'/vmfs/volumes/encrypted/not supported/locked.vmdk'",
        "'/vmfs/volumes/locked: read-only/o'brien is encrypted/timeout.vmdk'",
    ],
)
def test_names_in_a_complaint_say_nothing(path: str) -> None:
    assert translate(f"Failed to open {path}: Beyond words (77).")[1] == translate("Beyond words (77).")[1]
    assert (
        "not there" in translate(f"Failed to open {path}: The system cannot find the file specified (25).")[0]
    )
    refused = f"Path validation error: Invalid path detected: {path.strip(chr(39))}"
    assert "does not accept a path" in translate(refused)[0]


# A wrapper that can more


@pytest.fixture
def able(run: Run) -> Run:
    run.host.capabilities = ("pct", "taskStop", "taskList", "xcopyDelta")
    return run


OTHER_TASK = "11111111-d9cb-469f-a165-70867728950e"


def foreign(
    source: str = HOST_PATH, device: str = DEVICE.name, exit_code: str = "", task: str = OTHER_TASK
) -> dict[str, object]:
    return {"taskId": task, "pid": 3, "exitCode": exit_code, "source": source, "device": device}


def test_learns_what_the_wrapper_can(able: Run) -> None:
    version = able.cloner().version()
    assert version.number == "0.4.0"
    assert version.decodes
    assert version.stops
    assert version.lists


@pytest.mark.parametrize(
    "answer", ['{"version":"1","capabilities":"pct"}', '{"version":"1"}', "{}", "nonsense"]
)
def test_a_wrapper_that_says_nothing_usable_can_nothing_more(answer: str) -> None:
    assert parse_version(Answer("0", answer)).capabilities == frozenset()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: "/" not in name))
def test_any_name_is_told_in_plain_letters_to_a_wrapper_that_decodes(name: str) -> None:
    path = VmdkPath("ds", f"{name}x/disk.vmdk")
    spelled = Plugin(Host(SimulatedClock())).spell(path, Version("0.4.0", frozenset({"pct"})))
    assert re.fullmatch(r"pct:[A-Za-z0-9/._%-]+", spelled)
    assert unquote(spelled.removeprefix("pct:")) == path.host_path


def test_a_stock_wrapper_is_not_told_what_it_would_break_on(run: Run) -> None:
    cloner = run.cloner()
    cloner.version()
    with pytest.raises(VsphereError, match="single quote"):
        cloner.check("[ds] o'brien/disk.vmdk")


def test_a_copy_of_ours_that_runs_already_is_followed(able: Run) -> None:
    able.host.tasks[TASK] = able.clock.time
    assert able.copy().task_id == TASK
    assert able.host.started == []
    assert able.host.cleaned == [TASK]


@pytest.mark.parametrize("seen", ["before", "when started"])
def test_a_copy_of_another_disk_onto_our_device_is_left_alone(able: Run, seen: str) -> None:
    stranger = foreign(source="/vmfs/volumes/ds/other.vmdk")
    if seen == "before":
        able.host.foreign = [stranger]

    def appears(command: str, number: int) -> None:
        if command == "clone":
            able.host.foreign = [stranger]

    able.host.fault = appears
    with pytest.raises(CopyMayBeRunning, match=r"other\.vmdk"):
        able.copy()
    assert able.host.started == []
    assert able.slot.left


def test_a_writer_that_belongs_to_no_task_is_left_alone_too(able: Run) -> None:
    refusal = {"taskId": "", "stdErr": "a vmkfstools writes to it", "xcopyUsed": False, "reason": "busy"}
    able.host.clone_answer = ("1", json.dumps(refusal))
    with pytest.raises(CopyMayBeRunning, match="a vmkfstools writes to it"):
        able.copy()
    assert able.slot.left


def test_ended_tasks_of_ours_are_tidied_up_and_no_others(able: Run) -> None:
    able.host.foreign = [
        foreign(exit_code="0"),
        foreign(exit_code="0", device="naa.2", task="on another device"),
        foreign(exit_code="0", source="/vmfs/volumes/ds/other.vmdk", task="of another disk"),
    ]
    able.host.tasks[OTHER_TASK] = 0.0
    able.copy()
    assert set(able.host.cleaned) == {OTHER_TASK, TASK}


def lost_reply(host: Host, *, done: bool) -> Callable[[str, int], VsphereError | None]:
    """Lose the reply of the first `clone`, after it was done or without its being done."""
    lost: list[str] = []

    def fault(command: str, number: int) -> VsphereError | None:
        if command != "clone":
            return None
        host.clone_answer = (
            None if lost or done else ("0", "{}")
        )  # an answer set here changes nothing on the host
        lost.append(command)
        return unreachable(sent=True) if len(lost) == 1 else None

    return fault


def test_a_copy_whose_start_got_no_answer_is_found(able: Run) -> None:
    able.host.fault = lost_reply(able.host, done=True)
    assert able.copy().task_id == TASK
    assert len(able.host.started) == 1


def test_a_copy_that_was_never_started_is_started_after_a_while(able: Run) -> None:
    began = able.clock.time
    able.host.fault = lost_reply(able.host, done=False)
    assert able.copy().task_id == TASK
    assert len(able.host.started) == 1
    assert able.clock.time - able.host.seconds - began >= 10


def test_told_to_stop_it_ends_the_copy(able: Run) -> None:
    able.host.seconds, able.clock.stop_at = 600.0, able.clock.time + 30
    with pytest.raises(Stopped):
        able.copy()
    assert able.host.stopped == [TASK]
    assert able.host.cleaned == [TASK]
    assert able.clock.time == able.clock.stop_at
    assert max(able.told, default=0) < 100
    assert not able.slot.left


def test_a_copy_that_cannot_be_ended_is_left_loudly(able: Run) -> None:
    able.host.seconds, able.host.stops, able.clock.stop_at = 600.0, False, able.clock.time + 30
    with pytest.raises(CopyMayBeRunning):
        able.copy()
    assert able.slot.left
    assert 14 < able.clock.time - able.clock.stop_at <= 16


def test_a_copy_that_was_complete_when_it_should_be_ended_is_a_success(able: Run) -> None:
    able.host.seconds, able.clock.stop_at = 0.05, able.clock.time + 0.06
    assert able.copy().task_id == TASK
    assert able.host.stopped == []


def test_a_copy_that_somebody_else_ended_is_a_failure(able: Run) -> None:
    able.host.stopped.append(TASK)
    able.host.seconds = 0.0
    with pytest.raises(CloneFailed, match="not by us"):
        able.copy()


@pytest.mark.parametrize("capabilities", [(), ("pct", "taskStop", "taskList")])
def test_what_nobody_thought_of_counts_as_a_copy_that_may_be_running(
    run: Run, capabilities: tuple[str, ...]
) -> None:
    run.host.capabilities = capabilities
    cloner = run.cloner()
    cloner.version()

    def progress(percent: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(CopyMayBeRunning, match="ZeroDivisionError"):
        cloner.copy(SOURCE, DEVICE, run.slot, progress)
    assert run.slot.left


def test_who_knows_of_a_copy_does_not_lose_it_over_a_host_that_is_away(able: Run) -> None:
    cloner = able.cloner()
    cloner.version()
    able.host.tasks[TASK] = able.clock.time
    assert not cloner.is_copying(SOURCE, "naa.2")
    assert cloner.is_copying(SOURCE, DEVICE.name)
    able.host.fault = lambda command, number: unreachable(sent=False) if command == "taskList" else None
    with pytest.raises(CopyMayBeRunning):
        cloner.copy(SOURCE, DEVICE, able.slot, able.told.append, runs=True)
    with pytest.raises(Unreachable):
        cloner.copy(SOURCE, DEVICE, able.slot, able.told.append)


@pytest.mark.parametrize(
    ("counts", "used", "fallback", "says"),
    [
        ({"writeOps": 7, "readOps": 7, "failedOps": 0, "writeBytes": 4096}, True, "", "used: 7"),
        ({"writeOps": 7, "readOps": 7, "failedOps": 2, "writeBytes": None}, True, "", "partly used: 7"),
        (
            {"writeOps": 0, "failedOps": 0},
            False,
            "no VAAI plugin",
            "not used: the host moved the bytes, because: no VAAI plugin",
        ),
        (None, True, "", "an earlier copy"),
        (None, None, "", "unknown"),
    ],
)
def test_says_whether_the_array_moved_the_bytes(
    able: Run, counts: dict[str, int | None] | None, used: bool | None, fallback: str, says: str
) -> None:
    able.host.xcopy_counts, able.host.xcopy, able.host.fallback = counts, used, fallback
    result = able.copy()
    assert says in result.verdict
    if counts:
        moved = counts.get("writeBytes")
        assert result.xcopy == Xcopy(counts["writeOps"] or 0, counts["failedOps"] or 0, moved)


def test_a_full_tmp_of_the_host_is_told_as_that(run: Run) -> None:
    run.host.clone_answer = ("28", "Failed to create the task directory: low free space in /tmp")
    with pytest.raises(CloneFailed, match="/tmp is full") as caught:
        run.copy()
    assert "vdf" in caught.value.hint
