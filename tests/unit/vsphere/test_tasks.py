"""What a wrapper tells of its tasks, stock and ours: it is asked for nothing that it cannot do, refusals have names."""

import json
from dataclasses import dataclass, field

import pytest

from vsphere.errors import Unreachable, Unreadable, VsphereError, WrapperMissing
from vsphere.model import CloneMethod
from vsphere.paths import VmdkPath
from vsphere.ports import Guard
from vsphere.wrapper.contract import Answer, Version, version_order
from vsphere.wrapper.tasks import Tasks, UnknownTask

OURS = ("pct", "taskStop", "taskList", "limit")
TASK = "0b7e21c4-1111-4222-8333-000000000001"
DISK = VmdkPath("ds one", "vm/disk.vmdk")


@dataclass
class Simulated:
    """A wrapper with its tasks: how far each is, in percent."""

    capabilities: tuple[str, ...] = OURS
    number: str = "0.4.2"
    tasks: dict[str, int] = field(default_factory=dict)
    limits: list[int] = field(default_factory=list)
    away: VsphereError | None = None
    stuck: bool = False
    method = CloneMethod.VIB
    host = "esx-1"

    def spell(self, path: VmdkPath, version: Version) -> str:
        return f"pct:{path.host_path}" if version.decodes else path.host_path

    def version(self) -> Answer:
        if not self.number:
            return Answer("1", "unknown command version")
        return self._good({"version": self.number, "capabilities": list(self.capabilities)})

    def clone(self, source: str, device: str, guard: Guard, limit: int) -> Answer:
        guard()
        self.limits.append(limit)
        self.tasks[TASK] = 0
        return self._good({"taskId": TASK})

    def verify(self, source: str, device: str, task: str, samples: str) -> Answer:
        raise AssertionError("a comparison is no task of a copy")

    def task_get(self, task: str) -> Answer:
        if self.away:
            raise self.away
        return self._good(self._state(task)) if task in self.tasks else Answer("1", f"no task {task}")

    def task_clean(self, task: str) -> Answer:
        if self.away:
            raise self.away
        return Answer("0", "") if self.tasks.pop(task, None) is not None else Answer("1", "no such task")

    def task_stop(self, task: str) -> Answer:
        if self.stuck:
            return Answer("1", json.dumps({"taskId": task, "stdErr": "it still writes"}))
        self.tasks[task] = 100
        return self._good(self._state(task))

    def task_list(self) -> Answer:
        assert "taskList" in self.capabilities, "a stock wrapper does not know the command"
        return self._good({"tasks": [self._state(task) for task in self.tasks]})

    def close(self) -> None:
        """Nothing is open."""

    def _state(self, task: str) -> dict[str, object]:
        percent = self.tasks[task]
        exit_code = "0" if percent == 100 else ""
        return {"taskId": task, "exitCode": exit_code, "lastLine": f"Clone: {percent}% done.", "stdErr": ""}

    def _good(self, facts: dict[str, object]) -> Answer:
        return Answer("0", json.dumps(facts))


def learned(wrapper: Simulated) -> Tasks:
    tasks = Tasks(wrapper)
    tasks.learn()
    return tasks


def test_before_it_has_learned_a_wrapper_is_taken_for_one_that_can_nothing() -> None:
    tasks = Tasks(Simulated())
    assert tasks.all() == ()
    assert tasks.spell(DISK) == DISK.host_path
    assert tasks.learn().number == "0.4.2"
    assert tasks.spell(DISK) == f"pct:{DISK.host_path}"


def test_a_stock_wrapper_is_asked_for_no_list_and_given_no_limit() -> None:
    wrapper = Simulated(capabilities=(), number="0.3.3")
    tasks = learned(wrapper)
    tasks.start("source", "device", lambda: None, limit=2)
    assert wrapper.limits == [0]
    assert tasks.all() == ()


def test_ours_keeps_the_limit_itself_and_lists_what_runs() -> None:
    wrapper = Simulated(tasks={"t-9": 40})
    tasks = learned(wrapper)
    tasks.start("source", "device", lambda: None, limit=2)
    assert wrapper.limits == [2]
    assert {(one.task, one.percent, one.ended) for one in tasks.all()} == {
        ("t-9", 40, False),
        (TASK, 0, False),
    }


def test_a_version_that_is_not_told_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert learned(Simulated(number="")).can == Version()
    assert "unknown command version" in caplog.text


def test_a_task_that_is_not_known_is_no_failure_of_the_call() -> None:
    wrapper = Simulated()
    tasks = learned(wrapper)
    with pytest.raises(UnknownTask, match=f"no task {TASK}"):
        tasks.poll(TASK)
    wrapper.away = WrapperMissing("The plugin is not loaded yet.")
    with pytest.raises(UnknownTask, match="not loaded yet"):
        tasks.poll(TASK)
    wrapper.away = Unreachable("vCenter is away.", sent=False)
    with pytest.raises(Unreachable):
        tasks.poll(TASK)


def test_a_copy_that_cannot_be_ended_is_told_in_the_hosts_words() -> None:
    wrapper = Simulated(tasks={TASK: 40})
    tasks = learned(wrapper)
    wrapper.stuck = True
    with pytest.raises(VsphereError, match="it still writes"):
        tasks.stop(TASK)
    wrapper.stuck = False
    assert tasks.stop(TASK).ended


def test_tidying_up_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    wrapper = Simulated(tasks={TASK: 100})
    tasks = learned(wrapper)
    tasks.clean(TASK)
    assert not wrapper.tasks
    tasks.clean(TASK)
    wrapper.away = Unreadable("An answer that makes no sense.")
    tasks.clean(TASK)
    assert "no such task" in caplog.text
    assert "makes no sense" in caplog.text


def test_versions_are_ordered_by_their_numbers() -> None:
    versions = ["0.10.0", "1.0", "", "0.3.10", "0.4.0", "0.3.3", "0.4.0-rc.1"]
    ordered = ["", "0.3.3", "0.3.10", "0.4.0", "0.4.0-rc.1", "0.10.0", "1.0"]
    assert sorted(versions, key=version_order) == ordered
