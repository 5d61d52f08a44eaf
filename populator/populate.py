"""The story: one disk copied onto one volume, host and array left as found. Read it aloud.

Nothing here knows a vendor, a protocol or a wire format. An undo is noted before its act and is harmless if the act
never happened. Whatever can shake the host is handed the host lease, and does each step inside of it; whether a slot is
held throughout, teardown included, or for each step alone, is for the lease to know.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from populator import log
from populator.clock import Clock
from populator.errors import StorageError
from populator.report import Report
from populator.storage.array import Group, Lun, Mapping, StorageArray, Volume
from populator.undo import UndoStack
from vsphere.clone import Cloner
from vsphere.devices import Devices
from vsphere.errors import CopyMayBeRunning
from vsphere.host import Adapter, EsxiHost, SourceDisk
from vsphere.ports import Held


@dataclass(frozen=True)
class Job:
    """What goes where, and on which host."""

    disk: SourceDisk
    host: EsxiHost
    volume: Volume


class HostLease(Protocol):
    """Who may shake a host, and when: for the whole of a copy, or step by step."""

    def prepare(self, host: str) -> None:
        """Find out, before anything is changed, whether the lease of that host can be had at all."""

    def hold(self, host: str, /, **facts: str) -> AbstractContextManager[Held]:
        """Give the lease of that host; `facts` go into its journal."""


def populate(
    job: Job,
    array: StorageArray,
    devices: Devices,
    cloner: Cloner,
    lease: HostLease,
    report: Report,
    clock: Clock,
) -> None:
    """Copy one disk onto the LUN behind one volume, and leave host and array as found."""
    report.phase("find the LUN")
    lun = find_lun(job, array, report)
    before = array.mappings_of(lun)
    adopting = check_nobody_else_writes(job, lun, before, array.group_name(job.host.id), devices, cloner)
    lease.prepare(job.host.id)

    with UndoStack(clock, report) as mapped:
        report.phase("map the LUN")
        mapped.later("restore the mapping", lambda: array.restore(lun, before, job.host.id))
        if adopting:  # until it is followed to its end, a copy that we did not start is not to be disturbed
            mapped.later("see that the copy has ended", lambda: devices.ensure_idle(lun.naa))
        group = array.ensure_group(job.host.id, [adapter.initiator for adapter in job.host.adapters])
        report.uses(protocol_of(group), job.disk)
        mapping = array.map(lun, group)
        used = [adapter for adapter in job.host.adapters if adapter.initiator in group.initiators]

        report.phase("wait for a slot of the host")
        with lease.hold(job.host.id, **journal(job, lun, mapping)) as held, UndoStack(clock, report) as undo:
            if mapping.ours:  # else the host had the LUN before us, and keeps it
                undo.later("remove the dead paths", lambda: devices.forget(lun.naa, used, held))
            undo.take_over(mapped)
            if mapping.ours:
                undo.later("detach the device", lambda: devices.detach(lun.naa, held))
            if adopting:
                undo.later("see that the copy has ended", lambda: devices.ensure_idle(lun.naa))
            report.phase("discover the device")
            device = devices.discover(lun.naa, job.disk.capacity, held)
            report.phase("clone")
            with report.copying() as copy:
                copy.result = cloner.copy(job.disk.path, device, held, report.percent)


def journal(job: Job, lun: Lun, mapping: Mapping) -> dict[str, str]:
    """Return what the lease's journal says of us from its first moment on: all that our death would leave behind."""
    facts = {
        "volume": job.volume.name,
        "disk": job.disk.path,
        "host": job.host.name,
        "lun": lun.name,
        "device": lun.naa,
        "phase": "begin",
    }
    return facts | ({"mapping": mapping.group.name} if mapping.ours else {})


def find_lun(job: Job, array: StorageArray, report: Report) -> Lun:
    """Return the volume's LUN; raise when the disk does not fit onto it."""
    report.array(array.info())
    lun = array.find_lun(job.volume)
    log.about(lun=lun.naa)
    if lun.size < job.disk.capacity:
        raise StorageError(
            f"LUN {lun.name} has {lun.size} bytes, {job.disk.capacity - lun.size} less than disk {job.disk.path}.",
            f"Give the PersistentVolumeClaim at least {job.disk.capacity} bytes and start the migration again.",
        )
    return lun


def check_nobody_else_writes(
    job: Job, lun: Lun, before: Sequence[Mapping], own_group: str, devices: Devices, cloner: Cloner
) -> bool:
    """Raise when a predecessor that died may still have a copy running onto this LUN, unless we can adopt it.

    Returns whether there is one to be adopted.

    Such a one leaves a mapping to a populators' group behind: `own_group`, with or without a suffix, if it worked on
    our host. There its copy can be looked for; on another one it cannot, and two writers would be a wrong copy.
    """
    adoptable = False
    for mapping in before:
        if not mapping.ours:
            continue
        if mapping.group.name.removeprefix(own_group)[:1] not in {"", "-"}:
            raise StorageError(
                f"LUN {lun.name} is still mapped to {mapping.group.name} by an earlier run on another host, whose "
                "copy may be running.",
                f"When no vmkfstools runs on that host, remove the LUN's mapping to {mapping.group.name}.",
            )
        if not (writers := devices.busy(lun.naa)):
            continue
        adoptable = cloner.copies(job.disk.path, lun.naa)
        if not adoptable:
            raise CopyMayBeRunning(
                f"The host still uses device {lun.naa} ({', '.join(writers)}), which an earlier run left to it.",
                "Wait for that copy to end, or end it on the host, then start the migration again.",
            )
    return adoptable


def protocol_of(group: Group) -> str:
    """Return how the host reaches the LUN: `fc`, `iscsi`, or `n/a` where the group does not say."""
    protocols = {Adapter("", initiator).protocol for initiator in group.initiators}
    return protocols.pop() if len(protocols) == 1 else "n/a"
