"""What both stories begin with: what a run that died may still have the array do, and the volume's LUN."""

import logging

from populator import log
from populator.errors import StorageError
from populator.report.run import Report
from populator.storage.array import Lun, StorageArray, Volume
from populator.storage.copies import CopyingArray
from populator.stories.parts import Writing
from vsphere.model import SourceDisk

logger = logging.getLogger(__name__)


def find_lun(disk: SourceDisk, volume: Volume, array: StorageArray, report: Report) -> Lun:
    """Return the volume's LUN; raise when the disk does not fit onto it."""
    report.array(array.info())
    lun = array.find_lun(volume)
    log.about(lun=lun.device)
    check_size(disk, lun)
    return lun


def check_size(disk: SourceDisk, lun: Lun) -> None:
    """Raise when a disk does not fit onto a LUN."""
    if lun.size < disk.capacity:
        raise StorageError(
            f"LUN {lun.name} has {lun.size} bytes, {disk.capacity - lun.size} less than disk {disk.path}.",
            f"Give the PersistentVolumeClaim at least {disk.capacity} bytes and start the migration again.",
        )


def end_dead_copies(array: CopyingArray | None, volume: Volume, writing: Writing) -> None:
    """End what a run that died has the array copy onto the volume, by what the volume's Lease says of it.

    Whoever writes next would write at the same time; and the source may have changed since.
    """
    if not (array and writing.copying):
        return
    lun = array.find_lun(volume)
    for copy in array.copies_onto(lun):
        if copy.source == writing.copying:
            logger.warning(
                "ending the copy by the array that an earlier run has left on its way onto %s", lun.name
            )
            array.end_copy(copy)
    writing.copy_ended()
