"""Virtual true time, processes with clocks of their own, and their tasks as greenlets.

One thread, one queue of moments: what happens is decided by the schedule alone, so a seed repeats it. A process that is
stopped gets nothing done while its clock goes on; one that is killed never runs again.
"""

import functools
import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = 1e-5
"""seconds that the shortest wait takes, so that a loop that waits for nothing still comes to the end of time"""


class Cancelled(Exception):
    """The process was told to stop."""


class Runaway(Exception):
    """Somebody does things without end."""


def wake(sleepers: list[Callable[[bool], None]]) -> None:
    """Resume tasks, from the queue."""
    for resume in sleepers:
        resume(True)


class World:
    """The queue of all that is to happen, and true time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()
        self._hub = getcurrent()
        self.processes: list[Process] = []

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen; whoever acts from a task is resumed by the queue, never by another task."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._number), act))

    def run(self, until: float, most: int) -> None:
        """Let time pass; raises Runaway after so many happenings."""
        for _ in range(most):
            if not self._queue or self._queue[0][0] > until:
                self.now = until
                return
            self.now, _, act = heapq.heappop(self._queue)
            act()
        raise Runaway(f"{most} things have happened by {self.now:.3f} s")

    def end(self) -> None:
        """Kill all processes, so that no greenlet is left."""
        for process in self.processes:
            process.kill()

    def switch(self) -> Any:
        """Leave the current task until something resumes it."""
        return self._hub.switch()


class Process:
    """A process with its clock: `rate` seconds pass on it in each true one."""

    def __init__(self, world: World, name: str, rate: float = 1.0, offset: float = 0.0) -> None:
        self.world = world
        self.name = name
        self.rate = rate
        self.offset = offset
        """seconds by which the wall clock is wrong; may jump, which the monotonic clock does not"""
        self.dead = False
        self.stopped = False
        self._deferred: list[Callable[[], None]] = []
        self._tasks: list[Task] = []
        world.processes.append(self)

    def local(self) -> float:
        """Return the time on the monotonic clock."""
        return 1000.0 + self.world.now * self.rate

    def utc(self) -> datetime:
        """Return the time on the wall clock."""
        return EPOCH + timedelta(days=1, seconds=self.world.now + self.offset)

    def event(self) -> "Event":
        return Event(self)

    def task(self, name: str, run: Callable[[], None]) -> "Task":
        return Task(self, run)

    def block(self, seconds: float, ready: "list[Callable[[bool], None]] | None" = None) -> bool:
        """Leave the current task for so many true seconds; what is put into `ready` ends that earlier."""
        self.check_alive()
        task = Task.current()
        resume = task.expectation()
        if seconds < math.inf:
            self.world.after(max(seconds, INSTANT), lambda: resume(False))
        if ready is not None:
            ready.append(resume)
        woken: bool = self.world.switch()
        return woken

    def check_alive(self) -> None:
        """End the task of a process that has been killed, whatever its handlers would still do."""
        if self.dead:
            raise GreenletExit

    def perform(self, act: Callable[[], None]) -> None:
        """Let a task go on, now or when the process is continued."""
        if self.stopped:
            self._deferred.append(act)
        elif not self.dead:
            act()

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        self.stopped = False
        deferred, self._deferred = self._deferred, []
        for act in deferred:
            self.world.after(0, functools.partial(self.perform, act))

    def kill(self) -> None:
        """SIGKILL; from the queue, not from a task."""
        self.dead = True
        for task in self._tasks:
            task.end()

    def start(self, run: Callable[[], None]) -> "Task":
        """Start a task."""
        task = self.task("main", run)
        task.start()
        self._tasks.append(task)
        return task

    def add(self, task: "Task") -> None:
        """Remember a task, to end it with the process."""
        self._tasks.append(task)


class Task:
    """Code of a process that runs beside other code of it."""

    def __init__(self, process: Process, run: Callable[[], None]) -> None:
        self._process = process
        self._greenlet = greenlet(self._body)
        self._greenlet.task = self
        self._run = run
        self._turn = 0
        self._joining: list[Callable[[bool], None]] = []
        self.failure: BaseException | None = None

    @staticmethod
    def current() -> "Task":
        """Return the task that is running."""
        task: Task = getcurrent().task
        return task

    def start(self) -> None:
        self._process.add(self)
        self._greenlet.parent = self._process.world._hub
        resume = self.expectation()
        self._process.world.after(INSTANT, lambda: resume(True))

    def join(self, timeout: float | None = None) -> None:
        if self.is_alive():
            seconds = math.inf if timeout is None else timeout / self._process.rate
            self._process.block(seconds, self._joining)

    def is_alive(self) -> bool:
        return not self._greenlet.dead

    def expectation(self) -> Callable[[bool], None]:
        """Return what resumes this task from its next rest, unless something else has done so before."""
        self._turn += 1
        turn = self._turn

        def resume(value: bool) -> None:
            self._process.perform(lambda: self._resume(turn, value))

        return resume

    def throw(self, error: type[Exception]) -> None:
        """Raise an error where the task rests."""
        self._turn += 1
        turn = self._turn
        self._process.world.after(0, lambda: self._process.perform(lambda: self._throw(turn, error)))

    def end(self) -> None:
        """Let it never run again."""
        if self._greenlet:
            self._greenlet.throw(GreenletExit)
        self._greenlet.__dict__.clear()

    def _resume(self, turn: int, value: bool) -> None:
        if turn == self._turn and not self._greenlet.dead:
            self._turn += 1
            self._greenlet.switch(value)

    def _throw(self, turn: int, error: type[Exception]) -> None:
        if turn == self._turn and not self._greenlet.dead:
            self._turn += 1
            self._greenlet.throw(error)

    def _body(self, _started: bool) -> None:
        try:
            self._run()
        finally:
            joining = self._joining
            self._process.world.after(0, lambda: wake(joining))


class Event:
    """A flag like that of `threading`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._up = False
        self._waiting: list[Callable[[bool], None]] = []

    def set(self) -> None:
        self._up = True
        waiting, self._waiting = self._waiting, []
        self._process.world.after(0, lambda: wake(waiting))

    def clear(self) -> None:
        self._up = False

    def is_set(self) -> bool:
        return self._up

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and not timeout < math.inf:
            raise OverflowError("timestamp out of range")  # as threading has it
        if not self._up:
            seconds = math.inf if timeout is None else timeout / self._process.rate
            self._process.block(seconds, self._waiting)
        return self._up


