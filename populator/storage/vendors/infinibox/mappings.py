"""Mapping a volume to a host, and taking it away again.

The array does not say who made a mapping, and gives a volume to a host a second time where its cluster has it already.
A step acts, and looks only where the answer leaves it open.
"""

from dataclasses import replace

from populator.storage import lun_ids
from populator.storage.array import Group, Lun, Mapping, seen_by
from populator.storage.failures import (
    LISTED,
    UNLISTED,
    Refused,
    Unanswered,
    beyond_us,
    contradiction,
    may_be_done,
)
from populator.storage.vendors.infinibox import names
from populator.storage.vendors.infinibox.client import HOST_MISSING, VOLUME_MISSING, Client
from populator.storage.vendors.infinibox.hosts import Hosts
from vsphere.model import Initiator

NOT_BY_ANOTHER_ID = {HOST_MISSING, VOLUME_MISSING}


class Mappings:
    """See the module. Each call may be made again."""

    def __init__(self, client: Client, hosts: Hosts) -> None:
        self._client = client
        self._hosts = hosts
        self._asked: dict[int, dict[str, Group]] = {}
        """by volume what it may be mapped to by calls of this run"""
        self._unsure: set[tuple[int, str]] = set()
        """volumes and hosts that we asked to map, and nobody knows whether the array did"""

    def of(self, volume: int) -> tuple[Mapping, ...]:
        """Return all mappings of a volume."""
        return self._hosts.mappings(self._client.luns(volume))

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Map, or return the mapping by which the host sees the volume already.

        Where the LUN id of our choice is not to be had, the array chooses one.
        """
        volume = int(lun.id)
        for lun_id in (names.first_lun_id(volume), None):
            try:
                return self._map(lun, group, lun_id)
            except (Refused, Unanswered) as error:
                if may_be_done(error):
                    self._unsure.add((volume, group.id))
                if mapping := self.visible(lun, group):
                    return mapping
                if lun_id is None or isinstance(error, Unanswered) or _is_final(error):
                    self._forget_refused(volume, group)
                    raise
        raise AssertionError("the second try returns or raises")

    def visible(self, lun: Lun, group: Group) -> Mapping | None:
        """Return what lets the group's initiators see the volume now: the host's own mapping, or its cluster's."""
        volume = int(lun.id)
        mapping = seen_by(group, self.of(volume))
        if mapping and mapping.group.id == group.id:
            return replace(mapping, group=group, ours=(volume, group.id) in self._unsure)
        return mapping

    def made_for(self, us: frozenset[Initiator], volume: int) -> dict[str, str]:
        """Return what this run may have mapped a volume to for these initiators: names by id."""
        asked = self._asked.get(volume, {}).values()
        return {group.id: group.name for group in asked if us & frozenset(group.initiators)}

    def unmap(self, lun: Lun, group: str, name: str) -> None:
        """Remove a host's own mapping; that there is none is believed when it is not listed either."""
        volume, failure = int(lun.id), None
        try:
            done = self._client.unmap(group, name, volume)
        except Unanswered as error:
            done, failure = False, error
        if not done and self._is_listed(volume, group):
            claim = f"{lun.name} is not mapped to {name}"
            raise failure or contradiction(self._client.name, claim, LISTED)
        self._asked.get(volume, {}).pop(group, None)
        self._unsure.discard((volume, group))

    def _map(self, lun: Lun, group: Group, lun_id: int | None) -> Mapping:
        volume = int(lun.id)
        self._asked.setdefault(volume, {})[group.id] = group
        made = self._client.map(group.id, group.name, volume, lun_id)
        if made is not None:
            return replace(self._hosts.mapping(made), group=group, ours=True)
        self._unsure.add((volume, group.id))
        mapping = self.visible(lun, group)
        if mapping is None:
            claim = f"it has mapped {lun.name} to {group.name}"
            raise contradiction(self._client.name, claim, UNLISTED)
        return mapping

    def _forget_refused(self, volume: int, group: Group) -> None:
        """Leave nothing to undo of what the array has clearly refused."""
        if (volume, group.id) not in self._unsure:
            self._asked[volume].pop(group.id)

    def _is_listed(self, volume: int, group: str) -> bool:
        """Return whether a volume is mapped to a host; one that is gone is not."""
        try:
            return any(row.target == group for row in self._client.luns(volume))
        except Refused as error:
            if error.code != VOLUME_MISSING:
                raise
            return False


def check_seen(lun: Lun, mapping: Mapping) -> None:
    """Raise where ESXi does not see the LUN id."""
    if mapping.lun_id not in lun_ids.SEEN:
        raise lun_ids.unseen(
            f"{lun.name} has the LUN id {mapping.lun_id} for {mapping.group.name}",
            "Unmap volumes that are not needed from this host, so that low LUN ids are free.",
        )


def is_for(us: frozenset[Initiator], mapping: Mapping) -> bool:
    """Return whether a mapping is one to a host of these initiators; those to clusters are never a populator's."""
    return mapping.group.id.startswith("hosts/") and bool(mapping.initiators & us)


def _is_final(error: Refused) -> bool:
    """Return whether asking for another LUN id is of no use."""
    return beyond_us(error) or error.code in NOT_BY_ANOTHER_ID
