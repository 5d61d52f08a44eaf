"""The real program as a process of its own, started as Forklift starts it, and what it said and showed.

Its log is read as JSON; Forklift's controller (`controller`) scrapes its metrics page as soon as the log names the
address. Nothing outlives the `with` block.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.controller import Controller, Status

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Program:
    """One populator; `arguments` and `environment` are what Forklift would give it."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    message_file: Path
    scrape_interval: float = 5.0
    """of the controller; infinite: there is none"""
    prefix: Sequence[str] = ()
    """words before the program's own, which end by executing what follows them"""
    on_line: Callable[[dict[str, Any]], None] = lambda line: None
    lines: list[dict[str, Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    controller: Controller | None = None
    code: int | None = None
    seconds: float = 0.0
    """from start to end of the process"""
    peak_rss: int = 0
    """bytes"""

    def __enter__(self) -> Self:
        """Start the process."""
        self.message_file.write_text("")
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._new_line = threading.Condition()
        self._process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "populator", *self.arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LOG_FORMAT": "json", **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="program log", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process if it still runs."""
        self.signal(signal.SIGKILL)
        self.wait(30)

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if not self._ended.is_set():
            os.kill(self.pid, number)

    def wait(self, timeout: float = 120) -> int:
        """Wait for the end; return the exit code (negative: the signal that killed it)."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the populator is still running after {timeout} s:\n{self.text()}")
        self._reader.join()
        if self.controller:
            self.controller.stop()
        assert self.code is not None
        return self.code

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], timeout: float = 60) -> dict[str, Any]:
        """Wait for a line of the log and return it."""
        deadline = time.monotonic() + timeout
        with self._new_line:
            while True:
                for line in self.lines:
                    if wanted(line):
                        return line
                if self._ended.is_set() or not self._new_line.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"the line never came:\n{self.text()}")

    def wait_for_phase(self, phase: str, timeout: float = 60) -> None:
        """Wait until a phase has begun."""
        self.wait_for(lambda line: line.get("phase") == phase, timeout)

    def text(self) -> str:
        """Return the whole log."""
        return "\n".join(self.raw)

    @property
    def status(self) -> Status:
        """Return what the controller saw last."""
        return self.controller.last if self.controller else Status()

    @property
    def message(self) -> dict[str, Any]:
        """Return the termination message."""
        text = self.message_file.read_text()
        return dict(json.loads(text)) if text else {}

    @property
    def phases(self) -> dict[str, float]:
        """Return the seconds that each phase took, in order; a phase begins with a line that says its name."""
        begins = [line for line in self.lines if line["message"] == line.get("phase")]
        times = [datetime.fromisoformat(line["time"]) for line in (*begins, self.lines[-1])]
        return {
            line["phase"]: (after - before).total_seconds()
            for line, before, after in zip(begins, times, times[1:], strict=False)
        }

    def _read(self) -> None:
        assert self._process.stderr is not None
        for text in self._process.stderr:
            self.raw.append(text.rstrip("\n"))
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if "url" in line:
                self._scrape(line["url"])
            with self._new_line:
                self.lines.append(line)
                self._new_line.notify_all()
            self.on_line(line)
        _, status, usage = os.wait4(self._process.pid, 0)
        self.seconds = time.monotonic() - self._began
        self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_rss = usage.ru_maxrss * 1024
        with self._new_line:
            self._ended.set()
            self._new_line.notify_all()

    def _scrape(self, url: str) -> None:
        if not math.isfinite(self.scrape_interval):
            return
        uid = next(a.partition("=")[2] for a in self.arguments if a.startswith("--owner-uid="))
        self.controller = Controller(url, uid, self.scrape_interval)
        self.controller.watch()
