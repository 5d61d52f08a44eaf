"""What this package asks of the program around it: a clock, tasks, and somebody who may count what happens."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
        """Return a timeout for one remote call: `seconds`, or what is left of the grace if that is less."""

    def blocking(self) -> AbstractContextManager[None]:
        """Wrap one wait or remote call: told to stop, now or before, it is broken off by an exception."""

    def stopping(self) -> bool:
        """Whether we were told to stop."""

    def expired(self) -> bool:
        """Whether the time for tidying up has ended."""


class Event(Protocol):
    """A flag to wait for, as `threading.Event` is one."""

    def set(self) -> None:
        """Raise the flag, and wake those who wait for it."""

    def clear(self) -> None:
        """Take it down."""

    def is_set(self) -> bool:
        """Whether it is up."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it, so many seconds at most; return whether it is up."""


class Task(Protocol):
    """Something that runs beside the caller, as `threading.Thread` does."""

    def start(self) -> None:
        """Begin; once."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, so many seconds at most."""

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""


class Tasks(Protocol):
    """What runs beside the work: threads, unless a test lets time pass by itself."""

    def event(self) -> Event:
        """Return an event that is not set."""

    def task(self, name: str, run: Callable[[], None]) -> Task:
        """Return a task that is not started, and that the process does not wait for at its end."""


class Observer(Protocol):
    """Hears what becomes of the lease, for metrics; called by any thread, and must not raise or block."""

    def waiting(self) -> AbstractContextManager[None]:
        """Wrap one wait for a slot, however it ends."""

    def waited(self, seconds: float) -> None:
        """A slot was had after that time."""

    def renewed(self, seconds: float) -> None:
        """A renewal took that time on the API server."""

    def renew_failed(self) -> None:
        """A renewal failed, and is tried again."""

    def took_over(self) -> None:
        """The slot had not been released by the holder before us."""

    def lost(self) -> None:
        """The slot was ours and is no longer certainly ours."""

    def held(self, seconds: float) -> None:
        """A slot was given back after that time."""


class Unobserved:
    """The observer of those who count nothing."""

    def waiting(self) -> AbstractContextManager[None]:
        """Ignore it."""
        return nullcontext()

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
