"""How copies that run at once share the rates: evenly, up to what one copy, one host and the array bear. Pure.

All copies of a host have the same rate, and so have those of all hosts with equally many. So the copies of a host stand
in one queue, the first to end in front, and hosts are kept in classes by how many copies they have, each with one
counter of what every copy in it has been served. An event then costs as much as there are classes, and not copies: that
is what makes a forecast of thousands of disks a matter of a second.
"""

import heapq
import math
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from populator.plan.forecast import Rates

Who = TypeVar("Who")


@dataclass(eq=False)
class Running(Generic[Who]):
    """The copies of one host."""

    queue: list[tuple[float, int, Who]] = field(default_factory=list)
    """by what each copy here will have been served when it ends, in MiB"""
    served: float = 0.0
    """MiB that each had been served when the host came into its class"""
    since: float = 0.0
    """MiB that the class had served by then"""
    entry: int = 0
    """number of its newest entry in the heap of its class"""


@dataclass(eq=False)
class Class(Generic[Who]):
    """The hosts that have equally many copies."""

    hosts: int = 0
    served: float = 0.0
    """MiB that each copy has been served, since the class exists"""
    rate: float = 0.0
    heap: list[tuple[float, int, Running[Who]]] = field(default_factory=list)
    """hosts by what the class will have served when the first of their copies ends"""

    def next(self) -> tuple[float, Running[Who]]:
        """Return the host whose copy ends first, and when; entries of hosts that have moved are dropped."""
        while self.heap[0][1] != self.heap[0][2].entry:
            heapq.heappop(self.heap)
        due, _, host = self.heap[0]
        return due, host


class Sharing(Generic[Who]):
    """The copies that run, and when the next one ends."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._now = 0.0
        self._classes: dict[int, Class[Who]] = {}
        self._hosts: dict[str, Running[Who]] = {}
        self._numbers = count(1)
        self._next: tuple[float, Running[Who] | None] = (math.inf, None)

    @property
    def next(self) -> float:
        """When the next copy ends, as things are; infinite where none runs."""
        return self._next[0]

    def add(self, now: float, who: Who, host: str, mib: float) -> None:
        """Begin a copy."""
        self._advance(now)
        running = self._hosts.setdefault(host, Running())
        self._leave(running)
        heapq.heappush(running.queue, (running.served + mib, next(self._numbers), who))
        self._enter(running)
        self._share()

    def end(self) -> Who:
        """End the copy that ends next, at its moment, and return whose it is."""
        now, running = self._next
        if running is None:
            raise LookupError("no copy runs")
        self._advance(now)
        self._leave(running)
        _, _, who = heapq.heappop(running.queue)
        self._enter(running)
        self._share()
        return who

    def _advance(self, now: float) -> None:
        for each in self._classes.values():
            each.served += each.rate * (now - self._now)
        self._now = now

    def _leave(self, running: Running[Who]) -> None:
        """Take a host out of its class."""
        if running.queue:
            old = self._classes[len(running.queue)]
            running.served += old.served - running.since
            old.hosts -= 1
            running.entry = 0

    def _enter(self, running: Running[Who]) -> None:
        """Put a host into the class of as many copies as it has now."""
        if running.queue:
            new = self._classes.setdefault(len(running.queue), Class())
            running.since, running.entry = new.served, next(self._numbers)
            due = new.served + running.queue[0][0] - running.served
            heapq.heappush(new.heap, (due, running.entry, running))
            new.hosts += 1

    def _share(self) -> None:
        """Give each class its rate: all have the same, but for those whose own limits allow them less."""
        left, copies = self._rates.array, sum(each.hosts * number for number, each in self._classes.items())
        self._next = (math.inf, None)
        for number in sorted(
            self._classes, reverse=True
        ):  # the more on a host, the less each of them can take
            each = self._classes[number]
            if not each.hosts:
                each.rate = 0.0
                continue
            each.rate = min(self._rates.copy, self._rates.host / number, left / copies)
            left -= each.rate * each.hosts * number
            copies -= each.hosts * number
            due, running = each.next()
            ends = self._now + max(due - each.served, 0.0) / each.rate
            if ends < self._next[0]:
                self._next = (ends, running)
