"""Hosts, adapters, disks and results of copies as frozen values, free of pyVmomi."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class InitiatorKind(StrEnum):
    """How an adapter reaches an array."""

    FC = "fc"
    ISCSI = "iscsi"
    SDC = "sdc"
    """PowerFlex's own client, a kernel module on the host"""


@dataclass(frozen=True)
class Initiator:
    """What an array knows an adapter by, in the one form by which two of them are compared."""

    kind: InitiatorKind
    name: str
    """in lower case: the port's world-wide name in 16 hex digits, `iqn.…` or `eui.…`, or the SDC's GUID"""

    def __str__(self) -> str:
        """Return it as people look for it."""
        return self.name


@dataclass(frozen=True)
class Adapter:
    """A storage adapter of a host."""

    name: str
    """`vmhba64`"""
    initiator: Initiator


@dataclass(frozen=True)
class EsxiHost:
    """The host that does the copy."""

    id: str
    """managed object id, `host-1234`"""
    name: str
    adapters: tuple[Adapter, ...]
    """those to be offered to the array, best first: with active paths to the source, then all others that can work"""
    initiators: frozenset[Initiator]
    """of all its storage adapters, whatever their state: by any of them it may see a LUN already"""


@dataclass(frozen=True)
class HostState:
    """A host that might copy a disk, as vCenter has it now."""

    id: str
    """managed object id"""
    name: str
    exists: bool
    connection: str
    """`connected`, `disconnected` or `notResponding`; `unknown` where vCenter does not say"""
    maintenance: bool
    lacks: tuple[str, ...]
    """names of the disk's datastores that it cannot use"""

    def __str__(self) -> str:
        """Return name and id, for people."""
        return f"{self.name} ({self.id})" if self.name != self.id else self.id


class CloneMethod(StrEnum):
    """How a host is told to clone, as the contract with Forklift calls it."""

    VIB = "vib"
    """by the esxcli plugin, through vCenter"""
    SSH = "ssh"
    """by the script, over SSH"""


class CopyPhase(StrEnum):
    """How far a copy is, in the words of log and journal."""

    WAIT_FOR_ROOM = "wait for copies on the host to end"
    CLONE = "clone"
    COPIED = "copied"
    FAILED = "copy failed"
    VERIFY = "compare source and volume"


class DiskKind(StrEnum):
    """What is behind a disk's file."""

    VMDK = "vmdk"
    """extents on a datastore"""
    VVOL = "vvol"
    """a volume of the array, for this file alone"""
    RDM = "rdm"
    """a raw device mapping: a LUN of the array"""


@dataclass(frozen=True)
class Link:
    """A link of a disk's chain: a file with a descriptor of its own."""

    path: str
    """`[datastore] folder/disk.vmdk`, as vSphere spells it"""
    datastore: str
    """managed object id; empty where vSphere does not say"""
    kind: DiskKind
    backing: str
    """what the array can know it by: a vVol's `backingObjectId`, the device name of a raw device mapping; else empty"""
    encrypted: bool
    extents: int | None
    """bytes that its own extents take on the datastore, where vSphere says"""


@dataclass(frozen=True)
class SourceDisk:
    """A virtual disk as seen at one link of its chain: with all that this link inherits, and nothing written later."""

    links: tuple[Link, ...]
    """the one to copy first, the base last"""
    capacity: int
    """bytes, as the VM saw them when it wrote to the first link; never fewer than there are"""
    vm: str
    """managed object id, `vm-1234`"""
    host: str
    """managed object id of the host that the VM is on; empty where vCenter does not say"""
    datastores: tuple[str, ...]
    """managed object ids: those that the links are on; all that the VM uses where not each link names its own"""
    running: bool = False
    """whether the VM is powered on: its host then has the disk open"""

    @property
    def path(self) -> str:
        """The first link's path."""
        return self.links[0].path

    @property
    def kind(self) -> DiskKind:
        """The first link's kind: what the array would have to copy."""
        return self.links[0].kind

    @property
    def backing(self) -> str:
        """The first link's backing; see `Link`."""
        return self.links[0].backing

    @property
    def allocated(self) -> int | None:
        """Bytes that the extents of all links take on their datastores; None where vSphere does not say so of each."""
        sizes = [link.extents for link in self.links]
        return None if None in sizes else sum(size for size in sizes if size)


@dataclass(frozen=True)
class Xcopy:
    """What the array did of one copy, by the device's counters before and after."""

    operations: int
    """clone operations onto the device"""
    failed: int
    """those that the array refused or failed; the host then copies by itself"""
    bytes: int | None
    """moved by the array; None where the host does not count them"""


@dataclass(frozen=True)
class CopyResult:
    """What a copy that has ended did."""

    task_id: str
    xcopy_used: bool | None
    """whether the array copied; None where the host cannot tell"""
    xcopy: Xcopy | None = None
    fallback: str = ""

    @property
    def verdict(self) -> str:
        """Say for people whether the array moved the bytes."""
        if self.xcopy_used is None:
            return "unknown: the host cannot tell"
        if not self.xcopy_used:
            return "not used: the host moved the bytes" + (
                f", because: {self.fallback}" if self.fallback else ""
            )
        if self.xcopy is None:
            return "used, by a counter that an earlier copy onto the same device may have moved"
        if self.xcopy.failed:
            return f"partly used: {self.xcopy.operations} operations by the array, {self.xcopy.failed} failed"
        return f"used: {self.xcopy.operations} operations by the array"


class ProofOutcome(StrEnum):
    """What came of comparing source and volume."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_VERIFIED = "not_verified"


@dataclass(frozen=True)
class Proof:
    """What is known of a copy's bytes, from reading them on both sides; one of `equal`, `offset` and `reason`."""

    equal: int | None = None
    """bytes that were read on both sides and are the same"""
    samples: str = ""
    """`all`, or of how many random places they are"""
    offset: int | None = None
    """the first byte that was seen to differ"""
    reason: str = ""
    """why nothing was compared"""

    @property
    def outcome(self) -> ProofOutcome:
        """What came of it."""
        if self.offset is not None:
            return ProofOutcome.DIFFERENT
        return ProofOutcome.NOT_VERIFIED if self.equal is None else ProofOutcome.EQUAL

    def __str__(self) -> str:
        """Say it for people."""
        if self.offset is not None:
            return f"different at byte {self.offset}"
        if self.equal is None:
            return f"not verified: {self.reason}"
        if self.samples == "all":
            return f"equal: all {self.equal} bytes"
        return (
            f"equal: {self.equal} bytes, at both ends of the disk, where partitions begin, and at {self.samples} "
            "random places"
        )


@dataclass(frozen=True)
class SurveyedDisk:
    """A disk as vCenter reports it; `problem` says why no host can copy it, empty where one can."""

    vm: str
    path: str
    """of the newest link of its chain"""
    capacity: int
    """bytes"""
    host: str
    """name of the host that the VM is on"""
    datastore: str
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """What there is to copy, and which hosts could."""

    disks: tuple[SurveyedDisk, ...]
    mounted: Mapping[str, frozenset[str]]
    """name of a datastore -> names of the hosts that have it mounted and can be used"""
