"""What shook a host and when: the evidence of how many such operations ran at once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Operation:
    """One operation that can shake a host; times are of `time.monotonic`, `end` is None while it runs."""

    name: str
    device: str
    start: float
    end: float | None = None


class Recorder:
    """Keeps the operations of one host, in the order in which they began; `told(n)` hears how many run."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self.history: list[Operation] = []
        self.max_overlap = 0
        self._lock = threading.Lock()

    def begin(self, name: str, device: str) -> Operation:
        """Note a start."""
        operation = Operation(name, device, time.monotonic())
        with self._lock:
            self.history.append(operation)
            running = sum(1 for each in self.history if each.end is None)
            self.max_overlap = max(self.max_overlap, running)
        self._told(running)
        return operation

    def finish(self, operation: Operation) -> None:
        """Note an end."""
        operation.end = time.monotonic()

    @contextmanager
    def during(self, name: str, device: str) -> Iterator[None]:
        """Note an operation that lasts as long as the block."""
        operation = self.begin(name, device)
        try:
            yield
        finally:
            self.finish(operation)
