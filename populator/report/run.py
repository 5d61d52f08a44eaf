"""What a run publishes: phases, percent and end on the metrics page, in the log and in the termination message.

Percent never falls, and is 100 only once the copy is verified.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from populator import log
from populator.clock import Clock
from populator.plan.journal import MIB, Journal
from populator.report.message import Value, write_message
from populator.report.outcome import explain, outcome_of
from populator.report.pace import Pace
from populator.report.page import Page, Result
from populator.report.phase import AFTER_WORK, Phase
from populator.storage.array import ArrayInfo
from populator.storage.copies import CannotCopy, EndUnclear
from vsphere.errors import CloneFailed
from vsphere.model import CloneMethod, CopyPhase, CopyResult, DiskKind, Proof, ProofOutcome, SourceDisk

logger = logging.getLogger(__name__)

TELL_PACE_EVERY = 30.0
"""seconds between two lines of log about a copy"""


class Report:
    """One run's story for people and programs."""

    def __init__(self, page: Page, clock: Clock) -> None:
        self.page = page
        self._clock = clock
        self._phase = self._failed_in = ""
        self.copy_ended: float | None = None
        """the clock's time at which the end of the copy was published, or that there will be none"""
        self.xcopy = ""
        """whether the array moved the bytes, for people; empty before the end of a copy"""
        self.proof = ""
        """whether source and volume are the same, for people; empty before they were to be compared"""
        self._began = clock.now()
        self._copied: dict[str, Value] = {}
        """bytes and seconds of a copy that was made, for forecasts of later ones"""
        self._capacity = 0
        self._copy_began = self._pace_told = 0.0
        self._copied_at: float | None = None
        self.undo_failures: list[str] = []
        self.left_steps: list[str] = []
        self.hosts_left: list[str] = []
        self.progress = Journal()
        """of the copy, as a journal has it"""
        self._note: Callable[..., None] = lambda **_: None

    def noted_in(self, note: Callable[..., None]) -> None:
        """Have `note` called with phase and progress from now on, as facts of a journal."""
        self._note = note
        note(phase=self._phase)

    def phase(self, phase: Phase | CopyPhase) -> None:
        """Begin a phase: every line of the log names it from now on.

        A copy is measured from the beginning of its last phase: what it had to wait for before is not the copy's time,
        nor is the comparison after it.
        Those that come after the work are never the one where a run failed.
        """
        self._failed_in = self._failed_in if phase in AFTER_WORK else phase
        if phase != self._phase:
            self._phase = phase
            if phase is CopyPhase.VERIFY:
                self._copied_at = self._clock.now()
            else:
                self._copy_began = self._pace_told = self._clock.now()
            self._tell_moved()
            log.about(phase=phase)
            self._note(phase=phase)
            logger.info("%s", phase)

    def percent(self, percent: int) -> None:
        """Publish progress of a copy that is not verified yet."""
        before = self.page.percent
        self.page.progress(min(percent, 99))
        if self.page.percent != before:
            self._tell_moved()
            self._tell_pace()

    def _tell_moved(self) -> None:
        """Publish that the copy has begun or got further, or that none runs."""
        self.page.moved(self._clock.utc().timestamp() if self._phase == CopyPhase.CLONE else None)

    def _tell_pace(self) -> None:
        """Publish rate and remaining time of the copy, and log them from time to time."""
        now = self._clock.now()
        pace = Pace(self._capacity, self.page.percent, now - self._copy_began)
        self.page.pace(pace.rate, pace.remaining)
        self.progress = Journal(percent=pace.percent, rate=round(pace.rate / MIB, 1), size=pace.size)
        self._note(**self.progress.facts())
        level = logging.INFO if now - self._pace_told >= TELL_PACE_EVERY else logging.DEBUG
        if level == logging.INFO:
            self._pace_told = now
        logger.log(level, "%s", pace)

    def array(self, info: ArrayInfo) -> None:
        """Publish what the array is."""
        self.page.array(info.vendor, info.product, info.model, info.version)
        logger.info("array: %s %s %s", info.vendor, info.product, info.version)

    def host(self, name: str) -> None:
        """Publish which ESXi host is used from now on."""
        self.page.uses_host(name)

    def method(self, method: CloneMethod | DiskKind) -> None:
        """Publish who copies: a host by one of its two ways, or the array, for a disk of that kind."""
        self.page.clone_method = method

    def wrapper(self, method: CloneMethod, version: str) -> None:
        """Tell the version of the host's wrapper, where it has one; that of the plugin is published too."""
        self.method(method)
        if version:
            if method is CloneMethod.VIB:
                self.page.vib(version)
            logger.info("vmkfstools wrapper %s, by %s", version, method)

    def uses(self, protocol: str, disk: SourceDisk) -> None:
        """Publish how the host reaches the LUN, and the disk's sizes, which the page shows with it."""
        self.page.protocol = protocol
        self.page.disk(disk.capacity, disk.allocated)
        self._capacity = disk.capacity

    @contextmanager
    def copying(self) -> Iterator["Copy"]:
        """Measure the copy, and publish its end at the end of the block, before anything is undone.

        One that the array refuses, or of which it is not certain that it is complete, is none: a host will copy.
        """
        self._copy_began = self._pace_told = self._clock.now()
        copy = Copy()
        try:
            yield copy
        except (CannotCopy, EndUnclear):
            raise
        except BaseException as error:
            self._end_copy(Result.FAILURE, self._began, done_before(error))
            raise
        self._end_copy(Result.SUCCESS, self._copy_began, copy.result)
        seconds = (self._copied_at or self._clock.now()) - self._copy_began
        self._copied = {"bytes": str(self._capacity), "seconds": f"{seconds:.1f}"} if self._capacity else {}

    def verified(self, proof: Proof) -> None:
        """Publish what came of comparing source and volume."""
        self.proof = str(proof)
        self.page.verification(proof.outcome, proof.equal)
        level = {ProofOutcome.EQUAL: logging.INFO, ProofOutcome.DIFFERENT: logging.ERROR}.get(
            proof.outcome, logging.WARNING
        )
        logger.log(level, "source and volume: %s", proof)

    def failed(self) -> None:
        """Publish the end of a run that failed before its copy began, or outside of it."""
        if self.copy_ended is None:
            self._end_copy(Result.FAILURE, self._began, None)

    def ended(self, error: BaseException | None) -> None:
        """Publish how the whole run ended, its undo included, by what ended it."""
        outcome = outcome_of(error)
        self.page.end(outcome.reason, outcome.exit_code, len(self.undo_failures) + len(self.left_steps))

    def _end_copy(self, result: Result, began: float, done: CopyResult | None) -> None:
        """Publish the end: the seconds of a copy, or of the whole of a run that failed."""
        self.copy_ended = self._clock.now()
        if done:
            self._tell_xcopy(done)
        used = bool(done and done.xcopy_used)
        until = self._copied_at if result is Result.SUCCESS and self._copied_at else self.copy_ended
        self.page.finish(result, until - began, xcopy_used=used)

    def _tell_xcopy(self, result: CopyResult) -> None:
        """Tell whether the array moved the bytes: a copy that it did not move works, but takes hours."""
        self.xcopy = result.verdict
        logger.log(logging.INFO if result.xcopy_used else logging.WARNING, "XCOPY was %s", self.xcopy)
        if result.xcopy:
            self.page.xcopy(result.xcopy.operations, result.xcopy.failed, result.xcopy.bytes)

    def undo_failed(self, step: str, error: Exception) -> None:
        """Note a step of the undo that failed; the others go on."""
        text, hint = explain(error)
        self.undo_failures.append(f"{step}: {text}")
        logger.error("could not %s: %s %s", step, text, hint)

    def left(self, step: str, why: str) -> None:
        """Note a step of the undo that was left out on purpose, because it would not be safe."""
        self.left_steps.append(step)
        logger.error("NOT done, since %s: %s", why, step)

    def host_left(self, error: Exception) -> None:
        """Publish why a host was left for another one."""
        text, hint = explain(error)
        self.hosts_left.append(text)
        logger.warning("another host is to copy: %s %s", text, hint)

    @property
    def as_found(self) -> bool:
        """Whether all that had to be put back so far was."""
        return not (self.undo_failures or self.left_steps)

    def end(self, error: BaseException | None, message_file: Path) -> int:
        """Tell how it ended, in the log and in the pod's termination message; return the exit code."""
        outcome = outcome_of(error)
        message: dict[str, Value] = {
            "phase": self._failed_in if error else Phase.END,
            "reason": outcome.reason,
        }
        self.phase(Phase.END)
        if error is not None:
            text, hint = explain(error)
            message |= {"text": text, "hint": hint}
            failed_in = {"facts": {"failed": self._failed_in}}
            logger.error("%s %s", text, hint, exc_info=error, extra=failed_in)
        else:
            logger.info("the copy is complete and verified")
            message |= self._copied
        message |= {"xcopy": self.xcopy, "verified": self.proof, "hostsLeft": self.hosts_left}
        message |= {"undoFailures": self.undo_failures, "left": self.left_steps}
        write_message(message_file, message)
        return outcome.exit_code


@dataclass
class Copy:
    """Holds what the copy gave, once it has ended."""

    result: CopyResult | None = None


def done_before(error: BaseException | None) -> CopyResult | None:
    """Return what a copy had done before it failed, or before it was stopped for us to end."""
    while error is not None and not isinstance(error, CloneFailed):
        error = error.__context__
    return error.result if error else None
