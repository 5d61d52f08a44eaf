"""All hosts that a vCenter manages, and where each is reached: for what is done on them and not through vCenter."""

from dataclasses import dataclass
from typing import Any

from vsphere.errors import VsphereError
from vsphere.vcenter.placement import NETWORK, management_addresses
from vsphere.vcenter.properties import Properties, below, named
from vsphere.vcenter.session import Session


@dataclass(frozen=True)
class ManagedHost:
    """A host as vCenter manages it."""

    name: str
    address: str
    """of its first management interface; empty where vCenter reports none"""
    problem: str = ""
    """why there is no address"""


def find_hosts(session: Session, datacenter: str = "") -> tuple[ManagedHost, ...]:
    """Return all hosts, sorted by name; those of one datacenter where it is named."""
    container = _datacenter(session, datacenter) if datacenter else session.content.rootFolder
    found = below(session, container, "HostSystem", ("name", NETWORK))
    hosts = [_managed(host) for host in found.values()]
    return tuple(sorted(hosts, key=lambda host: host.name))


def _managed(host: Properties) -> ManagedHost:
    """Read one host; one whose address cannot be read is no reason to do without the others."""
    name = host.id if host.withheld("name") else str(host.get("name", host.id))
    try:
        addresses = management_addresses(host.get(NETWORK, ()))
    except VsphereError as error:
        return ManagedHost(name, "", error.text)
    if not addresses:
        return ManagedHost(name, "", "vCenter reports no management address")
    return ManagedHost(name, addresses[0])


def _datacenter(session: Session, name: str) -> Any:
    """Return the datacenter of that name."""
    found = below(session, session.content.rootFolder, "Datacenter", ("name",))
    for datacenter in named(found.values(), name):
        return session.reference("Datacenter", datacenter.id)
    raise VsphereError(
        f"There is no datacenter {name!r} in vCenter {session.host}.", "Correct its name, or leave it out."
    )
