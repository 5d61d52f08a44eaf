"""An InfiniBox as a storage array: volumes, and mappings to the hosts that its administrator has described."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.failures import Refused
from populator.storage.identity import not_here
from populator.storage.looks import FRESH, LastLook
from populator.storage.repeat import Repeat
from populator.storage.vendors.infinibox import names, volumes
from populator.storage.vendors.infinibox.client import VOLUME_MISSING, Client
from populator.storage.vendors.infinibox.hosts import Hosts
from populator.storage.vendors.infinibox.mappings import Mappings, check_seen, is_for
from vsphere.model import Initiator


class InfiniBoxArray:
    """One InfiniBox."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(access, clock)
        self._repeat = Repeat(clock)
        self._hosts = Hosts(self._client, self._repeat)
        self._mappings = Mappings(self._client, self._hosts)
        self._last: LastLook[tuple[Mapping, ...]] = LastLook(clock)

    def info(self) -> ArrayInfo:
        """Return model and version."""
        model, version = self._repeat.read(self._client.system)
        return ArrayInfo("Infinidat", "InfiniBox", model, version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume of the handle's id, if it has the name that the CSI driver gave it."""
        place = names.place(volume)
        return self._repeat.read(partial(volumes.find, self._client, place))

    def find_device(self, device: str) -> str:
        """Return the volume's name."""
        serial = names.serial_in(device)
        found = self._repeat.read(partial(self._client.volumes_with, "serial", serial)) if serial else []
        if not found:
            raise not_here(self._client.name, device)
        return found[0].name

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return all mappings; whose one is, the array cannot tell."""
        seen = self._repeat.read(partial(self._mappings.of, int(lun.id)))
        self._last.note(lun, seen)
        return seen

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host on the array that has the initiators."""
        return GroupPlan(self._hosts.choose(host, names.usable(initiators)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the host, which is there and stays as it is."""
        return plan.group

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Map the volume to the host, unless its cluster has it."""
        mapping = self._by_cluster(lun, group) or self._repeat.write(partial(self._mappings.map, lun, group))
        try:
            check_seen(lun, mapping)
        except StorageError:
            if mapping.ours:
                self._repeat.write(partial(self._mappings.unmap, lun, group.id, group.name))
            raise
        return mapping

    def unmap(
        self,
        lun: Lun,
        host: str,  # noqa: ARG002 - the array knows it by its initiators
        initiators: Collection[Initiator],
        keep: Collection[Mapping],
    ) -> None:
        """Unmap the volume from all hosts of these initiators but those to keep."""
        us, kept = frozenset(initiators), {mapping.group.id for mapping in keep}
        mine = self._mappings.made_for(us, int(lun.id))
        mine |= {item.group.id: item.group.name for item in self._last_look(lun) if is_for(us, item)}
        steps: list[Callable[[], object]] = [
            partial(self._mappings.unmap, lun, key, name) for key, name in mine.items() if key not in kept
        ]
        self._repeat.write_all(steps)

    def close(self) -> None:
        """Drop the connections; there is no session."""
        self._client.close()

    def _by_cluster(self, lun: Lun, group: Group) -> Mapping | None:
        """Return the mapping to the host's cluster: the array would let the host see the volume twice."""
        if not self._repeat.read(partial(self._hosts.cluster_of, group)):
            return None
        seen = self._last.recall(lun, FRESH)
        if seen is None:
            seen = self.mappings_of(lun)
        wanted = frozenset(group.initiators)
        return next((item for item in seen if item.group.id != group.id and item.initiators & wanted), None)

    def _last_look(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return what was seen last where this run has looked, which spares a call; none where the volume is gone."""
        seen = self._last.take(lun)
        if seen is not None:
            return seen
        try:
            return self._repeat.read(partial(self._mappings.of, int(lun.id)))
        except Refused as error:
            if error.code != VOLUME_MISSING:
                raise
            return ()


def connect(access: Access, clock: Clock) -> InfiniBoxArray:
    """Return the driver, for the registry."""
    return InfiniBoxArray(access, clock)
