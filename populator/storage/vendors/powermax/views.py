"""Who sees a volume, and how it is shown to a host: by a storage group and a masking view for just the two of them.

Both have the same name, made of host and volume. So what a dead run left, or a call of ours whose answer was lost, is
found by its name; and two populators share nothing. A volume may be in several storage groups, as long as but one of
them has a service level; the view goes before its last volume does, and the volume before its group.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.array import Group, Lun
from populator.storage.failures import LISTED, UNLISTED, Refused, Unanswered, beyond_us, contradiction
from populator.storage.vendors.powermax import names
from populator.storage.vendors.powermax.client import Client
from populator.storage.vendors.powermax.records import Connection, StorageGroup
from vsphere.model import Initiator

log = logging.getLogger(__name__)
ROUNDS = 4
"""how often what is there may differ from what was seen"""
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""seconds between two looks for the LUN id, which the array has only when it is done"""


@dataclass(frozen=True)
class Sight:
    """A masking view that shows the volume."""

    view: str
    storage_group: str
    initiators: frozenset[Initiator]
    """none where a view of ours is not what it should be"""
    lun_id: int | None


@dataclass(frozen=True)
class Look:
    """What is known of a volume at one moment."""

    storage_groups: frozenset[str]
    sights: tuple[Sight, ...]


class Views:
    """See the module."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock

    def look(self, lun: Lun) -> Look:
        """Return by what the volume is seen; nothing where it is gone."""
        record = self._client.volume(lun.id)
        if record is None:
            return Look(frozenset(), ())
        if record.name != lun.name:
            raise StorageError(
                f"{self._client.name} has the volume {record.name or 'without a name'} under the number {lun.id} by "
                f"now, not {lun.name}.",
                "Somebody has replaced it; look at it, and start the migration again.",
            )
        sights: dict[str, Sight] = {}
        for group in record.storage_groups:
            for view in self._views_of(group, lun.id):
                if view not in sights and (sight := self._sight(view, group, lun.id)):
                    sights[view] = sight
        return Look(frozenset(record.storage_groups), tuple(sights.values()))

    def show(self, lun: Lun, group: Group, port_group: str, known: Look | None) -> Sight:
        """Let the host see the volume, or return by what it does already; a look just taken may be handed in."""
        name = f"{group.name}-{lun.id}"
        failure: Refused | Unanswered | None = None
        before: Look | None = None
        for _ in range(ROUNDS):
            now, known = known or self.look(lun), None
            if sight := visible(now, group.initiators, name):
                return sight if sight.view != name else self._settled(lun, group, name)
            if failure and (now == before or not _is_race(failure)):
                raise failure
            before = now
            try:
                self._make(now, name, lun.id, group.id, port_group)
                return self._settled(lun, group, name)
            except (Refused, Unanswered) as error:
                if beyond_us(error):
                    raise
                failure = error
        raise failure or AssertionError("each round returns or fails")

    def remove(self, view: str, storage_group: str, device: str) -> None:
        """Take a view away, then the volume from its group, then that group; what is not there is no failure."""
        for last in (False, True):
            try:
                return self._remove(view, storage_group, device)
            except (Refused, Unanswered) as error:
                if last or beyond_us(error):
                    raise
        raise AssertionError("the last try returns or raises")

    def _remove(self, view: str, storage_group: str, device: str) -> None:
        self._client.delete_view(view)
        refusal: Refused | None = None
        try:
            self._client.remove_volume(storage_group, device)
        except Refused as error:  # it may not have been in there
            if beyond_us(error):
                raise
            refusal = error
        try:
            gone = self._client.delete_storage_group(storage_group)
        except Refused as error:
            raise (refusal or error) from error
        if not gone and self._client.storage_group(storage_group) is not None:
            raise self._contradiction(f"it has no storage group {storage_group}", LISTED)

    def _views_of(self, group: str, device: str) -> Iterable[str]:
        """Return the views of a storage group, and of those that it belongs to."""
        if names.host_of(group, device):
            return [group]
        record = self._group(group)
        above = (self._group(parent).views for parent in record.parents)
        return dict.fromkeys([*record.views, *(view for views in above for view in views)])

    def _group(self, name: str) -> StorageGroup:
        record = self._client.storage_group(name)
        if record is None:
            raise self._contradiction(f"it has no storage group {name}", LISTED)
        return record

    def _sight(self, view: str, group: str, device: str) -> Sight | None:
        ours = names.host_of(group, device) is not None
        paths = self._client.connections(view, device)
        if paths is None:
            if ours:
                return None
            raise self._contradiction(f"it has no masking view {view}", LISTED)
        if paths:
            return Sight(view, group, frozenset(path.initiator for path in paths), _lun_id(paths))
        record = self._client.view(view)
        if record is None or (ours and record.storage_group != group):
            return Sight(view, group, frozenset(), None)
        hosts = [record.host] if record.host else self._client.host_group(record.host_group)
        held = (self._client.host(host) or frozenset() for host in hosts)
        return Sight(view, group, frozenset().union(*held), None)

    def _make(self, now: Look, name: str, device: str, host: str, port_group: str) -> None:
        """Make what is missing; a view of ours by which the host does not see the volume is made anew."""
        if any(sight.view == name for sight in now.sights):
            self._client.delete_view(name)
        if name not in now.storage_groups:
            self._client.create_storage_group(name)
            self._add(name, device)
        self._client.create_view(name, host, port_group, name, names.first_lun_id(device))

    def _add(self, name: str, device: str) -> None:
        """Put the volume into the group; refused, it is done where it is in there."""
        try:
            self._client.add_volume(name, device)
        except Refused as error:
            if beyond_us(error):
                raise
            record = self._client.volume(device)
            if record is None or name not in record.storage_groups:
                raise

    def _settled(self, lun: Lun, group: Group, name: str) -> Sight:
        """Return our view with its LUN id, waited for; without one where the array does not come to it."""
        wanted = frozenset(group.initiators)
        for pause in (*PAUSES, None):
            paths = self._client.connections(name, lun.id)
            if paths is None:
                raise self._contradiction(f"it has made the masking view {name}", UNLISTED)
            lun_id = _lun_id([path for path in paths if path.initiator in wanted])
            if lun_id is not None:
                return Sight(name, name, wanted | {path.initiator for path in paths}, lun_id)
            if pause is not None:
                self._clock.wait(pause)
        log.warning("%s shows no path of %s to %s", self._client.name, lun.name, group.id)
        return Sight(name, name, wanted, None)

    def _contradiction(self, claim: str, fact: str) -> Unanswered:
        return contradiction(self._client.name, claim, fact, "in Unisphere")


def visible(look: Look, initiators: Iterable[Initiator], own: str) -> Sight | None:
    """Return by what initiators see a volume: our own view, or another."""
    wanted = frozenset(initiators)
    sights = [sight for sight in look.sights if sight.initiators & wanted]
    return min(sights, key=lambda sight: sight.view != own, default=None)


def _is_race(error: StorageError) -> bool:
    """Return whether something may have come or gone since we looked, or nobody knows what was done."""
    return not isinstance(error, Refused) or error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}


def _lun_id(paths: Iterable[Connection]) -> int | None:
    """Return the LUN id, which may differ by path: then the highest, since ESXi sees but low ones."""
    return max((path.lun_id for path in paths if path.lun_id is not None), default=None)
