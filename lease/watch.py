"""The slots of a namespace, read by an observer: once, or followed for as long as it takes.

To follow is one list, then a watch that is started again whenever it ends, breaks, or is too old. A thread reads, and
the caller gets what has changed; a slot may also expire because nothing happens.
"""

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from queue import Empty, SimpleQueue

from lease.decision import Sighting, backoff, see
from lease.kube.api import Api, ApiError, Json
from lease.overview import Names, SlotState, SlotView, by_change, by_dates, in_order
from lease.ports import Clock
from lease.record import Record, leases_path, parse_event, parse_record

SILENCE = 75.0
"""seconds without a word after which a watch is started again; a server sends bookmarks about each minute"""
LOOK_EVERY = 0.5
"""seconds between two looks at what may have expired"""
TOO_OLD = 410
TELL_AT = 3
"""failures in a row after which it is said that the API server does not answer; a watch that breaks off is usual"""
PROGRESS = frozenset({"percent", "rate"})
"""the facts of a journal that change with each renewal, and are no news by themselves"""

log = logging.getLogger(__name__)


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
    return Reader(api, leases_path(namespace)).changes(SlotWatch(names, clock))


class SlotWatch:
    """The slots of a namespace, and what has become of them since they were last reported."""

    def __init__(self, names: Names, clock: Clock) -> None:
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

    def hear_all(self, leases: list[Record]) -> None:
        """Take notice of all Leases there are; others are gone."""
        there = {record.name: record for record in leases}
        for name in [*there, *(self._seen.keys() - there.keys())]:
            self.hear(name, there.get(name))

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


class Reader(threading.Thread):
    """Lists, watches, and goes on; a failure that cannot pass is handed on and ends it."""

    def __init__(self, api: Api, path: str) -> None:
        super().__init__(name="slot watch", daemon=True)
        self._api = api
        self._path = path
        self._news: SimpleQueue[list[Json] | Json | ApiError] = SimpleQueue()
        self._version = ""
        self._failures = 0

    def changes(self, watch: SlotWatch) -> Iterator[list[SlotView]]:
        """Yield the slots that have changed, for ever; raises ApiError when reading is of no further use."""
        self.start()
        while True:
            with suppress(Empty):
                _tell(watch, self._news.get(timeout=LOOK_EVERY))
            if slots := watch.changed():
                yield slots

    def run(self) -> None:
        """Read until that is of no use."""
        pause = threading.Event()
        while True:
            asked = None
            try:
                self._read()
            except ApiError as error:
                if error.final:
                    self._news.put(error)
                    return
                if error.status == TOO_OLD:
                    self._version = ""
                asked = error.retry_after
                log.log(logging.WARNING if self._failures == TELL_AT else logging.DEBUG, "%s", error.text)
            self._failures += 1
            pause.wait(backoff(self._failures, asked, random.random()))  # noqa: S311

    def _read(self) -> None:
        if not self._version:
            answer = self._api.get(self._path)
            self._news.put(list(answer.get("items") or []))
            self._version = str(answer.get("metadata", {}).get("resourceVersion", ""))
        more = {"allowWatchBookmarks": "true", "timeoutSeconds": "300", "resourceVersion": self._version}
        with self._api.watch(self._path, SILENCE, **more) as events:
            for event in events:
                self._failures = 0
                self._version = parse_record(event.get("object")).version or self._version
                if event.get("type") != "BOOKMARK":
                    self._news.put(event)


def _tell(watch: SlotWatch, news: list[Json] | Json | ApiError) -> None:
    if isinstance(news, ApiError):
        raise news
    if isinstance(news, list):
        watch.hear_all([parse_record(lease) for lease in news])
        return
    record, deleted = parse_event(news)
    watch.hear(record.name, None if deleted else record)
