"""Where the parts meet: what stands behind each contract of the stories. Imported late, since it is slow.

Each part is built on its first use, with what it needs itself; at the end those that were built are closed, the last
one first, so none loses what it stands on. Nothing else knows which part stands behind which contract.
"""

import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from lease.decision import Scope
from lease.hostlock import HostLock
from lease.kube.api import Api
from lease.stepwise import StepLock
from lease.throughout import CopyLock
from populator.clock import Clock
from populator.plan.method import Method, decide_method
from populator.plan.volume import Claim
from populator.reach import reach_kubernetes, reach_vcenter, repeat, trust_of
from populator.report.lease_metrics import LeaseMetrics
from populator.report.run import Report
from populator.settings.values import SLOTS, Settings, SiteSettings, SshSettings
from populator.shared_token import SharedToken
from populator.storage import registry
from populator.storage.address import read_address
from populator.storage.array import StorageArray, Volume
from populator.storage.copies import CopyingArray
from populator.stories.parts import HostLease
from populator.writer import Writer
from vsphere.copy.clone import Cloner
from vsphere.copy.verify import Verifier
from vsphere.errors import WrapperMissing
from vsphere.host.devices import Devices
from vsphere.host.esxcli import Esxcli
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import public_key
from vsphere.model import EsxiHost, HostState, SourceDisk
from vsphere.paths import parse_vmdk
from vsphere.vcenter.datastore import Datastore
from vsphere.vcenter.extents import datastore_extents
from vsphere.vcenter.inventory import boot_time, find_disk, find_host, find_host_by_id, host_states
from vsphere.vcenter.placement import Placement, find_placement
from vsphere.vcenter.session import Session
from vsphere.wrapper import key_line
from vsphere.wrapper.by_esxcli import Plugin
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.contract import Version, Wrapper
from vsphere.wrapper.files import SCRIPT, VERSION
from vsphere.wrapper.tasks import Tasks
from vsphere.wrapper.upload import OurScript, ensure_script

Part = TypeVar("Part")


