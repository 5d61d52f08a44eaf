"""Holding a slot of a host's lease while work is done on the host.

A task of its own renews beside the work, also while that blocks for minutes in one call. It never gives up: over any
error it goes on trying, and when the slot was lost it queues for one again. All writes after the first are made by
that task, the release included, so that they have an order.
"""

import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from lease.api import Api, ApiError
from lease.decision import Claimant, Wait, backoff
from lease.errors import BELIEVED_AFTER, LeaseError, LeaseLost, hopeless
from lease.glance import Glance
from lease.ports import Clock, Observer, Tasks, Unobserved
from lease.record import TEMPLATE, Journal, slot_names
from lease.slots import Claimed, Slots
from lease.threads import Threads
from lease.waiting import Turn

RELEASE_WITHIN = 2.0
"""seconds; after that, expiry frees the slot"""
TEARDOWN_WAITS = 5.0
"""seconds that tidying up waits for a slot which was lost"""

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
        observer: Observer | None = None,
        tasks: Tasks | None = None,
    ) -> None:
        """Make the lock; settings as accepted by `check_settings`. Each process needs an identity of its own."""
        self._api = api
        self._namespace = namespace
        self._me = Claimant(identity, duration)
        self._clock = clock
        self._slots = slots
        self._template = template
        self._observer = observer or Unobserved()
        self._tasks = tasks or Threads()
        self._prepared: dict[str, Slots] = {}
        self._rights_seen = False

    def prepare(self, host: str) -> None:
        """Find out, before anything is changed elsewhere, whether a slot of that host can be had at all.

        Raises LeaseError when waiting cannot help, at once but for a 403, which must be repeated first; waits while
        the API server is away. `hold` goes on from what was read.
        """
        slots = self._prepared[host] = self._slots_of(host, self._me)
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
                if error.final and not now + pause - forbidden_since < BELIEVED_AFTER:
                    raise hopeless(host, error) from error
                log.log(logging.DEBUG if failures > 1 else logging.WARNING, "%s Trying again.", error.text)
                self._clock.wait(pause)
            else:
                self._rights_seen = True
                return

    @contextmanager
    def hold(self, host: str, /, **facts: str) -> Iterator["Held"]:
        """Wait for a slot of that host and hold it; one after the other is fine, one within the other is not.

        `facts` stand in its journal from the first moment on. Raises LeaseError at once when waiting cannot help: no
        right, no namespace, a Lease that is refused.
        """
        held = self.open(host, facts)
        held.acquire()
        try:
            yield held
        finally:
            held.release()

    def open(self, host: str, facts: Mapping[str, str], suffix: str = "") -> "Held":
        """Return what can acquire a slot of that host, once; `suffix` makes it a holder of its own."""
        me = replace(self._me, identity=self._me.identity + suffix)
        slots = None if suffix else self._prepared.pop(host, None)
        return Held(slots or self._slots_of(host, me), self._clock, self._tasks, self._observer, facts)

    def _slots_of(self, host: str, me: Claimant) -> Slots:
        try:
            names = slot_names(self._template, host, self._slots)
        except ValueError as error:
            raise LeaseError(f"The host {host!r} cannot have a lease: {error}.") from error
        slots = Slots(self._api, self._clock, me, self._namespace, host, names)
        slots.rights_seen = self._rights_seen
        return slots


