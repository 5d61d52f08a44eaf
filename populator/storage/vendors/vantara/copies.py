"""Copies by the VSP itself: a Thin Image pair with the clone attribute, of source (P-VOL) and target (S-VOL).

The pair is made (COPY, PAIR), split and copied (PSUP), and dissolved (SMPP, then gone). While it is there the target
depends on the source, or cannot be written to; so a copy is complete when neither the list of pairs nor the target
itself (attribute HTI) shows it any more. A pair that somebody deletes goes the same way, and the array does not tell
the two apart; `sighting` judges by how far it was. What is ours is known by its two volumes; what we delete, by the
name of its snapshot group, too.
"""

from collections.abc import Sequence
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import CannotCopy, Copy, EndUnclear, Progress
from populator.storage.failures import Refused, beyond_us, may_be_done
from populator.storage.repeat import Repeat
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.client import Client, Ldev
from populator.storage.vendors.vantara.pairs import Pair, Pairs
from populator.storage.vendors.vantara.sighting import Sighting
from populator.storage.vendors.vantara.sources import check_copyable

COPYING = "PSUP"
UNDER_WAY = {"COPY", "PAIR", "PFUL", COPYING, "PFUS"}
"""PFUL and PFUS: the pool is filled beyond its threshold, and the pair goes on"""
LEAVING = "SMPP"
IN_PAIR = {"HTI": "Thin Image", "MRCF": "ShadowImage", "HORC": "remote copy", "GAD": "global-active device"}
"""attributes of volumes in a pair"""
POOLED = "HDP"
"""attribute of volumes of a pool: only those can be cloned onto"""
UNSEEN = 10.0
"""seconds after which a pair that was never seen has been there: lists may lag behind jobs that are done"""
SETTLED = 2.0
"""seconds after which a pair is there, if a call that was not answered has made it"""
GONE, PAUSE = 300.0, 1.0
"""seconds within which a pair that was deleted has to be gone, and between two looks"""
LOOK = "See the pair, its pool's free capacity and the alerts on the array, then start the migration again."


