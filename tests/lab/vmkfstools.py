"""`vmkfstools -i <vmdk> -d rdm:<device> <rdm file>`: copies real bytes of a VMDK onto a LUN.

Knows descriptors, chains of deltas (see `disks`), the bytes and the pace, and the words in which the real tool fails;
knows nothing of tasks or of the host. Constant memory; holes cost no time but become zeros on the LUN. Error numbers
are DISKLIB's: a low byte of 9 is an I/O error whose errno stands in the upper half.
The wording of `TOO_SMALL` and `NO_DEVICE` was not seen on a real host; the others are often quoted.
"""

import errno
import heapq
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.lab.san import CHUNK, LunFile, data_regions

SECTOR = 512
FAILURE = 255
"""exit code of every failing vmkfstools"""
LOCKED = "Failed to open '{path}': Failed to lock the file (16392)."
NOT_FOUND = "Failed to open '{path}': The system cannot find the file specified (25)."
NOT_A_DISK = "Failed to open '{path}': The file specified is not a virtual disk (15)."
NO_PARENT = "Failed to open '{path}': The parent of this virtual disk could not be opened (23)."
OTHER_PARENT = (
    "Failed to open '{path}': The parent virtual disk has been modified since the child was created. The content ID of "
    "the parent virtual disk does not match the corresponding parent content ID in the child (18)."
)
EXISTS = "Failed to clone disk: The file already exists (39)."
TOO_SMALL = "Failed to clone disk: The destination device is smaller than the source disk."
NO_DEVICE = "Failed to clone disk: No such file or directory (131081)."
NO_SPACE = "Failed to clone disk: No space left on device (1835017)."
IO_ERROR = "Failed to clone disk: Input/output error (327689)."
_EXTENT = re.compile(r'^RW (\d+) (\w+) "(.+)"(?: \d+)?\s*$', re.MULTILINE)
_FIELD = re.compile(r'^(CID|parentCID|parentFileNameHint)="?([^"\n]*)"?$', re.MULTILINE)


class VmkfstoolsError(Exception):
    """The tool ends with exit code 255 and this text on stderr."""


@dataclass(frozen=True)
class Extent:
    """A file with a link's own bytes: all of the disk's, or of a delta just its data, on top of the parent's."""

    path: Path
    size: int
    parent: "Extent | None" = None


class Reader:
    """The bytes of a disk as seen at a link: of each place the newest data there is."""

    def __init__(self, extent: Extent) -> None:
        self._links: list[tuple[int, int]] = []
        """file and size of each link, the base first"""
        link: Extent | None = extent
        while link is not None:
            self._links.insert(0, (os.open(link.path, os.O_RDONLY), link.size))
            link = link.parent
        self.size = extent.size

    def __enter__(self) -> Self:
        """Return itself, with all files open."""
        return self

    def __exit__(self, *ending: object) -> None:
        """Close the files."""
        for file, _ in self._links:
            os.close(file)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes; where no link has data there are zeros."""
        if len(self._links) == 1:
            return os.pread(self._links[0][0], length, offset)
        found = bytearray(length)
        for file, size in self._links:
            for start, end in data_regions(file, offset, min(offset + length, size)):
                found[start - offset : end - offset] = os.pread(file, end - start, start)
        return bytes(found)

    def regions(self) -> Iterator[tuple[int, int]]:
        """Yield where any link has data, in order and without overlaps."""
        at = 0
        regions = [data_regions(file, 0, min(size, self.size)) for file, size in self._links]
        for start, end in heapq.merge(*regions):
            if end > at:
                yield max(at, start), end
                at = end


@dataclass(frozen=True)
class Pace:
    """How long a copy takes: at `rate` bytes a second of the disk's size, or `seconds` whatever its size."""

    rate: float | None = None
    seconds: float | None = None

    def duration(self, size: int) -> float:
        """Return the seconds for a disk; 0 means as fast as possible."""
        if self.seconds is not None:
            return self.seconds
        return size / self.rate if self.rate else 0.0


