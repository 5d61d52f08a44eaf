"""An InfiniBox with volumes of Infinidat's CSI driver: every other one by iSCSI, the first by Fibre Channel."""

from collections.abc import Collection
from dataclasses import replace

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab, by_kind
from tests.lab.arrays.infinibox.server import InfiniBoxSimulator, User
from tests.lab.arrays.infinibox.system import SimVolume
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USERS = {"admin": User("ibox-secret"), "reader": User("reader-secret", "READ_ONLY")}


class InfiniBoxLab(ArrayLab):
    """See the module."""

    vendor = "infinibox"

    def __init__(self, pki: Pki, san: San) -> None:
        self.simulator = InfiniBoxSimulator(san, pki.server_context("infinibox"), dict(USERS))
        super().__init__(san, self.simulator.server)
        self._made: dict[str, SimVolume] = {}
        """by the PersistentVolume's name"""

    @property
    def access(self) -> Access:
        return self._access("admin")

    @property
    def reader(self) -> Access:
        return self._access("reader")

    @property
    def sessions(self) -> int:
        return len(self.simulator.sessions)

    def expire_sessions(self) -> None:
        self.simulator.sessions.clear()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        number = next(self._number)
        name = f"csi-{number:010d}"
        made = self.simulator.add_volume(name, size, serial)
        protocol = "fc" if number % 2 else "iscsi"
        self._made[f"pvc-{number}"] = made
        attributes = {"ID": str(made.id), "Name": name, "pool_name": "pool", "storage_protocol": protocol}
        return Volume(f"pvc-{number}", "infinibox-csi-driver", f"{made.id}$${protocol}", attributes)

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(self.volume(volume).id)

    def contradictions(self, volume: Volume) -> list[Volume]:
        others = [made for name, made in self._made.items() if name != volume.name]
        return [
            changed
            for other in others
            for changed in (
                replace(volume, attributes={**volume.attributes, "Name": other.name}),
                replace(volume, attributes={**volume.attributes, "ID": str(other.id)}),
                replace(volume, handle=f"{other.id}$$fc"),
                replace(volume, handle=f"{other.id}$$fc", attributes={"Name": volume.attributes["Name"]}),
            )
        ]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self.simulator.add_host(f"{name}-{kind}", ports(own))

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return the host that has the initiators, made where there is none."""
        wanted = {initiator.name for initiator in initiators}
        for host in self.simulator.hosts.values():
            if wanted <= set(host.initiators):
                return host.name
        return self.simulator.add_host(name, ports(initiators)).name

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.map(self.volume(volume), self.simulator.host_named(group).id)

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.unmap(self.simulator.host_named(group).id, 0, volume=self.volume(volume).id)

    def log_in(self, initiator: Initiator) -> None:
        self.simulator.logged_in.add(initiator.name)

    def device(self, volume: Volume) -> str:
        return self.volume(volume).naa

    def volume(self, volume: Volume) -> SimVolume:
        """Return what the array has for a volume."""
        return self._made[volume.name]

    def state(self) -> object:
        sim = self.simulator
        hosts = sorted((host.name, host.cluster, *sorted(host.initiators)) for host in sim.hosts.values())
        return hosts, sorted((item.volume.name, item.host, item.cluster, item.lun) for item in sim.luns)

    def reset(self) -> None:
        """Delete all volumes, hosts and clusters, and let nobody be logged in."""
        self.expire_sessions()
        for key in list(self.simulator.volumes):
            self.simulator.remove_volume(key)
        self._made.clear()
        self.simulator.hosts.clear()
        self.simulator.clusters.clear()
        self.simulator.logged_in.clear()

    def _access(self, user: str) -> Access:
        return Access(self.simulator.address, username=user, password=self.simulator.users[user].password)


def ports(initiators: Collection[Initiator]) -> list[tuple[str, str]]:
    """Return initiators as a host's ports, in the array's own form."""
    types = {InitiatorKind.FC: "FC", InitiatorKind.ISCSI: "ISCSI"}
    return [(types[initiator.kind], initiator.name) for initiator in initiators]


start = InfiniBoxLab
"""for `tests.lab.arrays`"""
