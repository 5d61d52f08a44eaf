"""Host objects: which of them holds a host's initiators, and one of our own where none does.

An initiator belongs to one host object, whose VLUNs it sees. So what the administrator made for an ESXi host is used as
it is. One of our own may be shared by several populators: it appears, grows and goes under our feet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from populator.errors import StorageError
from populator.storage.array import Group, GroupPlan
from populator.storage.failures import Refused
from populator.storage.initiators import OfOneKind
from populator.storage.repeat import ROUNDS
from populator.storage.vendors.hpe import names
from populator.storage.vendors.hpe.client import HOST_RACES, PATH_TAKEN, Client, HostRecord
from vsphere.model import Initiator


class Hosts:
    """See the module. Calls are made once; `domain` is the one in which a host object is created."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, HostRecord] = {}
        self.domain = ""
        self.own = ""
        """the host object of our own that this process has used, empty without one"""

    def plan(self, host: str, usable: Sequence[OfOneKind]) -> GroupPlan:
        """Return the host object for the best kind of initiators."""
        records = self._find(initiator for chosen in usable for initiator in chosen.initiators)
        chosen = _choose(usable, records)
        return self._plan(names.own_host(host, chosen.kind), chosen.initiators, records)

    def plan_again(self, group: Group) -> GroupPlan:
        """Look once more; also for our own host object, should it hold none of the initiators."""
        records = self._find(group.initiators)
        if names.is_ours(group.name) and not any(record.name == group.name for record in records):
            records += [record for record in [self._client.host(group.name)] if record]
        return self._plan(group.name, group.initiators, records)

    def ensure(self, plan: GroupPlan) -> Group:
        """Return the plan's host object, created or completed where that is still needed."""
        for last in range(ROUNDS):
            try:
                return self._complete(plan)
            except Refused as error:
                if error.code not in HOST_RACES or last == ROUNDS - 1:
                    raise
                refusal = error
            plan = self.plan_again(plan.group)
            if refusal.code == PATH_TAKEN and plan.missing:
                raise StorageError(
                    f"{refusal.text} None of the hosts that our user can see holds them.",
                    "Use a user of the virtual domain that the ESXi host's host object is in, or of all domains.",
                ) from refusal
        raise AssertionError("the last round returns or raises")

    def initiators_of(self, hosts: Iterable[str]) -> dict[str, frozenset[Initiator]]:
        """Return what host objects hold; those are asked for that were not seen before."""
        wanted = set(hosts)
        new = wanted - self._known.keys()
        if len(new) == 1:
            self._remember(record for record in [self._client.host(*new)] if record)
        elif new:
            self._remember(self._client.hosts())
        return {name: self._known[name].initiators if name in self._known else frozenset() for name in wanted}

    def domain_of(self, host: str) -> str | None:
        """Return the virtual domain of a host object seen before."""
        return self._known[host].domain if host in self._known else None

    def _find(self, initiators: Iterable[Initiator]) -> list[HostRecord]:
        records = self._client.hosts(initiators)
        self._remember(records)
        return records

    def _remember(self, records: Iterable[HostRecord]) -> None:
        self._known |= {record.name: record for record in records if record.name}

    def _plan(self, own: str, wanted: Sequence[Initiator], records: Sequence[HostRecord]) -> GroupPlan:
        named = [record for record in records if record.name]
        owners = [record for record in named if record.initiators & set(wanted) or record.name == own]
        if not owners:
            self.own = own
            return GroupPlan(Group("", own, tuple(wanted)), tuple(wanted))
        owner = max(
            owners,
            key=lambda record: (len(record.logged_in & set(wanted)), len(record.initiators & set(wanted))),
        )
        held = tuple(initiator for initiator in wanted if initiator in owner.initiators)
        if not names.is_ours(owner.name):
            return GroupPlan(Group(owner.name, owner.name, held))
        self.own = owner.name
        taken = {initiator for record in named if record is not owner for initiator in record.initiators}
        all_of_it = tuple(initiator for initiator in wanted if initiator not in taken)
        missing = tuple(initiator for initiator in all_of_it if initiator not in held)
        return GroupPlan(Group(owner.name, owner.name, all_of_it), missing)

    def _complete(self, plan: GroupPlan) -> Group:
        group = plan.group
        if not group.id:
            self._client.create_host(group.name, group.initiators, self.domain)
            group = replace(group, id=group.name)
        elif plan.missing:
            self._client.add_paths(group.name, plan.missing)
        if plan.missing:
            self._remember([HostRecord(group.name, self.domain, frozenset(group.initiators), frozenset())])
        return group


def _choose(usable: Sequence[OfOneKind], records: Sequence[HostRecord]) -> OfOneKind:
    """Return the initiators of the first kind that the array sees logged in, else that a host object holds."""
    logged_in = {initiator for record in records for initiator in record.logged_in}
    held = {initiator for record in records if record.name for initiator in record.initiators}
    for preferred in (logged_in, held):
        if first := next((chosen for chosen in usable if preferred & set(chosen.initiators)), None):
            return first
    return usable[0]
