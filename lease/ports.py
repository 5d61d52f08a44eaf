"""What this package asks of the program around it: a clock."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, and the wish to stop; threads of this package use `now` and `utc` only."""

    def now(self) -> float:
        """Return seconds on a clock that never jumps, and that goes on while the process is stopped."""

    def utc(self) -> datetime:
        """Return the wall clock's time: written for people and other programs, never judged by."""

    def wait(self, seconds: float) -> None:
        """Sleep; told to stop, raise at once."""

    def limit(self, seconds: float) -> float:
        """Return a time-out for one remote call: `seconds`, or what is left of the grace if that is less."""

    def blocking(self) -> AbstractContextManager[None]:
        """Wrap one wait or remote call: told to stop, now or before, it is broken off by an exception."""

    def expired(self) -> bool:
        """Whether the time for tidying up has ended."""
