"""Devices of one host: bring in, detach, forget. Whatever is disruptive is done in a step of the host lease.

Promises that a device that is already visible and on costs no rescan, that a device handed out is on and large
enough, that one which something has open is not detached, and that taking away is harmless where nothing is there.
Says nothing about data. What the host says of a device is read in `device_reader`.
"""

import logging
import math
from collections.abc import Sequence
from functools import partial

from vsphere.errors import DeviceAbsent, EsxcliFault, VsphereError
from vsphere.host.device import ABSENT, Device
from vsphere.host.device_reader import BUSY_SECONDS, DeviceReader
from vsphere.model import Adapter
from vsphere.ports import Guard, Held

log = logging.getLogger(__name__)

MIB = 1024 * 1024
LOOKS = (0.0, 0.2, 0.4, 0.8, 1.6, 3.2)
"""seconds after a rescan at which the device is looked for"""
RESCANS = ("add", "all", "add", "all")
"""kinds of rescan, in turn: a dead path of another LUN under the same LUN id keeps ours away until it is deleted"""
DISCOVERY_SECONDS = 120.0
"""no further rescan begins after this"""
RESCAN_SECONDS = 300.0
"""timeout of one rescan: dead paths elsewhere make it slow"""


class Devices(DeviceReader):
    """The devices of one host."""

    def discover(self, name: str, size: int, held: Held, mapped: str = "") -> Device:
        """Make a mapped LUN usable on the host; raise unless the device has at least `size` bytes.

        `mapped` says in words how it is mapped, for the error when it does not appear.
        """
        held.note(device=name, phase="discover")
        device = self._switched_on(self._look(name), held)
        deadline = self._clock.now() + DISCOVERY_SECONDS
        for kind in RESCANS:
            if device.is_on or self._clock.now() > deadline:
                break
            device = self._switched_on(self._rescan(device, kind, held), held)
        if not device.is_on:
            raise self._never_appeared(device, mapped)
        return self._large_enough(device, size)

    def detach(self, name: str, held: Held) -> None:
        """Take the device off the host in an orderly way, so that its LUN can be unmapped; repeatable.

        Raises where it is not certain to be off: the LUN must stay mapped. `CopyMayBeRunning` says that something
        has it open.
        """
        device = self.visible(name)
        if device is None:
            return
        if not device.is_off:
            self._wait_until_idle(name, BUSY_SECONDS)
        with held.teardown("detach"):
            if not device.is_off:
                self._switch_off(name)
                self._wait_until_off(name)
            self._unlist(name)

    def forget(self, name: str, adapters: Sequence[Adapter], held: Held) -> None:
        """Have the host remove all that reminds of an unmapped device; repeatable. Raises where something stays."""
        for adapter in adapters:
            if self.visible(name) is None:
                break
            with held.teardown("remove dead paths", unless=lambda: self.visible(name) is None) as needed:
                if needed:
                    self._esxcli.ask(
                        "storage core adapter rescan", RESCAN_SECONDS, type="delete", adapter=adapter.name
                    )
        else:
            self._ensure_gone(name)
        if self._listed_as_detached(name):
            with held.teardown("clear the detached list"):
                self._esxcli.ask("storage core device detached remove", device=name)

    def _ensure_gone(self, name: str) -> None:
        if self.visible(name):
            raise VsphereError(
                f"Host {self._esxcli.host} still has device {name}.",
                "When its LUN is unmapped, remove the dead paths: esxcli storage core adapter rescan -a -t delete",
            )

    def _look(self, name: str) -> Device:
        return self.visible(name) or Device(name, ABSENT, 0)

    def _rescan(self, device: Device, kind: str, held: Held) -> Device:
        """Rescan for new LUNs and look for the device; return it as last seen."""
        if device.status != ABSENT:
            with held.step("clear the detached list"):
                self._unlist(device.name, partial(held.guard, "clear the detached list"))
        with held.step("rescan", unless=lambda: self._look(device.name).is_on) as needed:
            if needed:
                self._run_rescan(kind, partial(held.guard, "rescan"))
        begin = self._clock.now()
        for moment in LOOKS:
            self._clock.wait(begin + moment - self._clock.now())
            device = self._look(device.name)
            if device.is_on or device.is_off:
                break
        return device

    def _run_rescan(self, kind: str, guard: Guard) -> None:
        try:
            self._esxcli.run("storage core adapter rescan", RESCAN_SECONDS, guard=guard, type=kind, all="1")
        except VsphereError as error:
            # What the rescan has brought shows in the device list, whatever became of its answer.
            if not (error.passing or isinstance(error, EsxcliFault)):
                raise
            log.warning("rescan on %s: %s", self._esxcli.host, error.text)

    def _switched_on(self, device: Device, held: Held) -> Device:
        """Bring back a device that was detached and never attached again; return others as they are."""
        if not device.is_off:
            return device
        with held.step("switch the device on", unless=lambda: self._look(device.name).is_on) as needed:
            if needed:
                self._switch_on(device.name, partial(held.guard, "switch the device on"))
        return self._look(device.name)

    def _switch_on(self, name: str, guard: Guard) -> None:
        log.info("device %s is off on %s; bringing it back", name, self._esxcli.host)
        try:
            self._esxcli.ask("storage core device set", guard=guard, device=name, state="on")
        except EsxcliFault as fault:
            log.warning("%s", fault.text)

    def _unlist(self, name: str, guard: Guard | None = None) -> None:
        """Take the device off the list of detached ones, which outlives its paths and reboots; harmless."""
        try:
            self._esxcli.ask("storage core device detached remove", guard=guard, device=name)
        except EsxcliFault as fault:
            log.info("device %s is not taken off the detached list: %s", name, fault.reason)

    def _switch_off(self, name: str) -> None:
        """Detach; a device that the copy has only just left may still be busy for a moment."""
        deadline = self._clock.now() + BUSY_SECONDS
        while True:
            try:
                self._esxcli.ask("storage core device set", device=name, state="off")
            except EsxcliFault as fault:
                if self._clock.now() > deadline or self._clock.expired():
                    if writers := self.busy(name):
                        raise self._in_use(name, writers) from fault
                    raise
            else:
                return
            self._clock.wait(0.5)

    def _wait_until_off(self, name: str) -> None:
        begin = self._clock.now()
        for moment in LOOKS:
            self._clock.wait(begin + moment - self._clock.now())
            device = self.visible(name)
            if device is None or device.is_off:
                return
        raise VsphereError(
            f"Device {name} is still not off on host {self._esxcli.host}.",
            f"Detach it by hand: esxcli storage core device set --state=off -d {name}",
        )

    def _large_enough(self, device: Device, size: int) -> Device:
        """Refuse a device that is certainly too small; its size is reported in whole MiB, rounded down."""
        if (device.size_mib + 1) * MIB <= size:
            raise VsphereError(
                f"Device {device.name} has {device.size_mib} MiB on host {self._esxcli.host}, "
                f"but the disk has {math.ceil(size / MIB)} MiB.",
                "If the LUN was made larger lately, rescan the host; else make the volume larger.",
            )
        return device

    def _never_appeared(self, device: Device, mapped: str) -> VsphereError:
        if device.status == ABSENT:
            return DeviceAbsent(
                f"Device {device.name} did not appear on host {self._esxcli.host} after its LUN was mapped{mapped}.",
                "Check that the host has paths to the array (zoning, iSCSI targets logged in), and that the LUN id "
                "is below the host's advanced setting Disk.MaxLUN.",
            )
        return DeviceAbsent(
            f"Device {device.name} is not usable on host {self._esxcli.host}: its state is {device.status}.",
            "Check the host's paths to it: esxcli storage core path list.",
        )
