"""The inventory: VM, disk, datastores and host as frozen values, read by the PropertyCollector in few round trips.

Asks for exactly the properties needed: reading attributes of managed objects would fetch whole subtrees, one
round trip each. A disk of a VM known by its id takes one call, a few more where the VM is known by name, and one more
for a link of a chain that is not the newest; a host takes one call, and one more with PowerFlex's client.
"""

import logging
from collections.abc import Sequence

from vsphere.errors import HostUnfit, VcenterFault, VsphereError
from vsphere.model import EsxiHost, HostState, Link, SourceDisk
from vsphere.paths import parse_vmdk
from vsphere.vcenter import mounts
from vsphere.vcenter.adapters import Storage, adapters_for, describe, has_sdc, initiators_of
from vsphere.vcenter.disks import VmDisk, disks_of
from vsphere.vcenter.modules import MODULES, find_sdc_guid
from vsphere.vcenter.properties import Properties, id_of, read
from vsphere.vcenter.session import Session
from vsphere.vcenter.vms import find_frozen_capacities, find_vm

log = logging.getLogger(__name__)

STORAGE = "config.storageDevice"
GONE = "ManagedObjectNotFound"
STATE_PATHS = ("name", "runtime.connectionState", "runtime.inMaintenanceMode")
HOST_PATHS = (
    *STATE_PATHS,
    f"{STORAGE}.hostBusAdapter",
    f"{STORAGE}.scsiLun",
    f"{STORAGE}.multipathInfo",
    MODULES,
)


def find_disk(session: Session, vm: str, vmdk: str) -> SourceDisk:
    """Find a VM's disk by the link of its chain that is to be copied; raise what keeps that from being copied.

    `vm` is a managed object id, a name or an inventory path.
    """
    found = find_vm(session, vm)
    disk, links = _find_links(found, vmdk)
    _check_readable(links)
    _tell_what_is_copied(found, disk, links)
    host = "" if found.withheld("runtime.host") else id_of(found.get("runtime.host"))
    capacity = _capacity(session, found, disk, links[0])
    stores, running = _store_ids(found, links), _is_running(found)
    return SourceDisk(links, capacity, found.id, host, stores, running)


def find_host(session: Session, disk: SourceDisk, migration_host: str = "") -> EsxiHost:
    """Find the host to copy a disk on; raise what keeps it from that.

    `migration_host` is a managed object id, empty for the VM's own host.
    """
    host_id = migration_host or disk.host or _host_of(session, disk.vm)
    host, stores = _read_host(session, host_id, disk.datastores)
    _check_usable(host)
    mounted = mounts.stores_of(disk.links, stores)
    for link, store in zip(disk.links, mounted, strict=True):
        _check_mounted(session, link, store, host)
    return _host(session, host, [mounts.device_of(store) for store in mounted])


def host_states(session: Session, disk: SourceDisk, named: Sequence[str] = ()) -> tuple[HostState, ...]:
    """Return the hosts that have a disk's datastores mounted, or those that are named; in two calls.

    Raises where no host can copy from such a datastore.
    """
    stores = read(session, ("Datastore", mounts.PATHS, disk.datastores))
    under = mounts.stores_of(disk.links, stores)
    hosts = _read_states(
        session, named or sorted({host for store in under for host in mounts.known_to(store)})
    )
    return tuple(_state(host, under) for host in hosts)


def find_host_by_id(session: Session, host_id: str) -> EsxiHost:
    """Return a host with all adapters that can work, to put things in order there; raise unless it is connected."""
    host, _ = _read_host(session, host_id, ())
    _check_connected(host)
    return _host(session, host, ())


def hosts_of(session: Session, datastore: str) -> dict[str, str]:
    """Return the names of the hosts that can use a datastore now, by managed object id; in two calls."""
    store = read(session, ("Datastore", ("name", "host"), [datastore]))[datastore]
    ids = mounts.mounted_on(store)
    hosts = read(session, ("HostSystem", ("name",), ids)) if ids else {}
    return {moid: str(host.get("name", moid)) for moid, host in hosts.items()}


