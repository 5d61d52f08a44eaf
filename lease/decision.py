"""The rules of the lease, pure: what to do with one slot now, and how long a write of ours is good for.

Only our own monotonic clock is asked, and it is asked for spans, never for dates: a record is dead when it has not
changed before our eyes for as long as its holder promised. Whatever a record says about wall-clock time, past, future
or nonsense, it neither makes us take a slot nor wait longer for it.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from lease.record import GO_TEMPLATE, Record, slot_names

SHORTEST, LONGEST = 3, 3600
"""seconds: below, a request would get less than 0.75 s; above, a dead pod would block its host for hours"""
STRANGERS_PROMISE = 10
"""seconds for which a holder is believed at least that has not written the duration itself: the Go populator takes a
slot over with whatever duration stands there, and means its own default"""
SHORTEST_WITH_GO = 5
"""seconds of a duration that we may leave in a slot of the Go populator's, which renews it each 3 s"""

LONGEST_REQUEST = 4.0
"""seconds"""


class Scope(StrEnum):
    """What a slot is held for."""

    COPY = "copy"
    """all of a copy, with what goes before and after it"""
    RESCAN = "rescan"
    """each disruptive step alone: rescan, detach, removal of dead paths"""


@dataclass(frozen=True)
class Claimant:
    """A process that wants a slot, and the time spans that follow from the duration of its lease.

    In the order of time, each counted from just before the request that last succeeded: `renew_after`, one request,
    `give_up_after`, and only then expiry in the eyes of others. The last third lets a step that was begun come to an
    end, and makes up for clocks whose rates differ by up to 20 % each way.
    """

    identity: str
    duration: int
    """seconds, as written in the record"""

    @property
    def renew_after(self) -> float:
        """Seconds until the holder writes the record again."""
        return self.duration / 3

    @property
    def give_up_after(self) -> float:
        """Seconds after which nothing new may start."""
        return self.duration * 2 / 3

    @property
    def request_timeout(self) -> float:
        """Seconds: a request may hang, and another one still comes through before we give up.

        Not long in any case, since whoever is told to stop has to wait for a claim that is under way.
        """
        return min(self.duration / 4, LONGEST_REQUEST)


@dataclass(frozen=True)
class Sighting:
    """A slot as we know it; `record` is None where there is no Lease."""

    record: Record | None
    since: float
    """when we first saw this version, or that there is none, on our monotonic clock"""
    deleted: Record | None = None
    """the last word of a Lease that was deleted, as long as nobody is seen to have held the slot since"""
    deleted_since: float = math.inf
    """when we first saw that last word, or if we had not, when we learned of the deletion"""

    @property
    def last(self) -> Record | None:
        """Return what the holder said last; None where none is known."""
        return self.record if self.record and self.record.used else self.deleted or self.record

    @property
    def version(self) -> str:
        """Return which version of the Lease this is; empty where there is none."""
        return self.record.version if self.record else ""


@dataclass(frozen=True)
class Take:
    """Write our name into it; `dead` says that the holder has not released it."""

    dead: bool


@dataclass(frozen=True)
class Wait:
    """Another process holds it, until that moment unless it renews."""

    until: float


@dataclass(frozen=True)
class Ours:
    """It names us."""


def see(before: Sighting | None, record: Record | None, now: float) -> Sighting:
    """Return the sighting after a look; a version that we know keeps its moment.

    A slot that was held and is missing now, or is there again and was never used, was deleted under its holder. The
    same object, which names nobody any more, was released by a program that notes no times.
    """
    if before is None or (record and record.used):
        same = before and before.record and record and before.record.version == record.version
        return before if before and same else Sighting(record, now)
    if before.record and before.record.holder:
        if record and record.uid and record.uid == before.record.uid:
            return Sighting(record, now)
        return Sighting(record, now, before.record, now)
    if record is None and before.record is None:
        return before
    return Sighting(record, now, before.deleted, before.deleted_since)


def see_deleted(before: Sighting | None, last: Record, now: float) -> Sighting:
    """Return the sighting after the news of a deletion, which tells what the Lease said last."""
    if not last.used:
        return see(before, None, now)
    known = before.record if before else None
    unchanged = known and (known.holder, known.renewed) == (last.holder, last.renewed)
    return Sighting(None, now, last, before.since if before and unchanged else now)


def promise(record: Record, own: int) -> int:
    """Return the seconds after each write for which a holder must be believed.

    A holder that promises nothing is taken to promise what we do, `own`; one that promises more than anybody may
    configure, at most that; one whose duration is not its own, at least STRANGERS_PROMISE.
    """
    least = 0 if record.author == record.holder else STRANGERS_PROMISE
    return min(max(record.duration or own, least), LONGEST)


def decide(sighting: Sighting, me: Claimant, now: float, *, others_used: bool = False) -> Take | Wait | Ours:
    """Say what to do with a slot now; `others_used` says that another slot of the host has been used.

    Then a slot that is missing may have been deleted under a holder of whom we know nothing. One that lives makes it
    again at its next renewal, or has given up after two thirds of its duration; so long it is waited for.
    """
    last = sighting.last
    if last and last.holder == me.identity:
        return Ours()
    until = -math.inf
    if last and last.holder:
        since = sighting.since if last is sighting.record else sighting.deleted_since
        until = since + promise(last, me.duration)
    elif last is None and others_used:
        until = sighting.since + me.give_up_after
    return Take(dead=bool(last and last.holder)) if now >= until else Wait(until)


def backoff(failures: int, retry_after: float | None, chance: float) -> float:
    """Return seconds to wait after so many failures in a row; `chance` is random, from 0 to 1."""
    growing = min(0.1 * math.pow(2, min(failures, 10)), 5.0) * (0.5 + chance / 2)
    return growing if retry_after is None else retry_after + growing * 0.2


def check_settings(duration: int, slots: int, template: str, scope: str) -> dict[str, str]:
    """Return what is wrong with the settings of the lease: a sentence for each parameter that cannot work."""
    problems = {}
    if not SHORTEST <= duration <= LONGEST:
        problems["duration"] = (
            f"The host lease duration must be {SHORTEST} to {LONGEST} seconds, not {duration}: it is renewed each "
            "third, with a quarter for each request."
        )
    if slots < 1:
        problems["slots"] = f"The number of slots per host must be at least 1, not {slots}."
    if scope not in set(Scope):
        problems["scope"] = f"The scope of the host lease is {' or '.join(Scope)}, not {scope!r}."
    try:
        names = {name for host in ("host-1", "host-2") for name in slot_names(template, host, 2)}
    except ValueError as error:
        problems["template"] = f"The name template of the host lease is invalid: {error}."
    else:
        if len(names) < 4:
            problems["template"] = (
                f"The name template of the host lease must hold {{host}} and {{slot}}: {template!r}."
            )
        if names & set(slot_names(GO_TEMPLATE, "host-1", 2)) and SHORTEST <= duration < SHORTEST_WITH_GO:
            problems["duration"] = (
                f"The host lease duration must be at least {SHORTEST_WITH_GO} seconds, not {duration}, for slots that "
                "are shared with the Go populator: it renews them each 3 seconds."
            )
    return problems
