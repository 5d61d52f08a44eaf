"""The commands that stand in the docs: in fenced blocks, by the word behind the fence.

`sh` is what a test runs or reads: the program's own calls, and make's targets. `sh lab` is run by a test in the lab as
it stands. `sh cluster` needs a cluster, a vCenter or an array, `sh host` an ESXi host: not run. `console` shows a call
behind `$` and what it prints. Calls of the program are parsed in all of them.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.program import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "deploy/docs").rglob("*.md"))]
SHELL = ("sh", "sh lab", "sh cluster", "sh host", "console")
OTHERS = ("mermaid", "powershell", "yaml", "text", "promql", "dockerfile", "json", "python")
"""what is no command of a POSIX shell: not run"""
_FENCE = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INNER = re.compile(r"\$\(([^()]*)\)")
_SEPARATOR = re.compile(r"^[();<>|&]+$")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def script(self) -> str:
        """The shell's part of it."""
        if self.kind != "console":
            return self.text
        return "\n".join(line[2:] for line in self.text.splitlines() if line.startswith("$ "))

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each simple command in it, those in `$(…)` too."""
        lines = self.script.replace("\\\n", " ")
        for inner in _INNER.findall(lines):
            yield from simple_commands(inner)
        yield from simple_commands(_INNER.sub("inner", lines))


def blocks() -> list[Block]:
    """Return all fenced blocks of the pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1].strip(), match[2]))
    return found


def simple_commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a script, without redirections and assignments before it."""
    for line in script.splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        reader.whitespace_split = True
        words: list[str] = []
        target = False
        for word in reader:
            if _SEPARATOR.match(word):
                target = word[0] in "<>"
                if not target:
                    yield from _simple(words)
                    words = []
            elif target:
                target = False
            else:
                words.append(word)
        yield from _simple(words)


def _simple(words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"^\w+=", words[0]):
        words = words[1:]
    if words:
        yield words
