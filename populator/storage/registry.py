"""Which vendors there are, and what is known of each before its array is asked: one explicit table.

Importing this costs nothing; a vendor's driver is imported when it is chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.array import StorageArray, Volume
from vsphere.model import DiskKind, InitiatorKind


class Credentials(StrEnum):
    """What an array lets us in by."""

    PASSWORD = "user and password"  # noqa: S105 - the words for people
    TOKEN = "token"  # noqa: S105
    EITHER = "token, or user and password"


@dataclass(frozen=True)
class Option:
    """A setting of one vendor, beside the common ones."""

    variable: str
    help: str
    required: bool = False


@dataclass(frozen=True)
class Vendor:
    """What is known of a vendor."""

    product: str
    """its name for people"""
    csi_drivers: tuple[str, ...]
    """whose volumes are on these arrays, by the names in `spec.csi.driver`, today's first"""
    initiators: frozenset[InitiatorKind]
    """by which kinds a host can see a LUN of it"""
    folder: str
    """of the driver, below `vendors`: its module `array` has `connect(access, clock)`"""
    credentials: Credentials = Credentials.PASSWORD
    options: tuple[Option, ...] = ()
    shares_token: bool = False
    """whether runs share the token of a session, since its arrays serve only few of them: `Access.tokens`"""
    copies: frozenset[DiskKind] = frozenset()
    """the kinds of disks that its arrays copy by themselves: the driver is a `copies.CopyingArray`, too"""


SCSI = frozenset({InitiatorKind.FC, InitiatorKind.ISCSI})
VENDORS: Mapping[str, Vendor] = {
    "flashsystem": Vendor(
        "IBM FlashSystem",
        ("block.csi.ibm.com",),
        SCSI,
        "flashsystem",
        shares_token=True,
        copies=frozenset({DiskKind.RDM}),
    ),
    "infinibox": Vendor("Infinidat InfiniBox", ("infinibox-csi-driver",), SCSI, "infinibox"),
    "ontap": Vendor(
        "NetApp ONTAP",
        ("csi.trident.netapp.io",),
        SCSI,
        "ontap",
        options=(Option("ONTAP_SVM", "The SVM of the volumes, where the credentials see several."),),
    ),
    "powerflex": Vendor(
        "Dell PowerFlex",
        ("csi-vxflexos.dellemc.com",),
        frozenset({InitiatorKind.SDC}),
        "powerflex",
        options=(Option("POWERFLEX_SYSTEM_ID", "Id or name of the PowerFlex system.", required=True),),
    ),
    "powermax": Vendor(
        "Dell PowerMax",
        ("csi-powermax.dellemc.com",),
        SCSI,
        "powermax",
        options=(
            Option("POWERMAX_SYMMETRIX_ID", "The 12 digits of the array's id.", required=True),
            Option(
                "POWERMAX_PORT_GROUP_NAME",
                "The port group by which hosts see LUNs; two by a comma, one for each protocol.",
                required=True,
            ),
        ),
    ),
    "powerstore": Vendor("Dell PowerStore", ("csi-powerstore.dellemc.com",), SCSI, "powerstore"),
    "primera3par": Vendor(
        "HPE 3PAR, Primera or Alletra",
        ("csi.hpe.com",),
        SCSI,
        "hpe",
        copies=frozenset({DiskKind.VVOL, DiskKind.RDM}),
    ),
    "pureFlashArray": Vendor(
        "Pure Storage FlashArray",
        ("pxd.portworx.com", "pure-csi"),
        SCSI,
        "pure",
        Credentials.EITHER,
        options=(
            Option(
                "PURE_CLUSTER_PREFIX",
                "The prefix of volumes: px_ and 8 characters of the StorageCluster's clusterUid.",
            ),
        ),
        copies=frozenset({DiskKind.VVOL, DiskKind.RDM}),
    ),
    "vantara": Vendor(
        "Hitachi Vantara VSP",
        ("hspc.csi.hitachi.com",),
        SCSI,
        "vantara",
        options=(
            Option("STORAGE_PORT", "Port of the array's REST API; 443 by default."),
            Option("STORAGE_ID", "Storage device id or serial number of the array."),
            Option("HOSTGROUP_ID_LIST", "Host groups to use, such as CL1-A,1:CL2-B,2; found when not given."),
            Option("COPY_SPEED", "Speed of copies by the array: slower (the default), medium or faster."),
        ),
        copies=frozenset({DiskKind.VVOL, DiskKind.RDM}),
    ),
}
"""by the names that Forklift uses"""


def connect(vendor: str, access: Access, clock: Clock) -> StorageArray:
    """Return the driver of one of `VENDORS`; nothing is sent to the array before its first use."""
    module = import_module(f"populator.storage.vendors.{VENDORS[vendor].folder}.array")
    array: StorageArray = module.connect(access, clock)
    return array


def check_driver(volume: Volume, vendor: str) -> None:
    """Raise unless a CSI driver of the vendor made the volume: another's handle may name somebody else's LUN."""
    known = VENDORS[vendor]
    if volume.driver not in known.csi_drivers:
        drivers = " or ".join(known.csi_drivers)
        raise StorageError(
            f"PersistentVolume {volume.name} was made by the CSI driver {volume.driver!r}, which does not serve "
            f"{known.product}.",
            f"Map the datastore to a storage class of {drivers}, or choose the vendor of {volume.driver}.",
        )