class Site:
    """The parts that have nothing to do with a single disk or volume: hosts, array, vCenter, the cluster's API."""

    def __init__(self, settings: SiteSettings, clock: Clock) -> None:
        self._site, self.clock = settings, clock
        self._built = ExitStack()
        self._of_hosts: dict[tuple[str, ...], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._built.close()

    @cached_property
    def array(self) -> StorageArray:
        """The storage array; nothing is sent to it yet."""
        where = self._site.storage
        access = (
            replace(where.access, tokens=self._shared_token) if self._vendor.shares_token else where.access
        )
        return self._built.enter_context(closing(registry.connect(where.vendor, access, self.clock)))

    def devices(self, host: EsxiHost) -> Devices:
        extents = partial(datastore_extents, self._session)
        return self._once(("devices", host.id), lambda: Devices(self._esxcli(host), self.clock, extents))

    def wrapper(self, host: EsxiHost, disk: str) -> Wrapper:
        """Return the vmkfstools wrapper of a host; by SSH our script is put onto the disk's datastore first."""
        ssh, store = self._site.ssh, parse_vmdk(disk).datastore
        if ssh is None:
            return self._once(("plugin", host.id), lambda: Plugin(self._esxcli(host)))
        return self._once(("script", host.id, store), lambda: self._script(ssh, host, disk))

    def unfinished_upload(self, host: EsxiHost, disk: str, writer: str) -> bool:
        """Return whether a run has left its upload of the script for that disk unfinished."""
        return bool(self._site.ssh) and self._datastore(host, disk).unfinished(key_line.SCRIPT, writer)

    def discard_upload(self, host: EsxiHost, disk: str, writer: str) -> bool:
        """Remove what a run that died has uploaded of the script for that disk; return whether there was any."""
        return bool(self._site.ssh) and self._datastore(host, disk).discard(key_line.SCRIPT, writer)

    def cloner(self, host: EsxiHost, disk: str) -> Cloner:
        """Return what copies that disk on that host."""
        wrapper = self.wrapper(host, disk)
        booted = partial(boot_time, self._session, host.id)
        limit = SLOTS if self._site.lease.scope is Scope.COPY else 0
        key = ("cloner", host.id, disk)
        return self._once(key, lambda: Cloner(wrapper, booted, self.clock, limit=limit))

    def tasks(self, host: EsxiHost, disk: str) -> Tasks | None:
        """Return the copies that a host knows of; None where it has no wrapper, or no disk is known to reach it by."""
        if not disk:
            return None
        tasks = Tasks(self.wrapper(host, disk))
        try:
            tasks.learn()
        except WrapperMissing:
            return None
        return tasks

    @property
    def copying_array(self) -> CopyingArray | None:
        return cast("CopyingArray", self.array) if self._vendor.copies else None

    @property
    def _vendor(self) -> registry.Vendor:
        return registry.VENDORS[self._site.storage.vendor]

    @property
    def _shared_token(self) -> SharedToken:
        storage, namespace = self._site.storage, self._site.lease.namespace
        array = read_address(storage.access.hostname)
        return SharedToken(self._api, namespace, storage.vendor, array, storage.access.username, self.clock)

    @cached_property
    def _api(self) -> Api:
        return reach_kubernetes(self._site.kubernetes)

    @cached_property
    def _session(self) -> Session:
        return self._built.enter_context(reach_vcenter(self._site.vsphere, self.clock))

    @cached_property
    def _identity(self) -> str:
        return identity(self._site)

    def _once(self, key: tuple[str, ...], build: Callable[[], Part]) -> Part:
        if key not in self._of_hosts:
            self._of_hosts[key] = build()
        part: Part = self._of_hosts[key]
        return part

    def _esxcli(self, host: EsxiHost) -> Esxcli:
        return Esxcli(self._session, host.id, host.name)

    def _script(self, ssh: SshSettings, host: EsxiHost, disk: str) -> Script:
        store = self._datastore(host, disk)
        login = Login(host.name, self._placement(host).address, ssh.private_key, ssh.port)
        script = Script(Ssh(login, trust_of(ssh), self.clock, ssh.seconds), store.name, repeat(self.clock))
        self._built.callback(script.close)
        self._provide(script, store, OurScript(SCRIPT, VERSION, public_key(ssh.private_key)))
        return script

    def _provide(self, script: Script, store: Datastore, ours: OurScript) -> None:
        """Have the host start our script."""
        ensure_script(script, store, ours, self._identity)

    def _datastore(self, host: EsxiHost, disk: str) -> Datastore:
        """Return a disk's datastore, in the datacenter of a host."""
        name, place = parse_vmdk(disk).datastore, self._placement(host)
        return Datastore(self._session, name, place.datacenter, place.datacenter_path, self.clock)

    def _placement(self, host: EsxiHost) -> Placement:
        return self._once(("placement", host.id), lambda: find_placement(self._session, host.id, host.name))


class RealParts(Site):
    """The real parts of one run; satisfies `stories.parts.Parts`, which says what each is."""

    def __init__(self, settings: Settings, clock: Clock, report: Report) -> None:
        super().__init__(settings, clock)
        self.settings, self.report = settings, report

    @cached_property
    def claim(self) -> Claim:
        target = self.settings.target
        return Claim(self._api, target.namespace, target.pvc, target.uid, self.clock)

    def check_driver(self, volume: Volume) -> None:
        """Raise unless a CSI driver of the vendor made the volume; see the contract."""
        registry.check_driver(volume, self.settings.storage.vendor)

    @cached_property
    def writer(self) -> Writer:
        return Writer(
            self._api, self.settings.target, self._identity, self.settings.lease.duration, self.clock
        )

    @cached_property
    def inventory(self) -> "VcenterInventory":
        return VcenterInventory(self._session)

    def method(self, disk: SourceDisk) -> Method:
        return decide_method(
            disk.kind, self._vendor.product, self._vendor.copies, self.settings.storage.by_host
        )

    def verifier(self, host: EsxiHost, disk: str, version: Version) -> Verifier:
        """Return what compares source and volume on that host."""
        wrapper, samples = self.wrapper(host, disk), self.settings.verify_samples
        return Verifier(wrapper, version, self.clock, samples, self._identity)

    @cached_property
    def host_lease(self) -> HostLease:
        """The host lease in the scope that was asked for; its figures are on the metrics page from now on."""
        settings, clock = self.settings.lease, self.clock
        self.report.page.lease = metrics = LeaseMetrics(self.settings.target.uid, clock)
        lock = HostLock(
            self._api,
            namespace=settings.namespace,
            identity=self._identity,
            duration=settings.duration,
            clock=clock,
            slots=SLOTS,
            template=settings.template,
            observer=metrics,
        )
        return StepLock(lock, clock) if settings.scope is Scope.RESCAN else CopyLock(lock, clock)


class VcenterInventory:
    """The look-ups of one session; satisfies `stories.parts.Inventory`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_disk(self, vm: str, vmdk: str) -> SourceDisk:
        return find_disk(self._session, vm, vmdk)

    def find_host(self, disk: SourceDisk, migration_host: str) -> EsxiHost:
        return find_host(self._session, disk, migration_host)

    def find_host_by_id(self, host: str) -> EsxiHost:
        return find_host_by_id(self._session, host)

    def host_states(self, disk: SourceDisk, named: Sequence[str]) -> tuple[HostState, ...]:
        return host_states(self._session, disk, named)


def identity(settings: SiteSettings) -> str:
    """Return who holds a slot: `<pod>_<8 hex digits>`.

    The contract has holderIdentity name the pod, so it begins with that name and a character that no pod's name has:
    people and programs cut it off there. The rest is drawn by each process and does what the pod's UID would,
    which Forklift does not tell the pod: two pods of one name in two namespaces are two holders, and so is a process
    that was restarted in its pod, whose predecessor's slot must run out like any dead one's. In scope `rescan` each
    step adds its number (`-1`, `-2`, …), see `lease.stepwise`.
    """
    return f"{settings.identity}_{uuid.uuid4().hex[:8]}"
