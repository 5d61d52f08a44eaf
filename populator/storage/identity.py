"""Whether a volume of the array is the PersistentVolume's: what drivers that know it by id and name have in common."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from populator.errors import StorageError
from populator.storage.array import Volume

GONE = "Check that STORAGE_HOSTNAME is the array of the volume, and that the volume still exists."
RENAMED = "The PersistentVolume's own volume was deleted or renamed. See which one belongs to it."

ELSEWHERE = "Map the datastore to a storage class of the array that it lies on."


class OutOfSight(StorageError):
    """The array shows our user no such volume, and may have it all the same."""


class Named(Protocol):
    """A volume as the array describes it."""

    @property
    def name(self) -> str:
        """Its name there."""


Record = TypeVar("Record", bound=Named)


def only_named(array: str, name: str, records: Iterable[Record], hint: str) -> Record:
    """Return the one volume of exactly this name; raise without one, and where there are several."""
    exact = [record for record in records if record.name == name]
    if len(exact) != 1:
        raise StorageError(
            f"{array} has {len(exact) or 'no'} volumes {name}, and the handle holds no id.", hint
        )
    return exact[0]


def not_here(array: str, device: str, kind: type[StorageError] = StorageError) -> StorageError:
    """Return the error for a device of hosts that is none of this array's volumes."""
    return kind(f"{array} has no volume that hosts see as {device}.", ELSEWHERE)


def misnamed(array: str, name: str, key: object, wanted: str) -> StorageError:
    """Return the error for a volume of the right id that has another name than the PersistentVolume says."""
    return StorageError(f"{array} has the volume {name} under the id {key}, not {wanted}.", RENAMED)


def untraceable(volume: Volume, hint: str) -> StorageError:
    """Return the error for a PersistentVolume that says neither the id nor the name of its volume."""
    return StorageError(
        f"The volume {volume.name!r} has neither an id in its handle {volume.handle!r} nor the attribute Name, "
        "which lead to it on the array.",
        hint,
    )
