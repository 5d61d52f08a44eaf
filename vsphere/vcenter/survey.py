"""All disks of many VMs, and the hosts that have their datastores mounted: for those who plan copies.

However many VMs there are, it takes one call for their names, where any is given by name, one for each inventory
path, one for the VMs and one for datastores and hosts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from vsphere.errors import VcenterFault, VsphereError
from vsphere.model import Survey, SurveyedDisk
from vsphere.vcenter import mounts
from vsphere.vcenter.disks import disks_of
from vsphere.vcenter.properties import Properties, below, id_of, named, read
from vsphere.vcenter.session import Session

VM_PATHS = ("name", "runtime.host", "config.hardware.device", "datastore")
HOST_PATHS = ("name", "runtime.connectionState", "runtime.inMaintenanceMode")


def survey(session: Session, vms: Sequence[str]) -> Survey:
    """Return the disks of these VMs, each VM once; raise where one is not to be had.

    A VM is given by its managed object id, name or inventory path.
    """
    ids = list(dict.fromkeys(_ids(session, vms)))
    try:
        machines = read(session, ("VirtualMachine", VM_PATHS, ids))
    except VcenterFault as fault:
        if fault.name != "ManagedObjectNotFound":
            raise
        raise VsphereError(
            f"Not all of the VMs {', '.join(ids)} are in vCenter {session.host}: {fault.text}",
            "Correct the managed object ids, or name the VMs.",
        ) from fault
    store_ids = {id_of(store) for vm in machines.values() for store in vm.get("datastore", ())}
    stores = read(session, ("Datastore", mounts.PATHS, sorted(store_ids))) if store_ids else {}
    host_ids = {id_of(vm.get("runtime.host")) for vm in machines.values()} - {""}
    host_ids |= {host for store in stores.values() for host in mounts.mounted_on(store)}
    hosts = read(session, ("HostSystem", HOST_PATHS, sorted(host_ids))) if host_ids else {}
    disks = [disk for moid in ids for disk in _disks(machines[moid], stores, hosts)]
    return Survey(tuple(disks), {_name(store): _usable(store, hosts) for store in stores.values()})


def _ids(session: Session, vms: Sequence[str]) -> Iterable[str]:
    """Yield the managed object ids of the VMs."""
    by_name = [vm for vm in vms if "/" not in vm and not re.fullmatch(r"vm-\d+", vm)]
    known = below(session, session.content.rootFolder, "VirtualMachine", ("name",)) if by_name else {}
    for vm in vms:
        if vm in by_name:
            yield _only([found.id for found in named(known.values(), vm)], vm, session)
        elif "/" in vm:
            yield _only(_at(session, vm), vm, session)
        else:
            yield vm


def _at(session: Session, path: str) -> list[str]:
    index = session.content.searchIndex
    entity = session.read(lambda: index.FindByInventoryPath(path.strip("/")))
    return [id_of(entity)] if isinstance(entity, session.vim.VirtualMachine) else []


def _only(ids: Sequence[str], vm: str, session: Session) -> str:
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise VsphereError(
            f"There are {len(ids)} VMs named {vm}: {', '.join(sorted(ids))}.",
            "Name the VM by its managed object id.",
        )
    raise VsphereError(
        f"There is no VM {vm} in vCenter {session.host}.",
        "Give the VM's managed object id (vm-123), name or inventory path, and let the user read it.",
    )


def _disks(
    vm: Properties, stores: Mapping[str, Properties], hosts: Mapping[str, Properties]
) -> Iterable[SurveyedDisk]:
    """Yield a VM's disks, with what keeps each from being copied."""
    host = hosts.get(id_of(vm.get("runtime.host")))
    for disk in disks_of(vm.get("config.hardware.device", ()), None):
        link = disk.links[0]
        store = stores.get(link.datastore)
        problem = ""
        if host is None:
            problem = "its VM is on no host"
        elif any(link.encrypted for link in disk.links):
            problem = "it is encrypted"
        elif store is None:
            problem = "vCenter does not show its datastore"
        elif (kind := str(store.get("summary.type", "")).upper()) not in mounts.COPYABLE:
            problem = (
                f"no array can copy from a datastore of type {mounts.TITLES.get(kind, kind or 'unknown')}"
            )
        yield SurveyedDisk(
            str(vm.get("name", vm.id)),
            link.path,
            disk.capacity,
            _name(host) if host else "",
            _name(store) if store else "",
            problem,
        )


def _usable(store: Properties, hosts: Mapping[str, Properties]) -> frozenset[str]:
    """Return the names of the hosts that could copy from a datastore now."""
    there = (hosts[moid] for moid in mounts.mounted_on(store) if moid in hosts)
    return frozenset(
        _name(host)
        for host in there
        if host.get("runtime.connectionState") == "connected" and not host.get("runtime.inMaintenanceMode")
    )


def _name(of: Properties) -> str:
    return str(of.get("name", of.id))
