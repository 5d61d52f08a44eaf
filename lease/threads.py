"""The tasks of a real process: threads, which the process does not wait for at its end."""

import threading
from collections.abc import Callable

from lease.ports import Event, Task


class Threads:
    """Makes threads, and the events of `threading`."""

    def event(self) -> Event:
        """Return an event that is not set."""
        return threading.Event()

    def task(self, name: str, run: Callable[[], None]) -> Task:
        """Return a daemon thread, not yet started."""
        return threading.Thread(target=run, name=name, daemon=True)
