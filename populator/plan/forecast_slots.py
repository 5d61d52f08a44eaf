"""Hosts' slots in a forecast, and who waits for them; pure.

Who is next is drawn by the lease's own rule (`lease.crowd`): by lot, those who have waited for longer a little ahead.
The lots of a host are its own and are drawn again from the same beginning, so the same plan gives the same forecast,
and what other hosts do changes nothing on a host that shares no queue with them.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lease.crowd import MOST_LEAD, lead

Who = TypeVar("Who")


@dataclass(frozen=True)
class Wish:
    """A slot of one of these hosts, `unless` others have done what it is for."""

    hosts: tuple[str, ...]
    unless: Callable[[], bool] = lambda: False


@dataclass(eq=False)
class Waiter(Generic[Who]):
    """One who waits."""

    who: Who
    unless: Callable[[], bool]
    since: float


@dataclass(eq=False)
class Host(Generic[Who]):
    """A host's slots, the queues that they serve, and what the host has seen of LUNs."""

    name: str
    free: int
    queues: list[list[Waiter[Who]]] = field(default_factory=list)
    shown: float = -math.inf
    """LUNs mapped up to this moment show as devices"""
    cleared: float = -math.inf
    """the dead paths of LUNs unmapped up to this moment are gone"""

    def __post_init__(self) -> None:
        self._lots = random.Random(self.name)  # noqa: S311 - lots that can be drawn again

    def draw(self, now: float) -> Who | None:
        """Take the next holder out of its queue; None where nobody waits."""
        waiting = sum(map(len, self.queues))
        while waiting:
            queue, place = self._at(self._lots.randrange(waiting))
            if self._lots.random() * MOST_LEAD <= lead(now - queue[place].since):
                queue[place], queue[-1] = queue[-1], queue[place]
                return queue.pop().who
        return None

    def _at(self, place: int) -> tuple[list[Waiter[Who]], int]:
        for queue in self.queues:
            if place < len(queue):
                return queue, place
            place -= len(queue)
        raise IndexError(place)


class Slots(Generic[Who]):
    """The slots of all hosts."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._hosts: dict[str, Host[Who]] = {}
        self._queues: dict[frozenset[str], list[Waiter[Who]]] = {}

    def host(self, name: str) -> Host[Who]:
        """Return a host; its slots are free at first."""
        if name not in self._hosts:
            self._hosts[name] = Host(name, self._number)
        return self._hosts[name]

    def take(self, names: Sequence[str]) -> Host[Who] | None:
        """Take a slot of the first of these hosts that has one free."""
        host = next((host for host in map(self.host, names) if host.free), None)
        if host:
            host.free -= 1
        return host

    def wait(self, who: Who, wish: Wish, now: float) -> None:
        """Stand in the queue; those who wait for the same hosts stand in one."""
        self._queue(wish.hosts).append(Waiter(who, wish.unless, now))

    def release(self, host: Host[Who], now: float) -> Who | None:
        """Return who has the slot next; None where nobody wants it, and it stays free."""
        heir = host.draw(now)
        if heir is None:
            host.free += 1
        return heir

    def needless(self, host: Host[Who]) -> list[Who]:
        """Take those out of a host's own queue who need no slot any more, and return them."""
        queue = self._queue((host.name,))
        done = [waiter for waiter in queue if waiter.unless()]
        leaving = set(done)
        queue[:] = [waiter for waiter in queue if waiter not in leaving]
        return [waiter.who for waiter in done]

    def _queue(self, names: tuple[str, ...]) -> list[Waiter[Who]]:
        key = frozenset(names)
        if key not in self._queues:
            self._queues[key] = []
            for name in names:
                self.host(name).queues.append(self._queues[key])
        return self._queues[key]
