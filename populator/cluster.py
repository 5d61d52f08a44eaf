"""All populates of a cluster, read from its Leases and Forklift's objects: once, or followed for as long as it takes.

Three kinds of sources, of which each may be forbidden, missing or away by itself: what can be read is shown all the
same. List rights are enough. While the API server is away nothing is judged by what does not change.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import Empty
from typing import Any, Generic, Protocol, TypeVar

from lease.kube.api import Api, ApiError, Json
from lease.kube.collection import Collection, News
from lease.overview import Names, Naming, SlotView
from lease.ports import Clock
from lease.record import HOST_LABEL, leases_path, parse_event, parse_record
from lease.watch import SlotWatch
from populator.plan.evidence import VolumeNames, overview
from populator.plan.progress import Overview

POPULATORS = "vspherexcopyvolumepopulators"
FORKLIFT = "/apis/forklift.konveyor.io/v1beta1"
SILENT_FOR = 13.0
"""seconds without a word from a source after which it was away, and holders perhaps with it; a watch ends each 10"""


@dataclass(frozen=True)
class Trouble:
    """A source that cannot be read."""

    what: str
    """for people"""
    error: ApiError
    since: datetime

    @property
    def text(self) -> str:
        """Return the trouble in a line."""
        if self.error.forbidden:
            return f"{self.what}: you may not list them."
        if self.error.status == 404:
            return f"{self.what}: this cluster has none."
        return f"{self.what}, since {self.since:%H:%M:%S}: {self.error.text}"


class Contents(Protocol):
    """What a source has told of."""

    def hear_all(self, items: list[Json]) -> None:
        """Take notice of all that there is."""

    def hear(self, event: Json) -> None:
        """Take notice of an event."""

    def begin_again(self) -> None:
        """Take notice that nothing could be heard for a while."""


Told = TypeVar("Told", bound=Contents)


class Leases:
    """Leases, each judged by whether it changes."""

    def __init__(self, names: Naming, clock: Clock) -> None:
        self._watch = SlotWatch(names, clock)

    def hear_all(self, items: list[Json]) -> None:
        self._watch.hear_all([parse_record(item) for item in items])

    def hear(self, event: Json) -> None:
        record, deleted = parse_event(event)
        self._watch.hear(record.name, None if deleted else record)

    def begin_again(self) -> None:
        self._watch.begin_again()

    def views(self, heard: float) -> list[SlotView]:
        """Return them as of the moment at which the source was last heard."""
        return self._watch.views(heard)


class Objects:
    """Objects of Forklift's."""

    def __init__(self) -> None:
        self._items: dict[str, Json] = {}

    def hear_all(self, items: list[Json]) -> None:
        self._items = {_key(item): item for item in items}

    def hear(self, event: Json) -> None:
        item = event.get("object")
        if event.get("type") == "DELETED":
            self._items.pop(_key(item), None)
        elif isinstance(item, dict):
            self._items[_key(item)] = item

    def begin_again(self) -> None:
        """Go on: they are not judged by what does not change."""

    def all(self) -> list[Json]:
        """Return them."""
        return list(self._items.values())


class Source(Generic[Told]):
    """One collection, and what it has told of."""

    def __init__(self, what: str, path: str, contents: Told, clock: Clock, **params: str) -> None:
        self.what, self.path, self.params = what, path, params
        self.contents = contents
        self.trouble: Trouble | None = None
        self.known = False
        """whether it has been read, or could not be"""
        self.heard = clock.now()
        """when the API server last answered, on the clock"""
        self._clock = clock
        self._followed: Collection | None = None

    def read(self, api: Api) -> None:
        """List it once."""
        try:
            self.take(list(api.get(self.path, None, **self.params).get("items") or []))
        except ApiError as error:
            self.take(error)

    def follow(self, api: Api) -> None:
        """Begin to follow it."""
        self._followed = Collection(api, self.path, patient=True, **self.params)
        self._followed.start()

    def catch_up(self) -> None:
        """Take all news there are by now."""
        with suppress(Empty):
            while self._followed:
                self.take(self._followed.news.get_nowait())

    def take(self, news: News) -> None:
        """Take a piece of news."""
        self.known = True
        if isinstance(news, ApiError):
            since = self.trouble.since if self.trouble else self._clock.utc()
            self.trouble = Trouble(self.what, news, since)
            return
        now = self._clock.now()
        if self.trouble or now - self.heard > SILENT_FOR:
            self.contents.begin_again()
        self.trouble, self.heard = None, now
        if isinstance(news, list):
            self.contents.hear_all(news)
        elif news is not None:
            self.contents.hear(news)


class Cluster:
    """The populates of some namespaces, or of all where none is named."""

    def __init__(
        self, api: Api, namespaces: Sequence[str], lease_namespace: str, names: Names, clock: Clock
    ) -> None:
        self._api = api
        self._clock = clock
        what, where = f"Slots of hosts in namespace {lease_namespace}", leases_path(lease_namespace)
        self._slots = Source(what, where, Leases(names, clock), clock)
        self._writers = [_writers(namespace, clock) for namespace in namespaces or ("",)]
        self._objects = [_objects(namespace, clock) for namespace in namespaces or ("",)]

    @property
    def sources(self) -> list["Source[Any]"]:
        """Return all that is read."""
        return [self._slots, *self._writers, *self._objects]

    @property
    def troubles(self) -> list[Trouble]:
        """Return what cannot be read."""
        return [source.trouble for source in self.sources if source.trouble]

    @property
    def unread(self) -> list[str]:
        """Return what is still being read for the first time, for people."""
        return [source.what for source in self.sources if not source.known]

    def read(self) -> None:
        """Read all once."""
        for source in self.sources:
            source.read(self._api)

    def follow(self) -> None:
        """Begin to follow all of it."""
        for source in self.sources:
            source.follow(self._api)

    def look(self) -> Overview:
        """Return what is known by now."""
        for source in self.sources:
            source.catch_up()
        return overview(
            [view for source in self._writers for view in source.contents.views(source.heard)],
            self._slots.contents.views(self._slots.heard),
            [item for source in self._objects for item in source.contents.all()],
            self._clock.utc(),
        )


def _writers(namespace: str, clock: Clock) -> "Source[Leases]":
    """Return the Leases of volumes' writers; a label that all of ours have keeps out those of nodes and others."""
    where = f"namespace {namespace}" if namespace else "all namespaces"
    contents = Leases(VolumeNames(), clock)
    return Source(
        f"Volumes' Leases in {where}", leases_path(namespace), contents, clock, labelSelector=HOST_LABEL
    )


def _objects(namespace: str, clock: Clock) -> "Source[Objects]":
    """Return Forklift's objects."""
    where = f"namespace {namespace}" if namespace else "all namespaces"
    path = f"{FORKLIFT}{f'/namespaces/{namespace}' if namespace else ''}/{POPULATORS}"
    return Source(f"VSphereXcopyVolumePopulators in {where}", path, Objects(), clock)


def _key(item: Any) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return f"{metadata.get('namespace')}/{metadata.get('name')}" if isinstance(metadata, dict) else ""
