"""Answers of the vmkfstools wrapper as the values of its contract, and what the host's complaints mean. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from vsphere.errors import Unreadable
from vsphere.model import Xcopy
from vsphere.wrapper.complaints import find_complaint
from vsphere.wrapper.contract import Answer, Compared, TaskState, Verification, Version

TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Nothing else is sent back as a task id: the stock plugin puts it onto a command line without quotes."""
PERCENT = re.compile(r"(\d+)%")


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
            "The host's vmkfstools wrapper did not report the copy's state.",
            f"It said: {answer.message[:200]}",
        )
    return _task(facts)


def parse_verification(answer: Answer, task: str) -> Verification:
    """Read what `verify`, or `taskGet` of it, answered; raise where that is not of this task, or says nothing."""
    facts = answer.facts
    if answer.status == "0" and facts.get("taskId") == task and facts.get("state") in set(Compared):
        compared = Compared(facts["state"])
        needed = {Compared.EQUAL: "bytes", Compared.DIFFERENT: "offset"}.get(compared)
        if needed is None or _count(facts.get(needed)) is not None:
            percent, size, offset = (_count(facts.get(name)) or 0 for name in ("percent", "bytes", "offset"))
            return Verification(compared, percent, size, offset, str(facts.get("stdErr") or ""))
    raise Unreadable(
        "The host's vmkfstools wrapper did not report how the comparison stands.",
        f"It said: {shorten(answer.message)}",
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


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
    if known := find_complaint(complaint):
        meaning, hint = known
        return f"{meaning} ({shorten(complaint)})", hint
    said = shorten(complaint).rstrip(".") or "the host does not say why"
    return said, "Look at the host's vmkernel.log and hostd.log."


def shorten(text: str, limit: int = 300) -> str:
    """Return text on one line, cut where it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
