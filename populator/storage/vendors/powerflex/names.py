"""PowerFlex's names: volume handles, GUIDs of SDCs, versions, device names. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from populator.storage.array import Volume
from populator.storage.initiators import listed
from vsphere.model import Initiator, InitiatorKind

ID = re.compile(r"[0-9a-f]{16}")
"""of a system, a volume or an SDC, in lower case"""
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAME = "Name"
"""the volume attribute that holds the volume's name on the array"""
API_VERSION = re.compile(r"\d+(\.\d+)+")
COMPONENT_VERSION = re.compile(r"R\s*(\d+)[._](\d+)((?:\.\d+)*)")
"""as in `DellEMC PowerFlex Version: R4_5.2100.105`"""
CSI_HINT = "The volume must be a block volume of Dell's CSI driver, csi-vxflexos.dellemc.com."


@dataclass(frozen=True)
class Place:
    """Which volume of which system."""

    volume: str
    """its id"""
    system: str = ""
    """id or name; empty where the handle is of the CSI driver's first versions, which served one system"""
    name: str = ""
    """what the array has to call it; empty where the volume does not say"""


def place(volume: Volume) -> Place:
    """Read `<system>-<volume id>`, or a volume's id alone; a system's name may hold dashes."""
    if "/" in volume.handle:
        raise StorageError(
            f"The handle {volume.handle!r} of the volume {volume.name!r} is that of a file share.", CSI_HINT
        )
    system, _, key = volume.handle.strip().rpartition("-")
    if not ID.fullmatch(key.lower()):
        raise StorageError(
            f"The handle {volume.handle!r} of the volume {volume.name!r} does not end with a PowerFlex volume's id.",
            CSI_HINT,
        )
    return Place(key.lower(), system, volume.attributes.get(NAME, ""))


def device(system: str, volume: str) -> str:
    """Return what ESXi calls a volume that it sees by an SDC; known from the Go populator alone."""
    return f"eui.{system}{volume}".lower()


def volume_in(name: str, system: str) -> str:
    """Return the id of the volume that ESXi calls so; empty where that is on no such system."""
    volume = name.removeprefix(device(system, ""))
    return volume if volume != name and ID.fullmatch(volume) else ""


def usable(initiators: Sequence[Initiator]) -> list[Initiator]:
    """Return those that are SDCs, each once; raise without any."""
    sdcs = [
        initiator
        for initiator in initiators
        if initiator.kind == InitiatorKind.SDC and GUID.fullmatch(initiator.name)
    ]
    if not sdcs:
        raise StorageError(
            "The host has no PowerFlex client (SDC) whose GUID is known, only "
            f"{listed(initiators) or 'no adapters at all'}.",
            "Install the SDC on the host, and give the vCenter user the privilege Host.Config.Settings: the GUID is an "
            "option of the kernel module scini.",
        )
    return list(dict.fromkeys(sdcs))


def api_version(text: str) -> str:
    """Return the API's version; raise for what is none."""
    if not API_VERSION.fullmatch(text.strip()):
        raise StorageError(
            f"The array says that the version of its API is {text[:40]!r}.",
            "Check that STORAGE_HOSTNAME is the address of the PowerFlex gateway.",
        )
    return text.strip()


def component_version(text: str) -> str:
    """Return `4.5.2100.105` of what a system calls its version; empty where that holds none."""
    match = COMPONENT_VERSION.search(text)
    return f"{match[1]}.{match[2]}{match[3]}" if match else ""


def is_platform(version: str) -> bool:
    """Return whether the API is that of PowerFlex Manager's platform, which began with 4.0."""
    return _ordinal(version) >= [4]


def is_second_generation(api: str, component: str) -> bool:
    """Return whether mappings are those of hosts and no longer of SDCs.

    The API is upgraded by itself: a system of the first generation may show API 5.1. Where the component's version is
    not known, the API's decides, as in Dell's own SDK.
    """
    return _ordinal(api) >= [5] and _ordinal(component or api) >= [5]


def _ordinal(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