class Clock:
    """The clock of one process, and its wish to stop: what the program's own clock promises, in virtual time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._told_at: float | None = None
        self._grace: float | None = None
        self._blocking: Task | None = None

    def now(self) -> float:
        return self._process.local()

    def utc(self) -> datetime:
        return self._process.utc()

    def wait(self, seconds: float) -> None:
        with self.blocking():
            self._process.block(min(seconds, self._left()) / self._process.rate)

    def limit(self, seconds: float) -> float:
        return max(min(seconds, self._left()), 0.5)

    def stopping(self) -> bool:
        return self._told_at is not None

    def expired(self) -> bool:
        return self._left() <= 0

    @contextmanager
    def blocking(self) -> Iterator[None]:
        outer, self._blocking = self._blocking, Task.current()
        try:
            if self._told_at is not None and self._grace is None:
                raise Cancelled
            yield
        finally:
            self._blocking = outer

    @contextmanager
    def grace(self, after_stop: float) -> Iterator[None]:
        """Go on though told to stop, so many seconds from that moment."""
        outer, self._grace = self._grace, after_stop
        try:
            yield
        finally:
            self._grace = outer

    def stop(self) -> None:
        """SIGTERM; the second one changes nothing."""
        if self._told_at is None:
            self._told_at = self.now()
            if self._blocking and self._grace is None:
                self._blocking.throw(Cancelled)

    def _left(self) -> float:
        if self._told_at is None or self._grace is None:
            return math.inf
        return max(self._told_at + self._grace - self.now(), 0.0)
