"""After the night: what runs that died have left behind, where, whose, and putting it in order.

Where to look is said by the Leases that nobody renews any more. What is there is asked of array and hosts themselves.
Nothing is touched that a living run owns, or that a copy may be writing to: each volume is taken over by its writer's
Lease first, which a living run would not give away, and each host's steps are done in a slot. All may be repeated.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from populator.clock import Clock
from populator.leads import Lead, Trace
from populator.report.outcome import explain
from populator.storage.array import Lun, Mapping
from populator.stories import left
from populator.stories.left import OnHost, known
from populator.stories.parts import Writing
from populator.stories.recovery_parts import RecoveryParts
from vsphere.errors import CopyMayBeRunning
from vsphere.model import EsxiHost
from vsphere.wrapper.tasks import Tasks

log = logging.getLogger(__name__)


class State(StrEnum):
    """What becomes of something that was found."""

    LEFT = "left"
    """it would be put in order"""
    MENDED = "mended"
    KEPT = "kept"
    """it must not be touched now"""
    UNKNOWN = "unknown"
    """it could not be looked at, or not be put in order"""


@dataclass(frozen=True)
class Finding:
    """One thing that a run has left."""

    lead: Lead
    host: str
    """name or managed object id; empty where it is of no host"""
    what: str
    """a sentence without its end, for people"""
    state: State
    todo: str = ""
    """what is done about it, or who has to do what"""


NOBODYS = Lead("", ())
"""of what no Lease speaks of"""


def recover(parts: RecoveryParts) -> Iterator[Finding]:
    """Look at what every lead leads to, and put it in order where that was asked for."""
    for lead in parts.leads:
        found: list[Finding] = []
        for finding in Recovery(parts, lead).run():
            found.append(finding)
            yield finding
        settled = all(finding.state in {State.LEFT, State.MENDED} for finding in found)
        for trace in lead.expired:
            yield slot(parts, lead, trace, settled=settled)
    yield from strays(parts)


def strays(parts: RecoveryParts) -> Iterator[Finding]:
    """Say which groups of populators there are on the array for hosts that no Lease speaks of.

    They are shown and no more: a populator of another cluster may be using them.
    """
    try:
        groups = parts.strays
    except Exception as error:
        log.debug("the array's groups could not be listed", exc_info=True)
        text, hint = explain(error)
        yield Finding(NOBODYS, "", text.rstrip("."), State.UNKNOWN, hint)
        return
    for group in groups:
        shown = f"shows {', '.join(group.luns)}" if group.luns else "shows nothing"
        yield Finding(
            NOBODYS,
            group.host or "",
            f"Group {group.name} on the array {shown}, and no Lease speaks of that host",
            State.UNKNOWN,
            "Where no populator of another cluster is at work, and no vmkfstools runs on that host, remove it by hand.",
        )


def slot(parts: RecoveryParts, lead: Lead, trace: Trace, *, settled: bool) -> Finding:
    """Return what becomes of a Lease that a dead run holds: it is given back when nothing else is left."""
    what = f"Lease {trace.record.name} is held by {trace.pod}, and {trace.state}"
    if not settled:
        return Finding(lead, trace.host, what, State.KEPT, "It is kept for what stands in it.")
    if not parts.settings.apply:
        return Finding(lead, trace.host, what, State.LEFT, "free it")
    if parts.free(trace):
        return Finding(lead, trace.host, what, State.MENDED, "freed")
    return Finding(lead, trace.host, what, State.KEPT, "Somebody else has taken it by now.")


class Recovery:
    """What there is of one lead."""

    def __init__(self, parts: RecoveryParts, lead: Lead) -> None:
        self._parts, self._lead = parts, lead
        self._clock: Clock = parts.clock

    def run(self) -> Iterator[Finding]:
        """Look, act, and say what was found; a failure is a finding, too."""
        lead, parts = self._lead, self._parts
        if lead.alive:
            yield self._finding(
                "", f"Pod {lead.alive.pod} is at work on the volume", State.KEPT, "Let it finish."
            )
        elif lead.vendor and lead.vendor != parts.settings.storage.vendor:
            yield self._finding(
                "", f"The volume is on an array of vendor {lead.vendor}", State.UNKNOWN, "Name that array."
            )
        elif parts.pod_runs(lead.namespace, lead.pod):
            todo = f"oc delete pod {lead.pod} -n {lead.namespace}, or let it come to its end."
            yield self._finding("", f"Pod {lead.pod} still runs, cut off from its Lease", State.KEPT, todo)
        else:
            try:
                with self._taken_over() as writing:
                    yield from self._all(writing)
            except CopyMayBeRunning as error:
                log.debug("left in place", exc_info=error)
            except Exception as error:
                log.debug("could not be put in order", exc_info=True)
                text, hint = explain(error)
                yield self._finding("", text.rstrip("."), State.UNKNOWN, hint)

    @contextmanager
    def _taken_over(self) -> Iterator[Writing | None]:
        """Be the volume's one writer, where anything is to be changed."""
        if not self._parts.settings.apply:
            yield None
            return
        with self._parts.writer(self._lead).take_over(**self._facts()) as writing:
            yield writing

    def _all(self, writing: Writing | None) -> Iterator[Finding]:
        lead, parts = self._lead, self._parts
        volume = parts.find_volume(lead)
        lun = parts.array.find_lun(volume) if volume else None
        if lun:
            yield from self._copies(lun, writing)
        mapped = writing.mapped if writing and writing.mapped else lead.mapped
        before = known(parts.array.mappings_of(lun), mapped) if lun else ()
        hosts = {*lead.hosts, *(mapping.host for mapping in before if mapping.ours and mapping.host)}
        kept, done = False, set[str]()
        for host in sorted(hosts):
            for finding in self._host(host, lun, before, done):
                kept |= finding.state in {State.KEPT, State.UNKNOWN}
                yield finding
        for mapping in before:
            if mapping.ours and mapping.group.id not in done:
                kept = True
                yield self._finding(
                    mapping.host or "",
                    f"LUN {lun.name if lun else ''} is mapped to {mapping.group.name}",
                    State.UNKNOWN,
                    "Which host that is for is not known, or it could not be looked at. When no vmkfstools runs "
                    "there, remove the mapping on the array.",
                )
        if kept:
            raise CopyMayBeRunning(
                "Not all that a dead run has left could be put in order.",
                "Each line says what is left, and why.",
            )
        if writing:
            writing.unmapped()

    def _copies(self, lun: Lun, writing: Writing | None) -> Iterator[Finding]:
        """End what a dead run has the array copy by itself."""
        array, source = self._parts.copying_array, self._lead.copying
        if not (array and source):
            return
        for copy in array.copies_onto(lun):
            if copy.source == source:
                if writing:
                    array.end_copy(copy)
                yield self._either(
                    "", f"The array copies volume {source} onto {lun.name}", "end that", "ended"
                )
        if writing:
            writing.copy_ended()

    def _host(
        self, host_id: str, lun: Lun | None, before: Sequence[Mapping], done: set[str]
    ) -> Iterator[Finding]:
        """Look at one host, and put it in order; adds the ids of the groups that were dealt with."""
        lead, parts = self._lead, self._parts
        name = lun.device if lun else lead.device
        if not name:
            return
        try:
            host = parts.find_host(host_id)
            yield from self._uploads(host)
            devices, tasks = parts.devices(host), parts.tasks(host, lead.disk)
            ended = bool(tasks and parts.settings.apply and self._end_comparisons(name, tasks))
            seen = left.look_at(host, name, before, devices, tasks, self._task(host_id))
            reads = bool(tasks and not parts.settings.apply and seen.openers and self._compares(name, tasks))
            if ended or reads:
                yield self._either(host.name, f"A comparison of bytes reads device {name}", "end it", "ended")
                seen = replace(seen, openers=seen.openers if ended else ())
            if reason := untouchable(seen, lun):
                done.update(mapping.group.id for mapping in seen.mappings)
                yield self._finding(host.name, *reason)
                return
            if parts.settings.apply:
                keep = [mapping for mapping in before if not mapping.ours]
                left.clear(seen, lun, keep, devices, tasks, parts.array, parts.host_lease, self._facts())
        except Exception as error:
            log.debug("host %s could not be put in order", host_id, exc_info=True)
            text, hint = explain(error)
            done.update(mapping.group.id for mapping in before if mapping.host == host_id)
            yield self._finding(host_id, text.rstrip("."), State.UNKNOWN, hint)
            return
        done.update(mapping.group.id for mapping in seen.mappings)
        for what, would, did in things(seen, lun):
            yield self._either(host.name, what, would, did)

    def _uploads(self, host: EsxiHost) -> Iterator[Finding]:
        """Remove what dead runs have uploaded without finishing."""
        disk = self._lead.disk
        act = self._parts.discard_upload if self._parts.settings.apply else self._parts.unfinished_upload
        if disk and sum(act(host, disk, owner) for owner in self._owners):
            what = f"An upload of the wrapper's script lies unfinished on the datastore of {disk}"
            yield self._either(host.name, what, "remove it", "removed")

    def _compares(self, device: str, tasks: Tasks) -> bool:
        """Return whether a dead run's comparison reads a device."""
        return any(tasks.compares(owner, device) for owner in self._owners)

    def _end_comparisons(self, device: str, tasks: Tasks) -> bool:
        """End what dead runs compare on a host; return whether they did."""
        return sum(tasks.end_comparison(owner, device) for owner in self._owners) > 0

    @property
    def _owners(self) -> set[str]:
        return {trace.record.holder for trace in self._lead.expired}

    def _task(self, host_id: str) -> str:
        """Return the task on a host of which a journal tells."""
        of_host = (trace for trace in self._lead.traces if host_id in {trace.host, trace.journal.host_id})
        return next((trace.journal.task for trace in of_host if trace.journal.task), "")

    def _facts(self) -> dict[str, str]:
        """Return what our own Leases say meanwhile, for whoever finds us dead: the same as the dead run's."""
        traces = [trace.journal for trace in self._lead.expired]
        facts: dict[str, str] = {}
        for journal in reversed(traces):
            facts |= journal.facts()
        return facts | {"phase": "recover"}

    def _either(self, host: str, what: str, would: str, did: str) -> Finding:
        if self._parts.settings.apply:
            return self._finding(host, what, State.MENDED, did)
        return self._finding(host, what, State.LEFT, would)

    def _finding(self, host: str, what: str, state: State, todo: str) -> Finding:
        return Finding(self._lead, host, what, state, todo)


