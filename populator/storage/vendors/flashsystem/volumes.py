"""Which of the array's volumes is a PersistentVolume's, and whether it can be given to a host and taken away again."""

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.identity import GONE, RENAMED
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import Client
from populator.storage.vendors.flashsystem.records import SystemRecord, VolumeRecord


class Volumes:
    """The volumes, as the array has them now."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def find(self, place: names.Place, system: SystemRecord) -> Lun:
        """Return the one volume of a place; raise where it is another's, or cannot be used."""
        record = self._record(place)
        if (place.id or record.id, place.name or record.name) != (record.id, record.name):
            wanted = f"{place.name or 'of any name'} under the id {place.id or 'that it has'}"
            raise StorageError(
                f"{self._client.name} has {place.uid} as the volume {record.name} under the id {record.id}, not "
                f"{wanted}.",
                RENAMED,
            )
        if record.status == "offline" and not self._by_our_copy(record):
            raise StorageError(f"The volume {record.name} is offline.", "Bring it online on the array.")
        self._refuse_protected(record, system)
        return Lun(record.id, record.name, names.device(place.uid), record.size)

    def _record(self, place: names.Place) -> VolumeRecord:
        records = self._client.volumes(place.uid)
        if len(records) == 1:
            return records[0]
        if records:
            raise StorageError(f"{self._client.name} has {len(records)} volumes {place.uid}.", names.CSI_HINT)
        if self._client.volumes(names.nguid(place.uid)):
            raise StorageError(
                f"The volume {place.uid} is mapped to hosts by NVMe; ESXi could not see it by FC or iSCSI.",
                "Unmap it from them, or use a storage class for iSCSI or Fibre Channel.",
            )
        raise StorageError(
            f"{self._client.name} has no volume {place.uid} ({place.name or 'of an unknown name'}).",
            GONE,
        )

    def _by_our_copy(self, record: VolumeRecord) -> bool:
        """Return whether a volume may be offline for a copy of ours that was stopped, which ends with its mapping."""
        return any(copy.ours for copy in self._client.flash_copies(record.id))

    def _refuse_protected(self, record: VolumeRecord, system: SystemRecord) -> None:
        if system.protects and (not record.pool.isdecimal() or self._client.is_protected(record.pool)):
            raise StorageError(
                f"{self._client.name} protects its volumes: {record.name} could not be unmapped after the copy.",
                "Turn vdisk protection off, for the volume's pool (chmdiskgrp -vdiskprotectionenabled no) or for all "
                "(chsystem -vdiskprotectionenabled no).",
            )
