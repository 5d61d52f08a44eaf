"""The volumes that disks are: those of mapped devices by their WWN, those of vVols by their UUID.

A vVol's id holds the WWN instead where it begins as HPE's do; both are known of arrays in use.
"""

from functools import partial

from populator.storage.array import Lun
from populator.storage.copies import Backing, CannotCopy
from populator.storage.repeat import Repeat
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.client import Client, CopyType, VolumeRecord
from vsphere.model import DiskKind


def find_source(client: Client, repeat: Repeat, backing: Backing) -> Lun:
    """Return the one volume that a disk is, where the array can read it for a copy."""
    wwn = names.wwn_of(backing.id)
    uuid = "" if wwn or backing.kind == DiskKind.RDM else names.uuid_of(backing.id)
    if not (wwn or uuid):
        raise CannotCopy(f"The {backing} is not of an HPE array.")
    query = f"wwn EQ {wwn.upper()}" if wwn else f"uuid EQ {uuid}"

    def is_it(volume: VolumeRecord) -> bool:
        return volume.wwn.lower() == wwn if wwn else volume.uuid.lower() == uuid

    volumes = [volume for volume in repeat.read(partial(client.volumes, query)) if is_it(volume)]
    if len(volumes) != 1:
        raise CannotCopy(f"{client.name} has {len(volumes) or 'no'} volumes for the {backing}.")
    (volume,) = volumes
    if not names.WWN.fullmatch(volume.wwn.lower()):
        raise CannotCopy(f"The volume {volume.name} of the {backing} has the WWN {volume.wwn!r}.")
    if volume.copy_type == CopyType.SNAPSHOT and volume.read_only:
        raise CannotCopy(
            f"The volume {volume.name} of the {backing} is a read-only snapshot, which the array does not copy."
        )
    return Lun(volume.name, volume.name, names.naa(volume.wwn, volume.name), volume.size)
