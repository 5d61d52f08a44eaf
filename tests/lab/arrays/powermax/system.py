"""The state of a simulated PowerMax, and its rules; nothing of HTTP.

Kept as documented: an initiator belongs to one host, a volume to many storage groups of which one has a service level,
a masking view shows a storage group that is not empty to a host or a group of hosts by the ports of a port group, no
initiator is shown a volume twice by the same port, and views go before the last volume of their group, volumes before
their group. What is shown appears in the SAN. Statuses are those of Dell's clients where these name them; texts of the
other refusals are plausible ones.
"""

import itertools
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.lab.san import San

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CYLINDER = 1966080
LUN_IDS = 4096
NO_SRP = "none"
IN_PROGRESS = "An auto-provisioning operation is already in progress on the array"


@dataclass
class SimVolume:
    device: str
    name: str
    cylinders: int
    wwn: str
    effective_wwn: str = ""
    """another one than its own, by SRDF/Metro or a migration"""
    status: str = "Ready"
    emulation: str = "FBA"

    @property
    def naa(self) -> str:
        return f"naa.{(self.effective_wwn or self.wwn).lower()}"


@dataclass
class SimStorageGroup:
    name: str
    srp: str = NO_SRP
    volumes: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


@dataclass
class SimPortGroup:
    name: str
    protocol: str
    """`SCSI_FC`, `iSCSI`, `NVMe_TCP`"""
    ports: list[str]
    """`FA-1D:4`"""


@dataclass
class SimInitiator:
    name: str
    """a WWPN in 16 hex digits, or an IQN; in lower case"""
    logged_in: bool = False
    hostless_at: set[str] = field(default_factory=set)
    """ports that know it from before it was in a host"""


@dataclass
class SimHost:
    name: str
    initiators: list[str]


@dataclass
class SimView:
    name: str
    host: str
    """a host, or a group of hosts"""
    port_group: str
    storage_group: str
    lun_ids: dict[str, int] = field(default_factory=dict)
    """by device"""
    settled_after: int = 0
    """how many more times its paths are asked for before there are any"""


