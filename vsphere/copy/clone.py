"""The copy itself: one vmkfstools task on the host, started once, followed to its end, tidied up.

Promises: never a second clone onto a device that one may be writing to; success only for a copy whose end state
says so twice; a task is followed until its own state is known, whatever becomes of vCenter, hostd or the session;
a copy of the same disk onto the same device that runs already is adopted; where a limit is set, no copy is started
while so many run on the host, those of populators that died included; anything unforeseen counts as a copy that may
be running. Told to stop, it ends the copy where the host's wrapper can do that; with a stock wrapper, which
cannot, it waits within its grace and then says loudly that the copy goes on.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vsphere.copy.result import failure_of, refused, restarted, result_of
from vsphere.copy.watch import Following
from vsphere.errors import CloneFailed, CopyMayBeRunning, HostFull, NotStarted, VsphereError
from vsphere.host.device import Device
from vsphere.model import CopyPhase, CopyResult
from vsphere.paths import parse_vmdk
from vsphere.ports import Clock, Held
from vsphere.wrapper.answers import TASK_ID, shorten
from vsphere.wrapper.contract import TaskState, Version, Wrapper
from vsphere.wrapper.tasks import Tasks, UnknownTask

log = logging.getLogger(__name__)

START_PATIENCE = 120.0
"""for how long a start that certainly never left is tried again"""
ANSWER_UNTIL = 5.0
"""for how long after SIGTERM the answer to a start is waited for"""
ROOM_PAUSE = 5.0
"""between two looks whether there is room for a copy on the host"""
LOOK_FOR_IT = 10.0
"""for how long a copy whose start got no answer is looked for before it is started again"""
UNKNOWN_PATIENCE = 120.0
"""how long a task may be unknown to a host that has not restarted: hostd loads its plugins late"""


@dataclass(frozen=True)
class Order:
    """What to copy where."""

    source: str
    """the disk's path on the host"""
    spelled: str
    """the same, as the wrapper is told it"""
    device: Device
    earlier: set[str] = field(default_factory=set)
    """tasks that the host knew before we asked for ours"""

    def is_done_by(self, state: TaskState) -> bool:
        """Whether a task copies this disk onto this device."""
        return (state.source, state.device) == (self.source, self.device.name)


class Doubt(VsphereError):
    """A copy may be running onto the device, for this reason; the task is not always known."""

    def __init__(self, why: str, task: str = "") -> None:
        super().__init__(why)
        self.task = task


class Gate:
    """Asks the lease in the moment before a copy is started; what it is refused by was not sent."""

    def __init__(self, held: Held, clock: Clock) -> None:
        self._held = held
        self._clock = clock
        self.closed_by: Exception | None = None

    def __call__(self) -> None:
        """Raise what the lease raises; and when we were told to stop while the way there was made."""
        try:
            if self._clock.stopping():
                raise NotStarted("The process was told to stop before the copy was started.")
            self._held.guard("clone")
        except Exception as error:
            self.closed_by = error
            raise


