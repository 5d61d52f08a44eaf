"""What commands print on stdout: one kind of table, and JSON and YAML of the same, chosen by one option."""

import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click
import yaml

from populator.cli.flags import Choice, Decorator, option
from populator.log import printable

NONE = "<none>"
GAP = "   "
ROOM = 200
"""columns where there is no terminal"""
NARROWEST = 20
FORMATS = ("table", "json", "yaml")


def output_option(*more: str, **words: Any) -> Decorator:
    """Give a command `--output`, with formats of its own behind those of all commands."""
    formats = Choice([*FORMATS, *more])
    return option(
        "Output",
        "-o",
        "--output",
        type=formats,
        default="table",
        show_default=True,
        metavar="FORMAT",
        **words,
    )


class Table:
    """Prints rows now and rows later under the same titles; columns never become narrower.

    A cell in one of the last columns, as many as hold `prose`, is folded where it does not fit the terminal.
    """

    def __init__(self, titles: Sequence[str], prose: int = 0) -> None:
        self._titles = titles
        self._prose = prose
        self._widths = [0] * len(titles)
        self._titled = False

    def print(self, rows: Iterable[Sequence[str]]) -> None:
        """Print a line for each row, the first time with the titles above."""
        for line in self.lines(rows):
            click.echo(line)

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """Return the lines that `print` prints."""
        cells = [[printable(" ".join(text.split())) or NONE for text in row] for row in rows]
        if not self._titled:
            cells.insert(0, list(self._titles))
            self._titled = True
        for row in cells:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        widths = self._fitting()
        return [line for row in cells for line in _folded(row, widths)]

    def _fitting(self) -> list[int]:
        """Return the widths, those of prose no larger than what the terminal leaves for them."""
        if not self._prose:
            return self._widths
        fixed, prose = self._widths[: -self._prose], self._widths[-self._prose :]
        room = shutil.get_terminal_size((ROOM, 0)).columns - sum(fixed) - len(GAP) * (len(self._widths) - 1)
        return [*fixed, *(min(width, max(room // self._prose, NARROWEST)) for width in prose)]


def _folded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a row in as many lines as its longest cell needs; only what is wider than its column is folded."""
    cells = [
        [text] if len(text) <= width else textwrap.wrap(text, width)
        for text, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, cells))
    filled = [cell + [""] * (height - len(cell)) for cell in cells]
    lines = (zip(line, widths, strict=True) for line in zip(*filled, strict=True))
    return [GAP.join(text.ljust(width) for text, width in line).rstrip() for line in lines]


def document(value: Any, form: str) -> str:
    """Return a value as JSON or YAML, laid out as `oc get` does."""
    return as_yaml(value) if form == "yaml" else as_json(value)


def listed(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return items as a List."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}


def as_json(value: Any) -> str:
    """Return a value as `oc get -o json` lays it out."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """Return a value as `oc get -o yaml` lays it out."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
    return text.rstrip("\n")
