"""The story: one disk copied onto one volume, host and array left as found. Read it aloud.

Nothing here knows a vendor, a protocol or a wire format. An undo is noted before its act and is harmless if the act
never happened. Whatever is disruptive to the host is handed the host lease, and does each step inside of it; whether a
slot is held throughout, teardown included, or for each step alone, is for the lease to know. Where several hosts may
copy, the one whose slot is had first is the host, so the slot comes before the mapping: nothing is mapped to a host
that does not copy. One that turns out to be unable to is put back as it was found before the next one begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from populator.clock import Clock
from populator.errors import HostUnknown, StorageError, VolumeError
from populator.plan.journal import Journal
from populator.report.phase import Phase
from populator.report.run import Report
from populator.storage.array import GroupPlan, Lun, Mapping, StorageArray, Volume
from populator.storage.failures import beyond_us
from populator.storage.initiators import protocol_of
from populator.stories.hosts import Hosts
from populator.stories.left import clear, in_use, is_for, known
from populator.stories.lun import find_lun
from populator.stories.parts import HostLease, Writing
from populator.undo import UndoStack
from populator.writer import Mapped
from vsphere.copy.clone import Cloner
from vsphere.copy.result import differing
from vsphere.errors import HostUnfit
from vsphere.host.devices import Devices
from vsphere.model import Adapter, CopyPhase, EsxiHost, ProofOutcome, SourceDisk


@dataclass(frozen=True)
class Job:
    """What goes where."""

    disk: SourceDisk
    volume: Volume
    journal: Journal
    """what is known of it before host and LUN are"""


def populate(
    job: Job,
    hosts: Hosts,
    writing: Writing,
    array: StorageArray,
    lease: HostLease,
    report: Report,
    clock: Clock,
) -> None:
    """Copy one disk onto the LUN behind one volume, and leave hosts and array as found."""
    report.phase(Phase.FIND_LUN)
    lun = find_lun(job.disk, job.volume, array, report)
    before = known(array.mappings_of(lun), writing.mapped)
    hosts.stay_with(before, writing.mapped)
    lease.prepare(*hosts.ids)
    before = clear_elsewhere(job, lun, before, hosts, writing, array, lease)
    while True:
        try:
            return copy_on_first(job, lun, before, hosts, writing, array, lease, report, clock)
        except (HostUnfit, HostUnknown) as error:
            if report.copy_ended is not None or not (report.as_found and hosts.leave(error)):
                raise
            report.host_left(error)


def clear_elsewhere(
    job: Job,
    lun: Lun,
    before: Sequence[Mapping],
    hosts: Hosts,
    writing: Writing,
    array: StorageArray,
    lease: HostLease,
) -> tuple[Mapping, ...]:
    """Take away what a run that died has left on a host that is not open to us; return the mappings that stay.

    Where its copy still runs there nothing is touched; `check_no_other_host_copies` says so.
    """
    keep, stay, noted = [mapping for mapping in before if not mapping.ours], list(before), writing.mapped
    others = {mapping.host for mapping in before if mapping.ours} | ({noted.host} if noted else set())
    for other in sorted(host for host in others if host and host not in hosts.ids):
        seen, devices, tasks = hosts.look_elsewhere(other, lun.device, before, writing.predecessor)
        if in_use(seen):
            continue
        facts = replace(journal(job, lun), host=seen.host.name, host_id=other, phase="clear").facts()
        clear(seen, lun, keep, devices, tasks, array, lease, facts)
        stay = [mapping for mapping in stay if mapping not in seen.mappings]
        if noted and noted.host == other:
            writing.unmapped()
    return tuple(stay)


def copy_on_first(
    job: Job,
    lun: Lun,
    before: Sequence[Mapping],
    hosts: Hosts,
    writing: Writing,
    array: StorageArray,
    lease: HostLease,
    report: Report,
    clock: Clock,
) -> None:
    """Copy on the only host, or on the one of several whose slot comes free first; leave it as found."""
    if hosts.several:
        report.phase(Phase.WAIT_FOR_SLOT)
    facts = journal(job, lun).facts()
    with lease.hold(*hosts.ids, **facts) as held, UndoStack(clock, report) as undo:
        ready = hosts.ready(held.host)
        host, devices, cloner = ready.host, ready.devices, ready.cloner
        for journal_of in (held, writing):
            journal_of.note(**Journal(host=host.name, host_id=host.id).facts())
        check_no_other_host_copies(lun, before, writing.mapped, host)
        hosts.tidy_after(writing.predecessor, host, lun.device)
        seen = devices.visible(lun.device)
        devices.check_spare(lun.device, seen)
        runs = bool(seen) and runs_already(job, lun, devices, cloner)

        report.phase(Phase.MAP_LUN)
        there, keep = seen_already(before, host), [mapping for mapping in before if not mapping.ours]
        ours, adapters = there is None or there.ours, host.adapters
        undo.later(
            "remove the dead paths", lambda: devices.forget(lun.device, adapters, held), when=lambda: ours
        )
        undo.later("restore the mapping", lambda: unmap(array, lun, host, keep, writing))
        undo.later(
            "detach the device", lambda: devices.detach(lun.device, held), when=lambda: ours, or_stop=True
        )
        mapping = use(there, host, writing) if there else map_lun(array, lun, host, writing)
        ours, adapters = mapping.ours, adapters_in(mapping, host)
        report.uses(protocol_of(mapping.initiators & host.initiators), job.disk)
        if ours:
            held.note(**mapped(mapping, adapters).facts())
        check_nobody_else_maps(array, lun, before, mapping)

        if not hosts.several:
            report.phase(Phase.WAIT_FOR_SLOT)
            held.acquire()
        report.phase(Phase.DISCOVER_DEVICE)
        device = devices.discover(lun.device, job.disk.capacity, held, in_words(mapping, adapters))
        devices.check_spare(lun.device, device)
        runs = runs_already(job, lun, devices, cloner) or runs

        def check_again() -> None:
            writing.check()
            check_nobody_else_maps(array, lun, before, mapping)
            held.settle()

        def progress(percent: int) -> None:
            report.percent(percent)
            held.note(**report.progress.facts())

        report.phase(CopyPhase.CLONE)
        with report.copying() as copy:
            copy.result = cloner.copy(
                job.disk.path, device, held, progress, check_again, report.phase, runs=runs
            )
            devices.see_idle(lun.device)

            report.phase(CopyPhase.VERIFY)
            held.note(phase=CopyPhase.VERIFY)
            proof = ready.verifier.verify(job.disk.path, device)
            report.verified(proof)
            if proof.outcome is ProofOutcome.DIFFERENT:
                raise differing(proof, host.name, copy.result)
            writing.confirm()


def journal(job: Job, lun: Lun) -> Journal:
    """Return what the lease's journal says of us from its first moment on: all that our death would leave behind."""
    return replace(job.journal, lun=lun.name, device=lun.device, phase="begin")


