"""One VM of a preflight: the VM itself, and each disk in the order in which a populate meets what it depends on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from populator.clock import Clock
from populator.plan.host import Choice, decide_hosts
from populator.preflight.host import judge_choice, judge_devices, judge_host
from populator.preflight.line import Line, Mark, Section, Sheet, unknown
from populator.preflight.target import judge_source, mark_of
from populator.preflight.vcenter import (
    OF_VM,
    Privileges,
    judge_disk,
    judge_method,
    judge_privileges,
    judge_vm,
    of_datastore,
)
from populator.settings.values import ANY_HOST, OWN_HOST
from populator.storage.array import Lun
from populator.storage.copies import CopyingArray, backing_of
from populator.stories.array_copy import check_idle, check_unseen, find_source
from populator.stories.looks import Ground, Looks, LooksParts
from populator.stories.preflight_target import look_at_source_array, look_at_target
from vsphere.model import EsxiHost, SourceDisk
from vsphere.paths import parse_vmdk
from vsphere.vcenter.seen import SeenVm


@dataclass(frozen=True)
class DiskLook:
    """A disk that a host would copy."""

    disk: SourceDisk
    host_id: str
    """empty where that is not known"""
    host: EsxiHost | None
    """None where it cannot be used"""
    devices: tuple[str, ...]
    """below its datastores"""
    lun: Lun | None


@dataclass
class VmLook:
    """What was found of one VM."""

    sections: list[Section] = field(default_factory=list)
    disks: list[DiskLook] = field(default_factory=list)


def look_at_vm(parts: LooksParts, looks: Looks, clock: Clock, name: str, ground: Ground) -> VmLook:
    """Look at a VM and at its disks that are to be copied."""
    sheet, look, settings = Sheet(f"VM {name}", clock), VmLook(), parts.settings
    vm = sheet.ask("VM", lambda: looks.vcenter.see_vm(name), judge_vm)
    if vm is None:
        sheet.skip("the VM was not found", "privileges", "disks", "host")
        return VmLook([sheet.section])
    sheet.title = f"VM {vm.name}"
    ask_privileges(sheet, looks, "VirtualMachine", vm.id, vm.name, OF_VM)
    look.sections.append(sheet.section)
    for path in [str(settings.vmdk)] if settings.vmdk else vm.disks:
        sheet = Sheet(f"Disk {path}", clock)
        look.disks += look_at_disk(parts, looks, sheet, vm, path, ground)
        look.sections.append(sheet.section)
    return look


def ask_privileges(sheet: Sheet, looks: Looks, kind: str, moid: str, name: str, wanted: Privileges) -> None:
    """Ask vCenter what our user lacks on an object."""
    where = f"{name} ({moid})" if name != moid else moid

    def judge(missing: Sequence[str]) -> list[Line]:
        return judge_privileges(where, wanted, missing)

    sheet.ask("privileges", lambda: looks.vcenter.missing(kind, moid, wanted.all), judge, unknown)


def look_at_disk(
    parts: LooksParts, looks: Looks, sheet: Sheet, vm: SeenVm, path: str, ground: Ground
) -> list[DiskLook]:
    """Look at a disk and what it is for; return it once for each host that may copy it."""
    vcenter, settings = looks.vcenter, parts.settings
    disk = sheet.ask("disk", lambda: vcenter.find_disk(vm.id, path), lambda found: judge_disk(found, vm))
    if disk is None:
        sheet.skip("the disk was refused", "chain", "method", "datastore", "host")
        look_at_target(parts, looks, sheet, ground, None, None)
        return []
    method = parts.method(disk)
    sheet.add(*judge_method(method, "ssh" if settings.ssh else "vib"))
    names = {link.datastore: parse_vmdk(link.path).datastore for link in disk.links}
    for store in disk.datastores:
        wanted = of_datastore(ssh=settings.ssh is not None)
        ask_privileges(sheet, looks, "Datastore", store, names.get(store, store), wanted)
    if method.by_array and look_at_copy_by_array(parts, looks, sheet, ground, disk):
        return []
    return look_at_copy_by_host(parts, looks, sheet, ground, disk)


def look_at_copy_by_array(
    parts: LooksParts, looks: Looks, sheet: Sheet, ground: Ground, disk: SourceDisk
) -> bool:
    """Look whether the array can copy a disk by itself; return False where a host would have to."""
    array = looks.copying_array
    if array is None or not ground.array:
        sheet.skip("the array cannot be asked", "source")
        look_at_target(parts, looks, sheet, ground, disk, None)
        return True
    lun = look_at_target(parts, looks, sheet, ground, disk, None)
    found = sheet.ask("source", lambda: source_of(disk, array, lun), judge_source, mark_of)
    return found is not None or sheet.last is not Mark.WARNING


def source_of(disk: SourceDisk, array: CopyingArray, lun: Lun | None) -> Lun:
    """Return the volume that a disk is; raise what keeps the array from copying it (onto the target, if known)."""
    if lun is None:
        return array.find_source(backing_of(disk))
    source = find_source(backing_of(disk), disk, array, lun)
    check_unseen(array, lun)
    check_idle(array, lun)
    return source


def look_at_copy_by_host(
    parts: LooksParts, looks: Looks, sheet: Sheet, ground: Ground, disk: SourceDisk
) -> list[DiskLook]:
    """Look at what a copy by a host depends on, but for the hosts themselves, which several disks have in common."""
    vcenter = looks.vcenter
    devices = sheet.ask("datastore", lambda: vcenter.find_devices(disk), judge_devices)
    hosts: dict[str, EsxiHost | None] = {}
    if devices is None:
        sheet.skip("the datastore was refused", "host")
        hosts[parts.settings.migration_host or disk.host] = None
    else:
        for host_id in hosts_for(parts, looks, sheet, disk):
            find = partial(vcenter.find_host, disk, host_id)
            hosts[host_id or disk.host] = sheet.ask("host", find, judge_host)
    first = next((host for host in hosts.values() if host), None)
    lun = look_at_target(parts, looks, sheet, ground, disk, first)
    look_at_source_array(looks, sheet, ground, devices or ())
    return [DiskLook(disk, host_id, host, devices or (), lun) for host_id, host in hosts.items()]


def hosts_for(parts: LooksParts, looks: Looks, sheet: Sheet, disk: SourceDisk) -> tuple[str, ...]:
    """Return the hosts that may copy a disk, as a populate would choose them; an empty id is the VM's own."""
    settings = parts.settings
    if settings.migration_host or settings.copy_hosts == OWN_HOST:
        return (settings.migration_host,)
    named = () if settings.copy_hosts == ANY_HOST else settings.copy_hosts

    def choose() -> Choice:
        return decide_hosts(looks.vcenter.host_states(disk, named), disk, named, disk.path)

    choice = sheet.ask("hosts", choose, judge_choice)
    return choice.hosts if choice else ()