def boot_time(session: Session, host_id: str) -> str:
    """Return when a host started, in a form to compare; another value later means that it has restarted.

    Raises where vCenter does not report it: that must not be taken for a restart.
    """
    host = read(session, ("HostSystem", ("name", "runtime.bootTime"), [host_id]))[host_id]
    moment = host.get("runtime.bootTime")
    if moment is None:
        raise VsphereError(
            f"vCenter does not report when {host} was started.", "Check the host's connection to vCenter."
        )
    return str(moment)


def _find_links(vm: Properties, vmdk: str) -> tuple[VmDisk, tuple[Link, ...]]:
    """Return the disk that has the path in its chain, and of its links that one with those it inherits from."""
    layout = None if vm.withheld("layoutEx") else vm.get("layoutEx")  # it serves the metrics alone
    disks = disks_of(vm.get("config.hardware.device", []), layout)
    path = str(parse_vmdk(vmdk))
    for disk in disks:
        if links := disk.at(path):
            return disk, links
    has = ", ".join(f"{link.path!r} ({disk.label})" for disk in disks for link in disk.links) or "none"
    raise VsphereError(
        f"{vm.subject} has no disk {vmdk!r}; its disks are: {has}.", "Correct the VMDK's path."
    )


def _check_readable(links: Sequence[Link]) -> None:
    for link in links:
        if link.encrypted:
            raise VsphereError(
                f"{link.path!r} is encrypted; what vmkfstools would copy of it cannot be used without its key.",
                "Decrypt the disk (give it a storage policy without encryption), or migrate it without copy offload.",
            )


def _store_ids(vm: Properties, links: Sequence[Link]) -> tuple[str, ...]:
    """Return the ids of the links' datastores; of all that the VM uses where not each link names its own."""
    ids = [link.datastore for link in links]
    if "" in ids:
        ids += [id_of(store) for store in vm.get("datastore", [])]
    return tuple(dict.fromkeys(moid for moid in ids if moid))


def _host_of(session: Session, vm: str) -> str:
    """Return the id of the VM's host, asked for once more; raise why there is none."""
    found = read(session, ("VirtualMachine", ("name", "runtime.host"), [vm]))[vm]
    if host := id_of(found.get("runtime.host")):
        return host
    raise VsphereError(f"{found.subject} is on no host.", "Name a migration host, or register the VM.")


def _read_host(
    session: Session, host_id: str, stores: Sequence[str]
) -> tuple[Properties, dict[str, Properties]]:
    """Read the host and the datastores in one call."""
    try:
        objects = read(session, ("HostSystem", HOST_PATHS, [host_id]), ("Datastore", mounts.PATHS, stores))
    except VcenterFault as fault:
        if fault.name != GONE:
            raise
        raise HostUnfit(
            f"There is no ESXi host {host_id} in vCenter.", "Correct the migration host."
        ) from fault
    return objects.pop(host_id), objects


def _check_usable(host: Properties) -> None:
    _check_connected(host)
    if host.get("runtime.inMaintenanceMode"):
        raise HostUnfit(
            f"{host.subject} is in maintenance mode.", "End that, or choose another migration host."
        )


def _check_connected(host: Properties) -> None:
    state = str(host.get("runtime.connectionState", "unknown"))
    if state != "connected":
        raise HostUnfit(
            f"{host.subject} is not usable: vCenter says it is {state}.",
            "Reconnect it, or choose another one.",
        )


def _read_states(session: Session, ids: Sequence[str]) -> list[Properties]:
    """Read hosts in one call; one by one where vCenter does not have all of them."""
    try:
        return list(read(session, ("HostSystem", STATE_PATHS, ids)).values()) if ids else []
    except VcenterFault as fault:
        if fault.name != GONE:
            raise
        if len(ids) == 1:
            return [Properties("HostSystem", ids[0], {})]
    return [host for moid in ids for host in _read_states(session, [moid])]


