"""The undo stack: newest first, failures noted and hidden from nobody, a budget of its own, when to leave things."""

from contextlib import suppress
from functools import partial

import pytest

from populator.clock import Clock
from populator.report.page import Page
from populator.report.run import Report
from populator.undo import AFTER_STOP, KEPT, UndoStack
from vsphere.errors import CopyMayBeRunning, VsphereError


class Bench:
    """A stack, and what became of its steps."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.report = Report(Page("uid", "ontap", "vib"), self.clock)
        self.done: list[str] = []

    def stack(self) -> UndoStack:
        return UndoStack(self.clock, self.report)

    def note(self, stack: UndoStack, *names: str) -> None:
        for name in names:
            stack.later(name, partial(self.done.append, name))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_newest_first(bench: Bench) -> None:
    with bench.stack() as undo:
        bench.note(undo, "first", "second")
        assert not bench.done
    assert bench.done == ["second", "first"]


def test_a_failing_step_is_noted_and_the_first_error_comes_through(bench: Bench) -> None:
    def refuse() -> None:
        raise OSError("no way")

    with pytest.raises(ZeroDivisionError), bench.stack() as undo:
        bench.note(undo, "first")
        undo.later("break", refuse)
        _ = 1 / 0
    assert bench.done == ["first"]
    assert bench.report.undo_failures == ["break: Unexpected OSError: no way"]


def test_where_a_step_fails_those_that_are_safe_only_after_it_are_left(
    bench: Bench,
) -> None:
    def refuse() -> None:
        raise VsphereError("the device is still on")

    with bench.stack() as undo:
        bench.note(undo, "paths", "mapping")
        undo.later("detach", refuse, or_stop=True)
        bench.note(undo, "lamp")
    assert bench.done == ["lamp"], "what was noted after it does not depend on it"
    assert bench.report.left_steps == ["mapping", "paths"]
    assert bench.report.undo_failures == ["detach: the device is still on"]


def test_a_step_without_which_others_stop_is_just_a_step_where_it_succeeds(bench: Bench) -> None:
    with bench.stack() as undo:
        bench.note(undo, "mapping")
        undo.later("detach", partial(bench.done.append, "detach"), or_stop=True)
    assert bench.done == ["detach", "mapping"]
    assert bench.report.left_steps == []


@pytest.mark.parametrize("error", [None, CopyMayBeRunning("the reply to clone was lost")])
def test_a_step_that_has_nothing_to_undo_in_the_end_is_neither_done_nor_left(
    bench: Bench, error: Exception | None
) -> None:
    changed = True
    with suppress(CopyMayBeRunning), bench.stack() as undo:
        undo.later("device", partial(bench.done.append, "device"), when=lambda: changed)
        changed = False
        if error:
            raise error
    assert bench.done == bench.report.left_steps == []


def test_nothing_is_pulled_from_under_a_copy_that_may_be_running(bench: Bench) -> None:
    with pytest.raises(CopyMayBeRunning), bench.stack() as undo:
        bench.note(undo, "mapping", "device")
        raise CopyMayBeRunning("the reply to clone was lost")
    assert bench.done == []
    assert bench.report.left_steps == ["device", "mapping"]


def test_a_step_that_finds_the_device_in_use_keeps_the_rest_from_being_undone(bench: Bench) -> None:
    def in_use() -> None:
        raise CopyMayBeRunning("vmkfstools uses it")

    with pytest.raises(CopyMayBeRunning), bench.stack() as undo:
        bench.note(undo, "paths", "mapping")
        undo.later("detach", in_use)
    assert bench.done == []
    assert bench.report.left_steps == ["mapping", "paths"]
    assert bench.report.undo_failures == ["detach: vmkfstools uses it"]


def test_what_the_undo_finds_does_not_hide_the_error_of_the_work(bench: Bench) -> None:
    def in_use() -> None:
        raise CopyMayBeRunning("vmkfstools uses it")

    with pytest.raises(ZeroDivisionError), bench.stack() as undo:
        undo.later("detach", in_use)
        _ = 1 / 0
    assert bench.report.undo_failures == ["detach: vmkfstools uses it"]


def test_told_to_stop_it_still_undoes_within_what_is_left(bench: Bench) -> None:
    left: list[float] = []

    def look() -> None:
        bench.clock.wait(0)
        left.append(bench.clock.left())

    with bench.stack() as undo:
        undo.later("look", look)
        undo.later("look", look)
        bench.clock.stop()
    first, second = left
    assert 0 < first <= AFTER_STOP - KEPT, "the first of two steps leaves some time to the second"
    assert first < second <= AFTER_STOP, "the last one gets all that is left"


def test_told_to_stop_in_mid_step_there_is_time_left_for_the_others(bench: Bench) -> None:
    left: list[float] = []

    def stop() -> None:
        bench.clock.stop()
        left.append(bench.clock.left())

    with bench.stack() as undo:
        undo.later("look", lambda: left.append(bench.clock.left()))
        undo.later("stop", stop)
    assert left[0] <= AFTER_STOP - KEPT < left[1]
