"""Who sees a volume, and how it is given to a host and taken away again.

A host sees it by a mapping of its own, or by one of the host cluster that it is in, which is never ours. The array
knows no owner of a mapping. It says in several ways, which differ by release, that something is done already or gone;
so after each refusal the mappings are read, and what is as it should be is success.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.array import Group, Lun, seen_by
from populator.storage.array import Mapping as LunMapping
from populator.storage.failures import Refused, Unanswered, passing
from populator.storage.repeat import ROUNDS
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import ID_TAKEN, MISSING, Client
from populator.storage.vendors.flashsystem.hosts import Hosts
from populator.storage.vendors.flashsystem.records import MapRecord

MAP_RACES = {ID_TAKEN, *MISSING}
"""another volume has the LUN id, or somebody else deleted the host object"""


@dataclass(frozen=True)
class Sight:
    """A row of the array's, and what it means."""

    row: MapRecord
    mapping: LunMapping


class Mappings:
    """See the module."""

    def __init__(self, client: Client, hosts: Hosts) -> None:
        self._client, self._hosts = client, hosts

    def look(self, lun: Lun) -> list[Sight]:
        """Return by what a LUN is seen at this moment."""
        rows = self._client.mappings(lun.id)
        strangers = {row.uid for row in rows if row.uid and names.device(row.uid) != lun.device}
        if strangers:
            raise StorageError(
                f"{self._client.name} has the volume {', '.join(sorted(strangers))} under the id {lun.id} now, which "
                f"was that of {lun.name}.",
                "The PersistentVolume's own volume was deleted meanwhile, or mapped to hosts by NVMe.",
            )
        return [Sight(row, self._mapping(row)) for row in rows]

    def unmap(self, lun: Lun, host: str) -> None:
        """Take a LUN from a host; refused or not answered, it is done where the mapping is gone."""
        try:
            self._client.unmap(lun.id, host)
        except (Refused, Unanswered):
            if any(row.host == host and not row.cluster for row in self._client.mappings(lun.id)):
                raise

    def attempt(self, lun: Lun, group: Group, known: Sequence[Sight] | None) -> "Attempt":
        """Return what maps a LUN to a host object; a look that was just taken may be handed in."""
        uid = lun.device.removeprefix("naa.")
        return Attempt(self, self._client, self._hosts, lun, group, names.first_id(uid), known)

    def _mapping(self, row: MapRecord) -> LunMapping:
        if row.cluster:
            group = Group(f"{row.host} in {row.cluster}", f"{row.host} in the host cluster {row.cluster}")
            return LunMapping(group, row.lun_id, False, None, self._hosts.initiators_of(row.host))
        host = names.host_of(row.host)
        group = Group(row.host, row.host)
        return LunMapping(group, row.lun_id, host is not None, host, self._hosts.initiators_of(row.host))


@dataclass
class Attempt:
    """Mapping one LUN to one host object, with what earlier tries have done."""

    mappings: Mappings
    client: Client
    hosts: Hosts
    lun: Lun
    group: Group
    lun_id: int
    known: Sequence[Sight] | None
    perhaps: bool = False
    """whether a call of ours may have been done of which nobody knows"""

    def run(self) -> LunMapping:
        """Return the mapping by which the group's initiators see the LUN; may be repeated."""
        refusal: Refused | None = None
        for _ in range(ROUNDS):
            if mapping := self._visible():
                return mapping
            if refusal and refusal.code not in MAP_RACES:
                raise self._explained(refusal)
            try:
                return self._map()
            except Unanswered:
                self.perhaps = True
                raise
            except Refused as error:
                if error.passing:
                    self.perhaps = True
                    raise
                refusal = error
                self._make_way(error.code)
        raise refusal or AssertionError("there is no further round without a refusal")

    def _visible(self) -> LunMapping | None:
        seen, self.known = self.known, None
        seen = self.mappings.look(self.lun) if seen is None else seen
        mapping = seen_by(self.group, (sight.mapping for sight in seen))
        if mapping and mapping.group.id == self.group.id:
            return replace(mapping, ours=mapping.ours or self.perhaps)
        return mapping

    def _map(self) -> LunMapping:
        self.client.map(self.lun.id, self.group.id, self.lun_id)
        held = self.hosts.initiators_of(self.group.id) | frozenset(self.group.initiators)
        return LunMapping(self.group, self.lun_id, True, names.host_of(self.group.name), held)

    def _make_way(self, code: str) -> None:
        if code in MISSING:
            self.group = self.hosts.ensure(self.hosts.plan_again(self.group))
        elif code == ID_TAKEN:
            used = self.client.lun_ids(self.group.id)
            free = next(names.free_ids(self.lun_id, used | {self.lun_id}), None)
            if free is None:
                raise lun_ids.none_free(
                    self.client.name, self.group.name, "Unmap volumes that are not needed from it."
                )
            self.lun_id = free

    def _explained(self, refusal: Refused) -> Refused:
        """Add that the host may have as many mappings as there can be, which each release says in its own way."""
        if not passing(refusal) and not refusal.hint:
            count = len(self.client.lun_ids(self.group.id))
            if count >= min(names.MOST_MAPPINGS.values()):
                refusal.hint = (
                    f"{self.group.name} has {count} mappings; a small system gives a host "
                    f"{names.MOST_MAPPINGS['small']}, a large one {names.MOST_MAPPINGS['large']}. Unmap what it does "
                    "not need."
                )
        return refusal
