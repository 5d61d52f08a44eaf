"""The request for a copy: made of the volumes that are meant, and again where its answer was lost."""

from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import CannotCopy
from populator.storage.failures import Refused, Unanswered
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.client import PERMISSION_DENIED, Client, VolumeRecord
from populator.storage.vendors.hpe.session import EXPIRED, WRONG_PASSWORD

NO_RIGHT = {PERMISSION_DENIED, WRONG_PASSWORD, EXPIRED}
"""codes of refusals that are not about the volumes"""
AGAIN = "Start the migration again with a new PersistentVolumeClaim."


@dataclass
class Attempt:
    """The request for a copy, made again where its answer was lost."""

    source: Lun
    target: Lun
    unsure: bool = False
    """whether one that was made may have been heard"""

    def start(self, client: Client) -> str:
        """Make it, and return the task."""
        try:
            return str(client.start_copy(self.source.name, self.target.name))
        except Unanswered:
            self.unsure = True
            raise
        except Refused as refusal:
            self.unsure |= refusal.passing
            if refusal.code in NO_RIGHT or refusal.passing:
                raise
            if not self.unsure:
                raise CannotCopy(refusal.text) from refusal
            refusal.passing = True  # it may collide with the one before it, which is to be looked for
            raise


def check_identity(volume: VolumeRecord, lun: Lun) -> None:
    """Raise where a LUN's name is another volume's by now."""
    if names.naa(volume.wwn, volume.name) != lun.device:
        raise StorageError(
            f"The volume {lun.name} is {volume.wwn} now, and was {lun.device}: the name was given to another one.",
            AGAIN,
        )
