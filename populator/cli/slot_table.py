"""Slots of hosts as text: a table as `oc get` prints it, or items of a List as JSON or YAML. Pure.

An item has: kind (`HostSlot`), namespace, lease (the object's name), host (managed object id), slot (its number),
state (see `lease.overview`), holder (the whole identity) and pod, heldSince and renewTime (as in the Lease),
durationSeconds, transitions, and journal: what the holder says of his work (volume, disk, host's name, lun, device,
mapping, phase, task, left). What is not known is null; the journal of a slot that nobody holds is empty.
"""

import json
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import yaml

from lease.overview import SlotView

NONE = "<none>"
GAP = "   "
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
    ("PHASE", lambda slot, _: slot.journal.get("phase", "")),
    ("VOLUME", lambda slot, _: slot.journal.get("volume", "")),
    ("HELD", lambda slot, now: age(slot.held_since, now)),
    ("RENEWED", lambda slot, now: age(slot.renewed, now)),
)
WIDE: tuple[Column, ...] = (
    *COLUMNS,
    ("HOSTNAME", lambda slot, _: slot.journal.get("host", "")),
    ("DEVICE", lambda slot, _: slot.journal.get("device", "")),
    ("TASK", lambda slot, _: slot.journal.get("task", "")),
    ("MAPPING", lambda slot, _: slot.journal.get("mapping", "")),
    ("LEFT", lambda slot, _: slot.journal.get("left", "")),
    ("LEASE", lambda slot, _: slot.record.name),
)


class Table:
    """Prints rows now and rows later under the same headings; columns never become narrower."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._widths = [0] * len(columns)
        self._headed = False

    def lines(self, slots: Iterable[SlotView], now: datetime) -> list[str]:
        """Return a line for each slot, the first time with the headings above."""
        rows = [[_cell(value(slot, now)) for _, value in self._columns] for slot in slots]
        if not self._headed:
            rows.insert(0, [name for name, _ in self._columns])
            self._headed = True
        for row in rows:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        return [self._line(row) for row in rows]

    def _line(self, row: list[str]) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)]
        return GAP.join(cells).rstrip()


def item(slot: SlotView, namespace: str) -> dict[str, Any]:
    """Return a slot as an item of our own; see the module."""
    record = slot.record
    return {
        "kind": "HostSlot",
        "namespace": namespace,
        "lease": record.name,
        "host": slot.host,
        "slot": slot.number,
        "state": slot.state,
        "holder": record.holder or None,
        "pod": slot.pod or None,
        "heldSince": record.acquired if record.holder else None,
        "renewTime": record.renewed,
        "durationSeconds": record.duration,
        "transitions": record.transitions,
        "journal": dict(slot.journal),
    }


def listed(slots: Iterable[SlotView], namespace: str) -> dict[str, Any]:
    """Return slots as a List."""
    items = [item(slot, namespace) for slot in slots]
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}


def as_json(value: Any) -> str:
    """Return a value as `oc get -o json` lays it out."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """Return a value as `oc get -o yaml` lays it out."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
    return text.rstrip("\n")


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


def _cell(text: str) -> str:
    """Return what fits into a line: control characters would break it."""
    return "".join(char if char.isprintable() else "?" for char in text) or NONE
