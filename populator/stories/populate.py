"""The story's first half: which disk, which volume, which host, and the right to write. The copy comes after it."""

from populator import log
from populator.plan.journal import Journal
from populator.report.phase import Phase
from populator.settings.values import Settings
from populator.storage.array import Volume
from populator.stories import xcopy
from populator.stories.parts import Parts
from vsphere.model import EsxiHost, SourceDisk


def populate(parts: Parts) -> None:
    """Fill one volume from one disk, and leave vCenter, host and array as found."""
    source, report = parts.settings.source, parts.report
    report.phase(Phase.FIND_VOLUME)
    binding = parts.claim.find()
    parts.check_driver(binding.volume)

    report.phase(Phase.FIND_DISK)
    disk = parts.inventory.find_disk(source.vm, str(source.vmdk))
    host = parts.inventory.find_host(disk, source.migration_host)
    log.about(host=host.id)
    wrapper, cloner = parts.wrapper(host, disk), parts.cloner(host, disk)
    report.wrapper(wrapper.method, cloner.version().number)
    cloner.check(disk.path)
    lease, array, devices = parts.host_lease, parts.array, parts.devices(host)

    report.phase(Phase.BECOME_WRITER)
    with parts.writer.hold(parts.claim, binding) as writing:
        job = xcopy.Job(disk, host, binding.volume, journal(parts.settings, disk, host, binding.volume))
        xcopy.populate(job, writing, array, devices, cloner, lease, report, parts.clock)
        writing.succeeded(disk.path)


def journal(settings: Settings, disk: SourceDisk, host: EsxiHost, volume: Volume) -> Journal:
    """Return what the lease's journal will say of this run, as far as it is known by now."""
    target = settings.target
    return Journal(
        pvc=f"{target.namespace}/{target.pvc}",
        pvc_uid=target.uid,
        volume=volume.name,
        disk=disk.path,
        host=host.name,
        vendor=settings.storage.vendor,
        array=settings.storage.access.hostname,
    )
