"""LU paths: who sees an LDEV, and how a host is given it and loses it again.

The array knows no owner of a path, and removes one by its LUN id, under which another LDEV may be by then. So each try
to change anything begins with a look. LUN ids are chosen here, by chance.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.array import Group, Lun, Mapping
from populator.storage.failures import Refused, Unanswered, passing
from populator.storage.repeat import do_all
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.client import LUN_TAKEN, Client, Ldev, Path
from populator.storage.vendors.vantara.groups import Groups
from populator.storage.vendors.vantara.names import HostGroup

CHOICES = 8
"""LUN ids that are tried before the array is asked to choose"""
ROUNDS = 2


class Paths:
    """See the module. Calls are made once."""

    def __init__(self, client: Client, groups: Groups) -> None:
        self._client, self._groups = client, groups

    def look(self, lun: Lun) -> Ldev:
        """Return the LDEV as it is now; raise where it is gone, or another volume by now."""
        ldev = self._client.ldev(int(lun.id))
        if not ldev.defined:
            raise StorageError(f"LDEV {lun.id}, {lun.name}, is gone.", "Somebody has deleted it.")
        _check_same(lun, ldev)
        return ldev

    def mapping(self, path: Path) -> Mapping:
        """Return a path in the contract's words."""
        key = str(path.group)
        group = Group(key, f"{path.name} ({key})" if path.name else key)
        return Mapping(group, path.lun_id, ours=False, initiators=self._groups.initiators_of([path.group]))

    def clear(self, lun: Lun, ours: Callable[[Path], bool]) -> None:
        """Remove paths, each also after one that failed; raise unless all are gone at the second look.

        An LDEV that is gone had none any more.
        """
        for last in (False, True):
            ldev = self._client.ldev(int(lun.id))
            if ldev.defined:
                _check_same(lun, ldev)
            try:
                return do_all([partial(self._client.remove_path, path) for path in filter(ours, ldev.paths)])
            except StorageError:
                if last:
                    raise
        raise AssertionError("the last look returns or raises")

    def attempt(self, lun: Lun, group: Group, known: Ldev | None) -> "Attempt":
        """Return what maps an LDEV to a host's groups; a look that was just taken may be handed in."""
        return Attempt(self, self._client, self._groups, lun, group, known)


@dataclass
class Attempt:
    """Mapping one LDEV to all host groups of one host, with what earlier tries have done."""

    paths: Paths
    client: Client
    groups: Groups
    lun: Lun
    group: Group
    known: Ldev | None
    made: set[HostGroup] = field(default_factory=set)
    """those that see the LDEV by our doing"""
    unsure: set[HostGroup] = field(default_factory=set)
    """those that may, now or in a moment: nobody knows what became of the call"""

    def run(self) -> Mapping:
        """Return the mapping by which the group's initiators see the LDEV; may be repeated."""
        refusal: Refused | Unanswered | None = None
        for _ in range(ROUNDS):
            seen = self._seen()
            if others := [path for path in seen if not self.is_ours(path)]:
                if self.made | self.unsure:
                    self.undo()
                return self.paths.mapping(others[0])
            if refusal and len(seen) < len(self._parts()):
                raise refusal
            try:
                return self._complete(seen)
            except (Refused, Unanswered) as error:
                if passing(error):
                    raise
                refusal = error
        raise refusal or AssertionError("each round returns or is refused")

    def is_ours(self, path: Path) -> bool:
        """Return whether a path is, or may be, of this attempt's making."""
        return path.group in self.made | self.unsure

    def undo(self) -> None:
        """Remove what was made."""
        self.paths.clear(self.lun, self.is_ours)

    def _parts(self) -> list[HostGroup]:
        return list(map(names.host_group, self.group.id.splitlines()))

    def _seen(self) -> list[Path]:
        """Return the paths by which the initiators see the LDEV, those of the group's own host groups first."""
        ldev, self.known = self.known or self.paths.look(self.lun), None
        parts, wanted = self._parts(), frozenset(self.group.initiators)
        there = {path.group for path in ldev.paths}
        self.made, self.unsure = self.made | (self.unsure & there), self.unsure - there
        own = [path for path in ldev.paths if path.group in parts]
        rest = [path for path in ldev.paths if path.group not in parts]
        return own + [path for path in rest if self.groups.initiators_of([path.group]) & wanted]

    def _complete(self, seen: Sequence[Path]) -> Mapping:
        by_group = {path.group: path.lun_id for path in seen}
        for part in self._parts():
            if part not in by_group:
                by_group[part] = self._add(part, next(iter(by_group.values()), None))
        too_high = [lun_id for lun_id in by_group.values() if lun_id not in lun_ids.SEEN]
        if too_high:
            raise lun_ids.unseen(
                f"{self.lun.name} gets the LUN id {too_high[0]} for {self.group.name}",
                "Remove unused LU paths of this host, so that low LUN ids are free.",
            )
        initiators = self.groups.initiators_of(self._parts())
        return Mapping(self.group, by_group[self._parts()[0]], True, None, initiators)

    def _add(self, part: HostGroup, preferred: int | None) -> int:
        """Return the LUN id under which a host group sees the LDEV now: the one it has elsewhere, if that is free."""
        refusal: Refused | None = None
        for lun_id in _choices(preferred):
            self.unsure.add(part)
            try:
                made = self.client.add_path(part, int(self.lun.id), lun_id)
            except Refused as error:
                if not error.passing:
                    self.unsure.discard(part)
                if not names.says(error.code, {LUN_TAKEN}):
                    raise
                refusal = error
            else:
                self.unsure.discard(part)
                self.made.add(part)
                return made
        raise refusal or AssertionError("there is always a choice")


def _check_same(lun: Lun, ldev: Ldev) -> None:
    """Refuse an LDEV that is another volume than it was when this run began."""
    if names.lun_name(ldev.label, ldev.id) != lun.name:
        raise StorageError(
            f"LDEV {lun.id} is {ldev.label or 'without a label'} by now, not {lun.name}.",
            "Somebody has replaced or renamed it; look at it, and start the migration again.",
        )


def _choices(preferred: int | None) -> Iterator[int | None]:
    if preferred is not None:
        yield preferred
    for _ in range(CHOICES):
        yield secrets.choice(lun_ids.USABLE)
    yield None
