"""The judge: which of the invariants of the host lease a history breaks.

Each function returns a sentence for every breach that it finds, and says what it checks and under which assumptions.
A holder's *word* is what the others may count on: from a write in its name until, without another one, the duration
that it wrote has expired on the fastest clock that is allowed; at once, when it frees the slot. A write by a stranger
(who does not follow our rules: the Go rule, an admin) ends it too, since what strangers take is not ours to keep. That
the Lease is deleted does not end it: whoever has seen the slot held must go on believing its holder.
"""

import itertools
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, compress, count

from tests.lab.lease.history import (
    Called,
    Died,
    Event,
    Failed,
    GaveUp,
    Had,
    Joined,
    Left,
    Step,
    Stopped,
    Told,
    Trouble,
    Waited,
    Written,
)

FASTEST, SLOWEST = 1.2, 0.8
"""rates of clocks that are allowed"""
LONGEST = 3600
"""seconds; nobody's word counts for longer"""
GIVE_UP = 2 / 3
"""of the duration, from the sending of a write: the end of a holder's own certainty"""
HAND_ON = 1.0
"""seconds from a release to the next holder"""
EXPIRY_SLACK = 2.0
"""seconds from an expiry to the next holder"""
TIDY_WAITS = 10.0
"""seconds; who has queued for longer to tidy up may go on without a slot"""
STRANGERS_PROMISE = 10
"""seconds for which a holder is believed at least that has not written the duration itself"""
SKEW = 1.0
"""seconds by which the wall clocks of peers may be wrong if their rule is to hold at all"""
SHORTEST_WITH_PEERS = 5
"""seconds; they renew each 3 s"""
LONGEST_LOOK = 0.75
"""of a waiter's duration: how far two of its looks at a slot lie apart"""
SEEN_WITHIN = 1.0
"""seconds after which one who waits has seen who holds the slots"""
NEAR = 0.01
"""seconds that do not matter"""
INT32 = 2**31 - 1
FIXED_CALLS = 14
"""of one waiter: two looks each with a write lost to somebody faster, a watch, and those of `prepare`"""


@dataclass(frozen=True)
class Word:
    """A span in which others count on a holder."""

    slot: str
    holder: str
    at: float
    until: float


@dataclass(frozen=True)
class Wish:
    """Somebody's wait, from its begin to its end, and to the end of the hold that came of it."""

    who: str
    at: float
    until: float
    had: bool
    over: float


