"""What a forecast is about: disks, hosts, rates, steps, and what becomes of each disk. Values only.

How it is reckoned: `forecast_run` lets all populators of a plan run in virtual time, `forecast_rates` shares the
rates among copies that run at once, `forecast_bounds` says what no plan can beat, and what holds this one up, and
`forecast_advice` tries what would help.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from lease.crowd import HANDOVER
from lease.decision import Scope
from populator.settings.values import SLOTS

MIB = 1 << 20
IN_FLIGHT = 20
"""pods for a host's disks at once, by Forklift's own default (MAX_POPULATOR_INFLIGHT)"""


class HostChoice(StrEnum):
    """Which host copies a disk."""

    VM = "vm"
    """the VM's own"""
    ANY = "any"
    """of all that have the datastore mounted the VM's own, else the first one that has a slot free"""


@dataclass(frozen=True)
class PlannedDisk:
    """A disk to copy."""

    name: str
    size: int
    """bytes; an array is taken to need time for all of them, also where nothing was written"""
    host: str
    """that the VM is on; Forklift counts the disk's pod there"""
    datastore: str


@dataclass(frozen=True)
class Rates:
    """MiB per second; an infinite one is no limit. What runs at once shares evenly what it has to share."""

    copy: float = 200.0
    """of one copy, at most. There is no number that holds for all arrays: this one is careful"""
    host: float = math.inf
    """of all copies of a host together: by XCOPY a host moves no bytes, so nothing limits it but what is given"""
    array: float = 2000.0
    """of all copies together"""

    @property
    def alone(self) -> float:
        """Of a copy that shares with no other."""
        return min(self.copy, self.host, self.array)


@dataclass(frozen=True)
class Steps:
    """Seconds that a populator spends around a copy.

    "Lab" means the least of several runs there, by their logs and the host's record of what it did; together they are
    the 0.3 s by which each of twenty disks on one host outlasts its copy. A host and an array that take time to answer
    are slower, by tenths of a second for each disk; what a rescan takes is another matter, and the host's own.
    """

    prepare: float = 8.0
    """from the place among those in flight to all being known: Kubernetes starts a pod in some 5 s where it has the
    image, and the program needs 3 s for its start and some 50 calls (lab: 1 s)"""
    map_lun: float = 0.03
    """lab"""
    rescan: float = 10.0
    """for new devices. From seconds on a host with few LUNs to minutes where there are hundreds, or dead paths"""
    begin: float = 0.07
    """from a visible device to the copy's start: checks of device and volume, and the start itself (lab)"""
    finish: float = 0.13
    """from a copy's end to the look that confirms it (lab): near the end `vsphere.copy.polling` asks each 0.2 s"""
    detach: float = 0.02
    """lab"""
    unmap: float = 0.02
    """lab"""
    forget: float = 5.0
    """removal of the dead paths, by a rescan of its own kind: half of the other kind's, as the lab has it"""
    leave: float = 5.0
    """from the last step to the pod's end, for which Forklift's next one waits: its controller scrapes each 5 s"""
    handover: float = HANDOVER + 0.03
    """from a release to the next holder: as long as waiters let a slot stand free, and the claim. `make bench`: 0.06"""

    @property
    def least(self) -> float:
        """Of a disk that waits for nobody, up to its last step, the copy left out."""
        return (
            self.prepare + self.map_lun + self.rescan + self.begin
            + self.finish + self.detach + self.unmap + self.forget
        )  # fmt: skip


@dataclass(frozen=True)
class Conditions:
    """What the copies run under."""

    rates: Rates = Rates()
    steps: Steps = Steps()
    slots: int = SLOTS
    """of each host"""
    in_flight: int = IN_FLIGHT
    """pods at once for the disks of one host, whichever copies them"""
    scope: Scope = Scope.COPY
    choice: HostChoice = HostChoice.VM


@dataclass(frozen=True)
class Plan:
    """Disks in the order in which their pods are made, and what they run under."""

    disks: tuple[PlannedDisk, ...]
    mounts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """datastore -> hosts that have it mounted, besides those whose disks lie there"""
    conditions: Conditions = Conditions()

    @cached_property
    def reach(self) -> Mapping[str, tuple[str, ...]]:
        """Datastore -> all hosts that could copy from there, in order."""
        hosts = {store: set(mounted) for store, mounted in self.mounts.items()}
        for disk in self.disks:
            hosts.setdefault(disk.datastore, set()).add(disk.host)
        return {store: tuple(sorted(names)) for store, names in hosts.items()}

    def hosts_for(self, disk: PlannedDisk) -> tuple[str, ...]:
        """Return the hosts that may copy a disk, the VM's own first."""
        if self.conditions.choice is HostChoice.VM:
            return (disk.host,)
        return (disk.host, *(host for host in self.reach[disk.datastore] if host != disk.host))


@dataclass(frozen=True)
class Passage:
    """What becomes of one disk; moments are seconds from the start of all."""

    disk: PlannedDisk
    host: str
    """that copies it"""
    admitted: float
    """its pod is made"""
    shaken: float
    """its first disruptive step begins, or where others have done that for it, its copy"""
    began: float
    """the copy"""
    ended: float
    """the copy"""
    left: float
    """host and array are as they were, and no slot is held"""


@dataclass(frozen=True)
class Forecast:
    """What becomes of a plan."""

    plan: Plan
    passages: tuple[Passage, ...]
    """in the order of the plan"""

    @cached_property
    def makespan(self) -> float:
        """Seconds until the last disk is done."""
        return max((passage.left for passage in self.passages), default=0.0)

    @cached_property
    def by_host(self) -> Mapping[str, tuple[Passage, ...]]:
        """What each host copies, in the order of time; hosts in order of their names."""
        hosts: dict[str, list[Passage]] = {}
        for passage in sorted(self.passages, key=lambda each: (each.shaken, each.left)):
            hosts.setdefault(passage.host, []).append(passage)
        return {host: tuple(hosts[host]) for host in sorted(hosts, key=natural)}


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts `esx-9` before `esx-10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"[0-9]+|[^0-9]+", name)]
