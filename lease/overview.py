"""The slots of a namespace as an onlooker sees them: whose they are, since when, and whether that is still true. Pure.

Whoever looks once has nothing but the dates in a record, and those are by the clock of another machine: so a word that
has run out by them is `expired?`. An observer that goes on watching sees whether records change, and knows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from string import Formatter
from typing import Protocol

from lease.decision import LONGEST, Sighting, promise
from lease.record import GO_TEMPLATE, TEMPLATE, Record


class SlotState(StrEnum):
    """How a slot is, as far as an onlooker can tell."""

    FREE = "free"
    HELD = "held"
    MAYBE_EXPIRED = "expired?"
    """by the dates in the record, and the clocks may differ"""
    EXPIRED = "expired"
    """before our eyes: the next one who wants a slot takes this one"""
    STALE = "stale"
    """ran out so long ago that no duration allows it, or has no dates to judge by: left behind, or not one of ours"""
    GONE = "gone"
    """the Lease was deleted while we watched"""


TROUBLED = frozenset({SlotState.MAYBE_EXPIRED, SlotState.EXPIRED, SlotState.STALE})
"""the states of a holder that died, or was cut off"""


@dataclass(frozen=True)
class SlotView:
    """One slot of one host."""

    host: str
    """managed object id"""
    number: int
    state: SlotState
    record: Record

    @property
    def pod(self) -> str:
        """Return the holder's pod: an identity of ours goes on behind a character that no pod's name has."""
        return self.record.holder.partition("_")[0]

    @property
    def journal(self) -> Mapping[str, str]:
        """Return what the holder reports of its work; nothing where nobody holds the slot."""
        record = self.record
        return record.journal if record.holder and record.author in {"", record.holder} else {}

    @property
    def held_since(self) -> datetime | None:
        """Return when the holder claims to have taken it."""
        return moment(self.record.acquired) if self.record.holder else None

    @property
    def renewed(self) -> datetime | None:
        """Return when the holder claims to have last written it; a release puts that back, see `record.free_lease`."""
        return moment(self.record.renewed)


class Naming(Protocol):
    """Tells by the name of a Lease whose it is."""

    def parse(self, name: str) -> tuple[str, int] | None:
        """Return host, or what a Lease is for instead, and slot number; None for any other Lease."""


class Names:
    """Tells host and slot by the name of a Lease: ours, those of a template, and the Go populator's."""

    def __init__(self, template: str = TEMPLATE) -> None:
        # The Go populator's first: its names would pass for ours with a host called `hostsystem-…`.
        self._patterns = [_pattern(each) for each in dict.fromkeys((GO_TEMPLATE, template, TEMPLATE))]

    def parse(self, name: str) -> tuple[str, int] | None:
        """Return host and slot number, None for any other Lease."""
        found = next((match for pattern in self._patterns if (match := pattern.fullmatch(name))), None)
        return (found["host"], int(found["slot"])) if found else None


def _pattern(template: str) -> re.Pattern[str]:
    """Return an expression for the names that a valid template makes."""
    parts = {"host": r"(?P<host>[a-z0-9.-]+)", "slot": r"(?P<slot>[0-9]+)"}
    text = ""
    for literal, field, _, _ in Formatter().parse(template):
        part = parts.pop(field or "", rf"(?P={field})" if field else "")
        text += re.escape(literal) + part
    return re.compile(text)


def moment(text: str | None) -> datetime | None:
    """Read a date of a record; None for what is none."""
    try:
        read = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def by_dates(record: Record, now: datetime) -> SlotState:
    """Judge a record that was seen once, by the wall clock."""
    if not record.holder:
        return SlotState.FREE
    renewed = moment(record.renewed)
    if renewed is None or record.duration is None:
        return SlotState.STALE
    over = (now - renewed).total_seconds() - promise(record, LONGEST)
    if over <= 0:
        return SlotState.HELD if over > -2 * LONGEST else SlotState.STALE
    return SlotState.MAYBE_EXPIRED if over <= LONGEST else SlotState.STALE


def by_change(sighting: Sighting, now: float, dates: SlotState, *, seen_to_change: bool) -> SlotState:
    """Judge a record that was watched: `now` on the clock of the sighting, `dates` what `by_dates` says."""
    record = sighting.record
    if record is None:
        return SlotState.GONE
    if not record.holder:
        return SlotState.FREE
    if now - sighting.since > promise(record, LONGEST):
        return SlotState.STALE if dates == SlotState.STALE else SlotState.EXPIRED
    return SlotState.HELD if seen_to_change else dates


def in_order(slots: Sequence[SlotView]) -> list[SlotView]:
    """Return slots host by host, `host-9` before `host-10`."""

    def natural(slot: SlotView) -> tuple[list[tuple[int, str]], int, str]:
        parts = re.findall(r"\d+|\D+", slot.host)
        return (
            [(int(p), "") if p.isdigit() else (-1, p) for p in parts],
            slot.number,
            slot.record.name,
        )

    return sorted(slots, key=natural)
