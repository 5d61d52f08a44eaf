"""A PowerMax as a storage array: its volumes, and the masking views by which hosts see them.

The host object is the administrator's; whose a mapping is, and for which host, says the name of its view.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.access import Access
from populator.storage.address import with_port
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.failures import Refused
from populator.storage.identity import OutOfSight, not_here
from populator.storage.looks import FRESH, LastLook
from populator.storage.repeat import Repeat
from populator.storage.vendors.powermax import names, volumes
from populator.storage.vendors.powermax.client import Client
from populator.storage.vendors.powermax.hosts import Hosts
from populator.storage.vendors.powermax.views import Look, Sight, Views
from vsphere.model import Initiator

PORT = 8443


class PowerMaxArray:
    """One array, by the Unisphere that manages it."""

    def __init__(self, access: Access, clock: Clock) -> None:
        array, port_groups = names.array_id(access.options), names.port_groups(access.options)
        where = replace(access, hostname=with_port(access.hostname, PORT))
        self._client = Client(where, clock, array)
        self._repeat = Repeat(clock)
        self._hosts = Hosts(self._client, port_groups)
        self._views = Views(self._client, clock)
        self._last: LastLook[Look] = LastLook(clock)
        self._looks: dict[str, Look] = {}
        """the last one at each volume, however old"""

    def info(self) -> ArrayInfo:
        """Return model and microcode; empty where the user may not ask for them."""
        model, version = "", ""
        try:
            model, version = self._repeat.read(self._client.model)
        except Refused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise StorageError(
                    f"{self._client.name}: this Unisphere knows no such array.",
                    f"Correct {names.SYMMETRIX_ID}, or set STORAGE_HOSTNAME to the array's Unisphere.",
                ) from error
            if error.passing or error.status == HTTPStatus.UNAUTHORIZED:
                raise
        return ArrayInfo("Dell", "PowerMax", model, version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume, looked for by its number and checked by its name."""
        place = names.place(volume)
        device = volumes.here(place, self._client.array, self._client.name)
        record = self._repeat.read(partial(self._client.volume, device))
        return volumes.usable(record, device, place.name, self._client.name)

    def find_device(self, device: str) -> str:
        """Return the volume's name or number; the halves of a metro volume may be seen by the other array's name."""
        found = self._repeat.read(partial(self._client.volumes_with, device.removeprefix("naa.")))
        if not found:
            raise not_here(self._client.name, device, OutOfSight)
        return found[0]

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return the masking views whose names say so, and for which volume."""
        found = self._repeat.read(self._client.views)
        return tuple(
            OwnGroup(view, view, names.host_of(view, device), (device,))
            for view in found
            if names.host_of(view, device := view.rpartition("-")[2])
        )

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return a mapping for each masking view that shows the volume."""
        return tuple(_mapping(sight, lun.id) for sight in self._look(lun).sights)

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host object that has the initiators."""
        return self._repeat.read(partial(self._hosts.plan, host, names.usable(initiators)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the host object, which is there and stays as it is."""
        return plan.group

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Show the volume to the host, by a storage group and a masking view for the two of them."""
        port_group = self._repeat.read(lambda: self._hosts.port_groups)[group.initiators[0].kind]
        sight = self._repeat.write_by(
            self._last.take(lun, FRESH),
            look_again=lambda: None,  # that is done by `show`
            act=partial(self._views.show, lun, group, port_group),
        )
        mapping = _mapping(sight, lun.id)
        if mapping.lun_id is not None and mapping.lun_id not in lun_ids.SEEN:
            raise lun_ids.unseen(
                f"{lun.name} has the LUN id {mapping.lun_id} in the masking view {mapping.group.name}",
                "Remove unused volumes from the masking views of this host, so that low LUN ids are free.",
            )
        return mapping

    def unmap(
        self,
        lun: Lun,
        host: str,
        initiators: Collection[Initiator],
        keep: Collection[Mapping],  # noqa: ARG002 - the names of views say which are ours
    ) -> None:
        """Remove our view of the host, known by its name, and the Go populator's that show the volume to it alone."""
        self._last.forget()
        own, us = names.own(host, lun.id), frozenset(initiators)

        def remove_others() -> None:
            look = self._looks.get(lun.id) or self._look(lun)
            for sight in look.sights:
                alone = bool(sight.initiators) and sight.initiators <= us
                if alone and names.is_of_go(sight.view, sight.storage_group):
                    self._views.remove(sight.view, sight.storage_group, lun.id)

        self._repeat.write_all([partial(self._views.remove, own, own, lun.id), remove_others])

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _look(self, lun: Lun) -> Look:
        look = self._repeat.read(partial(self._views.look, lun))
        self._looks[lun.id] = look
        self._last.note(lun, look)
        return look


def connect(access: Access, clock: Clock) -> PowerMaxArray:
    """Return the driver, for the registry."""
    return PowerMaxArray(access, clock)


def _mapping(sight: Sight, device: str) -> Mapping:
    """Return a view as a mapping; its id cannot be that of a host object, which may have the same name."""
    ours = names.is_ours(sight.view, sight.storage_group, device)
    group = Group(f"maskingview/{sight.view}", sight.view)
    return Mapping(group, sight.lun_id, ours, names.host_of(sight.view, device), sight.initiators)
