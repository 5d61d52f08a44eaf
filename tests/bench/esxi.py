"""What the wrapper costs a host: time and processes of a poll, what hundreds of forgotten tasks cost a start, and what
it takes to compare source and device.

Processes are counted by the numbers that a PID namespace of its own hands out: exact, whatever else the machine does.
Those that the lab's stubs start for themselves are among them.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from tests.bench.figure import Figure
from tests.lab.disks import MIB, make_sparse_vmdk
from tests.lab.esxi import EsxiHost
from tests.lab.esxi.sandbox import SHELLS
from tests.lab.esxi.script import PREFIX, SCRIPT_PATH, Script
from tests.lab.san import San

NAA = "naa.600a098038303053455d463045727654"
DISK = "/vmfs/volumes/ds/vm/disk.vmdk"
CLONE = f"{SCRIPT_PATH} --clone -s {DISK} -t /vmfs/devices/disks/{NAA}"
ID = r"sed -n 's/.*\"taskId\": \"\([^\"]*\)\".*/\1/p'"
POLLS = 20
STALE = 200
COMPARED = 2048 * MIB
REACH = {"64": 2, "all": 20}
"""seconds"""
VERIFY = f"""#!/bin/sh
{SCRIPT_PATH} --verify -s {DISK} -t /vmfs/devices/disks/{NAA} -i $1 -n $2 >/dev/null
until {SCRIPT_PATH} --task-get -i $1 | grep '"state": "equal"' >/dev/null; do usleep 100000; done
exec {SCRIPT_PATH} --task-clean -i $1 >/dev/null
"""


def measure() -> Iterator[Figure]:
    """Yield the figures, under each shell."""
    for shell in SHELLS:
        with TemporaryDirectory(prefix="xcopy-bench-") as name:
            host = make_host(Path(name), shell)
            try:
                yield from poll(host, shell)
                yield start(host, Path(name), shell)
            finally:
                host.close()
        with TemporaryDirectory(prefix="xcopy-bench-") as name:
            host = make_host(Path(name), shell, COMPARED)
            try:
                yield from verify(host, shell)
            finally:
                host.close()


def make_host(folder: Path, shell: str, size: int = MIB) -> EsxiHost:
    """Return a host with one disk and one device, all zeros, whose copies take a minute."""
    san = San(folder / "luns")
    san.create_lun(NAA, size)
    san.map(NAA, {"iqn.1"}, 1, "bench")
    make_sparse_vmdk(folder / "ds/vm", "disk.vmdk", size, {})
    adapters = [{"device": "vmhba64", "kind": "iscsi", "initiator": "iqn.1"}]
    stores = {"ds": folder / "ds"}
    host = EsxiHost("esx-1", "host-1", adapters, san, stores, wrapper=shell, root=folder / "root")
    host.copy_seconds = 60
    return host


def script_of(host: EsxiHost) -> Script:
    """Return the host's wrapper, its devices shown."""
    assert isinstance(host.wrapper, Script)
    host.wrapper.programs.publish()
    return host.wrapper


def poll(host: EsxiHost, shell: str) -> Iterator[Figure]:
    """Measure taskGet while a copy runs."""
    command = script_of(host).sandbox.command(["/bin/sh", "-c"])
    get = f"{SCRIPT_PATH} --task-get -i $id >/dev/null"
    stop = f"{SCRIPT_PATH} --task-stop -i $id >/dev/null"  # the namespace lasts as long as the copy
    begin = f"id=$({CLONE} | {ID}); sleep 2; "
    count = f"{begin} true & before=$!; {get}; true & echo $(($! - before - 1)); {stop}"
    done = subprocess.run(
        [command[0], "--unshare-pid", *command[1:], count], capture_output=True, text=True, check=True
    )
    yield Figure(f"processes of a taskGet, {shell}", int(done.stdout), 1, 12, "processes")
    host.wrapper.reboot()
    command = script_of(host).sandbox.command(["/bin/sh", "-c"])
    times = [took([*command, begin + get + f"; {get}" * more]) for more in (0, POLLS)]
    yield Figure(f"time of a taskGet, {shell}", (times[1] - times[0]) / POLLS * 1000, 1, 50, "ms")


def verify(host: EsxiHost, shell: str) -> Iterator[Figure]:
    """Measure how long a comparison takes from its start to the poll that says so, by 64 samples and of everything."""
    host.stack.add(host.adapters)
    sandbox = script_of(host).sandbox
    sandbox.add_program("/lab/verify", VERIFY)
    for samples, name, parts in (
        ("64", "comparison of 64 samples", 1),
        ("all", "comparison of all, a GiB", 2),
    ):
        times = [took(sandbox.command(["/lab/verify", str(uuid4()), samples])) for _ in range(3)]
        yield Figure(f"{name}, {shell}", statistics.median(times) / parts, 0, REACH[samples], "s")


def start(host: EsxiHost, folder: Path, shell: str) -> Figure:
    """Measure how much longer a clone takes to start where there are old tasks to sweep."""
    command = script_of(host).sandbox.command(["/bin/sh", "-c", f"{CLONE} >/dev/null"])
    host.wrapper.reboot()
    bare = statistics.median(clone(host, command) for _ in range(5))
    stale = [forget_task(script_of(host), folder / "ds/vm") for _ in range(STALE)]
    script_of(host).power_off()
    late = took(command)
    deadline = time.monotonic() + 30
    while left := [each for each in stale if each.exists()]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(left)} mappings were not swept")
        time.sleep(0.1)
    return Figure(f"{STALE} stale tasks: longer start, {shell}", late - bare, 0, 0.2, "s")


def clone(host: EsxiHost, command: list[str]) -> float:
    """Time one start of a copy, and restart the host: a device whose copy is known takes no other one."""
    seconds = took(command)
    host.wrapper.reboot()
    return seconds


def forget_task(script: Script, beside: Path) -> Path:
    """Leave an old task that has ended, and its mapping; return the mapping."""
    task = str(uuid4())
    task_folder = script.sandbox.path(f"/tmp/{PREFIX}{task}")
    task_folder.mkdir()
    mapping = beside / f"disk.vmdk-rdmdisk-{task}"
    mapping.write_text(f'# Disk DescriptorFile\nRW 2048 VMFSRDM "{mapping.name}-rdm.vmdk"\n')
    mapping.with_name(f"{mapping.name}-rdm.vmdk").touch()
    for name, text in {
        "pid": "4194999",
        "exitcode": "0",
        "rdmfile": f"{DISK}-rdmdisk-{task}",
        "targetLun": NAA,
    }.items():
        (task_folder / name).write_text(f"{text}\n")
    old = time.time() - 6 * 86400
    os.utime(task_folder, (old, old))
    return mapping


def took(command: list[str]) -> float:
    """Run a command; return its seconds."""
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began
