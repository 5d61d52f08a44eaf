"""The connections of volumes to hosts: who sees a volume by them, and making and removing our own.

The array does not say who made a connection. One by a host group is never ours, nor is one by NVMe. A step acts once:
what may be repeated, and when, is the caller's to know.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from populator.errors import StorageError
from populator.storage.array import Group, Lun, Mapping
from populator.storage.failures import UNLISTED, Refused, Unanswered, contradiction
from populator.storage.repeat import do_all
from populator.storage.vendors.pure import names
from populator.storage.vendors.pure.client import (
    MISSING,
    NVME_ONLY,
    Client,
    Connection,
    HostRecord,
    says,
)
from vsphere.model import Initiator

NVME_HINT = (
    "Pure connects a volume either by NVMe or by SCSI, and XCOPY is SCSI: use a storage class whose Portworx cluster "
    "reaches the array by Fibre Channel or iSCSI."
)


class Connections:
    """See the module."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._hosts: dict[str, HostRecord] = {}
        """those met in this run, by name: what we mapped to one stays ours, whatever becomes of its initiators"""
        self._unsure: set[tuple[str, str]] = set()
        """hosts and volumes (by id) that we asked to connect, and nobody knows whether the array did"""

    def hosts_with(self, initiators: Sequence[Initiator]) -> list[HostRecord]:
        """Return hosts of this array; all of them where a filter finds none, since it may heed the case of letters."""
        for query in (names.hosts_with(initiators), ""):
            hosts = [host for host in self._client.hosts(query) if host.local]
            if hosts:
                break
        self._hosts |= {host.name: host for host in hosts}
        return hosts

    def of(self, lun: Lun) -> list[Connection]:
        """Return a volume's connections, and know their hosts; none where the volume is gone."""
        try:
            connections = self._client.connections(lun.name)
        except Refused as error:
            if not says(error, MISSING):
                raise
            connections = self._elsewhere(lun)
        if any(item.volume_id not in {"", lun.id} for item in connections):
            raise StorageError(
                f"{lun.name} is another volume than it was when this run began.",
                "Somebody has replaced it; look at it, and start the migration again.",
            )
        new = sorted({item.host for item in connections if item.host} - self._hosts.keys())
        if new:
            self._hosts |= {host.name: host for host in self._client.hosts(names.any_named(new))}
        return connections

    def mapping(self, item: Connection) -> Mapping:
        """Return a connection in the contract's words."""
        return Mapping(
            Group(item.id, item.host or item.host_group),
            item.lun_id,
            ours=False,
            initiators=self._initiators(item.host),
        )

    def connect(self, lun: Lun, group: Group) -> Mapping:
        """Connect, or return the connection that is there: the host's own, or its host group's.

        Where the LUN id of our choice is not to be had, the array chooses one.
        """
        for lun_id in (names.first_lun_id(lun.device), None):
            try:
                return self._connect(lun, group, lun_id)
            except (Refused, Unanswered) as error:
                if isinstance(error, Unanswered) or error.status >= 500:
                    self._unsure.add((group.id, lun.id))
                if (mapping := self._there(lun, group)) is not None:
                    return replace(mapping, ours=(group.id, lun.id) in self._unsure)
                if says(error, NVME_ONLY):
                    raise StorageError(error.text, NVME_HINT) from error
                if lun_id is None or isinstance(error, Unanswered) or error.passing or says(error, MISSING):
                    raise
        raise AssertionError("the second try returns or raises")

    def disconnect(self, lun: Lun, us: frozenset[Initiator], kept: Collection[str]) -> None:
        """Remove all connections of the hosts of these initiators but those to keep, also after one that failed."""
        missing: list[Connection] = []

        def disconnect(item: Connection) -> None:
            if not self._client.disconnect(item.host, item.volume):
                missing.append(item)

        do_all([partial(disconnect, item) for item in self._own(lun, us, kept)])
        if missing and self._own(lun, us, kept):
            claim = f"it has no connection of {lun.name} to {missing[0].host}"
            raise contradiction(self._client.name, claim, "lists one")

    def _connect(self, lun: Lun, group: Group, wanted: int | None) -> Mapping:
        lun_id = self._client.connect(group.id, lun.name, wanted)
        if lun_id is not None:
            return Mapping(group, lun_id, True, None, self._initiators(group.id))
        mapping = self._there(lun, group)
        if mapping is None:
            claim = f"it has connected {lun.name} to {group.name}"
            raise contradiction(self._client.name, claim, UNLISTED)
        return replace(mapping, ours=True)

    def _there(self, lun: Lun, group: Group) -> Mapping | None:
        own = [item for item in self.of(lun) if item.host == group.id]
        return self.mapping(own[0]) if own else None

    def _own(self, lun: Lun, us: frozenset[Initiator], kept: Collection[str]) -> list[Connection]:
        """Return the connections that a populator made for the host of these initiators."""
        return [
            item
            for item in self.of(lun)
            if item.id not in kept
            and not item.host_group
            and item.lun_id is not None
            and self._initiators(item.host) & us
        ]

    def _initiators(self, host: str) -> frozenset[Initiator]:
        return self._hosts[host].initiators if host in self._hosts else frozenset()

    def _elsewhere(self, lun: Lun) -> list[Connection]:
        """Return the connections of a volume that was given another name."""
        records = self._client.volumes(names.with_id(lun.id))
        live = [record.name for record in records if not record.destroyed]
        return self._client.connections(live[0]) if live else []
