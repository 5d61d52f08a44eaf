"""Where hosts and their files are found besides vCenter's API: management addresses, and the path of a datacenter."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vsphere.errors import Setting, VsphereError
from vsphere.vcenter.properties import Properties, collect, id_of, property_spec, unseen
from vsphere.vcenter.session import Session

NETWORK = "config.virtualNicManagerInfo.netConfig"


@dataclass(frozen=True)
class Placement:
    """Where a host is."""

    address: str
    """of its first management interface"""
    datacenter: str
    """managed object id"""
    datacenter_path: str
    """inventory path below the root folder, `folder/datacenter`"""


def find_placement(session: Session, host_id: str, host_name: str) -> Placement:
    """Find a host's management address and its datacenter in one call; raise what is missing."""
    vim = session.vim
    up = vim.PropertyCollector.TraversalSpec(
        name="up",
        path="parent",
        skip=False,
        type=vim.ManagedEntity,
        selectSet=[vim.PropertyCollector.SelectionSpec(name="up")],
    )
    start = vim.PropertyCollector.ObjectSpec(
        obj=session.reference("HostSystem", host_id), skip=False, selectSet=[up]
    )
    wanted = [
        property_spec(session, "ManagedEntity", ("name", "parent")),
        property_spec(session, "HostSystem", (NETWORK,)),
    ]
    found = collect(session, wanted, [start])
    addresses = management_addresses(found.get(host_id, unseen("HostSystem", host_id)).get(NETWORK, ()))
    if not addresses:
        raise VsphereError(
            f"vCenter reports no management address of host {host_name}.",
            "Mark one of its VMkernel adapters for management traffic, or use the method vib.",
            Setting.CLONE_METHOD,
        )
    root = id_of(session.content.rootFolder)
    above = list(_ancestors(found, host_id, root))
    for place, one in enumerate(above):
        if isinstance(one, vim.Datacenter):
            names = [str(found[id_of(each)].get("name", "")) for each in reversed(above[place:])]
            return Placement(addresses[0], id_of(one), "/".join(names))
    raise VsphereError(
        f"vCenter does not show the datacenter of host {host_name}.",
        "Let the vCenter user read the datacenter.",
    )


def management_addresses(network: Iterable[Any]) -> list[str]:
    """Return the addresses of the interfaces that carry management traffic, in vSphere's order."""
    addresses = []
    for config in network:
        if config.nicType == "management":
            by_key = {nic.key: nic.spec.ip for nic in config.candidateVnic or ()}
            selected = [by_key[key] for key in config.selectedVnic or () if key in by_key]
            addresses += [ip.ipAddress for ip in selected if ip and ip.ipAddress]
    return addresses


def _ancestors(found: dict[str, Properties], moid: str, root: str) -> Iterable[Any]:
    """Yield a host's parent, grandparent, and so on below the root folder, which many users may not read."""
    while moid in found and (parent := found[moid].get("parent")) is not None and id_of(parent) != root:
        yield parent
        moid = id_of(parent)
