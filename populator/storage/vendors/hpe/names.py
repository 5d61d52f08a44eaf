"""HPE's names: volumes, hosts, host sets, initiators, queries, LUN ids. Pure."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote
from uuid import UUID

from populator.errors import StorageError
from populator.storage import lun_ids
from populator.storage.answer import ODD
from populator.storage.array import Volume
from populator.storage.initiators import OfOneKind, by_kind, in_capitals, usable_by
from populator.storage.own_names import FOR_A_HOST, FOR_ALL_HOSTS, OURS, stem
from vsphere.model import Initiator, InitiatorKind

SET = "set:"
LONGEST_NAME = 31
"""of a volume or a host"""
LONGEST_SET = 27
"""of a host set, as the Go populator counts"""
OF_A_HOST = re.compile(rf"{OURS}(?P<host>.+)-(fc|iscsi)")
"""a host object that this populator made"""
SET_OF_A_HOST = re.compile(rf"{SET}{FOR_A_HOST}(?P<host>.+)")
"""a host set that the Go populator made for one host"""
SET_CUT_SHORT = re.compile(rf"{SET}{OURS}[0-9a-f]{{21}}")
"""the same, where the name would have been too long"""
SET_OF_ALL_HOSTS = re.compile(rf"{SET}{FOR_ALL_HOSTS}")
ISCSI = re.compile(r"iqn\.\d{4}-\d{2}\.[^:\s]+(:\S+)?")
NEEDED = "XCOPY needs an iSCSI (iqn.) or Fibre Channel adapter; NVMe adapters cannot be used."
PLAIN = re.compile(r"[\w.:-]+", re.ASCII)
"""what a query takes as it is"""
DYNAMIC = re.compile(r"pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VOLUME_NAME = re.compile(rf"[A-Za-z0-9_][\w.-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
HEX = re.compile(r"[0-9a-f]{32,}")
WWN = re.compile(r"60002ac[0-9a-f]{25}")
VVOL = re.compile(r"(vvol:|rfc4122\.|naa\.)?(?P<hex>[0-9a-f-]+)")
BETWEEN_NAMES = re.compile(r"->|[^\w.-]+", re.ASCII)
"""what stands between the names of volumes in that of a task"""
FIRST_IDS = range(1, 201)
"""LUN ids at which the search for a free one begins, upward"""
CSI_HINT = (
    "It must be a block volume of HPE's CSI driver on a 3PAR, Primera, Alletra 9000 or Alletra MP B10000."
)


def volume_name(volume: Volume) -> str:
    """Return the array's name of a volume: the CSI driver cuts `pvc-<uuid>` to 31 characters, the most there may be."""
    handle = volume.handle
    if HEX.fullmatch(handle):
        product = (
            "a file share of Alletra MP's File Service"
            if len(handle) == 32
            else "on a Nimble or Alletra 5000/6000"
        )
        raise StorageError(
            f"The volume {volume.name!r} ({handle}) is {product}, which is not supported.", CSI_HINT
        )
    if (protocol := volume.attributes.get("accessProtocol", "")).lower().startswith("nvme"):
        raise StorageError(
            f"The volume {volume.name!r} is served by {protocol}; ESXi could not see it by FC or iSCSI.",
            CSI_HINT,
        )
    name = handle[:LONGEST_NAME] if DYNAMIC.fullmatch(handle) else handle
    if not VOLUME_NAME.fullmatch(name):
        raise StorageError(
            f"The handle {handle!r} of the volume {volume.name!r} is no name of a volume.", CSI_HINT
        )
    return name


def naa(wwn: str, name: str) -> str:
    """Return a volume's device name on ESXi."""
    if not WWN.fullmatch(wwn.lower()):
        raise StorageError(
            f"The volume {name} has the WWN {wwn!r}, which is none of HPE's: its device is unknown.", ODD
        )
    return f"naa.{wwn.lower()}"


