"""What the contract suite for storage arrays needs of each vendor's lab, and a clock that does not make it wait."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol, Self

from populator.clock import Clock
from populator.storage import registry
from populator.storage.access import Access
from populator.storage.array import StorageArray, Volume
from tests.lab.arrays.ontap.server import OntapSimulator
from tests.lab.pki import Pki
from tests.lab.san import San


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


class ArrayLab(AbstractContextManager["ArrayLab"], Protocol):
    """One simulated array of a vendor, with the volumes that its CSI driver made."""

    vendor: str
    san: San

    @property
    def access(self) -> Access:
        """Return good settings for the driver."""

    @property
    def calls(self) -> Sequence[tuple[str, str]]:
        """Return method and path of all calls."""

    def add_volume(self, size: int = 1 << 20) -> Volume:
        """Create a LUN, and return its volume as the CSI driver describes it."""

    def add_group(self, name: str, initiators: Sequence[str]) -> str:
        """Create a group as an admin or a CSI driver would; initiators as for `ensure_group`."""

    def add_map(self, volume: Volume, group: str) -> None:
        """Map a volume's LUN to such a group."""

    def remove_map(self, volume: Volume, group: str) -> None:
        """Remove that map."""

    def log_in(self, initiator: str) -> None:
        """Let an initiator be logged in to the array; spelled as for `ensure_group`."""

    def older_groups(self, host: str) -> Sequence[str]:
        """Return the names that older populators gave to groups of one host."""

    def groups_of_all_hosts(self) -> Sequence[str]:
        """Return the names that older populators gave to one group for all hosts."""

    def names_like_ours(self) -> Sequence[str]:
        """Return names that an admin may give to a group, and that begin like a populator's."""

    def naa(self, volume: Volume) -> str:
        """Return the device name of a volume's LUN."""

    def state(self) -> object:
        """Return all groups with their initiators, and all maps, for comparison."""


def connect(lab: ArrayLab, clock: Clock | None = None, **changes: Any) -> StorageArray:
    """Return the vendor's driver, by way of the registry."""
    return registry.connect(lab.vendor, replace(lab.access, **changes), clock or QuickClock())


def plain(initiator: str) -> str:
    """Return an initiator as the SAN names it."""
    return initiator.rpartition(":")[2].lower() if initiator.lower().startswith("fc.") else initiator.lower()


class OntapLab:
    """ONTAP with two SVMs; Trident's volumes are on the first."""

    vendor = "ontap"

    def __init__(self, pki: Pki, san: San) -> None:
        self.san = san
        self.simulator = OntapSimulator(san, pki.server_context("ontap"), svms=("svm1", "svm2"))
        self._luns: dict[str, str] = {}
        self._number = itertools.count(1)

    @property
    def access(self) -> Access:
        options: Mapping[str, str] = {"ONTAP_SVM": "svm1"}
        return Access(self.simulator.address, "admin", "ontap-secret", options=options)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return self.simulator.calls

    def add_volume(self, size: int = 1 << 20) -> Volume:
        name = f"pvc-{next(self._number)}"
        internal = f"trident_{name.replace('-', '_')}"
        self._luns[name] = self.simulator.add_lun(f"/vol/{internal}/lun0", "svm1", size)
        return Volume(name, name, {"internalName": internal, "protocol": "block"})

    def add_group(self, name: str, initiators: Sequence[str]) -> str:
        return self.simulator.add_group(name, "svm1", [plain(item) for item in initiators])

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.add_map(self._luns[volume.name], group)

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.remove_map(self._luns[volume.name], group)

    def log_in(self, initiator: str) -> None:
        name = plain(initiator)
        wwpn = ":".join(re.findall("..", name)) if initiator.startswith("fc.") else name
        self.simulator.log_in("svm1", wwpn)

    def older_groups(self, host: str) -> list[str]:
        return [f"xcopy-hostsystem-{host}", f"xcopy-hostsystem-{host}-mixed"]

    def groups_of_all_hosts(self) -> list[str]:
        return ["xcopy-esxs", "xcopy-esxs-iscsi"]

    def names_like_ours(self) -> list[str]:
        return ["xcopy-lab-hosts", "xcopy-", "xcopy-esxs2", "xcopy-hostsystem"]

    def naa(self, volume: Volume) -> str:
        return self.simulator.luns[self._luns[volume.name]].naa

    def uuid(self, volume: Volume) -> str:
        return self._luns[volume.name]

    def state(self) -> object:
        groups = sorted((g.svm.name, g.name, *sorted(g.initiators)) for g in self.simulator.groups.values())
        maps = sorted((m.lun.path, m.group.name, m.lun_id) for m in self.simulator.maps)
        return groups, maps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.simulator.close()


LABS: dict[str, Callable[[Pki, San], ArrayLab]] = {"ontap": OntapLab}
"""vendor -> its lab; each of them goes through `tests/contract/storage/test_array.py`"""
