"""What the host's vmkfstools wrapper answers: status and message, task states, and what complaints mean.

Pure. Every command answers with one row of two strings, `status` ("0" is good) and `message`, which holds JSON for
a clone or a task, text for a refusal, and nothing at all for a task that was cleaned up.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vsphere.errors import Unreadable
from vsphere.wrapper.complaints import find_complaint

TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Nothing else is sent back as a task id: the stock plugin puts it onto a command line without quotes."""
PERCENT = re.compile(r"(\d+)%")


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
        return str(self.facts.get("taskId", "")) if self.facts.get("reason") == "busy" else None

    @property
    def full(self) -> bool:
        """Whether as many copies run on the host as may, so that it began nothing: it will when one has ended."""
        return self.facts.get("reason") == "full"

    @property
    def unsure(self) -> bool:
        """Whether the host could not find out what runs there, and so began nothing: it may a little later."""
        return self.facts.get("reason") == "unsure"

    @property
    def complaint(self) -> str:
        """The host's words on what went wrong."""
        return str(self.facts.get("stdErr") or self.message).strip()


@dataclass(frozen=True)
class Xcopy:
    """What the array did of one copy, by the device's counters before and after."""

    operations: int
    """clone operations onto the device"""
    failed: int
    """those that the array refused or failed; the host then copies by itself"""
    bytes: int | None
    """moved by the array; None where the host does not count them"""


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


def parse_answer(rows: Sequence[dict[str, str]]) -> Answer:
    """Read the one row of an answer; raise `Unreadable` when there is none that makes sense."""
    for row in rows:
        fields = {name.lower(): value for name, value in row.items()}
        if fields.get("status", "").strip():
            return Answer(fields["status"].strip(), fields.get("message", "").strip())
    raise Unreadable(
        "The host's vmkfstools wrapper gave no answer that can be read.",
        "Check the version of the wrapper on the host (VIB or script).",
    )


def parse_version(answer: Answer) -> Version:
    """Read what `version` answered."""
    number, capabilities = answer.facts.get("version"), answer.facts.get("capabilities")
    if answer.status != "0" or not number:
        return Version()
    known = (str(name) for name in capabilities) if isinstance(capabilities, list) else ()
    return Version(str(number), frozenset(known))


def parse_tasks(answer: Answer) -> tuple[TaskState, ...]:
    """Read what `taskList` answered; raise `Unreadable` when that is no list."""
    tasks = answer.facts.get("tasks")
    if answer.status != "0" or not isinstance(tasks, list):
        raise Unreadable(
            "The host's vmkfstools wrapper did not list its tasks.", f"It said: {shorten(answer.message)}"
        )
    if not all(isinstance(facts, dict) and "exitCode" in facts for facts in tasks):
        raise Unreadable(
            "The host's vmkfstools wrapper listed a task without its state.",
            f"It said: {shorten(answer.message)}",
        )
    return tuple(_task(facts) for facts in tasks)


def parse_task(answer: Answer) -> TaskState:
    """Read what `taskGet` or `taskStop` answered with status 0."""
    facts = answer.facts
    if "exitCode" not in facts:
        raise Unreadable(
            "The host's vmkfstools wrapper told no state of the copy.", f"It said: {answer.message[:200]}"
        )
    return _task(facts)


def _task(facts: dict[str, Any]) -> TaskState:
    last_line = str(facts.get("lastLine") or "")
    percents = PERCENT.findall(last_line)
    used = facts.get("xcopyUsed")
    return TaskState(
        task=str(facts.get("taskId") or ""),
        exit_code=str(facts["exitCode"] if facts["exitCode"] is not None else "").strip(),
        percent=min(int(percents[-1]), 100) if percents else None,
        last_line=last_line,
        stderr=str(facts.get("stdErr") or "").strip(),
        xcopy_used=used if isinstance(used, bool) else None,
        xcopy=_xcopy(facts.get("xcopy")),
        fallback=str(facts.get("fallback") or "").strip(),
        source=str(facts.get("source") or ""),
        device=str(facts.get("device") or ""),
        stopped=facts.get("state") == "stopped",
    )


def _xcopy(counts: Any) -> Xcopy | None:
    if not isinstance(counts, dict):
        return None
    numbers = [counts.get(name) for name in ("writeOps", "failedOps", "writeBytes")]
    operations, failed, moved = (number if isinstance(number, int) else None for number in numbers)
    return None if operations is None else Xcopy(operations, failed or 0, moved)


def translate(complaint: str) -> tuple[str, str]:
    """Return what a complaint of the host means, and what to do about it."""
    known = find_complaint(complaint)
    if known:
        return f"{known[0]} ({shorten(complaint)})", known[1]
    said = shorten(complaint).rstrip(".") or "the host does not say why"
    return said, "Look at the host's vmkernel.log and hostd.log."


def shorten(text: str, limit: int = 300) -> str:
    """Return text on one line, cut where it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