def wwn_of(vsphere: str) -> str:
    """Return the WWN in vSphere's id of a mapped device or a vVol; empty where it holds none of HPE's."""
    digits = _digits(vsphere)
    return digits if WWN.fullmatch(digits) else ""


def uuid_of(vsphere: str) -> str:
    """Return the UUID in vSphere's id of a vVol; empty where it holds none."""
    digits = _digits(vsphere)
    return str(UUID(digits)) if len(digits) == 32 else ""


def _digits(vsphere: str) -> str:
    match = VVOL.fullmatch(vsphere)
    return match["hex"].replace("-", "") if match else ""


def volumes_in(task: str) -> list[str]:
    """Return the names of volumes in the name of a copy's task, whose form is written down nowhere."""
    return [name for name in BETWEEN_NAMES.split(task) if name]


def own_host(host: str, kind: InitiatorKind) -> str:
    """Return the name of the host object that we make where the array has none."""
    return shortened(f"{OURS}{host.lower()}-{kind}", LONGEST_NAME)


def own_hosts(host: str) -> set[str]:
    """Return all that we may have made for a host."""
    return {own_host(host, InitiatorKind.FC), own_host(host, InitiatorKind.ISCSI)}


def older_set(host: str) -> str:
    """Return the group that the Go populator makes for a host."""
    return SET + shortened(stem(host), LONGEST_SET)


def shortened(name: str, longest: int) -> str:
    """Return a name that is too long as the Go populator does: our prefix and the beginning of the name's hash."""
    if len(name) <= longest:
        return name
    return OURS + hashlib.sha256(name.encode()).hexdigest()[: longest - len(OURS)]


def is_ours(group: str) -> bool:
    """Return whether a populator made a host object or a host set."""
    forms = (SET_OF_A_HOST, SET_CUT_SHORT, SET_OF_ALL_HOSTS)
    return any(form.fullmatch(group) for form in ((OF_A_HOST,) if not group.startswith(SET) else forms))


def host_of(group: str) -> str | None:
    """Return the host that a populator made a group for, where its name says so."""
    match = (SET_OF_A_HOST if group.startswith(SET) else OF_A_HOST).fullmatch(group)
    return match["host"] if match else None


def usable(initiators: Sequence[Initiator]) -> list[OfOneKind]:
    """Return those that HPE can use, kind by kind, the first one's first; raise without any."""
    return by_kind(usable_by("HPE", ISCSI, initiators, NEEDED))


def hosts_with(initiators: Iterable[Initiator]) -> str:
    """Return the query for hosts that hold any of these; empty where a name could be read as part of the query."""
    wanted = [(initiator.kind, in_capitals(initiator)) for initiator in initiators]
    if not wanted or not all(PLAIN.fullmatch(name) for _, name in wanted):
        return ""
    fields = ((InitiatorKind.FC, "FCPaths", "wwn"), (InitiatorKind.ISCSI, "iSCSIPaths", "name"))
    parts = []
    for kind, paths, field in fields:
        if tests := [f"{field}=={name}" for its_kind, name in wanted if its_kind == kind]:
            parts.append(f"{paths}[{' OR '.join(tests)}]")
    return " OR ".join(parts)


def with_query(path: str, query: str) -> str:
    """Return a path with a query, whose quotes are part of it; blanks as %20, as HPE's own clients send them."""
    return f"{path}?query={quote(chr(34) + query + chr(34), safe='')}" if query else path


def part(name: str) -> str:
    """Return a name as one part of a path; `set:` stays readable."""
    return quote(name, safe=":")


def first_id(volume: str) -> int:
    """Return where the search for a free LUN id begins."""
    return lun_ids.by_name(volume, FIRST_IDS)


def lun_id_in(location: str) -> int | None:
    """Return the LUN id in the Location of a new VLUN: `/api/v1/vluns/<volume>,<LUN id>,<host>`."""
    parts = location.rpartition("/")[2].split(",")
    return int(parts[1]) if len(parts) > 2 and parts[1].isdecimal() else None
