"""Which host object of PowerMax's stands for an ESXi host, and by which port group it sees LUNs.

An initiator belongs to one host object. It is the administrator's: made with the zoning, with flags that ESXi needs; so
it is used as it is. Each port of the array that has seen an initiator knows it by a name of its own.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

from populator.errors import StorageError
from populator.storage.array import Group, GroupPlan
from populator.storage.initiators import first_among, listed
from populator.storage.vendors.powermax import names
from populator.storage.vendors.powermax.client import Client
from populator.storage.vendors.powermax.records import Port
from vsphere.model import Initiator, InitiatorKind

log = logging.getLogger(__name__)


class Hosts:
    """The host objects, as the array has them now."""

    def __init__(self, client: Client, port_groups: Sequence[str]) -> None:
        self._client = client
        self._names = port_groups

    @cached_property
    def port_groups(self) -> Mapping[InitiatorKind, str]:
        """The port groups of the settings, by the kind of initiators that reach them."""
        by_kind: dict[InitiatorKind, str] = {}
        for name in self._names:
            kind = self._kind(name)
            if kind in by_kind:
                raise StorageError(
                    f"{names.PORT_GROUPS} names two port groups of {kind}: {by_kind[kind]} and {name}.",
                    "Leave one of each protocol.",
                )
            by_kind[kind] = name
        return by_kind

    def plan(self, host: str, usable: Sequence[Initiator]) -> GroupPlan:
        """Return the host object that has the initiators of one kind."""
        served = [initiator for initiator in usable if initiator.kind in self.port_groups]
        if not served:
            groups = " and ".join(f"{name} is for {kind}" for kind, name in self.port_groups.items())
            raise StorageError(
                f"The host has no initiator for the port groups of {names.PORT_GROUPS} ({groups}), only "
                f"{listed(usable)}.",
                f"Set {names.PORT_GROUPS} to a port group of the host's protocol, or to one of each by commas.",
            )
        known: dict[Initiator, Port] = {}
        if len({initiator.kind for initiator in served}) > 1:
            known = {
                initiator: port for initiator in served if (port := self._port(initiator, thorough=True))
            }
            served = self._of_one_kind(served, known)
        return GroupPlan(self._group(host, served, known))

    def _kind(self, name: str) -> InitiatorKind:
        protocol = self._client.protocol(name)
        if protocol is None:
            raise StorageError(
                f"{self._client.name} has no port group {name}.", f"Correct {names.PORT_GROUPS}."
            )
        kind = names.KINDS.get(protocol.lower())
        if kind is None:
            raise StorageError(
                f"The port group {name} is for {protocol or 'an unknown protocol'}.",
                f"Set {names.PORT_GROUPS} to a port group for Fibre Channel or iSCSI; NVMe cannot be used.",
            )
        return kind

    def _of_one_kind(self, served: Sequence[Initiator], known: Mapping[Initiator, Port]) -> list[Initiator]:
        """Keep the kind by which the array sees the host, else that of the first it knows, else of the first."""
        logged_in = {initiator for initiator, port in known.items() if port.logged_in}
        first = first_among(served, logged_in, known)
        return [initiator for initiator in served if initiator.kind == first.kind]

    def _group(self, host: str, wanted: Sequence[Initiator], known: Mapping[Initiator, Port]) -> Group:
        """Return the one host object that has the initiators; others than its own must be in none."""
        owner = next(
            (port.host for initiator in wanted if (port := known.get(initiator) or self._port(initiator))), ""
        )
        if not owner:
            raise StorageError(
                f"{self._client.name} has no host with any of {listed(wanted)}.",
                f"Create a host in Unisphere for the ESXi host {host}, with its initiators.",
            )
        held = self._client.host(owner)
        if held is None:
            raise StorageError(
                f"{self._client.name} has no host {owner} any more.", "Start the migration again."
            )
        missing = [initiator for initiator in wanted if initiator not in held]
        strangers = [
            initiator
            for initiator in missing
            if (port := known.get(initiator) or self._port(initiator)) and port.host != owner
        ]
        if strangers:
            raise StorageError(
                f"{self._client.name} has the host's initiators in several hosts: {owner}, and another one with "
                f"{listed(strangers)}.",
                "Put them into one host.",
            )
        mine = tuple(initiator for initiator in wanted if initiator in held)
        if not mine:
            raise StorageError(
                f"{self._client.name} says that {listed(wanted)} is in the host {owner}, and lists it without.",
                "Somebody changes the host; start the migration again.",
            )
        if missing:
            log.warning("The host %s lacks initiators of the ESXi host: %s", owner, listed(missing))
        return Group(owner, names.own(host, "").rstrip("-"), mine)

    def _port(self, initiator: Initiator, *, thorough: bool = False) -> Port | None:
        """Return what the array knows of an initiator in a host; thorough, whether any of its ports sees it now."""
        first: Port | None = None
        for spelled in self._client.ports(initiator):
            port = self._client.port(spelled)
            if port is None or not port.host:
                continue
            first = first or port
            if port.logged_in or not thorough:
                return port
        return first
