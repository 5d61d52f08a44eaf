"""What a host's vmkfstools wrapper is asked and answers, by whatever way it is reached.

Every command answers with one row of two strings, `status` ("0" is good) and `message`, which holds JSON for a clone or
a task, text for a refusal, and nothing at all for a task that was cleaned up.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from vsphere.model import CloneMethod, Xcopy
from vsphere.paths import VmdkPath
from vsphere.ports import Guard

START_SECONDS = 60.0
"""timeout of the call that starts a copy: generous, since its answer, once lost, may not be had again"""
POLL_SECONDS = 10.0
"""timeout of a poll: short, so that one that hangs does not use up the grace after SIGTERM"""
STOP_SECONDS = 12.0
"""timeout of the call that ends a copy: the wrapper itself takes 8 s at most"""


@dataclass(frozen=True)
class Version:
    """What a wrapper is, and what it can do beyond the stock one (0.3.x); nothing where it cannot tell."""

    number: str = ""
    capabilities: frozenset[str] = frozenset()

    @property
    def decodes(self) -> bool:
        """Whether it takes percent-encoded arguments, and so any name."""
        return "pct" in self.capabilities

    @property
    def stops(self) -> bool:
        """Whether it can end a copy."""
        return "taskStop" in self.capabilities

    @property
    def lists(self) -> bool:
        """Whether it tells all tasks on the host, and refuses a second one onto a device that one writes to."""
        return "taskList" in self.capabilities

    @property
    def limits(self) -> bool:
        """Whether it keeps a limit of copies on the host, however many ask for one at the same moment."""
        return "limit" in self.capabilities

    @property
    def verifies(self) -> bool:
        """Whether it can compare a disk with a device."""
        return "verify" in self.capabilities


def version_order(number: str) -> tuple[int, ...]:
    """Return what sorts versions like 0.3.3 and 0.4.0-rc.1 by their numbers; one that is not known is the oldest."""
    return tuple(int(part) for part in re.findall(r"\d+", number))


class Refusal(StrEnum):
    """Why the wrapper began no copy, in its own words."""

    BUSY = "busy"
    FULL = "full"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Answer:
    """What a command of the wrapper answered."""

    status: str
    message: str

    @property
    def facts(self) -> dict[str, Any]:
        """The message's JSON object; empty where it is none."""
        try:
            # Not strict: the stock plugin does not escape all control characters.
            found = json.loads(self.message, strict=False)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def busy_with(self) -> str | None:
        """The task that keeps a copy from starting, as it writes to the device; None where that is not the reason.

        Empty where the writer is a vmkfstools that belongs to no task.
        """
        return str(self.facts.get("taskId", "")) if self.facts.get("reason") == Refusal.BUSY else None

    @property
    def full(self) -> bool:
        """Whether as many copies run on the host as may, so that it began nothing: it will when one has ended."""
        return self.facts.get("reason") == Refusal.FULL

    @property
    def unsure(self) -> bool:
        """Whether the host could not find out what runs there, and so began nothing: it may a little later."""
        return self.facts.get("reason") == Refusal.UNSURE

    @property
    def complaint(self) -> str:
        """The host's words on what went wrong."""
        return str(self.facts.get("stdErr") or self.message).strip()


@dataclass(frozen=True)
class TaskState:
    """How far a copy is."""

    task: str
    exit_code: str
    """empty while it runs"""
    percent: int | None
    last_line: str
    stderr: str
    xcopy_used: bool | None
    """None where the host cannot tell; from a stock wrapper true also after an earlier copy onto the same device"""
    xcopy: Xcopy | None = None
    """None where the wrapper or the host does not tell"""
    fallback: str = ""
    """why the array does not copy, in the host's words, where it knows"""
    source: str = ""
    """path on the host; empty from a stock wrapper, as is the next"""
    device: str = ""
    stopped: bool = False
    """it was ended by `task_stop`"""

    @property
    def ended(self) -> bool:
        """Whether vmkfstools has come to its end."""
        return self.exit_code != ""

    def ends_like(self, other: "TaskState") -> bool:
        """Whether both report the same end."""
        return (self.exit_code, self.stopped, self.succeeded) == (
            other.exit_code,
            other.stopped,
            other.succeeded,
        )

    @property
    def succeeded(self) -> bool:
        """Whether it ended well; a last line that tells less than 100 % speaks against it."""
        return self.exit_code == "0" and self.percent in {None, 100}


class Compared(StrEnum):
    """How a comparison of source and device stands, in the wrapper's words."""

    RUNNING = "running"
    EQUAL = "equal"
    DIFFERENT = "different"
    UNREAD = "unread"


@dataclass(frozen=True)
class Verification:
    """A comparison of source and device."""

    compared: Compared
    percent: int = 0
    """of what is compared, while it runs"""
    bytes: int = 0
    """that are equal, where all that was compared is"""
    offset: int = 0
    """the first byte that differs"""
    reason: str = ""
    """why it could not be done, in the host's words"""


class Wrapper(Protocol):
    """The vmkfstools wrapper of one host, by whatever way it is reached.

    Every call returns what the script itself answered, a refusal (status other than "0") included. Otherwise it
    raises: `WrapperMissing` where there is none (nothing was done), or another `VsphereError`, whose `unclear` tells
    whether the script may have run, and `passing` whether the same call may work a little later.
    """

    method: CloneMethod
    host: str
    """the host's name, for people"""

    def spell(self, path: VmdkPath, version: Version) -> str:
        """Return a disk's path as this wrapper is told it; raise when it cannot be told safely. No call."""

    def version(self) -> Answer:
        """Ask for version and capabilities; made again while the host is away for a moment."""

    def clone(self, source: str, device: str, guard: Guard, limit: int) -> Answer:
        """Start the copy of a disk, as spelled, onto a device's path; sent once, right after its guard.

        A `limit` other than 0 has it refused while so many copies run on the host; only where `Version` has `limits`.
        """

    def verify(self, source: str, device: str, task: str, samples: str) -> Answer:
        """Start to compare a disk, as spelled, with a device's path, as the task that the caller draws the id of.

        It only reads. May be repeated: it answers as `task_get` does, whose calls keep it going; that, `task_stop` and
        `task_clean` take its id as they take a copy's. Only where `Version` has `verifies`.
        """

    def task_get(self, task: str) -> Answer:
        """Ask how a copy stands; sent once."""

    def task_clean(self, task: str) -> Answer:
        """Remove the files of a task; made again while the host is away for a moment."""

    def task_stop(self, task: str) -> Answer:
        """End a copy: status "0" tells that nothing writes any more, and the state; takes up to 8 s, sent once.

        This and `task_list` are asked only of wrappers whose version says that they can (`Version`).
        """

    def task_list(self) -> Answer:
        """List all tasks on the host; made again while the host is away for a moment."""

    def close(self) -> None:
        """End the connection, if it is the wrapper's own; never raises."""
