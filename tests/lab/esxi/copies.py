"""The copies that run on a host: vmkfstools processes, the files they leave, and what becomes of them.

A copy has a thread of its own here, whether its vmkfstools is a process or only a model of one; it outlives hostd and a
tidied-up task, not the host. It needs its device on and reachable to the end: one whose LUN is taken away ends with an
I/O error, and that is noted as harm.
"""

import posixpath
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import vmkfstools
from tests.lab.esxi.overlap import Operation, Recorder
from tests.lab.esxi.stack import Stack


@dataclass
class CopyFaults:
    """What goes wrong with the next copies; all may be set and reset at any time."""

    locked: set[str] = field(default_factory=set)
    """sources another writer holds, as `/vmfs/volumes/<datastore>/<folder>/<file>` or `[datastore] …`"""
    fail_at: int | None = None
    """percent at which vmkfstools ends with `failure`"""
    failure: str = vmkfstools.IO_ERROR
    dies_at: int | None = None
    """percent at which it is killed together with the shell that would have written the exit code"""
    xcopy_fails: bool = False
    """the array refuses to copy, each time it is asked"""
    flip_at: int | None = None
    """a byte that comes out wrong, though vmkfstools and the array say that all is well"""
    silent: bool = False
    """nothing on stdout, ever"""
    refuse: dict[str, str] = field(default_factory=dict)
    """command of the plugin (`clone`, `taskGet`, …) -> message of a status 1 answer"""
    failure_is_fault: bool = False
    """a script that exits non-zero makes the esxcli call a CLIFault (which of the two is real is not known)"""


@dataclass
class Task:
    """A copy and the files it has in /tmp."""

    id: str
    pid: int
    source: str
    rdmfile: str
    device: str
    out: str = ""
    err: str = ""
    exitcode: str = ""
    halt: threading.Event = field(default_factory=threading.Event)
    lost: bool = False
    thread: threading.Thread | None = None
    pace: vmkfstools.Pace = field(default_factory=vmkfstools.Pace)
    told: int = 0
    """percent"""

    @property
    def alive(self) -> bool:
        """Whether its processes exist."""
        return self.thread is not None and self.thread.is_alive()

    def say(self, text: str) -> None:
        """Print to stdout."""
        self.out += text

    def die(self) -> None:
        """Be killed, and the shell around it with it."""
        self.halt.set()

    def settle(self) -> None:
        """Have nothing written any more by a process that is dead by now."""