class Cloner:
    """Copies disks onto devices of one host by its vmkfstools wrapper."""

    def __init__(
        self,
        wrapper: Wrapper,
        boot_time: Callable[[], str],
        clock: Clock,
        *,
        limit: int = 0,
        grace: float = 15.0,
    ) -> None:
        """`boot_time` reads when the host started; `grace` is what a copy gets after SIGTERM, in seconds.

        `limit` is how many copies may run on the host, 0 for any number. Our wrapper keeps it (from 0.4.2 on).
        """
        self._tasks = Tasks(wrapper)
        self._boot_time = boot_time
        self._clock = clock
        self._limit = limit
        self._grace = grace

    def version(self) -> Version:
        """Learn what the wrapper is and can; to be called first. Raises where there is none."""
        return self._tasks.learn()

    def check(self, source: str) -> None:
        """Raise when the wrapper cannot be told of `[datastore] folder/disk.vmdk`."""
        self._tasks.spell(parse_vmdk(source))

    def is_copying(self, source: str, naa: str) -> bool:
        """Return whether a copy of that disk onto that device is running, so that `copy` will adopt it."""
        path = parse_vmdk(source).host_path
        return any((task.source, task.device, task.ended) == (path, naa, False) for task in self._tasks.all())

    def copy(
        self,
        source: str,
        device: Device,
        held: Held,
        progress: Callable[[int], None],
        check: Callable[[], None] = lambda: None,
        phase: Callable[[CopyPhase], None] = lambda _: None,
        *,
        runs: bool = False,
    ) -> CopyResult:
        """Copy `[datastore] folder/disk.vmdk` onto a device; report percent, which stays below 100 to the end.

        `check` is called right before each attempt to start it, and raises where that may not be done any more;
        `phase` when it has to wait for others, and when that is over. `runs` says that it was seen to be running, as by
        `is_copying`: then it must not be lost sight of.
        Raises `CloneFailed` when nothing writes to the device, `CopyMayBeRunning` when something may, and what the
        clock raises when the copy was stopped because we were told to stop.
        """
        path = parse_vmdk(source)
        order = Order(path.host_path, self._tasks.spell(path), device)
        booted = self._boot_time()
        held.note(device=device.name, phase=CopyPhase.CLONE)
        with self._left_in_doubt(device, held):
            task = self._running_already(order, runs=runs) or self._start(order, held, check, phase)
            held.note(task=task)
            with self._clock.grace(self._grace):
                watch = Following(task, device, booted, self._clock.now())
                with self._doubtful_if_unforeseen(task):
                    state = self._follow(watch, held, progress)
                held.note(phase=CopyPhase.COPIED if state.succeeded else CopyPhase.FAILED)
                self._tasks.clean(task)
        return self._result(state)

    def _result(self, state: TaskState) -> CopyResult:
        if state.succeeded:
            return result_of(state)
        try:
            raise failure_of(state, self._tasks.host)
        except CloneFailed:  # stays the context of what the clock raises, with what the copy did
            if state.stopped:
                self._clock.check()  # raises where it was we who stopped it
            raise

    def _running_already(self, order: Order, *, runs: bool) -> str:
        """Return the task that does our work already, if there is one; tidy up after those that did it before."""
        try:
            states = self._tasks.all()
        except VsphereError as error:
            if runs:
                raise Doubt(error.text) from error
            raise
        for state in states:
            order.earlier.add(state.task)
            if state.device == order.device.name and not state.ended:
                return self._adopted(state, order)
            if order.is_done_by(state):
                self._tasks.clean(state.task)
        return ""

    def _adopted(self, state: TaskState, order: Order) -> str:
        """Return a running task that was not started by us, if it does what we want; raise if it does not."""
        if order.is_done_by(state):
            log.warning("this copy runs already, as task %s: following it", state.task)
            return state.task
        raise Doubt(f"Another copy, of {state.source}, writes to the device.", state.task)

    def _start(
        self, order: Order, held: Held, check: Callable[[], None], phase: Callable[[CopyPhase], None]
    ) -> str:
        """Start the copy; again only if it certainly was not started. Return the task's id."""
        deadline = self._clock.now() + START_PATIENCE
        full = False
        while True:
            check()  # before the lease is asked, since it takes its time
            gate = Gate(held, self._clock)
            pause = 2.0
            try:
                with self._clock.grace(self._grace), self._doubtful_if_unforeseen(gate=gate):
                    task = self._try_start(order, gate)
            except HostFull as error:
                deadline = self._clock.now() + START_PATIENCE  # copies take as long as they take
                pause = ROOM_PAUSE
                phase(CopyPhase.WAIT_FOR_ROOM)
                held.note(phase=CopyPhase.WAIT_FOR_ROOM)
                log.log(logging.DEBUG if full else logging.INFO, "%s", error.text)
                full = True
            except VsphereError as error:
                if error.unclear or not error.passing or self._clock.now() > deadline:
                    raise
                log.warning("the copy could not be started yet: %s", error.text)
            else:
                phase(CopyPhase.CLONE)
                held.note(phase=CopyPhase.CLONE)
                log.info("copy started", extra={"facts": {"task": task, "device": order.device.name}})
                return task
            self._clock.wait(pause)

    def _check_room(self) -> None:
        """Raise `HostFull` when so many copies run on the host as may; for a wrapper that does not see to it itself."""
        if self._limit and not self._tasks.can.limits:
            running = sum(not task.ended for task in self._tasks.all())
            if running >= self._limit:
                raise self._full(f"{running} copies run on this host, and {self._limit} may.")

    def _full(self, said: str) -> HostFull:
        return HostFull(
            f"Host {self._tasks.host} has no room for a copy: {said} Waiting until one of them has ended.",
            "See which they are: esxcli vmkfstools taskList.",
        )

    def _try_start(self, order: Order, gate: Gate) -> str:
        try:
            # Told to stop, there must be time left to look for it, where that can be done.
            with self._clock.grace(ANSWER_UNTIL if self._tasks.can.lists else self._grace):
                self._check_room()
                answer = self._tasks.start(order.spelled, order.device.path, gate, self._limit)
        except VsphereError as error:
            if not error.unclear:
                raise
            if not self._tasks.can.lists:
                raise Doubt(error.text) from error
            log.warning("%s Looking whether the copy was started.", error.text)
            return self._find_started(order)
        if (writer := answer.busy_with) is not None:
            if not writer:
                raise Doubt(answer.complaint)
            return self._adopted(self._writer(writer), order)
        if answer.full:
            raise self._full(answer.complaint)
        if answer.unsure:
            raise NotStarted(
                f"Host {self._tasks.host} did not start the copy: {answer.complaint}",
                "Look at what `ps -c` prints on the host.",
            )
        if answer.status != "0":
            raise refused(answer.complaint, self._tasks.host)
        task = str(answer.facts.get("taskId", ""))
        if not TASK_ID.fullmatch(task):
            raise Doubt("The host returned no usable task id.")
        return task

    def _find_started(self, order: Order) -> str:
        """Return the task that a start without an answer began; raise `NotStarted` when it began none.

        Should it begin after all, later, it and one that we start meanwhile exclude each other: the wrapper sees to it.
        """
        deadline = self._clock.now() + LOOK_FOR_IT
        while True:
            try:
                for state in self._tasks.all():
                    if state.task not in order.earlier and order.is_done_by(state):
                        return state.task
                if self._clock.now() > deadline:
                    raise NotStarted(
                        "The host did not start the copy that it was asked for.",
                        "Look at the host's vmkernel.log and hostd.log.",
                    )
            except VsphereError as error:
                if isinstance(error, NotStarted):
                    raise
                log.warning("the host's tasks are not known yet: %s", error.text)
            self._clock.wait(1.0)
            if self._clock.expired():
                raise Doubt("The process was told to stop.")

    def _writer(self, task: str) -> TaskState:
        """Return the state of the task that keeps ours from starting; raise `NotStarted` where it has just ended."""
        try:
            for state in self._tasks.all():
                if state.task == task and not state.ended:
                    return state
        except VsphereError as error:
            raise Doubt(error.text, task) from error
        raise NotStarted(f"Task {task}, which wrote to the device, has just ended.")

    def _follow(self, watch: Following, held: Held, progress: Callable[[int], None]) -> TaskState:
        """Poll until the copy has ended; return its end state. Told to stop, end it where that is possible.

        Has no deadline of its own: a copy takes as long as it takes, and giving up on one that runs helps nobody.
        """
        while True:
            self._clock.wait(watch.pause(self._clock.now(), stopping=self._clock.stopping()))
            if self._clock.stopping() and self._tasks.can.stops and watch.end is None:
                self._stop(watch)
            if self._clock.expired():
                raise Doubt("The process was told to stop.", watch.task)
            watch.polls += 1
            try:
                state = self._tasks.poll(watch.task)
            except UnknownTask as error:
                self._unknown(watch, str(error))
            except VsphereError as error:
                watch.failed(error)
            else:
                watch.saw(state)
                percent = min(watch.percent or 0, 99)
                progress(percent)
                held.note(percent=str(percent))
                if watch.confirms(state):
                    return state

    def _stop(self, watch: Following) -> None:
        """End the copy; what the host says of that is a read like any other."""
        try:
            state = self._tasks.stop(watch.task)
        except VsphereError as error:
            watch.failed(error)
        else:
            log.info(
                "told to stop: the copy %s", "was complete" if state.succeeded else "is ended on the host"
            )
            watch.confirms(state)

    def _unknown(self, watch: Following, said: str) -> None:
        """Judge a task that the host does not know: has it restarted, is it not ready yet, or is all lost?"""
        try:
            booted = self._boot_time()
        except VsphereError as error:
            watch.failed(error)
            return
        watch.end = None
        if booted != watch.booted:
            raise restarted(self._tasks.host)
        if watch.unknown_since is None:
            watch.unknown_since = self._clock.now()
        if self._clock.now() - watch.unknown_since > UNKNOWN_PATIENCE:
            raise Doubt(f"The host no longer knows the copy's task ({shorten(said)}).", watch.task)
        watch.failed(VsphereError(said))

    @contextmanager
    def _doubtful_if_unforeseen(self, task: str = "", gate: Gate | None = None) -> Iterator[None]:
        """Turn what nobody thought of into `Doubt`: else the device could be pulled from under a copy."""
        try:
            yield
        except VsphereError:
            raise
        except Exception as error:
            if gate and error is gate.closed_by:
                raise
            raise Doubt(f"An unforeseen {type(error).__name__} came up: {error}.", task) from error

    @contextmanager
    def _left_in_doubt(self, device: Device, held: Held) -> Iterator[None]:
        """Leave everything in place where a copy may be running: say so in the lease's journal and by the error."""
        try:
            yield
        except Doubt as doubt:
            with self._clock.grace(self._grace):
                raise self._leave(device, held, doubt) from doubt

    def _leave(self, device: Device, held: Held, doubt: Doubt) -> CopyMayBeRunning:
        which = f"task {doubt.task}" if doubt.task else "a task whose id is not known"
        text = f"{doubt.text} A copy onto {device.name} may be running on host {self._tasks.host} ({which})."
        log.error("%s Device and mapping stay as they are.", text)
        held.leave(text)
        return CopyMayBeRunning(
            text,
            "Device and mapping were left in place. When no vmkfstools runs on the host any more (ps | grep "
            f"vmkfstools), detach {device.name} and remove the LUN's mapping, then start the migration again.",
        )
