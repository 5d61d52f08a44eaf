"""Which of an InfiniBox's volumes is a PersistentVolume's, and whether it can be copied onto."""

import logging

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.vendors.infinibox import names
from populator.storage.vendors.infinibox.client import Client
from populator.storage.vendors.infinibox.records import VolumeRecord

log = logging.getLogger(__name__)


def find(client: Client, place: names.Place) -> Lun:
    """Return the one volume of a place; raise where it is another's, or cannot be written to."""
    record = _by_name(client, place.name) if place.id is None else _by_id(client, place.id)
    if place.name not in {"", record.name}:
        raise StorageError(
            f"{client.name} has the volume {record.name} under the id {record.id}, not {place.name}.",
            "The PersistentVolume's own volume was deleted or renamed. See which one belongs to it.",
        )
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
        raise StorageError(
            f"{client.name} has no volume of the id {key}.",
            "Check that STORAGE_HOSTNAME is the array of the volume, and that the volume still exists.",
        )
    return record


def _by_name(client: Client, name: str) -> VolumeRecord:
    records = [record for record in client.volumes_named(name) if record.name == name]
    if len(records) != 1:
        raise StorageError(
            f"{client.name} has {len(records) or 'no'} volumes {name}, and the handle holds no id.",
            names.CSI_HINT,
        )
    return records[0]
