"""The state behind the in-process API server: objects, one global resourceVersion, and the history that watches read.

Every change gets the next version, so that all clients agree on one order. Writes are compare and swap.
"""

import bisect
import threading
import uuid
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.lab.kube.resources import RESOURCES, Resource
from tests.lab.kube.shapes import with_defaults
from tests.lab.kube.statuses import (
    already_exists,
    another,
    conflict,
    expired,
    invalid,
    not_found,
    terminating,
    too_large,
)

Json = dict[str, Any]
Key = tuple[str, str, str]
"""plural, namespace or empty, name"""
Wanted = Callable[[Json], bool]
"""a selector; what does not pass it does not exist for a watch"""

SERVERS_OWN = (
    "uid",
    "creationTimestamp",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""metadata that no writer can change"""
NAMESPACES = RESOURCES["namespaces"]
HISTORY = 20_000
"""changes that are kept for watches"""


@dataclass(frozen=True)
class Change:
    """One write."""

    version: int
    plural: str
    namespace: str
    before: Json | None
    after: Json | None

    def event(self, wanted: Wanted) -> Json | None:
        """Return the watch event for somebody who sees the wanted objects only."""
        was = self.before is not None and wanted(self.before)
        now = self.after is not None and wanted(self.after)
        if now:
            return {"type": "MODIFIED" if was else "ADDED", "object": self.after}
        if was and self.before is not None:
            last = deepcopy(self.before if self.after is None else self.after)
            last["metadata"]["resourceVersion"] = str(self.version)
            return {"type": "DELETED", "object": last}
        return None


class Store:
    """Thread-safe; what it returns may be shared and must not be changed."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1
        self.oldest = 1
        """watches from before this version are refused"""
        self._objects: dict[Key, Json] = {}
        self._history: list[Change] = []

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return one object."""
        with self.changed:
            found = self._objects.get((resource.plural, namespace, name))
        if found is None:
            raise not_found(resource, name)
        return found

    def list(self, resource: Resource, namespace: str, wanted: Wanted) -> tuple[int, list[Json]]:
        """Return the version of this moment, and the wanted objects of a namespace, or of all."""
        with self.changed:
            found = [
                item
                for (plural, where, _), item in sorted(self._objects.items(), key=lambda pair: pair[0])
                if plural == resource.plural and namespace in {"", where} and wanted(item)
            ]
            return self.version, found

    def create(self, resource: Resource, namespace: str, body: Json) -> Json:
        """Store a new object."""
        name = body["metadata"]["name"]
        with self.changed:
            self._check_namespace(resource, namespace, name)
            if (resource.plural, namespace, name) in self._objects:
                raise already_exists(resource, name)
            new = with_defaults(resource, body)
            new["metadata"] |= {
                "uid": str(uuid.uuid4()),
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            if namespace:
                new["metadata"]["namespace"] = namespace
            return self._write(resource, namespace, name, new)

    def replace(self, resource: Resource, namespace: str, body: Json, sub: str = "") -> tuple[Json, bool]:
        """Replace an object, or only its status; return it, and whether it is new.

        A resourceVersion in the body must be the stored one.
        """
        name = body["metadata"]["name"]
        with self.changed:
            old = self._objects.get((resource.plural, namespace, name))
            if old is None:
                if not resource.create_on_update:
                    raise not_found(resource, name)
                if uid := body["metadata"].get("uid"):
                    raise another(resource, name, uid, "")
                return self.create(resource, namespace, body), True
            self._check_writer(resource, old, body["metadata"])
            new = old | {"status": body.get("status", {})} if sub == "status" else body
            if not sub and "status" in old:
                new = new | {"status": old["status"]}
            kept = {key: old["metadata"][key] for key in SERVERS_OWN if key in old["metadata"]}
            new = new | {"metadata": (old if sub else new)["metadata"] | kept | {"name": name}}
            if namespace:
                new["metadata"]["namespace"] = namespace
            if (
                "deletionTimestamp" in kept
                and resource is not NAMESPACES
                and not new["metadata"].get("finalizers")
            ):
                self._write(resource, namespace, name, None)
                return new, False
            return (old if new == old else self._write(resource, namespace, name, new)), False

    def delete(self, resource: Resource, namespace: str, name: str) -> Json:
        """Delete an object, and return its last state; with finalizers it lives on, as does a namespace."""
        with self.changed:
            old = self.get(resource, namespace, name)
            if old["metadata"].get("finalizers"):
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                metadata = {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0} | old["metadata"]
                return self._write(resource, namespace, name, old | {"metadata": metadata})
            if resource is NAMESPACES:
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                metadata = old["metadata"] | {"deletionTimestamp": now}
                return self._write(
                    resource, "", name, old | {"metadata": metadata, "status": {"phase": "Terminating"}}
                )
            self._write(resource, namespace, name, None)
            return old

    def finalize(self, name: str) -> Json:
        """Let go of a namespace that was deleted; the caller has emptied it."""
        with self.changed:
            old = self.get(NAMESPACES, "", name)
            if "deletionTimestamp" in old["metadata"]:
                self._write(NAMESPACES, "", name, None)
            return old

    def forget(self) -> None:
        """Drop the history: watches from earlier versions get 410 from now on, as after a compaction."""
        with self.changed:
            # A version of its own for the compaction, so that even the newest one read before it is too old.
            self.version += 1
            self.oldest = self.version
            self._history.clear()

    def since(self, version: int, resource: Resource, namespace: str) -> Iterator[Change]:
        """Yield what changed after a version; raise when the history does not reach back so far."""
        with self.changed:
            if version < self.oldest:
                raise expired(version, self.oldest)
            begin = bisect.bisect_right(self._history, version, key=lambda change: change.version)
            news = self._history[begin:]
        for change in news:
            if change.plural == resource.plural and namespace in {"", change.namespace}:
                yield change

    def check_reached(self, version: int) -> None:
        """Raise when a version lies in the future."""
        with self.changed:
            if version > self.version:
                raise too_large(version, self.version)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if resource.namespaced and self.get(NAMESPACES, "", namespace)["status"]["phase"] == "Terminating":
            raise terminating(resource, name, namespace)

    def _check_writer(self, resource: Resource, old: Json, metadata: Json) -> None:
        """Raise unless the writer means this very object in this very version."""
        name, stored = old["metadata"]["name"], old["metadata"]
        if not metadata.get("resourceVersion") and not resource.blind_update:
            why = "Invalid value: 0: must be specified for an update"
            raise invalid(resource, name, "metadata.resourceVersion", why, update=True)
        if metadata.get("uid", stored["uid"]) != stored["uid"]:
            raise another(resource, name, metadata["uid"], stored["uid"])
        if metadata.get("resourceVersion") not in {None, "", stored["resourceVersion"]}:
            raise conflict(resource, name)

    def _write(self, resource: Resource, namespace: str, name: str, new: Json | None) -> Json:
        key = (resource.plural, namespace, name)
        self.version += 1
        if new is not None:
            new = new | {"metadata": new["metadata"] | {"resourceVersion": str(self.version)}}
        old = self._objects.pop(key, None)
        if new is not None:
            self._objects[key] = new
        self._history.append(Change(self.version, resource.plural, namespace, old, new))
        if len(self._history) > 2 * HISTORY:
            self.oldest = self._history[HISTORY - 1].version
            del self._history[:HISTORY]
        self.changed.notify_all()
        return new if new is not None else {}
