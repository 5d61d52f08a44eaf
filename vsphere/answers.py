"""What the host's vmkfstools wrapper answers: status and message, task states, and vmkfstools' own complaints.

Pure. Every command answers with one row of two strings, `status` ("0" is good) and `message`, which holds JSON for
a clone or a task, text for a refusal, and nothing at all for a task that was cleaned up.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vsphere.errors import Unreadable

TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Nothing else is sent back as a task id: the stock plugin puts it onto a command line without quotes."""
PERCENT = re.compile(r"(\d+)%")
COMPLAINTS = (
    (
        ("failed to lock", "device or resource busy", "resource busy", "locked"),
        "the disk is locked by another writer",
        "Power the VM off, or take a snapshot so that its base disk is no longer written to; end other copies of it.",
    ),
    (
        ("no space left", "out of space", "insufficient space", "not enough space", "disk full"),
        "there is no space left on the LUN or on the datastore",
        "Make room in the array's pool (the LUN is thin) and on the source datastore.",
    ),
    (
        ("smaller than the source",),
        "the LUN is smaller than the disk",
        "Give the PersistentVolumeClaim at least the disk's size.",
    ),
    (
        ("input/output error", "i/o error"),
        "reading the disk or writing the LUN failed (I/O error)",
        "Look at the host's vmkernel.log and at the array's events.",
    ),
    (
        ("path validation error",),
        "the host's plugin does not accept a path",
        "Rename the datastore, folder or disk that it names.",
    ),
    (
        ("already exists",),
        "a file of an earlier copy lies beside the disk",
        "Delete the files named …-rdmdisk-… in the disk's folder, when no other copy of the disk is running.",
    ),
    (
        ("no such file", "could not be found", "cannot find the file"),
        "the disk's file or the device is not there",
        "Check that the disk is still at that path (the VM may have been moved), and the host's paths to the LUN.",
    ),
)
"""words of the host, in lower case; what they mean; what to do"""


@dataclass(frozen=True)
class Answer:
    """What a command of the plugin answered."""

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
    def complaint(self) -> str:
        """The host's words on what went wrong."""
        return str(self.facts.get("stdErr") or self.message).strip()


@dataclass(frozen=True)
class TaskState:
    """How far a copy is."""

    exit_code: str
    """empty while it runs"""
    percent: int | None
    last_line: str
    stderr: str
    xcopy_used: bool | None
    """the device's XCOPY counter is above zero, also from an earlier copy; None where the host cannot tell"""

    @property
    def ended(self) -> bool:
        """Whether vmkfstools has come to its end."""
        return self.exit_code != ""

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


def parse_task(answer: Answer) -> TaskState:
    """Read what `taskGet` answered with status 0."""
    facts = answer.facts
    if "exitCode" not in facts:
        raise Unreadable(
            "The host's vmkfstools wrapper told no state of the copy.", f"It said: {answer.message[:200]}"
        )
    last_line = str(facts.get("lastLine") or "")
    percents = PERCENT.findall(last_line)
    used = facts.get("xcopyUsed")
    return TaskState(
        exit_code=str(facts["exitCode"] if facts["exitCode"] is not None else "").strip(),
        percent=min(int(percents[-1]), 100) if percents else None,
        last_line=last_line,
        stderr=str(facts.get("stdErr") or "").strip(),
        xcopy_used=used if isinstance(used, bool) else None,
    )


def translate(complaint: str) -> tuple[str, str]:
    """Return what a complaint of the host means, and what to do about it."""
    words = complaint.lower()
    for signs, meaning, hint in COMPLAINTS:
        if any(sign in words for sign in signs):
            return f"{meaning} ({shorten(complaint)})", hint
    return shorten(complaint).rstrip(
        "."
    ) or "the host does not say why", "Look at the host's vmkernel.log and hostd.log."


def shorten(text: str, limit: int = 300) -> str:
    """Return text on one line, cut where it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
