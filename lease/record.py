"""A Lease object of Kubernetes as a frozen Record, and back: names, fields, the journal.

A record may have been written by anybody: by another program, by hand, by nonsense. Reading one never fails; what
cannot be understood is None. Writing keeps what others put into the object (labels, annotations, fields).
"""

import json
import math
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

TEMPLATE = "esxi-lock-{host}-slot-{slot}"
GO_TEMPLATE = "esxi-lock-hostsystem-{host}-slot-{slot}"
"""what the Go populator really calls its slots"""
JOURNAL = "xcopy-populator/journal"
"""annotation that holds the journal"""
OUTCOME = "xcopy-populator/outcome"
"""annotation that holds what the last holder has achieved, or why nothing, as facts in JSON; it outlives the release"""
AUTHOR = "xcopy-populator/holder"
"""annotation that names the holder who wrote duration and journal: a program that takes a slot over and leaves both as
they were, as the Go populator does, is not taken at another's word"""
SPREAD = "xcopy-populator/spread"
"""annotation that holds the seconds over which waiters spread their claims, as the last one of them judged it"""
HOST_LABEL = "xcopy-populator/host"
"""label that lets one watch follow the slots of one host, and nothing else"""
JOURNAL_BYTES = 4096
FREE_FOR = 5.0
"""seconds for which a slot has been free already by the dates that a release writes, for clocks that are behind"""
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Notes:
    """What stands in a journal: facts like task, device and phase, and the holder who noted them."""

    holder: str
    facts: Mapping[str, str]

    def text(self) -> str:
        """Return the facts as JSON of at most 4 KiB; the longest ones are cut first."""
        facts = dict(self.facts)
        while len((text := json.dumps(facts, ensure_ascii=False)).encode()) > JOURNAL_BYTES:
            longest = max(facts, key=lambda name: len(facts[name]))
            if len(facts[longest]) < 32:  # many small ones: the oldest goes
                longest = next(iter(facts))
                del facts[longest]
            else:
                facts[longest] = facts[longest][: len(facts[longest]) // 2] + "…"
        return text


@dataclass(frozen=True)
class Record:
    """One slot as stored, at one version."""

    name: str
    uid: str
    """of the object: one that was deleted and made again has another"""
    version: str
    """resourceVersion: every write names the one it replaces"""
    holder: str
    """empty when nobody holds the slot"""
    duration: int | None
    """seconds the holder's word is good for after each write"""
    acquired: str | None
    renewed: str | None
    """wall-clock times as written: for people only"""
    transitions: int
    journal: Mapping[str, str]
    outcome: Mapping[str, str]
    author: str
    """who wrote duration and journal, as far as it says so; see AUTHOR"""
    spread: float | None
    """seconds; see SPREAD"""
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def used(self) -> bool:
        """Whether anybody has ever held the slot since the Lease was created."""
        return bool(self.holder or self.acquired)


def leases_path(namespace: str = "") -> str:
    """Return the path of a namespace's Leases on the API server; without one, that of all Leases."""
    return f"/apis/coordination.k8s.io/v1{f'/namespaces/{namespace}' if namespace else ''}/leases"


def slot_names(template: str, host: str, slots: int) -> list[str]:
    """Return the names of the Leases that are the slots of a host; raises ValueError for an invalid name."""
    if re.search(r"[{}]", re.sub(r"\{(host|slot)\}", "", template)):
        raise ValueError(f"{template!r} is not a template of {{host}} and {{slot}}")
    names = [template.format(host=host, slot=slot) for slot in range(slots)]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a Lease")
    return names


def parse_record(lease: Any) -> Record:
    """Read a Lease, whatever is in it."""
    raw = _mapping(lease)
    meta, spec = _mapping(raw.get("metadata")), _mapping(raw.get("spec"))
    annotations = _mapping(meta.get("annotations"))
    return Record(
        name=_text(meta.get("name")) or "",
        uid=_text(meta.get("uid")) or "",
        version=_text(meta.get("resourceVersion")) or "",
        holder=_text(spec.get("holderIdentity")) or "",
        duration=_positive(spec.get("leaseDurationSeconds")),
        acquired=_text(spec.get("acquireTime")),
        renewed=_text(spec.get("renewTime")),
        transitions=_positive(spec.get("leaseTransitions")) or 0,
        journal=_parse_facts(annotations.get(JOURNAL)),
        author=_text(annotations.get(AUTHOR)) or "",
        outcome=_parse_facts(annotations.get(OUTCOME)),
        spread=_seconds(annotations.get(SPREAD)),
        raw=raw,
    )


def parse_event(event: Mapping[str, Any]) -> tuple[Record, bool]:
    """Return the record that an event of a watch is about, and whether the Lease is gone: then it is the last one."""
    return parse_record(event.get("object")), event.get("type") == "DELETED"


def held_lease(
    record: Record | None,
    name: str,
    host: str,
    *,
    holder: str,
    duration: int,
    now: datetime,
    journal: str,
    spread: float | None = None,
) -> dict[str, Any]:
    """Return the Lease that says: held by us, renewed now. `record` is what it replaces, None to create it.

    Without a `spread`, the one that stands there is kept.
    """
    lease = _copy(record, name)
    spec = lease["spec"]
    if record is None or record.holder != holder or not record.acquired:
        spec["acquireTime"] = micro_time(now)
    if record is not None and record.holder != holder:
        spec["leaseTransitions"] = min(record.transitions + 1, _INT32)
    else:
        spec["leaseTransitions"] = record.transitions if record else 0
    spec["holderIdentity"] = holder
    spec["leaseDurationSeconds"] = duration
    spec["renewTime"] = micro_time(now)
    _set_label(lease, host)
    annotations = lease["metadata"].setdefault("annotations", {})
    annotations[JOURNAL] = journal
    annotations[AUTHOR] = holder
    if spread is not None:
        annotations[SPREAD] = f"{spread:.3f}"
    return lease


def free_lease(record: Record, duration: int, now: datetime, outcome: str = "") -> dict[str, Any]:
    """Return the Lease that says: held by nobody. An `outcome` stays in it, facts in JSON.

    The duration stays the true one, since there are programs that take a slot over without writing theirs. Programs
    that look at nothing but renewTime + duration see the slot free as well, because renewTime is put back far enough.
    """
    lease = _copy(record, record.name)
    lease["spec"].update(_free_spec(duration, now))
    annotations = lease["metadata"].setdefault("annotations", {})
    for name in (JOURNAL, AUTHOR):
        annotations.pop(name, None)
    if outcome:
        annotations[OUTCOME] = outcome
    return lease


def unused_lease(name: str, host: str, duration: int, now: datetime) -> dict[str, Any]:
    """Return a Lease to be created in advance: free, and without an acquireTime, as nobody has held it yet."""
    lease = _copy(None, name)
    lease["spec"] = {**_free_spec(duration, now), "leaseTransitions": 0}
    _set_label(lease, host)
    return lease


def micro_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC with exactly six decimals: the only form a Lease's MicroTime takes."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _free_spec(duration: int, now: datetime) -> dict[str, Any]:
    renewed = micro_time(now - timedelta(seconds=duration + FREE_FOR))
    return {"holderIdentity": "", "leaseDurationSeconds": duration, "renewTime": renewed}


def _set_label(lease: dict[str, Any], host: str) -> None:
    if _LABEL.fullmatch(host):
        lease["metadata"].setdefault("labels", {})[HOST_LABEL] = host


def _copy(record: Record | None, name: str) -> dict[str, Any]:
    """Return a Lease to be changed, without managedFields: the server keeps those by itself."""
    lease = deepcopy(dict(record.raw)) if record else {}
    lease.update(apiVersion="coordination.k8s.io/v1", kind="Lease")
    meta = dict(_mapping(lease.get("metadata")), name=name)
    meta.pop("managedFields", None)
    for part in ("labels", "annotations"):
        if part in meta:
            meta[part] = dict(_mapping(meta[part]))
    return {**lease, "metadata": meta, "spec": dict(_mapping(lease.get("spec")))}


def _parse_facts(text: Any) -> Mapping[str, str]:
    try:
        facts = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        facts = {"unreadable": str(text)[:200]}
    return {str(name): str(fact) for name, fact in _mapping(facts).items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(text: Any) -> float | None:
    try:
        seconds = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        seconds = math.nan
    return seconds if math.isfinite(seconds) else None


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