class History:
    """A history with what the invariants ask of it."""

    def __init__(self, events: Sequence[Event], slots: int) -> None:
        self.events = sorted(events, key=lambda event: event.at)
        self.slots = slots
        self.end = max((event.at for event in events if not isinstance(event, Trouble)), default=0.0)

    def of(self, *kinds: type) -> Iterator[Event]:
        return (event for event in self.events if isinstance(event, kinds))

    @cached_property
    def joined(self) -> dict[str, Joined]:
        return {event.who: event for event in self.events if isinstance(event, Joined)}

    @cached_property
    def writes(self) -> list[Written]:
        return [event for event in self.events if isinstance(event, Written)]

    @cached_property
    def steps(self) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step)]

    @cached_property
    def slot_writes(self) -> dict[str, list[Written]]:
        found: dict[str, list[Written]] = defaultdict(list)
        for write in self.writes:
            found[write.slot].append(write)
        return found

    @cached_property
    def strangers(self) -> bool:
        """Whether anybody who does not follow our rules has written a record."""
        return any(write.after is not None and not self.ours(write.by) for write in self.writes)

    @cached_property
    def fair(self) -> bool:
        """Whether peers of the Go rule are the only strangers, and may count on their rule."""
        peers = [joined for joined in self.joined.values() if joined.peer]
        durations = [joined.duration for joined in self.joined.values() if joined.ours]
        return (
            bool(peers)
            and all(joined.ours or joined.peer for joined in self.joined.values())
            and all(abs(joined.offset) <= SKEW for joined in peers)
            and all(duration >= SHORTEST_WITH_PEERS for duration in durations)
        )

    def ours(self, who: str) -> bool:
        return who in self.joined and self.joined[who].ours

    def promise(self, write: Written, taker: str) -> float:
        """Return the seconds that the record stays valid in the eyes of a taker."""
        duration = write.after.duration if write.after else None
        own = self.joined[taker].duration if taker in self.joined else 0
        signed = write.after is not None and write.after.author == write.after.holder
        promised = duration if duration and duration > 0 else own
        return min(max(promised, 0 if signed else STRANGERS_PROMISE), LONGEST)

    def could_not_know(self, taker: Written) -> bool:
        """Whether somebody took a slot that was missing without having seen, or being told, that it was held.

        Who had waited before the deletion has seen it; who came later is told by another slot that was used, and has
        to give the holder time to make it again. Where calls failed, what it has seen is not known. A Lease that a
        stranger has created lacks the label by which ours watch, so it is seen when a look falls due; and who has held
        the slot itself makes it again without knowing who had taken it.
        """
        if taker.before is not None and taker.before.used:
            return False
        writes = self.slot_writes[taker.slot]
        writes = writes[: writes.index(taker)]
        deleted = [write.at for write in writes if write.after is None]
        wish = next((w for w in self.wishes if w.who == taker.by and w.at <= taker.at <= w.over), None)
        if not deleted or wish is None or self.disturbed(min(wish.at, deleted[-1]) - SEEN_WITHIN, taker.at):
            return True
        if any(write.holder == taker.by for write in writes):
            return True
        since, holder = self._last_hold(writes)
        own = self.joined[taker.by].duration
        seen_within = SEEN_WITHIN if self.ours(holder) else SEEN_WITHIN + own * LONGEST_LOOK / SLOWEST
        if wish.at < deleted[-1] < wish.until:
            return max(wish.at, since) + seen_within >= deleted[-1]
        needed = own * GIVE_UP / FASTEST
        others = self.slot_writes.keys() - {taker.slot}
        told = any(self._used_throughout(slot, deleted[-1], taker.at) for slot in others)
        return not told or taker.at - deleted[-1] >= needed - NEAR

    def _last_hold(self, writes: Sequence[Written]) -> tuple[float, str]:
        """Return since when, and by whom, a slot was held last."""
        held = [write for write in writes if not write.deletes_or_prepares]
        holder = held[-1].holder if held else ""
        others = (write.holder != holder for write in reversed(held))
        since = held[-next(compress(count(), others), len(held))].at if held else 0.0
        return since, holder

    def _used_throughout(self, slot: str, at: float, until: float) -> bool:
        writes = self.slot_writes[slot]
        first = max(bisect_right(writes, at, key=lambda write: write.at) - 1, 0)
        within = [write for write in writes[first:] if write.at <= until]
        return bool(within) and within[0].at <= at and all(w.after and w.after.used for w in within)

    @cached_property
    def words(self) -> list[Word]:
        """The words of our holders."""
        found = []
        for writes in self.slot_writes.values():
            for index, write in enumerate(writes):
                holder = write.after.holder if write.after else ""
                if self.ours(holder):
                    until = write.at + self.promise(write, holder) / FASTEST
                    for later in writes[index + 1 :]:
                        unaware = later.by == later.holder and self.could_not_know(later)
                        if later.after and (later.by == holder or not self.ours(later.by) or unaware):
                            until = min(until, later.at)
                            break
                    found.append(Word(write.slot, holder, write.at, until))
        return found

    @cached_property
    def wishes(self) -> list[Wish]:
        began, had, found = {}, {}, []
        for event in self.events:
            if isinstance(event, Waited):
                began[event.who] = event.at
            elif isinstance(event, Had) and event.who in began:
                had[event.who] = event.at
            elif isinstance(event, GaveUp | Left | Died) and event.who in began:
                at = began.pop(event.who)
                got = had.pop(event.who, None)
                found.append(Wish(event.who, at, event.at if got is None else got, got is not None, event.at))
        for who, at in began.items():
            found.append(Wish(who, at, had.get(who, math.inf), who in had, math.inf))
        return found

    def disturbed(self, at: float, until: float, who: str | None = None) -> bool:
        """Whether calls failed, or anybody (or just this one) was stopped, within that span."""
        return any(
            event.at <= until and at <= event.until
            for event in self.events
            if isinstance(event, Trouble) or (isinstance(event, Stopped) and who in {None, event.who})
        )

    @cached_property
    def calm(self) -> bool:
        disturbed = any(isinstance(event, Trouble | Stopped | Told | Died) for event in self.events)
        deleted = any(write.after is None for write in self.writes)
        right = all(abs(joined.offset) <= SKEW for joined in self.joined.values())
        return not disturbed and not deleted and (not self.strangers or (self.fair and right))


