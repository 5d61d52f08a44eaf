"""Who takes part: populators that run the real lease, peers that follow the Go rule, and the host they shake."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from lease.record import GO_TEMPLATE, micro_time, slot_names
from tests.lab.lease.faults import Faults
from tests.lab.lease.history import Died, Event, Failed, GaveUp, Had, Joined, Left, Step, Told, Waited
from tests.lab.lease.server import Json, Line, Server
from tests.lab.lease.time import EPOCH, Cancelled, Clock, Process, World

HOST = "host-1234"
GRACE = 25.0
"""seconds for tidying up after SIGTERM"""
TEARDOWN = 0.2
"""seconds that tidying up takes on the host"""
GO_LOOKS, GO_RENEWS, GO_RESTS = 10.0, 3.0, 4.0
"""seconds between two looks of a peer of the Go rule, between two renewals, and between two of its rescans"""


@dataclass(frozen=True)
class Populator:
    """What one populator does: when it comes, what its clock is like, which steps it takes."""

    name: str
    at: float
    duration: int
    rate: float = 1.0
    offset: float = 0.0
    steps: tuple[tuple[float, float], ...] = ((0.1, 1.0),)
    """for each step: seconds of other work before it, and seconds that it takes on the host"""
    hosts: tuple[str, ...] = (HOST,)
    """those that will do, the preferred one first"""
    scope: str = "copy"
    prepare: bool = True
    leaves: bool = False
    needless: float = 0.0
    """how probable a look finds that the step is not needed any more"""


@dataclass(frozen=True)
class GoPeer:
    """A populator of the Go rule: by its wall clock, with a look each 10 s; it holds a slot around a rescan only."""

    name: str
    at: float
    rescans: tuple[float, ...] = (5.0,)
    """seconds that each takes"""
    duration: int = 10
    """seconds, for a slot that it creates"""
    offset: float = 0.0


class Host:
    """The ESXi host: a step takes its time there, whatever becomes of whoever asked for it."""

    def __init__(self, world: World, history: list[Event]) -> None:
        self._world = world
        self._history = history

    def shake(self, who: str, seconds: float, teardown: bool = False) -> None:
        """Begin a step."""
        self._history.append(Step(self._world.now, self._world.now + seconds, who, teardown))


@dataclass
class Scene:
    """What all actors share."""

    world: World
    server: Server
    faults: Faults
    host: Host
    history: list[Event]
    chance: random.Random
    lease: Any
    """modules of the lease package, or of a copy with a mistake in it"""
    slots: int = 2
    running: dict[str, "Running"] = field(default_factory=dict)


class Running:
    """A populator at work."""

    def __init__(self, scene: Scene, plan: Populator) -> None:
        self.scene = scene
        self.plan = plan
        self.process = Process(scene.world, plan.name, plan.rate, plan.offset)
        self.clock = Clock(self.process)
        self.who = plan.name
        self._joined: set[str] = set()
        self._steps = 0
        self._state = ""
        self._in_teardown = False
        self._lease = scene.lease
        scene.running[plan.name] = self
        line: Any = Line(self.process, scene.server, scene.faults, self._identity)
        api = self._lease.Api(line, 10.0)
        self.lock = self._lease.HostLock(
            api, namespace="n", identity=plan.name, duration=plan.duration, clock=self.clock, slots=scene.slots,
            tasks=self.process, template=GO_TEMPLATE,
        )  # fmt: skip
        self.process.start(self._main)

    def kill(self) -> None:
        """SIGKILL."""
        if not self.process.dead and self._state != "gone":
            self._note(Died)
            self.process.kill()

    def tell(self) -> None:
        """SIGTERM."""
        self.scene.history.append(Told(self.scene.world.now, self.who))
        self.process.perform(self.clock.stop)

    def _main(self) -> None:
        try:
            if self.plan.prepare:
                self.lock.prepare(*self.plan.hosts)
            if self.plan.scope == "copy":
                self._throughout()
            else:
                self._step_by_step()
        except (Cancelled, self._lease.LeaseError):
            return
        finally:
            self._state = "gone"

    def _throughout(self) -> None:
        """Hold a slot from the first step to the last, and tidy up."""
        self._become(self.plan.name)
        self._note(Waited)
        with self._ended(), self.lock.hold(*self.plan.hosts, volume="pvc-1") as held:
            self._note(Had)
            try:
                for gap, seconds in self.plan.steps:
                    self.clock.wait(gap)
                    with suppress(self._lease.LeaseLost), held.step("rescan"):
                        self._shake(seconds)
                    held.note(step=str(seconds))
            finally:
                self._tidy(held)

    def _tidy(self, held: Any) -> None:
        with self.clock.grace(GRACE):
            if self.plan.leaves:
                held.leave("a copy is running")
                return
            with held.teardown("detach"):
                self._shake(TEARDOWN, teardown=True)

    def _step_by_step(self) -> None:
        """Hold a slot for each step; that of the first has decided between several hosts."""
        steps = self._lease.StepLock(self.lock, self.clock)
        choice = len(self.plan.hosts) > 1
        if choice:
            self._want()
        with self._ended(), steps.hold(*self.plan.hosts, volume="pvc-1") as held:
            if choice:
                self._note(Had)
            try:
                for gap, seconds in self.plan.steps:
                    self.clock.wait(gap)
                    with suppress(self._lease.LeaseLost):
                        self._one(held.step, seconds, teardown=False)
            finally:
                with self.clock.grace(GRACE):
                    self._one(held.teardown, TEARDOWN, teardown=True)

    def _one(self, context: Callable[..., Any], seconds: float, teardown: bool) -> None:
        had = self._state == "held"
        if not had:
            self._want()
        with self._ended(), context("rescan", self._needless) as needed:
            if not had:
                self._note(Had if needed else GaveUp)
            if needed:
                self._shake(seconds, teardown)

    def _want(self) -> None:
        self._steps += 1
        self._become(f"{self.plan.name}-{self._steps}")
        self._note(Waited)

    def _shake(self, seconds: float, teardown: bool = False) -> None:
        self.scene.host.shake(self.who, seconds, teardown)
        self.clock.wait(
            seconds * self.plan.rate
        )  # the call lasts as long as the step, unless it is broken off

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """Note what was the end: a release, a slot that is left to expire, or a wait that was broken off."""
        try:
            yield
        finally:
            if self._state == "held":
                self._note(Died if self.plan.leaves else Left)
            elif self._state == "waiting":
                self._note(GaveUp)

    def _needless(self) -> bool:
        self.process.block(0.05)  # a look is a call to the host
        return self.scene.chance.random() < self.plan.needless

    def tell_clock(self) -> None:
        """Note what the wall clock is like."""
        now, rate, offset = self.scene.world.now, self.plan.rate, self.process.offset
        self.scene.history.append(Joined(now, self.who, self.plan.duration, rate=rate, offset=offset))

    def _become(self, who: str) -> None:
        self.who = who
        if who not in self._joined:
            self._joined.add(who)
            self.tell_clock()

    def _identity(self) -> str:
        return self.who

    def _note(self, kind: type[Any]) -> None:
        if not self.process.dead:
            self._state = {Waited: "waiting", Had: "held"}.get(kind, "")
            self.scene.history.append(kind(self.scene.world.now, self.who))


class GoRunning:
    """A peer of the Go rule at work.

    It creates a slot, or takes over one whose renewTime + duration has passed by its wall clock; one that lacks either
    is held for ever. Then it writes holder, acquireTime and renewTime, and leaves the duration that stands there. It
    renews with the version that it wrote last, gives up for good when that is refused, and never releases.
    """

    def __init__(self, scene: Scene, plan: GoPeer) -> None:
        self._scene = scene
        self._plan = plan
        self._process = Process(scene.world, plan.name, offset=plan.offset)
        joined = Joined(scene.world.now, plan.name, plan.duration, ours=False, peer=True, offset=plan.offset)
        scene.history.append(joined)
        self._process.start(self._main)

    def _main(self) -> None:
        for seconds in self._plan.rescans:
            while not (lease := self._claim()):
                self._process.block(GO_LOOKS)
            if not self._rescan(lease, seconds):
                return
            self._process.block(GO_RESTS)

    def _rescan(self, lease: Json, seconds: float) -> bool:
        """Rescan, renewing meanwhile; False when that has failed, which ends the rescan."""
        world, began = self._scene.world, self._scene.world.now
        renew_at, end, kept = began + GO_RENEWS, began + seconds, True
        while kept and renew_at < end:
            self._process.block(renew_at - world.now)
            stored = self._update(lease, renewTime=self._now())
            kept, lease, renew_at = bool(stored), stored or lease, renew_at + GO_RENEWS
        self._process.block(max(end - world.now, 0.0) if kept else 0.0)
        self._scene.history.append(Step(began, world.now, self._plan.name))
        if not kept:
            self._scene.history.append(Failed(world.now, self._plan.name))
        return kept

    def _claim(self) -> Json | None:
        names = slot_names(GO_TEMPLATE, HOST, self._scene.slots)
        return next(filter(None, map(self._claim_slot, names)), None)

    def _claim_slot(self, name: str) -> Json | None:
        spec = {"holderIdentity": self._plan.name, "acquireTime": self._now(), "renewTime": self._now()}
        new = {"metadata": {"name": name}, "spec": {**spec, "leaseDurationSeconds": self._plan.duration}}
        self._process.block(0.005)
        answer = self._scene.server.create(self._plan.name, self._scene.world.now, new)
        if answer.status == 201:
            return answer.body
        self._process.block(0.005)
        lease = self._scene.server.lease(name)
        if lease is None:
            return self._claim_slot(name)
        return self._update(lease, **spec) if self._expired(lease) else None

    def _expired(self, lease: Json) -> bool:
        spec = lease["spec"]
        try:
            ends = datetime.fromisoformat(spec["renewTime"]) + timedelta(seconds=spec["leaseDurationSeconds"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return False
        return bool(ends < self._process.utc())

    def _update(self, lease: Json, **changes: str) -> Json | None:
        """Write these fields over that version; None when it is not the newest one."""
        server, sent = self._scene.server, self._scene.world.now
        self._process.block(0.005)
        body = {**lease, "spec": {**lease["spec"], **changes}}
        answer = server.replace(self._plan.name, sent, lease["metadata"]["name"], body)
        return answer.body if answer.status == 200 else None

    def _now(self) -> str:
        return micro_time(self._process.utc())


def wall(seconds: float) -> str:
    """Return a wall-clock time as records have it."""
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def modules(names: Callable[[str], Any]) -> Any:
    """Collect what actors use of the lease package; `names` imports a module of it."""
    return SimpleNamespace(
        Api=names("kube.api").Api,
        HostLock=names("hostlock").HostLock,
        StepLock=names("stepwise").StepLock,
        LeaseError=names("errors").LeaseError,
        LeaseLost=names("errors").LeaseLost,
    )
