"""vCenter: which privileges a populate needs on what, and what is said of privileges, certificate, VM and disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from populator.plan.method import Method
from populator.preflight.line import Line, failed, passed, warning
from vsphere.model import DiskKind, InitiatorKind, SourceDisk
from vsphere.vcenter.seen import SeenVm

ROLE = "StorageOffloader"
"""as Forklift's documentation names it"""
SOON = timedelta(days=30)
VIEW = ("System.View", "System.Read")
FILES = ("Datastore.Browse", "Datastore.FileManagement")
ESXCLI = ("Global.Settings", "Host.Config.Storage")
OF_SDC = ("Host.Config.Settings",)
"""by which the GUID of PowerFlex's client is read"""
PUBLISHED = ("Host.Config.AdvancedConfig", "Host.Config.Patch")
KINDS = {
    DiskKind.VMDK: "a file on a datastore",
    DiskKind.VVOL: "a vVol",
    DiskKind.RDM: "a raw device mapping",
}


UNITS = ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"))


@dataclass(frozen=True)
class Privileges:
    """What our user should have on a kind of object."""

    needed: tuple[str, ...]
    published: tuple[str, ...] = ()
    """what the role that Forklift documents has besides: no call is known to take it, and none is known not to"""

    @property
    def all(self) -> tuple[str, ...]:
        """Return both."""
        return (*self.needed, *self.published)


OF_VM = Privileges(VIEW)


def of_datastore(*, ssh: bool) -> Privileges:
    """Return those on a datastore: by SSH a script is put there."""
    return Privileges((*VIEW, *FILES)) if ssh else Privileges(VIEW, FILES)


def of_host(initiators: frozenset[InitiatorKind]) -> Privileges:
    """Return those on a host, of an array that sees such initiators."""
    sdc = OF_SDC if InitiatorKind.SDC in initiators else ()
    return Privileges((*VIEW, *ESXCLI, *sdc), PUBLISHED)


def judge_privileges(where: str, wanted: Privileges, missing: Sequence[str]) -> list[Line]:
    """Name what is missing on an object."""
    lines = []
    for say, names in ((failed, wanted.needed), (warning, wanted.published)):
        if lacking := [name for name in names if name in missing]:
            text = f"missing on {where}: {', '.join(lacking)}"
            why = (
                ""
                if say is failed
                else " (the documented role has it; no call of this program is known to need it)"
            )
            lines.append(say("privileges", text + why, mend_privileges(lacking)))
    return lines or [passed("privileges", f"all {len(wanted.all)} on {where}")]


def mend_privileges(names: Sequence[str]) -> str:
    """Return how privileges are given."""
    return (
        f"govc role.update -a {ROLE} {' '.join(names)}; the user's role has to be given where it propagates from, as: "
        f"govc permissions.set -principal USER -role {ROLE} -propagate=true /"
    )


def judge_certificate(ends: datetime | None, now: datetime) -> list[Line]:
    """Say how long vCenter's certificate is good."""
    check = "certificate"
    if ends is None:
        mend = "Give its CA as `cacert`, and leave out GOVMOMI_INSECURE."
        return [warning(check, "not verified (GOVMOMI_INSECURE): anybody may pose as vCenter", mend)]
    day = ends.date().isoformat()
    if ends - now > SOON:
        return [passed(check, f"trusted, expires {day}")]
    mend = "Renew it: vSphere Client, Administration, Certificates, Certificate Management."
    return [warning(check, f"trusted, but expires {day}", mend)]


def judge_vm(vm: SeenVm) -> list[Line]:
    """Say what a VM is."""
    if not vm.disks:
        return [failed("VM", f"{vm.name} ({vm.id}) has no disk that lies in a file", "Choose another VM.")]
    power = f", {vm.power}" if vm.power else ""
    return [
        passed("VM", f"{vm.name} ({vm.id}){power}, {len(vm.disks)} disk{'s' if len(vm.disks) > 1 else ''}")
    ]


def judge_disk(disk: SourceDisk, vm: SeenVm) -> list[Line]:
    """Say what a disk and its chain are; the look itself has refused what cannot be copied."""
    lines = [passed("disk", f"{in_units(disk.capacity)}, {KINDS[disk.kind]}, not encrypted")]
    if (depth := len(disk.links)) == 1:
        return [*lines, passed("chain", "one link: no snapshot")]
    text = f"{depth} links, of snapshots or a linked clone: all is copied, but the host may have to move the bytes"
    mend = f"Delete the snapshots: govc snapshot.remove -vm.path '{vm.name}' '*'"
    return [*lines, warning("chain", text, mend)]


def in_units(size: int) -> str:
    """Return a number of bytes as people have it."""
    shift, unit = next(((shift, unit) for shift, unit in UNITS if size >= 1 << shift), (0, "bytes"))
    return f"{size / (1 << shift):.4g} {unit}"


def judge_method(method: Method, host_method: str) -> list[Line]:
    """Say who would copy, and why."""
    who = "the array by itself" if method.by_array else f"a host, by {host_method}"
    return [passed("method", f"{who}: {method.reason}" if method.reason else who)]
