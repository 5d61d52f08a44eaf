"""The look before the night: would a populate work? All that it depends on is looked at, and nothing is touched.

What all have in common comes first (Kubernetes, vCenter, the array), then the VMs, a few at a time, then the hosts that
their disks would be copied on. A look that fails is a line of the page and stops no other; what stands on it is marked
as not checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lease.kube.review import Right
from lease.overview import SlotView
from lease.rights import GROUP
from populator.clock import Clock
from populator.preflight.cluster import (
    judge_clock,
    judge_namespace,
    judge_rights,
    judge_server,
    needed_rights,
)
from populator.preflight.line import Line, Section, Sheet, not_checked, passed, warning
from populator.preflight.target import judge_array
from populator.preflight.vcenter import judge_certificate
from populator.storage.array import ArrayInfo
from populator.stories.crew import Crew, crew_of
from populator.stories.looks import Ground, Looks, LooksParts
from populator.stories.preflight_disk import DiskLook, VmLook, look_at_vm
from populator.stories.preflight_host import look_at_host

NTP = "See why: chronyc tracking on the nodes; vCenter's management interface (port 5480), Time"


@dataclass
class Common:
    """What all VMs and hosts have in common, as it was found."""

    sections: list[Section] = field(default_factory=list)
    slots: Sequence[SlotView] | None = None
    """None where they could not be read"""
    ground: Ground = field(default_factory=Ground)


def preflight(parts: LooksParts) -> list[Section]:
    """Look at everything, and return the page."""
    with crew_of(parts) as crew:
        [found] = crew.each([parts], look_at_common)
        common = found if isinstance(found, Common) else Common([Section("Preflight", (found,))])
        sections, disks = look_at_vms(parts, crew, common)
        return [*common.sections, *sections, *look_at_hosts(parts, crew, common, disks)]


def look_at_vms(parts: LooksParts, crew: Crew, common: Common) -> tuple[list[Section], list[DiskLook]]:
    """Look at all VMs; return the page's sections and the disks that hosts would copy."""
    sections: list[Section] = []
    disks: list[DiskLook] = []
    if not common.ground.vcenter:
        return [unseen(vm) for vm in parts.settings.vms], disks

    def look(vm: str, looks: Looks, clock: Clock) -> VmLook:
        return look_at_vm(parts, looks, clock, vm, common.ground)

    for vm, found in zip(parts.settings.vms, crew.each(parts.settings.vms, look), strict=True):
        if isinstance(found, Line):
            sections.append(Section(f"VM {vm}", (found,)))
        else:
            sections += found.sections
            disks += found.disks
    return sections, disks


def look_at_hosts(parts: LooksParts, crew: Crew, common: Common, disks: Sequence[DiskLook]) -> list[Section]:
    """Look at each host once, for all disks that it would copy."""
    hosts: dict[str, list[DiskLook]] = {}
    for disk in disks:
        if disk.host_id:
            hosts.setdefault(disk.host_id, []).append(disk)

    def look(host: str, looks: Looks, clock: Clock) -> Section:
        return look_at_host(parts, looks, clock, host, hosts[host], common.slots, common.ground)

    return [
        Section(f"Host {host}", (found,)) if isinstance(found, Line) else found
        for host, found in zip(hosts, crew.each(list(hosts), look), strict=True)
    ]


def unseen(vm: str) -> Section:
    """Return the section of a VM where vCenter cannot be asked."""
    why = "vCenter cannot be asked"
    return Section(f"VM {vm}", tuple(not_checked(check, why) for check in ("VM", "disks", "host")))


def look_at_common(parts: LooksParts, looks: Looks, clock: Clock) -> Common:
    """Look at Kubernetes, vCenter and the array."""
    common = Common()
    if parts.settings.warnings:
        lines = tuple(warning("settings", text) for text in parts.settings.warnings)
        common.sections.append(Section("Settings", lines))
    look_at_cluster(parts, looks, clock, common)
    look_at_vcenter(looks, clock, common)
    look_at_array(parts, looks, clock, common)
    return common


def look_at_cluster(parts: LooksParts, looks: Looks, clock: Clock, common: Common) -> None:
    """Look at the API server, our rights, the lease's namespace and the slots in it."""
    sheet, settings, cluster = Sheet("Kubernetes", clock), parts.settings, looks.cluster
    leases = settings.lease.namespace
    server = sheet.ask("API server", cluster.server, lambda found: judge_server(found, cluster.address))
    if server is None:
        sheet.skip("the API server cannot be asked", "rights", "lease namespace", "slots", "clock")
    else:
        now = clock.utc()
        sheet.add(*judge_clock("the API server's clock", server.now, now, NTP))
        wanted = needed_rights(settings.namespace, leases, tokens=parts.shares_token)
        rights = sheet.ask(
            "rights",
            lambda: {right: cluster.may(right) for right in wanted},
            lambda found: judge_rights(found, server.user),
        )
        if not settings.namespace:
            sheet.skip(
                "the volumes' namespace is not known yet: name it by --target-namespace", "volume rights"
            )
        known_by = Right("get", "leases", leases, GROUP)
        sheet.ask(
            "lease namespace",
            lambda: cluster.namespace_exists(leases, known_by),
            lambda found: judge_namespace(leases, exists=found),
        )
        if rights is None or not rights[Right("list", "leases", leases, GROUP)]:
            sheet.skip("it takes the right to list leases", "slots")
        else:
            common.slots = sheet.ask("slots", cluster.slots)
    common.ground.cluster = server is not None
    common.sections.append(sheet.section)


def look_at_vcenter(looks: Looks, clock: Clock, common: Common) -> None:
    """Look at log-in, certificate and clock of vCenter."""
    sheet, vcenter = Sheet("vCenter", clock), looks.vcenter
    now = sheet.ask("log-in", vcenter.log_in, lambda _: [passed("log-in", f"{vcenter.address} lets us in")])
    if now is None:
        sheet.skip("vCenter cannot be asked", "certificate", "clock")
    else:
        ours = clock.utc()
        sheet.ask("certificate", vcenter.certificate_ends, lambda ends: judge_certificate(ends, ours))
        sheet.add(*judge_clock("vCenter's clock", now, ours, NTP))
    common.ground.vcenter = now is not None
    common.sections.append(sheet.section)


def look_at_array(parts: LooksParts, looks: Looks, clock: Clock, common: Common) -> None:
    """Look whether the array lets us in."""
    sheet, address = Sheet("Storage array", clock), parts.settings.storage.access.hostname

    def look() -> ArrayInfo:
        return looks.array.info()  # to make it may fail as well

    info = sheet.ask("array", look, lambda found: judge_array(found, address))
    sheet.skip("nothing is changed to find out" if info else "the array cannot be asked", "rights to change")
    common.ground.array = info is not None
    common.sections.append(sheet.section)