class Failure(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


Found = TypeVar("Found")


class System:
    """What an administrator sees and does.

    May be set at any time: attributes of all objects, `settling` (`settled_after` of new views), `busy` (how many more
    changes are refused because another is in progress), `first_lun_id`.
    """

    def __init__(self, san: San) -> None:
        self.san = san
        # Other arrays on this machine have LUNs of other names: a lab's host sees the processes of all labs.
        self.id = f"000{secrets.randbelow(10**9):09d}"
        self.settling = self.busy = 0
        self.first_lun_id = 1
        self.volumes: dict[str, SimVolume] = {}
        self.storage_groups: dict[str, SimStorageGroup] = {}
        self.port_groups: dict[str, SimPortGroup] = {}
        self.initiators: dict[str, SimInitiator] = {}
        self.hosts: dict[str, SimHost] = {}
        self.host_groups: dict[str, list[str]] = {}
        self.views: dict[str, SimView] = {}
        self._devices = (f"{number:05X}" for number in itertools.count(0x1001))
        self._lock = threading.RLock()

    # Volumes and storage groups

    def add_volume(self, name: str, size: int, device: str | None = None) -> SimVolume:
        """Create a volume of whole cylinders on the array and in the SAN."""
        with self._lock:
            number = device or next(self._devices)
            wwn = f"60000970{self.id}53{number.encode().hex()}"
            volume = SimVolume(number, name, -(-size // CYLINDER), wwn)
            self.san.create_lun(volume.naa, volume.cylinders * CYLINDER, "EMC", "SYMMETRIX")
            self.volumes[number] = volume
            return volume

    def remove_volume(self, device: str) -> None:
        """Delete a volume, whatever it is in."""
        with self._lock:
            for group in self.storage_groups.values():
                if device in group.volumes:
                    group.volumes.remove(device)
            for view in self.views.values():
                view.lun_ids.pop(device, None)
            self.san.delete_lun(self.volumes.pop(device).naa)

    def add_storage_group(self, name: str, srp: str = NO_SRP) -> SimStorageGroup:
        with self._lock:
            _check_name(name)
            if name in self.storage_groups:
                raise Failure(409, f"The storage group name {name} is already in use on {self.id}")
            self.storage_groups[name] = SimStorageGroup(name, srp)
            return self.storage_groups[name]

    def remove_storage_group(self, name: str) -> None:
        with self._lock:
            group = find(self.storage_groups, name, "Storage Group")
            if self.views_of(name):
                raise Failure(500, f"The storage group {name} is associated with a masking view")
            if group.volumes or group.children or self.parents_of(name):
                raise Failure(500, f"The storage group {name} still has members, or belongs to another one")
            del self.storage_groups[name]

    def add_to_group(self, name: str, devices: Iterable[str]) -> None:
        with self._lock:
            group = find(self.storage_groups, name, "Storage Group")
            added = [find(self.volumes, device, "Volume").device for device in devices]
            if set(added) & set(group.volumes):
                raise Failure(500, f"A device is already in the storage group {name}")
            for other in self.storage_groups.values():
                if NO_SRP not in {group.srp, other.srp} and set(added) & set(other.volumes):
                    raise Failure(500, "A device cannot belong to more than one storage group in use by FAST")
            for view in self.views_above(name):
                self._check_not_masked(view, added)
            group.volumes += added
            for view in self.views_above(name):
                self._present(view)

    def remove_from_group(self, name: str, devices: Iterable[str]) -> None:
        with self._lock:
            group, gone = find(self.storage_groups, name, "Storage Group"), list(devices)
            for device in gone:
                find(self.volumes, device, "Volume")
                if device not in group.volumes:
                    raise Failure(404, f"The device {device} is not in the storage group {name}")
            if self.views_of(name) and not set(group.volumes) - set(gone):
                raise Failure(500, "The last volume cannot leave a storage group that is in a masking view")
            group.volumes = [device for device in group.volumes if device not in gone]
            for view in self.views_above(name):
                for device in gone:
                    view.lun_ids.pop(device, None)
                    self.san.unmap(self.volumes[device].naa, via=view.name)

    def views_of(self, storage_group: str) -> list[SimView]:
        return [view for view in self.views.values() if view.storage_group == storage_group]

    def parents_of(self, storage_group: str) -> list[str]:
        return [group.name for group in self.storage_groups.values() if storage_group in group.children]

    def views_above(self, storage_group: str) -> list[SimView]:
        """Return the views by which the volumes of a group are seen, by way of its parents, too."""
        return [
            view for name in (storage_group, *self.parents_of(storage_group)) for view in self.views_of(name)
        ]

    def groups_of(self, device: str) -> list[str]:
        return [name for name, group in self.storage_groups.items() if device in group.volumes]

    # Hosts and ports

    def add_port_group(self, name: str, protocol: str, ports: Iterable[str]) -> SimPortGroup:
        with self._lock:
            self.port_groups[name] = SimPortGroup(name, protocol, list(ports))
            return self.port_groups[name]

    def add_host(self, name: str, initiators: Iterable[str]) -> SimHost:
        with self._lock:
            _check_name(name)
            listed = [initiator.lower() for initiator in initiators]
            if name in self.hosts or name in self.host_groups:
                raise Failure(409, f"A host or host group with the name {name} already exists")
            if taken := [initiator for initiator in listed if self.owner(initiator)]:
                raise Failure(500, f"Initiator {taken[0]} is already in use in another Initiator Group")
            for initiator in listed:
                self.initiators.setdefault(initiator, SimInitiator(initiator))
            self.hosts[name] = SimHost(name, listed)
            return self.hosts[name]

    def remove_host(self, name: str) -> None:
        with self._lock:
            find(self.hosts, name, "Host")
            if any(view.host == name for view in self.views.values()):
                raise Failure(500, f"The host {name} is associated with a masking view")
            if any(name in members for members in self.host_groups.values()):
                raise Failure(500, f"The host {name} belongs to a host group")
            del self.hosts[name]

    def add_host_group(self, name: str, hosts: Iterable[str]) -> None:
        with self._lock:
            _check_name(name)
            self.host_groups[name] = [find(self.hosts, host, "Host").name for host in hosts]

    def log_in(self, name: str) -> None:
        """Let an initiator be logged in at all ports of its protocol."""
        self.initiators.setdefault(name, SimInitiator(name)).logged_in = True

    def owner(self, initiator: str) -> str:
        """Return the host that an initiator belongs to; empty where there is none."""
        return next((host.name for host in self.hosts.values() if initiator in host.initiators), "")

    def initiators_of(self, host: str) -> list[str]:
        """Return the initiators of a host, or of a group of hosts."""
        members = self.host_groups.get(host, [host])
        return [
            initiator
            for member in members
            if member in self.hosts
            for initiator in self.hosts[member].initiators
        ]

    def ports_for(self, initiator: str) -> list[str]:
        """Return all ports of an initiator's protocol."""
        protocol = "iSCSI" if initiator.startswith("iqn.") else "SCSI_FC"
        groups = (group.ports for group in self.port_groups.values() if group.protocol == protocol)
        return list(dict.fromkeys(port for ports in groups for port in ports))

    # Masking views

    def add_view(
        self,
        name: str,
        host: str,
        port_group: str,
        storage_group: str,
        *,
        of_hosts: bool = False,
        lun_id: int | None = None,
    ) -> SimView:
        with self._lock:
            _check_name(name)
            if name in self.views:
                raise Failure(409, f"The masking view name {name} is already in use on {self.id}")
            found = self.host_groups if of_hosts else self.hosts
            if host not in found:
                raise Failure(500, f"{'Host group' if of_hosts else 'Host'} {host} cannot be found")
            if port_group not in self.port_groups:
                raise Failure(500, f"Port group {port_group} cannot be found")
            if storage_group not in self.storage_groups:
                raise Failure(500, f"Storage group {storage_group} cannot be found")
            view = SimView(name, host, port_group, storage_group, settled_after=self.settling)
            self._check_view(view)
            self.views[name] = view
            self._present(view, self.first_lun_id if lun_id is None else lun_id)
            return view

    def remove_view(self, name: str) -> None:
        with self._lock:
            view = find(self.views, name, "Masking View")
            for device in view.lun_ids:
                self.san.unmap(self.volumes[device].naa, via=name)
            del self.views[name]

    def seers(self, view: SimView) -> list[str]:
        """Return the initiators that see volumes by a view: those of its port group's protocol."""
        ports = self.port_groups[view.port_group].ports
        return [
            initiator
            for initiator in self.initiators_of(view.host)
            if set(self.ports_for(initiator)) & set(ports)
        ]

    def shown(self, view: SimView) -> list[str]:
        """Return the devices in a view's storage group, and in those below it."""
        group = self.storage_groups[view.storage_group]
        below = (self.storage_groups[child].volumes for child in group.children)
        return list(dict.fromkeys([*group.volumes, *(device for devices in below for device in devices)]))

    def clear(self) -> None:
        """Delete everything but the port groups, whatever the rules."""
        with self._lock:
            for volume in self.volumes.values():
                self.san.delete_lun(volume.naa)
            for kept in (self.volumes, self.storage_groups, self.hosts, self.host_groups, self.views):
                kept.clear()
            self.initiators.clear()

    def _check_view(self, view: SimView) -> None:
        if not self.shown(view):
            raise Failure(500, f"The storage group {view.storage_group} has no volumes")
        wrong = [
            initiator for initiator in self.initiators_of(view.host) if initiator not in self.seers(view)
        ]
        if wrong:
            raise Failure(500, f"The protocol of initiator {wrong[0]} is not that of the director ports")
        self._check_not_masked(view, self.shown(view))

    def _check_not_masked(self, view: SimView, devices: Iterable[str]) -> None:
        for other in self.views.values():
            if other.name == view.name or not set(self.shown(other)) & set(devices):
                continue
            if set(self.seers(other)) & set(self.seers(view)) and self._share_ports(other, view):
                raise Failure(500, "A device is already masked within a view to the same initiator and port")

    def _share_ports(self, view: SimView, other: SimView) -> bool:
        return bool(
            set(self.port_groups[view.port_group].ports) & set(self.port_groups[other.port_group].ports)
        )

    def _present(self, view: SimView, first: int = 1) -> None:
        for device in self.shown(view):
            if device not in view.lun_ids:
                view.lun_ids[device] = self._free_lun_id(view, first)
            self.san.map(self.volumes[device].naa, self.seers(view), view.lun_ids[device], via=view.name)

    def _free_lun_id(self, view: SimView, first: int) -> int:
        """Return the lowest address from one on that is free at the ports of a view for all its initiators."""
        taken = {
            number
            for other in self.views.values()
            if set(self.seers(other)) & set(self.seers(view)) and self._share_ports(other, view)
            for number in other.lun_ids.values()
        }
        taken |= set(view.lun_ids.values())
        return next(number for number in range(first, LUN_IDS) if number not in taken)


def find(among: dict[str, Found], name: str, kind: str) -> Found:
    if name not in among:
        raise Failure(404, f"Could not find {kind} {name}")
    return among[name]


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Failure(400, f"{name} does not match the pattern [a-zA-Z0-9_\\-]+, or is longer than 64")
