"""Waiters for whom several hosts will do: such a history as each host sees it, and what must hold across hosts."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.lab.lease.actors import Populator
from tests.lab.lease.history import Called, Died, Event, GaveUp, Had, Left, Step, Waited, Written
from tests.lab.lease.invariants import EXPIRY_SLACK, HAND_ON, History
from tests.lab.lease.schedule import Schedule, draw

HOSTS = ("host-1", "host-2", "host-3")


def spread(seed: int) -> Schedule:
    """Draw a schedule whose populators may use one, some or all of the hosts, with nobody else about."""
    chance = random.Random(seed)
    drawn = draw(seed)
    pods = tuple(
        replace(pod, hosts=tuple(chance.sample(HOSTS, chance.choice((1, 2, 3, 3)))))
        for pod in drawn.populators
    )
    return replace(drawn, slots=2, populators=pods, peers=(), edits=())


def calm(seed: int, pods: int) -> Schedule:
    """Draw a schedule of so many populators in which nothing goes wrong."""
    chance = random.Random(seed)
    populators = tuple(
        Populator(
            f"pod-{number}",
            at=chance.uniform(0, 10),
            duration=10,
            rate=chance.uniform(0.8, 1.2),
            steps=((chance.uniform(0, 2), chance.uniform(0.3, 1.0)),) * chance.randint(1, 5),
            hosts=tuple(chance.sample(HOSTS, chance.choice((1, 2, 3, 3)))),
            scope=chance.choice(("copy", "copy", "rescan")),
        )
        for number in range(pods)
    )
    return Schedule(seed, 2, populators)


def host_in(slot: str) -> str:
    """Return the host whose slot that is."""
    return next(host for host in HOSTS if f"-{host}-" in slot)


@dataclass(frozen=True)
class Spread:
    """A history over several hosts."""

    events: Sequence[Event]
    may_use: Mapping[str, tuple[str, ...]]
    """by the populator's name"""

    def hosts_of(self, who: str) -> tuple[str, ...]:
        """Return the hosts that somebody may use.

        In scope `rescan` the number of the step stands behind its name; with the first it has decided for one.
        """
        pod, _, step = who.rpartition("-") if who.count("-") > 1 else (who, "", "")
        return (self.host_of(f"{pod}-1"),) if step not in {"", "1"} else self.may_use[pod]

    def host_of(self, who: str) -> str:
        """Return the host of which somebody has had a slot; empty for none."""
        taken = (event for event in self.events if isinstance(event, Written) and event.holder == who)
        return next((host_in(event.slot) for event in taken), "")

    def at(self, host: str) -> list[Event]:
        """Return what one host sees: those who went elsewhere have given up waiting, and calls are not counted."""
        return [seen for event in self.events if (seen := self._as_seen(event, host))]

    def _as_seen(self, event: Event, host: str) -> Event | None:
        if isinstance(event, Written):
            return event if host_in(event.slot) == host else None
        if isinstance(event, Waited | Had | Left | GaveUp | Died | Step):
            return self._of_somebody(event, host)
        return None if isinstance(event, Called) else event

    def _of_somebody(self, event: Waited | Had | Left | GaveUp | Died | Step, host: str) -> Event | None:
        there = self.host_of(event.who)
        if there == host:
            return event
        if host not in self.hosts_of(event.who) or (there and not isinstance(event, Waited | Had)):
            return None
        return GaveUp(event.at, event.who) if isinstance(event, Had) else event

    def idle(self) -> Iterator[str]:
        """Yield who waited beside a slot that stood free for longer than a hand-over takes; for calm histories."""
        history = History(self.events, 2)
        for wish in history.wishes:
            for slot, writes in history.slot_writes.items():
                if host_in(slot) not in self.hosts_of(wish.who):
                    continue
                ends = [*(write.at for write in writes[1:]), history.end]
                for write, end in zip(writes, ends, strict=True):
                    free = min(end, wish.until) - max(write.at, wish.at)
                    if not write.holder and free > HAND_ON + EXPIRY_SLACK:
                        yield f"{wish.who} waited for {free:.1f} s while {slot} was free from {write.at:.1f} on"

    def twice(self) -> Iterator[str]:
        """Yield who was named in slots of two hosts at a time."""
        names: dict[str, str] = {}
        for write in (event for event in self.events if isinstance(event, Written)):
            pod = write.holder.rpartition("-")[0] if write.holder.count("-") > 1 else write.holder
            held = [
                slot
                for slot, name in names.items()
                if pod and name == pod and host_in(slot) != host_in(write.slot)
            ]
            if held:
                yield f"{pod} has {write.slot} at {write.at:.1f}, and {', '.join(held)}"
            names[write.slot] = pod


def of(events: Sequence[Event], schedule: Schedule) -> Spread:
    """Return the history of such a schedule."""
    return Spread(events, {pod.name: pod.hosts for pod in schedule.populators})
