"""A copy inside an array: real bytes from one LUN's file to another's, at a rate, in a thread of its own.

What a task, a pair or a FlashCopy mapping of a simulator stands on. The source's file is opened for reading only; what
is written meets the faults of the target's LUN.
"""

import threading
from enum import StrEnum

from tests.lab.san import CHUNK, LunFile

STEP = 0.02
"""seconds between two pieces"""


class State(StrEnum):
    """What has become of it."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    ENDED = "ended"


class Transfer:
    """Runs from its making on; `seconds` 0 copies at once, before the making returns."""

    def __init__(self, source: LunFile, target: LunFile, seconds: float = 0.0) -> None:
        self.source, self.target = source, target
        self.state = State.RUNNING
        self._seconds = seconds
        self._copied = 0
        self._stop = threading.Event()
        target.writers.append(f"array, from {source.naa}")
        self._thread = threading.Thread(target=self._run, name=f"transfer to {target.naa}", daemon=True)
        self._thread.start()
        if not seconds:
            self._thread.join()

    @property
    def percent(self) -> int:
        return (
            100 if self.state == State.COMPLETE else min(self._copied * 100 // max(self.source.size, 1), 99)
        )

    def end(self) -> None:
        """End it; nothing is written when this returns. Harmless when it has come to its end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        piece = (
            self.source.size if not self._seconds else max(int(self.source.size * STEP / self._seconds), 512)
        )
        try:
            while self._copied < self.source.size and not self._stop.is_set():
                self._copy(min(piece, self.source.size - self._copied))
                if self._copied < self.source.size:
                    self._stop.wait(STEP)
            self.state = State.COMPLETE if self._copied >= self.source.size else State.ENDED
        except OSError:
            self.state = State.FAILED
        finally:
            self.target.writers.remove(f"array, from {self.source.naa}")

    def _copy(self, length: int) -> None:
        end = self._copied + length
        while self._copied < end:
            data = self.source.read(self._copied, min(CHUNK, end - self._copied))
            self.target.write(self._copied, data)
            self._copied += len(data)
