"""Copies by the FlashArray itself: a volume takes the content of another one at once, by its metadata.

The one call names the source only as what is read. The target keeps its id, serial number, name and connections.
Whether it keeps its size is not certain of each version of Purity, so that is given back where it has changed.
"""

from collections.abc import Sequence
from functools import partial

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import Backing, CannotCopy, Copy, Progress
from populator.storage.repeat import Repeat
from populator.storage.vendors.pure import names
from populator.storage.vendors.pure.client import Client
from vsphere.model import DiskKind

COMPLETE = Progress(100, complete=True)


class Copies:
    """See the module."""

    def __init__(self, client: Client, repeat: Repeat) -> None:
        self._client = client
        self._repeat = repeat

    def find_source(self, backing: Backing) -> Lun:
        """Return the volume of a vVol by the tag that VASA gave it, of a mapped device by its serial number."""
        by_tag = backing.kind == DiskKind.VVOL
        wanted = self._owner(backing) if by_tag else self._serial(backing)
        query = names.with_id(wanted) if by_tag else names.with_serial(wanted)
        volumes = self._repeat.read(partial(self._client.volumes, query))
        live = [each for each in volumes if wanted in {each.id, each.serial.upper()} and not each.destroyed]
        if len(live) != 1:
            raise CannotCopy(f"{self._client.name} has {len(live) or 'no'} volumes for the {backing}.")
        if live[0].kind != "regular":
            raise CannotCopy(f"The volume {live[0].name} of the {backing} is a {live[0].kind}.")
        return Lun(live[0].id, live[0].name, names.naa(live[0].serial), live[0].size)

    def copies_onto(self, target: Lun) -> Sequence[Copy]:  # noqa: ARG002 - there never is one
        """Return none: what is copied at once is not under way."""
        return ()

    def begin(self, source: Lun, target: Lun) -> Copy:
        """Copy, and see that the target has the size it had."""
        self._repeat.write(partial(self._overwrite, source, target))
        return Copy("", source.id, target.id)

    def _overwrite(self, source: Lun, target: Lun) -> None:
        """Copy; to do so again changes nothing. Names may be given to others, so ids are what is compared."""
        written = self._client.overwrite(target.name, source.name)
        if written.id != target.id:
            raise StorageError(
                f"{self._client.name} has copied onto the volume {written.id}, which was given the name {target.name} "
                f"while this run was at work; the PersistentVolume's is {target.id}.",
                "Look at both volumes: what was overwritten can be recovered there for 24 hours.",
            )
        if written.size != target.size:
            self._client.resize(target.name, target.size)

    def _owner(self, backing: Backing) -> str:
        """Return the id of the volume that has a vVol's tag."""
        value = backing.id.removeprefix("vvol:")
        if not names.NAME.fullmatch(value):
            raise CannotCopy(f"{backing.id!r} is no id of a vVol that a FlashArray could be asked for.")
        owners = self._repeat.read(partial(self._client.tagged_as_vvol, value))
        if len(owners) != 1:
            raise CannotCopy(
                f"{self._client.name} has {len(owners) or 'no'} volumes with the tag of the {backing}."
            )
        return owners.pop()

    def _serial(self, backing: Backing) -> str:
        """Return the serial number of a mapped device."""
        serial = names.serial_of(backing.id)
        if not serial:
            raise CannotCopy(f"The {backing} is not of a FlashArray.")
        return serial
