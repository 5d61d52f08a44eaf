"""Which of PowerMax's volumes is a PersistentVolume's, and whether a host can write to it."""

import logging

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.vendors.powermax import names
from populator.storage.vendors.powermax.records import VolumeRecord

log = logging.getLogger(__name__)


def here(place: names.Place, array: str, source: str) -> str:
    """Return the number of a volume on our array; of a metro volume that of its half there."""
    device = dict(place.halves).get(array)
    if device is None:
        arrays = " and ".join(array_id for array_id, _ in place.halves)
        raise StorageError(
            f"The volume {place.name} is on {arrays}, but {names.SYMMETRIX_ID} is {array}.",
            f"Set STORAGE_HOSTNAME and {names.SYMMETRIX_ID} to the array of the volume.",
        )
    if len(place.halves) > 1:
        log.warning(
            "%s is a metro volume: all that is copied to %s is sent to the other array.", place.name, source
        )
    return device


def usable(record: VolumeRecord | None, device: str, name: str, source: str) -> Lun:
    """Return a volume as a LUN; raise where it is another's, or cannot be written to."""
    if record is None:
        raise StorageError(
            f"{source} has no volume {device} ({name}).",
            "The volume was deleted, or STORAGE_HOSTNAME is not the Unisphere of its array.",
        )
    if record.device != device or record.name != name:
        raise StorageError(
            f"{source} has the volume {record.name or 'without a name'} under the number {record.device}, not "
            f"{name} under {device}.",
            "The PersistentVolume's own volume was deleted or renamed, and its number may have been given to "
            "another one. See which one belongs to it.",
        )
    if record.emulation not in {"", "FBA"}:
        raise StorageError(
            f"The volume {name} ({device}) is of the emulation {record.emulation}, not FBA.", names.CSI_HINT
        )
    if record.status not in {"", "Ready"}:
        raise StorageError(
            f"The volume {name} ({device}) is {record.status}, and cannot be written to.",
            "A volume that is the target of a replication has to be made writable first.",
        )
    return Lun(device, name, names.naa(record.wwn, device), record.size)
