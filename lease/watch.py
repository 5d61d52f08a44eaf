"""The slots of a namespace, read by an observer: once, or followed for as long as it takes.

A thread reads, and the caller gets what has changed; a slot may also expire because nothing happens.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from queue import Empty

from lease.decision import Sighting, see
from lease.kube.api import Api, ApiError
from lease.kube.collection import Collection, News
from lease.overview import Names, Naming, SlotState, SlotView, by_change, by_dates, in_order
from lease.ports import Clock
from lease.record import Record, leases_path, parse_event, parse_record

LOOK_EVERY = 0.5
"""seconds between two looks at what may have expired"""
PROGRESS = frozenset({"percent", "rate"})
"""the facts of a journal that change with each renewal, and are no news by themselves"""


def read_slots(api: Api, namespace: str, names: Names, now: datetime) -> list[SlotView]:
    """Return the slots as they are, judged by their dates; raise ApiError where they cannot be read."""
    records = [parse_record(lease) for lease in api.get(leases_path(namespace)).get("items") or []]
    views = [
        SlotView(*place, by_dates(record, now), record)
        for record in records
        if (place := names.parse(record.name))
    ]
    return in_order(views)


def follow_slots(api: Api, namespace: str, names: Names, clock: Clock) -> Iterator[list[SlotView]]:
    """Yield all slots, and then those that change, for ever; raise ApiError when reading is of no further use."""
    leases, watch = Collection(api, leases_path(namespace)), SlotWatch(names, clock)
    leases.start()
    while True:
        with suppress(Empty):
            _tell(watch, leases.news.get(timeout=LOOK_EVERY))
        if slots := watch.changed():
            yield slots


class SlotWatch:
    """The slots of a namespace, and what has become of them since they were last reported."""

    def __init__(self, names: Naming, clock: Clock) -> None:
        self._names = names
        self._clock = clock
        self._seen: dict[str, Sighting] = {}
        self._last: dict[str, Record] = {}
        self._changing: set[str] = set()
        self._told: dict[str, tuple[object, ...]] = {}

    def hear(self, name: str, record: Record | None) -> None:
        """Take notice of a Lease as it is now; None when it has been deleted."""
        before = self._seen.get(name)
        if self._names.parse(name) is None or (before is None and record is None):
            return
        self._seen[name] = after = see(before, record, self._clock.now())
        if record is not None:
            self._last[name] = record
        if before is not None and after is not before:
            self._changing.add(name)

    def begin_again(self) -> None:
        """Judge by what changes from now on: nothing could be heard, or written, for a while."""
        now = self._clock.now()
        self._seen = {name: replace(sighting, since=now) for name, sighting in self._seen.items()}

    def hear_all(self, leases: list[Record]) -> None:
        """Take notice of all Leases there are; others are gone."""
        there = {record.name: record for record in leases}
        for name in [*there, *(self._seen.keys() - there.keys())]:
            self.hear(name, there.get(name))

    def views(self, heard: float) -> list[SlotView]:
        """Return the slots there are, as of the moment at which the API server was last heard, on the clock's time.

        While it is away nobody's record changes, and nobody expires for that. Dates alone never settle it here.
        """
        return in_order([self._judged(name, heard) for name, seen in self._seen.items() if seen.record])

    def _judged(self, name: str, heard: float) -> SlotView:
        slot = self._view(name)
        if slot.state not in {SlotState.EXPIRED, SlotState.STALE}:
            return slot
        sighting, maybe = self._seen[name], SlotState.MAYBE_EXPIRED
        state = by_change(sighting, heard, maybe, seen_to_change=name in self._changing)
        return replace(slot, state=state)

    def changed(self) -> list[SlotView]:
        """Return the slots that are not as they were last reported; renewals and progress alone are no news."""
        slots = [slot for name in self._seen if self._told.get(name) != _news(slot := self._view(name))]
        for slot in slots:
            self._told[slot.record.name] = _news(slot)
        for slot in slots:
            if slot.state is SlotState.GONE:
                del self._seen[slot.record.name], self._told[slot.record.name]
                self._changing.discard(slot.record.name)
        return in_order(slots)

    def _view(self, name: str) -> SlotView:
        place = self._names.parse(name)
        assert place is not None  # noqa: S101 - `hear` took it because it is one
        record = self._last[name]
        dates = by_dates(record, self._clock.utc())
        state = by_change(self._seen[name], self._clock.now(), dates, seen_to_change=name in self._changing)
        return SlotView(*place, state, record)


def _news(slot: SlotView) -> tuple[object, ...]:
    facts = tuple((name, fact) for name, fact in slot.journal.items() if name not in PROGRESS)
    return slot.state, slot.record.holder, facts


def _tell(watch: SlotWatch, news: News) -> None:
    if isinstance(news, ApiError):
        raise news
    if news is None:
        return
    if isinstance(news, list):
        watch.hear_all([parse_record(lease) for lease in news])
        return
    record, deleted = parse_event(news)
    watch.hear(record.name, None if deleted else record)
