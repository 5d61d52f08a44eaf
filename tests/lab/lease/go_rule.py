"""The lock of Forklift's Go populator, rule by rule, as a class and as a process of its own.

A slot is created, or taken over when its renewTime + duration has passed by the wall clock; one that lacks either is
held for ever. A takeover writes holder, acquireTime and renewTime, never the duration. Who waits looks again every
10 s; who holds renews every 3 s, and has failed when that is refused for whatever reason. Nothing is ever released.

Arguments of the process: kubeconfig, namespace, identity, host, and seconds for each rescan that it does under the
lock. It says on stdout what happens, as JSON lines with the monotonic time; exit code 1 says that its slot was taken
from it.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lease.kube.api import Api, ApiError, Json
from lease.record import GO_TEMPLATE, micro_time, slot_names

LOOK_EVERY, RENEW_EVERY = 10.0, 3.0
DURATION = 10


@dataclass(frozen=True)
class GoHeld:
    """A slot that is held."""

    slot: str
    lost: threading.Event = field(default_factory=threading.Event)
    """up when a renewal was refused: what is done under the lock is broken off"""


class GoRule:
    """One process's lock."""

    def __init__(
        self, api: Api, namespace: str, identity: str, duration: int = DURATION, slots: int = 2
    ) -> None:
        """Make the lock; `duration` is what it writes into a slot that it creates."""
        self._api, self._me, self._duration, self._slots = api, identity, duration, slots
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    @contextmanager
    def hold(self, host: str) -> Iterator[GoHeld]:
        """Hold a slot."""
        names = slot_names(GO_TEMPLATE, host, self._slots)
        while not (lease := next(filter(None, map(self._claim, names)), None)):
            time.sleep(LOOK_EVERY)
        held, done = GoHeld(lease["metadata"]["name"]), threading.Event()
        renewer = threading.Thread(target=self._renew, args=(lease, held.lost, done), daemon=True)
        renewer.start()
        try:
            yield held
        finally:
            done.set()
            renewer.join()

    def _renew(self, lease: Json, lost: threading.Event, done: threading.Event) -> None:
        due = time.monotonic() + RENEW_EVERY
        while not done.wait(max(due - time.monotonic(), 0)):
            due += RENEW_EVERY
            try:
                lease = self._update(lease, renewTime=_now())
            except ApiError:
                lost.set()
                return

    def _claim(self, name: str) -> Json | None:
        spec: Json = {"holderIdentity": self._me, "acquireTime": _now(), "renewTime": _now()}
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        try:
            return self._api.create(
                self._path, {**kind, "spec": {**spec, "leaseDurationSeconds": self._duration}}
            )
        except ApiError as error:
            if error.status != 409:
                raise
        try:
            lease = self._api.get(f"{self._path}/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            return self._claim(name)
        try:
            return self._update(lease, **spec) if _expired(lease) else None
        except ApiError:
            return None

    def _update(self, lease: Json, **changes: Any) -> Json:
        body = {**lease, "spec": {**lease["spec"], **changes}}
        return self._api.replace(f"{self._path}/{lease['metadata']['name']}", body)


def _expired(lease: Json) -> bool:
    renewed, duration = (lease["spec"].get(name) for name in ("renewTime", "leaseDurationSeconds"))
    if renewed is None or duration is None:
        return False
    return datetime.now(UTC) > datetime.fromisoformat(renewed) + timedelta(seconds=duration)


def _now() -> str:
    return micro_time(datetime.now(UTC))


def _say(state: str, **facts: Any) -> None:
    print(json.dumps({"at": time.monotonic(), "state": state} | facts), flush=True)


def main() -> int:
    kubeconfig, namespace, identity, host, *rescans = sys.argv[1:]
    lock = GoRule(Api.connect(kubeconfig), namespace, identity)
    for seconds in map(float, rescans):
        with lock.hold(host) as held:
            _say("held", slot=held.slot)
            began = time.monotonic()
            held.lost.wait(seconds)
            _say("rescan", at=began, end=time.monotonic())
        if held.lost.is_set():
            _say("failed")
            return 1
    _say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
