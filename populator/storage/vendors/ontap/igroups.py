"""The igroup of a host for one protocol: chosen, created, completed, deleted.

An array may serve a host by both; an igroup of ours is for the one by which it sees the host.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from populator.errors import StorageError
from populator.storage.array import Group, GroupPlan
from populator.storage.failures import LISTED, UNLISTED, Refused, contradiction
from populator.storage.initiators import OfOneKind, in_pairs
from populator.storage.own_names import stem
from populator.storage.repeat import ROUNDS, Repeat
from populator.storage.vendors.ontap import names
from populator.storage.vendors.ontap.client import GROUP_RACES, Client
from populator.storage.vendors.ontap.records import Igroup, Svm
from vsphere.model import Initiator, InitiatorKind


class Igroups:
    """See the module. Only `plan` repeats its calls."""

    def __init__(self, client: Client, repeat: Repeat, svm: Callable[[], Svm]) -> None:
        self._client, self._repeat, self._svm = client, repeat, svm

    def plan(self, host: str, usable: Sequence[OfOneKind]) -> GroupPlan:
        """Return what there is of the host's igroup for one protocol."""
        chosen = self._choose(usable)
        name = f"{stem(host)}-{names.PROTOCOLS[chosen.kind]}"
        return self._repeat.read(partial(self._look, name, chosen.initiators))

    def look_again(self, group: Group) -> GroupPlan:
        """Return what there is of a plan's igroup by now."""
        return self._look(group.name, group.initiators)

    def ensure(self, plan: GroupPlan) -> Group:
        """Return the plan's igroup, created or completed where that is still needed."""
        for last in range(ROUNDS):
            try:
                return self._complete(plan)
            except Refused as error:
                if error.code not in GROUP_RACES or last == ROUNDS - 1:
                    raise
            plan = self.look_again(plan.group)
        raise AssertionError("the last round returns or raises")

    def exists(self, group: Group) -> bool:
        """Return whether this very igroup is there, not another one of its name."""
        igroups = self._client.igroups(self._svm(), names.quoted(group.name))
        return any(item.uuid == group.id for item in igroups)

    def delete(self, uuid: str, name: str) -> None:
        """Delete an igroup that is not mapped, and do not take "there is none" for an answer where there is one."""
        if not self._client.delete_igroup(uuid, name) and self.exists(Group(uuid, name)):
            raise contradiction(self._client.name, f"it has no igroup {name}", LISTED)

    def _look(self, name: str, wanted: tuple[Initiator, ...]) -> GroupPlan:
        igroups = [igroup for igroup in self._client.igroups(self._svm(), name) if igroup.name == name]
        if not igroups:
            return GroupPlan(Group("", name, wanted), wanted)
        _check(igroups[0], names.PROTOCOLS[wanted[0].kind])
        missing = (initiator for initiator in wanted if initiator not in igroups[0].initiators)
        return GroupPlan(Group(igroups[0].uuid, name, wanted), tuple(missing))

    def _complete(self, plan: GroupPlan) -> Group:
        """Return the igroup, after making it what it should be."""
        if not plan.group.id:
            wanted = plan.group.initiators
            protocol = names.PROTOCOLS[wanted[0].kind]
            created = self._client.create_igroup(
                self._svm(), plan.group.name, protocol, map(in_pairs, wanted)
            )
            if created:
                return replace(plan.group, id=created)
            plan = self.look_again(plan.group)
        if not plan.group.id:
            raise contradiction(self._client.name, f"it has made the igroup {plan.group.name}", UNLISTED)
        if plan.missing:
            self._client.add_initiators(plan.group.id, plan.group.name, map(in_pairs, plan.missing))
        return plan.group

    def _choose(self, usable: Sequence[OfOneKind]) -> OfOneKind:
        """Return the initiators of the protocol by which the SVM sees the host, else those of the first it serves."""
        services = self._svm().services
        served = [chosen for chosen in usable if names.PROTOCOLS[chosen.kind] in services] or usable
        return next((chosen for chosen in served if len(served) > 1 and self._logged_in(chosen)), served[0])

    def _logged_in(self, chosen: OfOneKind) -> bool:
        ask = self._client.fc_logins if chosen.kind == InitiatorKind.FC else self._client.iscsi_sessions
        initiators = list(map(in_pairs, chosen.initiators))
        return bool(self._repeat.read_if_allowed(partial(ask, self._svm(), initiators)))


def _check(group: Igroup, protocol: str) -> None:
    """Refuse an igroup of our name that was not made by a populator: its kind cannot be changed."""
    if group.os_type != "vmware" or group.protocol not in {protocol, "mixed"}:
        raise StorageError(
            f"The igroup {group.name} exists with protocol {group.protocol} and OS type {group.os_type}, "
            f"not {protocol} and vmware.",
            "Rename or delete it on the array.",
        )
