"""Schedules: who does what and when, as a frozen value drawn from a seed; and the history that comes of one.

A schedule is made of parts that can be left out one by one, so what a failure needs can be found by leaving out.
"""

import functools
import importlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from lease.decision import SHORTEST_WITH_GO
from lease.record import GO_TEMPLATE, slot_names
from tests.lab.lease.actors import HOST, GoPeer, GoRunning, Host, Populator, Running, Scene, modules, wall
from tests.lab.lease.faults import CALLS, WATCHES, Fault, Faults
from tests.lab.lease.history import Event, Joined, Stopped, Trouble
from tests.lab.lease.server import Json, Server
from tests.lab.lease.time import World

HORIZON = 400.0
"""true seconds that a schedule is given"""
MOST = 400_000
"""things that may happen in it"""
DURATIONS = (3, 5, 10, 10, 10, 20)
COMPANY = ("ours", "peers", "anybody", "deletions")
"""who takes part beside populators of ours: peers of the Go rule whose clocks are right, or peers and an admin who do
as they like, or an admin who deletes slots"""


@dataclass(frozen=True)
class Deed:
    """Something done to a populator from outside: `kill`, `terminate`, `stop` for some seconds, `jump` of its clock."""

    kind: str
    at: float
    target: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Edit:
    """What an admin does to a slot: `delete` it, or write that record into it."""

    at: float
    slot: int
    spec: tuple[tuple[str, Any], ...] | None


@dataclass(frozen=True)
class Schedule:
    """All that happens."""

    seed: int
    slots: int
    populators: tuple[Populator, ...]
    peers: tuple[GoPeer, ...] = ()
    faults: tuple[Fault, ...] = ()
    deeds: tuple[Deed, ...] = ()
    edits: tuple[Edit, ...] = ()

    def smaller(self) -> "Iterator[Schedule]":
        """Yield this schedule with one part left out, each in turn."""
        for each in fields(self)[2:]:
            parts = getattr(self, each.name)
            for index in range(len(parts)):
                yield replace(self, **{each.name: parts[:index] + parts[index + 1 :]})

    def __str__(self) -> str:
        parts = [part for each in fields(self)[2:] for part in getattr(self, each.name)]
        return "\n".join([f"seed {self.seed}, {self.slots} slots", *map(repr, parts)])


def draw(seed: int) -> Schedule:
    """Draw a schedule: about a third of them calm, some in company (see COMPANY), the rest with everything."""
    chance = random.Random(seed)
    calm, company = chance.random() < 0.3, chance.choices(COMPANY, (55, 20, 15, 10))[0]
    shortest = SHORTEST_WITH_GO if company == "peers" else 0
    populators = tuple(_populator(chance, number, shortest) for number in range(chance.randint(2, 8)))
    peers = {"peers": chance.randint(1, 4), "anybody": chance.randint(1, 2)}.get(company, 0)
    skews = (
        (0.0, chance.uniform(-5, 5), chance.uniform(-86400, 86400))
        if company == "anybody"
        else (-1.0, 0.0, 1.0)
    )
    edits = {"anybody": chance.randint(0, 2), "deletions": chance.randint(1, 3)}.get(company, 0)
    return Schedule(
        seed,
        chance.choice((1, 2, 2, 2, 3)),
        populators,
        tuple(_peer(chance, number, skews) for number in range(peers)),
        () if calm else tuple(_fault(chance) for _ in range(chance.randint(0, 4))),
        tuple(_deed(chance, populators) for _ in range(0 if calm and peers else chance.randint(0, 3))),
        tuple(_edit(chance, only_delete=company == "deletions") for _ in range(edits)),
    )


def _populator(chance: random.Random, number: int, shortest: int) -> Populator:
    return Populator(
        f"pod-{number}",
        at=chance.choice((0.0, chance.uniform(0, 1), chance.uniform(0, 30))),
        duration=max(chance.choice(DURATIONS), shortest),
        rate=chance.choice((1.0, chance.uniform(0.8, 1.2))),
        offset=chance.choice((0.0, chance.uniform(-5, 5), chance.uniform(-86400, 86400))),
        steps=tuple(
            (chance.uniform(0, 4), chance.uniform(0.3, 1.0)) for _ in range(chance.choice((1, 2, 3, 8)))
        ),
        scope=chance.choice(("copy", "copy", "rescan")),
        prepare=chance.random() < 0.7,
        leaves=chance.random() < 0.1,
        needless=chance.choice((0.0, 0.5)),
    )


