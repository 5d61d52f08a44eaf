"""An array with the volumes that Hitachi's CSI driver made, beside a datastore that some other host sees."""

from collections.abc import Collection
from dataclasses import replace

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import Backings, CopyingLab, by_kind
from tests.lab.arrays.vantara.server import User, VantaraSimulator
from tests.lab.arrays.vantara.system import SimGroup
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USER, PASSWORD = "csi", "vantara-secret"
READER = "reader"
PORTS = {InitiatorKind.FC: "CL1-A", InitiatorKind.ISCSI: "CL5-A"}
"""the port at which hosts of a kind are"""
DATASTORE, SOMEBODY = 7, "2100000e1e000001"
VVOL, FROZEN, MAPPED = 0x2001, 0x2002, 0x2003
"""LDEVs of disks"""


class VantaraLab(CopyingLab):
    """See the module. Groups of admins and CSI drivers are host groups."""

    vendor = "vantara"

    def __init__(self, pki: Pki, san: San) -> None:
        users = {USER: User(PASSWORD), READER: User(PASSWORD, may_write=False)}
        self.simulator = VantaraSimulator(san, pki.server_context("vantara"), users)
        super().__init__(san, self.simulator.server)
        sim = self.simulator
        self.backings = Backings(
            vvol=f"naa.{sim.vvol_id(VVOL)}", frozen=f"naa.{sim.vvol_id(FROZEN)}", rdm=f"naa.{sim.naa(MAPPED)}"
        )
        self._add_datastore()

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
        label = f"spc-{number:010x}"
        ldev = self.simulator.add_ldev(label, size, naa=serial or "")
        handle = f"01--scsi--{self.simulator.device_id}--{ldev.id}--{label}"
        return Volume(f"pvc-{number}", "hspc.csi.hitachi.com", handle)

    @property
    def copy_seconds(self) -> float:
        return self.simulator.pairs.copy_seconds

    @copy_seconds.setter
    def copy_seconds(self, seconds: float) -> None:
        self.simulator.pairs.copy_seconds = seconds

    @property
    def copies(self) -> int:
        return len(self.simulator.pairs.all)

    def add_source(self, backing: str, size: int) -> str:
        """Add the LDEV of a vVol, which no host group sees, or of a mapped device, which somebody's does."""
        naa = backing.removeprefix("naa.")
        number = int(naa[-8:], 16)
        if backing == self.backings.rdm:
            self.simulator.add_ldev("rdm", size, number, naa)
            self.simulator.add_path(number, self._datastores_group)
        else:
            made = self.simulator.add_ldev("", size, number, naa)
            made.attributes = ["CVS", "HDP", "SLU"]
        return f"naa.{naa}"

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_ldev(number_of(volume))

    def contradictions(self, volume: Volume) -> list[Volume]:
        number = number_of(volume)
        other = next(key for key in self.simulator.ldevs if key not in {number, DATASTORE})
        own, foreign = f"--{number}--", f"--{other}--"
        handles = [
            volume.handle.replace(own, foreign),
            volume.handle.replace(self.simulator.device_id, "934000715011"),
            volume.handle.replace("--scsi--", "--"),
        ]
        return [replace(volume, handle=handle) for handle in handles]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self.simulator.add_group(PORTS[kind], name, [item.name for item in own])

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return the host group that has all of the initiators, made where there is none."""
        wanted = {initiator.name for initiator in initiators}
        known = (group.id for group in self.simulator.groups.values() if wanted <= set(group.initiators))
        return next(known, None) or self._add_group(name, initiators).id

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.add_path(number_of(volume), group)

    def remove_map(self, volume: Volume, group: str) -> None:
        (path,) = (path for path, _ in self.simulator.of(number_of(volume)) if path.group == group)
        self.simulator.remove_path(group, path.lun_id)

    def log_in(self, initiator: Initiator) -> None:
        self.simulator.log_in(initiator.name)

    def device(self, volume: Volume) -> str:
        return f"naa.{self.simulator.ldevs[number_of(volume)].naa}"

    def state(self) -> object:
        sim = self.simulator
        sim.settle()
        groups = sorted((group.id, group.name, *sorted(group.initiators)) for group in sim.groups.values())
        return groups, sorted((path.ldev, path.group, path.lun_id) for path in sim.paths)

    def reset(self) -> None:
        """Delete all LDEVs and host groups but the datastore's, and end all pairs and sessions."""
        self.expire_sessions()
        self.simulator.pairs.clear()
        for number in list(self.simulator.ldevs):
            self.simulator.remove_ldev(number)
        self.simulator.groups.clear()
        self.simulator.logged_in.clear()
        self._add_datastore()

    def _add_datastore(self) -> None:
        self.simulator.add_ldev("datastore", 1 << 20, DATASTORE)
        self._datastores_group = self.simulator.add_group("CL4-A", "somebody", [SOMEBODY]).id
        self.simulator.add_path(DATASTORE, self._datastores_group, 0)

    def _add_group(self, name: str, initiators: Collection[Initiator]) -> SimGroup:
        (kind,) = {initiator.kind for initiator in initiators}
        return self.simulator.add_group(PORTS[kind], name, [initiator.name for initiator in initiators])


def number_of(volume: Volume) -> int:
    """Return the number of a volume's LDEV."""
    return int(volume.handle.split("--")[3])


start = VantaraLab
"""for `tests.lab.arrays`"""
