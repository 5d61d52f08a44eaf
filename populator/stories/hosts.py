"""The hosts that may copy a disk: which are open, and each made ready when its turn has come.

A host costs calls only once it is its turn. One that turns out to be unable to copy is left for good.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from populator import log
from populator.plan.host import decide_hosts, may_leave
from populator.settings.values import ANY_HOST, OWN_HOST
from populator.storage.array import Mapping
from populator.stories.left import OnHost, look_at
from populator.stories.parts import Parts
from populator.writer import Mapped
from vsphere.copy.clone import Cloner
from vsphere.copy.verify import Verifier
from vsphere.errors import HostKeyRefused, HostUnfit, LoginRefused, Unreachable, VsphereError
from vsphere.host.devices import Devices
from vsphere.model import EsxiHost, SourceDisk
from vsphere.wrapper.tasks import Tasks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadyHost:
    """A host that can copy the disk, as far as itself and vCenter know."""

    host: EsxiHost
    devices: Devices
    cloner: Cloner
    verifier: Verifier


class Hosts:
    """The hosts that are open to one disk."""

    def __init__(self, parts: Parts, disk: SourceDisk, ids: Sequence[str]) -> None:
        """`ids` are theirs, the preferred one first."""
        self.ids = tuple(ids)
        self._parts = parts
        self._disk = disk
        self._found: dict[str, EsxiHost] = {}
        self._ready: dict[str, ReadyHost] = {}
        self._turn = ""
        self._left: list[Exception] = []

    @property
    def several(self) -> bool:
        """Whether there is a choice."""
        return len(self.ids) > 1

    @property
    def only(self) -> EsxiHost | None:
        """Return the host where there is no choice; nothing is asked of it yet."""
        return None if self.several else self.find(self.ids[0])

    def find(self, host_id: str) -> EsxiHost:
        """Return that host; raise what keeps it from being used."""
        if host_id not in self._found:
            self.found(self._parts.inventory.find_host(self._disk, host_id))
        return self._found[host_id]

    def found(self, host: EsxiHost) -> None:
        """Take a host that was found already."""
        log.about(host=host.id)
        self._parts.report.host(host.name)
        self._found[host.id] = host

    def ready(self, host_id: str) -> ReadyHost:
        """Return that host once it can copy; raise what keeps it from that. Its turn lasts until the next one's."""
        self._turn = host_id
        host = self.find(host_id)
        if host_id not in self._ready:
            self._ready[host_id] = self._make_ready(host)
        self._parts.report.host(host.name)
        return self._ready[host_id]

    def _make_ready(self, host: EsxiHost) -> ReadyHost:
        path = self._disk.path
        try:
            wrapper, cloner = self._parts.wrapper(host, path), self._parts.cloner(host, path)
            version = cloner.version()
            self._parts.report.wrapper(wrapper.method, version.number)
        except (LoginRefused, HostKeyRefused, Unreachable) as error:
            if self._parts.settings.ssh is None:  # then it is vCenter that is asked
                raise
            raise HostUnfit(error.text, error.hint, error.setting) from error
        cloner.check(path)
        verifier = self._parts.verifier(host, path, version)
        return ReadyHost(host, self._parts.devices(host), cloner, verifier)

    def tidy_after(self, owner: str, host: EsxiHost, device: str) -> None:
        """End what a run that died (none where empty) compares on a host, and remove what it has half uploaded.

        A comparison keeps the device open for some minutes.
        """
        if not owner:
            return
        try:
            self._parts.discard_upload(host, self._disk.path, owner)
        except VsphereError as error:  # it harms nobody, and is no reason not to copy
            logger.warning("what the run before has half uploaded is not removed: %s", error.text)
        if tasks := self._parts.tasks(host, self._disk.path):
            tasks.end_comparison(owner, device)

    def look_elsewhere(
        self, host_id: str, device: str, before: Sequence[Mapping], owner: str
    ) -> tuple[OnHost, Devices, Tasks | None]:
        """Look at a host that is not open to us, on which a run that died, `owner`, may have left something."""
        host = self._parts.inventory.find_host_by_id(host_id)
        self.tidy_after(owner, host, device)
        devices, tasks = self._parts.devices(host), self._parts.tasks(host, self._disk.path)
        return look_at(host, device, before, devices, tasks, ""), devices, tasks

    def stay_with(self, before: Sequence[Mapping], noted: Mapped | None) -> None:
        """Close all hosts but the one on which a run that died may have left its copy: it is found there alone."""
        self.ids = hosts_left_by(self.ids, before, noted)

    def leave(self, error: Exception) -> bool:
        """Close the host whose turn it is, where that helps against the error; return whether it does."""
        if not (self.several and self._turn and may_leave(error, self._left)):
            return False
        self._left.append(error)
        self.ids = tuple(host for host in self.ids if host != self._turn)
        return True


def hosts_left_by(ids: tuple[str, ...], before: Sequence[Mapping], noted: Mapped | None) -> tuple[str, ...]:
    """Return the hosts that stay open after a run that died: the first of those where its copy may be running.

    All of them where it has left nothing; any one where none of them is meant, for that to be found out.
    """
    named = {mapping.host for mapping in before if mapping.ours}
    if noted and not noted.group:
        named.add(noted.host)
    if not named:
        return ids
    return tuple(host for host in ids if host in named)[:1] or ids[:1]


def find_hosts(parts: Parts, disk: SourceDisk) -> Hosts:
    """Find the hosts that may copy a disk; raise what is in the way.

    A host that was named by itself counts more than all others.
    """
    source = parts.settings.source
    if source.migration_host or source.copy_hosts == OWN_HOST:
        host = parts.inventory.find_host(disk, source.migration_host)
        hosts = Hosts(parts, disk, [host.id])
        hosts.found(host)
        return hosts
    named = () if source.copy_hosts == ANY_HOST else source.copy_hosts
    choice = decide_hosts(parts.inventory.host_states(disk, named), disk, named, parts.settings.target.uid)
    for reason in choice.left_out:
        logger.info("left out: %s", reason)
    return Hosts(parts, disk, choice.hosts)
