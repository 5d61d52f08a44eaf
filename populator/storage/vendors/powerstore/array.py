"""PowerStore as a storage array: how its `volumes` are attached to `hosts`.

The array does not say in one way how it refuses what is done already, so after each failure the mappings are read: what
is as it should be is success, whatever the code. LUN ids are chosen here, by chance.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from populator.clock import Clock
from populator.storage import lun_ids
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume, seen_by
from populator.storage.failures import Refused, Unanswered, beyond_us, may_be_done
from populator.storage.identity import OutOfSight, not_here
from populator.storage.repeat import ROUNDS, Repeat
from populator.storage.vendors.powerstore import names
from populator.storage.vendors.powerstore.client import Client
from populator.storage.vendors.powerstore.hosts import Hosts, is_own
from populator.storage.vendors.powerstore.records import MappingRecord
from populator.storage.vendors.powerstore.volumes import Volumes
from vsphere.model import Initiator


class PowerStoreArray:
    """The volumes of one cluster."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(access, clock)
        self._repeat = Repeat(clock)
        self._volumes = Volumes(self._client)
        self._hosts = Hosts(self._client)

    def info(self) -> ArrayInfo:
        """Return model and release; empty where the user may not ask for them."""
        # Else a log-in that fails would look like missing rights below.
        self._repeat.read(self._client.let_in)
        appliances = self._repeat.read_if_allowed(self._client.appliances) or []
        model, version = (*appliances, ("", ""))[0]
        return ArrayInfo("Dell", "PowerStore", model, version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume, checked to be one that a host can write to."""
        return self._repeat.read(partial(self._volumes.find, names.place(volume)))

    def find_device(self, device: str) -> str:
        """Return the volume's name; of a metro volume hosts may see the other array's device name."""
        found = self._repeat.read(partial(self._client.volumes, "wwn", device))
        if not found:
            raise not_here(self._client.name, device, OutOfSight)
        return found[0].name

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return what the volume is attached to."""
        return tuple(map(_mapping, self._mappings(lun)))

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host object that has the initiators, or the group it is in."""
        return self._repeat.read(partial(self._hosts.plan, host, names.usable(initiators)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return it; made where the array knows none of the initiators."""
        return self._repeat.write(partial(self._hosts.ensure, plan))

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Attach the volume under a LUN id that is free, and that ESXi sees."""
        asked: set[int] = set()
        mapping = self._repeat.write(partial(self._map, lun, group, asked))
        if mapping.lun_id not in lun_ids.SEEN:
            raise lun_ids.unseen(
                f"{lun.name} has the LUN id {mapping.lun_id} for {mapping.group.name}",
                "Detach it there, so that it can be attached under another one.",
            )
        return mapping

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[Mapping]
    ) -> None:
        """Detach the volume from what lets these initiators see it, and delete the host's own object when unused."""
        us, kept = frozenset(initiators), {mapping.group.id for mapping in keep}
        mine = [
            item
            for item in self._mappings(lun)
            if item.target not in kept and (is_own(item.target, item.name, host) or item.initiators & us)
        ]
        steps: list[Callable[[], object]] = [partial(self._detach, lun, item) for item in mine]
        own = {item.target: item.name for item in mine if is_own(item.target, item.name, host)}
        own |= self._repeat.read(partial(self._hosts.own, host))
        steps += [partial(self._hosts.delete, *each) for each in own.items()]
        self._repeat.write_all(steps)

    def close(self) -> None:
        """End the session."""
        self._client.close()

    def _map(self, lun: Lun, group: Group, asked: set[int]) -> Mapping:
        """Attach; `asked` holds the LUN ids of calls of ours that nobody knows the outcome of."""
        for last in range(ROUNDS):
            lun_id = self._free_id(group)
            try:
                self._client.attach(group.id, group.name, lun.id, lun_id)
                self._hosts.note(group, lun_id)
                initiators = self._hosts.last_seen(group).initiators
                return Mapping(group, lun_id, True, names.host_of(group.name), initiators)
            except (Refused, Unanswered) as error:
                if may_be_done(error):
                    asked.add(lun_id)
                if mapping := self._visible(lun, group, asked):
                    return mapping
                if isinstance(error, Unanswered) or beyond_us(error) or last == ROUNDS - 1:
                    raise
                group = self._hosts.ensure(self._hosts.look_again(group))
        raise AssertionError("the last round returns or raises")

    def _free_id(self, group: Group) -> int:
        """Return any LUN id that is free: not the lowest, which others are about to take, or just gave back."""
        used = self._hosts.last_seen(group).lun_ids
        free = [number for number in lun_ids.USABLE if number not in used]
        if not free:
            raise lun_ids.none_free(
                self._client.name, group.name, "Detach volumes that are not needed from it."
            )
        return secrets.choice(free)

    def _visible(self, lun: Lun, group: Group, asked: Collection[int]) -> Mapping | None:
        """Return what lets the group's initiators see the volume now: the group's own mapping, or another."""
        mapping = seen_by(group, map(_mapping, self._client.mappings(lun.id)))
        if mapping and mapping.group.id == group.id:
            return replace(mapping, group=group, ours=mapping.ours or mapping.lun_id in asked)
        return mapping

    def _mappings(self, lun: Lun) -> list[MappingRecord]:
        return self._repeat.read(partial(self._client.mappings, lun.id))

    def _detach(self, lun: Lun, item: MappingRecord) -> None:
        """Detach; refused or not answered, it is done where the mapping is gone."""
        for last in (False, True):
            try:
                return self._client.detach(item.target, item.name, lun.id)
            except (Refused, Unanswered) as error:
                if not any(row.target == item.target for row in self._client.mappings(lun.id)):
                    return None
                if last or beyond_us(error):
                    raise
        raise AssertionError("the last try returns or raises")


def connect(access: Access, clock: Clock) -> PowerStoreArray:
    """Return the driver, for the registry."""
    return PowerStoreArray(access, clock)


def _mapping(row: MappingRecord) -> Mapping:
    host = names.host_of(row.name) if row.target.startswith("host/") else None
    return Mapping(Group(row.target, row.name), row.lun_id, host is not None, host, row.initiators)
