"""The undo stack: what has to be put back, noted before it is changed, done newest first, whatever happened.

A step that fails is noted and never hides the first error, nor keeps the others from their turn. Being told to
stop ends the work, not the undo: it has a budget of its own inside the pod's 30 s, shared out over its steps.
Where a copy may still be writing to the target nothing is undone, or nothing further where a step finds that out:
pulling the device from under it would be worse than leaving it.
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from populator.clock import Clock
from populator.report import Report
from vsphere.errors import CopyMayBeRunning

log = logging.getLogger(__name__)

AFTER_STOP = 26.0
"""seconds from SIGTERM to the end of the undo; SIGKILL comes after 30"""
WITHIN = 120.0
"""seconds for the undo when nobody is in a hurry"""

Step = tuple[str, Callable[[], object]]


class UndoStack:
    """Named steps, run in reverse order at the end of the `with` block."""

    def __init__(self, clock: Clock, report: Report) -> None:
        self._clock = clock
        self._report = report
        self._steps: list[Step] = []

    def later(self, name: str, act: Callable[[], object]) -> None:
        """Note a step; it must be harmless if what it undoes never happened."""
        self._steps.append((name, act))

    def take_over(self, other: "UndoStack") -> None:
        """Move all steps of another stack here, to be undone at the end of this block instead of that one."""
        self._steps += other._steps
        other._steps = []

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo, or leave all as it is where a copy may still be running."""
        if isinstance(error, CopyMayBeRunning):
            self._leave()
        elif self._steps:
            self._undo()

    def _leave(self) -> None:
        for name, _ in reversed(self._steps):
            self._report.left(name)
        self._steps.clear()

    def _undo(self) -> None:
        self._report.phase("undo", work=False)
        with self._clock.grace(AFTER_STOP, WITHIN):
            while self._steps:
                share = self._clock.left() / len(self._steps)
                with self._clock.grace(AFTER_STOP, share):
                    self._run(*self._steps.pop())

    def _run(self, name: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            log.debug("undo step failed", exc_info=True)
            self._report.undo_failed(name, error)
            if isinstance(error, CopyMayBeRunning):
                self._leave()
