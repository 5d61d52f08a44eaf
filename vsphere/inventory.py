"""The inventory: VM, disk, datastore and host as frozen values, read by the PropertyCollector in few round trips.

Asks for exactly the properties needed: reading attributes of managed objects would fetch whole subtrees, one
round trip each. Two calls for a VM known by its id, a few more for one known by name.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from vsphere.adapters import Storage, adapters_for
from vsphere.disks import VmDisk, disks_of, find_disk
from vsphere.errors import VcenterFault, VsphereError
from vsphere.host import Adapter, EsxiHost, SourceDisk
from vsphere.session import Session
from vsphere.vmdk import parse_vmdk

log = logging.getLogger(__name__)

Properties = dict[str, Any]
VM_PATHS = ("name", "runtime.host", "config.hardware.device", "layoutEx", "datastore")
STORAGE = "config.storageDevice"
HOST_PATHS = (
    "name",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    f"{STORAGE}.hostBusAdapter",
    f"{STORAGE}.scsiLun",
    f"{STORAGE}.multipathInfo",
)
DATASTORE_PATHS = ("name", "info", "host")


def find_source(
    session: Session, vm: str, vmdk: str, migration_host: str = ""
) -> tuple[SourceDisk, EsxiHost]:
    """Find a VM's disk by a path in its chain, and the host to copy it on; raise what keeps them from being used.

    `vm` is a managed object id, a name or an inventory path; `migration_host` an id, empty for the VM's own host.
    """
    found = _find_vm(session, vm)
    disk = _find_disk(found, vmdk)
    path = parse_vmdk(disk.path)
    host_id = migration_host or _id(found.get("runtime.host"))
    if not host_id:
        raise VsphereError(f"VM {found['name']} is on no host.", "Name a migration host, or register the VM.")
    stores = found.get("datastore", [])
    try:
        objects = _read(
            session, ("HostSystem", HOST_PATHS, [host_id]), ("Datastore", DATASTORE_PATHS, map(_id, stores))
        )
    except VcenterFault as fault:
        if fault.name != "ManagedObjectNotFound":
            raise
        raise VsphereError(
            f"There is no ESXi host {host_id} in vCenter.", "Correct the migration host."
        ) from fault
    host = objects.pop(host_id, {})
    name = _usable_host_name(host_id, host)
    store = _mounted(path.datastore, objects.values(), host_id, name)
    return disk, EsxiHost(host_id, name, _adapters(host, store, name))


def boot_time(session: Session, host_id: str) -> str:
    """Return when a host started, in a form to compare; another value later means that it has restarted."""
    found = _read(session, ("HostSystem", ("runtime.bootTime",), [host_id]))
    return str(found.get(host_id, {}).get("runtime.bootTime", ""))


def _find_vm(session: Session, vm: str) -> Properties:
    """Return the properties of the one VM that is meant."""
    if re.fullmatch(r"vm-\d+", vm):
        try:
            return _read(session, ("VirtualMachine", VM_PATHS, [vm]))[vm]
        except VcenterFault as fault:
            if fault.name != "ManagedObjectNotFound":
                raise
    if "/" in vm:
        index = session.content.searchIndex
        one = session.read(lambda: index.FindByInventoryPath(vm.strip("/")))
        ids = [_id(one)] if isinstance(one, session.vim.VirtualMachine) else []
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
    return _read(session, ("VirtualMachine", VM_PATHS, ids))[ids[0]]


def _ids_by_name(session: Session, name: str) -> list[str]:
    """Return the ids of all VMs of that name; vCenter tells names with some characters percent-encoded."""
    content, vim = session.content, session.vim
    view = session.read(
        lambda: content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    )
    members = vim.PropertyCollector.TraversalSpec(path="view", skip=False, type=vim.view.ContainerView)
    start = vim.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[members])
    try:
        found = _collect(session, [_property_spec(session, "VirtualMachine", ["name"])], [start])
    finally:
        with suppress(VsphereError):
            session.call(view.DestroyView)
    return [moid for moid, values in found.items() if unquote(values.get("name", "")) == unquote(name)]


def _find_disk(vm: Properties, vmdk: str) -> SourceDisk:
    """Return the base of the disk that has the path in its chain."""
    disks = disks_of(vm.get("config.hardware.device", []), vm.get("layoutEx"))
    disk = find_disk(disks, str(parse_vmdk(vmdk)))
    if disk is None:
        has = ", ".join(_describe(one) for one in disks) or "none"
        raise VsphereError(
            f"VM {vm['name']} has no disk {vmdk!r}; its disks are: {has}.", "Correct the VMDK's path."
        )
    if disk.base.path != vmdk:
        log.info("%s belongs to a chain; copying its base, %s", vmdk, disk.base.path)
    return disk.base


def _describe(disk: VmDisk) -> str:
    return f"{disk.base.path!r} ({disk.label})"


def _usable_host_name(host_id: str, host: Properties) -> str:
    name = str(host.get("name", host_id))
    state = str(host.get("runtime.connectionState", "unknown"))
    if state != "connected":
        raise VsphereError(
            f"Host {name} ({host_id}) is not usable: vCenter says it is {state}.",
            "Reconnect it, or choose another one.",
        )
    if host.get("runtime.inMaintenanceMode"):
        raise VsphereError(
            f"Host {name} ({host_id}) is in maintenance mode.", "End that, or choose another migration host."
        )
    return name


def _mounted(datastore: str, stores: Iterable[Properties], host_id: str, host_name: str) -> Properties:
    """Return the disk's datastore; raise unless the host has it mounted."""
    store = next(
        (one for one in stores if datastore in {one.get("name"), unquote(one.get("name", ""))}), None
    )
    if store is None:
        raise VsphereError(
            f"vCenter does not show the VM's datastore {datastore!r}.",
            "Let the vCenter user read the datastore.",
        )
    for mount in store.get("host", []):
        info = mount.mountInfo
        if _id(mount.key) == host_id and info.accessible is not False and info.mounted is not False:
            return store
    raise VsphereError(
        f"Host {host_name} ({host_id}) does not have datastore {datastore!r} mounted.",
        "Choose a migration host that has it, or mount it there.",
    )