def parse_descriptor(path: Path, shown: str, locate: Callable[[str], Path | None] = Path) -> Extent:
    """Return the extent that a VMFS descriptor names, with those it inherits from.

    `shown` is the path to use in messages, `locate` finds the file of a path on the host.
    """
    try:
        head = path.read_bytes()[: 64 << 10]
    except OSError:
        raise VmkfstoolsError(NOT_FOUND.format(path=shown)) from None
    text = head.decode(errors="replace")
    match, fields = _EXTENT.search(text), dict(_FIELD.findall(text))
    delta = "parentFileNameHint" in fields
    if (
        not head.startswith(b"# Disk DescriptorFile")
        or not match
        or match[2] != ("SESPARSE" if delta else "VMFS")
    ):
        raise VmkfstoolsError(NOT_A_DISK.format(path=shown))
    parent = _parent(path, shown, fields, locate) if delta else None
    extent = Extent(path.with_name(match[3]), int(match[1]) * SECTOR, parent)
    if not extent.path.exists():
        raise VmkfstoolsError(NOT_FOUND.format(path=shown))
    return extent


def _parent(path: Path, shown: str, fields: dict[str, str], locate: Callable[[str], Path | None]) -> Extent:
    """Open the parent, where the hint says it is, as the disk that it was when the child was made."""
    hint = fields["parentFileNameHint"]
    parent = locate(hint) if hint.startswith("/") else path.with_name(hint)
    if parent is None:
        raise VmkfstoolsError(NO_PARENT.format(path=shown))
    try:
        extent = parse_descriptor(parent, hint, locate)
    except VmkfstoolsError as error:
        # A mismatch anywhere in the chain comes through; anything else is a parent that cannot be opened.
        text = OTHER_PARENT if str(error) == OTHER_PARENT.format(path=hint) else NO_PARENT
        raise VmkfstoolsError(text.format(path=shown)) from None
    found = dict(_FIELD.findall(parent.read_text(encoding="utf-8")))
    if found["CID"] != fields["parentCID"]:
        raise VmkfstoolsError(OTHER_PARENT.format(path=shown))
    return extent


def copy(
    extent: Extent,
    lun: LunFile,
    pace: Pace,
    halt: threading.Event,
    progress: Callable[[int], None],
    before_write: Callable[[], None],
) -> None:
    """Copy to the end, or until `halt` is set (then return early: the caller knows why).

    `progress(percent)` is called for each new whole percent, `before_write()` before each piece and may
    raise OSError. Raises VmkfstoolsError. A paced copy keeps to its end time, it does not add up sleeps.
    """
    if lun.size < extent.size:
        raise VmkfstoolsError(TOO_SMALL)
    began, duration = time.monotonic(), pace.duration(extent.size)
    progress(0)
    percent = 0
    try:
        with Reader(extent) as source:
            for offset, length, hole in _steps(source, duration):
                before_write()
                if halt.is_set():
                    return
                if hole:
                    lun.zero(offset, length)
                else:
                    lun.write(offset, source.read(offset, length))
                done = (offset + length) / extent.size
                if halt.wait(max(0.0, began + duration * done - time.monotonic())):
                    return
                if int(done * 100) > percent:
                    percent = int(done * 100)
                    progress(percent)
    except OSError as error:
        raise VmkfstoolsError(NO_SPACE if error.errno == errno.ENOSPC else IO_ERROR) from error


def _steps(source: Reader, duration: float) -> Iterator[tuple[int, int, bool]]:
    """Yield (offset, length, is a hole): pieces small enough for percents, pace and memory."""
    # A step lasts at most 10 ms when paced, so that a halt and the end time are met closely.
    size = source.size
    paced = int(size / (duration * 100)) if duration else CHUNK
    step = max(SECTOR, min(CHUNK, paced))
    jump = max(step, size // 200)
    at = 0
    for start, end in [*source.regions(), (size, size)]:
        yield from _cut(at, start, jump, hole=True)
        yield from _cut(start, end, step, hole=False)
        at = end


def _cut(start: int, end: int, step: int, *, hole: bool) -> Iterator[tuple[int, int, bool]]:
    for offset in range(start, end, step):
        yield offset, min(step, end - offset), hole
