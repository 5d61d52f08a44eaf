"""A CSV of disks, and sizes as people write them; pure.

The first line names the columns, in any order: `size`, `host` and `datastore` are needed, `name` is not, nor is
`also_mounted_on`, further hosts that have the datastore mounted, separated by blanks. Columns of other names are left
alone. Commas or semicolons separate, as spreadsheets write either; empty lines and lines of # do not count.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from populator.plan.forecast import PlannedDisk

NEEDED = ("size", "host", "datastore")
COLUMNS = ("name", *NEEDED, "also_mounted_on")
PREFIXES = "KMGTP"
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGTP])(i?B|i)|([0-9]+)\s*B?", re.IGNORECASE)
LARGEST = 1 << 60
"""bytes"""
MOST_PROBLEMS = 20
"""that are told of one list"""


@dataclass(frozen=True)
class DiskList:
    """What a list holds."""

    disks: tuple[PlannedDisk, ...]
    mounted: Mapping[str, frozenset[str]]
    """datastore -> hosts that the list says have it mounted"""


class BadList(ValueError):
    """A list cannot be read; `problems` has a sentence for each bad line, with its number."""

    def __init__(self, problems: list[str]) -> None:
        left_out = len(problems) - MOST_PROBLEMS
        more = [f"… and {left_out} more lines are wrong."] if left_out > 0 else []
        self.problems = [*problems[:MOST_PROBLEMS], *more]
        super().__init__(" ".join(self.problems))


def parse_size(text: str) -> int:
    """Return bytes: `40GiB`, `40Gi` (1024), `40GB` (1000), or a plain number of bytes; raise ValueError."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        if re.fullmatch(r"[0-9.]+\s*[KMGTP]", text.strip(), re.IGNORECASE):
            raise ValueError(
                f"the unit of {text.strip()!r} may mean 1000 or 1024: write {text.strip()}iB or {text.strip()}B"
            )
        raise ValueError(f"{text.strip()!r} is no size: write 40GiB, 40GB, or a number of bytes")
    number, prefix, unit, plain = match.groups()
    base = 1000 if unit and unit.upper() == "B" else 1024
    factor = base ** (PREFIXES.index(prefix.upper()) + 1) if prefix else 1
    size = math.ceil(Fraction(number or plain) * factor)
    if not 1 <= size <= LARGEST:
        raise ValueError(f"{text.strip()!r} is no size that a disk can have")
    return size


def parse_disks(text: str) -> DiskList:
    """Read a list; raise `BadList` with every line that is wrong."""
    lines = text.removeprefix("\ufeff").splitlines()
    numbered = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip(" ,;\t") and not line.lstrip().startswith("#")
    ]
    if not numbered:
        raise BadList([f"There is no line in it: the first one names the columns, {', '.join(COLUMNS)}."])
    (first, head), *rest = numbered
    separator = ";" if head.count(";") > head.count(",") else ","
    columns = [column.strip().lower() for column in _cells(head, separator)]
    if missing := [column for column in NEEDED if columns.count(column) != 1]:
        raise BadList([f"Line {first} must name each of these columns once: {', '.join(missing)}."])
    return _read(rest, columns, separator)


def _read(lines: list[tuple[int, str]], columns: list[str], separator: str) -> DiskList:
    problems, disks = [], []
    mounted: dict[str, set[str]] = defaultdict(set)
    for number, line in lines:
        try:
            row = _row(_cells(line, separator), columns)
            disk = PlannedDisk(
                row.get("name") or f"line {number}", parse_size(row["size"]), row["host"], row["datastore"]
            )
        except ValueError as error:
            problems.append(f"Line {number}: {error}.")
        else:
            disks.append(disk)
            mounted[disk.datastore] |= {disk.host, *row.get("also_mounted_on", "").split()}
    if problems or not disks:
        raise BadList(problems or ["There is no disk in it."])
    return DiskList(tuple(disks), {store: frozenset(hosts) for store, hosts in mounted.items()})


def _row(cells: list[str], columns: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells, and the first line {len(columns)} columns")
    row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    if empty := [column for column in NEEDED if not row[column]]:
        raise ValueError(f"{', '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty")
    return row


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(_reader(line, separator))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _reader(line: str, separator: str) -> Iterator[list[str]]:
    return csv.reader([line], delimiter=separator, strict=True)
