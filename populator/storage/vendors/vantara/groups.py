"""Which host groups stand for an ESXi host. The administrator has made them; they are used as they are.

A host has one on each port of the array that it is to use, since an initiator belongs to one host group of a port. So
all of them together are its group here. The ports report the initiators they know, and mostly for which host group.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from populator.errors import StorageError
from populator.storage.array import Group, GroupPlan
from populator.storage.failures import Refused
from populator.storage.initiators import first_among, listed
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.client import MISSING, Client, Login
from populator.storage.vendors.vantara.names import HostGroup
from vsphere.model import Initiator


@dataclass(frozen=True)
class Members:
    """Who sees LDEVs by a host group."""

    group: HostGroup
    initiators: frozenset[Initiator]
    logged_in: frozenset[Initiator] = frozenset()


class Groups:
    """See the module. Calls are made once."""

    def __init__(self, client: Client, wanted: Sequence[HostGroup]) -> None:
        """`wanted` are the only ones to use, where there are any."""
        self._client = client
        self._wanted = wanted
        self._known: dict[HostGroup, Members] = {}

    def plan(self, host: str, usable: Sequence[Initiator]) -> GroupPlan:
        """Return those of the host that see it logged in, else all of the host."""
        groups = self._listed() if self._wanted else self._discovered(usable)
        self._known |= {members.group: members for members in groups}
        wanted = frozenset(usable)
        mine = [members for members in groups if members.initiators & wanted]
        if not mine:
            raise self._no_group(host, usable)
        logged_in = frozenset().union(*(members.logged_in for members in mine))
        held = frozenset().union(*(members.initiators for members in mine))
        kind = first_among(usable, logged_in, held).kind
        wanted = frozenset(initiator for initiator in usable if initiator.kind == kind)
        mine = [members for members in mine if members.initiators & wanted]
        mine = [members for members in mine if members.logged_in & wanted] or mine
        held = wanted & frozenset().union(*(members.initiators for members in mine))
        keys = sorted((members.group for members in mine), key=str)
        own = tuple(initiator for initiator in usable if initiator in held)
        return GroupPlan(Group(names.joined(keys), names.listed(keys), own))

    def initiators_of(self, groups: Iterable[HostGroup]) -> frozenset[Initiator]:
        """Return who sees LDEVs by host groups; the array is asked for those that were not met before."""
        initiators: frozenset[Initiator] = frozenset()
        for group in groups:
            if group not in self._known:
                self._known[group] = Members(group, self._members(group))
            initiators |= self._known[group].initiators
        return initiators

    def _listed(self) -> list[Members]:
        groups = []
        for group in self._wanted:
            try:
                groups.append(Members(group, self._client.members(group)))
            except Refused as error:
                if not names.says(error.code, {MISSING}):
                    raise
                raise StorageError(
                    f"{self._client.name} has no host group {group}.", "Correct HOSTGROUP_ID_LIST."
                ) from error
        return groups

    def _discovered(self, usable: Sequence[Initiator]) -> list[Members]:
        """Return the host groups of all ports, of which some have to be searched for."""
        logins = self._client.logins()
        groups: dict[HostGroup, Members] = {}
        for login in logins:
            if login.group:
                before = groups.get(login.group, Members(login.group, frozenset()))
                groups[login.group] = _with(before, login)
        homeless = [login for login in logins if login.group is None and login.initiator in usable]
        for port in sorted({login.port for login in homeless}):
            groups |= self._searched(port, {login for login in homeless if login.port == port})
        return list(groups.values())

    def _searched(self, port: str, logins: Iterable[Login]) -> dict[HostGroup, Members]:
        """Return the host groups of a port that hold these initiators; all are looked at until they are found."""
        missing = {login.initiator: login for login in logins}
        groups = {}
        for group in self._client.host_groups(port):
            if not missing:
                break
            members = Members(group, self._client.members(group))
            for initiator in members.initiators & missing.keys():
                members = _with(members, missing.pop(initiator))
                groups[group] = members
        return groups

    def _members(self, group: HostGroup) -> frozenset[Initiator]:
        """Return nobody for a host group that somebody has deleted meanwhile."""
        try:
            return self._client.members(group)
        except Refused as error:
            if not names.says(error.code, {MISSING}):
                raise
            return frozenset()

    def _no_group(self, host: str, usable: Sequence[Initiator]) -> StorageError:
        if self._wanted:
            return StorageError(
                f"None of the host groups in HOSTGROUP_ID_LIST, {names.listed(self._wanted)}, has any of "
                f"{listed(usable)}.",
                f"Add the host groups of the ESXi host {host}, or leave HOSTGROUP_ID_LIST away.",
            )
        return StorageError(
            f"{self._client.name} knows no host group with any of {listed(usable)}.",
            f"Make a host group for the ESXi host {host} on the ports that it uses (host mode VMWARE_EX, options 54 "
            "and 63), or name its host groups in HOSTGROUP_ID_LIST.",
        )


def _with(members: Members, login: Login) -> Members:
    added = frozenset({login.initiator})
    logged_in = members.logged_in | added if login.logged_in else members.logged_in
    return replace(members, initiators=members.initiators | added, logged_in=logged_in)
