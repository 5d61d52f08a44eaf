"""Slots of hosts as the cells of a table, as `oc get` words them, or as items of a List. Pure.

An item has: kind (`HostSlot`), namespace, lease (the object's name), host (managed object id), slot (its number),
state (see `lease.overview`), holder (the whole identity) and pod, heldSince and renewTime (as in the Lease),
durationSeconds, transitions, and journal: what the holder says of its work (see `populator.plan.journal`; texts, under
the names they have in the Lease), and of that as numbers percent, rate (MiB per second) and etaSeconds. What is not
known is null; the journal of a slot that nobody holds is empty.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from lease.overview import SlotView
from populator.plan.journal import Journal, parse_journal
from populator.report.pace import duration

MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = {MINUTE: "m", HOUR: "h", DAY: "d", 1: "s"}
AGES = (
    (2 * MINUTE, 1, None),
    (10 * MINUTE, MINUTE, 1),
    (3 * HOUR, MINUTE, None),
    (8 * HOUR, HOUR, MINUTE),
    (48 * HOUR, HOUR, None),
    (8 * DAY, DAY, HOUR),
    (math.inf, DAY, None),
)
"""below how many seconds an age is told in which unit, and with which smaller one behind it"""

Column = tuple[str, Callable[[SlotView, datetime], str]]

COLUMNS: tuple[Column, ...] = (
    ("HOST", lambda slot, _: slot.host),
    ("SLOT", lambda slot, _: str(slot.number)),
    ("STATE", lambda slot, _: slot.state),
    ("HOLDER", lambda slot, _: slot.pod),
    ("PHASE", lambda slot, _: parse_journal(slot.journal).phase),
    ("PERCENT", lambda slot, _: number(parse_journal(slot.journal).percent)),
    ("RATE", lambda slot, _: rate(parse_journal(slot.journal).rate)),
    ("ETA", lambda slot, _: eta(parse_journal(slot.journal).remaining)),
    ("VOLUME", lambda slot, _: parse_journal(slot.journal).volume),
    ("HELD", lambda slot, now: age(slot.held_since, now)),
    ("RENEWED", lambda slot, now: age(slot.renewed, now)),
)
WIDE: tuple[Column, ...] = (
    *COLUMNS,
    ("PVC", lambda slot, _: parse_journal(slot.journal).pvc),
    ("HOSTNAME", lambda slot, _: parse_journal(slot.journal).host),
    ("DEVICE", lambda slot, _: parse_journal(slot.journal).device),
    ("TASK", lambda slot, _: parse_journal(slot.journal).task),
    ("ARRAY", lambda slot, _: array(parse_journal(slot.journal))),
    ("MAPPING", lambda slot, _: parse_journal(slot.journal).group),
    ("LUNID", lambda slot, _: number(parse_journal(slot.journal).lun_id)),
    ("ADAPTERS", lambda slot, _: ",".join(parse_journal(slot.journal).adapters)),
    ("LEFT", lambda slot, _: parse_journal(slot.journal).left),
    ("LEASE", lambda slot, _: slot.record.name),
)


def row(slot: SlotView, columns: tuple[Column, ...], now: datetime) -> list[str]:
    """Return a slot's cells."""
    return [value(slot, now) for _, value in columns]


def item(slot: SlotView, namespace: str) -> dict[str, Any]:
    """Return a slot as an item of our own; see the module."""
    record, journal = slot.record, parse_journal(slot.journal)
    return {
        "kind": "HostSlot",
        "namespace": namespace,
        "lease": record.name,
        "host": slot.host,
        "slot": slot.number,
        "state": slot.state.value,
        "holder": record.holder or None,
        "pod": slot.pod or None,
        "heldSince": record.acquired if record.holder else None,
        "renewTime": record.renewed,
        "durationSeconds": record.duration,
        "transitions": record.transitions,
        "percent": journal.percent,
        "rate": journal.rate,
        "etaSeconds": None if journal.remaining is None else round(journal.remaining),
        "journal": dict(slot.journal),
    }


def age(since: datetime | None, now: datetime) -> str:
    """Return a span as `oc get` does: two units where they tell something, and one where they do not."""
    if since is None:
        return ""
    seconds = int((now - since).total_seconds())
    if seconds < -1:
        return "<invalid>"
    large, small = next((large, small) for below, large, small in AGES if seconds < below)
    text = f"{max(seconds, 0) // large}{UNITS[large]}"
    rest = seconds % large // small if small else 0
    return f"{text}{rest}{UNITS[small]}" if small and rest else text


def number(value: int | None) -> str:
    """Return a number, nothing where it is not known."""
    return "" if value is None else str(value)


def rate(value: float | None) -> str:
    """Return MiB per second, nothing where they are not known."""
    return "" if value is None else f"{value:.0f} MiB/s"


def eta(seconds: float | None) -> str:
    """Return the time that is left, nothing where it is not known."""
    return "" if seconds is None else duration(seconds)


def array(journal: Journal) -> str:
    """Return an array's vendor and address in one word."""
    return "/".join(filter(None, (journal.vendor, journal.array)))
