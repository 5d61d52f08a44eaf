"""The namespace `storage core`: adapters, paths, devices, and the calls that can shake the host."""

import time
from collections.abc import Iterable, Mapping

from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.stack import Adapter, Device
from tests.lab.esxi.wire import Done, EsxcliFault, Row, Rows, failed

_TRUE = frozenset({"1", "true"})
DRIVERS = {"iscsi": "iscsi_vmk", "fc": "lpfc", "sdc": "scini"}
LOCAL = "mpx.vmhba0:C0:T0:L0"
"""the disk that every host boots from"""
DEVICE_COLUMNS = (
    "ScsiDevice",
    (
        "Device,Display Name,Has Settable Display Name,Size,Device Type,Multipath Plugin,Devfs Path,Vendor,Model,"
        "Revision,SCSI Level,Is Pseudo,Status,Is RDM Capable,Is Local,Is Removable,Is SSD,Is VVOL PE,Is Offline,"
        "Is Perennially Reserved,Queue Full Sample Size,Queue Full Threshold,Thin Provisioning Status,Attached Filters,"
        "VAAI Status,Is Shared Clusterwide,Is Boot Device,Device Max Queue Depth,"
        "No of outstanding IOs with competing worlds"
    ),
)
PARTITION_COLUMNS = "DevicePartition", "Device,Partition,Start Sector,End Sector,Type,Size"
EXTENT_COLUMNS = "VmfsExtent", "Volume Name,VMFS UUID,Extent Number,Device Name,Partition"
DETACHED_COLUMNS = "DetachedDevices", "Device UID,State"
WORLD_COLUMNS = "WorldDevices", "Device,World ID,Open Count,World Name"
ADAPTER_COLUMNS = "HBADevice", "HBA Name,Driver,Link State,UID,Capabilities,Description"
PATH_COLUMNS = (
    "ScsiPath",
    (
        "UID,Runtime Name,Device,Device Display Name,Adapter,Channel,Target,LUN,Plugin,State,Transport,"
        "Adapter Identifier,Target Identifier,Adapter Transport Details,Target Transport Details"
    ),
)


