"""Keeping a slot: renewed beside the work, queued for again when it was lost, given back at the end.

A task of its own does this, also while the work blocks for minutes in one call. It never gives up: over any error it
goes on trying. All writes after the first are made by that task, the release included, so that they have an order.
"""

import logging
import math
import random
from collections.abc import Mapping
from contextlib import nullcontext

from lease.decision import Wait, backoff
from lease.errors import LeaseError
from lease.kube.api import ApiError
from lease.ports import Clock, Observer, Tasks
from lease.record import Notes
from lease.slots import Claimed, Slots
from lease.waiting import Turn

RELEASE_WITHIN = 2.5
"""request timeouts: a renewal under way may hang, and the release, and still another try comes through; after that,
expiry frees the slot"""
HASTE = 2.0
"""seconds for a release when we were told to stop: the pod has 30 for everything"""
CONCLUDE_WITHIN = 30.0
"""seconds for a release that says what was achieved, which no expiry does"""
LOOK_EVERY = 0.5
"""seconds between two looks at whether the time for the release is over: we may be told to stop meanwhile"""

log = logging.getLogger(__name__)


class Renewal:
    """One slot, kept from `start` to `end`; what it knows may be read by any thread."""

    def __init__(
        self, slots: Slots, clock: Clock, tasks: Tasks, observer: Observer, facts: Mapping[str, str]
    ) -> None:
        self.slot = ""
        """name of the Lease"""
        self.inherited: Notes | None = None
        """what a holder before us was doing when it died"""
        self.kept = True
        """whether nobody else can have held the slot since we first had it"""
        self._slots = slots
        self._me = slots.me
        self._clock = clock
        self._tasks = tasks
        self._observer = observer
        self._facts = dict(facts)
        self._written: Mapping[str, str] = {}
        self._outcome = ""
        self._achieved = False
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
        self._task = tasks.task(f"lease-{slots.host}", self._run)

    @property
    def valid(self) -> bool:
        """Whether the slot is certainly ours now."""
        return self._clock.now() < self._valid_until

    @property
    def lost(self) -> bool:
        """Whether somebody else holds the slot, as far as we know."""
        return self._lost

    def journal(self) -> str:
        """Return the journal as it is to be written."""
        return Notes(self._me.identity, self._facts).text()

    def note(self, **facts: str) -> None:
        """Keep facts in the journal; written with the next renewal."""
        self._facts = {**self._facts, **facts}

    @property
    def written(self) -> bool:
        """Whether all facts stand in the Lease."""
        return self._written is self._facts

    def write_soon(self, seconds: float) -> None:
        """Renew now, with the journal as it is, and wait until that is done, so long at most."""
        self._claimed_again.clear()
        self._renew_at = -math.inf
        self._wake.set()
        if not self.written:
            self._claimed_again.wait(seconds)

    def start(self, claimed: Claimed) -> None:
        """Begin to renew what was claimed just now with the journal as it is."""
        self._written, self._since = self._facts, claimed.sent
        self._have(claimed)
        self._task.start()

    def leave(self) -> None:
        """Write the journal soon, and let the slot expire instead of releasing it."""
        self._left = True
        self._renew_at = -math.inf
        self._wake.set()

    def conclude(self, outcome: str, *, achieved: bool) -> None:
        """Leave a word in the Lease that outlives the release, which takes as long as need be if `achieved`."""
        self._outcome, self._achieved = outcome, achieved

    def wait_until_valid(self, seconds: float) -> None:
        """Wait for a slot that was lost to be ours again, so long at most."""
        self._claimed_again.clear()
        if not self.valid:
            self._claimed_again.wait(seconds)

    def end(self) -> None:
        """Stop renewing and free the slot, or after `leave` keep it until it expires; never raises."""
        self._end.set()
        self._wake.set()
        began = self._clock.now()
        while self._task.is_alive():
            hurried = self._clock.stopping() and not self._achieved
            left = began + (HASTE if hurried else self._release_within) - self._clock.now()
            if left <= 0:
                break
            self._task.join(min(left, LOOK_EVERY))
            if self._clock.expired():
                break
        self._observer.held(self._clock.now() - self._since)
        if self._task.is_alive():
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
            self.kept = self.kept and claimed.kept
            self._observer.renewed(self._clock.now() - claimed.sent)
            self._have(claimed)
        else:
            self._failed(f"{self.slot} was changed by somebody else.", 0.0)

    def _write(self) -> Claimed | None:
        facts, journal = self._facts, self.journal()
        claimed = self._slots.write(self.slot, journal)
        if claimed:
            self._written = facts
        return claimed

    def _lose(self) -> None:
        self._valid_until = -math.inf
        self._lost, self.kept = True, False
        self._lapse()
        log.warning("The %s was lost to %s; queueing again.", self._slots.title, self._slots.holders())

    def _queue_again(self) -> None:
        turn = Turn(
            self._slots,
            self._clock,
            self._tasks,
            self._wake,
            interruptible=nullcontext,
            stopped=self._end.is_set,
        )
        if claimed := turn.take(self.journal):
            log.info("Holding the %s again: %s.", self._slots.title, claimed.name)
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
        """Report once that the slot is no longer certainly ours."""
        if not self._lapsed:
            self._lapsed = True
            self._observer.lost()

    @property
    def _release_within(self) -> float:
        return CONCLUDE_WITHIN if self._achieved else RELEASE_WITHIN * self._me.request_timeout

    def _finish(self) -> None:
        """Make the last write: the slot freed, or the journal of one that is left."""
        if self._lost:
            return
        end = self._clock.now() + self._release_within
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
            return self._slots.free(self.slot, self._outcome)
        if self.written or isinstance(self._slots.decision(self.slot), Wait):
            return True  # written already, or another process has the slot, whose record is not overwritten
        return self._write() is not None
