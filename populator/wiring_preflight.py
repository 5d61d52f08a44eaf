"""What stands behind the looks of a preflight; see `wiring`. Imported late, since it is slow.

Each thread has looks of its own, with a session and a clock of its own: none of the clients is made for several.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from typing import cast

from lease.kube import review
from lease.kube.api import Api
from lease.kube.review import Right, Server
from lease.overview import Names, SlotView
from lease.watch import read_slots
from populator.clock import Clock
from populator.plan.method import Method, decide_method
from populator.plan.volume import Binding, Claim
from populator.reach import reach_kubernetes, reach_vcenter, repeat, trust_of
from populator.settings.values import PreflightSettings, SshSettings, TargetSettings
from populator.storage import registry
from populator.storage.array import StorageArray, Volume
from populator.storage.copies import CopyingArray
from populator.writer import Mapped, Writer
from vsphere.host.device_reader import DeviceReader
from vsphere.host.esxcli import Esxcli
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import public_key
from vsphere.model import EsxiHost, HostState, InitiatorKind, SourceDisk
from vsphere.vcenter import looks
from vsphere.vcenter.datastore import Datastore
from vsphere.vcenter.extents import datastore_extents
from vsphere.vcenter.inventory import find_disk, find_host, host_states
from vsphere.vcenter.placement import find_placement
from vsphere.vcenter.privileges import missing_privileges
from vsphere.vcenter.seen import SeenHost, SeenVm
from vsphere.vcenter.session import Session
from vsphere.wrapper.by_esxcli import Plugin
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.contract import Wrapper
from vsphere.wrapper.files import SCRIPT, VERSION
from vsphere.wrapper.upload import OurScript, look_for_script

NOBODY = "preflight"
"""as whom a look at the writer's Lease would write, which it does not"""


class RealLooksParts:
    """The parts of one preflight; satisfies `stories.looks.LooksParts`."""

    def __init__(self, settings: PreflightSettings) -> None:
        self.settings = settings
        self._vendor = registry.VENDORS[settings.storage.vendor]
        self.initiators: frozenset[InitiatorKind] = self._vendor.initiators
        self.shares_token = self._vendor.shares_token

    def method(self, disk: SourceDisk) -> Method:
        return decide_method(
            disk.kind, self._vendor.product, self._vendor.copies, self.settings.storage.by_host
        )

    def check_driver(self, volume: Volume) -> None:
        registry.check_driver(volume, self.settings.storage.vendor)

    @contextmanager
    def looks(self, clock: Clock) -> Iterator["RealLooks"]:
        with ExitStack() as built:
            yield RealLooks(self.settings, clock, built, copies=bool(self._vendor.copies))


class RealLooks:
    """The looks of one thread; satisfies `stories.looks.Looks`."""

    def __init__(self, settings: PreflightSettings, clock: Clock, built: ExitStack, *, copies: bool) -> None:
        self._settings, self._clock, self._built, self._copies = settings, clock, built, copies

    @cached_property
    def cluster(self) -> "ClusterLooks":
        return ClusterLooks(self._settings, self._clock)

    @cached_property
    def vcenter(self) -> "VcenterLooks":
        return VcenterLooks(self._settings, self._clock, self._built)

    @cached_property
    def array(self) -> StorageArray:
        """The array, with no token of other runs: to share one, it would have to be written down."""
        where = self._settings.storage
        access = replace(where.access, tokens=None)
        return self._built.enter_context(closing(registry.connect(where.vendor, access, self._clock)))

    @property
    def copying_array(self) -> CopyingArray | None:
        return cast("CopyingArray", self.array) if self._copies else None


class ClusterLooks:
    """The looks at Kubernetes; satisfies `stories.looks.Cluster`."""

    def __init__(self, settings: PreflightSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    @cached_property
    def _api(self) -> Api:
        return reach_kubernetes(self._settings.kubernetes)

    @property
    def address(self) -> str:
        return self._api.address

    def server(self) -> Server:
        return review.see_server(self._api)

    def may(self, right: Right) -> bool:
        return review.may(self._api, right)

    def namespace_exists(self, name: str, known_by: Right) -> bool | None:
        return review.namespace_exists(self._api, name, known_by)

    def slots(self) -> Sequence[SlotView]:
        lease = self._settings.lease
        return read_slots(self._api, lease.namespace, Names(lease.template), self._clock.utc())

    def binding(self) -> Binding:
        target = self._target
        return Claim(self._api, target.namespace, target.pvc, target.uid, self._clock, patience=0.0).find()

    def writer(self) -> Mapped | None:
        return Writer(self._api, self._target, NOBODY, self._settings.lease.duration, self._clock).look()

    @property
    def _target(self) -> TargetSettings:
        target = self._settings.target
        if target is None:
            raise TypeError("a plan names no volume")
        return target


class VcenterLooks:
    """The looks in one session with vCenter; satisfies `stories.looks.Vcenter`."""

    def __init__(self, settings: PreflightSettings, clock: Clock, built: ExitStack) -> None:
        self._settings, self._clock, self._built = settings, clock, built
        self._of_hosts: dict[str, Esxcli] = {}
        site = settings.vsphere
        self.address = f"{site.host}:{site.port}"

    @cached_property
    def _session(self) -> Session:
        return self._built.enter_context(reach_vcenter(self._settings.vsphere, self._clock))

    def log_in(self) -> datetime:
        self._session.login()
        return looks.server_time(self._session)

    def certificate_ends(self) -> datetime | None:
        return self._session.certificate_ends()

    def missing(self, kind: str, moid: str, privileges: Sequence[str]) -> tuple[str, ...]:
        return missing_privileges(self._session, kind, moid, privileges)

    def see_vm(self, vm: str) -> SeenVm:
        return looks.see_vm(self._session, vm)

    def find_disk(self, vm: str, vmdk: str) -> SourceDisk:
        return find_disk(self._session, vm, vmdk)

    def find_host(self, disk: SourceDisk, migration_host: str) -> EsxiHost:
        return find_host(self._session, disk, migration_host)

    def host_states(self, disk: SourceDisk, named: Sequence[str]) -> tuple[HostState, ...]:
        return host_states(self._session, disk, named)

    def find_devices(self, disk: SourceDisk) -> tuple[str, ...]:
        return looks.find_devices(self._session, disk)

    def see_host(self, host: str, devices: Collection[str]) -> SeenHost:
        return looks.see_host(self._session, host, devices)

    def esxcli(self, host: str, name: str) -> Esxcli:
        return self._of_hosts.setdefault(host, Esxcli(self._session, host, name))

    def devices(self, host: str, name: str) -> DeviceReader:
        extents = partial(datastore_extents, self._session)
        return DeviceReader(self.esxcli(host, name), self._clock, extents)

    def wrapper(self, host: str, name: str, datastore: str) -> tuple[Wrapper, str]:
        ssh = self._settings.ssh
        if ssh is None:
            return Plugin(self.esxcli(host, name)), ""
        return self._script(ssh, host, name, datastore)

    def _script(self, ssh: SshSettings, host: str, name: str, datastore: str) -> tuple[Script, str]:
        place = find_placement(self._session, host, name)
        login = Login(name, place.address, ssh.private_key, ssh.port)
        shell = Ssh(login, trust_of(ssh), self._clock, ssh.seconds)
        script = Script(shell, datastore, repeat(self._clock))
        self._built.callback(script.close)
        store = Datastore(self._session, datastore, place.datacenter, place.datacenter_path, self._clock)
        return script, look_for_script(script, store, OurScript(SCRIPT, VERSION, public_key(ssh.private_key)))
