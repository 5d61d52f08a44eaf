"""Host objects: which of them holds a host's initiators, and one of our own where none does.

An initiator belongs to one host object. So what the administrator made for an ESXi host is used as it is. One of our
own may be shared by several populators: it appears, grows and goes under our feet. Hosts are named, not numbered, to
the array: it gives the number of a deleted one to the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from populator.errors import StorageError
from populator.storage.array import Group, GroupPlan
from populator.storage.failures import Refused, Unanswered, passing
from populator.storage.initiators import OfOneKind
from populator.storage.repeat import ROUNDS
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import MISSING, NAME_TAKEN, PORT_TAKEN, Client
from populator.storage.vendors.flashsystem.records import HostRecord
from vsphere.model import Initiator, InitiatorKind

RACES = {NAME_TAKEN, *PORT_TAKEN, *MISSING}
"""somebody else created or deleted the host between our look and our act"""
NOBODY = HostRecord("", frozenset(), frozenset())


class Hosts:
    """See the module."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, HostRecord] = {}
        """as last seen, by name"""
        self._fresh: set[str] = set()
        """which of them the plan at hand has seen"""
        self._lists_ports = True
        self.own = ""
        """the host object of our own that this process has used, empty without one"""

    def plan(self, host: str, usable: Sequence[OfOneKind]) -> GroupPlan:
        """Return the host object for the best kind of initiators."""
        self._fresh.clear()
        owners = self._owners([initiator for chosen in usable for initiator in chosen.initiators])
        chosen = self._choose(usable, owners)
        return self._plan(names.own_host(host, chosen.kind), chosen.initiators, owners)

    def plan_again(self, group: Group) -> GroupPlan:
        """Look once more, also at our own host object, should it hold none of the initiators; another's may be gone."""
        self._fresh.clear()
        ours = names.host_of(group.name) is not None
        owners = self._owners(group.initiators)
        plan = self._plan(group.name, group.initiators, owners, group.name if ours else "")
        if not plan.group.id and not ours:
            raise StorageError(
                f"{self._client.name} has no host {group.name} any more.",
                "Somebody removed it, or its ports. Start the migration again.",
            )
        return plan

    def ensure(self, plan: GroupPlan) -> Group:
        """Return the plan's host object, created or completed where that is still needed."""
        for last in range(ROUNDS):
            if not plan.missing:
                return plan.group
            try:
                return self._complete(plan)
            except Refused as refusal:
                if refusal.code not in RACES or last == ROUNDS - 1:
                    raise
                plan = self.plan_again(plan.group)
                if refusal.code in PORT_TAKEN and plan.missing:
                    raise StorageError(
                        f"{refusal.text} None of the hosts that our user can see has them.",
                        "Use a user of the ownership group that the ESXi host's host object is in, or of none.",
                    ) from refusal
        raise AssertionError("the last round returns or raises")

    def initiators_of(self, host: str) -> frozenset[Initiator]:
        """Return what a host object holds; asked for where it was not seen before."""
        if host not in self._known:
            self._look(host)
        return self._known.get(host, NOBODY).initiators

    def delete(self, name: str) -> None:
        """Delete a host object of ours where nothing is mapped to it; that it is gone is no error."""
        self._known.pop(name, None)
        for last in range(ROUNDS):
            try:
                return self._client.delete_host(name)
            except (Refused, Unanswered) as error:
                if passing(error):
                    raise
                if self._client.host(name) is None or self._client.lun_ids(name):
                    return None
                if last == ROUNDS - 1:
                    raise
        raise AssertionError("the last round returns or raises")

    def _look(self, name: str) -> HostRecord | None:
        """Ask for a host object, and remember it."""
        self._fresh.add(name)
        record = self._client.host(name)
        if record:
            self._known[name] = record
        else:
            self._known.pop(name, None)
        return record

    def _owners(self, initiators: Sequence[Initiator]) -> dict[Initiator, str]:
        """Return the hosts that have the initiators, as far as any has."""
        listed = self._client.owners() if self._lists_ports else None
        if listed is not None:
            return {initiator: listed[initiator] for initiator in initiators if initiator in listed}
        self._lists_ports = False
        owners: dict[Initiator, str] = {}
        for initiator in initiators:
            if initiator not in owners and (name := self._client.seen_as(initiator)[1]):
                owners |= self._held(name, initiators)
        return owners or self._search(initiators)

    def _search(self, initiators: Sequence[Initiator]) -> dict[Initiator, str]:
        """Look into all hosts, until each initiator has one: none of them is logged in."""
        owners: dict[Initiator, str] = {}
        for name in self._client.hosts():
            owners |= self._held(name, initiators)
            if len(owners) == len(initiators):
                break
        return owners

    def _held(self, name: str, initiators: Iterable[Initiator]) -> dict[Initiator, str]:
        record = self._look(name) or NOBODY
        return {initiator: name for initiator in initiators if initiator in record.initiators}

    def _choose(self, usable: Sequence[OfOneKind], owners: Mapping[Initiator, str]) -> OfOneKind:
        """Return the initiators of the first kind that the array sees logged in, else that a host object holds."""
        if len(usable) == 1:
            return usable[0]
        for chosen in usable:
            if any(
                self._is_logged_in(initiator, owners.get(initiator, "")) for initiator in chosen.initiators
            ):
                return chosen
        held = (chosen for chosen in usable if owners.keys() & set(chosen.initiators))
        return next(held, usable[0])

    def _is_logged_in(self, initiator: Initiator, owner: str) -> bool:
        """Return it, by a look at the initiator's host; one of iSCSI without a host cannot log in."""
        if not owner:
            return initiator.kind == InitiatorKind.FC and self._client.seen_as(initiator)[0]
        record = self._record(owner)
        return record is not None and initiator in record.logged_in

    def _plan(
        self, own: str, wanted: Sequence[Initiator], owners: Mapping[Initiator, str], also: str = ""
    ) -> GroupPlan:
        """Return what follows from the owners; where there are none, `also` may name a host object that is used."""
        holders = {owners[initiator] for initiator in wanted if initiator in owners} or {also}
        records = [record for name in sorted(filter(None, holders)) if (record := self._record(name))]
        if not records:
            self.own = own
            return GroupPlan(Group("", own, tuple(wanted)), tuple(wanted))
        owner = max(records, key=lambda record: _worth(record, frozenset(wanted)))
        held = tuple(initiator for initiator in wanted if initiator in owner.initiators)
        if names.host_of(owner.name) is None:
            return GroupPlan(Group(owner.name, owner.name, held))
        self.own = owner.name
        free = tuple(initiator for initiator in wanted if owners.get(initiator, owner.name) == owner.name)
        missing = tuple(initiator for initiator in free if initiator not in held)
        return GroupPlan(Group(owner.name, owner.name, free), missing)

    def _record(self, name: str) -> HostRecord | None:
        return self._known.get(name) if name in self._fresh else self._look(name)

    def _complete(self, plan: GroupPlan) -> Group:
        group = plan.group
        if group.id:
            self._client.add_ports(group.name, plan.missing)
        else:
            self._client.create_host(group.name, group.initiators)
        self._known[group.name] = HostRecord(group.name, frozenset(group.initiators), frozenset())
        return replace(group, id=group.name)


def _worth(record: HostRecord, wanted: frozenset[Initiator]) -> tuple[int, int]:
    """Return how many of the initiators are logged in as a host's, and how many it has."""
    return len(record.logged_in & wanted), len(record.initiators & wanted)
