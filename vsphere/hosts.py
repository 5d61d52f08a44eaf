"""All hosts that a vCenter manages, and where each is reached: for what is done on them and not through vCenter."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from vsphere.errors import VsphereError
from vsphere.placement import NETWORK, management_addresses
from vsphere.properties import Properties, collect, property_spec
from vsphere.session import Session


@dataclass(frozen=True)
class ManagedHost:
    """A host as vCenter manages it."""

    name: str
    address: str
    """of its first management interface; empty where vCenter tells none"""


def find_hosts(session: Session, datacenter: str = "") -> tuple[ManagedHost, ...]:
    """Return all hosts, sorted by name; those of one datacenter where it is named."""
    container = _datacenter(session, datacenter) if datacenter else session.content.rootFolder
    hosts = []
    for moid, found in _below(session, container, "HostSystem", ("name", NETWORK)).items():
        addresses = management_addresses(found.get(NETWORK) or ())
        hosts.append(ManagedHost(str(found.get("name", moid)), addresses[0] if addresses else ""))
    return tuple(sorted(hosts, key=lambda host: host.name))


def _datacenter(session: Session, name: str) -> Any:
    """Return the datacenter of that name; vCenter tells names with some characters percent-encoded."""
    for moid, found in _below(session, session.content.rootFolder, "Datacenter", ("name",)).items():
        if unquote(found.get("name", "")) == unquote(name):
            return session.reference("Datacenter", moid)
    raise VsphereError(
        f"There is no datacenter {name!r} in vCenter {session.host}.", "Correct its name, or leave it out."
    )


def _below(session: Session, container: Any, kind: str, paths: Sequence[str]) -> dict[str, Properties]:
    """Read properties of all objects of a type that lie anywhere below a container."""
    content, vim = session.content, session.vim
    view = session.read(
        lambda: content.viewManager.CreateContainerView(container, [getattr(vim, kind)], True)
    )
    members = vim.PropertyCollector.TraversalSpec(path="view", skip=False, type=vim.view.ContainerView)
    start = vim.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[members])
    try:
        return collect(session, [property_spec(session, kind, paths)], [start])
    finally:
        with suppress(VsphereError):
            session.call(view.DestroyView)
