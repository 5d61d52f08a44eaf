"""What lab and contract suite need of each vendor's simulator, and a clock that does not make them wait.

A vendor's simulator lives in a folder here, named as the driver's in `populator/storage/vendors`; its module `lab` has
`start(pki, san)`, which returns an `ArrayLab`.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Self, TypeVar

from populator.clock import Clock
from populator.storage import registry
from populator.storage.access import Access
from populator.storage.array import StorageArray, Volume
from populator.storage.registry import VENDORS
from tests.lab.arrays.rest import RestServer
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind


class QuickClock(Clock):
    """A clock on which pauses pass at once; `waited` is their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def now(self) -> float:
        return super().now() + self.waited

    def wait(self, seconds: float) -> None:
        with self.blocking():
            self.waited += seconds


class ArrayLab(ABC):
    """A simulated array of a vendor, with the volumes that its CSI driver made; it serves until its `with` ends.

    A lab says what its array has: no sessions, hosts of an administrator, contradictory handles or names of older
    populators unless it does.
    """

    vendor: str
    own_groups = False
    """whether the driver makes a group for each host, by which it is known whose a mapping is, and for which host"""
    tells_ours = False
    """whether the array tells whose a mapping is: by the group, or by a name of its own"""

    def __init__(self, san: San, server: RestServer) -> None:
        self.san, self.server = san, server
        self._number = itertools.count(1)
        """for the names of volumes"""

    @property
    @abstractmethod
    def access(self) -> Access:
        """Return good settings for the driver."""

    @property
    @abstractmethod
    def reader(self) -> Access:
        """Return the settings of a user who may only read."""

    @property
    def sessions(self) -> int:
        """Return how many sessions are open; none ever is where each call brings its credentials."""
        return 0

    def expire_sessions(self) -> None:  # noqa: B027
        """Let the array forget all sessions."""

    @property
    def port(self) -> int:
        """Return where it listens on 127.0.0.1."""
        return self.server.port

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Return method and path of all calls, oldest first; may be cleared."""
        return self.server.calls

    @abstractmethod
    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        """Create a LUN, and return its volume as the CSI driver describes it; `serial` is the array's own for it."""

    @abstractmethod
    def remove_volume(self, volume: Volume) -> None:
        """Delete a volume's LUN."""

    def contradictions(self, volume: Volume) -> Sequence[Volume]:
        """Return the volume with handles or attributes whose parts do not belong together, where they have parts."""
        return []

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:  # noqa: B027
        """Describe a host to an array on which that is the administrator's to do; elsewhere nothing happens."""

    def add_datastore(self, device: str) -> None:  # noqa: B027
        """Have the volume that a datastore lies on, where its device name is one of this vendor's; it always stays."""

    @abstractmethod
    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Create a group as an admin or a CSI driver would; return the host that has the initiators, if that is one."""

    def groups(self) -> Sequence[str]:
        """Return the names of all groups that do not stay for ever, as an administrator's hosts do."""
        return []

    @abstractmethod
    def add_map(self, volume: Volume, group: str) -> None:
        """Map a volume's LUN to such a group."""

    @abstractmethod
    def remove_map(self, volume: Volume, group: str) -> None:
        """Remove that map."""

    @abstractmethod
    def log_in(self, initiator: Initiator) -> None:
        """Let an initiator be logged in to the array."""

    def older_groups(self, host: str) -> Sequence[str]:
        """Return the names that older populators gave to groups of one host."""
        return []

    def groups_of_all_hosts(self) -> Sequence[str]:
        """Return the names that older populators gave to one group for all hosts."""
        return []

    def names_like_ours(self) -> Sequence[str]:
        """Return names that an admin may give to a group, and that begin like a populator's."""
        return []

    @abstractmethod
    def device(self, volume: Volume) -> str:
        """Return the device name of a volume's LUN."""

    @abstractmethod
    def state(self) -> object:
        """Return all groups with their initiators, and all maps, for comparison."""

    @abstractmethod
    def reset(self) -> None:
        """Delete all LUNs and groups, and let nobody be logged in."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.close()


@dataclass(frozen=True)
class Backings:
    """What vSphere calls the volumes of an array that are disks by themselves; empty what the array cannot copy."""

    vvol: str = ""
    frozen: str = ""
    """a vVol of the same disk, which a snapshot froze"""
    rdm: str = ""
    """the device name of a raw device mapping"""


class CopyingLab(ArrayLab):
    """One of an array that copies by itself."""

    backings: Backings
    copy_seconds = 0.0
    """that a copy takes, where it takes any; at once where 0"""

    @abstractmethod
    def add_source(self, backing: str, size: int) -> str:
        """Create the volume that vSphere calls so, and return its device name."""

    @property
    def copies(self) -> int:
        """Return how many copies are under way, or have left something behind; 0 where all are done at once."""
        return 0


AnyLab = TypeVar("AnyLab", bound=ArrayLab)


def lab_of(kind: type[AnyLab], lab: ArrayLab) -> AnyLab:
    """Return a lab as one of that vendor's, for what its tests alone may turn and look at."""
    assert isinstance(lab, kind)
    return lab


def copying(lab: ArrayLab) -> CopyingLab:
    """Return an array that copies by itself, as such a one."""
    assert isinstance(lab, CopyingLab)
    return lab


def start(vendor: str, pki: Pki, san: San) -> ArrayLab:
    """Start the simulator of a vendor's array, by Forklift's name of the vendor."""
    lab: ArrayLab = import_module(f"tests.lab.arrays.{VENDORS[vendor].folder}.lab").start(pki, san)
    return lab


def connect(lab: ArrayLab, clock: Clock | None = None, **changes: Any) -> StorageArray:
    """Return the vendor's driver, by way of the registry."""
    return registry.connect(lab.vendor, replace(lab.access, **changes), clock or QuickClock())


def by_kind(initiators: Collection[Initiator]) -> Iterator[tuple[InitiatorKind, list[Initiator]]]:
    """Yield each kind of initiators that there is, and those, by name."""
    for kind in InitiatorKind:
        if own := sorted((item for item in initiators if item.kind == kind), key=str):
            yield kind, own


def iscsi(name: str) -> Initiator:
    """Return an initiator of iSCSI."""
    return Initiator(InitiatorKind.ISCSI, name)


def sdc(guid: str) -> Initiator:
    """Return PowerFlex's client."""
    return Initiator(InitiatorKind.SDC, guid)


def fc(wwpn: str) -> Initiator:
    """Return an initiator of Fibre Channel."""
    return Initiator(InitiatorKind.FC, wwpn)