def i1(history: History) -> list[str]:
    """At each write, in the server's order, no more holders than slots have a word that others count on.

    Strangers' holds are counted by `i10`.
    """
    return [] if history.strangers else _crowded(history)


def _crowded(history: History) -> list[str]:
    breaches = []
    words = history.words
    for word in words:
        now = {(w.slot, w.holder) for w in words if w.at <= word.at < w.until}
        if len(now) > history.slots:
            breaches.append(f"{len(now)} holders at {word.at:.3f}: {sorted(now)}")
    return breaches


def i2(history: History) -> list[str]:
    """Whoever begins a step is named in a record, by a write sent less than two thirds of its duration ago.

    Counted on its own clock, and that of the server's newest write to its slot before then; steps of tidying up, which
    may go on without a slot, are left out. The question whether it may and the step itself must be one instant in the
    history: a process that is stopped between both begins late, and nothing in it can help that.
    """
    breaches = []
    own: dict[str, list[Written]] = defaultdict(list)
    for write in history.writes:
        if write.after and write.after.holder == write.by:
            own[write.by].append(write)
    for step in history.of(Step):
        if not isinstance(step, Step) or step.teardown or not history.ours(step.who):
            continue
        written = [write.sent for write in own[step.who] if write.at <= step.at]
        joined = history.joined[step.who]
        age = (step.at - max(written, default=-math.inf)) * joined.rate
        if age > joined.duration * GIVE_UP + NEAR:
            breaches.append(f"{step.who} began a step at {step.at:.3f}, {age:.3f} s after its last write")
    return breaches


def i3(history: History) -> list[str]:
    """No more steps run on a host at once than it has slots.

    A step counts for as long as its holder's word lasts: one that was begun in time and overruns it, because its holder
    was stopped, cut off or ousted by a stranger, is not ended on the host by anybody. In a calm history (nobody
    stopped, killed, told to stop or cut off, no Lease deleted, and no strangers but peers whose clocks are right, as
    ours are) it counts to its end, and tidying up counts as well, unless that has queued for its slot as long as it
    may: then it goes on without.
    """
    return _overlapping(history, [s for s in history.steps if history.ours(s.who)])


def _overlapping(history: History, steps: Sequence[Step]) -> list[str]:
    patient = {(w.who, w.until) for w in history.wishes if w.had and w.until - w.at > TIDY_WAITS}
    lasting: dict[str, list[Word]] = defaultdict(list)
    for word in history.words:
        lasting[word.holder].append(word)

    def counts(step: Step, at: float) -> bool:
        if not step.at <= at < step.end:
            return False
        if not history.ours(step.who):
            return True
        backed = any(word.at <= at < word.until for word in lasting[step.who])
        if history.calm:
            return backed or not step.teardown or (step.who, step.at) not in patient
        return backed and not step.teardown

    breaches = []
    for begun in steps:
        running = [step.who for step in steps if counts(step, begun.at)]
        if len(running) > history.slots:
            breaches.append(f"{len(running)} steps at {begun.at:.3f}: {running}")
    return breaches


def i4(history: History) -> list[str]:
    """One of us who takes a slot from a holder does so after a silence as long as that one promised, on a true clock.

    From the commit of the last write to that of the takeover, and less only by what the taker's clock may run too
    fast. Nothing is assumed about wall clocks, faults or pauses. A promise of nothing counts as the taker's own. That
    the Lease was deleted meanwhile makes no difference to one who could know of the holder.
    """
    return [text for last, text in _early(history) if history.ours(last)]


