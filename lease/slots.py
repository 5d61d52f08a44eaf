"""The slots of a host, or of several that will do, as one claimant knows them: every call about a Lease is made here.

Reads go to the server itself, not to its cache; a watch may lag behind. Neither can make us take what is not free:
each write names the version that it replaces, and the server refuses it when that is not the newest one.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lease.decision import Claimant, Ours, Sighting, Take, Wait, decide, see, see_deleted
from lease.kube.api import Api, ApiError, Json, Watch
from lease.ports import Clock
from lease.record import (
    HOST_LABEL,
    Notes,
    Record,
    free_lease,
    held_lease,
    leases_path,
    parse_event,
    parse_record,
    unused_lease,
)
from lease.rights import check_rights

SILENCE = 30.0
"""seconds without a word after which a watch is taken for dead: those who hold a slot renew more often"""

LONGEST_LOOK = 10.0
"""seconds"""


@dataclass(frozen=True)
class Claimed:
    """A slot that is ours, since the moment before the request that made it so was sent."""

    name: str
    sent: float
    inherited: Notes | None
    """what the holder before us left behind, if it did not release the slot"""
    kept: bool
    """whether the slot was ours already"""


@dataclass(frozen=True)
class News:
    """What the watch has told of a slot."""

    record: Record
    deleted: bool
    """whether its Lease is gone, and the record its last one"""
    at: float
    """when we heard it, on our monotonic clock"""

    @property
    def free(self) -> bool:
        """Whether nobody holds the slot, as far as this tells."""
        return self.deleted or not self.record.holder


MOST_NAMED = 3
"""hosts that are named where several will do"""


class Slots:
    """What we know of each slot, and the calls that read and change it; for one thread at a time."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        me: Claimant,
        namespace: str,
        hosts: Mapping[str, Sequence[str]],
        *,
        title: str,
        owner: Json | None = None,
    ) -> None:
        """`hosts` has the names of each host's slots, the host that is preferred first.

        `title` is what the lease of `{host}` is called; `owner` a reference to the object that new Leases belong to.
        """
        self.me = me
        self.seen: dict[str, Sighting] = {}
        self.rights_seen = False
        """whether the server has said that we may do all we need: what it then refuses may be its own trouble"""
        self._doubted: dict[str, Sighting] = {}
        """slots that were not as we believed; kept for who held them, if they turn out to be deleted"""
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._owner = owner
        self._path = leases_path(namespace)
        self._title = title
        self._hosts = {host: self._in_turn(names) for host, names in hosts.items()}

    def _in_turn(self, names: Sequence[str]) -> list[str]:
        """Return the slots of a host in another order for each claimant, so that not all fight for the first one."""
        first = zlib.crc32(self.me.identity.encode()) % len(names)
        return [*names[first:], *names[:first]]

    @property
    def host(self) -> str:
        """The host; the one that is preferred, while several will do."""
        return next(iter(self._hosts))

    @property
    def names(self) -> list[str]:
        """The slots in the order in which they are reached for."""
        return [name for names in self._hosts.values() for name in names]

    @property
    def title(self) -> str:
        """What people read of the lease."""
        hosts = list(self._hosts)
        if len(hosts) > MOST_NAMED:
            hosts[MOST_NAMED - 1 :] = [f"{len(hosts) - MOST_NAMED + 1} other hosts"]
        return self._title.format(host=" or ".join(hosts))

    def keep_to(self, name: str) -> None:
        """Go on with the host of that slot alone."""
        host = self._host_of(name)
        self._hosts = {host: self._hosts[host]}
        self.seen = {name: sighting for name, sighting in self.seen.items() if name in self._hosts[host]}

    def decision(self, name: str) -> Take | Wait | Ours:
        """Return what to do now with a slot that was seen."""
        siblings = self._hosts[self._host_of(name)]
        others = [self.seen[other].last for other in siblings if other != name and other in self.seen]
        used = any(last and last.used for last in others)
        return decide(self.seen[name], self.me, self._clock.now(), others_used=used)

    def look(self, name: str, failures: int = 0) -> Sequence[str]:
        """Read a slot, where several hosts will do all of them in one call; return those that were read.

        After failures with more patience, since a server may be slow for so many ask again.
        """
        timeout = min(self.me.request_timeout * (1 + failures), LONGEST_LOOK)
        if len(self._hosts) > 1:
            return self._look_at_all(timeout)
        try:
            record = parse_record(self._api.get(f"{self._path}/{name}", timeout=timeout))
        except ApiError as error:
            if error.status != 404:
                raise
            record = None
        self._see(name, record, self._clock.now())
        return [name]

    def _look_at_all(self, timeout: float) -> Sequence[str]:
        # All of the namespace: those that another program has made lack the label.
        leases = self._api.get(self._path, timeout=timeout).get("items") or []
        records = {record.name: record for record in map(parse_record, leases)}
        for name in self.names:
            self._see(name, records.get(name), self._clock.now())
        return self.names

    def news_of(self, event: Json) -> News | None:
        """Return what an event of the watch tells, if it is about one of these slots; may be called by any thread."""
        record, deleted = parse_event(event)
        return News(record, deleted, self._clock.now()) if record.name in self.names else None

    def hear(self, news: News) -> None:
        """Take notice of news, however late; the slot counts as seen when they came."""
        name = news.record.name
        if news.deleted:
            self.seen[name] = see_deleted(self._known(name), news.record, news.at)
        else:
            self._see(name, news.record, news.at)

    def write(self, name: str, journal: str, spread: float | None = None) -> Claimed | None:
        """Put our name into a slot, or renew it there; None when the slot has changed since it was seen.

        With a `spread`, say so to the others who wait.

        May be repeated after any ApiError: if the write was done after all, the next one is None, and a look
        shows our name.
        """
        before, sent = self.seen[name].record, self._clock.now()
        now, me = self._clock.utc(), self.me
        lease = held_lease(
            before,
            name,
            self._host_of(name),
            holder=me.identity,
            duration=me.duration,
            now=now,
            journal=journal,
            spread=spread,
        )
        last = self.seen[name].last
        if not self._store(name, before, lease):
            return None
        dead = last is not None and last.holder not in {"", me.identity}
        kept = last is not None and last.holder == me.identity
        inherited = Notes(last.author or last.holder, last.journal) if last and dead else None
        return Claimed(name, sent, inherited, kept)

    def prepare(self) -> None:
        """Find out whether a slot can be had at all: read them, create those of a new host, and check our rights.

        All of a host are created at once: so a slot that is missing beside one that was used has been deleted.
        May be repeated after any ApiError.
        """
        for name in self.names:
            if name not in self.seen:
                self.look(name)
        for host, names in self._hosts.items():
            records = {name: self.seen[name].record for name in names if name in self.seen}
            if not any(record and record.used for record in records.values()):
                for name in [name for name, record in records.items() if record is None]:
                    lease = unused_lease(name, host, self.me.duration, self._clock.utc())
                    self._store(name, None, lease)
        check_rights(self._api, self._path, self._namespace, self.me.request_timeout)
        self.rights_seen = True

    def free(self, name: str, outcome: str = "") -> bool:
        """Take our name out of a slot; False when it has changed since it was seen, True when it is not ours.

        An `outcome` is left in it, facts in JSON.
        """
        record = self.seen[name].record
        if record is None or record.holder != self.me.identity:
            return True
        freed = free_lease(record, self.me.duration, self._clock.utc(), outcome)
        return self._store(name, record, freed)

    def watch(self) -> Watch:
        """Follow the slots; the first events tell how they are now."""
        selector = f"{HOST_LABEL} in ({','.join(self._hosts)})"
        return self._api.watch(self._path, SILENCE, labelSelector=selector, timeoutSeconds="300")

    def held_by_another(self) -> Record | None:
        """Return the first slot as it was last seen, if somebody else holds it."""
        sighting = self.seen.get(self.names[0])
        last = sighting.last if sighting else None
        return last if last and last.holder not in {"", self.me.identity} else None

    def holders(self) -> str:
        """Return who holds the slots, for people."""
        return ", ".join(s.last.holder for s in self.seen.values() if s.last and s.last.holder)

    def _host_of(self, name: str) -> str:
        return next(host for host, names in self._hosts.items() if name in names)

    def _store(self, name: str, before: Record | None, lease: Json) -> bool:
        timeout = self.me.request_timeout
        try:
            if before is None:
                # Whoever may create may set it, also where OpenShift's admission guards owners.
                if self._owner:
                    lease["metadata"]["ownerReferences"] = [self._owner]
                stored = self._api.create(self._path, lease, timeout=timeout)
            else:
                stored = self._api.replace(f"{self._path}/{name}", lease, timeout=timeout)
        except ApiError as error:
            if error.status not in {404, 409} or error.no_namespace:
                raise
            self._doubted[name] = self.seen.pop(name)
            return False
        self._see(name, parse_record(stored), self._clock.now())
        return True

    def _see(self, name: str, record: Record | None, at: float) -> None:
        trusted = self.seen.get(name) if record and record.used else self._known(name)
        self.seen[name] = see(trusted, record, at)

    def _known(self, name: str) -> Sighting | None:
        return self.seen.get(name) or self._doubted.get(name)
