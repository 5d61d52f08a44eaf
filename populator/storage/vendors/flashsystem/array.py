"""A FlashSystem as a storage array: its `volumes`, the `hosts` that see them, the `mappings` between them, `copies`."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from populator.clock import Clock
from populator.storage import lun_ids
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.copies import Backing, Copy, Progress, name_of_source
from populator.storage.looks import FRESH, LastLook
from populator.storage.repeat import Repeat
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import Client
from populator.storage.vendors.flashsystem.copies import Copies
from populator.storage.vendors.flashsystem.hosts import Hosts
from populator.storage.vendors.flashsystem.mappings import Mappings, Sight
from populator.storage.vendors.flashsystem.records import SystemRecord
from populator.storage.vendors.flashsystem.volumes import Volumes
from vsphere.model import Initiator


class FlashSystemArray:
    """See the module."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(access, clock)
        self._repeat = Repeat(clock)
        self._volumes = Volumes(self._client)
        self._hosts = Hosts(self._client)
        self._mappings = Mappings(self._client, self._hosts)
        self._copies = Copies(self._client, self._repeat, clock)
        self._system: SystemRecord | None = None
        self._last: LastLook[list[Sight]] = LastLook(clock)
        self._made: dict[str, dict[str, Mapping]] = {}
        """what this run has mapped, by the LUN's id and the host's name"""

    def info(self) -> ArrayInfo:
        """Return model and code level."""
        system = self._about()
        return ArrayInfo("IBM", "FlashSystem", system.model, system.version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume by its UID, which no other one ever has; its id and name have to agree."""
        place = names.place(volume)
        system = self._about()
        return self._repeat.read(lambda: self._volumes.find(place, system))

    def find_device(self, device: str) -> str:
        """Return the volume's name."""
        return name_of_source(self, device)

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return a mapping for each host."""
        seen = self._repeat.read(partial(self._mappings.look, lun))
        self._last.note(lun, seen)
        return tuple(sight.mapping for sight in seen)

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host object that holds them, or the one to be made of them."""
        return self._repeat.read(partial(self._hosts.plan, host, names.usable(initiators)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the host object; a try after the first begins by looking again."""
        return self._repeat.write_by(plan, partial(self._hosts.plan_again, plan.group), self._hosts.ensure)

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Let the host see the LUN under a LUN id that is free for it, and that hosts look at."""
        attempt = self._mappings.attempt(lun, group, self._last.take(lun, FRESH))
        mapping = self._repeat.write(attempt.run)
        if mapping.ours:
            self._made.setdefault(lun.id, {})[mapping.group.id] = mapping
        if mapping.lun_id not in lun_ids.SEEN:
            raise lun_ids.unseen(
                f"{lun.name} has the LUN id {mapping.lun_id} for {mapping.group.name}",
                "Unmap it there, so that it can be mapped under another one.",
            )
        return mapping

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[Mapping]
    ) -> None:
        """Take the LUN from hosts with these initiators; mappings of host clusters stay. Then delete our own host."""
        us, kept = frozenset(initiators), {mapping.group.id for mapping in keep}
        made = self._made.get(lun.id, {})
        seen = self._last_look(lun, made) or self._repeat.read(partial(self._mappings.look, lun))
        private = [sight.mapping for sight in seen if not sight.row.cluster]
        mine = {
            mapping.group.id
            for mapping in [*private, *made.values()]
            if names.is_of(mapping.group.id, host) or mapping.initiators & us
        } - kept
        steps: list[Callable[[], object]] = [
            partial(self._mappings.unmap, lun, name) for name in sorted(mine)
        ]
        ours = {name for name in {*mine, self._hosts.own} if names.is_of(name, host)}
        steps += [partial(self._hosts.delete, name) for name in sorted(ours)]
        self._repeat.write_all(steps)
        for name in mine:
            made.pop(name, None)

    def find_source(self, backing: Backing) -> Lun:
        """Return the volume that a mapped device is, by the UID in its name."""
        return self._copies.find_source(backing)

    def copies_onto(self, target: Lun) -> Sequence[Copy]:
        """Return the FlashCopy mappings onto a LUN that are at work, and what is left of ours."""
        return self._copies.onto(target)

    def begin_copy(self, source: Lun, target: Lun) -> Copy:
        """Start a FlashCopy mapping."""
        return self._copies.begin(source, target)

    def progress(self, copy: Copy) -> Progress:
        """Return how far a FlashCopy mapping is; one that is complete is deleted first."""
        return self._copies.progress(copy)

    def end_copy(self, copy: Copy) -> None:
        """Stop a FlashCopy mapping, and delete it."""
        self._copies.end(copy)

    def close(self) -> None:
        """Drop the connections: the array knows no log-out."""
        self._client.close()

    def _about(self) -> SystemRecord:
        if self._system is None:
            self._system = self._repeat.read(self._client.system)
        return self._system

    def _last_look(self, lun: Lun, made: Collection[str]) -> list[Sight]:
        """Return what was seen last where a mapping of this run is among it, which spares a call; else nothing."""
        seen = self._last.take(lun) or []
        return seen if any(sight.row.host in made for sight in seen) else []


def connect(access: Access, clock: Clock) -> FlashSystemArray:
    """Return the driver, for the registry."""
    return FlashSystemArray(access, clock)
