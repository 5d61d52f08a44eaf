"""What `stories.recover` may ask for, by contract; see `stories.parts`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from populator.clock import Clock
from populator.leads import Lead, Trace
from populator.settings.values import RecoverySettings
from populator.storage.array import OwnGroup, StorageArray, Volume
from populator.storage.copies import CopyingArray
from populator.stories.parts import HostLease, Writing
from vsphere.host.devices import Devices
from vsphere.model import EsxiHost
from vsphere.wrapper.tasks import Tasks


class Successor(Protocol):
    """Who may take the place of a volume's dead writer."""

    def take_over(self, **facts: str) -> AbstractContextManager[Writing]:
        """Be in the place of a writer that died; raise where it is alive."""


class RecoveryParts(Protocol):
    """All that putting things in order may take."""

    @property
    def settings(self) -> RecoverySettings:
        """The settings of this run."""

    @property
    def clock(self) -> Clock:
        """Time, and the wish to stop."""

    @property
    def leads(self) -> Sequence[Lead]:
        """What the Leases say of runs that died."""

    @property
    def strays(self) -> Sequence[OwnGroup]:
        """Groups on the array that populators have made for hosts of which no Lease speaks; asks the array."""

    def pod_runs(self, namespace: str, name: str) -> bool:
        """Return whether a pod is known to run still; not where pods may not be read."""

    def find_volume(self, lead: Lead) -> Volume | None:
        """Return the volume that it is about; None where its PersistentVolume is gone. Raises for another vendor's."""

    def writer(self, lead: Lead) -> Successor:
        """Return the place of the volume's one writer."""

    @property
    def array(self) -> StorageArray:
        """The storage array."""

    @property
    def copying_array(self) -> CopyingArray | None:
        """The same array as one that copies by itself; None where no array of its vendor is known to."""

    def find_host(self, host: str) -> EsxiHost:
        """Return a host by its managed object id; raise what keeps it from being used."""

    def devices(self, host: EsxiHost) -> Devices:
        """Return the devices of a host."""

    def tasks(self, host: EsxiHost, disk: str) -> Tasks | None:
        """Return the copies that a host knows of, by the wrapper that would copy that disk; None without a wrapper."""

    def unfinished_upload(self, host: EsxiHost, disk: str, writer: str) -> bool:
        """Return whether a run has left its upload of that wrapper unfinished."""

    def discard_upload(self, host: EsxiHost, disk: str, writer: str) -> bool:
        """Remove such an upload; return whether there was any."""

    @property
    def host_lease(self) -> HostLease:
        """The lease of ESXi hosts."""

    def free(self, trace: Trace) -> bool:
        """Free a slot whose holder is dead; return whether it is free now."""
