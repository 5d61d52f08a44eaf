"""How a FlashCopy mapping is made and started: what an earlier try may have done is looked for first.

Between the two nothing is copied yet, and the mapping holds its volumes, so then it is certain which ones they are.
"""

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import CannotCopy
from populator.storage.failures import Refused
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import NOT_ALLOWED, Client
from populator.storage.vendors.flashsystem.records import (
    IDLE,
    PREPARED,
    STOPPED,
    STOPPING,
    UNDER_WAY,
    FlashCopyRecord,
)


class CopyStart:
    """See the module."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def run(self, source: Lun, target: Lun) -> FlashCopyRecord:
        """Return the mapping, at work; may be repeated."""
        record = self._listed(source, target)
        if record and record.status == IDLE and record.progress == 100:
            self.delete(record)  # or its 100 % could be taken for the new copy's
            record = None
        record = record or self._make(source, target)
        if record.status in UNDER_WAY:
            return record
        if record.status in {STOPPING, STOPPED}:
            raise StorageError(
                f"The FlashCopy mapping {record.name} is {record.status} at {record.progress} %.",
                "See the array's event log, and start the migration again.",
            )
        self._check_the_same(source, target)
        return self._start(record)

    def delete(self, record: FlashCopyRecord) -> None:
        """Delete an idle mapping, and no other: the array refuses that of one at work."""
        try:
            self._client.delete_flash_copy(record.name)
        except Refused as refusal:
            if refusal.passing or self._client.flash_copy(record.copy):
                raise

    def _listed(self, source: Lun, target: Lun) -> FlashCopyRecord | None:
        """Return the mapping of this copy; raise where the target is in another one."""
        for record in self._client.flash_copies(target.id):
            if record.source == source.id and (record.status != IDLE or record.ours):
                return record
            text = f"{target.name} is the target of the FlashCopy mapping {record.name}, which is {record.status}."
            if record.status == IDLE:
                raise CannotCopy(text)
            raise StorageError(text, "Start the migration again when it has come to its end.")
        return None

    def _make(self, source: Lun, target: Lun) -> FlashCopyRecord:
        refusal: Refused | None = None
        try:
            self._client.create_flash_copy(names.flash_copy(source.id, target.id), source.id, target.id)
        except Refused as error:
            if error.passing:
                raise
            refusal = error
        if record := self._listed(source, target):
            return record
        if refusal:
            raise _explained(refusal) from refusal
        raise StorageError(
            f"{self._client.name} made a FlashCopy mapping that it does not list.",
            "Start the migration again.",
        )

    def _check_the_same(self, source: Lun, target: Lun) -> None:
        """Raise where the ids by which the mapping was made are other volumes' now."""
        for lun in (source, target):
            ids = [record.id for record in self._client.volumes(names.uid_of(lun.device))]
            if ids != [lun.id]:
                raise StorageError(
                    f"The volume {lun.device} has the id {', '.join(ids) or 'of none'} now, and not {lun.id}.",
                    "It was deleted meanwhile, or mapped to hosts by NVMe. Start the migration again.",
                )

    def _start(self, record: FlashCopyRecord) -> FlashCopyRecord:
        """Start the mapping; where that is refused it may be at work, or was not touched."""
        try:
            self._client.start_flash_copy(record.name, prepare=record.status != PREPARED)
        except Refused as refusal:
            if refusal.passing:
                raise
            now = self._client.flash_copy(record.copy)
            if now and (now.status in UNDER_WAY or now.progress == 100):
                return now
            if now and now.status == IDLE:
                self.delete(now)
                raise _explained(refusal) from refusal
            raise
        return record


def _explained(refusal: Refused) -> StorageError:
    """Return that something else has to copy, where the array gives a reason of its own."""
    if refusal.code in {"", NOT_ALLOWED}:
        return refusal
    return CannotCopy(refusal.text, refusal.hint)
