"""What a run that died has left of one volume on one host: to look at it, and to take it away.

Nothing is taken from under a copy: whatever has the device open, or copies onto it, keeps all as it is. What is
disruptive to the host is done in a slot of its lease.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from populator.storage.array import Lun, Mapping, StorageArray
from populator.stories.parts import HostLease
from populator.writer import Mapped
from vsphere.host.device import Device
from vsphere.host.devices import Devices
from vsphere.model import EsxiHost
from vsphere.wrapper.contract import TaskState
from vsphere.wrapper.tasks import Tasks, UnknownTask


def known(mappings: Sequence[Mapping], noted: Mapped | None) -> tuple[Mapping, ...]:
    """Return the mappings, that of a dead run as a populator's also where the array cannot tell it from others."""
    return tuple(
        replace(mapping, ours=True, host=noted.host)
        if noted and mapping.group.within([noted.group])
        else mapping
        for mapping in mappings
    )


def is_for(mapping: Mapping, host: EsxiHost) -> bool:
    """Return whether a populator made a mapping for this host, or for all hosts and this is the only one."""
    return mapping.host == host.id or (mapping.host is None and mapping.initiators <= host.initiators)


@dataclass(frozen=True)
class OnHost:
    """What there is."""

    host: EsxiHost
    name: str
    """of the device"""
    device: Device | None
    openers: tuple[str, ...]
    """worlds that have the device open"""
    tasks: tuple[TaskState, ...]
    """copies onto the device that the host knows of, ended ones too"""
    mappings: tuple[Mapping, ...]
    """of populators, for this host"""
    served: bool
    """whether somebody else has mapped the LUN to the host"""

    @property
    def writer(self) -> TaskState | None:
        """Return the task that copies onto the device."""
        return next((task for task in self.tasks if not task.ended), None)

    @property
    def ended(self) -> tuple[TaskState, ...]:
        """Return the tasks of which only files are left."""
        return tuple(task for task in self.tasks if task.ended)


def in_use(seen: OnHost) -> bool:
    """Return whether something may be writing to the device."""
    return bool(seen.openers or seen.writer)


def look_at(
    host: EsxiHost, name: str, before: Sequence[Mapping], devices: Devices, tasks: Tasks | None, task: str
) -> OnHost:
    """Look at a host; `task` is one of which a journal tells. Changes nothing.

    Raises where a datastore, or the host itself, lives on the device: whatever it is, it is not a leftover.
    """
    device = devices.visible(name)
    devices.check_spare(name, device)
    return OnHost(
        host,
        name,
        device,
        openers=devices.busy(name) if device and not device.is_off else (),
        tasks=tasks_onto(name, tasks, task) if tasks else (),
        mappings=tuple(mapping for mapping in before if mapping.ours and is_for(mapping, host)),
        served=any(not mapping.ours and mapping.initiators & host.initiators for mapping in before),
    )


def tasks_onto(name: str, tasks: Tasks, task: str) -> tuple[TaskState, ...]:
    """Return the tasks that copy, or copied, onto a device; from a wrapper that lists none, the one that is known."""
    if tasks.can.lists:
        return tuple(state for state in tasks.all() if state.device == name)
    if not task:
        return ()
    try:
        return (tasks.poll(task),)
    except UnknownTask:
        return ()


def clear(
    seen: OnHost,
    lun: Lun | None,
    keep: Collection[Mapping],
    devices: Devices,
    tasks: Tasks | None,
    array: StorageArray,
    lease: HostLease,
    facts: dict[str, str],
) -> None:
    """Take it away; repeatable. Raises where something stays, `CopyMayBeRunning` where the device is in use by now.

    `lun` is None where the array has no such volume any more, `keep` are the mappings that no populator has made.
    """
    host = seen.host
    with lease.hold(host.id, **facts) as held:
        held.acquire()
        if not seen.served:
            devices.detach(seen.name, held)
        if lun:
            array.unmap(lun, host.id, host.initiators, keep)
        if not seen.served:
            devices.forget(seen.name, host.adapters, held)
    for task in seen.ended:
        if tasks:
            tasks.clean(task.task)
