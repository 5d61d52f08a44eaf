"""Whether a host would let the array copy: VAAI of its devices, claim rules, and the settings of its data mover.

Reads by esxcli what a host's shell shows; nothing is changed.
"""

from dataclasses import dataclass

from vsphere.errors import Unreadable
from vsphere.ports import Commands

MOVE, INIT = "/DataMover/HardwareAcceleratedMove", "/DataMover/HardwareAcceleratedInit"
TRANSFER, MAX_LUN = "/DataMover/MaxHWTransferSize", "/Disk/MaxLUN"


@dataclass(frozen=True)
class Vaai:
    """What a host can have a device's array do."""

    device: str
    plugin: str
    """of VAAI; empty where none has claimed the device"""
    clone: str
    """whether it can be told to copy: `supported`, `unsupported`, or `unknown` before the first try"""


def read_version(esxcli: Commands) -> str:
    """Return product and version of a host."""
    rows = esxcli.ask("system version get")
    row = rows[0] if rows else {}
    return " ".join(filter(None, (row.get("Product"), row.get("Version")))) or "an unknown version"


def read_vaai(esxcli: Commands, device: str) -> Vaai:
    """Return what VAAI makes of a device."""
    for row in esxcli.ask("storage core device vaai status get", device=device):
        if row.get("Device", "").strip() == device:
            return Vaai(
                device, row.get("VAAIPluginName", "").strip(), row.get("CloneStatus", "").strip().lower()
            )
    raise Unreadable(
        f"Host {esxcli.host} does not report the VAAI status of device {device}.",
        f"Try that on the host: esxcli storage core device vaai status get -d {device}",
    )


def read_claim_rules(esxcli: Commands) -> tuple[str, ...]:
    """Return what the rules in force match by which VAAI plugins claim devices: `vendor=NETAPP model=*`."""
    rows = esxcli.ask("storage core claimrule list", claimruleclass="VAAI")
    return tuple(row.get("Matches", "").strip() for row in rows if row.get("Class", "").strip() == "runtime")


def read_setting(esxcli: Commands, path: str) -> int:
    """Return an advanced setting that is a number."""
    for row in esxcli.ask("system settings advanced list", option=path):
        if row.get("Path", "").strip() == path and row.get("IntValue", "").strip().isdecimal():
            return int(row["IntValue"])
    raise Unreadable(
        f"Host {esxcli.host} does not report the setting {path}.",
        f"Try that on the host: esxcli system settings advanced list -o {path}",
    )