def mapped(mapping: Mapping, adapters: Sequence[Adapter]) -> Journal:
    """Return what the journal adds about a mapping of ours."""
    names = tuple(adapter.name for adapter in adapters)
    return Journal(group=mapping.group.name, lun_id=mapping.lun_id, adapters=names)


def seen_already(mappings: Sequence[Mapping], host: EsxiHost) -> Mapping | None:
    """Return the mapping by which the host sees the LUN: it serves us, and a second might be by another protocol.

    Somebody else's by whatever adapter; failing that, what an earlier run left behind for adapters that can work. That
    may be several, all of which go at the end: one of them is returned, with the initiators of all.
    """
    working = {adapter.initiator for adapter in host.adapters}
    seen = [
        mapping for mapping in mappings if mapping.initiators & (working if mapping.ours else host.initiators)
    ]
    first = min(seen, key=lambda mapping: mapping.ours, default=None)
    if first is None or not first.ours:
        return first
    return replace(first, initiators=frozenset().union(*(mapping.initiators for mapping in seen)))


def use(mapping: Mapping, host: EsxiHost, writing: Writing) -> Mapping:
    """Let the host copy by a mapping that is there, and write down that it does where nothing else would say so."""
    if not mapping.ours:
        writing.will_map("", host.id)
    return mapping


