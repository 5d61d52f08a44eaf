"""One writer for a volume: a Lease in the target namespace, held from before the array is touched to the undo's end.

Two runs for one PVC (a pod that was cut off and given up, somebody's try by hand) would write over each other, and a
second one over the disk of a VM that has started since. So whoever finds a living writer gives way; one that is dead is
waited for as long as its Lease lasts, and what it mapped is known to who comes after it. A run that has filled the
volume says so in the Lease, and none begins again; one that has not says why. What it does meanwhile stands in the
Lease's journal, for people (`plan.journal`). The Lease belongs to the PVC, and is deleted with it, where the
cluster lets us say so.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from lease.errors import LeaseError
from lease.hostlock import Held, HostLock
from lease.kube.api import Api, ApiError
from lease.overview import SlotState, by_dates
from lease.record import Record, leases_path, parse_record
from populator.clock import Clock
from populator.errors import VolumeError
from populator.plan.journal import FAILED, POPULATED, REFUSED, WRITER
from populator.plan.volume import Binding, Claim
from populator.retry import READ
from populator.settings.values import TargetSettings
from populator.storage.copies import CannotCopy
from vsphere.errors import CopyMayBeRunning

log = logging.getLogger(__name__)

GROUP, HOST, SOURCE = "group", "for", "source"
"""facts of the journal"""
RELEASED_BY = 23.5
"""seconds after SIGTERM for the last word in the Lease: the undo has 24, logging out 27"""


@dataclass(frozen=True)
class Mapped:
    """What a run has mapped the volume to, or was about to when it died."""

    group: str
    """the array's id of the group; empty where somebody else lets the host see the volume"""
    host: str
    """the host it is for, `host-1234`: where to look for a copy of that run"""


class Writing:
    """The right to write to a volume, while it lasts."""

    def __init__(
        self, held: Held, check_volume: Callable[[], None], credit: Callable[[], dict[str, str]]
    ) -> None:
        """`check_volume` raises unless it is still the one meant; `credit` says who fills it, and what time it is."""
        self._held = held
        self._check_volume = check_volume
        self._credit = credit
        self._filled = False
        self.mapped: Mapped | None = None
        """what stands in the Lease: of this run, or of one before it that died"""
        self.predecessor = held.inherited.holder if held.inherited else ""
        """who held the Lease before, and died; empty where nobody did"""
        self.copying = ""
        """the array's id of what it copies onto the volume; of this run, too, or of one that died"""

    def inherit(self) -> None:
        """Take over what a dead run has mapped, or has the array copy: it stays in the Lease until that is ended."""
        facts = self._held.inherited.facts if self._held.inherited else {}
        if host := facts.get(HOST):
            self.will_map(facts.get(GROUP, ""), host)
        if source := facts.get(SOURCE):
            self.will_copy(source)

    def will_map(self, group: str, host: str) -> None:
        """Write down what the volume is about to be mapped to, for who finds us dead; raises `VolumeError`.

        On many arrays nothing else tells a populator's mapping from an admin's. Without a group, who lets the host see
        the volume is somebody else, and only the host is written down.
        """
        self.mapped = Mapped(group, host)
        self._write_down({GROUP: group, HOST: host})

    def unmapped(self) -> None:
        """Say that nothing of ours is mapped any more; it is written with the Lease's release."""
        self.mapped = None

    def will_copy(self, source: str) -> None:
        """Write down what the array is about to copy onto the volume, for who finds us dead; raises `VolumeError`."""
        self.copying = source
        self._write_down({SOURCE: source})

    def copy_ended(self) -> None:
        """Say that the array copies nothing onto the volume any more; it is written with the Lease's release."""
        self.copying = ""

    def note(self, **facts: str) -> None:
        """Keep facts about the run for whoever looks at its Lease; written with the next renewal."""
        self._held.note(**facts)

    def _write_down(self, facts: dict[str, str]) -> None:
        try:
            self._held.write(READ.deadline, **facts)
        except LeaseError as error:
            raise VolumeError(error.text, error.hint) from error

    @property
    def remains(self) -> str:
        """What the next run has to know, a sentence; there is none after one that succeeded."""
        if self._filled or not (self.mapped or self.copying):
            return ""
        return "The volume is still mapped." if self.mapped else "The array may still copy onto the volume."

    def check(self) -> None:
        """Raise `VolumeError` unless the volume is still ours to write to, and still the PVC's; two calls.

        An API server that is away for a moment is waited for.
        """
        self._held.wait_until_valid(READ.deadline)
        try:
            self._held.guard("copy")
        except LeaseError as error:
            raise VolumeError(error.text, error.hint) from error
        if not self._held.kept:  # it is ours again, but what was done in between is not known
            raise VolumeError(
                f"The {self._held.title} was held by another run meanwhile, so the copy was not started.",
                "Another run may have filled the volume, and it may be in use. Look at it; start the migration again "
                "if it is to be filled.",
            )
        self._check_volume()

    def confirm(self) -> None:
        """Raise `VolumeError` where another run has taken our place, and so may write over what we have written."""
        if self._held.lost:
            raise VolumeError(
                f"The copy is complete, but the {self._held.title} was lost to {self._held.holder}, who may write to "
                "the volume now.",
                "See that this other run comes to its end: its result counts.",
            )

    def succeeded(self, disk: str) -> None:
        """Say that the volume has been filled from that disk: it is written down at the end, and none begins again.

        Raises as `confirm` does.
        """
        self.confirm()
        self._filled = True
        self._held.conclude(**{POPULATED: "true"}, **self._credit(), disk=disk)

    def failed(self, error: BaseException) -> None:
        """Say why the volume has not been filled: written down at the end, for people."""
        if self._filled:
            return
        why = str(getattr(error, "text", "") or error or type(error).__name__)
        fact = {REFUSED if isinstance(error, CannotCopy) else FAILED: why}
        self._held.note(**fact)  # where the Lease is left to expire, its journal is what stays
        self._held.explain(**fact, **self._credit())


