"""An array with the volumes that HPE's CSI driver made."""

import itertools
import secrets
from collections.abc import Collection
from typing import Self

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab
from tests.lab.arrays.hpe.server import HpeSimulator, User
from tests.lab.arrays.rest import RestServer
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USER, PASSWORD = "csi", "hpe-secret"
READER = "reader"


class HpeLab:
    """See the module. Groups of populators and admins are host sets, where the hosts are known already."""

    vendor = "primera3par"
    own_groups = False

    def __init__(self, pki: Pki, san: San) -> None:
        self.san = san
        users = {USER: User(PASSWORD), READER: User(PASSWORD, "browse")}
        self.simulator = HpeSimulator(san, pki.server_context("hpe"), users)
        self._own = secrets.token_hex(4)
        self._number = itertools.count(1)

    @property
    def access(self) -> Access:
        return Access(self.simulator.address, USER, PASSWORD)

    @property
    def reader(self) -> Access:
        return Access(self.simulator.address, READER, PASSWORD)

    @property
    def port(self) -> int:
        return self.simulator.port

    @property
    def server(self) -> RestServer:
        return self.simulator.server

    @property
    def calls(self) -> list[tuple[str, str]]:
        return self.simulator.calls

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

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(volume.handle[:31])

    def contradictions(self, volume: Volume) -> list[Volume]:
        return []

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind in InitiatorKind:
            if own := sorted(one.name for one in initiators if one.kind == kind):
                self.simulator.add_host(f"{name}-{kind}", own)

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return a host set of the hosts that hold the initiators; a new host, where none does."""
        owners = {owner.name for one in initiators if (owner := self.simulator.owner(one.name))}
        if not owners:
            return self.simulator.add_host(name, [one.name for one in initiators]).name
        self.simulator.add_set(name, sorted(owners))
        return f"set:{name}"

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

    def groups_of_all_hosts(self) -> list[str]:
        return []  # a host object holds all initiators of a host, so who sees a LUN by such a group is another test

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
        for name in list(sim.volumes):
            sim.remove_volume(name)
        sim.sets.clear()
        sim.hosts.clear()
        sim.logins.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.simulator.close()


def simulator(lab: ArrayLab) -> HpeSimulator:
    """Return what tests of HPE alone may turn and look at."""
    assert isinstance(lab, HpeLab)
    return lab.simulator


start = HpeLab
"""for `tests.lab.arrays`"""