def _peer(chance: random.Random, number: int, skews: tuple[float, ...]) -> GoPeer:
    rescans = tuple(chance.uniform(1, 30) for _ in range(chance.randint(1, 3)))
    return GoPeer(f"go-{number}", chance.uniform(0, 30), rescans, offset=chance.choice(skews) / 2)


def _fault(chance: random.Random) -> Fault:
    at = chance.uniform(0, 40)
    kind = chance.choice((*CALLS, *WATCHES))
    until = at + chance.choice((chance.uniform(0.1, 3), chance.uniform(1, 15), chance.uniform(10, 90)))
    return Fault(kind, at, until, chance.choice((1.0, 0.5, 0.05)), chance.choice((0.5, 2.0, 12.0, 60.0)))


def _deed(chance: random.Random, populators: tuple[Populator, ...]) -> Deed:
    kind = chance.choice(("kill", "terminate", "terminate", "stop", "stop", "jump"))
    target = chance.choice(populators)
    seconds = target.duration * chance.choice((0.5, 1.0, 3.0))
    return Deed(kind, target.at + chance.uniform(0, 25), target.name, seconds)


def _edit(chance: random.Random, *, only_delete: bool) -> Edit:
    if only_delete or chance.random() < 0.3:
        return Edit(chance.uniform(0, 40), chance.randint(0, 1), None)
    holder = chance.choice(("", "admin", "somebody"))
    renewed = chance.choice((None, wall(0), wall(1e8), "soon", ""))
    spec = {
        "holderIdentity": holder,
        "renewTime": renewed,
        "leaseDurationSeconds": chance.choice((None, 0, 1, 15, 2**31 - 1)),
        "leaseTransitions": chance.choice((None, 0, 7, 2**31 - 1)),
    }
    return Edit(chance.choice((0.0, chance.uniform(0, 40))), chance.randint(0, 1), tuple(spec.items()))


REAL = modules(lambda name: importlib.import_module(f"lease.{name}"))


def play(schedule: Schedule, lease: Any = REAL) -> list[Event]:
    """Let a schedule happen, and return its history; the same one each time."""
    random.seed(schedule.seed)  # the lease draws its jitter from there, too
    chance = random.Random(schedule.seed)
    world, history = World(), list[Event]()
    server = Server(world, history, chance)
    faults = Faults(schedule.faults, chance)
    scene = Scene(world, server, faults, Host(world, history), history, chance, lease, schedule.slots)
    history += [Trouble(fault.at, fault.until + fault.seconds) for fault in schedule.faults]
    for edit in schedule.edits:
        world.after(edit.at, _edited(server, edit))
    for populator in schedule.populators:
        world.after(populator.at, functools.partial(Running, scene, populator))
    for peer in schedule.peers:
        world.after(peer.at, functools.partial(GoRunning, scene, peer))
    for deed in schedule.deeds:
        world.after(deed.at, _done(scene, deed))
    if schedule.edits:
        history.append(Joined(0.0, "admin", 10, ours=False))
    try:
        world.run(HORIZON, MOST)
    except Exception as error:
        error.add_note(str(schedule))
        raise
    finally:
        world.end()
    return history


def _edited(server: Server, edit: Edit) -> Callable[[], None]:
    name = slot_names(GO_TEMPLATE, HOST, edit.slot + 1)[edit.slot]

    def act() -> None:
        lease = server.lease(name)
        body: Json | None = None
        if edit.spec is not None:
            body = {
                "metadata": {**(lease["metadata"] if lease else {}), "name": name},
                "spec": dict(edit.spec),
            }
        if body or lease:
            server.put("admin", name, body)

    return act


def _done(scene: Scene, deed: Deed) -> Callable[[], None]:
    def act() -> None:
        running = scene.running.get(deed.target)
        if running is None:
            return
        process = running.process
        if deed.kind == "kill":
            running.kill()
        elif deed.kind == "terminate":
            running.tell()
        elif deed.kind == "jump":
            process.offset += deed.seconds * 1000
            running.tell_clock()
        elif not process.stopped:
            process.stop()
            scene.world.after(deed.seconds, process.go_on)
            scene.history.append(Stopped(scene.world.now, scene.world.now + deed.seconds, running.who))

    return act