class Held:
    """A slot of the host lease, renewed until it is released; the steps that need it are done inside its contexts."""

    def __init__(
        self, slots: Slots, clock: Clock, tasks: Tasks, observer: Observer, facts: Mapping[str, str]
    ) -> None:
        self.host = slots.host
        self.slot = ""
        """name of the Lease"""
        self.waited = 0.0
        """seconds until we had it"""
        self.inherited: Journal | None = None
        """what a holder before us was doing when he died"""
        self._slots = slots
        self._me = slots.me
        self._clock = clock
        self._tasks = tasks
        self._observer = observer
        self._facts = dict(facts)
        self._written: dict[str, str] = {}
        self._left = False
        self._lost = False
        self._lapsed = False
        self._since = math.inf
        self._failures = 0
        self._renew_at = -math.inf
        self._valid_until = -math.inf
        self._wake = tasks.event()
        self._claimed_again = tasks.event()
        self._end = tasks.event()
        self._renewer = tasks.task(f"lease-{slots.host}", self._run)

    @property
    def valid(self) -> bool:
        """Whether the slot is surely ours now."""
        return self._clock.now() < self._valid_until

    def guard(self, step: str) -> None:
        """Raise LeaseLost unless the slot is ours now; called right before each step that can shake the host."""
        if not self.valid:
            raise LeaseLost(
                f"The host lease of {self.host} was lost, so this was not begun: {step}.",
                f"See who holds it, oc get lease {self.slot} -o yaml, and whether the Kubernetes API is healthy.",
            )

    @contextmanager
    def step(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:  # noqa: ARG002 - no wait
        """Do one step that can shake the host inside this context; raises LeaseLost unless the slot is ours."""
        self.guard(name)
        self.note(phase=name)
        yield True

    @contextmanager
    def teardown(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:  # noqa: ARG002
        """Do one step of tidying up inside: waits a little for a slot that was lost, then goes on in any case."""
        end = self._clock.now() + TEARDOWN_WAITS
        while not self.valid and not self._clock.expired() and (left := end - self._clock.now()) > 0:
            self._claimed_again.clear()
            self._claimed_again.wait(min(left, 0.25))  # short, since we may be told to stop meanwhile
        if not self.valid:
            log.warning("The host lease of %s is lost; going on without it, to tidy up: %s.", self.host, name)
        self.note(phase=name)
        yield True

    def note(self, **facts: str) -> None:
        """Keep facts in the lease's journal; written with the next renewal."""
        self._facts = {**self._facts, **facts}

    def leave(self, text: str) -> None:
        """Say in the journal that something was left running, and let the slot expire instead of releasing it."""
        self.note(left=text)
        self._left = True
        self._renew_at = -math.inf
        self._wake.set()

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
            self._wake,
            interruptible=self._clock.blocking,
            stopped=given_up,
            glance=glance,
            tick=tick,
        )
        facts = self._facts
        claimed = turn.take(self._journal)
        self.waited = self._clock.now() - began
        if claimed is None:
            return False
        self._written, self._since = facts, claimed.sent
        self._have(claimed)
        self._observer.waited(self.waited)
        log.info("Holding %s after %.1f s.", claimed.name, self.waited)
        self._renewer.start()
        return True

    def release(self) -> None:
        """Stop renewing and free the slot, or after `leave` keep it until it expires; never raises."""
        self._end.set()
        self._wake.set()
        self._renewer.join(self._clock.limit(RELEASE_WITHIN))
        self._observer.held(self._clock.now() - self._since)
        if self._renewer.is_alive():
            log.warning("%s could not be released in time; it expires by itself.", self.slot)

    def _run(self) -> None:
        while not self._end.is_set():
            self._wake.wait(max(self._renew_at - self._clock.now(), 0))
            self._wake.clear()
            if self._clock.now() < self._renew_at or self._end.is_set():
                continue
            try:
                self._queue_again() if self._lost else self._renew()
            except ApiError as error:
                self._failed(error.text, error.retry_after)
            except LeaseError as error:
                self._failed(error.text, None)
            except Exception as error:  # whatever it is, the slot is renewed as long as it can be
                log.debug("Renewing %s", self.slot, exc_info=True)
                self._failed(f"Renewing failed unexpectedly: {error!r}", None)
        self._finish()

    def _renew(self) -> None:
        """Write our name again; if somebody else changed the record, look what it says first."""
        if self.slot not in self._slots.seen:
            self._slots.look(self.slot)
        if isinstance(self._slots.decision(self.slot), Wait):
            self._lose()
        elif claimed := self._write():
            self._observer.renewed(self._clock.now() - claimed.sent)
            self._have(claimed)
        else:
            self._failed(f"{self.slot} was changed by somebody else.", 0.0)

    def _write(self) -> Claimed | None:
        facts, journal = self._facts, self._journal()
        claimed = self._slots.write(self.slot, journal)
        if claimed:
            self._written = facts
        return claimed

    def _lose(self) -> None:
        self._valid_until = -math.inf
        self._lost = True
        self._lapse()
        log.warning("The host lease of %s was lost to %s; queueing again.", self.host, self._slots.holders())

    def _queue_again(self) -> None:
        turn = Turn(
            self._slots,
            self._clock,
            self._tasks,
            self._wake,
            interruptible=nullcontext,
            stopped=self._end.is_set,
        )
        if claimed := turn.take(self._journal):
            log.info("Holding the host lease of %s again: %s.", self.host, claimed.name)
            self._have(claimed)

    def _have(self, claimed: Claimed) -> None:
        self.slot = claimed.name
        self._lost = self._lapsed = False
        self._failures = 0
        self._renew_at = claimed.sent + self._me.renew_after
        self._valid_until = claimed.sent + self._me.give_up_after
        self._claimed_again.set()
        if claimed.inherited:
            self.inherited = claimed.inherited
            self._observer.took_over()
            log.warning(
                "%s was not released by %s, who left there: %s",
                claimed.name,
                claimed.inherited.holder,
                claimed.inherited.text(),
            )

    def _failed(self, text: str, retry_after: float | None) -> None:
        """Say once that renewing has trouble, and try again soon."""
        log.log(logging.DEBUG if self._failures else logging.WARNING, "%s Trying again.", text)
        self._failures += 1
        self._observer.renew_failed()
        if not self.valid:
            self._lapse()
        pause = backoff(self._failures, retry_after, random.random())  # noqa: S311
        self._renew_at = self._clock.now() + (pause if retry_after else min(pause, self._me.duration / 6))

    def _lapse(self) -> None:
        """Tell once that the slot is not surely ours any more."""
        if not self._lapsed:
            self._lapsed = True
            self._observer.lost()

    def _journal(self) -> str:
        return Journal(self._me.identity, self._facts).text()

    def _finish(self) -> None:
        """Make the last write: the slot freed, or the journal of one that is left."""
        if self._lost:
            return
        end = self._clock.now() + RELEASE_WITHIN
        while self._clock.now() < end:
            try:
                if self.slot not in self._slots.seen:
                    self._slots.look(self.slot)
                if self._last_write():
                    return
            except ApiError as error:
                log.debug("%s", error.text)
                if error.final:
                    break
            self._wake.wait(0.1)  # after an error or a conflict
            self._wake.clear()
        log.warning("%s could not be written a last time; it expires by itself.", self.slot)

    def _last_write(self) -> bool:
        """Free the slot, or tell in its journal what is left; True when there is nothing more to do."""
        if not self._left:
            return self._slots.free(self.slot)
        if self._written is self._facts or isinstance(self._slots.decision(self.slot), Wait):
            return True  # told already, or somebody else has taken the slot: what he has is not written over
        return self._write() is not None
