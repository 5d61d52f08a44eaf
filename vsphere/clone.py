"""The copy itself: one vmkfstools task on the host, started once, followed to its end, tidied up.

Promises: never a second clone onto a device that one may be writing to; success only for a copy whose end state
says so twice; a task is followed until its own state is known, whatever becomes of vCenter, hostd or the session;
told to stop, it waits for the copy within its grace and then says loudly that it goes on. It cannot stop a copy:
the stock plugin has no command for that.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from vsphere.answers import TASK_ID, TaskState, parse_task, shorten, translate
from vsphere.devices import Device
from vsphere.errors import CloneFailed, CopyMayBeRunning, LoginRefused, VsphereError, WrapperMissing
from vsphere.polling import next_delay
from vsphere.ports import Clock, Held, Wrapper
from vsphere.vmdk import parse_vmdk, refuse_unsafe

log = logging.getLogger(__name__)

START_PATIENCE = 120.0
"""for how long a start that surely never left is tried again"""
UNKNOWN_PATIENCE = 120.0
"""how long a task may be unknown to a host that has not restarted: hostd loads its plugins late"""
LONGEST_PAUSE = 30.0
LOCKOUT_PAUSE = 60.0
"""between log-ins that are refused: vCenter locks an account after five in three minutes"""


@dataclass(frozen=True)
class CopyResult:
    """A copy that ended well."""

    task_id: str
    xcopy_used: bool | None
    """whether the array copied; None where the host cannot tell"""


class UnknownTask(Exception):
    """The host answered, but does not know the task."""


class Cloner:
    """Copies disks onto devices of one host by its vmkfstools wrapper."""

    def __init__(
        self, wrapper: Wrapper, boot_time: Callable[[], str], clock: Clock, grace: float = 15.0
    ) -> None:
        """`boot_time` reads when the host started; `grace` is what a copy gets after SIGTERM, in seconds."""
        self._wrapper = wrapper
        self._boot_time = boot_time
        self._clock = clock
        self._grace = grace

    def version(self) -> str | None:
        """Return the wrapper's version; None where it cannot tell; raise where there is no wrapper."""
        answer = self._wrapper.version()
        version = answer.facts.get("version")
        if answer.status != "0" or not version:
            log.warning("the wrapper's version is not known; it said: %s", shorten(answer.message))
            return None
        return str(version)

    def copy(self, source: str, device: Device, held: Held, progress: Callable[[int], None]) -> CopyResult:
        """Copy `[datastore] folder/disk.vmdk` onto a device; tell percent, 100 only when it is verified.

        Raises `CloneFailed` when nothing writes to the device, `CopyMayBeRunning` when something may.
        """
        path = parse_vmdk(source)
        refuse_unsafe(path)
        booted = self._boot_time()
        held.note(device=device.naa, phase="clone")
        task = self._start(path.host_path, device, held)
        held.note(task=task)
        log.info("copy started", extra={"facts": {"task": task, "device": device.naa}})
        with self._clock.grace(self._grace):
            state = self._follow(Watch(task, device, booted, self._clock.now()), held, progress)
            if state.succeeded:
                progress(100)
            held.note(phase="copied" if state.succeeded else "copy failed")
            self._clean(task)
        if not state.succeeded:
            raise self._failure(state)
        return CopyResult(task, state.xcopy_used)

    def _start(self, source: str, device: Device, held: Held) -> str:
        """Start the copy once; only a start that surely never left is tried again. Return the task's id."""
        deadline = self._clock.now() + START_PATIENCE
        while True:
            held.guard("clone")
            try:
                with self._clock.grace(self._grace):
                    return self._try_start(source, device, held)
            except VsphereError as error:
                if error.unclear or not error.passing or self._clock.now() > deadline:
                    raise
                log.warning("the copy could not be started yet: %s", error.text)
            self._clock.wait(2.0)

    def _try_start(self, source: str, device: Device, held: Held) -> str:
        try:
            answer = self._wrapper.clone(source, device.path)
        except VsphereError as error:
            if error.unclear:
                raise self._left(device, held, error.text) from error
            raise
        if answer.status != "0":
            raise self._refused(answer.complaint)
        task = str(answer.facts.get("taskId", ""))
        if not TASK_ID.fullmatch(task):
            raise self._left(device, held, "The host told no task id that can be used.")
        return task

    def _follow(self, watch: "Watch", held: Held, progress: Callable[[int], None]) -> TaskState:
        """Poll until the copy has ended; return its end state.

        Has no deadline of its own: a copy takes as long as it takes, and giving up on one that runs helps nobody.
        """
        while True:
            self._clock.wait(watch.pause(self._clock.now(), stopping=self._clock.stopping()))
            if self._clock.expired():
                raise self._left(watch.device, held, "The process was told to stop.", watch.task)
            watch.polls += 1
            try:
                state = self._poll(watch.task)
            except UnknownTask as error:
                self._unknown(watch, held, str(error))
            except VsphereError as error:
                watch.failed(error)
            else:
                watch.saw(state)
                progress(min(watch.percent or 0, 99))
                if state.ended:
                    return self._confirmed(watch.task, state)

    def _poll(self, task: str) -> TaskState:
        try:
            answer = self._wrapper.task_get(task)
        except WrapperMissing as error:
            raise UnknownTask(error.text) from error
        if answer.status != "0":
            raise UnknownTask(answer.complaint)
        return parse_task(answer)

    def _confirmed(self, task: str, state: TaskState) -> TaskState:
        """Read the end state once more: the wrapper can tell of an end before the exit code is written."""
        try:
            again = self._poll(task)
        except (UnknownTask, VsphereError) as error:
            log.warning("the copy's end state could be read just once: %s", error)
            return state
        return again if again.ended else state

    def _unknown(self, watch: "Watch", held: Held, said: str) -> None:
        """Judge a task that the host does not know: has it restarted, is it not ready yet, or is all lost?"""
        try:
            booted = self._boot_time()
        except VsphereError as error:
            watch.failed(error)
            return
        if booted != watch.booted:
            raise CloneFailed(
                f"Host {self._wrapper.host} restarted in mid-copy; the LUN holds a part of the disk.",
                "Start the migration again when the host is well. A file named …-rdmdisk-… beside the disk may be "
                "left over.",
            )
        if watch.unknown_since is None:
            watch.unknown_since = self._clock.now()
        if self._clock.now() - watch.unknown_since > UNKNOWN_PATIENCE:
            raise self._left(
                watch.device, held, f"The host no longer knows the copy's task ({shorten(said)}).", watch.task
            )
        watch.failed(VsphereError(said))

    def _clean(self, task: str) -> None:
        """Remove the task's files from the host; what remains is little, and the host removes it in some days."""
        try:
            answer = self._wrapper.task_clean(task)
        except VsphereError as error:
            log.warning("task %s is not cleaned up: %s", task, error.text)
            return
        if answer.status != "0":  # as it is, too, where the answer to a first try was lost
            log.info("task %s is not cleaned up: %s", task, shorten(answer.complaint))

    def _refused(self, complaint: str) -> CloneFailed:
        meaning, hint = translate(complaint)
        return CloneFailed(f"Host {self._wrapper.host} did not start the copy: {meaning}.", hint)

    def _failure(self, state: TaskState) -> CloneFailed:
        if state.exit_code == "0":
            return CloneFailed(
                f"vmkfstools on host {self._wrapper.host} says it succeeded, but its last line is "
                f"'{shorten(state.last_line)}'.",
                "Do not use the volume; look at the host's vmkernel.log and start the migration again.",
            )
        meaning, hint = translate(state.stderr or state.last_line)
        return CloneFailed(
            f"The copy failed on host {self._wrapper.host} with exit code {state.exit_code}: {meaning}.", hint
        )

    def _left(self, device: Device, held: Held, why: str, task: str = "") -> CopyMayBeRunning:
        """Return the error that leaves everything in place, and say so in the lease's journal."""
        which = f"task {task}" if task else "a task whose id is not known"
        text = f"{why} A copy onto {device.naa} may be running on host {self._wrapper.host} ({which})."
        log.error("%s Device and mapping stay as they are.", text)
        held.leave(text)
        return CopyMayBeRunning(
            text,
            f"Device and mapping were left in place. When no vmkfstools runs on the host any more (ps | grep "
            f"vmkfstools), detach {device.naa} and remove the LUN's mapping, then start the migration again.",
        )


