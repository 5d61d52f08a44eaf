"""Which object of PowerStore's stands for an ESXi host: found, made, completed, deleted.

An initiator belongs to one host object. That is used as it is, or the host group that it belongs to, since the array
attaches nothing to a member alone. Only where the array knows none of the host's initiators there is an object of our
own, named so that every populator of the host finds it; they make, complete and delete it under each other's feet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from populator.errors import StorageError
from populator.storage.answer import ODD
from populator.storage.array import Group, GroupPlan
from populator.storage.failures import Refused, Unanswered, beyond_us
from populator.storage.initiators import first_among
from populator.storage.repeat import ROUNDS
from populator.storage.vendors.powerstore import names
from populator.storage.vendors.powerstore.client import Client
from populator.storage.vendors.powerstore.records import Port, Target
from vsphere.model import Initiator, InitiatorKind


class Hosts:
    """The objects, as the array has them now."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._targets: dict[str, Target] = {}
        """as last seen, by id"""

    def plan(self, host: str, usable: Sequence[Initiator]) -> GroupPlan:
        """Return which object a host would be given."""
        ports = self._client.ports(usable)
        kind = self._choose(usable, ports)
        wanted = tuple(initiator for initiator in usable if initiator.kind == kind)
        return self._plan(names.host_name(host, kind), wanted, ports)

    def look_again(self, group: Group) -> GroupPlan:
        """Return the same as it is now; raise where it is not ours to make, and gone."""
        plan = self._plan(group.name, group.initiators, self._client.ports(group.initiators))
        if not plan.group.id and names.host_of(group.name) is None:
            raise StorageError(
                f"{self._client.name} has no host {group.name} any more.",
                "Somebody removed it, or its initiators. Start the migration again.",
            )
        return plan

    def ensure(self, plan: GroupPlan) -> Group:
        """Return the object of a plan, made or completed where that is needed and nobody else has."""
        for last in range(ROUNDS):
            if not plan.missing:
                return plan.group
            try:
                return self._complete(plan)
            except (Refused, Unanswered) as error:
                plan = self.look_again(plan.group)
                if plan.missing and (beyond_us(error) or last == ROUNDS - 1):
                    raise
        raise AssertionError("the last round returns or raises")

    def last_seen(self, group: Group) -> Target:
        """Return an object of a plan as it was then."""
        return self._targets[group.id]

    def note(self, group: Group, lun_id: int) -> None:
        """Remember that a LUN id is in use."""
        target = self._targets[group.id]
        self._targets[group.id] = replace(target, lun_ids=target.lun_ids | {lun_id}, is_used=True)

    def own(self, host: str) -> Mapping[str, str]:
        """Return id and name of our objects for this host, as last seen; looked for where none was planned."""
        targets = self._targets.values() or self._client.hosts_named(*names.own_hosts(host))
        return {target.id: target.name for target in targets if is_own(target.id, target.name, host)}

    def delete(self, key: str, name: str) -> None:
        """Delete an object of ours that nobody uses."""
        for last in (False, True):
            if not self._is_spare(key, name):
                break
            try:
                self._client.delete_host(key, name)
                break
            except (Refused, Unanswered) as error:
                if self._is_spare(key, name) and (last or beyond_us(error)):
                    raise
        self._targets.pop(key, None)

    def _plan(self, name: str, wanted: tuple[Initiator, ...], ports: Sequence[Port]) -> GroupPlan:
        target = self._owner(wanted, ports)
        if target is None and names.host_of(name) is not None:
            target = next(iter(self._client.hosts_named(name)), None)
        if target is None:
            return GroupPlan(Group("", name, wanted), wanted)
        self._targets[target.id] = target
        missing = tuple(initiator for initiator in wanted if initiator not in target.initiators)
        if target.id.startswith("host/") and target.name == name and names.host_of(name) is not None:
            return GroupPlan(Group(target.id, name, wanted), missing)
        return GroupPlan(
            Group(
                target.id, target.name, tuple(initiator for initiator in wanted if initiator not in missing)
            )
        )

    def _choose(self, usable: Sequence[Initiator], ports: Sequence[Port]) -> InitiatorKind:
        """Return the kind by which the array sees the host, else of the first that it knows, else of the first."""
        known = {port.initiator for port in ports}
        logged_in = {port.initiator for port in ports if port.logged_in}
        if not known and len({initiator.kind for initiator in usable}) > 1:
            logged_in |= self._client.discovered()
        return first_among(usable, logged_in, known).kind

    def _owner(self, wanted: Sequence[Initiator], ports: Sequence[Port]) -> Target | None:
        """Return what has these initiators; raise where several have."""
        targets = {port.target.id: port.target for port in ports if port.initiator in wanted}
        if len(targets) > 1:
            listed = " and ".join(sorted(target.name for target in targets.values()))
            raise StorageError(
                f"{self._client.name} has the host's initiators in {len(targets)} hosts: {listed}.",
                "Put them into one host object, or these hosts into one host group.",
            )
        return next(iter(targets.values()), None)

    def _complete(self, plan: GroupPlan) -> Group:
        group = plan.group
        if group.id:
            self._client.add_initiators(group.id, group.name, plan.missing)
            return group
        key = self._client.create_host(group.name, plan.missing)
        if not key:
            raise Unanswered(f"{self._client.name} made the host {group.name}, and did not say its id.", ODD)
        self._targets[key] = Target(key, group.name, frozenset(plan.missing), frozenset(), is_used=False)
        return replace(group, id=key)

    def _is_spare(self, key: str, name: str) -> bool:
        """Return whether it is there, in no host group, and has no volumes."""
        target = self._client.host(key, name)
        return target is not None and target.id == key and not target.is_used


def is_own(key: str, name: str, host: str) -> bool:
    """Return whether a populator made this for the host."""
    return key.startswith("host/") and names.is_of(name, host)
