"""A host's storage stack: adapters, paths and devices, and how they follow the SAN only when told to look.

A LUN becomes a device when it is presented to one of the host's initiators and a rescan that adds has run on
that adapter since. A LUN that is taken away leaves dead paths until a rescan that deletes. A device that was
switched off stays off in a list that survives unmap, map and reboot. No time passes in here, and all methods
may be called from any thread.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.lab.san import LunFile, San


@dataclass(frozen=True)
class Adapter:
    """A host bus adapter: `kind` is `iscsi` (with `initiator`), `fc` (with `wwnn` and `wwpn`), or `sdc` (with all)."""

    device: str
    kind: str
    initiator: str = ""
    wwnn: str = ""
    wwpn: str = ""
    status: str = "online"
    """one that is offline has no paths to anything"""

    @classmethod
    def of(cls, spec: "Adapter | Mapping[str, str]") -> "Adapter":
        """Return an adapter from the form in which the vCenter's configuration has it."""
        return spec if isinstance(spec, Adapter) else cls(**spec)

    @property
    def port(self) -> str:
        """The name by which the SAN knows it: PowerFlex's client by its GUID, whatever it shows itself as."""
        return (self.initiator or self.wwpn).lower()

    @property
    def identifier(self) -> str:
        """The name by which esxcli shows it."""
        return self.initiator if self.kind == "iscsi" else f"fc.{self.wwnn}:{self.wwpn}".lower()


@dataclass
class Device:
    """A device the host has discovered and not forgotten; `size` is what it had then, in bytes."""

    naa: str
    size: int
    lun: LunFile
    off: bool = False


class Stack:
    """The devices and paths that one host knows at this moment."""

    def __init__(self, adapters: Iterable[Adapter], san: San) -> None:
        self.adapters = tuple(adapters)
        self.san = san
        self.max_lun = 1024
        """Disk.MaxLUN: ids from here on are never looked at"""
        self.targets = 2
        """ports of the array that each adapter reaches; with one adapter and one target a device is `degraded`"""
        self.lost_status = "dead timeout"
        """Status of a device whose paths are all dead; `not connected` where the array reports the loss at once"""
        self.devices: dict[str, Device] = {}
        self.paths: dict[tuple[str, int], str] = {}
        """(adapter, LUN id) -> device, dead ones included"""
        self.detached: set[str] = set()
        self.lock = threading.RLock()
        """for who looks and then acts on it"""
        self.log: list[str] = []
        """what the VMkernel would log of paths it refused"""

    def add(self, adapters: Iterable[Adapter]) -> None:
        """Discover what is presented to these adapters."""
        with self.lock:
            for adapter in (each for each in adapters if each.status != "offline"):
                for naa, lun_id in self.san.seen_by([adapter.port]).items():
                    self._claim(adapter, naa, lun_id)

    def delete(self, adapters: Iterable[Adapter], busy: frozenset[str] = frozenset()) -> None:
        """Forget dead paths of these adapters, and devices left without a path; `busy` ones stay."""
        names = {adapter.device for adapter in adapters}
        with self.lock:
            for (adapter, lun_id), naa in list(self.paths.items()):
                if adapter in names and naa not in busy and not self.alive(adapter, lun_id):
                    del self.paths[adapter, lun_id]
            for naa in set(self.devices) - set(self.paths.values()):
                del self.devices[naa]

    def reboot(self) -> None:
        """Start again from what is presented; only the detached list is remembered."""
        with self.lock:
            self.devices.clear()
            self.paths.clear()
            self.add(self.adapters)

    def alive(self, adapter: str, lun_id: int) -> bool:
        """Whether a known path still leads to the LUN it led to."""
        port = next(each.port for each in self.adapters if each.device == adapter)
        return self.san.seen_by([port]).get(self.paths[adapter, lun_id]) == lun_id

    def live_paths(self, naa: str) -> int:
        """Count the paths over which a device can be reached now."""
        with self.lock:
            keys = [key for key, device in self.paths.items() if device == naa]
            return self.targets * sum(self.alive(*key) for key in keys)

    def status(self, device: Device) -> str:
        """Return what `storage core device list` says of a device."""
        if device.off:
            return "off"
        live = self.live_paths(device.naa)
        return self.lost_status if not live else "degraded" if live == 1 else "on"

    def usable(self, naa: str) -> bool:
        """Whether I/O to a device would get through."""
        with self.lock:
            device = self.devices.get(naa)
            return device is not None and not device.off and self.live_paths(naa) > 0

    def _claim(self, adapter: Adapter, naa: str, lun_id: int) -> None:
        if lun_id >= self.max_lun:
            return
        known = self.paths.get((adapter.device, lun_id))
        if known and known != naa:
            # A path whose LUN id now leads elsewhere is refused until its dead predecessor is forgotten.
            self.log.append(
                f"ScsiPath: path {adapter.device}:C0:T0:L{lun_id}: the UID of the device changed "
                f"from {known} to {naa}; the path is not claimed"
            )
            return
        self.paths[adapter.device, lun_id] = naa
        if naa not in self.devices:
            lun = self.san.lun(naa)
            self.devices[naa] = Device(naa, lun.size, lun, off=naa in self.detached)
