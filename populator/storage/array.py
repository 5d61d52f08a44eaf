"""The contract that every storage array's driver fulfils, and the values it speaks in.

A driver knows nothing of Kubernetes or vSphere: it gets a volume's handle and a host's initiators, and
answers with LUNs, groups and mappings. All its calls verify TLS unless told not to, have a timeout, follow
paging, raise nothing but `StorageError`, and may be repeated: doing what is already done is success.
`tests/contract/storage/test_array.py` holds every driver to this page.
"""

from collections.abc import Mapping as ReadOnly
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Volume:
    """A PersistentVolume as a CSI driver describes it."""

    name: str
    handle: str
    attributes: ReadOnly[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lun:
    """A LUN of the array; `naa` is the device name it has on ESXi (`naa.` and lower-case hex)."""

    id: str
    name: str
    naa: str
    size: int
    """bytes"""


@dataclass(frozen=True)
class Group:
    """The array's name for one host: the initiators a LUN is mapped to (igroup, host, host group, …)."""

    id: str
    name: str
    initiators: tuple[str, ...] = ()
    """those of the host's initiators that it holds, spelled as they were handed in"""


@dataclass(frozen=True)
class Mapping:
    """A LUN being visible to a group under a LUN id."""

    group: Group
    lun_id: int | None
    ours: bool
    """of a populator (this one, or a dead predecessor), as opposed to the CSI driver's or an admin's"""
    host: str = ""
    """the host (`host-1234`) that a populator made it for; empty where that is not known, or it is not ours"""
    initiators: frozenset[str] = frozenset()
    """all that see the LUN by it, in the normal form of `initiators`"""


@dataclass(frozen=True)
class ArrayInfo:
    """What the metrics page says of the array; empty where unknown."""

    vendor: str
    product: str
    model: str = ""
    version: str = ""


class StorageArray(Protocol):
    """One array, reached by its management API."""

    def info(self) -> ArrayInfo:
        """Return vendor, product and, where the credentials may read them, model and version."""

    def find_lun(self, volume: Volume) -> Lun:
        """Return the one LUN behind the volume; raise when none, several or an unusable one match."""

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return all mappings of the LUN at this moment."""

    def ensure_group(self, host: str, initiators: Sequence[str]) -> Group:
        """Return the host's own group, created or completed if need be.

        Initiators are `iqn.…`, `eui.…` or `fc.<16 hex wwnn>:<16 hex wwpn>`, the best first. FC and iSCSI are never
        mixed: all of one kind are taken, that of the first one which the array sees logged in, else of the first that
        it serves. Those that cannot be used are passed over; raises before anything is created when all are.
        """

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Map the LUN to the group; where its initiators see it through another one already, return that mapping."""

    def unmap(self, lun: Lun, host: str, initiators: Sequence[str]) -> None:
        """Take the populators' own mappings for this host away, and the host's own group when it has become empty.

        Whoever made them: what a dead predecessor left is removed, too, also under the names that older populators
        used. Of a group that those shared for all hosts the LUN is taken only where nobody sees it by that group but
        `initiators`, all that the host has: on another host a copy may be running. All other mappings are left alone,
        and none that somebody else has removed is made again. Returns only when it is certain that ours are gone;
        harmless when nothing was ever mapped.
        """

    def close(self) -> None:
        """End the session; never raises."""
