"""One process with the lease's own parts, at the simulated server and in virtual time: to look at them one by one."""

import json
import random
from collections.abc import Callable
from typing import Any

from lease.decision import Claimant
from lease.kube.api import Api
from lease.ports import Unobserved
from lease.record import JOURNAL, slot_names
from lease.renewal import Renewal
from lease.slots import Slots
from tests.lab.lease.faults import Fault, Faults
from tests.lab.lease.history import Event, Written
from tests.lab.lease.server import Json, Line, Server
from tests.lab.lease.time import Clock, Process, World

HOST, NAMESPACE, TEMPLATE = "host-1", "n", "esxi-lock-{host}-slot-{slot}"
DURATION = 9
FIRST = "esxi-lock-host-1-slot-0"
MOST = 1_000_000


class Bench:
    """A server and one process; `play` is its main thread."""

    def __init__(self, *faults: Fault, slots: int = 1) -> None:
        self.world = World()
        self.history: list[Event] = []
        chance = random.Random(0)
        self.server = Server(self.world, self.history, chance)
        self.process = Process(self.world, "me")
        self.clock = Clock(self.process)
        line: Any = Line(self.process, self.server, Faults(faults, chance), lambda: "me")
        self.names = slot_names(TEMPLATE, HOST, slots)
        self.api = Api(line, 10.0)
        self.slots = self.slots_of("me")

    def slots_of(self, identity: str) -> Slots:
        """Return the slots as somebody else in the process knows them."""
        me = Claimant(identity, DURATION)
        return Slots(self.api, self.clock, me, NAMESPACE, {HOST: self.names}, title="host lease of {host}")

    def renewal(self, **facts: str) -> Renewal:
        """Claim the first slot, and renew it from now on."""
        renewal = Renewal(self.slots, self.clock, self.process, Unobserved(), facts)
        self.slots.prepare()
        claimed = self.slots.write(FIRST, renewal.journal())
        assert claimed is not None
        renewal.start(claimed)
        return renewal

    def play(self, act: Callable[[], None], until: float = 600.0) -> None:
        """Run code to its end, which must come by then."""
        ended: list[bool] = []

        def run() -> None:
            act()
            ended.append(True)

        self.process.start(run)
        self.world.run(until, MOST)
        self.world.end()
        assert ended, "it has not come to its end"

    def writes(self) -> list[float]:
        """Return when the first slot was written."""
        return [event.at for event in self.history if isinstance(event, Written) and event.slot == FIRST]

    def lease(self) -> Json:
        """Return the first slot's Lease as it is now."""
        lease = self.server.lease(FIRST)
        assert lease is not None
        return lease

    def journal(self) -> dict[str, str]:
        """Return the journal that stands in it."""
        facts: dict[str, str] = json.loads(self.lease()["metadata"]["annotations"][JOURNAL])
        return facts
