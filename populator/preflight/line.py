"""The page that a preflight fills: sections of lines, each one thing that was looked at, and the word for all of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from lease.errors import LeaseError
from lease.kube.errors import ApiError
from populator.clock import Clock
from populator.errors import PopulatorError
from populator.report.outcome import explain
from vsphere.errors import VsphereError

OURS = (PopulatorError, VsphereError, LeaseError, ApiError)
LOOK_SECONDS = 8.0
"""that one look may take, tries made again included: a peer that is dead costs no more"""
Found = TypeVar("Found")


class Mark(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at."""

    mark: Mark
    check: str
    """what was looked at, in a word or two"""
    text: str
    """what was found, or why nothing was"""
    mend: str = ""
    """what puts it right, a command where there is one"""


@dataclass(frozen=True)
class Section:
    """Lines about one thing."""

    title: str
    lines: tuple[Line, ...]


class Verdict(StrEnum):
    """The word for all of it."""

    READY = "ready"
    WARNINGS = "warnings"
    NOT_READY = "not ready"


def verdict(sections: Iterable[Section]) -> Verdict:
    """Return the word: what was not checked does not speak against it."""
    marks = {line.mark for section in sections for line in section.lines}
    if Mark.FAILED in marks:
        return Verdict.NOT_READY
    return Verdict.WARNINGS if Mark.WARNING in marks else Verdict.READY


def passed(check: str, text: str) -> Line:
    """Return the line of what is as it should be."""
    return Line(Mark.PASSED, check, text)


def warning(check: str, text: str, mend: str = "") -> Line:
    """Return the line of what works, though not well."""
    return Line(Mark.WARNING, check, text, mend)


def failed(check: str, text: str, mend: str = "") -> Line:
    """Return the line of what would make a populate fail."""
    return Line(Mark.FAILED, check, text, mend)


def not_checked(check: str, why: str, mend: str = "") -> Line:
    """Return the line of what could not be looked at."""
    return Line(Mark.NOT_CHECKED, check, why, mend)


def unknown(_: Exception) -> Mark:
    """Mark a look that failed as a thing that could not be looked at."""
    return Mark.NOT_CHECKED


def line_of(error: Exception, check: str, mark: Mark = Mark.FAILED) -> Line:
    """Return the line of a look that failed, in the words in which a populate would fail."""
    text, mend = (error.text, error.hint) if isinstance(error, ApiError) else explain(error)
    return Line(mark, check, text, mend)


class Sheet:
    """A section that is being filled. What a look raises becomes its line, and stops no other."""

    def __init__(self, title: str, clock: Clock) -> None:
        self.title = title
        self._clock = clock
        self._lines: list[Line] = []

    def add(self, *lines: Line) -> None:
        """Write lines down."""
        self._lines += lines

    def ask(
        self,
        check: str,
        look: Callable[[], Found],
        judge: Callable[[Found], Sequence[Line]] = lambda _: (),
        otherwise: Callable[[Exception], Mark] = lambda _: Mark.FAILED,
    ) -> Found | None:
        """Look, write down what the judge says of it, and return it; None where the look failed.

        `otherwise` says how a look that failed is marked. Raises `Cancelled` where the clock was stopped before.
        """
        self._clock.check()
        try:
            with self._clock.grace(0.0, LOOK_SECONDS):
                found = look()
        except OURS as error:
            self.add(line_of(error, check, otherwise(error)))
            return None
        self.add(*judge(found))
        return found

    def skip(self, why: str, *checks: str) -> None:
        """Write down that these were not checked."""
        self.add(*(not_checked(check, why) for check in checks))

    @property
    def last(self) -> Mark:
        """The mark of the last line."""
        return self._lines[-1].mark

    @property
    def section(self) -> Section:
        """What has been written down."""
        return Section(self.title, tuple(self._lines))
