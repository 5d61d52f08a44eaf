"""PowerStore with the volumes of Dell's CSI driver, and hosts as its administrator has registered them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab, by_kind
from tests.lab.arrays.powerstore.cluster import SimHost
from tests.lab.arrays.powerstore.server import PowerStoreSimulator
from tests.lab.arrays.powerstore.sessions import OPERATOR, User
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USER, PASSWORD = "admin", "powerstore-secret"
READER = "reader"
DRIVER = "csi-powerstore.dellemc.com"


class PowerStoreLab(ArrayLab):
    """See the module. `know_host` describes a host as an object for each kind of its initiators."""

    vendor = "powerstore"

    def __init__(self, pki: Pki, san: San) -> None:
        users = {USER: User(PASSWORD), READER: User(PASSWORD, OPERATOR)}
        self.simulator = PowerStoreSimulator(san, pki.server_context("powerstore"), users)
        super().__init__(san, self.simulator.server)
        self._volumes: dict[str, str] = {}

    @property
    def access(self) -> Access:
        return Access(self.simulator.address, USER, PASSWORD)

    @property
    def reader(self) -> Access:
        return replace(self.access, username=READER)

    @property
    def sessions(self) -> int:
        return len(self.simulator.sessions.open)

    def expire_sessions(self) -> None:
        self.simulator.sessions.open.clear()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        name = f"pvc-{next(self._number)}"
        on_array = f"csivol-{name}"
        key = self._volumes[name] = self.simulator.add_volume(on_array, size, serial)
        handle = f"{key}/{self.simulator.global_id}/scsi"
        attributes = {"Name": on_array, "arrayID": self.simulator.global_id, "Protocol": "scsi"}
        return Volume(name, DRIVER, handle, attributes)

    def remove_volume(self, volume: Volume) -> None:
        record = self.simulator.volume(self.key(volume))
        for item in self.simulator.mappings_of(record):
            self.simulator.detach(item.target, record.id)
        self.simulator.remove_volume(record.id)

    def contradictions(self, volume: Volume) -> list[Volume]:
        key = self.key(volume)
        others = [item.name for item in self.simulator.volumes.values() if item.id != key]
        return [replace(volume, attributes={**volume.attributes, "Name": name}) for name in others]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self._add_host(f"{name}-{kind}", own, "ESXi")

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        wanted = {initiator.name for initiator in initiators}
        for host in self.simulator.hosts.values():
            if wanted <= {port.in_san for port in host.ports}:
                return host.id
        return self._add_host(name, initiators, "Linux")

    def groups(self) -> list[str]:
        """Return those that a populator made: the administrator's stay for ever."""
        return [host.name for host in self.simulator.hosts.values() if host.name.startswith("xcopy-")]

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.attach(self._host(group), self.key(volume))

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.detach(self._host(group), self.key(volume))

    def log_in(self, initiator: Initiator) -> None:
        self.simulator.log_in(*port_of(initiator))

    def device(self, volume: Volume) -> str:
        return self.simulator.volumes[self.key(volume)].wwn

    def key(self, volume: Volume) -> str:
        """Return the array's id of a volume."""
        return self._volumes[volume.name]

    def state(self) -> object:
        sim = self.simulator
        hosts = sorted((h.name, h.group.name if h.group else "", *ports(h)) for h in sim.hosts.values())
        groups = sorted(group.name for group in sim.host_groups.values())
        return hosts, groups, sorted((m.volume.name, m.target.name, m.lun_id) for m in sim.mappings)

    def reset(self) -> None:
        self.simulator.clear()

    def _add_host(self, name: str, initiators: Iterable[Initiator], os_type: str) -> str:
        return self.simulator.add_host(name, os_type, map(port_of, sorted(initiators, key=str)))

    def _host(self, key: str) -> SimHost:
        return self.simulator.host(key)


def port_of(initiator: Initiator) -> tuple[str, str]:
    """Return name and type of an initiator as an administrator enters them."""
    if initiator.kind == InitiatorKind.FC:
        return ":".join(re.findall("..", initiator.name)), "FC"
    return initiator.name, "iSCSI"


def ports(host: SimHost) -> list[str]:
    """Return a host's initiators as the SAN knows them."""
    return sorted(port.in_san for port in host.ports)


start = PowerStoreLab
"""for `tests.lab.arrays`"""