class Copies:
    """All copies of one host."""

    def __init__(
        self, name: str, datastores: Mapping[str, Path], stack: Stack, recorder: Recorder, harm: list[str]
    ) -> None:
        self.name, self.datastores, self.stack = name, datastores, stack
        self.recorder, self.harm = recorder, harm
        self.faults = CopyFaults()
        self.pace = vmkfstools.Pace()
        self.xcopy: bool | None = True
        """what the device's clone counters will say; None: they cannot be read"""
        self.clone_write_ops: Counter[str] = Counter()
        """per device and ever growing, as vsish has it"""
        self.clone_write_blocks: Counter[str] = Counter()
        self.clone_failed_ops: Counter[str] = Counter()
        self.counted: Callable[[str], None] = lambda naa: None
        """hears of a device whose counters have grown"""
        self.started: Counter[str] = Counter()
        self.seen: set[str] = set()
        """ids of all tasks that were ever started"""
        self._running: list[Task] = []
        self._lock = threading.RLock()

    def start(self, task: Task) -> None:
        """Start vmkfstools in the background."""
        operation = self._begin(task)
        task.thread = threading.Thread(target=self._vmkfstools, args=(task, operation), daemon=True)
        task.thread.start()

    def run(self, task: Task) -> None:
        """Be a task's vmkfstools to the end; no `exitcode` says that it was killed."""
        task.thread = threading.current_thread()
        self._vmkfstools(task, self._begin(task))

    def _begin(self, task: Task) -> Operation:
        operation = self.recorder.begin("clone", task.device)
        task.pace = self.pace  # what is set after a task was seen is for later ones
        with self._lock:
            self.started[task.device] += 1
            self.seen.add(task.id)
            self._running.append(task)
        return operation

    def running(self) -> list[Task]:
        """Return the copies that run."""
        with self._lock:
            found = list(self._running)
        for task in found:
            task.settle()
        with self._lock:
            return list(self._running)

    def writing_to(self, naa: str) -> list[Task]:
        """Return the copies that run onto a device."""
        return [task for task in self.running() if task.device == naa]

    def lost(self, naa: str) -> None:
        """Be told that a LUN may not be seen any more; kills copies that cannot reach their device."""
        for task in self.writing_to(naa):
            if not self.stack.usable(naa):
                self._lose(task)

    def power_off(self) -> None:
        """End all copies at once, without a trace of how."""
        for task in self.running():
            task.halt.set()
            if task.thread:
                task.thread.join()

    def path_of(self, shown: str) -> Path | None:
        """Return the file behind `/vmfs/volumes/<datastore>/…`."""
        parts = posixpath.normpath(shown).removeprefix("/vmfs/volumes/").split("/", 1)
        root = self.datastores.get(parts[0])
        return root / parts[1] if root and len(parts) == 2 else None

    def remove_mapping(self, task: Task) -> None:
        """Delete what vmkfstools left next to the source."""
        path = self.path_of(task.rdmfile)
        if path:
            path.unlink(missing_ok=True)
            _extent(path).unlink(missing_ok=True)

    def _lose(self, task: Task) -> None:
        # Noticed twice, by the SAN's news and by the next write: whichever comes first.
        with self._lock:
            if not task.lost:
                self.harm.append(
                    f"{self.name}: {task.device} was taken away while task {task.id} wrote to it"
                )
            task.lost = True
        task.halt.set()

    def _vmkfstools(self, task: Task, operation: Operation) -> None:
        exitcode = str(vmkfstools.FAILURE)
        try:
            self._copy(task)
        except vmkfstools.VmkfstoolsError as error:
            task.err = f"{error}\n"
        else:
            exitcode = "" if task.halt.is_set() else "0"
        finally:
            # First gone, then seen to be gone: who reads the exit code may go on with the device at once.
            self.recorder.finish(operation)
            with self._lock:
                self._running.remove(task)
        task.exitcode = exitcode

    def _copy(self, task: Task) -> None:
        source = self._open(task)
        naa, device = task.device, self.stack.devices.get(task.device)
        if device is None:
            raise vmkfstools.VmkfstoolsError(vmkfstools.NO_DEVICE)
        if not self.stack.usable(naa):
            raise vmkfstools.VmkfstoolsError(vmkfstools.IO_ERROR)
        lun = device.lun
        self._create_mapping(task, device.size)
        if lun.writers:
            self.harm.append(f"{self.name}: task {task.id} writes to {naa}, and so does {lun.writers[0]}")
        writer = f"{self.name} task {task.id}"
        lun.writers.append(writer)
        try:
            self._print(
                task,
                f"Destination disk format: raw disk mapping to '/vmfs/devices/disks/{naa}'\n"
                f"Cloning disk '{task.source}'...\n",
            )
            vmkfstools.copy(
                source, lun, task.pace, task.halt, lambda n: self._progress(task, n), lambda: self._gate(task)
            )
        finally:
            lun.writers.remove(writer)
        if task.lost:
            raise vmkfstools.VmkfstoolsError(vmkfstools.IO_ERROR)
        if self.faults.flip_at is not None:
            lun.write(self.faults.flip_at, bytes([lun.read(self.faults.flip_at, 1)[0] ^ 1]))
        if not task.halt.is_set():
            self._print(task, "\n")

    def _open(self, task: Task) -> vmkfstools.Extent:
        path = self.path_of(task.source)
        if path is None:
            raise vmkfstools.VmkfstoolsError(vmkfstools.NOT_FOUND.format(path=task.source))
        if {_absolute(each) for each in self.faults.locked} & {posixpath.normpath(task.source)}:
            raise vmkfstools.VmkfstoolsError(vmkfstools.LOCKED.format(path=task.source))
        return vmkfstools.parse_descriptor(path, task.source, self.path_of)

    def _create_mapping(self, task: Task, size: int) -> None:
        path = self.path_of(task.rdmfile)
        if path is None or path.exists():
            raise vmkfstools.VmkfstoolsError(vmkfstools.EXISTS)
        path.write_text(
            '# Disk DescriptorFile\nversion=1\ncreateType="vmfsRawDeviceMap"\n\n'
            f'# Extent description\nRW {size // vmkfstools.SECTOR} VMFSRDM "{_extent(path).name}"\n',
            encoding="utf-8",
        )
        _extent(path).touch()

    def _gate(self, task: Task) -> None:
        if not self.stack.usable(task.device):
            self._lose(task)

    def _progress(self, task: Task, percent: int) -> None:
        faults = self.faults
        if faults.dies_at is not None and percent >= faults.dies_at:
            task.die()
            return
        if faults.fail_at is not None and percent >= faults.fail_at:
            raise vmkfstools.VmkfstoolsError(faults.failure)
        self._count(task, percent)
        self._print(task, f"\rClone: {percent}% done.")

    def _count(self, task: Task, percent: int) -> None:
        """Let the device's counters grow by what the array has copied since."""
        device = self.stack.devices.get(task.device)
        if self.xcopy and device:
            self.clone_write_ops[task.device] += 1
            self.clone_write_blocks[task.device] += (
                device.size * (percent - task.told) // 100 // vmkfstools.SECTOR
            )
        if self.faults.xcopy_fails:
            self.clone_failed_ops[task.device] += 1
        task.told = percent
        self.counted(task.device)

    def _print(self, task: Task, text: str) -> None:
        if not self.faults.silent:
            task.say(text)


def _extent(path: Path) -> Path:
    return path.with_name(path.name + "-rdm.vmdk")


def _absolute(source: str) -> str:
    """Return the path on the host of a source in either notation."""
    match = re.fullmatch(r"\[(.+?)\] (.+)", source)
    return f"/vmfs/volumes/{match[1]}/{match[2]}" if match else source
