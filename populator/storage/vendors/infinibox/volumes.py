"""Which of an InfiniBox's volumes is a PersistentVolume's, and whether it can be copied onto."""

import logging

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.identity import GONE, misnamed, only_named
from populator.storage.vendors.infinibox import names
from populator.storage.vendors.infinibox.client import Client
from populator.storage.vendors.infinibox.records import VolumeRecord

log = logging.getLogger(__name__)


def find(client: Client, place: names.Place) -> Lun:
    """Return the one volume of a place; raise where it is another's, or cannot be written to."""
    if place.id is None:
        record = only_named(client.name, place.name, client.volumes_with("name", place.name), names.CSI_HINT)
    else:
        record = _by_id(client, place.id)
    if place.name not in {"", record.name}:
        raise misnamed(client.name, record.name, record.id, place.name)
    if record.kind != "MASTER" or record.write_protected:
        reason = (
            "is write-protected"
            if record.kind == "MASTER"
            else f"is a {record.kind.lower() or 'volume of no type'}"
        )
        raise StorageError(
            f"The volume {record.name} {reason}, and nothing is copied onto it.",
            "Start the migration again with a new PersistentVolumeClaim, without a data source.",
        )
    device = names.device(record.serial, record.name)
    if names.id_in(record.serial.lower()) != record.id:
        log.warning(
            "the serial number %s of the volume %s is not of its id %d, as if it had moved here from another array",
            record.serial,
            record.name,
            record.id,
        )
    return Lun(str(record.id), record.name, device, record.size)


def _by_id(client: Client, key: int) -> VolumeRecord:
    record = client.volume(key)
    if record is None or record.id != key:
        raise StorageError(f"{client.name} has no volume of the id {key}.", GONE)
    return record
