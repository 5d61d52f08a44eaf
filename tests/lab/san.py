"""The storage network: sparse files as LUNs, and which initiator sees which LUN under which id.

One `San` is shared by array simulators, which map and unmap, and by ESXi simulators, which look at it when
they rescan and read and write the bytes. Nothing here belongs to a vendor: names of groups are only labels,
and no rule of an array (LUN ids, protocols, number of groups) is enforced. All methods may be called from
any thread. Not persistent: a new San forgets mappings, though the files stay.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

CHUNK = 1 << 20


@dataclass(frozen=True)
class Mapping:
    """A LUN presented to initiators under a LUN id, by one group of an array."""

    initiators: frozenset[str]
    lun_id: int


class LunFile:
    """The bytes of one LUN; writing past a fault's first byte fails as the kernel would say it."""

    def __init__(self, naa: str, size: int, path: Path, vendor: str, model: str) -> None:
        self.naa, self.size, self.path = naa, size, path
        self.vendor, self.model = vendor, model
        self.full_from: int | None = None
        self.failing_from: int | None = None
        self.bytes_written = 0
        self.writers: list[str] = []
        """who copies onto the LUN now, on whatever host; kept by the hosts"""

    def write(self, offset: int, data: bytes) -> None:
        """Write; with a fault set, write what fits before it and raise OSError (ENOSPC or EIO)."""
        end, code = self._limit(offset, len(data))
        fd = os.open(self.path, os.O_WRONLY)
        try:
            os.pwrite(fd, data[: max(0, end - offset)], offset)
        finally:
            os.close(fd)
        self._account(offset, end, code)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros; holes stay holes, so that sparse LUNs cost nothing."""
        end, code = self._limit(offset, length)
        fd = os.open(self.path, os.O_WRONLY)
        try:
            for start, stop in data_regions(fd, offset, end):
                for at in range(start, stop, CHUNK):
                    os.pwrite(fd, bytes(min(CHUNK, stop - at)), at)
        finally:
            os.close(fd)
        self._account(offset, end, code)

    def resize(self, size: int) -> None:
        """Give it another size; what is new reads as zeros."""
        os.truncate(self.path, size)
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _limit(self, offset: int, length: int) -> tuple[int, int]:
        limits = [(offset + length, 0), (self.size, errno.ENOSPC)]
        if self.full_from is not None:
            limits.append((self.full_from, errno.ENOSPC))
        if self.failing_from is not None:
            limits.append((self.failing_from, errno.EIO))
        return min(limits)

    def _account(self, offset: int, end: int, code: int) -> None:
        self.bytes_written += max(0, end - offset)
        if code:
            raise OSError(code, os.strerror(code), self.naa)


def data_regions(fd: int, start: int, end: int) -> Iterable[tuple[int, int]]:
    """Yield the ranges within [start, end) that hold data; the rest are holes."""
    at = start
    while at < end:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end of the file
                return
            raise
        if data >= end:
            return
        at = min(os.lseek(fd, data, os.SEEK_HOLE), end)
        yield data, at


@dataclass
class San:
    """All LUNs of the lab, and their mappings."""

    directory: Path
    luns: dict[str, LunFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._mappings: dict[str, dict[str, Mapping]] = {}
        self._watchers: list[Callable[[str], None]] = []
        self.directory.mkdir(parents=True, exist_ok=True)

    def create_lun(self, naa: str, size: int, vendor: str = "LAB", model: str = "LUN") -> LunFile:
        """Create a sparse LUN; `vendor` and `model` are what ESXi shows of it. The name must be new."""
        with self._lock:
            if naa in self.luns:
                raise ValueError(f"there is a LUN {naa} already")
            path = self.directory / naa
            with path.open("wb") as file:
                file.truncate(size)
            self.luns[naa] = LunFile(naa, size, path, vendor, model)
            return self.luns[naa]

    def delete_lun(self, naa: str) -> None:
        """Remove a LUN, its mappings and its bytes."""
        with self._lock:
            lun, groups = self.lun(naa), list(self._mappings.get(naa, ()))
        for via in groups:
            self.unmap(naa, via)
        with self._lock:
            del self.luns[naa]
        lun.path.unlink()

    def lun(self, naa: str) -> LunFile:
        """Return a LUN; KeyError if there is none of that name."""
        with self._lock:
            return self.luns[naa]

    def map(self, naa: str, initiators: Iterable[str], lun_id: int, via: str) -> None:
        """Present a LUN; mapping again through the same group replaces what was there.

        Initiators are IQNs in lower case or WWPNs as 16 lower-case hex digits.
        """
        mapping = Mapping(frozenset(initiators), lun_id)
        with self._lock:
            before = self.seers(naa)
            self._mappings.setdefault(self.lun(naa).naa, {})[via] = mapping
            lost = before - self.seers(naa)
        if lost:
            self._tell(naa)

    def unmap(self, naa: str, via: str) -> None:
        """Stop presenting a LUN through one group; harmless if it was not."""
        with self._lock:
            gone = self._mappings.get(naa, {}).pop(via, None)
        if gone:
            self._tell(naa)

    def set_initiators(self, via: str, initiators: Iterable[str]) -> None:
        """Change who is in a group, for all LUNs mapped through it."""
        new = frozenset(initiators)
        with self._lock:
            changed = [naa for naa, groups in self._mappings.items() if via in groups]
            for naa in changed:
                self._mappings[naa][via] = replace(self._mappings[naa][via], initiators=new)
        for naa in changed:
            self._tell(naa)

    def mappings(self, naa: str) -> dict[str, Mapping]:
        """Return the LUN's mappings by group."""
        with self._lock:
            return dict(self._mappings.get(naa, {}))

    def seers(self, naa: str) -> frozenset[str]:
        """Return the initiators to which the LUN is presented."""
        return frozenset().union(*(m.initiators for m in self.mappings(naa).values()))

    def seen_by(self, initiators: Iterable[str]) -> dict[str, int]:
        """Return naa -> LUN id of all that is presented now to any of these initiators."""
        wanted = frozenset(initiators)
        with self._lock:
            return {
                naa: mapping.lun_id
                for naa, groups in self._mappings.items()
                for mapping in groups.values()
                if mapping.initiators & wanted
            }

    def set_fault(self, naa: str, *, full_from: int | None = None, failing_from: int | None = None) -> None:
        """Let writes from a byte on fail: thin LUN without space, or I/O error. None ends the fault."""
        lun = self.lun(naa)
        lun.full_from, lun.failing_from = full_from, failing_from

    def subscribe(self, lost: Callable[[str], None]) -> None:
        """Have `lost(naa)` called after each change by which somebody may see a LUN no longer."""
        with self._lock:
            self._watchers.append(lost)

    def _tell(self, naa: str) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(naa)
