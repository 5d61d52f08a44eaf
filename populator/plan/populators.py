"""Forklift's VSphereXcopyVolumePopulators, one for each disk that is to be copied: what they say of a populate. Pure.

They belong to a populate by the PVC's UID; an object that does not say which PVC it is for, by the disk, where that
leaves no doubt.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from populator.plan.progress import Populate, State

NOT_STARTED = "not started"


@dataclass(frozen=True)
class Wanted:
    """What an object of Forklift's says."""

    namespace: str
    name: str
    pvc: str
    uid: str
    """of the PVC; both may be empty"""
    disk: str
    host: str
    result: str
    percent: int | None
    size: int | None

    @property
    def place(self) -> tuple[str, str]:
        """Return namespace and PVC, or disk where the PVC is not named."""
        return self.namespace, self.pvc or self.disk


def read_object(given: Any) -> Wanted:
    """Read an object, whatever is in it."""
    given = _mapping(given)
    metadata, spec, status = (_mapping(given.get(part)) for part in ("metadata", "spec", "status"))
    pvc, uid = owner_of(metadata)
    return Wanted(
        _text(metadata.get("namespace")),
        _text(metadata.get("name")),
        pvc,
        uid,
        _text(spec.get("vmdkPath")),
        _text(spec.get("migrationHost")),
        _text(status.get("result")),
        _whole(status.get("progress")),
        _whole(status.get("provisionedBytes")),
    )


def with_objects(by_uid: Mapping[str, Populate], objects: Sequence[Wanted]) -> list[Populate]:
    """Add what Forklift's objects say, and populates of which nothing else is known."""
    populates = dict(by_uid)
    named = {wanted.uid for wanted in objects}
    meant = Meant((one for uid, one in by_uid.items() if uid not in named), objects)
    alone: list[Populate] = []
    for wanted in objects:
        uid = wanted.uid if wanted.uid in populates else meant.uid(wanted)
        if uid:
            populates[uid] = _completed(populates[uid], wanted)
        else:
            alone.append(_of_object(wanted))
    return [*populates.values(), *alone]


class Meant:
    """Finds the populate that an object means which does not name the PVC's UID."""

    def __init__(self, populates: Iterable[Populate], objects: Sequence[Wanted]) -> None:
        self._rivals = Counter(one.place for one in objects)
        self._uids: dict[tuple[str, str], list[str]] = {}
        for one in populates:
            for known in {one.name, one.disk} - {""}:
                self._uids.setdefault((one.namespace, known), []).append(one.uid)

    def uid(self, wanted: Wanted) -> str:
        """Return the UID of the one populate of the same PVC or disk; empty where there is doubt."""
        uids = self._uids.get(wanted.place, [])
        certain = not wanted.uid and wanted.place[1] and len(uids) == self._rivals[wanted.place] == 1
        return uids[0] if certain else ""


def _completed(populate: Populate, wanted: Wanted) -> Populate:
    """Add what only the object knows; of the end it says nothing that the run has not said itself, if it lives."""
    populate = replace(
        populate,
        namespace=populate.namespace or wanted.namespace,
        populator=wanted.name,
        name=wanted.pvc or populate.name,
        disk=populate.disk or wanted.disk,
        host=populate.host or ("" if populate.array else wanted.host),
        size=populate.size or wanted.size,
        percent=wanted.percent if populate.percent is None else populate.percent,
    )
    if populate.state == State.MAYBE_FAILED and wanted.result:
        done = wanted.result == "success"
        return replace(populate, state=State.DONE if done else State.FAILED, why="" if done else populate.why)
    return populate


def _of_object(wanted: Wanted) -> Populate:
    """Return a populate of which only Forklift's object is to be seen."""
    states = {"success": State.DONE, "failure": State.FAILED}
    state = states.get(wanted.result, State.WAITING if wanted.percent is None else State.RUNNING)
    return Populate(
        wanted.namespace,
        wanted.pvc or wanted.name,
        wanted.uid,
        wanted.name,
        disk=wanted.disk,
        host=wanted.host,
        state=state,
        phase=NOT_STARTED if state == State.WAITING else "",
        percent=100 if state == State.DONE else wanted.percent,
        size=wanted.size,
        why="Its pod says why." if state == State.FAILED else "",
    )


def owner_of(metadata: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and UID of the PVC that an object belongs to; empty where it says none."""
    owners = metadata.get("ownerReferences")
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, Mapping) and owner.get("kind") == "PersistentVolumeClaim":
            return _text(owner.get("name")), _text(owner.get("uid")).lower()
    return "", ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    """Read a number that Forklift writes as a text, with or without decimals."""
    text = str(value).partition(".")[0] if isinstance(value, (str, int, float)) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
