"""An ESXi host: what is said of its wrapper, of its settings, and of the devices below the datastores of disks."""

import re
from collections.abc import Mapping, Sequence

from populator.plan.host import Choice
from populator.preflight.line import Line, failed, passed, warning
from vsphere.host.device import Device
from vsphere.host.offload import INIT, MAX_LUN, MOVE, TRANSFER, Vaai
from vsphere.model import EsxiHost
from vsphere.vcenter.seen import SeenDevice
from vsphere.wrapper.contract import Version, version_order

LARGEST_TRANSFER = 16384
"""KiB of one XCOPY command; ESXi's default is a quarter of it"""
DEFAULT_MAX_LUN = 1024
SET = "esxcli system settings advanced set -o {0} -i {1}"


def judge_choice(choice: Choice) -> list[Line]:
    """Say which hosts may copy, and why not the others; the look has refused a choice of none."""
    may = passed("hosts", f"{', '.join(choice.hosts)} may copy, in this order of preference")
    return [may, *(warning("hosts", f"left out: {reason}") for reason in choice.left_out)]


def judge_host(host: EsxiHost) -> list[Line]:
    """Say which host would copy, and by which adapters; the look has refused one that cannot be used."""
    adapters = ", ".join(f"{adapter.name} ({adapter.initiator})" for adapter in host.adapters)
    return [passed("host", f"{host.name} ({host.id}), connected, not in maintenance mode, has {adapters}")]


def judge_devices(devices: Sequence[str]) -> list[Line]:
    """Say what is below the datastores of a disk; the look has refused kinds that cannot be copied from."""
    return [
        passed("datastore", f"VMFS on {', '.join(devices)}" if devices else "vVols: no device of its own")
    ]


def judge_target(name: str, seen: Device | None) -> list[Line]:
    """Say whether the host sees a target's device; the look has refused one that holds anything."""
    text = (
        f"{name} is {seen.status} on the host already"
        if seen
        else f"{name} is not seen yet, as before any copy"
    )
    return [passed("target device", f"{text}; no datastore lies on it")]


def judge_wrapper(version: Version, ours: str) -> list[Line]:
    """Say how old a host's wrapper is."""
    check, number = "wrapper", version.number or "unknown"
    if version_order(version.number) < version_order(ours):
        lacks = "; it cannot stop a copy" if not version.stops else ""
        return [
            warning(
                check, f"version {number}, older than {ours}{lacks}", "populator vib install --hosts=HOST"
            )
        ]
    return [passed(check, f"version {number}")]


def judge_settings(settings: Mapping[str, int]) -> list[Line]:
    """Say of each advanced setting whether it lets the array copy, fast, and whatever the LUN id."""
    lines = []
    for path, what in ((MOVE, "copies"), (INIT, "zeroes")):
        if settings.get(path, 1) != 1:
            text = f"{path} is {settings[path]}: the host {what} by itself instead of having the array do it"
            lines.append(failed("settings", text, SET.format(path, 1)))
    if (size := settings.get(TRANSFER, LARGEST_TRANSFER)) < LARGEST_TRANSFER:
        text = f"{TRANSFER} is {size} KiB: copies are slower than with {LARGEST_TRANSFER}"
        lines.append(warning("settings", text, SET.format(TRANSFER, LARGEST_TRANSFER)))
    if (most := settings.get(MAX_LUN, DEFAULT_MAX_LUN)) < DEFAULT_MAX_LUN:
        text = f"{MAX_LUN} is {most}: a LUN mapped under an id from {most} on is not seen"
        lines.append(warning("settings", text, SET.format(MAX_LUN, DEFAULT_MAX_LUN)))
    if not lines and settings:
        shown = ", ".join(f"{path.rpartition('/')[2]} {value}" for path, value in settings.items())
        lines.append(passed("settings", shown))
    return lines


def judge_vaai(vaai: Vaai) -> list[Line]:
    """Say whether the host can have the array copy from a device."""
    check = "VAAI"
    if not vaai.plugin:
        return [
            failed(
                check,
                f"no plugin has claimed {vaai.device}: the host would move all bytes",
                f"esxcli storage core claimrule list --claimrule-class=VAAI; "
                f"esxcli storage core device vaai status get -d {vaai.device}",
            )
        ]
    if vaai.clone != "supported":
        text = (
            f"{vaai.device} by {vaai.plugin}, clone {vaai.clone or 'unknown'}: the host would move all bytes"
        )
        mend = f"See the array's setting for VAAI; then: esxcli storage core device vaai status get -d {vaai.device}"
        return [failed(check, text, mend)]
    return [passed(check, f"{vaai.device} by {vaai.plugin}, clone supported")]


def judge_claim_rule(device: SeenDevice, rules: Sequence[str]) -> list[Line]:
    """Say whether a claim rule of the class VAAI names a device's vendor."""
    check = "claim rule"
    if not device.vendor:
        return [warning(check, f"the vendor of {device.name} is not known")]
    if any(_vendor_in(rule) in {device.vendor, "*"} for rule in rules):
        return [passed(check, f"there is one for {device.vendor}")]
    add = (
        f"esxcli storage core claimrule add -r 911 -t vendor -V {device.vendor} -P VMW_VAAIP_T10 -c VAAI -a -s -m 16; "
        "esxcli storage core claimrule load -c VAAI; esxcli storage core claimrule run -c VAAI"
    )
    return [
        failed(check, f"none of the class VAAI names {device.vendor}, whose device is {device.name}", add)
    ]


def judge_paths(device: SeenDevice) -> list[Line]:
    """Say whether a device can be reached."""
    check, look = "paths", f"esxcli storage core path list -d {device.name}"
    states = (
        ", ".join(f"{device.paths.count(state)} {state}" for state in dict.fromkeys(device.paths)) or "none"
    )
    text = f"{device.name}: {states}"
    if not device.working:
        return [failed(check, text, f"Bring a path up: {look}")]
    return [warning(check, text, look) if device.working < len(device.paths) else passed(check, text)]


def _vendor_in(rule: str) -> str:
    found = re.search(r"vendor=(.*?)(?: model=|$)", rule)
    return found[1].strip() if found else ""
