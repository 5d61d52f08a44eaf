"""VLUNs: who sees a volume, and how it is given to a host and taken away again.

The array knows no owner of a VLUN, and gives a volume to a host twice, under two LUN ids, where it is asked twice. So
each try to map begins with a look, which finds what somebody else did, or our own call whose answer was lost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from populator.storage.array import Group, Lun, seen_by
from populator.storage.array import Mapping as LunMapping
from populator.storage.failures import LISTED, UNLISTED, Refused, contradiction
from populator.storage.repeat import ROUNDS
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.client import HOST_MISSING, ID_TAKEN, Client, Kind, Vlun
from populator.storage.vendors.hpe.hosts import Hosts
from vsphere.model import Initiator

MAP_RACES = {HOST_MISSING, ID_TAKEN}
"""somebody else deleted the host object, or took the LUN id"""


@dataclass(frozen=True)
class Sight:
    """A template, or what stands for active VLUNs that come of none we can see, and what it means."""

    row: Vlun
    mapping: LunMapping


class Vluns:
    """See the module."""

    def __init__(self, client: Client, hosts: Hosts) -> None:
        self._client, self._hosts = client, hosts

    def look(self, volume: str) -> list[Sight]:
        """Return by what the volume is seen at this moment."""
        rows = self._client.vluns(volume)
        templates = [row for row in rows if not row.active]
        active = [row for row in rows if row.active]
        sets = {row.host for row in templates if row.host.startswith(names.SET)}
        members = {name: self._client.members(name.removeprefix(names.SET)) for name in sets}
        hosts = {row.host: members.get(row.host, [row.host]) for row in templates if row.host}
        held = self._hosts.initiators_of(name for group in hosts.values() for name in group)
        sights = []
        for row in templates:
            initiators = frozenset().union(*(held[name] for name in hosts.get(row.host, ())))
            sights.append(_sight(row, initiators or _at_port(row, active)))
        return sights + _without_template(active, hosts, templates)

    def unmap(self, row: Vlun, ours: Callable[[Sight], bool]) -> None:
        """Remove a template; where there is said to be none, remove what there is by then of ours.

        Somebody else may have mapped anew; and the array's word is not taken for it.
        """
        if self._client.unmap(row):
            return
        for sight in filter(ours, self.look(row.volume)):
            if not self._client.unmap(sight.row):
                claim = f"it has no VLUN of {row.volume} for {sight.row.host}"
                raise contradiction(self._client.name, claim, LISTED)

    def attempt(self, lun: Lun, group: Group, first_id: int, known: Sequence[Sight] | None) -> "Attempt":
        """Return what maps a volume to a host object; a look that was just taken may be handed in."""
        return Attempt(self, self._client, self._hosts, lun, group, first_id, known)


@dataclass
class Attempt:
    """Mapping one volume to one host object, with what earlier tries have done."""

    vluns: Vluns
    client: Client
    hosts: Hosts
    lun: Lun
    group: Group
    first_id: int
    known: Sequence[Sight] | None
    tried: bool = False

    def run(self) -> LunMapping:
        """Return the mapping by which the group's initiators see the volume; may be repeated."""
        refusal: Refused | None = None
        for _ in range(ROUNDS):
            if mapping := self._visible():
                return mapping
            if refusal and refusal.code not in MAP_RACES:
                raise refusal
            try:
                if mapping := self._map():
                    return mapping
            except Refused as error:
                if error.passing:
                    raise
                refusal = error
                self._make_way(error.code)
        claim = f"it has mapped {self.lun.name} to {self.group.name}"
        raise refusal or contradiction(self.client.name, claim, UNLISTED)

    def _visible(self) -> LunMapping | None:
        seen, self.known = self.known, None
        seen = self.vluns.look(self.lun.name) if seen is None else seen
        mapping = seen_by(self.group, (sight.mapping for sight in seen))
        if mapping and mapping.group.id == self.group.id:
            return replace(mapping, ours=mapping.ours or self.tried)
        return mapping

    def _map(self) -> LunMapping | None:
        self.tried = True
        lun_id = self.client.map(self.lun.name, self.group.id, self.first_id)
        if lun_id is None:
            return None
        held = self.hosts.initiators_of([self.group.id])[self.group.id] | frozenset(self.group.initiators)
        return LunMapping(self.group, lun_id, True, names.host_of(self.group.name), held)

    def _make_way(self, code: str) -> None:
        if code == HOST_MISSING:
            self.group = self.hosts.ensure(self.hosts.plan_again(self.group))
        elif code == ID_TAKEN:
            self.first_id += 1


def _sight(row: Vlun, initiators: Iterable[Initiator], group: str = "") -> Sight:
    key = group or (f"{row.host},{row.port}" if row.port else row.host)
    mapping = LunMapping(
        Group(key, key), row.lun_id, names.is_ours(key), names.host_of(key), frozenset(initiators)
    )
    return Sight(row, mapping)


def _at_port(row: Vlun, active: Iterable[Vlun]) -> frozenset[Initiator]:
    """Return who sees a volume by a template that is for a port, whatever the host."""
    if row.kind != Kind.PORT:
        return frozenset()
    return frozenset().union(
        *(vlun.initiator for vlun in active if (vlun.port, vlun.lun_id) == (row.port, row.lun_id))
    )


def _without_template(
    active: Iterable[Vlun], hosts: Mapping[str, Sequence[str]], templates: Iterable[Vlun]
) -> list[Sight]:
    """Return what comes of templates that the volume's own list has not: those of a volume set."""
    explained = {(name, row.lun_id) for row in templates for name in hosts.get(row.host, ())}
    ports = {(row.port, row.lun_id) for row in templates if row.kind == Kind.PORT}
    by_target: dict[tuple[str, int], list[Vlun]] = {}
    for row in active:
        if (row.host, row.lun_id) not in explained and (row.port, row.lun_id) not in ports:
            by_target.setdefault((row.host, row.lun_id), []).append(row)
    return [
        _sight(rows[0], frozenset().union(*(row.initiator for row in rows)), f"{host},active")
        for (host, _), rows in by_target.items()
    ]
