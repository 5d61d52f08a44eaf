"""The contract that every storage array's driver fulfils, and the values it speaks in.

A driver knows nothing of Kubernetes or vCenter: it gets a volume's handle and a host's initiators, and answers with
LUNs, groups and mappings. All its calls verify TLS unless told not to, have a timeout, follow paging, raise nothing but
`StorageError`, and may be repeated: doing what is already done is success. `tests/contract/storage/test_array.py` holds
every driver to this page.

What stands for a host on the array is a *group*, whatever the vendor calls it: igroup, host, host set, host group, SDC.
Two kinds of arrays differ here. Where an initiator may be in many groups, a driver makes one of its own for each host,
whose name says so. Where an initiator belongs to exactly one host object, that object is the group: a driver uses it as
it is, whoever made it, and may create one only where no object has any of the initiators; one of a populator's own
making, which its name tells, it may complete, and delete when nothing is mapped to it. Such an array cannot tell who
made a mapping to somebody's object: there `Mapping.host` is None and `ours` is false in what is read, and what a run
may remove is known from what was there before it, and from what the volume's Lease says of a run that died.
"""

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, field
from typing import Protocol

from vsphere.model import Initiator


@dataclass(frozen=True)
class Volume:
    """A PersistentVolume as a CSI driver describes it."""

    name: str
    driver: str
    """the CSI driver that made it, as `spec.csi.driver` names it"""
    handle: str
    attributes: ReadOnly[str, str] = field(default_factory=dict)
    annotations: ReadOnly[str, str] = field(default_factory=dict, compare=False)
    """of the PersistentVolumeClaim, by which an administrator tells some CSI drivers to import a LUN as it is"""


@dataclass(frozen=True)
class Lun:
    """A LUN of the array."""

    id: str
    name: str
    device: str
    """what ESXi calls it: `naa.…` or `eui.…`, in lower case"""
    size: int
    """bytes"""


@dataclass(frozen=True)
class Group:
    """What stands for a host on the array, and sees the LUNs that are mapped to it."""

    id: str
    """empty while it does not exist; where the array has an object for each of its ports, the ids of all, one a line"""
    name: str
    initiators: tuple[Initiator, ...] = ()
    """those of the host's that it holds"""

    def within(self, ids: Iterable[str]) -> bool:
        """Return whether all that it stands for on the array are among what the groups of these ids stand for."""
        known = {part for each in ids for part in each.splitlines()}
        return bool(self.id) and known.issuperset(self.id.splitlines())


@dataclass(frozen=True)
class GroupPlan:
    """Which group a host would be given, as the array is now; to find out changes nothing."""

    group: Group
    """as it would be when all is done"""
    missing: tuple[Initiator, ...] = ()
    """those of its initiators that have to be added; all of them where it has to be created"""


@dataclass(frozen=True)
class Mapping:
    """A LUN being visible to a group under a LUN id."""

    group: Group
    lun_id: int | None
    ours: bool
    """of a populator (this one, or a dead predecessor), as opposed to the CSI driver's or an admin's"""
    host: str | None = None
    """the host (`host-1234`) that a populator made it for; None where it is not ours, or the array cannot tell"""
    initiators: frozenset[Initiator] = frozenset()
    """all that see the LUN by it"""


def seen_by(group: Group, mappings: Iterable[Mapping]) -> Mapping | None:
    """Return the mapping by which a group's initiators see a LUN: the group's own, else any; None without one."""
    initiators = frozenset(group.initiators)
    for mapping in sorted(mappings, key=lambda mapping: mapping.group.id != group.id):
        if mapping.group.id == group.id or mapping.initiators & initiators:
            return mapping
    return None


@dataclass(frozen=True)
class ArrayInfo:
    """What the metrics page says of the array; empty where unknown."""

    vendor: str
    product: str
    model: str = ""
    version: str = ""


@dataclass(frozen=True)
class OwnGroup:
    """A group that a populator made for hosts, as its name says, and what it shows them at this moment."""

    id: str
    name: str
    host: str | None
    """as in `Mapping`"""
    luns: tuple[str, ...]
    """names or numbers"""


class StorageArray(Protocol):
    """One array, reached by its management API. The first six calls only read."""

    def info(self) -> ArrayInfo:
        """Return vendor, product and, where the credentials may read them, model and version."""

    def find_lun(self, volume: Volume) -> Lun:
        """Return the one LUN behind the volume; raise when none, several or an unusable one match.

        It is looked up by its id where handle or attributes hold one. Where they hold a name, too, that has to be the
        one which the array shows for this id: arrays give the id of a deleted volume to the next one.
        """

    def find_device(self, device: str) -> str:
        """Return the name of the array's volume that hosts see by that name (`naa.…`), whatever it is used for.

        Raises where the array has none; `OutOfSight` where it may have one that our user cannot see.
        """

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return the groups that populators have made, of whatever cluster; none where names do not tell."""

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return all mappings of the LUN at this moment."""

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return what `ensure_group` would use, create and add; raise what it would raise.

        `host` is its id in vSphere (`host-1234`), the initiators are the best first. Kinds are never mixed: all of one
        are taken, that of the first one which the array sees logged in, else of the first that it serves. Those that
        cannot be used are passed over; raises when all are, or when the array's own objects contradict each other.
        """

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the group of the plan, created or completed where that is still needed."""

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Map the LUN to the group; where its initiators see it through another one already, return that mapping.

        It is `ours` where this call made it, or the array knows it for a populator's.
        """

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[Mapping]
    ) -> None:
        """Take the populators' own mappings for this host away, and the host's own group when it has become empty.

        Whoever made them: what a dead predecessor left is removed, too, also under the names that older populators
        used. Of a group that those shared for all hosts the LUN is taken only where nobody sees it by that group but
        `initiators`, all that the host has: on another host a copy may be running. Where the array cannot tell whose a
        mapping is, it is ours when these initiators see the LUN by it and it is none of `keep`, those that were there
        before the run and that no populator is known to have made. All other mappings are left alone, and none that
        somebody else has removed is made again. Returns only when it is certain that ours are gone; harmless when
        nothing was ever mapped.
        """

    def close(self) -> None:
        """End the session; never raises."""
