"""A lock by the rule that many programs of Go follow with a Lease, to compare with; written for this benchmark.

A slot is free when renewTime plus duration has passed by the wall clock. Who waits looks again every 10 s. Whoever
is done just stops renewing: nothing is released.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from lease.api import Api, ApiError, Json

LOOK_EVERY = 10.0


class GoRule:
    """One process's lock."""

    def __init__(self, api: Api, namespace: str, identity: str, duration: int, slots: int) -> None:
        self._api, self._me, self._duration, self._slots = api, identity, duration, slots
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    @contextmanager
    def hold(self, host: str) -> Iterator[str]:
        """Hold a slot; gives its name."""
        names = [f"esxi-lock-{host}-slot-{slot}" for slot in range(self._slots)]
        while not (name := next(filter(self._taken, names), "")):
            time.sleep(LOOK_EVERY)
        done = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(name, done), daemon=True)
        renewer.start()
        try:
            yield name
        finally:
            done.set()

    def _renew(self, name: str, done: threading.Event) -> None:
        while not done.wait(self._duration / 3):
            self._write(name, self._api.get(f"{self._path}/{name}"))

    def _taken(self, name: str) -> bool:
        try:
            lease = self._api.get(f"{self._path}/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            return self._write(name, None)
        spec = lease["spec"]
        until = datetime.fromisoformat(spec["renewTime"]) + timedelta(seconds=spec["leaseDurationSeconds"])
        return datetime.now(UTC) > until and self._write(name, lease)

    def _write(self, name: str, before: Json | None) -> bool:
        lease: Json = before or {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}
        }  # fmt: skip
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease["spec"].update(holderIdentity=self._me, leaseDurationSeconds=self._duration, renewTime=now)
        try:
            if before:
                self._api.replace(f"{self._path}/{name}", lease)
            else:
                self._api.create(self._path, lease)
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        return True
