"""Which of PowerStore's volumes is a PersistentVolume's, and whether a host can write to it."""

import logging
from functools import cached_property

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.identity import GONE, misnamed, only_named
from populator.storage.vendors.powerstore import names
from populator.storage.vendors.powerstore.client import Client
from populator.storage.vendors.powerstore.records import VolumeRecord

log = logging.getLogger(__name__)


class Volumes:
    """The volumes, as the array has them now."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def find(self, place: names.Place) -> Lun:
        """Return the one volume of a place; raise where it is another's, or cannot be used."""
        record = self._by_id(place) if place.halves else self._by_name(place.name)
        if place.name not in {"", record.name}:
            raise misnamed(self._client.name, record.name, record.id, place.name)
        return _usable(record)

    @cached_property
    def _global_id(self) -> str:
        return self._client.global_id()

    def _by_id(self, place: names.Place) -> VolumeRecord:
        key, where = self._half(place)
        records = [record for record in self._client.volumes("id", key) if record.id == key]
        if len(records) != 1:
            raise StorageError(
                f"{self._client.name} has no volume {key} ({place.name or 'of an unknown name'}), which its "
                f"handle places on {where or 'an array it does not name'}.",
                GONE,
            )
        return records[0]

    def _half(self, place: names.Place) -> tuple[str, str]:
        """Return the volume; of a metro volume, which is one on each of two arrays, the one that is here."""
        if len(place.halves) == 1:
            return place.halves[0]
        for half in place.halves:
            if half[1] == self._global_id:
                log.warning(
                    "%s is a metro volume: all that is copied is sent to the other array, too.", place.name
                )
                return half
        arrays = " and ".join(array for _, array in place.halves)
        raise StorageError(
            f"The metro volume {place.name} is on {arrays}, but {self._client.name} is {self._global_id}.",
            "Set STORAGE_HOSTNAME to one of these two arrays.",
        )

    def _by_name(self, name: str) -> VolumeRecord:
        return only_named(self._client.name, name, self._client.volumes("name", name), names.CSI_HINT)


def _usable(record: VolumeRecord) -> Lun:
    """Refuse what cannot be attached, or written to."""
    reason = ""
    if record.kind == "Snapshot":
        reason = "is a snapshot"
    elif record.state != "Ready":
        reason = f"is {record.state or 'in an unknown state'}, not Ready"
    elif record.is_destination:
        reason = "is the destination of a replication, and read-only"
    elif record.is_metro and not record.is_available:
        reason = "is a metro volume that hosts cannot reach on this array at the moment"
    if reason:
        raise StorageError(f"The volume {record.name} {reason}.", "Look at the volume in PowerStore Manager.")
    if not names.DEVICE.fullmatch(record.wwn):
        raise StorageError(
            f"The volume {record.name} has the name {record.wwn!r}, by which its device is not known.",
            names.CSI_HINT,
        )
    return Lun(record.id, record.name, record.wwn, record.size)
