"""Judges what happened to the slots of a host by the server's order of writes, as an administrator's watch saw it."""

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.lab.kube import Client, Refused, path

LAG = 0.5
"""seconds by which what we see may lag behind what the server did, on a busy machine"""


@dataclass(frozen=True)
class Written:
    """A version of a slot, and when we saw it, by the monotonic clock that all processes share."""

    at: float
    name: str
    holder: str
    duration: int
    transitions: int
    deleted: bool


@dataclass
class Judge:
    """Follows all slots of a namespace until it is asked; `by_hand` names holders that no rule binds."""

    admin: Client
    namespace: str
    history: list[Written] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._version = self.admin.get(path("leases", self.namespace))["metadata"]["resourceVersion"]
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        """Watch, from where we were when the server has been away."""
        while True:
            try:
                events = self.admin.watch(path("leases", self.namespace), resourceVersion=self._version)
                for event in events:
                    if event["type"] == "ERROR":
                        self._version = "0"
                        break
                    self._see(event)
            except (OSError, Refused, ValueError):
                time.sleep(0.05)

    def _see(self, event: dict[str, Any]) -> None:
        lease = event["object"]
        if lease["metadata"]["resourceVersion"] == self._version:
            return
        self._version, spec = lease["metadata"]["resourceVersion"], lease["spec"]
        self.history.append(
            Written(
                time.monotonic(),
                lease["metadata"]["name"],
                spec.get("holderIdentity") or "",
                spec.get("leaseDurationSeconds") or 0,
                spec.get("leaseTransitions") or 0,
                event["type"] == "DELETED",
            )
        )

    def of(self, name: str) -> list[Written]:
        """Return the versions of one slot."""
        return [one for one in self.history if one.name == name]

    def problems(self, name: str, steps: list[tuple[float, str]]) -> list[str]:
        """Return what must not be; `steps` says who began one on the host, and when."""
        return [*self._taken_too_early(name), *self._miscounted(name), *self._outside(name, steps)]

    def _taken_too_early(self, name: str) -> list[str]:
        found, versions = [], self.of(name)
        for before, after in itertools.pairwise(versions):
            if before.deleted or not before.holder or after.holder in {"", before.holder}:
                continue
            if after.holder not in self.by_hand and after.at - before.at < before.duration - LAG:
                early = f"{after.at - before.at:.2f} s after its last sign of life"
                found.append(f"{after.holder} took {name} from {before.holder} {early}")
        return found

    def _miscounted(self, name: str) -> list[str]:
        found, versions = [], self.of(name)
        for before, after in itertools.pairwise(versions):
            if before.deleted or after.deleted or after.holder in self.by_hand:
                continue
            changed = after.holder not in {"", before.holder}
            if after.transitions != before.transitions + changed:
                found.append(f"{name}: {before.holder} -> {after.holder}: {after.transitions} transitions")
        return found

    def _outside(self, name: str, steps: list[tuple[float, str]]) -> list[str]:
        """Find steps that were begun when their holder's last write was older than he may rely on."""
        found = []
        for at, who in steps:
            own = [one for one in self.of(name) if one.holder == who and one.at <= at + LAG]
            if not own or own[-1].at < at - own[-1].duration * 2 / 3 - LAG:
                found.append(f"{who} began a step outside of his validity in {name}")
        return found
