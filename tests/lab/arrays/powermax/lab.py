"""A PowerMax with the volumes of Dell's CSI driver, and hosts as its administrator has described them."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab, by_kind
from tests.lab.arrays.powermax.server import PowerMaxSimulator, User
from tests.lab.arrays.powermax.system import SimVolume
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator

USER, PASSWORD = "csi", "powermax-secret"
READER = "monitor"
DRIVER = "csi-powermax.dellemc.com"
CSI_GROUP = "csi-ABC-Diamond-SRP_1-SG"
FC_PORTS, ISCSI_PORTS = "esx-fc", "esx-iscsi"


class PowerMaxLab(ArrayLab):
    """See the module. A host is an object for each kind of its initiators.

    No groups of older populators, as the Go populator's names say no host.
    """

    vendor = "powermax"
    tells_ours = True

    def __init__(self, pki: Pki, san: San, /, **simulator: Any) -> None:
        """`simulator` are further arguments of the simulator."""
        users = {USER: User(PASSWORD), READER: User(PASSWORD, writes=False)}
        self.simulator = PowerMaxSimulator(san, pki.server_context("powermax"), users, **simulator)
        super().__init__(san, self.simulator.server)
        self.simulator.add_port_group(FC_PORTS, "SCSI_FC", ["FA-1D:4", "FA-2D:4"])
        self.simulator.add_port_group(ISCSI_PORTS, "iSCSI", ["SE-1E:000", "SE-2E:000"])
        self._aliases: dict[str, str] = {}
        """the hosts for which groups were added, by the names of these"""

    @property
    def access(self) -> Access:
        options = {
            "POWERMAX_SYMMETRIX_ID": self.simulator.id,
            "POWERMAX_PORT_GROUP_NAME": f"{FC_PORTS}, {ISCSI_PORTS}",
        }
        return Access(self.simulator.address, USER, PASSWORD, options=options)

    @property
    def reader(self) -> Access:
        return replace(self.access, username=READER)

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        name = f"csi-ABC-pmax-{next(self._number):010x}-ns1"
        made = self.simulator.add_volume(name, size, serial)
        if CSI_GROUP not in self.simulator.storage_groups:
            self.simulator.add_storage_group(CSI_GROUP, "SRP_1")
        self.simulator.add_to_group(CSI_GROUP, [made.device])
        return self.describe(made)

    def describe(self, volume: SimVolume) -> Volume:
        """Return a volume as the CSI driver describes it."""
        attributes = {
            "powermax/SYMID": self.simulator.id,
            "ServiceLevel": "Diamond",
            "SRP": "SRP_1",
            "StorageGroup": CSI_GROUP,
            "CapacityGB": "0.00",
            "CreationTime": "20260105083000",
        }
        handle = f"{volume.name}-{self.simulator.id}-{volume.device}"
        return Volume(f"pv-{volume.name.lower()}", DRIVER, handle, attributes)

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(self.volume(volume).device)

    def volume(self, volume: Volume) -> SimVolume:
        """Return what a PersistentVolume stands for."""
        return self.simulator.volumes[volume.handle[-5:]]

    def contradictions(self, volume: Volume) -> list[Volume]:
        own = self.volume(volume)
        others = [other for other in self.simulator.volumes.values() if other is not own]
        renamed = [f"{other.name}-{self.simulator.id}-{own.device}" for other in others]
        renumbered = [f"{own.name}-{self.simulator.id}-{other.device}" for other in others]
        elsewhere = f"{own.name}-999999999999-{own.device}"
        return [replace(volume, handle=handle) for handle in (*renamed, *renumbered, elsewhere)]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self.simulator.add_host(f"{name.replace('.', '-')}-{kind}", [item.name for item in own])

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return the name of views to come, of the host that has the initiators; a new one where none has."""
        first = min(initiator.name for initiator in initiators)
        self._aliases[name] = (
            self.simulator.owner(first)
            or self.simulator.add_host(name, sorted(initiator.name for initiator in initiators)).name
        )
        return name

    def groups(self) -> list[str]:
        """Return what a populator made, or a test: hosts stay for ever."""
        return [name for name in self.simulator.storage_groups if name != CSI_GROUP]

    def add_map(self, volume: Volume, group: str) -> None:
        sim, host = self.simulator, self._aliases[group]
        if group not in sim.storage_groups:
            sim.add_storage_group(group)
        sim.add_to_group(group, [self.volume(volume).device])
        if group not in sim.views:
            by_iscsi = sim.hosts[host].initiators[0].startswith("iqn.")
            sim.add_view(group, host, ISCSI_PORTS if by_iscsi else FC_PORTS, group)

    def remove_map(self, volume: Volume, group: str) -> None:
        sim, device = self.simulator, self.volume(volume).device
        if sim.storage_groups[group].volumes != [device]:
            return sim.remove_from_group(group, [device])
        sim.remove_view(group)
        sim.remove_from_group(group, [device])
        return sim.remove_storage_group(group)

    def log_in(self, initiator: Initiator) -> None:
        self.simulator.log_in(initiator.name)

    def names_like_ours(self) -> list[str]:
        return [
            "xcopy-vms",
            "xcopy-hostsystem-",
            "xcopy-hostsystem-host-1234",
            "xcopy-0123456",
            "xcopy-0123456g",
        ]

    def device(self, volume: Volume) -> str:
        return self.volume(volume).naa

    def state(self) -> object:
        sim = self.simulator
        hosts = sorted((host.name, *sorted(host.initiators)) for host in sim.hosts.values())
        groups = sorted(
            (group.name, group.srp, *sorted(group.volumes)) for group in sim.storage_groups.values()
        )
        views = sorted(
            (view.name, view.host, view.port_group, view.storage_group, *sorted(view.lun_ids.items()))
            for view in sim.views.values()
        )
        return hosts, groups, views

    def reset(self) -> None:
        self.simulator.clear()


start = PowerMaxLab
"""for `tests.lab.arrays`"""
