"""What real processes did around the slots of a host on a real API server, as a history for the judge.

What stands in the slots comes from an administrator's watch: the server's order, but seen with a lag. All writes
carry the true time at which they were sent, and on one machine all clocks are one; so a write counts from then. That
turns no order round: each names the version before it, and was sent after that one had been stored. And it makes a
tolerance for busy machines needless, which would hide mistakes: a taker waited no longer than the silence between two
sendings, and a holder counts its certainty from the sending, too.
What a stranger writes counts from just before the test lets it; a deletion is a stranger's, since we have no right to.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lease.record import FREE_FOR, parse_record
from tests.lab.kube import Client, Refused, path
from tests.lab.lease.history import Event, Joined, State, Trouble, Written
from tests.lab.lease.server import state

Json = dict[str, Any]
ADMIN = "admin"
"""a stranger, for the judge"""
TOLD_WITHIN = 20.0
"""seconds until the watch must have told all that has happened"""


@dataclass(frozen=True)
class _Seen:
    """A version of a slot, as the watch told it."""

    at: float
    slot: str
    version: str
    after: State | None
    sent: float | None
    complete: bool
    """whether the watch has certainly told the version before it"""


@dataclass
class Recording:
    """Follows all slots of a namespace; the test adds what it knows of the others that take part."""

    admin: Client
    namespace: str
    events: list[Event] = field(default_factory=list)
    _seen: list[_Seen] = field(default_factory=list)
    _by_hand: dict[str, float] = field(default_factory=dict)
    _trouble_since: float | None = None

    def __post_init__(self) -> None:
        self._version = self.admin.get(path("leases", self.namespace))["metadata"]["resourceVersion"]
        threading.Thread(target=self._follow, daemon=True).start()

    def by_hand(self, act: Callable[[], Json]) -> None:
        """Let a stranger write one version of a slot, or delete it."""
        now = time.monotonic()
        self.events.append(Joined(now, ADMIN, 0, ours=False))
        self._by_hand[act().get("metadata", {}).get("resourceVersion", "")] = now

    def trouble_begins(self) -> None:
        """Note that calls fail from now on."""
        self._trouble_since = self._trouble_since or time.monotonic()

    def trouble_ends(self) -> None:
        """Note that they do not fail any more."""
        if self._trouble_since is not None:
            self.events.append(Trouble(self._trouble_since, time.monotonic()))
        self._trouble_since = None

    @property
    def writes(self) -> list[Written]:
        """Return what was written so far, in the server's order."""
        found, last = list[Written](), dict[str, State | None]()
        for seen in self._seen:
            before, last[seen.slot] = last.get(seen.slot), seen.after
            found.append(self._written(seen, before))
        sooner, next_at = list[Written](), dict[str, float]()
        for write in reversed(found):  # seen late, a stranger's write still came before the next one was sent
            next_at[write.slot] = min(write.at, next_at.get(write.slot, write.at))
            sooner.append(replace(write, at=next_at[write.slot]))
        return sooner[::-1]

    def taken_from(self, heir: str) -> list[str]:
        """Return whom (or nobody) the slot named before it came to name them, each time."""
        changes = [(write.before, write.after) for write in self.writes if write.before and write.after]
        return [before.holder for before, after in changes if after.holder == heir != before.holder]

    def took_over_from_peers(self, ours: str) -> list[str]:
        """Return the peers of the Go rule whose slots ours have taken, by the beginning of their names."""
        return [
            write.before.holder
            for write in self.writes
            if write.before and write.holder.startswith(ours) and write.before.holder.startswith("go-")
        ]

    def history(self) -> list[Event]:
        """Return all that has happened, once the watch has told it."""
        self.trouble_ends()
        deadline = time.monotonic() + TOLD_WITHIN
        while not self._told_all():
            assert time.monotonic() < deadline, "the watch lags too far behind"
            time.sleep(0.02)
        return [*self.events, *self.writes]

    def _written(self, seen: _Seen, before: State | None) -> Written:
        holders = [each.holder for each in (seen.after, before) if each and each.holder]
        by, at = next(iter(holders), ""), seen.at if seen.sent is None else min(seen.sent, seen.at)
        if seen.after is None or seen.version in self._by_hand:
            by, at = ADMIN, self._by_hand.get(seen.version, seen.at)
        return Written(at, seen.slot, by, at, before if seen.complete else None, seen.after)

    def _told_all(self) -> bool:
        leases = [lease["metadata"] for lease in self.admin.list(path("leases", self.namespace))]
        told = {seen.slot: seen.version for seen in self._seen if seen.after}
        gone = {seen.slot for seen in self._seen} - {lease["name"] for lease in leases}
        last = {seen.slot: seen.after for seen in self._seen}
        return all(told.get(lease["name"]) == lease["resourceVersion"] for lease in leases) and not any(
            last[slot] for slot in gone
        )

    def _follow(self) -> None:
        """Watch, from where we were when the server has been away."""
        complete = True
        while True:
            try:
                for event in self.admin.watch(path("leases", self.namespace), resourceVersion=self._version):
                    if event["type"] == "ERROR":  # begin again with what there is now
                        self._version, complete = "0", False
                        break
                    self._see(event, complete)
                    complete = True
            except (OSError, Refused, ValueError):
                time.sleep(0.05)

    def _see(self, event: Json, complete: bool) -> None:
        lease, now = event["object"], time.monotonic()
        name, self._version = lease["metadata"]["name"], lease["metadata"]["resourceVersion"]
        if any((seen.slot, seen.version) == (name, self._version) for seen in self._seen):
            return
        after = None if event["type"] == "DELETED" else state(lease)
        self._seen.append(_Seen(now, name, self._version, after, _sent(lease), complete))


def _sent(lease: Json) -> float | None:
    """Return when a write was sent, on the monotonic clock: `renewTime` tells, which a release puts back."""
    record = parse_record(lease)
    if not record.renewed:
        return None
    put_back = 0.0 if record.holder else (record.duration or 0) + FREE_FOR
    renewed = datetime.fromisoformat(record.renewed).timestamp() + put_back
    return renewed - (time.time() - time.monotonic())
