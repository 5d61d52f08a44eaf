"""Which hosts may copy a disk, in which order, and why not the others; pure, over what vCenter reports of them.

The VM's own host comes first. The others follow in an order that differs from volume to volume, so that many runs which
begin at once do not all reach for the same one.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from populator.errors import HostUnknown
from vsphere.errors import DeviceAbsent, HostUnfit, VsphereError
from vsphere.model import HostState, SourceDisk

HINT = "Choose others (--copy-hosts, COPY_HOSTS), or bring one of these into order."


@dataclass(frozen=True)
class Choice:
    """What was decided."""

    hosts: tuple[str, ...]
    """managed object ids, in the order of preference; at least one"""
    left_out: tuple[str, ...]
    """the others, each with the reason; for people"""


def decide_hosts(
    states: Sequence[HostState], disk: SourceDisk, named: Collection[str], volume: str
) -> Choice:
    """Decide among the hosts that vCenter reports for a disk; raise where none may copy it.

    `named` are the ids that were asked for, none where any host will do. `volume` is what the order follows from.
    """
    if unknown := [state.id for state in states if state.id in named and not state.exists]:
        raise VsphereError(
            f"There is no ESXi host {', '.join(unknown)} in vCenter.",
            "Correct the ids of the hosts that may copy (--copy-hosts, COPY_HOSTS).",
        )
    reasons = {state.id: why_not(state, disk) for state in states}
    fit = [state.id for state in states if not reasons[state.id]]
    left_out = tuple(f"{state}: {reasons[state.id]}" for state in states if reasons[state.id])
    if not fit:
        listed = "; ".join(left_out) or "vCenter shows none that has its datastore mounted"
        raise VsphereError(f"No host may copy {disk.path!r}: {listed}.", HINT)
    return Choice(in_order(fit, disk.host, volume), left_out)


def why_not(state: HostState, disk: SourceDisk) -> str:
    """Return what keeps a host from copying a disk, a clause; empty where nothing does."""
    if not state.exists:
        return "vCenter does not have it any more"
    if state.connection != "connected":
        return f"vCenter says it is {state.connection}"
    if state.maintenance:
        return "it is in maintenance mode"
    if state.lacks:
        return f"it does not have datastore {', '.join(map(repr, state.lacks))} mounted"
    if disk.running and state.id != disk.host:
        return "the VM is running, and its own host has its disks open"
    return ""


def in_order(hosts: Sequence[str], own: str, volume: str) -> tuple[str, ...]:
    """Return hosts in the order of preference."""
    others = sorted(host for host in hosts if host != own)
    first = zlib.crc32(volume.encode()) % len(others) if others else 0
    return (*(host for host in hosts if host == own), *others[first:], *others[:first])


def may_leave(error: Exception, earlier: Sequence[Exception]) -> bool:
    """Return whether a host may be left for another one over an error.

    It is what only this host cannot do, and was found out before the copy began. To look for the device has shaken the
    host: where a second one does not show it either, it is not for the hosts that it is missing.
    """
    if isinstance(error, DeviceAbsent):
        return not any(isinstance(before, DeviceAbsent) for before in earlier)
    return isinstance(error, HostUnfit | HostUnknown)
