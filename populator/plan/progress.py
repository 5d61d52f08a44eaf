"""How far the populates of a cluster are: each by itself, host by host, and all together. Pure.

`evidence` makes these values of what is to be seen in the cluster.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum

from populator.plan.journal import MIB


class State(StrEnum):
    """How far a populate is; the order is that in which people want to see them."""

    FAILED = "failed"
    MAYBE_FAILED = "failed?"
    """its Lease ran out by its dates, and the clocks may differ"""
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"


@dataclass(frozen=True)
class Populate:
    """One volume that is filled, was filled, or is to be filled."""

    namespace: str
    name: str
    """of the PVC; where that is not known, of Forklift's object or the UID"""
    uid: str = ""
    """of the PVC"""
    populator: str = ""
    """name of Forklift's object"""
    pod: str = ""
    disk: str = ""
    volume: str = ""
    """name of the PV"""
    host: str = ""
    """managed object id; empty where the array copies by itself, or where it is not known yet"""
    host_name: str = ""
    array: str = ""
    """address"""
    slot: str = ""
    """name of the slot's Lease"""
    state: State = State.WAITING
    phase: str = ""
    percent: int | None = None
    rate: float | None = None
    """MiB per second"""
    size: int | None = None
    """bytes"""
    remaining: float | None = None
    """seconds"""
    why: str = ""
    """it failed"""
    ended: datetime | None = None

    @property
    def place(self) -> str:
        """Return where it is copied, for people."""
        return self.host_name or self.host or (self.array and f"array {self.array}")

    @property
    def rest(self) -> float | None:
        """Bytes that are still to be copied; None where the size is not known."""
        return None if self.size is None else self.size * (100 - (self.percent or 0)) / 100


@dataclass(frozen=True)
class Total:
    """Many populates together."""

    states: Mapping[State, int]
    percent: float
    """of all that did not fail"""
    rate: float
    """MiB per second"""
    remaining: float | None
    """seconds at that rate; None while nothing runs"""
    at_least: bool
    """whether there are more to come of which the size is not known"""


@dataclass(frozen=True)
class HostTotal:
    """The populates of one host, or of an array that copies by itself."""

    place: str
    slots: int
    """that are held"""
    total: Total


@dataclass(frozen=True)
class Overview:
    """All that is to be seen at one moment."""

    populates: tuple[Populate, ...]
    older: int
    """that ended so long ago that they are not shown"""
    slots: Mapping[str, int]
    """how many slots of which host are held"""

    @property
    def total(self) -> Total:
        """Return all together."""
        return add_up(self.populates)

    @property
    def hosts(self) -> list[HostTotal]:
        """Return them host by host; what has no host yet is left out."""
        by_place: dict[str, list[Populate]] = {host: [] for host in self.slots}
        for populate in self.populates:
            if populate.place:
                by_place.setdefault(populate.host or populate.place, []).append(populate)
        rows = [
            HostTotal(
                next((one.place for one in populates if one.host_name), place),
                self.slots.get(place, 0),
                add_up(populates),
            )
            for place, populates in by_place.items()
        ]
        return sorted(rows, key=lambda row: natural(row.place))


def more_of(first: Populate | None, second: Populate) -> Populate:
    """Return one populate of two views of it; what the first one knows counts more."""
    if first is None:
        return second
    empty = {"", None, second.uid}
    gaps = {
        one.name: getattr(second, one.name) for one in fields(Populate) if getattr(first, one.name) in empty
    }
    return replace(first, **gaps)


def add_up(populates: Iterable[Populate]) -> Total:
    """Return populates together."""
    populates = list(populates)
    states = Counter(one.state for one in populates)
    counted = [one.percent or 0 for one in populates if one.state != State.FAILED]
    live = [one for one in populates if one.state in {State.RUNNING, State.WAITING}]
    rate = sum(one.rate or 0.0 for one in live if one.remaining is not None)
    rest = sum(one.rest or 0.0 for one in live)
    longest = max((one.remaining or 0.0 for one in live), default=0.0)
    return Total(
        states,
        sum(counted) / len(counted) if counted else 0.0,
        rate,
        max(rest / (rate * MIB), longest) if rate else None,
        any(one.size is None for one in live),
    )


def in_order(populates: Iterable[Populate]) -> list[Populate]:
    """Return populates by state, and within it the ones that are furthest first."""
    order = {state: number for number, state in enumerate(State)}
    return sorted(
        populates,
        key=lambda one: (
            order[one.state],
            -(one.ended.timestamp() if one.ended else 0.0),
            -(one.percent or 0) if one.state == State.RUNNING else 0,
            natural(one.place),
            one.namespace,
            natural(one.name),
        ),
    )


def natural(text: str) -> list[tuple[int, str]]:
    """Return a key by which `host-9` stands before `host-10`."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part)
        for part in re.findall(r"\d{1,18}|\D+", text)
    ]
