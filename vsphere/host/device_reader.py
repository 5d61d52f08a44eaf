"""What a host says of a device, believed only where it is certain.

A device is absent only where a whole list of the host's devices does not name it: a fault may mean anything, whatever
its words. It is idle only where the host lists who has it open, and nobody has. Faults and answers that make no sense
are asked about again for a while, and then raised.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from vsphere.errors import CopyMayBeRunning, EsxcliFault, Unreadable, VsphereError
from vsphere.host.device import Device, Row, parse_device
from vsphere.ports import Clock, Commands, Result

log = logging.getLogger(__name__)

FAULT_PATIENCE = 10.0
"""seconds for which a question is asked again that the host answers with a fault or with nonsense"""
AWAY_PATIENCE = 120.0
"""seconds for which it is asked again, after a copy, whether the device is idle, while the host is away"""
BUSY_SECONDS = 10.0
"""how long a device may stay open after a copy"""
MOMENT = 5.0
"""how long the host itself may have a device open, to look at it"""
IDLE_UNTIL = 18.0
"""seconds after we were told to stop, for seeing that it is idle after a copy"""
PARTITIONS = {
    "fb": "a VMFS partition",
    "fc": "a partition for core dumps",
    "f8": "a partition of ESXi's own data",
}
"""types that no copy of ours may overwrite; of `f8` (VMFS-L, since ESXi 7) no documentation was found"""


class DeviceReader:
    """Asks one host; changes nothing."""

    def __init__(
        self, esxcli: Commands, clock: Clock, datastores: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        """`datastores` says which device is an extent of which datastore, for all that vCenter shows."""
        self._esxcli = esxcli
        self._clock = clock
        self._datastores = cache(datastores)

    def visible(self, name: str) -> Device | None:
        """Return the device as it is now, in whatever state, or None where the host does not know it."""
        return self._certain(lambda: self._find(name))

    def busy(self, name: str) -> tuple[str, ...]:
        """Return the names of the worlds (processes) that have the device open."""
        return self._certain(lambda: self._openers(name))

    def see_idle(self, name: str) -> None:
        """Return once nothing has the device open any more, after a copy onto it.

        Raises `CopyMayBeRunning` when something keeps it open, when somebody else has taken it away, or when the host
        cannot be asked. Told to stop, it goes on for a while.
        """
        with self._clock.grace(IDLE_UNTIL):
            self._wait_until_idle(name, BUSY_SECONDS)
            device = self._however_long(name, lambda: self.visible(name))
            if device is None or device.is_off:
                raise CopyMayBeRunning(
                    f"Device {name} was taken away from host {self._esxcli.host} right after the copy, not by us.",
                    "Another run works on this volume. See that none does, then start the migration again.",
                )

    def ensure_idle(self, name: str) -> None:
        """Raise `CopyMayBeRunning` when something has the device open for more than a moment."""
        self._wait_until_idle(name, MOMENT)

    def check_spare(self, name: str, device: Device | None) -> None:
        """Raise where a datastore, or the host itself, lives on a LUN; `device` is None where it is not visible."""
        if owner := self._owner(name, device):
            raise VsphereError(
                f"LUN {name} is not a volume to copy onto: {owner}.",
                "See which LUN the PersistentVolume leads to. If what lies on it is a leftover, wipe it first.",
            )

    def _owner(self, name: str, device: Device | None) -> str:
        """Return what lives on a LUN, in words; empty for nothing that is known."""
        if datastore := self._datastores().get(name):
            return f"datastore {datastore} lies on it"
        extents = self._certain(lambda: self._rows("storage vmfs extent list", "DeviceName"))
        if found := _of(name, extents, "DeviceName"):
            return f"datastore {found[0].get('VolumeName', '?')} of host {self._esxcli.host} lies on it"
        if device is None:
            return ""
        if device.boots:
            return f"host {self._esxcli.host} has booted from it"
        rows = self._certain(lambda: self._rows("storage core device partition list", "Device", device=name))
        kinds = [PARTITIONS.get(row.get("Type", "").lower()) for row in _of(name, rows, "Device")]
        return next((f"it holds {kind}" for kind in kinds if kind), "")

    def _wait_until_idle(self, name: str, seconds: float) -> None:
        deadline = self._clock.now() + seconds
        while writers := self._however_long(name, lambda: self.busy(name)):
            if self._clock.now() > deadline or self._clock.expired():
                raise self._in_use(name, writers)
            self._clock.wait(0.5)

    def _however_long(self, name: str, ask: Callable[[], Result]) -> Result:
        """Return what is asked once the host is back, if that does not take too long: a copy is not given up early."""
        deadline = self._clock.now() + AWAY_PATIENCE
        while True:
            try:
                return ask()
            except VsphereError as error:
                if not error.passing or self._clock.now() > deadline or self._clock.expired():
                    text = f"Whether a copy uses device {name} is not known. {error.text}"
                    hint = f"{error.hint} {self._when_idle(name)}".strip()
                    raise CopyMayBeRunning(text, hint, error.setting) from error
            self._clock.wait(1.0)

    def _find(self, name: str) -> Device | None:
        try:
            rows = self._rows("storage core device list", "Device", device=name)
        except (EsxcliFault, Unreadable):
            rows = []  # a device that the host does not know is a fault to it, but so is much else
        if found := _of(name, rows, "Device"):
            return parse_device(found[0])
        everything = self._rows("storage core device list", "Device")
        if not everything:
            raise Unreadable(
                f"Host {self._esxcli.host} lists no storage device at all.",
                "Look at its adapters: esxcli storage core adapter list.",
            )
        return next(map(parse_device, _of(name, everything, "Device")), None)

    def _openers(self, name: str) -> tuple[str, ...]:
        try:
            rows = self._rows("storage core device world list", "Device", device=name)
        except (EsxcliFault, Unreadable):
            if self._find(name):
                raise
            return ()
        worlds = _of(name, rows, "Device")
        return tuple(sorted({row.get("WorldName") or f"world {row.get('WorldID', '?')}" for row in worlds}))

    def _listed_as_detached(self, name: str) -> bool:
        return self._certain(
            lambda: bool(_of(name, self._rows("storage core device detached list", "DeviceUID"), "DeviceUID"))
        )

    def _rows(self, command: str, key: str, device: str = "") -> list[Row]:
        """Return a list's rows; raise `Unreadable` when one lacks the name of what it is about."""
        rows = self._esxcli.ask(command, device=device) if device else self._esxcli.ask(command)
        if not all(row.get(key, "").strip() for row in rows):
            raise Unreadable(
                f"The answer of host {self._esxcli.host} to 'esxcli {command}' cannot be read: it lacks {key}.",
                "Try that command on the host.",
            )
        return rows

    def _certain(self, ask: Callable[[], Result]) -> Result:
        """Return what the host says, asked again for a while where it answers with a fault or with nonsense."""
        deadline = self._clock.now() + FAULT_PATIENCE
        while True:
            try:
                return ask()
            except (EsxcliFault, Unreadable) as error:
                if self._clock.now() > deadline or self._clock.expired():
                    raise
                log.info("asking again: %s", error.text)
            self._clock.wait(1.0)

    def _in_use(self, name: str, writers: Iterable[str]) -> CopyMayBeRunning:
        """Return the error that keeps the LUN mapped."""
        return CopyMayBeRunning(
            f"Device {name} is in use on host {self._esxcli.host}: {', '.join(writers)} has it open.",
            self._when_idle(name),
        )

    def _when_idle(self, name: str) -> str:
        return (
            f"When nothing uses it any more (esxcli storage core device world list -d {name}), detach it and remove "
            "the LUN's mapping, then start the migration again."
        )


def _of(name: str, rows: Iterable[Row], key: str) -> list[Row]:
    return [row for row in rows if row[key].strip() == name]
