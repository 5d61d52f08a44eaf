"""What all populates of a cluster do, from the Leases and objects that are to be seen there. Pure.

Of a populate there may be the Lease of the volume's writer, which says most; slots of a host, whose journal says nearly
the same; and Forklift's VSphereXcopyVolumePopulator, which is there before the pod is (`populators`). Any of them may
be missing, for want of a right or because another program populates, and each may hold nonsense.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from lease.overview import TROUBLED, SlotState, SlotView, moment
from populator.plan.journal import FAILED, POPULATED, REFUSED, WAIT_FOR_SLOT, WRITER, Journal, parse_journal
from populator.plan.populators import owner_of, read_object, with_objects
from populator.plan.progress import Overview, Populate, State, in_order, more_of
from vsphere.model import CopyPhase

WAITS = frozenset({WAIT_FOR_SLOT, CopyPhase.WAIT_FOR_ROOM})
"""the phases of a run that waits for others"""
SHOWN_FOR = 24 * 3600.0
"""seconds for which a populate that has ended is shown: its Lease lives as long as the volume"""
HANDED_OVER = 600.0
"""seconds within which a host goes on with what the array has refused"""
_POD = re.compile(r"populate-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_LEASE = re.compile(re.escape(WRITER).replace(r"\{host\}", "(.+)"))


class VolumeNames:
    """Tells the Lease of a volume's writer by its name; satisfies `lease.overview.Naming`."""

    def parse(self, name: str) -> tuple[str, int] | None:
        """Return the PVC's UID."""
        named = _LEASE.fullmatch(name)
        return (named[1], 0) if named else None


def overview(
    writers: Iterable[SlotView], slots: Iterable[SlotView], objects: Iterable[Any], now: datetime
) -> Overview:
    """Put together what was read; `writers` have the UID as their host, `objects` are as the API server gives them."""
    slots = list(slots)
    by_uid: dict[str, Populate] = {}
    for slot in slots:
        if (uid := uid_of(slot)) and slot.state != SlotState.FREE:
            by_uid[uid] = more_of(by_uid.get(uid), of_slot(slot, uid))
    for writer in writers:
        if seen := of_writer(writer, by_uid.get(writer.host), now):
            by_uid[writer.host] = seen
    populates = with_objects(by_uid, [read_object(each) for each in objects])
    names = {one.host: one.host_name for one in populates if one.host and one.host_name}
    populates = [replace(one, host_name=names.get(one.host, "")) for one in populates]
    recent = [one for one in populates if one.ended is None or (now - one.ended).total_seconds() < SHOWN_FOR]
    held = Counter(slot.host for slot in slots if slot.state in {SlotState.HELD, SlotState.MAYBE_EXPIRED})
    return Overview(tuple(in_order(recent)), len(populates) - len(recent), held)


def uid_of(slot: SlotView) -> str:
    """Return the UID of the PVC that a slot is held for; the Go populator's say it by the name of the pod alone."""
    pod = _POD.fullmatch(slot.pod)
    return slot.journal.get("pvcUid", "").lower() or (pod[1] if pod else "")


def of_slot(slot: SlotView, uid: str) -> Populate:
    """Return what a slot says of the populate that holds it.

    One that ran out says that its run died, unless nobody signed it: the Go populator lets its slots run out, and
    copies on.
    """
    journal = parse_journal(slot.journal)
    namespace, _, name = journal.pvc.partition("/")
    dead = slot.state in TROUBLED and bool(slot.record.author)
    state = State.RUNNING if not dead else _dead(slot.state)
    return _told(
        Populate(
            namespace, name or uid, uid, pod=slot.pod, host=slot.host, slot=slot.record.name, state=state
        ),
        journal,
        _why(journal, {}) if dead else journal.left,
    )


def of_writer(writer: SlotView, by_slot: Populate | None, now: datetime) -> Populate | None:
    """Return what the Lease of a volume's writer says, and what a slot adds; None where nobody has ever held it."""
    record = writer.record
    journal = parse_journal(writer.journal)
    metadata = record.raw.get("metadata") or {}
    namespace, _, name = journal.pvc.partition("/")
    known = Populate(
        str(metadata.get("namespace") or namespace),
        name or owner_of(metadata)[0] or writer.host,
        writer.host,
        pod=writer.pod,
    )
    known = known if by_slot is None else more_of(known, by_slot)
    if record.holder:
        return _held(writer, known, journal)
    if not record.used and not record.outcome:
        return by_slot
    ended = moment(record.outcome.get("at"))
    known = replace(known, ended=ended, disk=record.outcome.get("disk", known.disk))
    known = replace(known, pod=record.outcome.get("by", known.pod).partition("_")[0])
    if record.outcome.get(POPULATED):
        return replace(known, state=State.DONE, phase="", percent=100, rate=None, remaining=None)
    if REFUSED in record.outcome and ended and (now - ended).total_seconds() < HANDED_OVER:
        return replace(known, state=State.RUNNING, phase="a host is to copy", ended=None)
    why = (
        record.outcome.get(FAILED)
        or record.outcome.get(REFUSED)
        or "It ended without having filled the volume."
    )
    return replace(known, state=State.FAILED, phase="", rate=None, remaining=None, why=why)


def _held(writer: SlotView, known: Populate, journal: Journal) -> Populate:
    """Return what a Lease says that names a holder."""
    if writer.state not in TROUBLED:
        left = journal.left
        state = State.FAILED if left else State.WAITING if journal.phase in WAITS else State.RUNNING
        return _told(replace(known, state=state), journal, left)
    state, why = _dead(writer.state), _why(journal, writer.journal)
    ended = writer.renewed if state == State.FAILED else None
    return replace(_told(replace(known, state=state), journal, why), rate=None, remaining=None, ended=ended)


def _dead(state: SlotState) -> State:
    return State.FAILED if state == SlotState.EXPIRED else State.MAYBE_FAILED


def _why(journal: Journal, facts: Mapping[str, str]) -> str:
    """Return why a run has not released its Lease."""
    reason = facts.get(FAILED, "")
    if journal.left:
        return f"{reason} {journal.left}".strip()
    phase = f" in phase {journal.phase!r}" if journal.phase else ""
    return f"Its pod died or was cut off{phase}."


def _told(populate: Populate, journal: Journal, why: str) -> Populate:
    """Add what a journal says; of two the one that is further counts."""
    ahead = (journal.percent or 0) >= (populate.percent or 0)
    return replace(
        populate,
        disk=journal.disk or populate.disk,
        volume=journal.volume or populate.volume,
        host=populate.host or journal.host_id,
        host_name=journal.host or populate.host_name,
        array=journal.array or populate.array,
        phase=journal.phase or populate.phase,
        percent=journal.percent if ahead and journal.percent is not None else populate.percent,
        rate=journal.rate if ahead and journal.rate is not None else populate.rate,
        remaining=journal.remaining if ahead and journal.percent is not None else populate.remaining,
        size=journal.size or populate.size,
        why=why,
    )