def untouchable(seen: OnHost, lun: Lun | None) -> tuple[str, State, str] | None:
    """Return why nothing may be touched on a host: what there is, and what to do; None where it may."""
    if task := seen.writer:
        percent = f", at {task.percent} %" if task.percent is not None else ""
        todo = (
            "Start the migration again, which follows it; or end it, esxcli vmkfstools taskStop -i "
            f"{task.task}, and run this again."
        )
        return (
            f"Task {task.task} copies {task.source or 'a disk'} onto {seen.name}{percent}",
            State.KEPT,
            todo,
        )
    if seen.openers:
        return (
            f"Device {seen.name} is in use by {', '.join(seen.openers)}",
            State.KEPT,
            f"Run this again when nothing uses it: esxcli storage core device world list -d {seen.name}",
        )
    if lun is None and seen.device and seen.device.is_on:
        return (
            f"Device {seen.name} is there, though no PersistentVolume leads to it any more",
            State.KEPT,
            "It may be another volume by now. See on the array which one it is.",
        )
    return None


def things(seen: OnHost, lun: Lun | None) -> Iterator[tuple[str, str, str]]:
    """Yield what there is on a host: in words, what is to be done about it, and that it was."""
    if seen.device and not seen.served:
        yield f"Device {seen.name} is {seen.device.status}", "detach it, remove its paths", "taken away"
    for mapping in seen.mappings:
        yield f"LUN {lun.name if lun else ''} is mapped to {mapping.group.name}", "unmap it", "unmapped"
    for task in seen.ended:
        yield f"Files of the ended task {task.task} are there", "remove them", "removed"
