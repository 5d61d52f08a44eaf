"""Look-ups for who wants to know whether a copy would work: a VM's disks, the devices below them, a host's clock.

They change nothing. What a copy itself needs is looked up in `inventory`.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from vsphere.errors import VsphereError
from vsphere.model import SourceDisk
from vsphere.vcenter import mounts
from vsphere.vcenter.disks import disks_of
from vsphere.vcenter.inventory import STORAGE
from vsphere.vcenter.properties import Properties, read
from vsphere.vcenter.seen import SeenHost, SeenVm, parse_devices
from vsphere.vcenter.session import Session
from vsphere.vcenter.vms import find_vm

CLOCK = "configManager.dateTimeSystem"
HOST_PATHS = ("name", CLOCK, f"{STORAGE}.scsiLun", f"{STORAGE}.multipathInfo")


def see_vm(session: Session, vm: str) -> SeenVm:
    """Return the one VM that is meant, by managed object id, name or inventory path."""
    found = find_vm(session, vm)
    name = found.id if found.withheld("name") else str(found.get("name", found.id))
    power = "" if found.withheld("runtime.powerState") else str(found.get("runtime.powerState", ""))
    disks = disks_of(found.get("config.hardware.device", []), None)
    return SeenVm(found.id, name, power, tuple(disk.links[0].path for disk in disks))


def find_devices(session: Session, disk: SourceDisk) -> tuple[str, ...]:
    """Return the devices (`naa.…`) below the datastores of a disk's links; raise where it cannot be copied from one."""
    stores = read(session, ("Datastore", mounts.PATHS, disk.datastores))
    devices = (mounts.device_of(store) for store in mounts.stores_of(disk.links, stores))
    return tuple(dict.fromkeys(device for device in devices if device))


def see_host(session: Session, host_id: str, devices: Collection[str]) -> SeenHost:
    """Return what vCenter says of a host and of those of its devices."""
    host = read(session, ("HostSystem", HOST_PATHS, [host_id]))[host_id]
    seen = parse_devices(devices, host.get(f"{STORAGE}.scsiLun", ()), host.get(f"{STORAGE}.multipathInfo"))
    return SeenHost(host_id, str(host.get("name", host_id)), _clock_of(session, host), seen)


def server_time(session: Session) -> datetime:
    """Return the time by vCenter's own clock."""
    instance = session.reference("ServiceInstance", "ServiceInstance")
    return _utc(session.read(instance.CurrentTime))


def _clock_of(session: Session, host: Properties) -> datetime | None:
    system = None if host.withheld(CLOCK) else host.get(CLOCK)
    if system is None:
        return None
    try:
        return _utc(session.read(system.QueryDateTime))
    except VsphereError:
        return None


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
