"""Populates as the cells of a table, as lines that tell of changes, or as items of a List. Pure.

An item has: kind (`Populate`), namespace, pvc (its name), uid, populator (Forklift's object), pod, disk, volume (the
PV), host (managed object id), hostName, array, lease (of the slot that is held), state (see `plan.progress`), phase,
percent, rate (MiB per second), size (bytes), etaSeconds, why (it failed) and ended. What is not known is null.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from populator.cli.slot_table import eta, number, rate
from populator.log import printable
from populator.plan.progress import Overview, Populate, State
from populator.report.board import name_of

TITLES = ("STATE", "VOLUME", "HOST", "PERCENT", "RATE", "ETA", "PHASE")
TROUBLED = frozenset({State.FAILED, State.MAYBE_FAILED})


def row(populate: Populate) -> Sequence[str]:
    """Return a populate's cells."""
    running = populate.remaining is not None
    return (
        populate.state,
        name_of(populate),
        populate.place,
        number(populate.percent),
        rate(populate.rate if running else None),
        eta(populate.remaining),
        populate.why or populate.phase,
    )


def line(populate: Populate, now: datetime) -> str:
    """Return what a populate does in one line."""
    running = populate.remaining is not None
    left = f"{eta(populate.remaining)} left" if running else ""
    words = (
        f"{now:%Y-%m-%dT%H:%M:%SZ}",
        name_of(populate),
        populate.state,
        populate.place,
        populate.phase,
        "" if populate.percent is None else f"{populate.percent} %",
        rate(populate.rate if running else None),
        left,
        populate.why,
    )
    return "  ".join(printable(" ".join(word.split())) for word in words if word)


def news(populate: Populate) -> tuple[object, ...]:
    """Return what makes a populate worth a line when it changes: a tenth of the disk counts, a percent does not."""
    tenth = None if populate.percent is None else populate.percent // 10
    return populate.state, populate.phase, populate.place, populate.why, tenth


def item(populate: Populate) -> dict[str, Any]:
    """Return a populate as an item of our own; see the module."""
    running = populate.remaining is not None
    return {
        "kind": "Populate",
        "namespace": populate.namespace or None,
        "pvc": populate.name,
        "uid": populate.uid or None,
        "populator": populate.populator or None,
        "pod": populate.pod or None,
        "disk": populate.disk or None,
        "volume": populate.volume or None,
        "host": populate.host or None,
        "hostName": populate.host_name or None,
        "array": populate.array or None,
        "lease": populate.slot or None,
        "state": populate.state.value,
        "phase": populate.phase or None,
        "percent": populate.percent,
        "rate": populate.rate if running else None,
        "size": populate.size,
        "etaSeconds": None if populate.remaining is None else round(populate.remaining),
        "why": populate.why or None,
        "ended": populate.ended.isoformat() if populate.ended else None,
    }


def summary(overview: Overview) -> str:
    """Return the sum in a line."""
    total = overview.total
    counts = [f"{total.states[state]} {state}" for state in State if total.states.get(state)]
    older = [f"{overview.older} ended more than a day ago"] if overview.older else []
    words = ", ".join([*counts, *older]) or "No populates"
    speed = rate(total.rate or None)
    more = f"; {speed}, {eta(total.remaining)} left{' or more' if total.at_least else ''}" if speed else ""
    return f"{words}{more}."


def troubled(overview: Overview) -> bool:
    """Whether any populate failed."""
    return any(one.state in TROUBLED for one in overview.populates)
