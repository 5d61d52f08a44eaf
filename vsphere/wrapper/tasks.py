"""The vmkfstools tasks of one host: what its wrapper can, and what it tells of each task."""

import logging
from uuid import NAMESPACE_OID, uuid5

from vsphere.errors import VsphereError, WrapperMissing
from vsphere.paths import VmdkPath
from vsphere.ports import Guard
from vsphere.wrapper.answers import parse_task, parse_tasks, parse_verification, parse_version, shorten
from vsphere.wrapper.contract import Answer, Compared, TaskState, Version, Wrapper

log = logging.getLogger(__name__)


def comparison_id(owner: str, device: str) -> str:
    """Return the id of a run's comparison with a device: whoever finds the run dead can work it out, and end it."""
    return str(uuid5(NAMESPACE_OID, f"{owner} {device}"))


class UnknownTask(Exception):
    """The host answered, but does not know the task."""


class Tasks:
    """Asks the wrapper; `learn` is to be called first, as wrappers differ in what they can."""

    def __init__(self, wrapper: Wrapper) -> None:
        self.host = wrapper.host
        self.can = Version()
        """what the wrapper can, once it is known"""
        self._wrapper = wrapper

    def learn(self) -> Version:
        """Learn what the wrapper is and can. Raises where there is none."""
        answer = self._wrapper.version()
        self.can = parse_version(answer)
        if not self.can.number:
            log.warning("the wrapper's version is not known; it said: %s", shorten(answer.message))
        return self.can

    def spell(self, path: VmdkPath) -> str:
        """Return a disk's path as the wrapper is told it; raise when it cannot be told safely."""
        return self._wrapper.spell(path, self.can)

    def start(self, spelled: str, device: str, guard: Guard, limit: int) -> Answer:
        """Ask once for a copy onto a device's path, right after its guard; see the wrapper's contract."""
        return self._wrapper.clone(spelled, device, guard, limit if self.can.limits else 0)

    def all(self) -> tuple[TaskState, ...]:
        """Return the state of all tasks; none where the wrapper cannot list them."""
        return parse_tasks(self._wrapper.task_list()) if self.can.lists else ()

    def poll(self, task: str) -> TaskState:
        """Return the state of a task; raise UnknownTask when the host does not know it, or has no wrapper."""
        try:
            answer = self._wrapper.task_get(task)
        except WrapperMissing as error:
            raise UnknownTask(error.text) from error
        if answer.status != "0":
            raise UnknownTask(answer.complaint)
        return parse_task(answer)

    def stop(self, task: str) -> TaskState:
        """End a copy and return its state."""
        answer = self._wrapper.task_stop(task)
        if answer.status != "0":
            raise VsphereError(f"the host could not end the copy ({shorten(answer.complaint)})")
        return parse_task(answer)

    def clean(self, task: str) -> bool:
        """Remove the task's files from the host, and return whether it said so.

        What remains is little, and the host removes it in some days.
        """
        try:
            answer = self._clean(task)
        except VsphereError as error:
            log.warning("task %s is not cleaned up: %s", task, error.text)
            return False
        if answer.status != "0":  # as it is, too, where the answer to a first try was lost
            log.info("task %s is not cleaned up: %s", task, shorten(answer.complaint))
        return answer.status == "0"

    def compares(self, owner: str, device: str) -> bool:
        """Return whether a run's comparison with a device goes on; asking keeps a dead run's alive for some minutes."""
        if not self.can.verifies:
            return False
        task = comparison_id(owner, device)
        answer = self._wrapper.task_get(task)
        return answer.status == "0" and parse_verification(answer, task).compared is Compared.RUNNING

    def end_comparison(self, owner: str, device: str) -> bool:
        """End a run's comparison with a device, and remove its files; return whether there was one. It only reads."""
        if not self.can.verifies:
            return False
        task = comparison_id(owner, device)
        try:
            known = self._wrapper.task_stop(task).status == "0"
        except VsphereError as error:
            log.warning("comparison %s is not ended: %s", task, error.text)
            known = False
        self.clean(task)
        return known

    def _clean(self, task: str) -> Answer:
        """Ask once more where the host failed the command, which may be repeated; outages are the wrapper's affair."""
        try:
            return self._wrapper.task_clean(task)
        except VsphereError as error:
            if error.passing:
                raise
            return self._wrapper.task_clean(task)
