"""A table of text that fits the terminal: long cells of the last two columns are folded."""

import shutil
import textwrap
from collections.abc import Sequence

from populator.log import printable

GAP = "  "
ROOM = 200
"""columns where there is no terminal"""
NARROWEST = 24


def draw(lines: Sequence[Sequence[str]]) -> str:
    """Return the lines, the first being the head, as a table."""
    lines = [[printable(" ".join(cell.split())) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    room = shutil.get_terminal_size((ROOM, 0)).columns - sum(widths[:-2]) - len(GAP) * (len(widths) - 1)
    widths[-2:] = [min(width, max(room // 2, NARROWEST)) for width in widths[-2:]]
    return "\n".join(row for line in lines for row in _fold(line, widths))


def _fold(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a line as as many rows as its longest cell needs."""
    cells = [textwrap.wrap(text, width) or [""] for text, width in zip(line, widths, strict=True)]
    height = max(map(len, cells))
    filled = [cell + [""] * (height - len(cell)) for cell in cells]
    rows = (zip(row, widths, strict=True) for row in zip(*filled, strict=True))
    return [GAP.join(text.ljust(width) for text, width in row).rstrip() for row in rows]
