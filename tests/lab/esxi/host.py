"""An ESXi host: its storage stack, its plugin, whether hostd answers, and what shakes it.

Attributes are public and may be set at any time, from any thread; `harm` must be empty after a good run. The
esxcli calls are in `commands`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.esxi.copies import Copies, CopyFaults
from tests.lab.esxi.overlap import Operation, Recorder
from tests.lab.esxi.script import Script
from tests.lab.esxi.sshd import Sshd
from tests.lab.esxi.stack import Adapter, Stack
from tests.lab.esxi.wire import Result
from tests.lab.esxi.wrapper import Stock
from tests.lab.san import San
from tests.lab.vmkfstools import Pace

STOCK, OURS = "0.3.3", "busybox"
"""wrappers: the stock one, and ours by the name of the shell that runs it"""
LIMIT = 2
"""operations at once that a host bears (VMware costs it at two clone operations)"""


@dataclass(frozen=True)
class Call:
    """An esxcli call that arrived: `storage core device list` and its arguments."""

    command: str
    arguments: Mapping[str, str]


class EsxiHost:
    """One host of the lab; `datastores` are the folders mounted below /vmfs/volumes.

    `wrapper` is what runs there: `STOCK`, or ours, by the name of the shell that runs it; that one needs a folder,
    `root`, for the host's own file system.
    """

    def __init__(
        self,
        name: str,
        moid: str,
        adapters: Iterable[Adapter | Mapping[str, str]],
        san: San,
        datastores: Mapping[str, Path],
        *,
        on_boot: Callable[["EsxiHost"], None] | None = None,
        falls_over: bool = False,
        wrapper: str = STOCK,
        root: Path | None = None,
    ) -> None:
        self.name, self.moid, self.san, self.datastores = name, moid, san, datastores
        self.on_boot = on_boot
        self.falls_over = falls_over
        self.fall_seconds = 5.0
        self.product_version = "8.0.3"
        self.plugin_installed = True
        self.rescan_seconds = 0.0
        self.forget_seconds = 0.0
        self.hostd_down_until = 0.0
        """on the clock of `time.monotonic`"""
        self.boot_time = datetime.now(UTC)
        self.harm: list[str] = []
        """what ought never to happen: a copy that lost its device, two writers on one device"""
        self.unclean: list[str] = []
        """devices whose last path died while they were on: taken away by the array before the host let go"""
        self.calls: list[Call] = []
        self.instead: dict[str, Callable[[], Result]] = {}
        """command -> what answers in its place, with a result or by raising `EsxcliFault`; it then does nothing"""
        self.extents: dict[str, str] = {}
        """device -> the VMFS datastore on it, of those that this host has mounted"""
        self.partitions: dict[str, tuple[str, ...]] = {}
        """device -> the types of its partitions, in hexadecimal as esxcli shows them"""
        self.openers: dict[str, tuple[str, ...]] = {}
        """device -> names of the worlds that have it open, besides the copies; it cannot be detached meanwhile"""
        self.vaai: dict[str, dict[str, str]] = {}
        """device -> what its VAAI status has otherwise than one that can do everything; an empty name is no plugin"""
        self.claimed = ["NETAPP", "EMC", "HITACHI", "IBM"]
        """vendors that a claim rule of the class VAAI names"""
        self.settings = {
            "/DataMover/HardwareAcceleratedMove": 1,
            "/DataMover/HardwareAcceleratedInit": 1,
            "/DataMover/MaxHWTransferSize": 16384,
        }
        """advanced settings that are numbers; Disk.MaxLUN is `max_lun`"""
        self.recorder = Recorder(self._shaken)
        self.stack = Stack((Adapter.of(each) for each in adapters), san)
        self.copies = Copies(name, datastores, self.stack, self.recorder, self.harm)
        self.sshd: Sshd | None = None
        self.wrapper: Stock | Script = Stock(self.copies)
        if wrapper != STOCK:
            if root is None:
                raise ValueError("a host that runs our wrapper needs a folder")
            self.wrapper = Script(self.copies, root, wrapper)
        san.subscribe(self._lost)
        self.stack.reboot()

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The host's storage adapters."""
        return self.stack.adapters

    @property
    def history(self) -> list[Operation]:
        """All operations that can shake a host, in the order of their start."""
        return self.recorder.history

    @property
    def max_overlap(self) -> int:
        """The most of them that ever ran at once."""
        return self.recorder.max_overlap

    @property
    def faults(self) -> CopyFaults:
        """What shall go wrong with copies."""
        return self.copies.faults

    @property
    def detached(self) -> set[str]:
        """The persistent list of devices that were switched off."""
        return self.stack.detached

    @property
    def clones_started(self) -> Counter[str]:
        """How many copies were ever started, by device."""
        return self.copies.started

    @property
    def running_copies(self) -> list[str]:
        """The devices that copies write to now."""
        return [task.device for task in self.copies.running()]

    def readers(self, naa: str) -> list[tuple[int, str]]:
        """Return the real processes that have a device open, number and name."""
        return self.wrapper.programs.openers(naa) if isinstance(self.wrapper, Script) else []

    @property
    def max_lun(self) -> int:
        """Disk.MaxLUN."""
        return self.stack.max_lun

    @max_lun.setter
    def max_lun(self, value: int) -> None:
        self.stack.max_lun = value

    @property
    def copy_rate(self) -> float | None:
        """Bytes a second, counted over the whole disk; None is as fast as possible. For new copies."""
        return self.copies.pace.rate

    @copy_rate.setter
    def copy_rate(self, value: float | None) -> None:
        self.copies.pace = Pace(rate=value)

    @property
    def copy_seconds(self) -> float | None:
        """Seconds that each new copy takes, whatever its size; resets `copy_rate`."""
        return self.copies.pace.seconds

    @copy_seconds.setter
    def copy_seconds(self, value: float | None) -> None:
        self.copies.pace = Pace(seconds=value)

    @property
    def plugin_version(self) -> str | None:
        """Version of the VIB's script; None: one so old that the `version` command is missing."""
        return self.wrapper.version

    @plugin_version.setter
    def plugin_version(self, value: str | None) -> None:
        self.wrapper.version = value

    @property
    def xcopy(self) -> bool | None:
        """Whether the array does the copying, as the device's counters tell; None: counters unreadable."""
        return self.copies.xcopy

    @xcopy.setter
    def xcopy(self, value: bool | None) -> None:
        self.copies.xcopy = value

    @property
    def hostd_down(self) -> bool:
        """Whether vCenter cannot reach the host now."""
        return time.monotonic() < self.hostd_down_until

    def hostd_restart(self, seconds: float) -> None:
        """Take hostd away for a while; copies go on."""
        self.hostd_down_until = time.monotonic() + seconds

    def restart(self, seconds: float = 0.0) -> None:
        """Reboot: copies, tasks and /tmp are gone, devices are those presented now; hostd is back later."""
        self.hostd_restart(seconds + 3600)
        self.power_off()
        self.wrapper.reboot()
        self.stack.reboot()
        self.boot_time = datetime.now(UTC)
        if self.on_boot:
            self.on_boot(self)
        self.hostd_restart(seconds)

    def power_off(self) -> None:
        """End all that runs on the host, at once."""
        self.wrapper.power_off()
        self.copies.power_off()

    def close(self) -> None:
        """End the host for good."""
        if self.sshd:
            self.sshd.close()
        self.wrapper.close()
        self.copies.power_off()

    def start_ssh(self, address: str, port: int = 0) -> Sshd:
        """Start the host's SSH service; only a host that runs our wrapper has a shell to log in to."""
        if not isinstance(self.wrapper, Script):
            raise TypeError("this host has no shell")
        self.sshd = Sshd(self.wrapper.sandbox, address, port)
        return self.sshd

    @property
    def ssh(self) -> Sshd:
        """The SSH service that was started."""
        if self.sshd is None:
            raise RuntimeError(f"{self.name} has no SSH service yet")
        return self.sshd

    def publish(self) -> None:
        """Let the host's own programs see its devices as they are now, for what is called by SSH."""
        if self.sshd and isinstance(self.wrapper, Script):
            self.wrapper.programs.publish()

    def _shaken(self, running: int) -> None:
        """Fall over if more runs at once than the host bears, and this host is one that does."""
        if self.falls_over and running > LIMIT:
            self.hostd_restart(self.fall_seconds)

    def device_status(self, naa: str) -> str | None:
        """Return the Status of a device, None if the host does not know it."""
        device = self.stack.devices.get(naa)
        return self.stack.status(device) if device else None

    def _lost(self, naa: str) -> None:
        device = self.stack.devices.get(naa)
        if device and not device.off and not self.stack.live_paths(naa):
            self.unclean.append(naa)
        self.copies.lost(naa)
