"""Where the parts meet: real clients built from the settings, then the story. Imported late, since it is slow.

Nothing else knows which part stands behind which contract.
"""

import uuid
from contextlib import ExitStack, closing

from lease.hostlock import HostLock
from lease.kube.api import Api, ApiError
from lease.stepwise import StepLock
from lease.throughout import CopyLock
from populator import log
from populator.address import Address
from populator.clock import Clock
from populator.errors import VolumeError
from populator.plan.volume import Claim
from populator.proxy import find_proxy
from populator.report.lease_metrics import LeaseMetrics
from populator.report.run import Report
from populator.retry import READ
from populator.settings.values import SLOTS, KubernetesSettings, Settings, SshSettings, VsphereSettings
from populator.storage import registry
from populator.stories.xcopy import HostLease, Job, populate
from populator.writer import Writer
from vsphere.copy.clone import Cloner
from vsphere.errors import VsphereError
from vsphere.host.devices import Devices
from vsphere.host.esxcli import Esxcli
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import HostTrust, public_key
from vsphere.model import EsxiHost, SourceDisk
from vsphere.paths import parse_vmdk
from vsphere.ports import Retry
from vsphere.vcenter.datastore import Datastore
from vsphere.vcenter.extents import datastore_extents
from vsphere.vcenter.inventory import boot_time, find_disk, find_host
from vsphere.vcenter.placement import find_placement
from vsphere.vcenter.session import Session
from vsphere.vcenter.soap import Proxy
from vsphere.wrapper.by_esxcli import Plugin
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.contract import Wrapper
from vsphere.wrapper.files import SCRIPT, VERSION
from vsphere.wrapper.upload import OurScript, ensure_script


def run(settings: Settings, clock: Clock, report: Report) -> None:
    """Look up volume and disk, build the parts, and populate."""
    source, target, site = settings.source, settings.target, settings.vsphere
    report.phase("find the volume")
    api = reach_kubernetes(settings.kubernetes)
    claim = Claim(api, target.namespace, target.pvc, target.uid, clock)
    binding = claim.find()
    registry.check_driver(binding.volume, settings.storage.vendor)
    report.phase("find the disk")
    with connect(site, clock) as session, ExitStack() as parts:
        disk = find_disk(session, source.vm, str(source.vmdk))
        host = find_host(session, disk, source.migration_host)
        log.about(host=host.id)
        esxcli = Esxcli(session, host.id, host.name)
        wrapper = reach_wrapper(settings, session, esxcli, host, disk, clock)
        parts.callback(wrapper.close)
        limit = SLOTS if settings.lease.scope == "copy" else 0
        cloner = Cloner(wrapper, lambda: boot_time(session, host.id), clock, limit=limit)
        report.wrapper(wrapper.method, cloner.version().number)
        cloner.check(disk.path)
        report.page.lease = LeaseMetrics(target.uid)
        me = identity(settings)
        lease = host_lease(api, settings, me, clock, report.page.lease)
        with closing(registry.connect(settings.storage.vendor, settings.storage.access, clock)) as array:
            job = Job(disk, host, binding.volume)
            devices = Devices(esxcli, clock, lambda: datastore_extents(session))
            report.phase("become the volume's writer")
            writer = Writer(api, target, me, settings.lease.duration, clock)
            with writer.hold(claim, binding) as writing:
                populate(job, writing, array, devices, cloner, lease, report, clock)
                writing.succeeded(by=me, at=clock.utc().isoformat(timespec="seconds"), disk=disk.path)


def host_lease(api: Api, settings: Settings, identity: str, clock: Clock, metrics: LeaseMetrics) -> HostLease:
    """Return the host lease in the scope that was asked for."""
    lock = HostLock(
        api,
        namespace=settings.lease.namespace,
        identity=identity,
        duration=settings.lease.duration,
        clock=clock,
        slots=SLOTS,
        template=settings.lease.template,
        observer=metrics,
    )
    return StepLock(lock, clock) if settings.lease.scope == "rescan" else CopyLock(lock, clock)


def reach_wrapper(
    settings: Settings, session: Session, esxcli: Esxcli, host: EsxiHost, disk: SourceDisk, clock: Clock
) -> Wrapper:
    """Return the way to the host's vmkfstools wrapper; by SSH our script is put there first."""
    if settings.ssh is None:
        return Plugin(esxcli)
    place = find_placement(session, host.id, host.name)
    name = parse_vmdk(disk.path).datastore
    script = Script(reach_host(settings.ssh, host.name, place.address, clock), name, repeat(clock))
    ours = OurScript(SCRIPT, VERSION, public_key(settings.ssh.private_key))
    ensure_script(script, Datastore(session, name, place.datacenter, place.datacenter_path, clock), ours)
    return script


def reach_host(ssh: SshSettings, name: str, address: str, clock: Clock) -> Ssh:
    """Return the SSH of one host; nothing is sent yet."""
    login = Login(name, address, ssh.private_key, ssh.port)
    return Ssh(login, HostTrust(ssh.known_hosts, ssh.fingerprints), clock, ssh.seconds)


def repeat(clock: Clock) -> Retry:
    """Return the program's own policy of repeating what is passing."""
    return lambda call, passing: READ.run(call, passing, clock)


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
        retry=repeat(clock),
        ca_pem=site.ca_pem,
        insecure=site.insecure,
        proxy=proxy_to(site),
    )


def proxy_to(site: VsphereSettings) -> Proxy | None:
    """Return the proxy on the way to vCenter, if the environment names one."""
    try:
        proxy = find_proxy(Address(site.host, site.port))
    except ValueError as error:
        raise VsphereError(str(error), "Correct it, or name vCenter in NO_PROXY.") from error
    if proxy is None:
        return None
    if proxy.scheme != "http":
        raise VsphereError(
            f"vCenter cannot be reached through the proxy {proxy}, which itself is reached by TLS.",
            "Give HTTPS_PROXY as http://host:port, or name vCenter in NO_PROXY.",
        )
    headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    return Proxy(proxy.host, proxy.port, headers)


def identity(settings: Settings) -> str:
    """Return who holds a slot: `<pod>_<8 hex digits>`.

    The contract has holderIdentity name the pod, so it begins with that name and a character that no pod's name has:
    people and programs cut it off there. The rest is drawn anew by each process and does what the pod's UID would,
    which Forklift does not tell the pod: two pods of one name in two namespaces are two holders, and so is a process
    that was restarted in its pod, whose predecessor's slot must run out like any dead one's. In scope `rescan` each
    step adds its number (`-1`, `-2`, …), see `lease.stepwise`.
    """
    return f"{settings.identity}_{uuid.uuid4().hex[:8]}"
