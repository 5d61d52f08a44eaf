"""`vmkfstools -i <vmdk> -d rdm:<device> <rdm file>`: copies real bytes of a flat VMDK onto a LUN.

Knows the descriptor, the bytes and the pace, and the words in which the real tool fails; knows nothing of
tasks or of the host. Constant memory; holes cost no time but become zeros on the LUN. Error numbers are
DISKLIB's: a low byte of 9 is an I/O error whose errno stands in the upper half.
The wording of `TOO_SMALL` and `NO_DEVICE` was not seen on a real host; the others are often quoted.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.san import CHUNK, LunFile, data_regions

SECTOR = 512
FAILURE = 255
"""exit code of every failing vmkfstools"""
LOCKED = "Failed to open '{path}': Failed to lock the file (16392)."
NOT_FOUND = "Failed to open '{path}': The system cannot find the file specified (25)."
NOT_A_DISK = "Failed to open '{path}': The file specified is not a virtual disk (15)."
EXISTS = "Failed to clone disk: The file already exists (39)."
TOO_SMALL = "Failed to clone disk: The destination device is smaller than the source disk."
NO_DEVICE = "Failed to clone disk: No such file or directory (131081)."
NO_SPACE = "Failed to clone disk: No space left on device (1835017)."
IO_ERROR = "Failed to clone disk: Input/output error (327689)."
_EXTENT = re.compile(r'^RW (\d+) (\w+) "(.+)"(?: \d+)?\s*$', re.MULTILINE)


class VmkfstoolsError(Exception):
    """The tool ends with exit code 255 and this text on stderr."""


@dataclass(frozen=True)
class Extent:
    """A flat file with the disk's bytes."""

    path: Path
    size: int


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


def parse_descriptor(path: Path, shown: str) -> Extent:
    """Return the one flat extent that a VMFS descriptor names; `shown` is the path to use in messages."""
    try:
        head = path.read_bytes()[: 64 << 10]
    except OSError:
        raise VmkfstoolsError(NOT_FOUND.format(path=shown)) from None
    match = _EXTENT.search(head.decode(errors="replace"))
    if not head.startswith(b"# Disk DescriptorFile") or not match or match[2] != "VMFS":
        raise VmkfstoolsError(NOT_A_DISK.format(path=shown))
    extent = Extent(path.with_name(match[3]), int(match[1]) * SECTOR)
    if not extent.path.exists():
        raise VmkfstoolsError(NOT_FOUND.format(path=shown))
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
    fd = os.open(extent.path, os.O_RDONLY)
    try:
        for offset, length, hole in _steps(fd, extent.size, duration):
            before_write()
            if halt.is_set():
                return
            if hole:
                lun.zero(offset, length)
            else:
                lun.write(offset, os.pread(fd, length, offset))
            done = (offset + length) / extent.size
            if halt.wait(max(0.0, began + duration * done - time.monotonic())):
                return
            if int(done * 100) > percent:
                percent = int(done * 100)
                progress(percent)
    except OSError as error:
        raise VmkfstoolsError(NO_SPACE if error.errno == errno.ENOSPC else IO_ERROR) from error
    finally:
        os.close(fd)


def _steps(fd: int, size: int, duration: float) -> Iterator[tuple[int, int, bool]]:
    """Yield (offset, length, is a hole): pieces small enough for percents, pace and memory."""
    # A step lasts at most 10 ms when paced, so that a halt and the end time are met closely.
    paced = int(size / (duration * 100)) if duration else CHUNK
    step = max(SECTOR, min(CHUNK, paced))
    jump = max(step, size // 200)
    at = 0
    for start, end in [*data_regions(fd, 0, size), (size, size)]:
        yield from _cut(at, start, jump, hole=True)
        yield from _cut(start, end, step, hole=False)
        at = end


def _cut(start: int, end: int, step: int, *, hole: bool) -> Iterator[tuple[int, int, bool]]:
    for offset in range(start, end, step):
        yield offset, min(step, end - offset), hole
