"""A FlashArray as a storage array: volumes, and connections of the hosts that its administrator has described.

An initiator belongs to one host there, and a host to at most one host group; so the host is used as it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.copies import Backing, Copy, Progress, name_of_source
from populator.storage.repeat import Repeat
from populator.storage.vendors.pure import names, volumes
from populator.storage.vendors.pure.client import Client, HostRecord
from populator.storage.vendors.pure.connections import NVME_HINT, Connections
from populator.storage.vendors.pure.copies import COMPLETE, Copies
from vsphere.model import Initiator


class PureArray:
    """One FlashArray."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(replace(access, username="", password="") if access.token else access, clock)
        self._connections = Connections(self._client)
        self._repeat = Repeat(clock)
        self._copies = Copies(self._client, self._repeat)
        self._prefix = access.options.get("PURE_CLUSTER_PREFIX", "").strip()

    def info(self) -> ArrayInfo:
        """Return model and version as far as the user may read them."""
        # Else a log-in that fails would look like missing rights below.
        self._repeat.read(self._client.let_in)
        _, version = self._repeat.read_if_allowed(self._client.array) or ("", "")
        model = self._repeat.read_if_allowed(self._client.model) or ""
        return ArrayInfo("Pure Storage", "FlashArray", model, version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume's LUN, looked for in one call by all that the volume says of its id and its names."""
        wanted = names.wanted(volume, self._prefix)
        self._check_array(volume)
        records = self._repeat.read(partial(self._client.volumes, wanted.query))
        return volumes.usable(volumes.choose(records, wanted, self._client.name), wanted)

    def find_device(self, device: str) -> str:
        """Return the volume's name."""
        return name_of_source(self, device)

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return all connections; whose one is, the array cannot tell."""
        return tuple(map(self._connections.mapping, self._repeat.read(partial(self._connections.of, lun))))

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host on the array: the first that is logged in, else the first, in the initiators' order."""
        usable = names.usable(initiators)
        hosts = self._repeat.read(partial(self._connections.hosts_with, usable))
        owners = [(initiator, self._owner(initiator, hosts)) for initiator in usable]
        owned = [(initiator, owner) for initiator, owner in owners if owner]
        if not owned:
            raise StorageError(
                f"{self._client.name} knows no host with any of {names.listed(usable)}.",
                f"Describe the ESXi host {host} on the array with its adapters.",
            )
        first, owner = next((pair for pair in owned if pair[1].connected), owned[0])
        mine = (
            initiator
            for initiator in usable
            if initiator.kind == first.kind and initiator in owner.initiators
        )
        return GroupPlan(Group(owner.name, owner.name, tuple(mine)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the host, which is there and stays as it is."""
        return plan.group

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Connect the volume to the host."""
        mapping = self._repeat.write(partial(self._connections.connect, lun, group))
        if mapping.lun_id is None:
            raise StorageError(
                f"{lun.name} is connected to the host {group.name} by NVMe, without a LUN id.", NVME_HINT
            )
        if mapping.lun_id not in lun_ids.SEEN:
            raise lun_ids.unseen(
                f"{lun.name} got the LUN id {mapping.lun_id} on the host {group.name}",
                "Disconnect unused volumes from this host, so that low LUN ids are free.",
            )
        return mapping

    def unmap(
        self,
        lun: Lun,
        host: str,  # noqa: ARG002 - the array knows it by its initiators
        initiators: Collection[Initiator],
        keep: Collection[Mapping],
    ) -> None:
        """Disconnect the volume from all hosts of these initiators but those to keep."""
        kept = {mapping.group.id for mapping in keep}
        self._repeat.write(partial(self._connections.disconnect, lun, frozenset(initiators), kept))

    def find_source(self, backing: Backing) -> Lun:
        """Return the volume that a vVol or a mapped device is."""
        return self._copies.find_source(backing)

    def copies_onto(self, target: Lun) -> Sequence[Copy]:
        """Return none: this array copies at once."""
        return self._copies.copies_onto(target)

    def begin_copy(self, source: Lun, target: Lun) -> Copy:
        """Copy."""
        return self._copies.begin(source, target)

    def progress(self, copy: Copy) -> Progress:  # noqa: ARG002 - it was complete when it was begun
        """Return that it is complete."""
        return COMPLETE

    def end_copy(self, copy: Copy) -> None:
        """Do nothing: it has come to its end."""

    def close(self) -> None:
        """End the session."""
        self._client.close()

    def _check_array(self, volume: Volume) -> None:
        """Refuse a volume that was imported from another array: a name may be there on both."""
        wanted = volume.annotations.get(names.ON_ARRAY, "")
        if not wanted:
            return
        array_id, _ = self._repeat.read(self._client.array)
        if array_id != wanted:
            raise StorageError(
                f"The volume {volume.name!r} is on the array {wanted}, and {self._client.name} is {array_id}.",
                "Set STORAGE_HOSTNAME to the array that the volume is on.",
            )

    def _owner(self, initiator: Initiator, hosts: Sequence[HostRecord]) -> HostRecord | None:
        owners = [host for host in hosts if initiator in host.initiators]
        if len(owners) > 1:
            raise StorageError(
                f"{self._client.name} shows {names.spelled(initiator)} in several hosts: "
                f"{', '.join(sorted(host.name for host in owners))}.",
                "Leave it in the one that is the ESXi host.",
            )
        return owners[0] if owners else None


def connect(access: Access, clock: Clock) -> PureArray:
    """Return the driver, for the registry."""
    return PureArray(access, clock)
