"""What the program was told, as frozen values; `parse` fills them, and nothing else does."""

from dataclasses import dataclass, field
from pathlib import Path

from lease.decision import Scope
from populator.storage.access import Access
from vsphere.model import DiskKind
from vsphere.paths import VmdkPath

SLOTS = 2
"""per host: VMware costs a host at two concurrent clone operations"""


OWN_HOST, ANY_HOST = ("vm",), ("any",)
"""the two choices of hosts that name none"""


@dataclass(frozen=True)
class SourceSettings:
    """The disk to copy."""

    vm: str
    """managed object id, name or inventory path"""
    vmdk: VmdkPath
    migration_host: str
    """managed object id of the one host to copy on; it counts more than `copy_hosts`"""
    copy_hosts: tuple[str, ...] = OWN_HOST
    """managed object ids of the hosts that may copy, or one of the choices above"""


@dataclass(frozen=True)
class TargetSettings:
    """The volume to fill."""

    namespace: str
    pvc: str
    uid: str


@dataclass(frozen=True)
class VsphereSettings:
    """How to reach vCenter."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    ca_pem: str
    """PEM bundle; empty: the system's"""
    insecure: bool


@dataclass(frozen=True)
class SshSettings:
    """How to reach the ESXi hosts over SSH."""

    private_key: str = field(repr=False)
    """PEM"""
    known_hosts: str
    """lines of a known_hosts file; with no fingerprints either, a host's first key is trusted"""
    fingerprints: frozenset[str]
    """`SHA256:…` of host keys"""
    port: int
    seconds: int
    """timeout of the log-in and of each command"""


@dataclass(frozen=True)
class StorageSettings:
    """Which array, and how to reach it."""

    vendor: str
    access: Access
    by_host: frozenset[DiskKind] = frozenset()
    """the kinds of disks that a host is to copy, though the array might by itself"""


@dataclass(frozen=True)
class KubernetesSettings:
    """How to reach the API server; both empty: as a pod does."""

    kubeconfig: str
    master: str


@dataclass(frozen=True)
class LeaseSettings:
    """Where the host lease lives."""

    namespace: str
    duration: int
    """seconds a slot stays valid without a renewal"""
    template: str
    """names of the Leases, with `{host}` and `{slot}`"""
    scope: Scope


@dataclass(frozen=True)
class MetricsSettings:
    """Where the metrics page is served; an empty host means all interfaces."""

    host: str
    port: int
    path: str


@dataclass(frozen=True)
class PageSettings:
    """Where the metrics page is served, and what it says of the run from the start."""

    uid: str
    vendor: str
    method: str
    place: MetricsSettings


@dataclass(frozen=True)
class SiteSettings:
    """How to reach all that there is: vCenter with its hosts, the array, the cluster with its Leases."""

    vsphere: VsphereSettings
    ssh: SshSettings | None
    """None: the esxcli plugin is used"""
    storage: StorageSettings
    kubernetes: KubernetesSettings
    lease: LeaseSettings
    identity: str
    """the pod's name, as other populators and people see it in the host lease"""


@dataclass(frozen=True)
class Settings(SiteSettings):
    """All of it."""

    source: SourceSettings
    target: TargetSettings
    metrics: MetricsSettings
    verify_samples: str
    """of how many random places source and volume are compared; `all`, or `0` for nothing"""
    termination_message: Path
    warnings: tuple[str, ...] = ()
    """what was taken otherwise than it was given, a sentence each"""


@dataclass(frozen=True)
class RecoverySettings(SiteSettings):
    """What `populator recover` was told."""

    namespaces: tuple[str, ...]
    """of the PVCs; none: all"""
    apply: bool
    """whether to put in order what is found"""
    warnings: tuple[str, ...] = ()
    """what was taken otherwise than it was given, a sentence each"""


@dataclass(frozen=True)
class PreflightSettings(SiteSettings):
    """All that a look before populates is told."""

    vms: tuple[str, ...]
    """managed object ids, names or inventory paths"""
    vmdk: VmdkPath | None
    """None: all disks of each VM"""
    target: TargetSettings | None
    """None: the volumes are not made yet"""
    namespace: str
    """of the volumes; empty where it is not known yet"""
    migration_host: str
    copy_hosts: tuple[str, ...]
    """as in `SourceSettings`"""
    parallel: int
    """VMs, and after them hosts, at a time"""
    warnings: tuple[str, ...] = ()
    """what was taken otherwise than it was given, a sentence each"""