class Writer:
    """Takes the one place of a PVC's writer."""

    def __init__(self, api: Api, target: TargetSettings, identity: str, duration: int, clock: Clock) -> None:
        self._api = api
        self._target = target
        self._identity = identity
        self._clock = clock
        self._name = f"{target.namespace}/{target.pvc}"
        self._uid = target.uid.lower()
        kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        self._lock = HostLock(
            api,
            namespace=target.namespace,
            identity=identity,
            duration=duration,
            clock=clock,
            slots=1,
            template=WRITER,
            title=f"writer's lease of PersistentVolumeClaim {self._name}",
            owner=kind | {"name": target.pvc, "uid": target.uid},
        )

    @property
    def lease(self) -> str:
        """Name of the Lease."""
        return WRITER.format(host=self._uid)

    def look(self) -> Mapped | None:
        """Return what a run before us has left mapped; raise as `hold` does, as far as one look can tell.

        Changes nothing. Whether a writer lives is judged by the dates in its Lease.
        """
        try:
            record = parse_record(self._api.get(f"{leases_path(self._target.namespace)}/{self.lease}"))
        except ApiError as error:
            if error.status == 404:
                return None
            raise VolumeError(error.text, error.hint) from error
        if by_dates(record, self._clock.utc()) == SlotState.HELD:
            raise self._occupied(record)
        if record.outcome.get("populated"):
            raise self._filled(record.outcome.get("by", "another run"), record.outcome.get("at", ""))
        group = record.journal.get(GROUP)
        return Mapped(group, record.journal.get(HOST, "")) if group else None

    @contextmanager
    def hold(self, claim: Claim, binding: Binding, **facts: str) -> Iterator[Writing]:
        """Be the volume's one writer; raise `VolumeError` where another run is, or has filled it already.

        Where a copy may still be running at the end, or the volume is still mapped, the Lease is left to expire, and
        what stands in it is for the next run. `facts` stand in it from the first moment on.
        """
        held = self._acquire({**facts, "volume": binding.volume.name})
        if held.outcome.get(POPULATED):
            held.release()
            raise self._filled(held.outcome.get("by", "another run"), held.outcome.get("at", ""))
        with self._held(held, partial(claim.check_unchanged, binding)) as writing:
            yield writing

    @contextmanager
    def take_over(self, **facts: str) -> Iterator[Writing]:
        """Be in the place of a writer that died, to put in order what it has left; for nothing that writes.

        Raises `VolumeError` where it is alive. Whether the volume was filled makes no difference. `facts` are what is
        known of the dead run, for whoever finds us dead, too.
        """
        with self._held(self._acquire(facts), lambda: None) as writing:
            yield writing

    @contextmanager
    def _held(self, held: Held, check_volume: Callable[[], None]) -> Iterator[Writing]:
        writing, left = Writing(held, check_volume, self._credit), ""
        try:
            writing.inherit()
            yield writing
        except CopyMayBeRunning as error:
            left = error.text
            raise
        except BaseException as error:
            writing.failed(error)
            raise
        finally:
            if why := left or writing.remains:
                held.leave(why)
            with self._clock.grace(RELEASED_BY):
                held.release()

    def _credit(self) -> dict[str, str]:
        return {"by": self._identity, "at": self._clock.utc().isoformat(timespec="seconds")}

    def _acquire(self, facts: dict[str, str]) -> Held:
        try:
            self._lock.prepare(self._uid)
            held = self._lock.open((self._uid,), {**facts, "pvc": self._name})
            alive = held.acquire_unless_alive()
        except LeaseError as error:
            raise VolumeError(error.text, error.hint) from error
        if alive:
            raise self._occupied(alive)
        return held

    def _occupied(self, record: Record) -> VolumeError:
        return VolumeError(
            f"Pod {record.holder.partition('_')[0]} is filling PersistentVolumeClaim {self._name} at this moment.",
            f"Let it finish, or delete that pod; see oc get lease {self.lease} -n {self._target.namespace} -o yaml.",
        )

    def _filled(self, by: str, at: str) -> VolumeError:
        return VolumeError(
            f"PersistentVolumeClaim {self._name} has been filled already, by {by.partition('_')[0]} {at}".rstrip()
            + ".",
            "Use it as it is. To have it overwritten, whoever uses it now: "
            f"oc delete lease {self.lease} -n {self._target.namespace}",
        )
