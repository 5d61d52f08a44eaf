"""An array with the volumes that HPE's CSI driver made."""

import secrets
from collections.abc import Collection

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import Backings, CopyingLab, by_kind
from tests.lab.arrays.hpe.copying import CopyingSimulator
from tests.lab.arrays.hpe.server import User
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator

USER, PASSWORD = "csi", "hpe-secret"
READER = "reader"


class HpeLab(CopyingLab):
    """See the module. Groups of populators and admins are host sets, where the hosts are known already.

    No group of all hosts: a host object holds all initiators of a host, so who sees a LUN by such a group is a test of
    the vendor's own.
    """

    vendor = "primera3par"
    backings = Backings(
        vvol="rfc4122.0b1c2d3e-2222-4aaa-8bbb-000000000001",
        frozen="rfc4122.0b1c2d3e-2222-4aaa-8bbb-000000000002",
        rdm="naa.60002ac0000000000000186b00021f6b",
    )

    def __init__(self, pki: Pki, san: San) -> None:
        users = {USER: User(PASSWORD), READER: User(PASSWORD, "browse")}
        self.simulator = CopyingSimulator(san, pki.server_context("hpe"), users)
        super().__init__(san, self.simulator.server)
        self._own = secrets.token_hex(4)

    @property
    def access(self) -> Access:
        return Access(self.simulator.address, USER, PASSWORD)

    @property
    def reader(self) -> Access:
        return Access(self.simulator.address, READER, PASSWORD)

    @property
    def sessions(self) -> int:
        return len(self.simulator.sessions)

    def expire_sessions(self) -> None:
        self.simulator.sessions.clear()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        number = next(self._number)
        handle = f"pvc-{self._own}-0000-4000-{number // 1000:04d}-{number % 1000:03d}000000001"
        self.simulator.add_volume(handle[:31], -(-size >> 20), serial or "")
        return Volume(handle, "csi.hpe.com", handle, {"accessProtocol": "iscsi", "volumeAccessMode": "block"})

    @property
    def copy_seconds(self) -> float:
        return self.simulator.copies.seconds

    @copy_seconds.setter
    def copy_seconds(self, seconds: float) -> None:
        self.simulator.copies.seconds = seconds

    @property
    def copies(self) -> int:
        return self.simulator.copies_left

    def add_source(self, backing: str, size: int) -> str:
        """Create what vSphere calls so; that of a vVol is hidden, and both vVols can be written to."""
        name, size_mib = f"dat-{next(self._number)}", -(-size >> 20)
        if backing.startswith("naa."):
            return self.simulator.add_volume(name, size_mib, backing.removeprefix("naa.").upper()).naa
        made = self.simulator.add_volume(name, size_mib, vvol=True)
        made.uuid = backing.removeprefix("rfc4122.")
        return made.naa

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(volume.handle[:31])

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self.simulator.add_host(f"{name}-{kind}", [item.name for item in own])

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return a host set of the hosts that hold the initiators; a new host, where none does."""
        owners = {owner.name for one in initiators if (owner := self.simulator.owner(one.name))}
        if not owners:
            return self.simulator.add_host(name, [one.name for one in initiators]).name
        plain = name.replace(" ", "-")
        self.simulator.add_set(plain, sorted(owners))
        return f"set:{plain}"

    def groups(self) -> list[str]:
        made = [name for name in self.simulator.hosts if name.startswith("xcopy-")]
        return [*made, *(f"set:{name}" for name in self.simulator.sets)]

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.export(volume.handle[:31], group)

    def remove_map(self, volume: Volume, group: str) -> None:
        (one,) = (
            one for one in self.simulator.templates if (one.volume, one.host) == (volume.handle[:31], group)
        )
        self.simulator.unexport(one.volume, one.lun_id, one.host)

    def log_in(self, initiator: Initiator) -> None:
        self.simulator.log_in(initiator.name)

    def older_groups(self, host: str) -> list[str]:
        return [f"xcopy-hostsystem-{host}"]

    def names_like_ours(self) -> list[str]:
        return ["xcopy-lab-hosts", "xcopy-", "xcopy-esxs2", "xcopy-hostsystem", "xcopy-host-1234-fc"]

    def device(self, volume: Volume) -> str:
        return self.simulator.volumes[volume.handle[:31]].naa

    def state(self) -> object:
        sim = self.simulator
        hosts = sorted((one.name, one.persona, *sorted(one.initiators)) for one in sim.hosts.values())
        sets = sorted((one.name, *sorted(one.members)) for one in sim.sets.values())
        return hosts, sets, sorted((one.volume, one.via, one.lun_id) for one in sim.templates)

    def reset(self) -> None:
        sim = self.simulator
        sim.copies.reset()
        for name in list(sim.volumes):
            sim.remove_volume(name)
        sim.sets.clear()
        sim.hosts.clear()
        sim.logins.clear()


start = HpeLab
"""for `tests.lab.arrays`"""