class Copies:
    """See the module."""

    def __init__(self, client: Client, repeat: Repeat, clock: Clock, speed: str) -> None:
        self._client, self._repeat, self._clock = client, repeat, clock
        self._pairs = Pairs(client)
        self._speed = speed
        self._sightings: dict[tuple[str, str], Sighting] = {}
        """of pairs by source and target; of one that was never seen, of when it was made"""
        self._unsure: set[str] = set()
        """targets that a pair may come to be on, now or in a moment: nobody knows what became of the call"""

    def onto(self, target: Lun) -> Sequence[Copy]:
        """Return the pairs whose S-VOL the LDEV is, of whatever kind."""
        if target.id in self._unsure:
            self._clock.wait(SETTLED)
            self._unsure.discard(target.id)
        pairs = self._repeat.read(partial(self._pairs.onto, target.id))
        return tuple(Copy(pair.id, pair.source, pair.target) for pair in pairs)

    def begin(self, source: Lun, target: Lun) -> Copy:
        """Have the source cloned onto the target; the pair that does so already is the one returned."""
        try:
            copy = self._repeat.write(partial(self._begin, source, target))
        except CannotCopy as refusal:
            if target.id in self._unsure:
                raise StorageError(
                    refusal.text, "An earlier request may have been heard. " + LOOK
                ) from refusal
            raise
        now = self._clock.now()
        self._sightings.setdefault((source.id, target.id), Sighting(source.size, now, now))
        return copy

    def progress(self, copy: Copy) -> Progress:
        """Return the array's percent; complete is what nothing is left of."""
        return self._repeat.read(partial(self._progress, copy))

    def end(self, copy: Copy) -> None:
        """Delete the pair, and wait until nothing is left of it."""
        self._repeat.write(partial(self._end, copy))

    def _begin(self, source: Lun, target: Lun) -> Copy:
        if pair := self._pair(source.id, target.id):
            if pair.status in UNDER_WAY:
                self._unsure.discard(target.id)
                return Copy(pair.id, source.id, target.id)
            if pair.status != LEAVING:
                raise _failed(pair)
            self._await_gone(source.id, target.id)
        pool = self._check(source, target)
        unsure = target.id in self._unsure
        self._unsure.add(target.id)
        self._sightings.pop((source.id, target.id), None)
        try:
            key = self._pairs.clone(source.id, target.id, pool, self._speed)
        except Refused as refusal:
            if not (unsure or may_be_done(refusal)):
                self._unsure.discard(target.id)
            if beyond_us(refusal):
                raise
            pair = self._pair(source.id, target.id)
            if pair is None or pair.status not in UNDER_WAY:
                raise CannotCopy(refusal.text, refusal.hint) from refusal
            return Copy(pair.id, source.id, target.id)
        self._unsure.discard(target.id)
        return Copy(key, source.id, target.id)

    def _check(self, source: Lun, target: Lun) -> int:
        """Return the pool for the pair; raise where the two are not what they were, or cannot be a pair."""
        origin, ldev = self._same(source), self._same(target)
        check_copyable(origin)
        check_copyable(ldev)
        if origin.id == ldev.id:
            raise CannotCopy(f"LDEV {ldev.id} cannot be copied onto itself.")
        if origin.size != ldev.size:
            raise CannotCopy(
                f"LDEV {ldev.id} has {ldev.size} bytes and LDEV {origin.id} {origin.size}: a pair needs equal sizes."
            )
        if POOLED not in ldev.attributes:
            raise CannotCopy(f"LDEV {ldev.id} is not of a pool, so the array cannot clone onto it.")
        if ldev.paths:
            raise CannotCopy(
                f"LDEV {ldev.id} is mapped to {', '.join(str(path.group) for path in ldev.paths)}."
            )
        if kinds := [words for attribute, words in IN_PAIR.items() if attribute in ldev.attributes]:
            raise CannotCopy(f"LDEV {ldev.id} is in a pair already: {', '.join(kinds)}.")
        pool = ldev.pool if origin.pool is None else origin.pool
        if pool is None:
            raise CannotCopy(
                f"{self._client.name} says of neither LDEV {origin.id} nor {ldev.id} which pool it is in."
            )
        return pool

    def _same(self, lun: Lun) -> Ldev:
        """Return an LDEV, if it is what was found by that number before: numbers are given again."""
        ldev = self._client.ldev(int(lun.id))
        if not ldev.defined or (names.lun_name(ldev.label, ldev.id), ldev.size) != (lun.name, lun.size):
            raise StorageError(
                f"LDEV {lun.id} is not {lun.name} of {lun.size} bytes any more.",
                "Somebody has deleted, replaced, renamed or expanded it; look at it, and start the migration again.",
            )
        return ldev

    def _progress(self, copy: Copy) -> Progress:
        pair = self._pair(copy.source, copy.target)
        if pair is None:
            return self._without_pair(copy)
        sighting, now = self._sighting(copy), self._clock.now()
        if pair.status == LEAVING:
            sighting.missing(now)
            return Progress(99, complete=False)
        if pair.status not in UNDER_WAY:
            raise _failed(pair)
        percent = min(max(pair.percent, 0), 99) if pair.status == COPYING else 0
        sighting.look(now, percent, copying=pair.status == COPYING)
        return Progress(percent, complete=False)

    def _without_pair(self, copy: Copy) -> Progress:
        """Return that a copy is complete, where its end was not missed but seen, and came when it could be expected."""
        sighting = self._sighting(copy)
        sighting.missing(self._clock.now())
        if not sighting.seen:
            sighting.seen = True
            self._clock.wait(UNSEEN)
            return self._progress(copy)
        if self._paired(copy.target):
            return Progress(99, complete=False)
        if not sighting.may_be_complete:
            raise EndUnclear(
                f"The array's copy of LDEV {copy.source} onto LDEV {copy.target} was at {sighting.percent} % when it "
                "was last seen, and is gone.",
                "Either somebody has deleted the pair, or the rest was copied at once, for want of data.",
            )
        return Progress(100, complete=True)

    def _sighting(self, copy: Copy) -> Sighting:
        """Return what was seen of a copy; one that is new is looked at from now on."""
        key, now = (copy.source, copy.target), self._clock.now()
        if key not in self._sightings:
            self._sightings[key] = Sighting(self._client.ldev(int(copy.target)).size, now, now)
        return self._sightings[key]

    def _end(self, copy: Copy) -> None:
        pair = self._pair(copy.source, copy.target)
        if pair and pair.status != LEAVING:
            if pair.group != names.pair_group(copy.source, copy.target):
                raise StorageError(
                    f"No run has made the pair {pair.id} on LDEV {pair.target}, in the snapshot group {pair.group}.",
                    "Whoever has made it has to delete it.",
                )
            self._delete(pair)
        self._await_gone(copy.source, copy.target)

    def _delete(self, pair: Pair) -> None:
        """Delete a pair; it may come to its end by itself meanwhile."""
        try:
            self._pairs.delete(pair.group)
        except Refused as refusal:
            left = None if refusal.passing else self._pair(pair.source, pair.target)
            if refusal.passing or (left and left.status != LEAVING):
                raise

    def _await_gone(self, source: str, target: str) -> None:
        """Wait until a pair is gone that has come to its end."""
        deadline = self._clock.now() + GONE
        while self._pair(source, target) or self._paired(target):
            if self._clock.now() > deadline or self._clock.expired():
                raise StorageError(
                    f"LDEV {target} is still in a pair with LDEV {source}, which was deleted.", LOOK
                )
            self._clock.wait(PAUSE)

    def _paired(self, target: str) -> bool:
        return "HTI" in self._client.ldev(int(target)).attributes

    def _pair(self, source: str, target: str) -> Pair | None:
        """Return the pair of these two; raise where the target is copied onto otherwise."""
        pairs = self._pairs.onto(target)
        for pair in pairs:
            if pair.source != source or not pair.clone:
                what = "cloned" if pair.clone else "a snapshot"
                raise StorageError(
                    f"LDEV {target} is {what} of LDEV {pair.source} (pair {pair.id}, snapshot group {pair.group}).",
                    "See who has made that pair. Start the migration again when it is gone.",
                )
        return pairs[0] if pairs else None


def _failed(pair: Pair) -> StorageError:
    return StorageError(
        f"The array's copy of LDEV {pair.source} onto LDEV {pair.target} has failed: the pair {pair.id} is in the "
        f"state {pair.status}.",
        LOOK,
    )