def _early(history: History) -> Iterator[tuple[str, str]]:
    """Yield whom one of us has ousted early, and the sentence."""
    for writes in history.slot_writes.values():
        lasting = [write for write in writes if not write.deletes_or_prepares]
        for last, write in itertools.pairwise(lasting):
            victim, taker = last.holder, write.by
            if not victim or victim == taker or not history.ours(taker) or history.could_not_know(write):
                continue
            silence, promise = write.at - last.at, history.promise(last, taker)
            if silence < promise / FASTEST - NEAR:
                yield (
                    victim,
                    f"{taker} wrote over {victim} after {silence:.3f} of {promise} s at {write.at:.3f}",
                )


def i5(history: History) -> list[str]:
    """Every waiter gets a slot within ceil(waiters / slots) x (hold + 1 s) and one expiry.

    Waiters are those whose wait or hold meets its own, holds the longest of theirs. Each holder that died and each
    Lease that was deleted costs an expiry more (see I6), each span of trouble its length, 5 s of backing off and an
    expiry. Left out where strangers hold slots, where a waiter was stopped or has given up, and waits that the
    history's end cut off in time.
    """
    if history.strangers:
        return []
    breaches = []
    deaths = [event.at for event in history.of(Died)]
    deaths += [write.at for write in history.writes if write.after is None]
    spans = [e for e in history.of(Trouble, Stopped) if isinstance(e, Trouble | Stopped)]
    expiry = max((j.duration for j in history.joined.values()), default=0) / SLOWEST + EXPIRY_SLACK
    for wish in history.wishes:
        others = [w for w in history.wishes if w.at < wish.until and w.over > wish.at]
        holds = [w.over - w.until for w in others if w.had and w.over < math.inf and w is not wish]
        bound = math.ceil(len(others) / history.slots) * (max(holds, default=0.0) + HAND_ON) + expiry
        bound += expiry * sum(1 for at in deaths if wish.at - expiry <= at)
        bound += sum(s.until - s.at + 5.0 + expiry for s in spans if s.until >= wish.at - expiry)
        gave_up = not wish.had and wish.until < math.inf
        stuck = any(not w.had and w.over == math.inf for w in history.wishes if w is not wish)
        if not gave_up and not stuck and min(wish.until, history.end) - wish.at > bound:
            breaches.append(f"{wish.who} waited from {wish.at:.3f} to {wish.until:.3f}, bound {bound:.3f} s")
    return breaches


def i6(history: History) -> list[str]:
    """A slot whose holder died is taken within its duration and 2 s, if anybody waits all that time.

    From the holder's last write, and with the duration as the slowest clock has it. Checked where calls go well and
    nobody is stopped in the meantime. Each slot by itself, which implies the death of all holders at once.
    """
    breaches = []
    for death in history.of(Died):
        for writes in history.slot_writes.values():
            mine = [w for w in writes if w.after and w.after.holder == death.who]  # type: ignore[union-attr]
            if not mine or writes[-1] is not mine[-1]:
                continue  # somebody has written there since: in time, or I5 tells
            due = max(mine[-1].at, death.at) + mine[-1].after.duration / SLOWEST + EXPIRY_SLACK  # type: ignore[union-attr, operator]
            waiting = [w.who for w in history.wishes if w.at <= death.at and w.until > due]
            if waiting and due <= history.end and not history.disturbed(death.at - 30.0, due):
                breaches.append(f"{mine[-1].slot} was nobody's at {due:.3f}, {waiting} waiting")
    return breaches + _late_heirs(history)


def _late_heirs(history: History) -> list[str]:
    """Return the takeovers from the dead that came late."""
    deaths = {event.who: event.at for event in history.events if isinstance(event, Died)}
    breaches = []
    for writes in history.slot_writes.values():
        for last, heir in itertools.pairwise(writes):
            dead = last.after.holder if last.after else ""
            if dead not in deaths or heir.by == dead or last.after is None or not last.after.duration:
                continue
            due = max(last.at, deaths[dead]) + last.after.duration / SLOWEST + EXPIRY_SLACK
            waiting = [
                w.who
                for w in history.wishes
                if w.at <= deaths[dead] and w.until > due and history.ours(w.who)
            ]
            if heir.at > due and waiting and not history.disturbed(deaths[dead] - 30.0, due):
                breaches.append(f"{heir.slot} of {dead} was had at {heir.at:.3f}, due at {due:.3f}")
    return breaches