def map_lun(array: StorageArray, lun: Lun, host: EsxiHost, writing: Writing) -> Mapping:
    """Let the host see the LUN."""
    group = array.ensure_group(plan_group(array, host))
    writing.will_map(group.id, host.id)
    return array.map(lun, group)


def plan_group(array: StorageArray, host: EsxiHost) -> GroupPlan:
    """Return which group the host would be given; raise `HostUnknown` where the array has something against it."""
    try:
        return array.plan_group(host.id, [adapter.initiator for adapter in host.adapters])
    except StorageError as error:
        if beyond_us(error):
            raise
        raise HostUnknown(error.text, error.hint) from error


def unmap(array: StorageArray, lun: Lun, host: EsxiHost, keep: Sequence[Mapping], writing: Writing) -> None:
    """Take away all that populators have mapped for the host."""
    array.unmap(lun, host.id, host.initiators, keep)
    writing.unmapped()


def adapters_in(mapping: Mapping, host: EsxiHost) -> tuple[Adapter, ...]:
    """Return the host's adapters that see a LUN by a mapping."""
    return tuple(adapter for adapter in host.adapters if adapter.initiator in mapping.initiators)


def check_no_other_host_copies(
    lun: Lun, before: Sequence[Mapping], noted: Mapped | None, host: EsxiHost
) -> None:
    """Raise when a predecessor that died may have left a copy running onto this LUN on another host.

    It leaves a populator's mapping behind, or where somebody else's served it, the host's id in the volume's Lease. If
    that is our host, its copy can be looked for there; on another one it cannot, and two writers would be a wrong copy.
    """
    if noted and not noted.group and noted.host != host.id:
        raise StorageError(
            f"An earlier run has used LUN {lun.name} on host {noted.host}, where its copy may be running.",
            f"Start the migration again with --migration-host={noted.host}: its copy is looked for there.",
        )
    for mapping in before:
        if mapping.ours and not is_for(mapping, host):
            raise StorageError(
                f"LUN {lun.name} is still mapped to {mapping.group.name} by an earlier run on another host, whose "
                "copy may be running.",
                f"When no vmkfstools runs on {mapping.host or 'any host of that group'}, remove the LUN's mapping to "
                f"{mapping.group.name}.",
            )


def runs_already(job: Job, lun: Lun, devices: Devices, cloner: Cloner) -> bool:
    """Return whether this very copy runs already; raise where the host uses the device for anything else.

    Whoever let the host see the LUN: what uses it must be a copy that we can adopt.
    """
    if not devices.busy(lun.device):
        return False
    if cloner.is_copying(job.disk.path, lun.device):
        return True
    devices.ensure_idle(lun.device)
    return False


def check_nobody_else_maps(array: StorageArray, lun: Lun, before: Sequence[Mapping], own: Mapping) -> None:
    """Raise when somebody has come to see the LUN since we looked first: a node that starts the VM, another run."""
    known = {mapping.group.id for mapping in (*before, own)}
    for mapping in array.mappings_of(lun):
        if not mapping.group.within(known):
            raise VolumeError(
                f"LUN {lun.name} was mapped to {mapping.group.name} since this run began: somebody else uses it.",
                "Nothing was written to it by this run. See who uses the PersistentVolumeClaim, and start the "
                "migration again with a new one.",
            )


def in_words(mapping: Mapping, adapters: Sequence[Adapter]) -> str:
    """Return how the host should see a LUN."""
    names = ", ".join(f"{adapter.name} ({adapter.initiator})" for adapter in adapters)
    number = "" if mapping.lun_id is None else f" as LUN id {mapping.lun_id}"
    return f"{number} to group {mapping.group.name}, for adapter {names}"
