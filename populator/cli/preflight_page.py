"""The page of a preflight, for people and as JSON or YAML. Pure, but for the terminal's width.

As a document it has: kind (`Preflight`), verdict (`ready`, `warnings`, `not ready`), counts of lines by mark, and
sections with title and lines; a line has mark (`passed`, `warning`, `failed`, `not checked`), check, text, and mend,
which is null where there is nothing to do.
"""

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from populator.cli.output import ROOM
from populator.log import printable
from populator.preflight.line import Line, Mark, Section, verdict

SIGNS = {Mark.PASSED: "✓", Mark.WARNING: "!", Mark.FAILED: "✗", Mark.NOT_CHECKED: "-"}
COUNTED = {Mark.FAILED: "failed", Mark.WARNING: "with a warning", Mark.NOT_CHECKED: "not checked"}
INDENT = "  "
NARROWEST = 40


def as_text(sections: Sequence[Section]) -> str:
    """Return the page: one word, then the sections, each line folded to the terminal."""
    lines = [line for section in sections for line in section.lines]
    marks = Counter(line.mark for line in lines)
    counts = [f"{marks[mark]} {words}" for mark, words in COUNTED.items() if marks[mark]]
    head = f"{verdict(sections)}: {', '.join([f'{len(lines)} checks', *counts])}"
    width = max((len(line.check) for section in sections for line in joined(section.lines)), default=0)
    room = shutil.get_terminal_size((ROOM, 0)).columns
    shown = [head]
    for section in sections:
        shown += ["", plain(section.title)]
        shown += [text for line in joined(section.lines) for text in _folded(line, width, room)]
    return "\n".join(shown)


def as_document(sections: Sequence[Section]) -> dict[str, Any]:
    """Return the page as a document; see the module."""
    marks = Counter(line.mark for section in sections for line in section.lines)
    return {
        "kind": "Preflight",
        "verdict": verdict(sections).value,
        "counts": {mark.value: marks[mark] for mark in Mark},
        "sections": [
            {"title": section.title, "lines": [_item(line) for line in section.lines]} for section in sections
        ],
    }


def joined(lines: Sequence[Line]) -> Iterator[Line]:
    """Yield lines, those in a row that were not checked for one and the same reason as a single one."""
    for (mark, text, mend), group in groupby(lines, lambda line: (line.mark, line.text, line.mend)):
        those = list(group)
        if mark is Mark.NOT_CHECKED and len(those) > 1:
            checks = ", ".join(line.check for line in those)
            yield Line(mark, "not checked", f"{checks}: {text}", mend)
        else:
            yield from those


def plain(text: str) -> str:
    """Return a text in one line that a terminal shows as it is."""
    return printable(" ".join(text.split()))


def _item(line: Line) -> dict[str, Any]:
    return {
        "mark": line.mark.value,
        "check": line.check,
        "text": line.text,
        "mend": line.mend or None,
    }


def _folded(line: Line, width: int, room: int) -> Iterator[str]:
    """Yield a line as it is shown, and what mends it below; commands are never folded, so that they can be copied."""
    start = f"{INDENT}{SIGNS[line.mark]} {line.check.ljust(width)}  "
    further = " " * len(start)
    for text in textwrap.wrap(plain(line.text), max(room - len(start), NARROWEST)) or [""]:
        yield (start + text).rstrip()
        start = further
    if line.mend:
        yield f"{further}> {plain(line.mend)}"
