"""A FlashArray with a Portworx cluster's volumes: of three in a row the second is in a pod, the third in a realm."""

import re
from collections.abc import Collection

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import Backings, CopyingLab, by_kind
from tests.lab.arrays.pure.flasharray import OUI, SimVolume
from tests.lab.arrays.pure.rest_one import User
from tests.lab.arrays.pure.server import PureSimulator
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USERS = {
    "admin": User("pure-secret", "11111111-aaaa-4bbb-8ccc-222222222222"),
    "reader": User("reader-secret", "33333333-aaaa-4bbb-8ccc-444444444444", may_write=False),
}
PREFIX = "px_12345678"
PLACES = ("", "pod-1::", "realm-1::pod-1::")


class PureLab(CopyingLab):
    """See the module."""

    vendor = "pureFlashArray"
    backings = Backings(
        vvol="rfc4122.0b1c2d3e-1111-4aaa-8bbb-000000000001",
        frozen="rfc4122.0b1c2d3e-1111-4aaa-8bbb-000000000002",
        rdm=f"naa.{OUI}9714b5cb91634c240002f001",
    )

    def __init__(self, pki: Pki, san: San) -> None:
        self.simulator = PureSimulator(san, pki.server_context("pure"), dict(USERS))
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
        return len(self.simulator.sessions) + len(self.simulator.old.sessions)

    def expire_sessions(self) -> None:
        self.simulator.sessions.clear()
        self.simulator.old.sessions.clear()

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        number = next(self._number)
        name = f"pvc-{number}"
        place = PLACES[(number - 1) % len(PLACES)]
        self._made[name] = self.simulator.add_volume(f"{place}{PREFIX}-{name}", size, serial)
        return Volume(
            name, "pxd.portworx.com", f"{1093275463785672800 + number}", {"attached": "ATTACH_STATE"}
        )

    def add_source(self, backing: str, size: int) -> str:
        serial = backing.removeprefix(f"naa.{OUI}").upper() if backing.startswith("naa.") else None
        made = self.simulator.add_volume(f"vvol-vm-{next(self._number)}/Data-0001", size, serial)
        if serial is None:
            self.simulator.tags[backing] = made.id
        return made.naa

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_volume(self.volume(volume).id)

    def contradictions(self, volume: Volume) -> list[Volume]:
        others = [made.id for name, made in self._made.items() if name != volume.name]
        return [Volume(volume.name, volume.driver, key, volume.attributes) for key in others]

    def know_host(self, name: str, initiators: Collection[Initiator]) -> None:
        for kind, own in by_kind(initiators):
            self._add_host(f"{name.replace('.', '-')}-{kind}", own)

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        """Return the host that has the initiators, made where there is none."""
        wanted = {initiator.name for initiator in initiators}
        known = (host.name for host in self.simulator.hosts.values() if wanted <= set(host.initiators))
        return next(known, None) or self._add_host(name, initiators)

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.connect(self.volume(volume), group)

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.disconnect(self.volume(volume), group)

    def log_in(self, initiator: Initiator) -> None:
        for host in self.simulator.hosts.values():
            if initiator.name in host.initiators:
                host.logged_in.add(initiator.name)

    def device(self, volume: Volume) -> str:
        return self.volume(volume).naa

    def volume(self, volume: Volume) -> SimVolume:
        """Return what the array has for a volume."""
        return self._made[volume.name]

    def state(self) -> object:
        hosts = sorted((host.name, *sorted(host.initiators)) for host in self.simulator.hosts.values())
        connections = sorted(
            (item.volume.name, item.host, item.group, item.lun or 0) for item in self.simulator.connections
        )
        return hosts, connections

    def reset(self) -> None:
        """Delete all volumes, hosts and host groups, and end all sessions."""
        self.expire_sessions()
        for key in list(self.simulator.volumes):
            self.simulator.remove_volume(key)
        self._made.clear()
        self.simulator.copied.clear()
        self.simulator.keeps_size = False
        self.simulator.hosts.clear()
        self.simulator.groups.clear()

    def _access(self, user: str) -> Access:
        token = self.simulator.users[user].token
        return Access(self.simulator.address, token=token, options={"PURE_CLUSTER_PREFIX": PREFIX})

    def _add_host(self, name: str, initiators: Collection[Initiator]) -> str:
        iqns = [initiator.name for initiator in initiators if initiator.kind == InitiatorKind.ISCSI]
        wwns = [
            ":".join(re.findall("..", initiator.name.upper()))
            for initiator in initiators
            if initiator.kind == InitiatorKind.FC
        ]
        return self.simulator.add_host(name, iqns, wwns).name


start = PureLab
"""for `tests.lab.arrays`"""
