"""What a preflight may ask for: looks by contract, whoever stands behind each. None of them changes anything.

Made for one thread, by `LooksParts.looks`, and closed at the end of its block.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lease.kube.review import Right, Server
from lease.overview import SlotView
from populator.clock import Clock
from populator.plan.method import Method
from populator.plan.volume import Binding
from populator.settings.values import PreflightSettings
from populator.storage.array import StorageArray, Volume
from populator.storage.copies import CopyingArray
from populator.writer import Mapped
from vsphere.host.device_reader import DeviceReader
from vsphere.model import EsxiHost, HostState, InitiatorKind, SourceDisk
from vsphere.ports import Commands
from vsphere.vcenter.seen import SeenHost, SeenVm
from vsphere.wrapper.contract import Wrapper


@dataclass
class Ground:
    """Which peers answer: what the looks at VMs and hosts stand on."""

    cluster: bool = False
    vcenter: bool = False
    array: bool = False


class Cluster(Protocol):
    """The Kubernetes API."""

    @property
    def address(self) -> str:
        """The server's."""

    def server(self) -> Server:
        """Return what the server is, and who we are to it."""

    def may(self, right: Right) -> bool:
        """Return whether we have a right."""

    def namespace_exists(self, name: str, known_by: Right) -> bool | None:
        """Return whether a namespace is there, None where that cannot be told."""

    def slots(self) -> Sequence[SlotView]:
        """Return the slots of all hosts."""

    def binding(self) -> Binding:
        """Return the volume behind the PVC; raise what a populate would, also for one that is not bound yet."""

    def writer(self) -> Mapped | None:
        """Return what a run before has left mapped; raise where another run fills the volume, or has filled it."""


class Vcenter(Protocol):
    """One session with vCenter."""

    @property
    def address(self) -> str:
        """Its host and port."""

    def log_in(self) -> datetime:
        """Log in, and return what time it is by vCenter's clock."""

    def certificate_ends(self) -> datetime | None:
        """Return when the certificate expires; None where it is not verified."""

    def missing(self, kind: str, moid: str, privileges: Sequence[str]) -> tuple[str, ...]:
        """Return the privileges that our user lacks on an object."""

    def see_vm(self, vm: str) -> SeenVm:
        """Return the VM that is meant."""

    def find_disk(self, vm: str, vmdk: str) -> SourceDisk:
        """Find a disk as a populate does."""

    def find_host(self, disk: SourceDisk, migration_host: str) -> EsxiHost:
        """Find the host to copy on as a populate does."""

    def host_states(self, disk: SourceDisk, named: Sequence[str]) -> tuple[HostState, ...]:
        """Return the hosts that have a disk's datastores, or those that are named, as they are now."""

    def find_devices(self, disk: SourceDisk) -> tuple[str, ...]:
        """Return the devices below the datastores of a disk."""

    def see_host(self, host: str, devices: Collection[str]) -> SeenHost:
        """Return what vCenter says of a host and its devices."""

    def esxcli(self, host: str, name: str) -> Commands:
        """Return the esxcli of a host."""

    def devices(self, host: str, name: str) -> DeviceReader:
        """Return what a host says of its devices."""

    def wrapper(self, host: str, name: str, datastore: str) -> tuple[Wrapper, str]:
        """Return a host's wrapper, and in words what would be done for it by SSH; raise where it cannot be used."""


class Looks(Protocol):
    """All that a look may take."""

    @property
    def cluster(self) -> Cluster:
        """The Kubernetes API."""

    @property
    def vcenter(self) -> Vcenter:
        """VCenter."""

    @property
    def array(self) -> StorageArray:
        """The storage array."""

    @property
    def copying_array(self) -> CopyingArray | None:
        """The same as one that copies by itself, where its vendor's do."""


class LooksParts(Protocol):
    """What a preflight may take."""

    @property
    def settings(self) -> PreflightSettings:
        """The settings of this run."""

    @property
    def initiators(self) -> frozenset[InitiatorKind]:
        """By which kinds a host can see a LUN of the array."""

    @property
    def shares_token(self) -> bool:
        """Whether populates share the token of a session with the array."""

    def method(self, disk: SourceDisk) -> Method:
        """Return who would copy a disk."""

    def check_driver(self, volume: Volume) -> None:
        """Raise unless a CSI driver of the array's vendor made the volume."""

    def looks(self, clock: Clock) -> AbstractContextManager[Looks]:
        """Give the looks of one thread, by its clock."""
