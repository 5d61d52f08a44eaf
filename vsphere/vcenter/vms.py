"""Virtual machines: found by id, name or inventory path, their state, and what their snapshots froze."""

import re

from vsphere.errors import VcenterFault, VsphereError
from vsphere.vcenter.disks import frozen_capacities
from vsphere.vcenter.properties import Properties, below, collect, id_of, named, read
from vsphere.vcenter.session import Session

PATHS = (
    "name",
    "runtime.host",
    "runtime.connectionState",
    "runtime.powerState",
    "config.hardware.device",
    "layoutEx",
    "datastore",
)
STATES = {
    "disconnected": ("vCenter has no connection to its host", "Reconnect the host in vCenter."),
    "orphaned": (
        "vCenter still lists it, but its host does not know it any more",
        "Remove it from the inventory and register it again from its .vmx file.",
    ),
    "inaccessible": (
        "its host cannot read its configuration file",
        "Look at the host's paths to the datastore with the VM's folder.",
    ),
    "invalid": (
        "its configuration cannot be used, or the key of an encrypted VM is missing",
        "Look at the VM's events in vCenter; register it again when its .vmx file is in order.",
    ),
}
"""connection states of a VM that cannot be worked with: what they mean, and what to do"""


def find_vm(session: Session, vm: str) -> Properties:
    """Return the one VM that is meant; raise where there is none, several, or one that vCenter cannot work with.

    `vm` is a managed object id, a name or an inventory path.
    """
    found = _find(session, vm)
    state = str(found.get("runtime.connectionState", ""))
    if state and state != "connected":
        meaning, hint = STATES.get(
            state, ("vCenter cannot work with it", "Look at the VM's events in vCenter.")
        )
        raise VsphereError(f"{found.subject} is {state}: {meaning}.", hint)
    return found


def find_frozen_capacities(session: Session, vm: str) -> dict[str, int]:
    """Return the capacity of each link that a snapshot of the VM froze, by path; in one call.

    A link that no snapshot of this VM has, like the base of a linked clone, is not among them.
    """
    vim = session.vim
    spec = vim.PropertyCollector.TraversalSpec
    again = vim.PropertyCollector.SelectionSpec(name="children")
    children = spec(
        name="children", type=vim.vm.Snapshot, path="childSnapshot", skip=False, selectSet=[again]
    )
    roots = spec(type=vim.VirtualMachine, path="rootSnapshot", skip=False, selectSet=[children])
    start = vim.PropertyCollector.ObjectSpec(
        obj=session.reference("VirtualMachine", vm), skip=True, selectSet=[roots]
    )
    wanted = vim.PropertyCollector.PropertySpec(
        type=vim.vm.Snapshot, all=False, pathSet=["config.hardware.device"]
    )
    capacities: dict[str, int] = {}
    for snapshot in collect(session, [wanted], [start]).values():
        capacities |= frozen_capacities(snapshot.get("config.hardware.device", ()))
    return capacities


def _find(session: Session, vm: str) -> Properties:
    """Return the properties of the one VM that is meant."""
    if re.fullmatch(r"vm-\d+", vm):
        try:
            return read(session, ("VirtualMachine", PATHS, [vm]))[vm]
        except VcenterFault as fault:
            if fault.name != "ManagedObjectNotFound":
                raise
    if "/" in vm:
        index = session.content.searchIndex
        entity = session.read(lambda: index.FindByInventoryPath(vm.strip("/")))
        ids = [id_of(entity)] if isinstance(entity, session.vim.VirtualMachine) else []
    else:
        ids = _ids_by_name(session, vm)
    if len(ids) > 1:
        raise VsphereError(
            f"There are {len(ids)} VMs named {vm}: {', '.join(sorted(ids))}.",
            "Name the VM by its managed object id.",
        )
    if not ids:
        raise VsphereError(
            f"There is no VM {vm} in vCenter {session.host}.",
            "Give the VM's managed object id (vm-123), name or inventory path, and let the user read it.",
        )
    return read(session, ("VirtualMachine", PATHS, ids))[ids[0]]


def _ids_by_name(session: Session, name: str) -> list[str]:
    """Return the ids of all VMs of that name."""
    found = below(session, session.content.rootFolder, "VirtualMachine", ("name",))
    return [vm.id for vm in named(found.values(), name)]
