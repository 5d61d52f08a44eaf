"""ONTAP with two SVMs; Trident's volumes are on the first."""

import re
from collections.abc import Collection
from dataclasses import replace

from populator.storage.access import Access
from populator.storage.array import Volume
from tests.lab.arrays import ArrayLab
from tests.lab.arrays.ontap.cluster import NAA_PREFIX
from tests.lab.arrays.ontap.server import OntapSimulator, User
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

USER, READER, PASSWORD = "admin", "reader", "ontap-secret"
SVM = "svm1"


class OntapLab(ArrayLab):
    """See the module."""

    vendor = "ontap"
    own_groups = tells_ours = True

    def __init__(self, pki: Pki, san: San) -> None:
        users = {USER: User(PASSWORD), READER: User(PASSWORD, readonly=True)}
        self.simulator = OntapSimulator(san, pki.server_context("ontap"), users, svms=(SVM, "svm2"))
        super().__init__(san, self.simulator.server)
        self._luns: dict[str, str] = {}
        self._datastores: set[str] = set()

    @property
    def access(self) -> Access:
        return Access(self.simulator.address, USER, PASSWORD, options={"ONTAP_SVM": SVM})

    @property
    def reader(self) -> Access:
        return replace(self.access, username=READER)

    def add_volume(self, size: int = 1 << 20, serial: str | None = None) -> Volume:
        name = f"pvc-{next(self._number)}"
        internal = f"trident_{name.replace('-', '_')}"
        for lun in [lun for lun in self.simulator.luns.values() if lun.serial == serial]:  # a datastore's
            self.simulator.remove_lun(lun.uuid)
        self._luns[name] = self.simulator.add_lun(f"/vol/{internal}/lun0", SVM, size, serial)
        attributes = {"internalName": internal, "protocol": "block", "backendUUID": "b-1", "name": name}
        return Volume(name, "csi.trident.netapp.io", name, attributes)

    def remove_volume(self, volume: Volume) -> None:
        self.simulator.remove_lun(self.uuid(volume))

    def add_group(self, name: str, initiators: Collection[Initiator]) -> str:
        return self.simulator.add_group(name, SVM, sorted(initiator.name for initiator in initiators))

    def groups(self) -> list[str]:
        return [group.name for group in self.simulator.groups.values()]

    def add_map(self, volume: Volume, group: str) -> None:
        self.simulator.add_map(self.uuid(volume), group)

    def remove_map(self, volume: Volume, group: str) -> None:
        self.simulator.remove_map(self.uuid(volume), group)

    def log_in(self, initiator: Initiator) -> None:
        name = initiator.name
        wwpn = initiator.kind == InitiatorKind.FC
        self.simulator.log_in(SVM, ":".join(re.findall("..", name)) if wwpn else name)

    def older_groups(self, host: str) -> list[str]:
        return [f"xcopy-hostsystem-{host}", f"xcopy-hostsystem-{host}-mixed"]

    def groups_of_all_hosts(self) -> list[str]:
        return ["xcopy-esxs", "xcopy-esxs-iscsi"]

    def names_like_ours(self) -> list[str]:
        return ["xcopy-lab-hosts", "xcopy-", "xcopy-esxs2", "xcopy-hostsystem"]

    def device(self, volume: Volume) -> str:
        return self.simulator.luns[self.uuid(volume)].naa

    def uuid(self, volume: Volume) -> str:
        """Return the array's key of a volume's LUN."""
        return self._luns[volume.name]

    def state(self) -> object:
        groups = sorted((g.svm.name, g.name, *sorted(g.initiators)) for g in self.simulator.groups.values())
        maps = sorted((m.lun.path, m.group.name, m.lun_id) for m in self.simulator.maps)
        return groups, maps

    def add_datastore(self, device: str) -> None:
        if device.startswith(NAA_PREFIX):
            serial = bytes.fromhex(device.removeprefix(NAA_PREFIX)).decode()
            self.simulator.add_lun(f"/vol/vmfs_{serial[-1]}/lun0", SVM, 1 << 20, serial)
            self._datastores.add(device)

    def reset(self) -> None:
        for lun in list(self.simulator.luns):
            self.simulator.remove_lun(lun)
        for device in self._datastores:
            self.add_datastore(device)
        for group in list(self.simulator.groups):
            self.simulator.remove_group(group)
        self.simulator.logins.clear()


start = OntapLab
"""for `tests.lab.arrays`"""
