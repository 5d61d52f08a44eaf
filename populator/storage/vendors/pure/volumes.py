"""Which of the volumes that a FlashArray shows is the wanted one, and whether it can be copied onto."""

from collections.abc import Sequence

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.vendors.pure import names
from populator.storage.vendors.pure.client import VolumeRecord


def choose(records: Sequence[VolumeRecord], wanted: names.Wanted, array: str) -> VolumeRecord:
    """Return the one volume; raise when none or several match, or the one is destroyed. `array` names it in errors."""
    matching = [record for record in records if record.id == wanted.id or wanted.is_named(record.name)]
    live = [record for record in matching if not record.destroyed]
    if len(live) == 1:
        return live[0]
    if live:
        listed = ", ".join(sorted(f"{record.name} ({record.id})" for record in live))
        raise StorageError(
            f"{array} has {len(live)} volumes for {wanted}: {listed}.",
            "Id and name of a volume must agree, and only one may have them: look which one is the "
            "PersistentVolume's, and destroy or rename the others.",
        )
    if matching:
        raise StorageError(
            f"{array} has destroyed the volume {matching[0].name}.",
            "Recover it on the array, or start the migration again with a new one.",
        )
    raise StorageError(f"{array} has no volume {wanted}.", names.CSI_HINT)


def usable(record: VolumeRecord, wanted: names.Wanted) -> Lun:
    """Return the volume as a LUN; raise where it is another PersistentVolume's, or cannot be written to."""
    if not wanted.may_be_named(record.name):
        raise StorageError(
            f"The volume with the id {record.id} is {record.name}, which belongs to another PersistentVolume.",
            "The handle of the PersistentVolume names a stranger's volume: look which one is its own.",
        )
    if record.kind != "regular":
        raise StorageError(
            f"{record.name} is a volume of the subtype {record.kind}, which holds no data.", names.CSI_HINT
        )
    if not record.writable:
        raise StorageError(
            f"The volume {record.name} is read-only: it, or the pod that it is in, is demoted.",
            "Promote the pod on this array, or set STORAGE_HOSTNAME to the array where it is promoted.",
        )
    return Lun(record.id, record.name, names.naa(record.serial), record.size)
