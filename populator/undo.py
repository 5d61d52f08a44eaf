"""The undo stack: what has to be put back, noted before it is changed, done newest first, whatever happened.

A step that fails is noted and never hides the first error. It does not keep the others from their turn, unless they are
safe only after it: where a device could not be detached, its LUN stays mapped. What is not done for such a reason is
reported. Being told to stop ends the work, not the undo: it has a budget of its own inside the pod's 30 s. Where a copy
may still be writing to the target nothing is undone, or nothing further where a step finds that out: pulling the device
from under it would be worse than leaving it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from populator.clock import Clock
from populator.report.phase import Phase
from populator.report.run import Report
from vsphere.errors import CopyMayBeRunning

log = logging.getLogger(__name__)

AFTER_STOP = 22.0
"""seconds from SIGTERM to the end of the undo; slot and session are given back after it, and SIGKILL comes after 30"""
WITHIN = 120.0
"""seconds for the undo when nobody is in a hurry"""
KEPT = 5.0
"""seconds that each step to come is left by the one before it, where there are as many"""


@dataclass(frozen=True)
class Step:
    """Something to be put back."""

    name: str
    act: Callable[[], object]
    or_stop: bool
    """the steps noted before it are safe only once it is done"""
    when: Callable[[], bool]


class UndoStack:
    """Named steps, run in reverse order at the end of the `with` block."""

    def __init__(self, clock: Clock, report: Report) -> None:
        self._clock = clock
        self._report = report
        self._steps: list[Step] = []

    def later(
        self,
        name: str,
        act: Callable[[], object],
        *,
        when: Callable[[], bool] = lambda: True,
        or_stop: bool = False,
    ) -> None:
        """Note a step, which must be harmless if what it undoes never happened.

        `when` is asked at the end of the block: whether there is anything to undo. `or_stop` says that where this step
        fails, none of those noted before it may be done.
        """
        self._steps.append(Step(name, act, or_stop, when))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo, or leave all as it is where a copy may still be running; raises where the undo is what finds one."""
        self._steps = [step for step in self._steps if step.when()]
        if isinstance(error, CopyMayBeRunning):
            self._leave("a copy may still be writing to the LUN")
        elif self._steps:
            failures = self._undo()
            if error is None and (
                running := [failure for failure in failures if isinstance(failure, CopyMayBeRunning)]
            ):
                raise running[0]

    def _leave(self, why: str) -> None:
        for step in reversed(self._steps):
            self._report.left(step.name, why)
        self._steps.clear()

    def _undo(self) -> list[Exception]:
        """Do all steps that may be done; return what failed."""
        self._report.phase(Phase.UNDO)
        failures = []
        with self._clock.grace(AFTER_STOP, WITHIN):
            while self._steps:
                step = self._steps.pop()
                with self._clock.grace(*self._share()):
                    failure = self._run(step)
                if failure:
                    failures.append(failure)
                    if isinstance(failure, CopyMayBeRunning):
                        self._leave("a copy may still be writing to the LUN")
                    elif step.or_stop:
                        self._leave(f"it is safe only after this, which failed: {step.name}")
        return failures

    def _share(self) -> tuple[float, float]:
        """Return how long the next step may take after we are told to stop, and in all, in seconds."""
        after_stop = AFTER_STOP if self._clock.stopping() else self._share_of(AFTER_STOP)
        return after_stop, self._share_of(self._clock.left())

    def _share_of(self, seconds: float) -> float:
        """Return all but what the steps to come need, and never less than they get."""
        further = len(self._steps)
        return max(seconds - KEPT * further, seconds / (further + 1))

    def _run(self, step: Step) -> Exception | None:
        try:
            step.act()
        except Exception as error:
            log.debug("undo step failed", exc_info=True)
            self._report.undo_failed(step.name, error)
            return error
        return None
