"""Which LDEV a disk is, by what vSphere calls it.

A device's name, and a vVol's id, have the array in them and end with the LDEV's number: a hint, not more. An LDEV of a
virtual storage machine is named by its virtual number, and five digits of a number do not fit. So it is the array that
has to say that an LDEV has that name. Of a vVol it says none, as no host group sees it: there the array's own digits in
the id have to be those which it names its other LDEVs by, and the LDEV has to be a vVol (`SLU`), whichever it is.
"""

from functools import partial

from populator.storage.array import Lun
from populator.storage.copies import Backing, CannotCopy
from populator.storage.repeat import Repeat
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.client import Client, Ldev, unusable
from vsphere.model import DiskKind

VVOL = "SLU"
"""subsidiary logical unit; those that hosts reach them by, protocol endpoints, are administrative ones"""
SHARING = {"DRS", "VC", "VCP"}
"""volumes that share reduced data: the array can only make virtual clones of them, which depend on their source"""


class Sources:
    """See the module."""

    def __init__(self, client: Client, repeat: Repeat) -> None:
        self._client = client
        self._repeat = repeat

    def find(self, backing: Backing) -> Lun:
        """Return the LDEV of a backing; raise `CannotCopy` where it is none of this array for certain."""
        naa = names.naa_in(backing.id)
        if not naa:
            raise CannotCopy(f"The {backing} is not named as Hitachi's arrays name what they have.")
        ldev = self._of_vvol(naa) if backing.kind == DiskKind.VVOL else self._of_device(naa)
        if ldev is None:
            raise CannotCopy(f"{self._client.name} has no LDEV that is the {backing} for certain.")
        check_copyable(ldev)
        return Lun(str(ldev.id), names.lun_name(ldev.label, ldev.id), f"naa.{naa}", ldev.size)

    def _of_device(self, naa: str) -> Ldev | None:
        return self._numbered(naa) or self._repeat.read(partial(self._search, naa))

    def _numbered(self, naa: str) -> Ldev | None:
        """Return the LDEV whose number the name ends with, if the array calls it so."""
        ldev = self._at_end_of(naa)
        return ldev if ldev and ldev.naa.lower() == naa else None

    def _at_end_of(self, naa: str) -> Ldev | None:
        number = names.number_in(naa)
        if number > names.HIGHEST_LDEV:
            return None
        ldev = self._repeat.read(partial(self._client.ldev, number))
        return ldev if ldev.defined else None

    def _search(self, naa: str) -> Ldev | None:
        """Return the one LDEV that the array calls so, among all that hosts see; lists may not say what it does."""
        number = names.number_in(naa)
        same = [
            seen.id
            for seen in self._client.seen_ldevs()
            if seen.naa.lower() == naa or (not seen.naa and number in {seen.virtual, seen.virtual & 0xFFFF})
        ]
        named = [ldev for ldev in map(self._client.ldev, same) if ldev.naa.lower() == naa]
        return named[0] if len(named) == 1 else None

    def _of_vvol(self, naa: str) -> Ldev | None:
        ldev = self._at_end_of(naa)
        if ldev is None or ldev.virtual != ldev.id or VVOL not in ldev.attributes:
            return None
        if ldev.naa:
            return ldev if ldev.naa.lower() == naa else None
        seen = self._repeat.read(partial(self._client.seen_ldev, ldev.resource_group))
        other = seen.naa.lower() if seen else ""
        if not seen or not names.foretold(other, seen.virtual, ldev.id):
            return None
        return ldev if other[names.ARRAY] == naa[names.ARRAY] else None


def check_copyable(ldev: Ldev) -> None:
    """Raise `CannotCopy` for an LDEV that the array cannot clone, or be cloned onto, as what it is."""
    if reason := unusable(ldev):
        raise CannotCopy(f"LDEV {ldev.id} {reason}.")
    if not SHARING.isdisjoint(ldev.attributes):
        raise CannotCopy(
            f"LDEV {ldev.id} shares its reduced data with others (DRS), so the array makes no copies that stand alone."
        )
