"""A VSP as a storage array: LDEVs, and the LU paths of the host groups that its administrator has made.

The array reports an LDEV's device name only while some host group sees it. Before, it follows from that of any
other LDEV of the same resource group, which has the same array, or virtual storage machine, in it; so what is looked
for on a host is known beforehand, and each look that finds a path compares it with what the array says by then.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume
from populator.storage.copies import Backing, Copy, Progress, name_of_source
from populator.storage.looks import FRESH, LastLook
from populator.storage.repeat import Repeat
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.client import Client, Ldev, Path, unusable
from populator.storage.vendors.vantara.copies import Copies
from populator.storage.vendors.vantara.groups import Groups
from populator.storage.vendors.vantara.paths import Attempt, Paths
from populator.storage.vendors.vantara.sources import Sources
from vsphere.model import Initiator

NOW = 1.0
"""seconds for which what `find_lun` read is how the LDEV is at this moment"""
SETTLED = 2.0
"""seconds after which a path is there, if a call that was not answered has made it"""


class VantaraArray:
    """See the module."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(access, clock)
        self._clock = clock
        self._repeat = Repeat(clock)
        self._groups = Groups(self._client, names.host_groups(access.options.get("HOSTGROUP_ID_LIST", "")))
        self._paths = Paths(self._client, self._groups)
        self._sources = Sources(self._client, self._repeat)
        speed = names.copy_speed(access.options.get("COPY_SPEED", ""))
        self._copies = Copies(self._client, self._repeat, clock, speed)
        self._identified: LastLook[Ldev] = LastLook(clock)
        """by `find_lun`"""
        self._last: LastLook[Ldev] = LastLook(clock)
        self._attempts: dict[str, Attempt] = {}
        """the last one to map each LUN"""

    def info(self) -> ArrayInfo:
        """Return model and version of the microcode."""
        return ArrayInfo("Hitachi", "Vantara", *self._repeat.read(self._client.model))

    def find_lun(self, volume: Volume) -> Lun:
        """Return the LDEV of the handle, checked to be the one which the CSI driver named so, and usable."""
        place = names.place(volume)
        self._check_array(place, volume)
        ldev = self._repeat.read(partial(self._client.ldev, place.ldev))
        if not ldev.defined or (place.nickname and ldev.label != place.nickname):
            is_there = (
                f"LDEV {place.ldev} as {ldev.label or 'a volume without a label'}"
                if ldev.defined
                else "no such LDEV"
            )
            raise StorageError(
                f"{self._client.name} has {is_there}, and the volume is LDEV {place.ldev}, {place.nickname}.",
                "The PersistentVolume's own LDEV was deleted or renamed. See which one belongs to it.",
            )
        _check_usable(ldev)
        lun = Lun(str(ldev.id), names.lun_name(ldev.label, ldev.id), self._device(ldev), ldev.size)
        self._identified.note(lun, ldev)
        return lun

    def find_device(self, device: str) -> str:
        """Return the volume's name."""
        return name_of_source(self, device)

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return none: hosts are the administrator's, or stay for the next copy."""
        return ()

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return a mapping for each LU path."""
        ldev = self._identified.take(lun, NOW) or self._repeat.read(partial(self._paths.look, lun))
        self._check_device(lun, ldev)
        mappings = tuple(self._repeat.read(partial(self._paths.mapping, path)) for path in ldev.paths)
        self._last.note(lun, ldev)
        return mappings

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return the host's host groups: all those of the kind that the array sees logged in."""
        return self._repeat.read(partial(self._groups.plan, host, names.usable(initiators)))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return them; they are there and stay as they are."""
        return plan.group

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Let each of the host groups see the LDEV; where one cannot, none does."""
        self._identified.forget()
        attempt = self._paths.attempt(lun, group, self._last.take(lun, FRESH))
        self._attempts[lun.id] = attempt
        try:
            return self._repeat.write(attempt.run)
        except StorageError:
            with suppress(StorageError):
                self._repeat.write(attempt.undo)
            raise

    def unmap(
        self,
        lun: Lun,
        host: str,  # noqa: ARG002 - the array knows it by its initiators
        initiators: Collection[Initiator],
        keep: Collection[Mapping],
    ) -> None:
        """Remove all LU paths by which these initiators see the LDEV but those to keep."""
        us, kept = frozenset(initiators), {mapping.group.id for mapping in keep}
        attempt = self._attempts.get(lun.id)
        self._identified.forget()
        self._last.forget()

        def ours(path: Path) -> bool:
            initiators = self._groups.initiators_of([path.group])
            return bool(initiators & us) and not Group(str(path.group), "").within(kept)

        self._repeat.write(partial(self._paths.clear, lun, ours))
        if attempt and attempt.unsure:
            self._clock.wait(SETTLED)
            self._repeat.write(partial(self._paths.clear, lun, ours))
            attempt.unsure.clear()

    def find_source(self, backing: Backing) -> Lun:
        """Return the LDEV that a vVol or a mapped device is."""
        return self._sources.find(backing)

    def copies_onto(self, target: Lun) -> Sequence[Copy]:
        """Return the Thin Image pairs that the LDEV is the secondary volume of."""
        return self._copies.onto(target)

    def begin_copy(self, source: Lun, target: Lun) -> Copy:
        """Make a Thin Image pair of the two that is cloned, and then dissolved, by the array."""
        return self._copies.begin(source, target)

    def progress(self, copy: Copy) -> Progress:
        """Return how far the clone is; it is complete when the pair is gone."""
        return self._copies.progress(copy)

    def end_copy(self, copy: Copy) -> None:
        """Delete the pair."""
        self._copies.end(copy)

    def close(self) -> None:
        """End the session."""
        self._client.close()

    def _check_array(self, place: names.Place, volume: Volume) -> None:
        """Refuse a volume of another array: all of them have LDEVs of the same numbers."""
        identity = self._repeat.read(self._client.identity)
        if place.array not in identity:
            raise StorageError(
                f"The volume {volume.name!r} is on the array {place.array}, and {self._client.name} is {identity[0]} "
                f"(serial number {identity[1]}).",
                "Set STORAGE_HOSTNAME to the array of the volume.",
            )

    def _device(self, ldev: Ldev) -> str:
        """Return the device name that the array reports, or else will report."""
        if ldev.naa:
            return names.device(ldev.naa, ldev.id)
        if ldev.virtual in {names.UNASSIGNED, names.RESERVED} and ldev.virtual != ldev.id:
            raise StorageError(
                f"LDEV {ldev.id} has no virtual LDEV number, so no host can see it.",
                "It is of a virtual storage machine, or of a global-active device that is not complete: assign one.",
            )
        seen = self._repeat.read(partial(self._client.seen_ldev, ldev.resource_group))
        naa = names.foretold(seen.naa, seen.virtual, ldev.virtual) if seen else ""
        if not naa:
            raise StorageError(
                f"The device name of LDEV {ldev.id} cannot be foretold: {self._client.name} shows no other LDEV of "
                f"resource group {ldev.resource_group} with a name that its number is in.",
                "Give any LDEV of this resource group an LU path, such as the datastore's that is copied from.",
            )
        return names.device(naa, ldev.id)

    def _check_device(self, lun: Lun, ldev: Ldev) -> None:
        """Refuse what the array calls otherwise than was foretold: the host's device of that name is another LDEV."""
        if ldev.naa and names.device(ldev.naa, ldev.id) != lun.device:
            raise StorageError(
                f"{self._client.name} calls LDEV {ldev.id} naa.{ldev.naa}, not {lun.device}, as was foretold by other "
                "LDEVs.",
                "Nothing was written. Give the LDEV an LU path for any host, so that its name is known beforehand.",
            )


def connect(access: Access, clock: Clock) -> VantaraArray:
    """Return the driver, for the registry."""
    return VantaraArray(access, clock)


def _check_usable(ldev: Ldev) -> None:
    """Refuse what no host can see, or nobody should write to."""
    if reason := unusable(ldev):
        raise StorageError(f"LDEV {ldev.id} ({ldev.label}) {reason}.", names.CSI_HINT)
