"""One host of a preflight, for all the disks that it would copy."""

from collections.abc import Sequence

from lease.overview import SlotView
from populator.clock import Clock
from populator.preflight.cluster import judge_clock, judge_slots
from populator.preflight.host import (
    judge_claim_rule,
    judge_paths,
    judge_settings,
    judge_target,
    judge_vaai,
    judge_wrapper,
)
from populator.preflight.line import Line, Section, Sheet, not_checked, passed, unknown
from populator.preflight.target import judge_plan
from populator.preflight.vcenter import of_host
from populator.stories.looks import Ground, Looks, LooksParts
from populator.stories.preflight_disk import DiskLook, ask_privileges
from vsphere.host.device import Device
from vsphere.host.offload import (
    INIT,
    MAX_LUN,
    MOVE,
    TRANSFER,
    read_claim_rules,
    read_setting,
    read_vaai,
    read_version,
)
from vsphere.paths import parse_vmdk
from vsphere.ports import Commands
from vsphere.vcenter.seen import SeenHost
from vsphere.wrapper.answers import parse_version
from vsphere.wrapper.contract import Version, Wrapper
from vsphere.wrapper.files import VERSION

BY_ESXCLI = ("wrapper", "settings", "VAAI", "claim rule", "target device")
NTP = "esxcli system ntp set --enabled=true --server=NTP-SERVER"


def look_at_host(
    parts: LooksParts,
    looks: Looks,
    clock: Clock,
    host: str,
    disks: Sequence[DiskLook],
    slots: Sequence[SlotView] | None,
    ground: Ground,
) -> Section:
    """Look at a host and at the devices below the datastores of the disks."""
    sheet, vcenter = Sheet(f"Host {host}", clock), looks.vcenter
    devices = tuple(dict.fromkeys(device for disk in disks for device in disk.devices))
    seen = sheet.ask("inventory", lambda: vcenter.see_host(host, devices))
    name = seen.name if seen else host
    sheet.title = f"Host {name} ({host})" if seen else sheet.title
    ask_privileges(sheet, looks, "HostSystem", host, name, of_host(parts.initiators))
    if slots is None:
        sheet.skip("the Leases cannot be read", "slots")
    else:
        mine = [slot for slot in slots if slot.host == host]
        sheet.add(*judge_slots(mine, parts.settings.lease.namespace))
    if seen:
        sheet.add(*judge_clock("the host's clock", seen.now, clock.utc(), NTP))
    look_at_initiators(looks, sheet, ground, disks)
    look_by_esxcli(looks, sheet, host, name, disks, seen)
    return sheet.section


def look_at_initiators(looks: Looks, sheet: Sheet, ground: Ground, disks: Sequence[DiskLook]) -> None:
    """Look whether the array would know the host by one of its adapters."""
    host = next((disk.host for disk in disks if disk.host), None)
    if host is None or not ground.array:
        sheet.skip("the array cannot be asked" if host else "the host cannot be used", "initiators")
        return
    initiators = [adapter.initiator for adapter in host.adapters]
    sheet.ask("initiators", lambda: looks.array.plan_group(host.id, initiators), judge_plan)


def look_by_esxcli(
    looks: Looks, sheet: Sheet, host: str, name: str, disks: Sequence[DiskLook], seen: SeenHost | None
) -> None:
    """Look at what the host itself says; where it does not answer, all of that is not checked."""
    esxcli = looks.vcenter.esxcli(host, name)
    answers = sheet.ask(
        "esxcli", lambda: read_version(esxcli), lambda version: [passed("esxcli", f"{version} answers")]
    )
    if answers is None:
        sheet.skip("the host does not answer esxcli", *BY_ESXCLI)
    else:
        look_at_wrapper(looks, sheet, host, name, disks)
        look_at_settings(sheet, esxcli)
        look_at_offload(sheet, esxcli, seen)
        look_at_targets(looks, sheet, host, name, disks)
    for device in seen.devices if seen else ():
        sheet.add(*judge_paths(device))
        mend = f"vsish -e get /storage/scsifw/devices/{device.name}/stats | grep -i clone"
        sheet.add(
            not_checked("failed clones", f"{device.name}: only the host's own shell can count them", mend)
        )


def look_at_wrapper(looks: Looks, sheet: Sheet, host: str, name: str, disks: Sequence[DiskLook]) -> None:
    """Look whether the host can be told to copy, and of each disk."""
    for datastore in dict.fromkeys(parse_vmdk(disk.disk.path).datastore for disk in disks):

        def learn() -> tuple[Wrapper, str, Version]:
            wrapper, found = looks.vcenter.wrapper(host, name, datastore)  # noqa: B023 - called at once
            return wrapper, found, Version() if found else parse_version(wrapper.version())

        def judge(learnt: tuple[Wrapper, str, Version]) -> list[Line]:
            _, found, version = learnt
            return [passed("wrapper", found)] if found else judge_wrapper(version, VERSION)

        learnt = sheet.ask("wrapper", learn, judge)
        if learnt and not learnt[1]:
            names = [disk.disk.path for disk in disks]
            told = passed(
                "names", f"the wrapper can be told of {len(names)} disk{'s' if len(names) > 1 else ''}"
            )
            sheet.ask("names", lambda: spell(learnt[0], names, learnt[2]), lambda _: [told])  # noqa: B023
            break  # the plugin serves all datastores


def spell(wrapper: Wrapper, paths: Sequence[str], version: Version) -> None:
    """Raise where the wrapper cannot be told of one of the disks."""
    for path in paths:
        wrapper.spell(parse_vmdk(path), version)


def look_at_settings(sheet: Sheet, esxcli: Commands) -> None:
    """Look at the advanced settings; one that an old host does not have is not checked."""
    found = {}
    for path in (MOVE, INIT, TRANSFER, MAX_LUN):
        value = sheet.ask("settings", lambda path=path: read_setting(esxcli, path), otherwise=unknown)  # type: ignore[misc]
        if value is not None:
            found[path] = value
    sheet.add(*judge_settings(found))


def look_at_offload(sheet: Sheet, esxcli: Commands, seen: SeenHost | None) -> None:
    """Look whether the host would have the array copy from each device."""
    devices = seen.devices if seen else ()
    for device in devices:
        sheet.ask("VAAI", lambda device=device: read_vaai(esxcli, device.name), judge_vaai, unknown)  # type: ignore[misc]
    rules = sheet.ask("claim rule", lambda: read_claim_rules(esxcli), otherwise=unknown) if devices else None
    for device in devices if rules is not None else ():
        sheet.add(*judge_claim_rule(device, rules or ()))


def look_at_targets(looks: Looks, sheet: Sheet, host: str, name: str, disks: Sequence[DiskLook]) -> None:
    """Look whether a target is a device on which something lies."""
    reader = looks.vcenter.devices(host, name)
    for lun in (disk.lun for disk in disks if disk.lun):

        def spare(device: str = lun.device) -> tuple[Device | None]:
            seen = reader.visible(device)
            reader.check_spare(device, seen)
            return (seen,)

        device = lun.device
        sheet.ask("target device", spare, lambda found, device=device: judge_target(device, found[0]))  # type: ignore[misc]
