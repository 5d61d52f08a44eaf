"""PowerFlex as a storage array: volumes of one system, and the SDCs (PowerFlex's clients) that they are mapped to.

An SDC is the host: it registered itself, and we neither make nor delete one. Whether something is mapped is what the
volume says, never what a call was answered with: a step acts, then looks. So a lost reply, an error that says that it
was done already, and a system that shows its changes late are all the same case.
"""

from collections.abc import Collection, Sequence
from functools import cached_property, partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.failures import LISTED, Refused, Unanswered, contradiction, may_be_done
from populator.storage.identity import not_here
from populator.storage.repeat import Repeat
from populator.storage.vendors.powerflex import names
from populator.storage.vendors.powerflex.client import (
    UNMAPPED,
    VOLUME_MISSING,
    Client,
    MappedHost,
    Sdc,
    System,
    VolumeRecord,
)
from populator.storage.vendors.powerflex.sdcs import Sdcs, choose
from vsphere.model import Initiator, InitiatorKind

SETTING = "POWERFLEX_SYSTEM_ID"


class PowerFlexArray:
    """The volumes of one system."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._wanted = access.options.get(SETTING, "").strip()
        if not self._wanted:
            raise StorageError(
                f"{SETTING} is missing.", "Set it to the id or the name of the PowerFlex system."
            )
        self._client = Client(access, clock)
        self._repeat = Repeat(clock)
        self._sdcs = Sdcs(lambda: self._repeat.read(partial(self._client.sdcs, self._system.id)))

    def info(self) -> ArrayInfo:
        """Return the version of the system; that of its API where the system does not say."""
        version = self._system.version or self._client.api_version
        return ArrayInfo("Dell", "PowerFlex", "", version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the volume of the handle's id, if it is on our system and has the name that the CSI driver gave it."""
        place = names.place(volume)
        self._check_system(place, volume)
        record = self._volume(place, volume)
        if place.name and record.name != place.name:
            raise StorageError(
                f"The PowerFlex volume {place.volume} is called {record.name!r}, not {place.name!r} as "
                f"PersistentVolume {volume.name} says.",
                "The volume may have been deleted, and its id given to another one. Look at both on the array.",
            )
        if record.access not in {"", "ReadWrite"}:
            raise StorageError(
                f"The PowerFlex volume {record.name} may not be written to: its access mode limit is "
                f"{record.access}.",
                "Set the volume's access mode limit to ReadWrite.",
            )
        return Lun(place.volume, record.name, names.device(self._system.id, place.volume), record.size)

    def find_device(self, device: str) -> str:
        """Return the volume's name; the device's says of which system it is."""
        volume = names.volume_in(device, self._system.id)
        try:
            if volume:
                return self._repeat.read(partial(self._client.volume, volume)).name
        except Refused as refusal:
            if refusal.code not in VOLUME_MISSING:
                raise
        raise not_here(f"The system {self._system.id}", device)

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return all mappings; the array cannot tell who made one."""
        mapped = self._repeat.read(partial(self._client.volume, lun.id)).mapped
        known = self._sdcs.by_id({host.id for host in mapped if not host.nvme})
        return tuple(mapping(host, known.get(host.id)) for host in mapped)

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the SDC that the host is, one that is connected."""
        chosen, sdc = choose(host, names.usable(initiators), self._sdcs, self._system)
        return GroupPlan(Group(sdc.id, sdc.name, (chosen,)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the SDC: there is nothing to make."""
        return plan.group

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Map the volume to the SDC; there are no LUN ids."""
        unsure = False

        def act() -> Mapping:
            nonlocal unsure
            try:
                self._client.map(lun.id, lun.name, group.id, to_hosts=self._to_hosts)
            except (Refused, Unanswered) as error:
                unsure = unsure or may_be_done(error)
                if not self._sees(lun, group.id):
                    raise
                return Mapping(group, None, unsure, None, frozenset(group.initiators))
            return Mapping(group, None, True, None, frozenset(group.initiators))

        return self._repeat.write(act)

    def unmap(
        self,
        lun: Lun,
        host: str,  # noqa: ARG002 - the SDC says who it is
        initiators: Collection[Initiator],
        keep: Collection[Mapping],
    ) -> None:
        """Take the volume away from the host's own SDCs, and from nobody else."""
        kept = {mapping.group.id for mapping in keep}
        for sdc in self._sdcs.of(initiators):
            if sdc.id not in kept:
                self._unmap(lun, sdc)

    def close(self) -> None:
        """End the session."""
        self._client.close()

    @cached_property
    def _system(self) -> System:
        """The system of the id or name that was set."""
        systems = self._repeat.read(self._client.systems)
        chosen = [system for system in systems if self._is(system, self._wanted)]
        if len(chosen) == 1:
            return chosen[0]
        listed = (
            ", ".join(f"{system.id} ({system.name})" if system.name else system.id for system in systems)
            or "none"
        )
        raise StorageError(
            f"{self._client.name} has {len(chosen) or 'no'} systems of the id or name {self._wanted!r}; it has: "
            f"{listed}.",
            f"Set {SETTING} to the id of the system on which the volumes are.",
        )

    @staticmethod
    def _is(system: System, called: str) -> bool:
        return bool(called) and (system.id.lower() == called.lower() or system.name == called)

    @property
    def _to_hosts(self) -> bool:
        component = self._system.version  # with the first call comes the API's version
        return names.is_second_generation(self._client.api_version, component)

    def _check_system(self, place: names.Place, volume: Volume) -> None:
        if place.system and not self._is(self._system, place.system):
            raise StorageError(
                f"The volume {volume.name!r} is on the PowerFlex system {place.system!r}, but we use "
                f"{self._system.id} ({self._system.name or 'without a name'}).",
                f"Set {SETTING}, and the gateway's address, to those of that system.",
            )

    def _volume(self, place: names.Place, volume: Volume) -> VolumeRecord:
        try:
            return self._repeat.read(partial(self._client.volume, place.volume))
        except Refused as refusal:
            if refusal.code not in VOLUME_MISSING:
                raise
            raise StorageError(
                f"The system {self._system.id} has no volume {place.volume}, which PersistentVolume {volume.name} "
                "names.",
                f"Look whether the volume was deleted on the array. {names.CSI_HINT}",
            ) from refusal

    def _unmap(self, lun: Lun, sdc: Sdc) -> None:
        """Unmap, again and again until the volume no longer lists the SDC."""
        said_done = False

        def act() -> None:
            nonlocal said_done
            refusal: StorageError | None = None
            try:
                self._client.unmap(lun.id, lun.name, sdc.id, to_hosts=self._to_hosts)
            except (Refused, Unanswered) as error:
                refusal = error
            said_done = said_done or refusal is None or getattr(refusal, "code", "") in UNMAPPED
            if self._sees(lun, sdc.id):
                claim = f"{lun.name} is not mapped to {sdc.name} any more"
                contradicted = contradiction(self._client.name, claim, LISTED)
                raise refusal if refusal and not said_done else contradicted

        self._repeat.write(act)

    def _sees(self, lun: Lun, sdc_id: str) -> bool:
        """Return whether the volume is mapped to an SDC; one that is gone is not."""
        try:
            mapped = self._client.volume(lun.id).mapped
        except Refused as refusal:
            if refusal.code not in VOLUME_MISSING:
                raise
            return False
        return any(host.id == sdc_id for host in mapped)


def mapping(host: MappedHost, sdc: Sdc | None) -> Mapping:
    """Return one of a volume's mappings; a host of NVMe has no initiator that we could be."""
    seen_by = frozenset([Initiator(InitiatorKind.SDC, sdc.guid)] if sdc and sdc.guid else [])
    return Mapping(Group(host.id, sdc.name if sdc else host.name), None, False, None, seen_by)


def connect(access: Access, clock: Clock) -> PowerFlexArray:
    """Return the driver, for the registry."""
    return PowerFlexArray(access, clock)
