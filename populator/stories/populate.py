"""The story's first half: which disk, which volume, who copies, and the right to write. The copy comes after it."""

import logging

from populator.plan.journal import Journal
from populator.plan.volume import Binding
from populator.report.phase import Phase
from populator.settings.values import Settings
from populator.storage.array import Volume
from populator.storage.copies import CannotCopy, EndUnclear
from populator.stories import array_copy, xcopy
from populator.stories.hosts import find_hosts
from populator.stories.lun import end_dead_copies
from populator.stories.parts import Parts
from vsphere.model import EsxiHost, SourceDisk

logger = logging.getLogger(__name__)


def populate(parts: Parts) -> None:
    """Fill one volume from one disk, and leave vCenter, host and array as found."""
    source, report = parts.settings.source, parts.report
    report.phase(Phase.FIND_VOLUME)
    binding = parts.claim.find()
    parts.check_driver(binding.volume)

    report.phase(Phase.FIND_DISK)
    disk = parts.inventory.find_disk(source.vm, str(source.vmdk))
    if not copy_by_array(parts, binding, disk):
        copy_by_host(parts, binding, disk)


def copy_by_array(parts: Parts, binding: Binding, disk: SourceDisk) -> bool:
    """Have the array copy the disk; return whether all is there for certain: if not, a host may write over it."""
    report, method = parts.report, parts.method(disk)
    if method.reason:
        logger.info("the %s copies: %s", "array" if method.by_array else "host", method.reason)
    array = parts.copying_array
    if not (method.by_array and array):
        return False
    report.method(disk.kind)
    report.phase(Phase.BECOME_WRITER)
    try:
        facts = journal(parts.settings, disk, None, binding.volume).facts()
        with parts.writer.hold(parts.claim, binding, **facts) as writing:
            report.noted_in(writing.note)
            end_dead_copies(array, binding.volume, writing)
            array_copy.populate(array_copy.Job(disk, binding.volume), writing, array, report, parts.clock)
            writing.succeeded(disk.path)
    except CannotCopy as refusal:
        logger.warning("a host copies, since the array does not: %s %s", refusal.text, refusal.hint)
        return False
    except EndUnclear as error:
        logger.warning("a host copies anew: %s %s", error.text, error.hint)
        return False
    return True


def copy_by_host(parts: Parts, binding: Binding, disk: SourceDisk) -> None:
    """Have a host copy the disk."""
    report = parts.report
    hosts = find_hosts(parts, disk)
    lease, array = parts.host_lease, parts.array

    report.phase(Phase.BECOME_WRITER)
    job = xcopy.Job(disk, binding.volume, journal(parts.settings, disk, hosts.only, binding.volume))
    with parts.writer.hold(parts.claim, binding, **job.journal.facts()) as writing:
        report.noted_in(writing.note)
        if hosts.only:
            hosts.ready(hosts.only.id)
        end_dead_copies(parts.copying_array, binding.volume, writing)
        xcopy.populate(job, hosts, writing, array, lease, report, parts.clock)
        writing.succeeded(disk.path)


def journal(settings: Settings, disk: SourceDisk, host: EsxiHost | None, volume: Volume) -> Journal:
    """Return what the journals of its Leases will say of this run, as far as it is known by now."""
    target = settings.target
    return Journal(
        pvc=f"{target.namespace}/{target.pvc}",
        pvc_uid=target.uid,
        volume=volume.name,
        disk=disk.path,
        host=host.name if host else "",
        host_id=host.id if host else "",
        vendor=settings.storage.vendor,
        array=settings.storage.access.hostname,
        size=disk.capacity,
    )