def _adapters(host: Properties, store: Properties, host_name: str) -> tuple[Adapter, ...]:
    """Return the adapters whose initiators the array has to know."""
    storage = Storage(
        host.get(f"{STORAGE}.hostBusAdapter", []),
        host.get(f"{STORAGE}.scsiLun", []),
        host.get(f"{STORAGE}.multipathInfo"),
    )
    extents = getattr(getattr(store.get("info"), "vmfs", None), "extent", None) or []
    adapters = adapters_for(extents[0].diskName if extents else "", storage)
    if not adapters:
        raise VsphereError(
            f"Host {host_name} has no Fibre Channel or iSCSI adapter.",
            "Choose a host that reaches the array's SAN.",
        )
    return adapters


def _id(reference: Any) -> str:
    """Return a managed object's id; empty for none."""
    return "" if reference is None else str(reference._GetMoId())


def _property_spec(session: Session, kind: str, paths: Sequence[str]) -> Any:
    vim = session.vim
    return vim.PropertyCollector.PropertySpec(type=getattr(vim, kind), all=False, pathSet=list(paths))


def _read(session: Session, *wanted: tuple[str, Sequence[str], Iterable[str]]) -> dict[str, Properties]:
    """Read properties of objects known by type and id, all in one call; what may not be read is left out."""
    vim = session.vim
    kinds = [_property_spec(session, kind, paths) for kind, paths, _ in wanted]
    objects = [
        vim.PropertyCollector.ObjectSpec(obj=session.reference(kind, moid), skip=False)
        for kind, _, ids in wanted
        for moid in ids
    ]
    return _collect(session, kinds, objects)


def _collect(session: Session, kinds: list[Any], objects: list[Any]) -> dict[str, Properties]:
    vim, collector = session.vim, session.content.propertyCollector
    specs = [vim.PropertyCollector.FilterSpec(propSet=kinds, objectSet=objects)]
    options = vim.PropertyCollector.RetrieveOptions()
    found: dict[str, Properties] = {}

    def retrieve() -> Any:
        first = collector.RetrievePropertiesEx(specs, options)
        # To a session that has expired vCenter answers, with nothing but this among what is missing.
        for missing in (each for one in first.objects if first for each in one.missingSet):
            if isinstance(missing.fault, vim.fault.NotAuthenticated):
                raise missing.fault
        return first

    page = session.read(retrieve)
    while page is not None:
        for one in page.objects:
            found[_id(one.obj)] = {item.name: item.val for item in one.propSet}
        token = page.token
        page = session.call(lambda: collector.ContinueRetrievePropertiesEx(token)) if token else None  # noqa: B023
    return found
