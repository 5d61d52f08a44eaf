"""Which storage adapters of a host carry a datastore, and what the array knows them by.

Pure, over pyVmomi's data objects: VMFS extent 0 -> SCSI LUN -> multipath LUN -> paths that are active -> adapter.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from vsphere.host import Adapter


@dataclass(frozen=True)
class Storage:
    """The parts of a host's `config.storageDevice` that matter here."""

    adapters: Sequence[Any]
    luns: Sequence[Any]
    multipath: Any


def adapters_for(devices: Collection[str], storage: Storage) -> tuple[Adapter, ...]:
    """Return the adapters with an active path to a device; with none, the first FC, else the first iSCSI one.

    `devices` are the canonical names of the first extents of the source's datastores.
    """
    keys = _active_adapter_keys(devices, storage)
    known = [(hba.key, adapter) for hba in storage.adapters if (adapter := parse_adapter(hba))]
    carrying = tuple(adapter for key, adapter in known if key in keys)
    return carrying or tuple(sorted((adapter for _, adapter in known), key=_fc_first)[:1])


def parse_adapter(hba: Any) -> Adapter | None:
    """Return a host bus adapter with its initiator, or None where no array can be told of it."""
    if getattr(hba, "iScsiName", None):
        return Adapter(hba.device, hba.iScsiName.lower())
    if hasattr(hba, "portWorldWideName"):
        return Adapter(hba.device, f"fc.{_wwn(hba.nodeWorldWideName)}:{_wwn(hba.portWorldWideName)}")
    return None


def _active_adapter_keys(devices: Collection[str], storage: Storage) -> set[str]:
    luns = {lun.key for lun in storage.luns if lun.canonicalName in devices}
    multipath = [one for one in getattr(storage.multipath, "lun", None) or [] if one.lun in luns]
    return {
        path.adapter for one in multipath for path in one.path if (path.state or path.pathState) == "active"
    }


def _wwn(number: int) -> str:
    """Return a world-wide name, which vSphere gives as a signed 64-bit number, in 16 hex digits."""
    return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _fc_first(adapter: Adapter) -> bool:
    return adapter.protocol != "fc"
