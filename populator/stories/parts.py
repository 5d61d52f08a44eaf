"""What a story may ask for: the parts that do the work, by contract, whoever stands behind each.

A part is made when it is first asked for and is the same from then on; whoever made it closes it at the end. Making one
may take calls (a wrapper by SSH is put onto its datastore first), and raises what keeps it from being had.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from populator.clock import Clock
from populator.plan.method import Method
from populator.plan.volume import Binding, Claim
from populator.report.run import Report
from populator.settings.values import Settings
from populator.storage.array import StorageArray, Volume
from populator.storage.copies import CopyingArray
from populator.writer import Mapped
from vsphere.copy.clone import Cloner
from vsphere.copy.verify import Verifier
from vsphere.host.devices import Devices
from vsphere.model import EsxiHost, HostState, SourceDisk
from vsphere.ports import Held
from vsphere.wrapper.contract import Version, Wrapper
from vsphere.wrapper.tasks import Tasks


class Inventory(Protocol):
    """What vCenter knows of disks and hosts."""

    def find_disk(self, vm: str, vmdk: str) -> SourceDisk:
        """Find a VM's disk by the link of its chain that is to be copied; raise what keeps that from being copied."""

    def find_host(self, disk: SourceDisk, migration_host: str) -> EsxiHost:
        """Find the host to copy a disk on, the VM's own where none is named; raise what keeps it from that."""

    def find_host_by_id(self, host: str) -> EsxiHost:
        """Find a host, to put things in order there; raise unless it is connected."""

    def host_states(self, disk: SourceDisk, named: Sequence[str]) -> tuple[HostState, ...]:
        """Return the hosts that have a disk's datastores, or those that are named, as they are now."""


class Lease(Held, Protocol):
    """The lease of one host, for one copy."""

    @property
    def host(self) -> str:
        """Managed object id of the host."""

    def acquire(self) -> None:
        """Wait until disruptive steps may begin."""

    def settle(self) -> None:
        """Wait a little where it is not certain whether the slot is ours: a renewal may be under way again."""


class HostLease(Protocol):
    """Who may do what is disruptive to a host, and when: for the whole of a copy, or step by step."""

    def prepare(self, *hosts: str) -> None:
        """Find out, before anything is changed, whether the lease of one of those hosts can be had at all."""

    def hold(self, *hosts: str, **facts: str) -> AbstractContextManager[Lease]:
        """Give the lease of that host, and release it at the end; `facts` go into its journal.

        Where there are several, wait for the first slot that comes free on any of them, the preferred first: then the
        host is chosen, and disruptive steps may begin.
        """


class Writing(Protocol):
    """The right to write to the volume."""

    @property
    def copying(self) -> str:
        """The array's id of what it copies onto the volume for this run, or for one before it that died; else empty."""

    def note(self, **facts: str) -> None:
        """Keep facts about the run for whoever looks at its Lease; written with the next renewal."""

    def will_copy(self, source: str) -> None:
        """Write down what the array is about to copy onto the volume, for who finds us dead."""

    def copy_ended(self) -> None:
        """Say that the array copies nothing onto the volume any more."""

    @property
    def predecessor(self) -> str:
        """Who was the writer before this run, and died; empty where nobody did."""

    @property
    def mapped(self) -> Mapped | None:
        """What the volume is mapped to by this run, or by one before it that died; None when that is undone."""

    def will_map(self, group: str, host: str) -> None:
        """Write down what the volume is about to be mapped to, for who finds us dead."""

    def unmapped(self) -> None:
        """Say that nothing of ours is mapped any more."""

    def check(self) -> None:
        """Raise unless the volume is still ours to write to, and still the one that was meant."""

    def confirm(self) -> None:
        """Raise where somebody else may write over what we have written."""

    def succeeded(self, disk: str) -> None:
        """Say that the volume has been filled from that disk, so that no other run begins; raise as `confirm` does."""


class Writer(Protocol):
    """The one place of a volume's writer."""

    def hold(self, claim: Claim, binding: Binding, **facts: str) -> AbstractContextManager[Writing]:
        """Be the volume's one writer; raise where another run is, or has filled it already.

        `facts` are what the journal says of the run from its first moment on.
        """


class Parts(Protocol):
    """All that filling a volume may take."""

    @property
    def settings(self) -> Settings:
        """The settings of this run."""

    @property
    def clock(self) -> Clock:
        """Time, and the wish to stop."""

    @property
    def report(self) -> Report:
        """What is published."""

    @property
    def claim(self) -> Claim:
        """The PVC to fill."""

    def check_driver(self, volume: Volume) -> None:
        """Raise unless a CSI driver of the array's vendor made the volume."""

    @property
    def writer(self) -> Writer:
        """The PVC's one writer."""

    @property
    def inventory(self) -> Inventory:
        """The look-ups in vCenter."""

    @property
    def array(self) -> StorageArray:
        """The storage array that has the volume."""

    def method(self, disk: SourceDisk) -> Method:
        """Return who is to copy a disk, the array by itself or a host."""

    @property
    def copying_array(self) -> CopyingArray | None:
        """The same array as one that copies by itself; None where no array of its vendor is known to."""

    @property
    def host_lease(self) -> HostLease:
        """The lease of ESXi hosts, in the scope that was asked for."""

    def devices(self, host: EsxiHost) -> Devices:
        """Return the devices of a host."""

    def wrapper(self, host: EsxiHost, disk: str) -> Wrapper:
        """Return the vmkfstools wrapper of a host, ready to copy the disk of that path."""

    def tasks(self, host: EsxiHost, disk: str) -> Tasks | None:
        """Return the copies that a host knows of, by the wrapper that would copy that disk; None without a wrapper."""

    def discard_upload(self, host: EsxiHost, disk: str, writer: str) -> bool:
        """Remove what a run that died has uploaded of that wrapper without finishing; return whether there was any."""

    def cloner(self, host: EsxiHost, disk: str) -> Cloner:
        """Return what copies that disk by that wrapper."""

    def verifier(self, host: EsxiHost, disk: str, version: Version) -> Verifier:
        """Return what compares source and volume by that wrapper, which is of that version."""