@dataclass
class Watch:
    """What is known of a copy while it is followed."""

    task: str
    device: Device
    booted: str
    began: float
    polls: int = 0
    percent: int | None = None
    failures: int = 0
    penalty: float = 0.0
    unknown_since: float | None = None

    def pause(self, now: float, *, stopping: bool) -> float:
        """Return the seconds to the next poll; told to stop, every moment of the grace counts."""
        usual = next_delay(now - self.began, self.percent, self.polls)
        if self.failures:
            usual = max(usual, self.penalty)
        return min(usual, 0.5) if stopping else usual

    def failed(self, error: VsphereError) -> None:
        """Note a poll that told nothing."""
        self.failures += 1
        growing = min(0.2 * 2 ** min(self.failures, 10), LONGEST_PAUSE)
        self.penalty = LOCKOUT_PAUSE if isinstance(error, LoginRefused) else growing
        if self.failures & (self.failures - 1) == 0:  # the 1st, 2nd, 4th, 8th, …
            log.warning("the copy's state is not known (%d polls in a row): %s", self.failures, error.text)

    def saw(self, state: TaskState) -> None:
        """Note a poll that told the state."""
        self.failures, self.unknown_since = 0, None
        if state.percent is not None:
            self.percent = max(self.percent or 0, state.percent)
