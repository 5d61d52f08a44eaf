"""Where the parts meet: real clients built from the settings, then the story. Imported late, since it is slow.

Nothing else knows which part stands behind which contract.
"""

import uuid
from contextlib import closing

from lease.api import Api, ApiError
from lease.hostlock import HostLock
from lease.stepwise import StepLock
from populator import log
from populator.clock import Clock
from populator.errors import VolumeError
from populator.lease_metrics import LeaseMetrics
from populator.populate import HostLease, Job, populate
from populator.report import Report
from populator.retry import READ
from populator.settings import SLOTS, KubernetesSettings, Settings, VsphereSettings
from populator.storage import registry
from populator.volume import find_volume
from vsphere.clone import Cloner
from vsphere.devices import Devices
from vsphere.esxcli import Esxcli
from vsphere.inventory import boot_time, find_source
from vsphere.plugin import Plugin
from vsphere.session import Session


def run(settings: Settings, clock: Clock, report: Report) -> None:
    """Look up volume and disk, build the parts, and populate."""
    source, target, site = settings.source, settings.target, settings.vsphere
    report.phase("find the volume")
    api = reach_kubernetes(settings.kubernetes)
    volume = find_volume(api, target.namespace, target.pvc, target.uid, clock)
    report.phase("find the disk")
    with connect(site, clock) as session:
        disk, host = find_source(session, source.vm, str(source.vmdk), source.migration_host)
        log.about(host=host.id)
        esxcli = Esxcli(session, host.id, host.name)
        cloner = Cloner(Plugin(esxcli), lambda: boot_time(session, host.id), clock)
        report.plugin(cloner.version().number)
        cloner.check(disk.path)
        report.page.lease = LeaseMetrics(target.uid)
        lease = host_lease(api, settings, clock, report.page.lease)
        with closing(registry.connect(settings.storage.vendor, settings.storage.access, clock)) as array:
            job = Job(disk, host, volume)
            populate(job, array, Devices(esxcli, clock), cloner, lease, report, clock)


def host_lease(api: Api, settings: Settings, clock: Clock, metrics: LeaseMetrics) -> HostLease:
    """Return the host lease in the scope that was asked for."""
    lock = HostLock(
        api,
        namespace=settings.lease.namespace,
        identity=identity(settings),
        duration=settings.lease.duration,
        clock=clock,
        slots=SLOTS,
        template=settings.lease.template,
        observer=metrics,
    )
    return StepLock(lock, clock) if settings.lease.scope == "rescan" else lock


def reach_kubernetes(where: KubernetesSettings) -> Api:
    """Return the way to the API server; nothing is sent yet."""
    try:
        return Api.connect(where.kubeconfig or None, where.master or None)
    except ApiError as error:
        raise VolumeError(error.text, error.hint) from error


def connect(site: VsphereSettings, clock: Clock) -> Session:
    """Return a session with vCenter that repeats what is passing, by the program's own policy."""
    return Session(
        site.host,
        site.port,
        site.username,
        site.password,
        clock=clock,
        retry=lambda call, passing: READ.run(call, passing, clock),
        ca_pem=site.ca_pem,
        insecure=site.insecure,
    )


def identity(settings: Settings) -> str:
    """Return who holds a slot: `<pod>_<8 hex digits>`.

    The contract has holderIdentity name the pod, so it begins with that name and a character that no pod's name has:
    people and programs cut it off there. The rest is drawn anew by each process and does what the pod's UID would,
    which Forklift does not tell the pod: two pods of one name in two namespaces are two holders, and so is a process
    that was restarted in its pod, whose predecessor's slot must run out like any dead one's. In scope `rescan` each
    step adds its number (`-1`, `-2`, …), see `lease.stepwise`.
    """
    return f"{settings.identity}_{uuid.uuid4().hex[:8]}"
