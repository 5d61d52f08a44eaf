"""A 3PAR, Primera or Alletra as a storage array: volumes, and the host objects that see them by VLUNs.

The array has few sessions, and a run waits for hours once its LUN is mapped, or the array copies: so a session ends
with each look that finds a mapping or a copy under way, and the next call begins another.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.copies import Backing, Copy, Progress, name_of_source
from populator.storage.failures import Refused
from populator.storage.looks import FRESH, LastLook
from populator.storage.repeat import Repeat
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.client import PERMISSION_DENIED, Client, Kind, Vlun
from populator.storage.vendors.hpe.copies import Copies
from populator.storage.vendors.hpe.hosts import Hosts
from populator.storage.vendors.hpe.sources import find_source
from populator.storage.vendors.hpe.vluns import Sight, Vluns
from vsphere.model import Initiator


class HpeArray:
    """See the module."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(access, clock)
        self._repeat = Repeat(clock)
        self._hosts = Hosts(self._client)
        self._vluns = Vluns(self._client, self._hosts)
        self._copies = Copies(self._client, clock)
        self._domains: dict[str, str] = {}
        """virtual domains of the volumes found"""
        self._last: LastLook[list[Sight]] = LastLook(clock)
        self._made: set[tuple[str, str]] = set()
        """LUN and group of each mapping that this run has"""

    def info(self) -> ArrayInfo:
        """Return model and version."""
        try:
            model, version = self._repeat.read(self._client.system)
        except Refused as error:
            if error.code != PERMISSION_DENIED:
                raise
            model, version = "", ""
        return ArrayInfo("HPE", "Primera/3PAR", model, version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume that the CSI driver made, by its name: handles hold nothing else."""
        name = names.volume_name(volume)
        record = self._repeat.read(partial(self._client.volume, name))
        where = self._client.name.removeprefix("The ")
        if record is None or record.name != name:
            raise StorageError(
                f"There is no volume {name} on the {where} that our user may see.", names.CSI_HINT
            )
        if record.read_only:
            raise StorageError(
                f"The volume {name} on the {where} is read-only.", "Nothing can be copied onto it."
            )
        self._domains[name] = self._hosts.domain = record.domain
        return Lun(name, name, names.naa(record.wwn, name), record.size)

    def find_device(self, device: str) -> str:
        """Return the volume's name."""
        return name_of_source(self, device)

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return a mapping for each template, and end the session where there is any: what follows is waiting."""
        seen = self._repeat.read(partial(self._vluns.look, lun.name))
        self._last.note(lun, seen)
        if seen:
            self._client.log_out()
        return tuple(sight.mapping for sight in seen)

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host object that holds them, or the one to be made of them."""
        return self._repeat.read(partial(self._hosts.plan, host, names.usable(initiators)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the host object; a try after the first begins by looking again."""
        return self._repeat.write_by(plan, partial(self._hosts.plan_again, plan.group), self._hosts.ensure)

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Let the host see the LUN under a LUN id that is free for it, and that hosts look at."""
        mapping = self._map(lun, group, names.first_id(lun.name))
        if mapping.lun_id not in lun_ids.SEEN and mapping.ours:
            self._give_back(lun, mapping)
            mapping = self._map(lun, group, 1)
        if mapping.lun_id in lun_ids.SEEN:
            self._made.add((lun.id, mapping.group.id))
            return mapping
        if mapping.ours:
            self._give_back(lun, mapping)
        raise lun_ids.unseen(
            f"{lun.name} gets the LUN id {mapping.lun_id} for {mapping.group.name}",
            "Remove unused VLUNs of this host, so that low LUN ids are free.",
        )

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[Mapping]
    ) -> None:
        """Remove templates for the host; of what is for a port, or for a host by one port, none is ours."""
        us, kept = frozenset(initiators), {mapping.group.id for mapping in keep}
        seen = self._last_look(lun) or self._repeat.read(partial(self._vluns.look, lun.name))

        def ours(sight: Sight) -> bool:
            return sight.mapping.group.id not in kept and _is_for(sight, host, us)

        mine = [sight.row for sight in filter(ours, seen)]
        steps: list[Callable[[], object]] = [partial(self._vluns.unmap, row, ours) for row in mine]
        groups = {row.host for row in mine} | {self._hosts.own}
        if (old := names.older_set(host)) in groups:
            steps.append(partial(self._client.delete_set, old.removeprefix(names.SET)))
        steps += [partial(self._client.delete_host, name) for name in sorted(groups & names.own_hosts(host))]
        self._repeat.write_all(steps)

    def find_source(self, backing: Backing) -> Lun:
        """Return the volume that a vVol or a mapped device is."""
        return find_source(self._client, self._repeat, backing)

    def copies_onto(self, target: Lun) -> Sequence[Copy]:
        """Return the copy that is under way onto the LUN."""
        return self._copies.onto(target)

    def begin_copy(self, source: Lun, target: Lun) -> Copy:
        """Have the array begin to copy."""
        return self._copies.begin(source, target)

    def progress(self, copy: Copy) -> Progress:
        """Return how far a copy is, and end the session where it goes on: what follows is waiting."""
        progress = self._copies.progress(copy)
        if not progress.complete:
            self._client.log_out()
        return progress

    def end_copy(self, copy: Copy) -> None:
        """Stop a copy, and see that the array is done with it."""
        self._copies.end(copy)

    def close(self) -> None:
        """End the session."""
        self._client.log_out()

    def _give_back(self, lun: Lun, mapping: Mapping) -> None:
        row = Vlun(lun.name, mapping.lun_id or 0, mapping.group.id, Kind.HOST, False, "", frozenset())
        self._repeat.write(partial(self._vluns.unmap, row, lambda sight: sight.row == row))

    def _last_look(self, lun: Lun) -> list[Sight]:
        """Return what was seen last where a mapping of this run is among it, which spares a call; else nothing."""
        seen = self._last.take(lun) or []
        return seen if any((lun.id, sight.mapping.group.id) in self._made for sight in seen) else []

    def _map(self, lun: Lun, group: Group, first_id: int) -> Mapping:
        attempt = self._vluns.attempt(lun, group, first_id, self._last.take(lun, FRESH))
        try:
            return self._repeat.write(attempt.run)
        except Refused as error:
            domain, hosts = self._domains.get(lun.name), self._hosts.domain_of(group.id)
            if domain is not None and hosts is not None and domain != hosts:
                error.hint = (
                    f"{lun.name} is in {_domain(domain)}, the host {group.name} is in {_domain(hosts)}: an ESXi host "
                    "sees volumes of its own virtual domain only."
                )
            raise


def connect(access: Access, clock: Clock) -> HpeArray:
    """Return the driver, for the registry."""
    return HpeArray(access, clock)


def _is_for(sight: Sight, host: str, us: frozenset[Initiator]) -> bool:
    """Return whether a template is ours to remove: made for this host, or by a host set where only it would see it."""
    row, mapping = sight.row, sight.mapping
    if row.active or row.kind not in {Kind.HOST, Kind.HOST_SET}:
        return False
    if row.kind == Kind.HOST_SET:
        everyone = names.SET_OF_ALL_HOSTS.fullmatch(row.host) is not None
        return row.host == names.older_set(host) or (everyone and mapping.initiators <= us)
    return row.host in names.own_hosts(host) or bool(mapping.initiators & us)


def _domain(name: str) -> str:
    return f"the virtual domain {name}" if name else "none"
