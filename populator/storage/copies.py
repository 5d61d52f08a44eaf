"""Copies by the array itself: one of its volumes onto another, with no host involved.

The contract of drivers whose row in `registry` says that their arrays can do it, beside that of `array`;
`tests/contract/storage/test_copies.py` holds them to this page. What a driver promises above all: the source is never
written to, by construction, since no call is made in which the array could write to it; and nothing but the target is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from populator.errors import StorageError
from populator.storage.array import Lun, StorageArray
from populator.storage.identity import ELSEWHERE
from vsphere.model import DiskKind, SourceDisk

NAA = re.compile(r"naa\.[0-9a-f]{32}")
VML = re.compile(r"vml\.02[0-9a-f]{8}(?P<naa>[0-9a-f]{32})([0-9a-f]{2})*")
"""type 2, a LUN by its NAA: five bytes of header, the NAA's sixteen, and the name of the model"""


class CannotCopy(StorageError):
    """The array cannot copy this disk by itself, and has changed nothing: what else can copy it may."""


class EndUnclear(StorageError):
    """The array copies nothing any more, and does not say whether all was copied: what else can copy it may, anew."""


@dataclass(frozen=True)
class Backing:
    """What a disk is on its array."""

    kind: DiskKind
    """a vVol or a raw device mapping"""
    id: str
    """in lower case: a vVol's id as vSphere has it (`rfc4122.…`, `naa.…`, `vvol:…`); a mapped device's `naa.…`"""

    def __str__(self) -> str:
        """Return it for people."""
        return f"{'vVol' if self.kind == DiskKind.VVOL else 'device'} {self.id}"


@dataclass(frozen=True)
class Copy:
    """A copy of one LUN onto another, under way on the array."""

    id: str
    """the array's: of a task, a pair, a FlashCopy mapping"""
    source: str
    """the LUN's id, as `Lun` has it"""
    target: str


@dataclass(frozen=True)
class Progress:
    """How far a copy is."""

    percent: int
    """as the array reports it"""
    complete: bool
    """whether the target has all bytes and no longer depends on the source"""


class CopyingArray(StorageArray, Protocol):
    """An array that copies by itself."""

    def find_source(self, backing: Backing) -> Lun:
        """Return the volume that a disk is; raise `CannotCopy` where this array has none, or none for certain.

        Only reads. Its size is what would be copied.
        """

    def copies_onto(self, target: Lun) -> Sequence[Copy]:
        """Return the copies onto a LUN that have not come to their end, whoever began them. Only reads."""

    def begin_copy(self, source: Lun, target: Lun) -> Copy:
        """Overwrite the target with the source's bytes of this moment, and return as soon as that is under way.

        Raises `CannotCopy` where the array refuses it as such, for the kinds or sizes of the two. May be repeated after
        `end_copy`, and by itself where an answer is lost: the copy that is under way is the one returned. On arrays
        that copy at once it is complete when this returns.
        """

    def progress(self, copy: Copy) -> Progress:
        """Return how far a copy is; raise when it has failed, or somebody has ended it.

        Raises `EndUnclear` where that cannot be told from its having come to its end. Asked for again and again, since
        a driver may have to judge the end by what it saw before.
        """

    def end_copy(self, copy: Copy) -> None:
        """End a copy; return only when it is certain that the array writes to the target no longer.

        Harmless when it has come to its end. What is left of it on the array (a pair, a mapping) is removed.
        """


def name_of_source(array: CopyingArray, device: str) -> str:
    """Return the name of the volume that is a device of hosts: what `find_device` promises."""
    try:
        return array.find_source(Backing(DiskKind.RDM, device)).name
    except CannotCopy as error:
        raise StorageError(error.text, error.hint or ELSEWHERE) from error


def backing_of(disk: SourceDisk) -> Backing:
    """Return what a disk is on its array, by the link that is to be copied: each may have a vVol of its own."""
    if disk.kind == DiskKind.RDM:
        return Backing(DiskKind.RDM, device_of(disk.backing))
    return Backing(disk.kind, disk.backing.lower())


def device_of(name: str) -> str:
    """Return the device name (`naa.…`) in the name that a raw device mapping has for it; raise `CannotCopy`."""
    lower = name.lower()
    if NAA.fullmatch(lower):
        return lower
    if match := VML.fullmatch(lower):
        return f"naa.{match['naa']}"
    raise CannotCopy(
        f"The raw device mapping is of {name!r}, which has no NAA that an array could be asked for."
    )