def i7(history: History) -> list[str]:
    """leaseTransitions grows by one with each change to one of us as holder, up to what the field can hold."""
    breaches = []
    for write in history.writes:
        if write.before is None or write.after is None or not history.ours(write.after.holder):
            continue
        before = write.before.transitions if (write.before.transitions or 0) > 0 else 0
        grown = min((before or 0) + (write.before.holder != write.after.holder), INT32)
        if write.after.transitions != grown:
            breaches.append(f"{write.slot} at {write.at:.3f}: {write.after.transitions}, not {grown}")
    return breaches


def i8(history: History) -> list[str]:
    """None of us puts its name into a second slot; and after an end in order no slot names it any more.

    The latter is checked where calls went well in the 30 s before.
    """
    breaches = []
    names: dict[str, str] = {}
    for write in sorted(chain.from_iterable(history.slot_writes.values()), key=lambda write: write.at):
        others = [slot for slot, name in names.items() if name == write.by and slot != write.slot]
        if history.ours(write.by) and write.holder == write.by and others:
            breaches.append(f"{write.by} takes {write.slot} at {write.at:.3f} and has {', '.join(others)}")
        names[write.slot] = write.holder
    for left in history.of(Left):
        if not isinstance(left, Left) or history.disturbed(left.at - 30.0, left.at):
            continue
        for writes in history.slot_writes.values():
            index = bisect_right(writes, left.at, key=lambda write: write.at) - 1
            last = writes[index].after if index >= 0 else None
            if last and last.holder == left.who:
                breaches.append(f"{writes[index].slot} still names {left.who} at {left.at:.3f}")
    return breaches


def i9(history: History) -> list[str]:
    """A waiter's calls are bounded by a constant, and one per slot in each half of its duration that it waited.

    Looks fall due after half a duration without news. Checked for waits without trouble.
    """
    calls: dict[str, list[float]] = defaultdict(list)
    for event in history.of(Called):
        calls[event.who].append(event.at)  # type: ignore[union-attr]
    breaches = []
    for wish in history.wishes:
        until = min(wish.until, history.end)
        if not history.ours(wish.who) or history.disturbed(wish.at - 30.0, until):
            continue
        joined = history.joined[wish.who]
        most = FIXED_CALLS + history.slots * (until - wish.at) * joined.rate / (joined.duration / 2)
        made = sum(1 for at in calls[wish.who] if wish.at <= at <= until)
        if made > most:
            breaches.append(f"{wish.who} made {made} calls in {until - wish.at:.1f} s, {most:.1f} allowed")
    return breaches


def i10(history: History) -> list[str]:
    """With strangers about, no deed of ours breaks I1: what we take from them is as dead as what we take from us.

    And our own words stay no more than there are slots. What strangers take from us, or from each other, is not ours,
    unless all of them are peers of the Go rule whose clocks are right: then none of them fails, and with their steps,
    too, no more run on the host at once than it has slots (counted as in I3).
    """
    if not history.strangers:
        return []
    found = [text for last, text in _early(history) if not history.ours(last)] + _crowded(history)
    if history.fair:
        found += [f"{e.who} failed at {e.at:.3f}" for e in history.events if isinstance(e, Failed)]
        found += _overlapping(history, history.steps)
    return found


INVARIANTS: dict[str, Callable[[History], list[str]]] = {
    "I1": i1, "I2": i2, "I3": i3, "I4": i4, "I5": i5, "I6": i6, "I7": i7, "I8": i8, "I9": i9, "I10": i10,
}  # fmt: skip


def judge(events: Sequence[Event], slots: int) -> dict[str, list[str]]:
    """Return the breaches of a history by the invariant that they break."""
    history = History(events, slots)
    found = {name: list(check(history)) for name, check in INVARIANTS.items()}
    return {name: breaches for name, breaches in found.items() if breaches}