def device_list(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List all devices, or one."""
    wanted = arguments.get("device")
    with host.stack.lock:
        if wanted and wanted != LOCAL:
            return Rows("ScsiDevice", [_device_row(host, _device(host, wanted))])
        rows = [] if wanted else [_device_row(host, device) for device in host.stack.devices.values()]
    return Rows("ScsiDevice", [_local_row(), *rows])


def device_set(host: EsxiHost, arguments: Mapping[str, str]) -> Done:
    """Switch a device on or off; off is refused while somebody writes to it."""
    naa, state = arguments["device"], arguments["state"]
    with host.recorder.during("detach" if state == "off" else "attach", naa), host.stack.lock:
        device = _device(host, naa)
        if state == "off" and (host.copies.writing_to(naa) or host.openers.get(naa) or host.readers(naa)):
            raise failed(f"Unable to set device's state: Cannot change the state of device {naa}: Busy")
        device.off = state == "off"
        (host.stack.detached.add if device.off else host.stack.detached.discard)(naa)
    return Done()


def detached_list(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List the devices that are to stay off, whether the host sees them or not."""
    wanted = arguments.get("device")
    with host.stack.lock:
        found = sorted(naa for naa in host.stack.detached if wanted in {None, naa})
    return Rows("DetachedDevices", [{"DeviceUID": naa, "State": "off"} for naa in found])


def detached_remove(host: EsxiHost, arguments: Mapping[str, str]) -> Done:
    """Forget that a device is to stay off; one that is off now stays off until it goes and comes back."""
    naa = arguments.get("device", "")
    with host.recorder.during("detached remove", naa), host.stack.lock:
        if arguments.get("all", "").lower() in _TRUE:
            host.stack.detached.clear()
        elif naa in host.stack.detached:
            host.stack.detached.remove(naa)
        else:
            raise _unknown(naa)
    return Done()


def world_list(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List who has a device open; the host itself has the one that it boots from."""
    wanted = arguments.get("device")
    if wanted and wanted != LOCAL:
        _device(host, wanted)
    worlds = [(LOCAL, 524_493, "vmsyslogd")]
    worlds += [(task.device, task.pid, "vmkfstools") for task in host.copies.running()]
    worlds += [(naa, *reader) for naa in host.stack.devices for reader in host.readers(naa)]
    worlds += [
        (naa, 2_100_000 + n, name) for naa, names in host.openers.items() for n, name in enumerate(names)
    ]
    rows = [
        {"Device": naa, "OpenCount": "1", "WorldID": str(number), "WorldName": name}
        for naa, number, name in worlds
        if wanted in {None, naa}
    ]
    return Rows("WorldDevices", rows)


def partition_list(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List the partitions of one device; its number 0 is the whole device."""
    naa = arguments["device"]
    device = _device(host, naa)
    rows = [
        {
            "Device": naa,
            "Partition": str(number),
            "StartSector": str(2048 * number),
            "EndSector": str(device.size // 512),
            "Type": kind,
            "Size": str(device.size),
        }
        for number, kind in enumerate(("0", *host.partitions.get(naa, ())))
    ]
    return Rows("DevicePartition", rows)


def vmfs_extents(host: EsxiHost, _arguments: Mapping[str, str]) -> Rows:
    """List the extents of all VMFS datastores that the host has mounted."""
    rows = [
        {
            "DeviceName": naa,
            "ExtentNumber": "0",
            "Partition": "1",
            "VMFSUUID": "5f1b0000-0000-0000-0000-000000000000",
            "VolumeName": name,
        }
        for naa, name in host.extents.items()
    ]
    return Rows("VmfsExtent", rows)


def adapter_list(host: EsxiHost, _arguments: Mapping[str, str]) -> Rows:
    """List the storage adapters."""
    rows = [
        {
            "Capabilities": "Second Level Lun ID",
            "Description": adapter.kind,
            "Driver": DRIVERS[adapter.kind],
            "HBAName": adapter.device,
            "LinkState": "online" if adapter.kind == "iscsi" else "link-up",
            "UID": adapter.identifier,
        }
        for adapter in host.adapters
    ]
    return Rows("HBADevice", rows)


def rescan(host: EsxiHost, arguments: Mapping[str, str]) -> Done:
    """Look for new paths, or forget dead ones, or both; takes its time, its effect comes at the end."""
    kind, adapters = arguments.get("type", "all"), list(_adapters(host, arguments))
    with host.recorder.during(f"rescan {kind}", ""):
        if kind in {"add", "all", "update"}:
            time.sleep(host.rescan_seconds)
        if kind in {"add", "all"}:
            host.stack.add(adapters)
        if kind in {"delete", "all"}:
            time.sleep(host.forget_seconds)
            host.stack.delete(adapters, frozenset(host.running_copies))
    return Done()


def path_list(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List all paths, or those to one device, or one path."""
    wanted, path = arguments.get("device"), arguments.get("path")
    if wanted:
        _device(host, wanted)
    with host.stack.lock:
        rows = [
            _path_row(host, adapter, lun_id, naa, target)
            for adapter in host.adapters
            for (name, lun_id), naa in host.stack.paths.items()
            if name == adapter.device and wanted in {None, naa}
            for target in range(host.stack.targets)
        ]
    return Rows("ScsiPath", [row for row in rows if path in {None, row["RuntimeName"], row["UID"]}])


def _adapters(host: EsxiHost, arguments: Mapping[str, str]) -> Iterable[Adapter]:
    wanted = arguments.get("adapter")
    if wanted:
        found = [adapter for adapter in host.adapters if adapter.device == wanted]
        if not found:
            raise failed(f"Unable to find adapter with name {wanted}")
        return found
    if arguments.get("all", "").lower() not in _TRUE:
        raise failed("You must specify either an adapter or all adapters")
    return host.adapters


def _device(host: EsxiHost, naa: str) -> Device:
    device = host.stack.devices.get(naa)
    if device is None:
        raise _unknown(naa)
    return device


def _unknown(naa: str) -> EsxcliFault:
    return failed(f"Unable to find device with name {naa}")


def _device_row(host: EsxiHost, device: Device) -> Row:
    lun = device.lun
    names = {name for (name, _), naa in host.stack.paths.items() if naa == device.naa}
    kinds = {adapter.kind for adapter in host.adapters if adapter.device in names}
    transport = "iSCSI" if kinds == {"iscsi"} else "Fibre Channel"
    status = host.stack.status(device)
    return _row(device.naa, f"{lun.vendor} {transport} Disk ({device.naa})", device.size) | {
        "IsOffline": "true" if device.off else "false",
        "Model": lun.model,
        "Status": status,
        "Vendor": lun.vendor,
    }


def _local_row() -> Row:
    return _row(LOCAL, f"Local VMware Disk ({LOCAL})", 32 << 30) | {
        "IsBootDevice": "true",
        "IsLocal": "true",
        "IsRDMCapable": "false",
        "VAAIStatus": "unsupported",
    }


def _row(name: str, shown: str, size: int) -> dict[str, str]:
    return {
        "AttachedFilters": "",
        "DevfsPath": f"/vmfs/devices/disks/{name}",
        "Device": name,
        "DeviceMaxQueueDepth": "128",
        "DeviceType": "Direct-Access",
        "DisplayName": shown,
        "HasSettableDisplayName": "true",
        "IsBootDevice": "false",
        "IsLocal": "false",
        "IsOffline": "false",
        "IsPerenniallyReserved": "false",
        "IsPseudo": "false",
        "IsRDMCapable": "true",
        "IsRemovable": "false",
        "IsSSD": "true",
        "IsSharedClusterwide": "true",
        "IsVVOLPE": "false",
        "Model": "Virtual disk",
        "MultipathPlugin": "NMP",
        "NoofoutstandingIOswithcompetingworlds": "32",
        "QueueFullSampleSize": "0",
        "QueueFullThreshold": "0",
        "Revision": "1.0",
        "SCSILevel": "6",
        "Size": str(size >> 20),
        "Status": "on",
        "ThinProvisioningStatus": "yes",
        "VAAIStatus": "supported",
        "Vendor": "VMware",
    }


def _path_row(host: EsxiHost, adapter: Adapter, lun_id: int, naa: str, target: int) -> dict[str, str]:
    lun = host.stack.devices[naa].lun
    remote = f"target-{target}"
    return {
        "Adapter": adapter.device,
        "AdapterIdentifier": adapter.identifier,
        "AdapterTransportDetails": (
            adapter.initiator if adapter.kind == "iscsi" else f"WWNN: {adapter.wwnn} WWPN: {adapter.wwpn}"
        ),
        "Channel": "0",
        "Device": naa,
        "DeviceDisplayName": f"{lun.vendor} Disk ({naa})",
        "LUN": str(lun_id),
        "Plugin": "NMP",
        "RuntimeName": f"{adapter.device}:C0:T{target}:L{lun_id}",
        "State": "active" if host.stack.alive(adapter.device, lun_id) else "dead",
        "Target": str(target),
        "TargetIdentifier": remote,
        "TargetTransportDetails": remote,
        "Transport": adapter.kind,
        "UID": f"{adapter.identifier}-{remote}-{naa}",
    }
