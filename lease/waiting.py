"""Waiting for a slot: woken by a watch at a release, by our own clock at an expiry, by a look when all is silent.

Waiters that saw the same release do not all run for it. Each draws a moment within a spread that should fit their
number, so that few lose a race on the server. The spread stands in the record: a waiter that gets a slot judges by
its own pause, and by the races it lost, whether it was too narrow or too wide, and writes a better one with its
claim. So all know the same, newcomers included, and it follows a crowd that shrinks. There is no limit to the
waiting: a queue of migrations may be long. Whoever waits may be told to stop.
"""

import logging
import math
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from lease.crowd import crowd_spread, hesitate, spread_after
from lease.decision import Ours, Wait, backoff
from lease.errors import hopeless
from lease.glance import Glance
from lease.kube.api import ApiError, Watch
from lease.ports import Clock, Event, Tasks
from lease.slots import Claimed, News, Slots

LOST_RACE = 2.0
"""seconds within which the watch should tell who was faster"""
REFUSED_FOR = 30.0
"""seconds of being refused (401, 403) by a server that had let us in: one that starts denies all until it has read
its roles, and roles are edited"""
TELL_EVERY = 60.0
"""seconds between two lines of log about a queue"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Free:
    """A slot that could be ours."""

    version: str
    pause: float
    """seconds that we let it stand free"""
    try_at: float


class Turn:
    """One wait for a slot, of one host or of the first of several that has a free one."""

    def __init__(
        self,
        slots: Slots,
        clock: Clock,
        tasks: Tasks,
        wake: Event,
        *,
        interruptible: Callable[[], AbstractContextManager[None]],
        stopped: Callable[[], bool],
        glance: Glance | None = None,
        tick: float = math.inf,
    ) -> None:
        """Prepare it; `stopped` is asked whenever something happens, and each `tick` seconds."""
        self._slots = slots
        self._clock = clock
        self._tasks = tasks
        self._wake = wake
        self._interruptible = interruptible
        self._stopped = stopped
        self._glance = glance
        self._tick = tick
        self._watcher: _Watcher | None = None
        self._began = clock.now()
        self._told = -math.inf
        self._failures = 0
        self._refused_since = {"read": math.inf, "write": math.inf}
        self._rest_until = -math.inf
        self._look_at: dict[str, float] = {}
        self._free: dict[str, _Free] = {}
        self._unanswered: tuple[str, str] | None = None
        """the slot that may be ours without our knowing, and the version that our claim named"""
        self._queueing = False
        self._lost = 0
        self._lost_of_late = 0

    def take(self, journal: Callable[[], str]) -> Claimed | None:
        """Return the slot that we got, None when told to stop or when a glance tells that we do not need it any more.

        Raises LeaseError when waiting is of no use.
        A claim under way is not broken off, as that would leave a slot in our name: it has its own timeout. Nor is
        one to which no answer came forgotten: the slot is made sure of before any other, and at the end given back.
        """
        try:
            while not self._stopped():
                if claimed := self._round(journal):
                    return claimed
                heard = self._pause()
                if self._glance and self._glance.needless_now(heard=heard):
                    return None
            return None
        finally:
            if self._watcher:
                self._watcher.stop()
            if self._unanswered:
                self._give_back(self._unanswered[0])

    def _round(self, journal: Callable[[], str]) -> Claimed | None:
        try:
            self._listen()
            if self._clock.now() < self._rest_until:
                return None
            for name in self._within_reach():
                if claimed := self._try(name, journal):
                    return claimed
        except ApiError as error:
            self._failed(error)
        return None

    def _within_reach(self) -> Sequence[str]:
        """Return the slots that may be reached for now: none but the one that may be ours already."""
        return [self._unanswered[0]] if self._unanswered else self._slots.names

    def _try(self, name: str, journal: Callable[[], str]) -> Claimed | None:
        self._look_if_due(name)
        if self._unanswered and self._is_settled(*self._unanswered):
            self._unanswered = None
        if name in self._slots.seen and self._slots.seen[name].record is None:
            # The others tell whether it is missing because nobody has needed it yet.
            for other in self._slots.names:
                self._look_if_due(other)
        now = self._clock.now()
        if name not in self._slots.seen or now < self._moment(name, now):
            return None
        again = self._unanswered is not None
        self._unanswered, self._look_at[name] = (name, self._slots.seen[name].version), now
        claimed = self._slots.write(name, journal(), self._better_spread(name))
        self._failures, self._refused_since["write"] = 0, math.inf
        if claimed or not again:
            self._unanswered = None
        if claimed is None:
            self._queueing = True
            self._lost += 1
            self._lost_of_late += 1
            self._free.pop(name, None)
            # With a watch, its next event tells who was faster, unless it was we; without one, look at once.
            self._look_at[name] = self._clock.now() + (LOST_RACE if self._watcher and not again else 0.0)
        return claimed

    def _is_settled(self, name: str, version: str) -> bool:
        """Return whether a claim that named this version is not, and cannot become, what holds the slot."""
        if name not in self._slots.seen or isinstance(self._slots.decision(name), Ours):
            return False
        return self._slots.seen[name].version != version

    def _give_back(self, name: str) -> None:
        """Free a slot that may be ours; one that we cannot reach expires by itself."""
        try:
            self._slots.look(name)
            self._slots.free(name)
        except ApiError as error:
            log.debug("%s", error.text)

    def _look_if_due(self, name: str) -> None:
        if self._clock.now() >= self._look_at.get(name, -math.inf):
            with self._interruptible():
                looked_at = self._slots.look(name, self._failures)
            for each in looked_at:
                self._heard(each, self._clock.now())

    def _moment(self, name: str, now: float) -> float:
        """Return when to reach for a slot, as far as is known now."""
        decision, version = self._slots.decision(name), self._slots.seen[name].version
        if isinstance(decision, Wait):
            return decision.until
        if isinstance(decision, Ours):  # the answer to our claim was lost; write again, to know since when
            return -math.inf
        known = self._free.get(name)
        if known is None or known.version != version:
            pause, chance = 0.0, random.random()  # noqa: S311
            if self._queueing:
                pause = hesitate(self._spread(), now - self._began, self._lost, chance)
            known = self._free[name] = _Free(version, pause, now + pause)
        return known.try_at

    def _better_spread(self, name: str) -> float | None:
        """Return what to tell the other waiters; nothing when we reach for a slot without having queued."""
        record, known = self._slots.seen[name].record, self._free.get(name)
        if record is None or known is None or known.version != record.version or not self._queueing:
            return None
        return spread_after(self._spread(), known.pause, self._lost)

    def _spread(self) -> float:
        records = [sighting.record for sighting in self._slots.seen.values()]
        return crowd_spread([record.spread for record in records if record], self._lost_of_late)

    def _listen(self) -> None:
        """Take in what the watch has told."""
        while self._watcher:
            try:
                news = self._watcher.news.get_nowait()
            except Empty:
                return
            if isinstance(news, ApiError):
                raise news
            self._slots.hear(news)
            self._heard(news.record.name, news.at)

    def _heard(self, name: str, at: float) -> None:
        """Note that a slot is known as it was then, so that it needs no look for a while."""
        self._failures, self._refused_since["read"] = 0, math.inf
        quiet = self._slots.me.duration / 2 * random.uniform(1.0, 1.5)  # noqa: S311 - holders renew each third
        self._look_at[name] = at + quiet
        if isinstance(self._slots.decision(name), Wait):
            self._queueing = True
            if self._free.pop(name, None):  # somebody else was faster, and we have heard of it in time
                self._lost_of_late = max(self._lost_of_late - 1, 0)

    def _failed(self, error: ApiError) -> None:
        now = self._clock.now()
        kind = "read" if error.request.startswith("GET ") else "write"
        since = self._refused_since[kind] = min(self._refused_since[kind], now) if error.final else math.inf
        if error.final and (not self._slots.rights_seen or now - since >= REFUSED_FOR):
            raise hopeless(self._slots.title, error) from error
        if not self._failures:
            log.warning("%s Trying again for the %s.", error.text, self._slots.title)
        self._failures += 1
        rest = backoff(self._failures, error.retry_after, random.random())  # noqa: S311
        self._rest_until = now + rest

    def _pause(self) -> bool:
        """Wait for the next thing to do, or for the watch; say whether it was more than a tick that woke us."""
        now, names = self._clock.now(), self._slots.names
        if not self._watcher and all(name in self._slots.seen for name in names) and now >= self._rest_until:
            self._watcher = _Watcher(self._slots, self._tasks, self._wake)
            self._tasks.task(f"lease-watch-{self._slots.host}", self._watcher.run).start()
        if self._watcher and now >= self._told + TELL_EVERY:
            self._told = now
            log.info("Waiting for the %s, held by %s.", self._slots.title, self._slots.holders())
        reached = self._within_reach()
        moments = [self._look_at.get(name, -math.inf) for name in reached]
        moments += [self._moment(name, now) for name in reached if name in self._slots.seen]
        moment = max(min(moments), self._rest_until)
        if self._glance:
            moment = min(moment, self._glance.due)
        with self._interruptible():
            heard = self._wake.wait(min(moment - now, self._tick))
        self._wake.clear()
        return heard or self._clock.now() >= moment


class _Watcher:
    """Keeps one watch open and passes on its events; starts again when it ends, lags or breaks.

    Wakes the waiter for a slot that is free, and for errors. That a slot is held is no reason: it listens before it
    reaches for one, so a thousand waiters are not all woken by one claim, or by a renewal.
    """

    def __init__(self, slots: Slots, tasks: Tasks, wake: Event) -> None:
        self.news: SimpleQueue[News | ApiError] = SimpleQueue()
        self._slots = slots
        self._wake = wake
        self._end = tasks.event()
        self._watch: Watch | None = None

    def run(self) -> None:
        """Watch until stopped; for a task of its own."""
        failures = 0
        while not self._end.is_set():
            asked = None
            try:
                if self._follow():
                    failures = 0
            except ApiError as error:
                if error.final:
                    self.news.put(error)
                    self._wake.set()
                    if not self._slots.rights_seen:
                        return
                log.debug("%s", error.text)
                asked = error.retry_after
            failures += 1
            self._end.wait(backoff(failures, asked, random.random()))  # noqa: S311

    def stop(self) -> None:
        """End the watch; its task follows by itself."""
        self._end.set()
        if self._watch:
            self._watch.stop()

    def _follow(self) -> bool:
        """Hand on events until the watch ends; say whether there were any."""
        any_told = False
        with self._slots.watch() as self._watch:
            if self._end.is_set():
                return any_told
            for event in self._watch:
                any_told = True
                if news := self._slots.news_of(event):
                    self.news.put(news)
                    if news.free:
                        self._wake.set()
        return any_told
