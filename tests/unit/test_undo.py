"""The undo stack: newest first, failures noted and hidden from nobody, a budget of its own, when to leave things."""

from functools import partial

import pytest

from populator.clock import Clock
from populator.metrics import Page
from populator.report import Report
from populator.undo import AFTER_STOP, UndoStack
from vsphere.errors import CopyMayBeRunning


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


def test_steps_move_to_the_stack_that_ends_earlier(bench: Bench) -> None:
    with bench.stack() as outer:
        bench.note(outer, "mapping")
        with bench.stack() as inner:
            bench.note(inner, "paths")
            inner.take_over(outer)
            bench.note(inner, "device")
        assert bench.done == ["device", "mapping", "paths"]
    assert bench.done == ["device", "mapping", "paths"]


def test_nothing_is_pulled_from_under_a_copy_that_may_be_running(bench: Bench) -> None:
    with pytest.raises(CopyMayBeRunning), bench.stack() as undo:
        bench.note(undo, "mapping", "device")
        raise CopyMayBeRunning("the reply to clone was lost")
    assert bench.done == []
    assert bench.report.left_steps == ["device", "mapping"]


def test_a_step_that_finds_the_device_in_use_keeps_the_rest_from_being_undone(bench: Bench) -> None:
    def in_use() -> None:
        raise CopyMayBeRunning("vmkfstools uses it")

    with bench.stack() as undo:
        bench.note(undo, "paths", "mapping")
        undo.later("detach", in_use)
    assert bench.done == []
    assert bench.report.left_steps == ["mapping", "paths"]
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
    assert 0 < first <= AFTER_STOP / 2, "the first of two steps may take half of the budget"
    assert first < second <= AFTER_STOP, "the last one gets all that is left"
