"""What this package asks of the program around it: a clock, and somebody who may want to count what happens."""

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


class Observer(Protocol):
    """Hears what becomes of the lease, for metrics; called by any thread, and must not raise or block."""

    def waited(self, seconds: float) -> None:
        """A slot was had after that time."""

    def renewed(self, seconds: float) -> None:
        """A renewal took that time on the API server."""

    def renew_failed(self) -> None:
        """A renewal failed, and is tried again."""

    def took_over(self) -> None:
        """The slot had not been released by the holder before us."""

    def lost(self) -> None:
        """The slot was ours and is not surely ours any more."""

    def held(self, seconds: float) -> None:
        """A slot was given back after that time."""


class Unobserved:
    """The observer of those who count nothing."""

    def waited(self, seconds: float) -> None:
        """Ignore it."""

    def renewed(self, seconds: float) -> None:
        """Ignore it."""

    def renew_failed(self) -> None:
        """Ignore it."""

    def took_over(self) -> None:
        """Ignore it."""

    def lost(self) -> None:
        """Ignore it."""

    def held(self, seconds: float) -> None:
        """Ignore it."""
