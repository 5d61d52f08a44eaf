"""The hosts that the array's administrator has described: which one has an initiator, and who sees a mapping.

An initiator belongs to one host there, and a host to at most one cluster. Nothing is created: whoever describes hosts
also decides about their kind, their cluster and CHAP.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from populator.errors import StorageError
from populator.storage.array import Group
from populator.storage.array import Mapping as LunMapping
from populator.storage.initiators import listed
from populator.storage.repeat import Repeat
from populator.storage.vendors.infinibox.client import Client
from populator.storage.vendors.infinibox.records import ClusterRecord, HostRecord, LunRecord, Port, host_path
from vsphere.model import Initiator

log = logging.getLogger(__name__)


class Hosts:
    """See the module. Those met in this run are remembered: what we mapped to one stays ours, though its ports move."""

    def __init__(self, client: Client, repeat: Repeat) -> None:
        self._client = client
        self._repeat = repeat
        self._hosts: dict[int, HostRecord] = {}
        self._clusters: dict[int, ClusterRecord] = {}

    def choose(self, host: str, usable: Sequence[Initiator]) -> Group:
        """Return the host of the first initiator that is logged in, else of the first that belongs to one."""
        first, owner = self._first(usable) or self._first_in_any_spelling(host, usable)
        wanted = [initiator for initiator in usable if initiator.kind == first.kind]
        for initiator in wanted:
            self._check_alone(initiator, owner, self._owner(initiator))
        if len({initiator.kind for initiator in owner.initiators}) > 1:
            log.warning(
                "the host %s on the array has ports of FC and of iSCSI, and sees LUNs by both", owner.name
            )
        mine = (initiator for initiator in wanted if initiator in owner.initiators)
        return Group(host_path(owner.id), owner.name, tuple(mine))

    def cluster_of(self, group: Group) -> int:
        """Return the cluster that a host is in; 0 where it is in none."""
        key = int(group.id.rpartition("/")[2])
        self._meet([key])
        return self._hosts[key].cluster if key in self._hosts else 0

    def mappings(self, rows: Collection[LunRecord]) -> tuple[LunMapping, ...]:
        """Return a volume's mappings; of one to a cluster there may be a row for each of its hosts."""
        for key in {row.cluster for row in rows if row.cluster} - self._clusters.keys():
            self._clusters[key] = self._client.cluster(key)
        members = [key for row in rows if row.cluster for key in self._clusters[row.cluster].hosts]
        self._meet([*members, *(row.host for row in rows if not row.cluster)])
        return tuple({row.target: self.mapping(row) for row in rows}.values())

    def mapping(self, row: LunRecord) -> LunMapping:
        """Return a mapping in the contract's words; whose it is, the array cannot tell."""
        if row.cluster:
            name, members = self._clusters[row.cluster].name, self._clusters[row.cluster].hosts
        else:
            name, members = self._name(row.host), (row.host,)
        held = frozenset().union(*(self._hosts[key].initiators for key in members if key in self._hosts))
        return LunMapping(Group(row.target, name), row.lun_id, ours=False, initiators=held)

    def _first(self, usable: Sequence[Initiator]) -> tuple[Initiator, HostRecord] | None:
        """Ask for each in turn, and for no more than it takes: whether it is logged in, only where kinds compete."""
        ports: dict[Initiator, Port | None] = {}
        if len({initiator.kind for initiator in usable}) > 1:
            for initiator in usable:
                port = self._repeat.read_if_allowed(partial(self._client.port, initiator))
                ports[initiator] = port
                if port and port.logged_in and (owner := self._owner(initiator, port)):
                    return initiator, owner
        for initiator in usable:
            if owner := self._owner(initiator, ports.get(initiator)):
                return initiator, owner
        return None

    def _owner(self, initiator: Initiator, port: Port | None = None) -> HostRecord | None:
        """Return the host that an initiator belongs to; what the array has seen of it spares a call."""
        known = next((host for host in self._hosts.values() if initiator in host.initiators), None)
        if known:
            return known
        key = port.host if port else self._repeat.read(partial(self._client.host_of, initiator))
        record = self._repeat.read(partial(self._client.host, key)) if key else None
        if record is None or initiator not in record.initiators:
            return None
        self._hosts[record.id] = record
        return record

    def _first_in_any_spelling(self, host: str, usable: Sequence[Initiator]) -> tuple[Initiator, HostRecord]:
        """Look at all hosts: the array finds a name only as it was entered, be it in capital letters or with colons."""
        records = self._repeat.read(self._client.hosts)
        for initiator in usable:
            owners = [record for record in records if initiator in record.initiators]
            if owners:
                self._check_alone(initiator, owners[0], owners[-1])
                self._hosts[owners[0].id] = owners[0]
                return initiator, owners[0]
        raise StorageError(
            f"{self._client.name} knows no host with any of {listed(usable)}.",
            f"Describe the ESXi host {host} on the array with its adapters.",
        )

    def _check_alone(self, initiator: Initiator, owner: HostRecord, other: HostRecord | None) -> None:
        """Raise where an initiator belongs to another host: what is mapped to this one would not be seen by it."""
        if other and other.id != owner.id:
            raise StorageError(
                f"{self._client.name} has the initiators of the ESXi host in several hosts: {owner.name} and "
                f"{other.name} ({initiator}).",
                "Put them into the one that is the ESXi host.",
            )

    def _meet(self, keys: Iterable[int]) -> None:
        """Ask for those that are new, all in one call."""
        new = set(keys) - {0} - self._hosts.keys()
        if new:
            self._hosts |= {record.id: record for record in self._client.hosts(new)}

    def _name(self, key: int) -> str:
        return self._hosts[key].name if key in self._hosts else f"host {key}"
