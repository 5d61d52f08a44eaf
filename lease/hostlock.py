"""Holding a slot of a host's lease while work is done on the host."""

import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from lease.decision import Claimant, backoff
from lease.errors import LeaseError, LeaseLost, hopeless
from lease.glance import Glance
from lease.kube.api import Api, ApiError, Json
from lease.ports import Clock, Observer, Tasks, Unobserved
from lease.record import TEMPLATE, Notes, Record, slot_names
from lease.renewal import Renewal
from lease.slots import Slots
from lease.threads import Threads
from lease.waiting import Turn

TEARDOWN_WAITS = 5.0
"""seconds that tidying up waits for a slot which was lost"""

TICK = 0.5
"""seconds between two looks at what a wait is for"""

log = logging.getLogger(__name__)


class HostLock:
    """The lease of each host, for one holder; see the package for what it promises."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        identity: str,
        duration: int,
        clock: Clock,
        slots: int = 2,
        template: str = TEMPLATE,
        title: str = "host lease of {host}",
        owner: Json | None = None,
        observer: Observer | None = None,
        tasks: Tasks | None = None,
    ) -> None:
        """Make the lock; settings as accepted by `check_settings`. Each process needs an identity of its own.

        `title` is what people read of the lease, `owner` a reference to the object with which new Leases are deleted.
        """
        self._api = api
        self._namespace = namespace
        self._me = Claimant(identity, duration)
        self._clock = clock
        self._slots = slots
        self._template = template
        self._title, self._owner = title, owner
        self._observer = observer or Unobserved()
        self._tasks = tasks or Threads()
        self._prepared: dict[tuple[str, ...], Slots] = {}
        self._rights_seen = False

    def prepare(self, *hosts: str) -> None:
        """Find out, before anything is changed elsewhere, whether a slot of one of those hosts can be had at all.

        Raises LeaseError when waiting cannot help, at once but for a 403, which must be repeated first; waits while
        the API server is away. `hold` goes on from what was read.
        """
        slots = self._prepared[hosts] = self._slots_of(hosts, self._me)
        failures, forbidden_since = 0, math.inf
        while True:
            try:
                with self._clock.blocking():
                    slots.prepare()
            except ApiError as error:
                failures += 1
                pause = backoff(failures, error.retry_after, random.random())  # noqa: S311
                now = self._clock.now()
                forbidden_since = min(forbidden_since, now) if error.forbidden else math.inf
                doubted = error.forbidden and now + pause - forbidden_since < error.believed_after
                if error.final and not doubted:
                    raise hopeless(slots.title, error) from error
                log.log(logging.DEBUG if failures > 1 else logging.WARNING, "%s Trying again.", error.text)
                self._clock.wait(pause)
            else:
                self._rights_seen = True
                return

    @contextmanager
    def hold(self, *hosts: str, **facts: str) -> Iterator["Held"]:
        """Wait for a slot of one of those hosts and hold it; one after the other is fine, one within the other is not.

        `facts` stand in its journal from the first moment on. Raises LeaseError at once when waiting cannot help: no
        right, no namespace, a Lease that is refused.
        """
        held = self.open(hosts, facts)
        held.acquire()
        try:
            yield held
        finally:
            held.release()

    def open(self, hosts: tuple[str, ...], facts: Mapping[str, str], suffix: str = "") -> "Held":
        """Return what can acquire a slot, once: the first that comes free on any of those hosts, the preferred first.

        `suffix` makes it a holder of its own.
        """
        me = replace(self._me, identity=self._me.identity + suffix)
        slots = None if suffix else self._prepared.pop(hosts, None)
        return Held(slots or self._slots_of(hosts, me), self._clock, self._tasks, self._observer, facts)

    def _slots_of(self, hosts: tuple[str, ...], me: Claimant) -> Slots:
        names = {host: self._names(host) for host in hosts}
        slots = Slots(
            self._api, self._clock, me, self._namespace, names, title=self._title, owner=self._owner
        )
        slots.rights_seen = self._rights_seen
        return slots

    def _names(self, host: str) -> list[str]:
        try:
            return slot_names(self._template, host, self._slots)
        except ValueError as error:
            raise LeaseError(
                f"The host {host!r} cannot have a lease: {error}.",
                "Give its managed object id, like host-12.",
            ) from error


class Held:
    """A slot of the host lease, renewed until it is released; the steps that need it are done inside its contexts."""

    def __init__(
        self, slots: Slots, clock: Clock, tasks: Tasks, observer: Observer, facts: Mapping[str, str]
    ) -> None:
        self.waited = 0.0
        """seconds until we had it"""
        self._slots = slots
        self._clock = clock
        self._tasks = tasks
        self._observer = observer
        self._renewal = Renewal(slots, clock, tasks, observer, facts)

    @property
    def host(self) -> str:
        """The host whose slot it is; the preferred one, until we have one."""
        return self._slots.host

    @property
    def title(self) -> str:
        """What people read of the lease."""
        return self._slots.title

    @property
    def slot(self) -> str:
        """Name of the Lease; empty until we have one."""
        return self._renewal.slot

    @property
    def inherited(self) -> Notes | None:
        """What a holder before us was doing when it died."""
        return self._renewal.inherited

    @property
    def valid(self) -> bool:
        """Whether the slot is certainly ours now."""
        return self._renewal.valid

    @property
    def lost(self) -> bool:
        """Whether somebody else holds the slot, as far as we know."""
        return self._renewal.lost

    @property
    def kept(self) -> bool:
        """Whether nobody else can have held the slot since we first had it, be it ours again by now."""
        return self._renewal.kept

    def wait_until_valid(self, seconds: float) -> None:
        """Wait while the slot is neither certainly ours nor known to be another's, for at most `seconds`."""
        end = self._clock.now() + seconds
        while not (self.valid or self.lost) and (left := end - self._clock.now()) > 0:
            with self._clock.blocking():
                self._renewal.wait_until_valid(min(left, TICK))

    def guard(self, step: str) -> None:
        """Raise LeaseLost unless the slot is ours now; called right before each disruptive step."""
        if not self.valid:
            raise LeaseLost(
                f"The {self._slots.title} was lost, so the step {step!r} was not started.",
                f"See who holds it, oc get lease {self.slot} -o yaml, and whether the Kubernetes API is healthy.",
            )

    @contextmanager
    def step(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:  # noqa: ARG002 - no wait
        """Do one disruptive step inside this context; raises LeaseLost unless the slot is ours."""
        self.guard(name)
        self.note(phase=name)
        yield True

    @contextmanager
    def teardown(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:  # noqa: ARG002
        """Do one step of tidying up inside: waits a little for a slot that was lost, then goes on in any case."""
        end = self._clock.now() + TEARDOWN_WAITS
        while not self.valid and not self._clock.expired() and (left := end - self._clock.now()) > 0:
            self._renewal.wait_until_valid(min(left, 0.25))  # short, since we may be told to stop meanwhile
        if not self.valid:
            log.warning("The %s is lost; going on without it, to tidy up: %s.", self._slots.title, name)
        self.note(phase=name)
        yield True

    def note(self, **facts: str) -> None:
        """Keep facts in the lease's journal; written with the next renewal."""
        self._renewal.note(**facts)

    def write(self, seconds: float, **facts: str) -> None:
        """Put facts into the journal, and return when they stand in the Lease; raises LeaseLost where they do not.

        An API server that is away is waited for, so many seconds at most.
        """
        self.note(**facts)
        end = self._clock.now() + seconds
        while not self._renewal.written and not self.lost and self._clock.now() < end:
            with self._clock.blocking():
                self._renewal.write_soon(TICK)
        if not self._renewal.written:
            self.guard("write the journal")
            raise LeaseLost(
                f"The journal of the {self._slots.title} could not be written.",
                "See whether the Kubernetes API is healthy.",
            )

    def leave(self, text: str) -> None:
        """Say in the journal that something was left running, and let the slot expire instead of releasing it."""
        self.note(left=text)
        self._renewal.leave()

    def acquire_unless_alive(self) -> Record | None:
        """Wait until the holder of the first slot has released it, is found to be dead, or to be alive.

        Returns the record of a living holder; None when the slot is ours.
        """
        seen: list[Record] = []

        def lives() -> bool:
            record = self._slots.held_by_another()
            if record and (
                not seen or (record.holder, record.renewed) != (seen[-1].holder, seen[-1].renewed)
            ):
                seen.append(record)
            return len(seen) > 1

        return None if self.acquire(given_up=lives, tick=TICK) else seen[-1]

    @property
    def holder(self) -> str:
        """Who holds the slot, for people; empty where nobody does."""
        return self._slots.holders()

    @property
    def outcome(self) -> Mapping[str, str]:
        """What a holder before us has said of its end; empty where none has."""
        sighting = self._slots.seen.get(self.slot)
        return sighting.record.outcome if sighting and sighting.record else {}

    def conclude(self, **facts: str) -> None:
        """Say what was achieved: it is written with the release, and stays in the Lease."""
        self._renewal.conclude(Notes(self._slots.me.identity, facts).text(), achieved=True)

    def explain(self, **facts: str) -> None:
        """Say why nothing was achieved: written like `conclude`, but the release takes no longer for it."""
        self._renewal.conclude(Notes(self._slots.me.identity, facts).text(), achieved=False)

    def acquire(
        self,
        glance: Glance | None = None,
        given_up: Callable[[], bool] = lambda: False,  # told to stop, `blocking` raises
        tick: float = math.inf,
    ) -> bool:
        """Wait for a slot, in the caller's thread, and start to renew it.

        Returns False when the slot is not needed any more, or when it was `given_up`, which is asked after each event
        and each `tick` seconds.
        """
        began = self._clock.now()
        turn = Turn(
            self._slots,
            self._clock,
            self._tasks,
            self._tasks.event(),
            interruptible=self._clock.blocking,
            stopped=given_up,
            glance=glance,
            tick=tick,
        )
        with self._observer.waiting():
            claimed = turn.take(self._renewal.journal)
        self.waited = self._clock.now() - began
        if claimed is None:
            return False
        self._slots.keep_to(claimed.name)
        self._renewal.start(claimed)
        self._observer.waited(self.waited)
        log.info("Holding %s after %.1f s.", claimed.name, self.waited)
        return True

    def release(self) -> None:
        """Stop renewing and free the slot, or after `leave` keep it until it expires; never raises."""
        self._renewal.end()
