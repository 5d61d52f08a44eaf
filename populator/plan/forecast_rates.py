"""How copies that run at once share the rates: evenly, up to what one copy, one host and the array bear. Pure.

Hosts with equally many copies give each of them the same rate, so copies are kept in classes by that number, each with
one counter of what every copy in it has been served. An event then costs as much as there are classes, and not copies:
that is what makes a forecast of thousands of disks a matter of a second.
"""

import heapq
import math
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from populator.plan.forecast import Rates

Who = TypeVar("Who")


@dataclass(eq=False)
class Moving(Generic[Who]):
    """A copy that is under way."""

    who: Who
    host: str
    due: float
    """MiB that its class will have been served when it ends"""
    entry: int = 0
    """number of its newest entry in the heap of its class"""


@dataclass
class Class(Generic[Who]):
    """The copies of all hosts that have equally many."""

    copies: int = 0
    served: float = 0.0
    """MiB that each has been served, since the class exists"""
    rate: float = 0.0
    heap: list[tuple[float, int, Moving[Who]]] = field(default_factory=list)

    def next(self) -> Moving[Who] | None:
        """Return the copy that ends first; entries of those that have moved to another class are dropped."""
        while self.heap and self.heap[0][1] != self.heap[0][2].entry:
            heapq.heappop(self.heap)
        return self.heap[0][2] if self.heap else None


class Sharing(Generic[Who]):
    """The copies that run, and when the next one ends."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._now = 0.0
        self._classes: dict[int, Class[Who]] = {}
        self._running: dict[str, list[Moving[Who]]] = {}
        self._entries = count(1)
        self._next: tuple[float, Moving[Who] | None] = (math.inf, None)

    def add(self, now: float, who: Who, host: str, mib: float) -> None:
        """Begin a copy."""
        self._advance(now)
        running = self._running.setdefault(host, [])
        self._regroup(running, len(running), len(running) + 1)
        new = Moving(who, host, mib + self._class(len(running) + 1).served)
        running.append(new)
        self._enter(self._class(len(running)), new)
        self._share()

    def next(self) -> tuple[float, Moving[Who] | None]:
        """Return when the next copy ends and which it is, as things are; never, where none runs."""
        return self._next

    def end(self, now: float, ended: Moving[Who]) -> None:
        """End a copy."""
        self._advance(now)
        running = self._running[ended.host]
        before = len(running)
        running.remove(ended)
        self._class(before).copies -= 1
        ended.entry = 0
        self._regroup(running, before, before - 1)
        self._share()

    def _class(self, number: int) -> Class[Who]:
        return self._classes.setdefault(number, Class())

    def _end(self, each: Class[Who]) -> float:
        copy = each.next()
        return self._now + max(copy.due - each.served, 0.0) / each.rate if copy else math.inf

    def _advance(self, now: float) -> None:
        for each in self._classes.values():
            each.served += each.rate * (now - self._now)
        self._now = now

    def _regroup(self, copies: list[Moving[Who]], before: int, after: int) -> None:
        """Move a host's copies to the class of another number."""
        old, new = self._class(before), self._class(after)
        for copy in copies:
            copy.due += new.served - old.served
            old.copies -= 1
            self._enter(new, copy)

    def _enter(self, group: Class[Who], copy: Moving[Who]) -> None:
        copy.entry = next(self._entries)
        heapq.heappush(group.heap, (copy.due, copy.entry, copy))
        group.copies += 1

    def _share(self) -> None:
        """Give each class its rate: all have the same, but for those whose own limits allow them less."""
        left, copies = self._rates.array, sum(each.copies for each in self._classes.values())
        for number in sorted(
            self._classes, reverse=True
        ):  # the more on a host, the less each of them can take
            each = self._classes[number]
            if each.copies:
                each.rate = min(self._rates.copy, self._rates.host / number, left / copies)
                left -= each.rate * each.copies
                copies -= each.copies
            else:
                each.rate = 0.0
        ends = ((self._end(each), each.next()) for each in self._classes.values() if each.copies)
        self._next = min(ends, key=lambda end: end[0], default=(math.inf, None))
