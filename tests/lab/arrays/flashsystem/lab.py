"""An array with the volumes that IBM's block storage CSI driver made."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import Backings, CopyingLab, by_kind
from tests.lab.arrays.flashsystem.server import FlashSystemSimulator
from tests.lab.arrays.flashsystem.sessions import MONITOR, User
from tests.lab.arrays.flashsystem.system import SimHost, SimVolume
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator

USER, PASSWORD, READER = "csi", "flashsystem-secret", "monitor"
DRIVER = "block.csi.ibm.com"


class FlashSystemLab(CopyingLab):
    """See the module. `address` is where the array listens, for clients that know one port only.

    No groups of older populators: the Go populator's hold the initiators, so they are the groups of the host, which
    the vendor's own tests have.
    No sessions are counted: the array knows no log-out, so nobody could end one.
    """

    vendor = "flashsystem"
    backings = Backings(rdm="naa.600507681097010eb000000000001f01")

    def __init__(self, pki: Pki, san: San, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        users = {USER: User(PASSWORD), READER: User(PASSWORD, MONITOR)}
        context = pki.server_context("flashsystem", address[0])
        self.simulator = FlashSystemSimulator(san, context, users, address)
        super().__init__(san, self.simulator.server)
        self.simulator.flashcopies.seconds = lambda: self.copy_seconds

    @property
    def access(self) -> Access:
        return Access(self.simulator.address, USER, PASSWORD)

    @property
    def reader(self) -> Access:
        return replace(self.access, username=READER)

    def expire_sessions(self) -> None:
        self.simulator.sessions.expire()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        name = f"pvc-{next(self._number)}"
        made = self.simulator.add_volume(f"csi_{name}", size, serial or "")
        attributes = {"volume_name": made.name, "pool_name": made.pool.name, "storage_type": "SVC"}
        return Volume(name, DRIVER, f"SVC:{made.id};{made.uid}", attributes)

    @property
    def copies(self) -> int:
        return len(self.simulator.flashcopies.all)

    def add_source(self, backing: str, size: int) -> str:
        uid = backing.removeprefix("naa.").upper()
        return self.simulator.add_volume(f"rdm-{next(self._number)}", size, uid).naa

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(self.volume(volume))

    def contradictions(self, volume: Volume) -> list[Volume]:
        mine = self.volume(volume)
        found = []
        for other in self.simulator.volumes.values():
            if other is not mine:
                found.append(replace(volume, handle=f"SVC:{other.id};{mine.uid}"))
                found.append(replace(volume, handle=f"SVC:{mine.id};{other.uid}"))
                found.append(replace(volume, attributes={**volume.attributes, "volume_name": other.name}))
        return found

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self._add_host(f"{name.replace('.', '-')}-{kind}", own)

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return the host that has the initiators, made where there is none."""
        owners = (self.simulator.owner(item.name) for item in initiators)
        return next((host.name for host in owners if host), None) or self._add_host(name, initiators).name

    def groups(self) -> list[str]:
        """Return those that a populator made: the administrator's stay for ever."""
        return [host.name for host in self.simulator.hosts.values() if host.name.startswith("xcopy-")]

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.map(self.volume(volume), self._host(group))

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.unmap(self.volume(volume), self._host(group))

    def log_in(self, initiator: Initiator) -> None:
        self.simulator.log_in(initiator.name)

    def device(self, volume: Volume) -> str:
        return self.volume(volume).naa

    def volume(self, volume: Volume) -> SimVolume:
        """Return what the array has for a volume, by the UID in its handle."""
        uid = volume.handle.rpartition(";")[2]
        return next(item for item in self.simulator.volumes.values() if item.uid == uid)

    def state(self) -> object:
        sim = self.simulator
        hosts = sorted(
            (h.name, h.cluster.name if h.cluster else "", *sorted(h.ports)) for h in sim.hosts.values()
        )
        clusters = sorted(item.name for item in sim.clusters.values())
        maps = sorted((m.volume.name, m.host.name, m.scsi_id, m.cluster is not None) for m in sim.maps)
        return hosts, clusters, maps

    def reset(self) -> None:
        self.simulator.clear()

    def _add_host(self, name: str, initiators: Iterable[Initiator]) -> SimHost:
        return self.simulator.add_host(name, sorted(item.name for item in initiators))

    def _host(self, name: str) -> SimHost:
        return next(host for host in self.simulator.hosts.values() if host.name == name)


start = FlashSystemLab
"""for `tests.lab.arrays`"""