def _state(host: Properties, stores: Sequence[Properties]) -> HostState:
    """Read the state of a host; what vCenter withholds of it is no reason to do without the others."""
    known = {path: None if host.withheld(path) else host.get(path) for path in STATE_PATHS}
    lacks = dict.fromkeys(
        str(store.get("name", store.id)) for store in stores if host.id not in mounts.mounted_on(store)
    )
    return HostState(
        id=host.id,
        name=str(known["name"] or host.id),
        exists=any(host.withheld(path) or known[path] is not None for path in STATE_PATHS),
        connection=str(known["runtime.connectionState"] or "unknown"),
        maintenance=bool(known["runtime.inMaintenanceMode"]),
        lacks=tuple(lacks),
    )


def _check_mounted(session: Session, link: Link, store: Properties, host: Properties) -> None:
    if host.id in mounts.mounted_on(store):
        return
    name = parse_vmdk(link.path).datastore
    try:
        others = hosts_of(session, store.id)
    except VsphereError as error:
        log.debug("the hosts that have %s are not known: %s", store, error.text)
        others = {}
    listed = ", ".join(f"{name} ({moid})" for moid, name in sorted(others.items(), key=lambda item: item[1]))
    raise HostUnfit(
        f"{host.subject} does not have datastore {name!r} mounted, on which {link.path!r} lies.",
        f"Choose a migration host that has it{f': {listed};' if listed else ','} or mount it there.",
    )


def _is_running(vm: Properties) -> bool:
    return not vm.withheld("runtime.powerState") and str(vm.get("runtime.powerState")) != "poweredOff"


def _tell_what_is_copied(vm: Properties, disk: VmDisk, links: Sequence[Link]) -> None:
    """Log what a chain's link inherits; warn where later links are left out though no later step will bring them."""
    link, later = links[0], [member.path for member in disk.links[: len(disk.links) - len(links)]]
    if len(links) > 1:
        log.info(
            "copying %s with what it inherits from %s",
            link.path,
            ", ".join(member.path for member in links[1:]),
        )
    if later and str(vm.get("runtime.powerState")) != "poweredOn":
        log.warning(
            "%s is not running, and %s was named: what the VM wrote later, to %s, is not copied",
            vm,
            link.path,
            ", ".join(later),
        )


def _capacity(session: Session, vm: Properties, disk: VmDisk, link: Link) -> int:
    """Return a link's own capacity: disks can be enlarged, so earlier links may be smaller than the newest.

    Where no snapshot of the VM says, the disk's capacity is an upper bound.
    """
    if link == disk.links[0]:
        return disk.capacity
    return find_frozen_capacities(session, vm.id).get(link.path, disk.capacity)


def _host(session: Session, host: Properties, devices: Sequence[str]) -> EsxiHost:
    adapters_seen = host.get(f"{STORAGE}.hostBusAdapter", [])
    storage = Storage(
        adapters_seen,
        host.get(f"{STORAGE}.scsiLun", []),
        host.get(f"{STORAGE}.multipathInfo"),
        find_sdc_guid(session, host) if has_sdc(adapters_seen) else "",
    )
    adapters = adapters_for([device for device in devices if device], storage)
    if not adapters:
        has = ", ".join(describe(hba) for hba in storage.adapters) or "none"
        raise HostUnfit(
            f"{host.subject} has no Fibre Channel or iSCSI adapter that could reach the array; it has: {has}.",
            "Give the vCenter user the privilege Host.Config.Settings: the GUID of PowerFlex's client is an option of "
            "its kernel module."
            if has_sdc(adapters_seen)
            else "Choose a host that reaches the array's SAN, or bring its adapters online.",
        )
    return EsxiHost(host.id, str(host.get("name", host.id)), adapters, initiators_of(storage))
