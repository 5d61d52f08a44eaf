"""ONTAP as a storage array: LUNs and igroups of one SVM.

Several populators share one igroup for each host, on purpose: it appears, grows and goes under our feet. So a
step acts on what it saw, and looks again when the array refuses or nobody answers: what somebody else did, or
our own call whose answer was lost, is found there instead of being done twice.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.access import Access
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, Mapping, OwnGroup, Volume, seen_by
from populator.storage.failures import LISTED, UNLISTED, Refused, Unanswered, contradiction, passing
from populator.storage.identity import OutOfSight, not_here
from populator.storage.looks import LastLook
from populator.storage.own_names import OURS
from populator.storage.repeat import ROUNDS, Repeat, do_all
from populator.storage.vendors.ontap import names
from populator.storage.vendors.ontap.client import Client
from populator.storage.vendors.ontap.igroups import Igroups
from populator.storage.vendors.ontap.records import LunMap, LunRecord, Svm
from vsphere.model import Initiator


class OntapArray:
    """The LUNs of one SVM."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._client = Client(access, clock)
        self._repeat = Repeat(clock)
        self._svm_name = access.options.get("ONTAP_SVM", "").strip()
        self._igroups = Igroups(self._client, self._repeat, lambda: self._svm)
        self._last: LastLook[list[LunMap]] = LastLook(clock)
        self._made: set[tuple[str, str]] = set()
        """the uuids of LUN and igroup of each map that this run has"""

    def info(self) -> ArrayInfo:
        """Return model and version as far as the credentials may read them: an SVM's may not."""
        _ = self._svm  # wrong credentials show here, once, instead of looking like missing rights below
        nodes = self._repeat.read_if_allowed(self._client.nodes) or []
        versions = sorted((version for _, version in nodes if version), key=_ordinal)
        version = versions[0] if versions else self._repeat.read_if_allowed(self._client.version) or ""
        return ArrayInfo("NetApp", "ONTAP", nodes[0][0] if nodes else "", version)

    def find_lun(self, volume: Volume) -> Lun:
        """Return the LUN that Trident made for the volume, checked to be one that can be mapped."""
        place = names.place(volume)
        if place.svm and place.svm != self._svm.name:
            raise StorageError(
                f"The volume {volume.name!r} is on the SVM {place.svm!r}, but we use {self._svm.name!r}.",
                f"Set ONTAP_SVM to {place.svm}.",
            )
        anywhere = bool(place.flexvol) and names.quoted(place.flexvol) == place.flexvol
        query = f"/vol/{place.flexvol}/*" if anywhere else names.quoted(place.path)
        records = self._repeat.read(partial(self._client.luns, self._svm, query))
        record = self._only(
            [lun for lun in records if lun.name == place.path] or (records if anywhere else []), place
        )
        return _usable(record)

    def find_device(self, device: str) -> str:
        """Return the LUN's path; a user of one SVM does not see those of others of the cluster."""
        serial = names.serial_in(device)
        found = self._repeat.read(partial(self._client.luns_with, serial)) if serial else []
        if not found:
            raise not_here(self._client.name, device, OutOfSight if serial else StorageError)
        return found[0]

    def own_groups(self) -> tuple[OwnGroup, ...]:
        """Return the igroups of the SVM whose names say so."""
        found = self._repeat.read(partial(self._client.mapped_luns, self._svm, f"{OURS}*"))
        return tuple(
            OwnGroup(group.uuid, group.name, names.host_of(group.name), tuple(sorted(group.names)))
            for group in found
            if names.is_ours(group.name)
        )

    def mappings_of(self, lun: Lun) -> tuple[Mapping, ...]:
        """Return all LUN maps."""
        maps = self._maps(lun)
        self._last.note(lun, maps)
        return tuple(map(_mapping, maps))

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        """Return what there is of the host's igroup for one protocol."""
        return self._igroups.plan(host, names.usable(initiators))

    def ensure_group(self, plan: GroupPlan) -> Group:
        """Return the igroup; a try after the first begins by looking again."""
        return self._repeat.write_by(
            plan, partial(self._igroups.look_again, plan.group), self._igroups.ensure
        )

    def map(self, lun: Lun, group: Group) -> Mapping:
        """Map the LUN under a LUN id of its own; where that is in use, the array chooses."""
        mapping = self._repeat.write(partial(self._map, lun, group))
        if mapping.lun_id not in lun_ids.SEEN:
            raise lun_ids.unseen(
                f"{lun.name} got the LUN id {mapping.lun_id} in the igroup {mapping.group.name}",
                "Remove unused LUN maps of this host, so that low LUN ids are free.",
            )
        self._made.add((lun.id, mapping.group.id))
        return mapping

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[Mapping]
    ) -> None:
        """Unmap the LUN from the host's own igroups, and delete those that nobody else uses."""
        own, us, kept = names.own_groups(host), frozenset(initiators), {mapping.group.id for mapping in keep}
        mine = [
            item
            for item in self._maps_to_undo(lun)
            if item.igroup_uuid not in kept
            and (
                item.igroup_name in own
                or (names.OF_ALL_HOSTS.fullmatch(item.igroup_name) and item.initiators <= us)
            )
        ]
        unmap = partial(self._repeat.write_all, [partial(self._unmap, lun, item) for item in mine])
        do_all([unmap, partial(self._tidy, lun, own, kept)])

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    @cached_property
    def _svm(self) -> Svm:
        """The SVM of ONTAP_SVM, or the only one that the credentials can see."""
        query = names.quoted(self._svm_name) if self._svm_name else "*"
        svms = self._repeat.read(partial(self._client.svms, query))
        if self._svm_name:
            svms = [svm for svm in svms if svm.name == self._svm_name]
        if len(svms) == 1:
            return svms[0]
        if self._svm_name:
            text = f"{self._client.name} has no SVM {self._svm_name!r} that our user may see."
        else:
            listed = _some(svm.name for svm in svms)
            text = f"{self._client.name} shows {len(svms)} SVMs to our user: {listed}."
        raise StorageError(text, "Set ONTAP_SVM to the SVM of the Trident backend.")

    def _only(self, records: Sequence[LunRecord], place: names.Place) -> LunRecord:
        if len(records) == 1:
            return records[0]
        where = f"the SVM {self._svm.name!r} of the {self._client.name.removeprefix('The ')}"
        if not records:
            raise StorageError(f"There is no LUN {place.path} on {where}.", names.CSI_HINT)
        raise StorageError(
            f"The FlexVol {place.flexvol} on {where} holds {len(records)} LUNs, none of them lun0: "
            f"{_some(lun.name for lun in records)}.",
            "Leave just the volume's own LUN in it.",
        )

    def _map(self, lun: Lun, group: Group) -> Mapping:
        wanted: int | None = names.lun_id(lun.id)
        for last in range(ROUNDS):
            try:
                lun_id = self._client.map(self._svm, lun.name, lun.id, group.id, wanted)
                if lun_id is None and (mapping := self._visible(lun, group)) is not None:
                    return mapping
                if lun_id is None:
                    claim = f"it has mapped {lun.name} to the igroup {group.name}"
                    raise contradiction(self._client.name, claim, UNLISTED)
                return Mapping(group, lun_id, True, names.host_of(group.name), frozenset(group.initiators))
            except (Refused, Unanswered) as error:
                if (mapping := self._visible(lun, group)) is not None:
                    return mapping
                if passing(error) or last == ROUNDS - 1:
                    raise
                there = self._igroups.exists(group)
                if there and wanted is None:
                    raise
                if there:
                    wanted = None  # the array chooses, as the id is in use or not to its liking
                else:
                    group = self._igroups.ensure(self._igroups.look_again(group))
        raise AssertionError("the last round returns or raises")

    def _visible(self, lun: Lun, group: Group) -> Mapping | None:
        """Return the map by which the group's initiators see the LUN now: the group's own, or another's."""
        mapping = seen_by(group, map(_mapping, self._client.maps(self._svm, lun.id)))
        return replace(mapping, group=group) if mapping and mapping.group.id == group.id else mapping

    def _unmap(self, lun: Lun, item: LunMap) -> None:
        """Remove a map, and do not take "there is none" for an answer where there is one."""
        if self._client.unmap(lun.name, lun.id, item.igroup_uuid):
            return
        if any(listed.igroup_uuid == item.igroup_uuid for listed in self._client.maps(self._svm, lun.id)):
            claim = f"it has no map of {lun.name} to the igroup {item.igroup_name}"
            raise contradiction(self._client.name, claim, LISTED)

    def _maps(self, lun: Lun) -> list[LunMap]:
        return self._repeat.read(partial(self._client.maps, self._svm, lun.id))

    def _maps_to_undo(self, lun: Lun) -> list[LunMap]:
        """Return the maps as last read where our own is among them, which spares a call; else as they are now."""
        last = self._last.take(lun) or []
        known = any((lun.id, item.igroup_uuid) in self._made for item in last)
        return last if known else self._maps(lun)

    def _tidy(self, lun: Lun, own: Sequence[str], kept: Collection[str]) -> None:
        """Look at the groups of these names: unmap what was mapped since we last read the maps, delete what is empty.

        Of several who unmap at the same moment, the last one sees the group empty.
        """
        igroups = self._repeat.read(partial(self._client.mapped_luns, self._svm, "|".join(own)))
        groups = [group for group in igroups if group.name in own and group.uuid not in kept]
        steps: list[Callable[[], object]] = [
            partial(self._client.unmap, lun.name, lun.id, group.uuid)
            for group in groups
            if lun.id in group.luns
        ]
        steps += [
            partial(self._igroups.delete, group.uuid, group.name)
            for group in groups
            if group.luns <= {lun.id}
        ]
        self._repeat.write_all(steps)


def connect(access: Access, clock: Clock) -> OntapArray:
    """Return the driver, for the registry."""
    return OntapArray(access, clock)


def _usable(record: LunRecord) -> Lun:
    if record.kind != "regular":
        raise StorageError(
            f"{record.name} is a LUN of class {record.kind!r}, which cannot be mapped to a host.",
            names.CSI_HINT,
        )
    if not record.enabled or record.state != "online":
        state = record.state if record.enabled else "disabled"
        raise StorageError(f"The LUN {record.name} is {state}.", "Bring it online on the array.")
    return Lun(record.uuid, record.name, names.naa(record.serial), record.size)


def _mapping(item: LunMap) -> Mapping:
    name, group = item.igroup_name, Group(item.igroup_uuid, item.igroup_name)
    return Mapping(group, item.lun_id, names.is_ours(name), names.host_of(name), item.initiators)


def _some(items: Iterable[str]) -> str:
    ordered = sorted(items)
    return ", ".join(ordered[:5]) + (", …" if len(ordered) > 5 else "")


def _ordinal(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
