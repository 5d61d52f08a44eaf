"""A PowerFlex gateway with one system; the CSI driver's volumes are on it, and SDCs register themselves."""

import secrets
from collections.abc import Collection
from dataclasses import replace

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab
from tests.lab.arrays.powerflex.server import PowerFlexSimulator
from tests.lab.arrays.powerflex.sessions import User
from tests.lab.arrays.powerflex.system import SimSdc, SimVolume
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USER, PASSWORD = "admin", "powerflex-secret"
READER = "monitor"


class PowerFlexLab(ArrayLab):
    """See the module."""

    vendor = "powerflex"

    def __init__(
        self, pki: Pki, san: San, api_version: str = "4.5", version: str | None = "4.5.2100.105"
    ) -> None:
        users = {USER: User(PASSWORD), READER: User(PASSWORD, writes=False)}
        self.simulator = PowerFlexSimulator(san, pki.server_context("powerflex"), users, api_version, version)
        super().__init__(san, self.simulator.server)

    @property
    def access(self) -> Access:
        options = {"POWERFLEX_SYSTEM_ID": self.simulator.system.id}
        return Access(f"127.0.0.1:{self.port}", USER, PASSWORD, options=options)

    @property
    def reader(self) -> Access:
        return replace(self.access, username=READER)

    @property
    def sessions(self) -> int:
        return len(self.simulator.logins.open)

    def expire_sessions(self) -> None:
        self.simulator.logins.expire()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        name = f"csivol-{next(self._number)}{secrets.token_hex(4)}"
        return self.describe(self.simulator.add_volume(name, size, serial or ""))

    def describe(self, volume: SimVolume) -> Volume:
        """Return a volume as the CSI driver describes it."""
        attributes = {
            "Name": volume.name,
            "StoragePoolID": f"{volume.system.id[:8]}00000000",
            "StoragePoolName": "pool1",
            "StorageSystem": volume.system.id,
            "CreationTime": "2026-01-05 08:30:00 +0000 UTC",
            "InstallationID": f"install-{volume.system.id}",
        }
        handle = f"{volume.system.id}-{volume.id}"
        return Volume(f"pv-{volume.name}", "csi-vxflexos.dellemc.com", handle, attributes)

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(self.volume(volume).id)

    def volume(self, volume: Volume) -> SimVolume:
        """Return what a PersistentVolume stands for."""
        return self.simulator.volumes[volume.handle[-16:]]

    def contradictions(self, volume: Volume) -> list[Volume]:
        others = [item for item in self.simulator.volumes.values() if item.id != volume.handle[-16:]]
        renamed = [replace(volume, attributes={**volume.attributes, "Name": item.name}) for item in others]
        moved = [replace(volume, handle=f"{item.system.id}-{item.id}") for item in others]
        elsewhere = replace(volume, handle=f"{secrets.token_hex(8)}-{volume.handle[-16:]}")
        return [*renamed, *moved, elsewhere]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        """Let the host's SDCs register, where they have not yet."""
        for initiator in sorted(initiators, key=str):
            if initiator.kind == InitiatorKind.SDC and not self.simulator.sdc_of(initiator.name):
                self.simulator.add_sdc(initiator.name, name=name)

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return the SDC that one of the initiators is, registered where there is none."""
        self.know_host(name, initiators)
        known = (self.simulator.sdc_of(initiator.name) for initiator in sorted(initiators, key=str))
        return next(sdc.id for sdc in known if sdc)

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.map(self.volume(volume), self.simulator.sdcs[group])

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.unmap(self.volume(volume), self.simulator.sdcs[group])

    def log_in(self, initiator: Initiator) -> None:
        self.sdc(initiator).connection = "Connected"

    def sdc(self, initiator: Initiator) -> SimSdc:
        """Return the SDC of a host."""
        sdc = self.simulator.sdc_of(initiator.name)
        assert sdc is not None
        return sdc

    def device(self, volume: Volume) -> str:
        return self.volume(volume).device

    def state(self) -> object:
        simulator = self.simulator
        maps = sorted(
            (volume.id, key, item.access, item.iops, item.bandwidth)
            for volume in simulator.volumes.values()
            for key, item in volume.maps.items()
        )
        return sorted((sdc.id, sdc.guid or "") for sdc in simulator.sdcs.values()), maps

    def reset(self) -> None:
        for key in list(self.simulator.volumes):
            self.simulator.remove_volume(key)
        self.simulator.sdcs.clear()


start = PowerFlexLab
"""for `tests.lab.arrays`"""
