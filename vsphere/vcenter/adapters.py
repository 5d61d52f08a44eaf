"""Which storage adapters of a host may carry a copy, and what the array knows them by.

Pure, over pyVmomi's data objects: VMFS extent 0 -> SCSI LUN -> multipath LUN -> paths that are active -> adapter.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vsphere.model import Adapter, Initiator, InitiatorKind

DOWN = frozenset({"offline", "unbound", "fault"})
"""states of an adapter with no link; `unknown` is what some drivers report of one that works"""
SDC_DRIVER = "scini"
"""of the adapter that PowerFlex's client shows itself by"""


@dataclass(frozen=True)
class Storage:
    """The parts of a host's `config.storageDevice` that matter here."""

    adapters: Sequence[Any]
    luns: Sequence[Any]
    multipath: Any
    sdc_guid: str = ""
    """of PowerFlex's client, where the host has one"""


def adapters_for(devices: Collection[str], storage: Storage) -> tuple[Adapter, ...]:
    """Return the adapters that may reach the array, best first.

    First those with an active path to one of the devices (canonical names of the source's datastores), then the others
    that can work: online ones before those whose state is unknown, FC before iSCSI.
    """
    carrying = _active_adapter_keys(devices, storage)
    known = [(hba, adapter) for hba in storage.adapters if (adapter := parse_adapter(hba, storage.sdc_guid))]
    first = [adapter for hba, adapter in known if hba.key in carrying]
    others = [(hba, adapter) for hba, adapter in known if hba.key not in carrying and hba.status not in DOWN]
    others.sort(key=lambda pair: (pair[0].status != "online", pair[1].initiator.kind != InitiatorKind.FC))
    return (*first, *(adapter for _, adapter in others))


def initiators_of(storage: Storage) -> frozenset[Initiator]:
    """Return what arrays may know the host's adapters by, whatever the adapters' state."""
    known = (parse_adapter(hba, storage.sdc_guid) for hba in storage.adapters)
    return frozenset(adapter.initiator for adapter in known if adapter)


def has_sdc(adapters: Iterable[Any]) -> bool:
    """Return whether one of these adapters is PowerFlex's client."""
    return any(getattr(hba, "driver", None) == SDC_DRIVER for hba in adapters)


def parse_adapter(hba: Any, sdc_guid: str = "") -> Adapter | None:
    """Return a host bus adapter with its initiator, or None where there is none that an array could know.

    A Fibre Channel adapter whose world-wide names are zero has none yet. That of PowerFlex's client is shown as a Fibre
    Channel adapter with world-wide names that no array knows; what gives it away is its driver. It is known by a GUID.
    """
    if has_sdc([hba]):
        return Adapter(hba.device, Initiator(InitiatorKind.SDC, sdc_guid)) if sdc_guid else None
    if getattr(hba, "iScsiName", None):
        return Adapter(hba.device, Initiator(InitiatorKind.ISCSI, hba.iScsiName.lower()))
    if getattr(hba, "nodeWorldWideName", 0) and getattr(hba, "portWorldWideName", 0):
        return Adapter(hba.device, Initiator(InitiatorKind.FC, _wwn(hba.portWorldWideName)))
    return None


def describe(hba: Any) -> str:
    """Say of a host bus adapter why it may be of no use."""
    lack = ", GUID not known" if has_sdc([hba]) else "" if parse_adapter(hba) else ", no initiator"
    return f"{hba.device} ({hba.model.strip()}, {hba.status}{lack})"


def _active_adapter_keys(devices: Collection[str], storage: Storage) -> set[str]:
    luns = {lun.key for lun in storage.luns if lun.canonicalName in devices}
    multipath = [unit for unit in getattr(storage.multipath, "lun", None) or [] if unit.lun in luns]
    return {
        path.adapter for unit in multipath for path in unit.path if (path.state or path.pathState) == "active"
    }


def _wwn(number: int) -> str:
    """Return a world-wide name, which vSphere gives as a signed 64-bit number, in 16 hex digits."""
    return f"{number & 0xFFFF_FFFF_FFFF_FFFF:016x}"
