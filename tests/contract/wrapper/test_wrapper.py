"""The wrapper on a host: what it answers, what it refuses, and what becomes of its copies; under busybox and dash.

The golden files in `golden/` are what clients of version 0.3.x parse, byte for byte.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.lab import disks
from tests.lab.esxi import EsxiHost
from tests.lab.esxi.sandbox import SHELLS
from tests.lab.esxi.script import PREFIX, SCRIPT_PATH, Script, parse_plugin
from tests.lab.esxi.stubs import PS
from tests.lab.esxi.stubs import SOCKET as VMKFSTOOLS
from tests.lab.san import LunFile, San
from vsphere.wrapper.files import CAPABILITIES, PLUGIN_XML, VERSION

MIB = 1 << 20
NAA, OTHER = (f"naa.600a0980{secrets.token_hex(12)}" for _ in range(2))
"""unlike those of other runs, whose processes ps may show too; so never a part of a test's id"""
IQN = "iqn.1998-01.com.vmware:esx-1"
DISK, DEVICE = "/vmfs/volumes/ds one/vm a/disk.vmdk", f"/vmfs/devices/disks/{NAA}"
CLONE = ("--clone", "-s", DISK, "-t", DEVICE)
UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"
GOLDEN = Path(__file__).parent / "golden"
_NS = "{http://www.vmware.com/Products/ESX/5.0/esxcli/}"


@dataclass
class Reply:
    """What the script printed, and its exit code."""

    text: str
    code: int

    @property
    def strings(self) -> list[str]:
        return [each.text or "" for each in ElementTree.fromstring(self.text).iter(f"{_NS}string")]  # noqa: S314

    @property
    def status(self) -> str:
        return self.strings[0]

    @property
    def message(self) -> str:
        return self.strings[1]

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self.message))


def make_snapshot(host: "Host") -> None:
    """Let the disk be what was written since a snapshot, above a base beside it."""
    folder = host.disk.parent
    base = disks.make_vmdk(folder, "base.vmdk", 4 * MIB, content=2)
    disks.make_delta(folder, host.disk.name, base, 4 * MIB, {})


class Host:
    """One host with two devices, and calls of its script."""

    def __init__(self, directory: Path, shell: str) -> None:
        self.san, self.datastore = San(directory / "luns"), directory / "ds"
        self.disk = disks.make_vmdk(self.datastore / "vm a", "disk.vmdk", 4 * MIB, content=1)
        adapters = [{"device": "vmhba64", "kind": "iscsi", "initiator": IQN}]
        self.machine = EsxiHost(
            "esx-1",
            "host-1",
            adapters,
            self.san,
            {"ds one": self.datastore},
            wrapper=shell,
            root=directory / "r",
        )
        for number, naa in enumerate((NAA, OTHER), 1):
            self.san.create_lun(naa, 4 * MIB)
            self.san.map(naa, {IQN}, number, "xcopy")
        self.machine.stack.add(self.machine.adapters)
        assert isinstance(self.machine.wrapper, Script)
        self.script = self.machine.wrapper
        self.sandbox = self.script.sandbox

    @property
    def lun(self) -> LunFile:
        return self.san.lun(NAA)

    def call(self, *arguments: str, ssh: str | None = None) -> Reply:
        """Call the script by its arguments, or as sshd does with a forced command."""
        self.script.programs.publish()
        environment = {} if ssh is None else {"SSH_ORIGINAL_COMMAND": ssh}
        done = subprocess.run(
            self.sandbox.command([SCRIPT_PATH, *arguments], environment),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == b""
        return Reply(done.stdout.decode(), done.returncode)

    def clone(self, source: str = DISK, target: str = DEVICE) -> str:
        reply = self.call("--clone", "-s", source, "-t", target)
        assert reply.status == "0", reply.text
        task = str(reply.facts["taskId"])
        wait_for(lambda: task in self.machine.copies.seen)
        return task

    def get(self, task: str) -> dict[str, Any]:
        return self.call("--task-get", "-i", task).facts

    def finish(self, task: str) -> dict[str, Any]:
        ended = self.folder(task) / "exitcode"
        wait_for(lambda: ended.exists() or not self.machine.running_copies)
        wait_for(lambda: self.get(task)["exitCode"] != "")
        return self.get(task)

    def folder(self, task: str) -> Path:
        return self.sandbox.path(f"/tmp/{PREFIX}{task}")

    def beside(self) -> list[str]:
        """The files beside the disk that are not its own."""
        return sorted(each.name for each in self.disk.parent.iterdir() if "rdmdisk" in each.name)

    def break_program(self, name: str, how: str, times: int = 0, after: int = 0) -> None:
        """Let one of the host's programs go wrong after some calls, so many times (0: always).

        `$real` in `how` is the program that works.
        """
        program, lab = self.sandbox.path(f"/bin/{name}"), f"/lab/{name}-"
        real = f"/bin/busybox {name}"
        if not program.is_symlink():  # a stub: ESXi's own
            real = f"/bin/{name}.real"
            if not (kept := self.sandbox.path(real)).exists():
                program.rename(kept)
        self.sandbox.path(f"{lab}well").write_text("x" * after)
        self.sandbox.path(f"{lab}broken").write_text("x" * (times or 1))
        count = "less broken; " if times else ""
        self.sandbox.add_program(
            f"/bin/{name}",
            f"""#!/bin/sh
real="{real}"
less() {{ /bin/busybox tail -c +2 {lab}$1 >{lab}$1.new; /bin/busybox mv {lab}$1.new {lab}$1; }}
[ ! -s {lab}well ] || {{ less well; exec $real "$@"; }}
[ ! -s {lab}broken ] || {{ {count}{how}; }}
exec $real "$@"
""",
        )

    def mend_program(self, name: str) -> None:
        self.sandbox.path(f"/lab/{name}-broken").write_text("")


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@contextmanager
def running(shell: str) -> Iterator[Host]:
    with tempfile.TemporaryDirectory() as name:
        host = Host(Path(name), shell)
        try:
            yield host
        finally:
            host.machine.close()
            assert host.sandbox.processes() == []


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with running(request.param) as host:
        yield host


@pytest.fixture(scope="module", params=SHELLS)
def idle_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """One for many tests, none of which gets anything done."""
    with running(request.param) as host:
        yield host
        assert host.machine.clones_started == {}
        assert host.script.temporary == []


# What clients parse


def golden(name: str, reply: Reply, **values: object) -> None:
    """Compare with a golden file; `…` in one stands for what version 0.3.x does not have."""
    expected = (GOLDEN / name).read_text()
    for key, value in {"VERSION": VERSION, **values}.items():
        expected = expected.replace(f"@{key}@", str(value))
    head, _, rest = expected.partition("…")
    assert reply.text[: len(head)] == head
    assert reply.text.endswith(rest), reply.text
    assert bool(rest) or len(reply.text) == len(head)
    assert reply.code == (0 if "<string>0<" in expected or name == "version.txt" else 1)


def test_answers_to_old_commands_are_those_of_0_3(host: Host) -> None:
    host.machine.copy_seconds = 60
    started = host.call(*CLONE)
    task, pid = started.facts["taskId"], started.facts["pid"]
    golden("clone.xml", started, ID=task, PID=pid)
    wait_for(lambda: "%" in host.get(task)["lastLine"])
    line = host.get(task)["lastLine"]
    while (reply := host.call("--task-get", "-i", task)).facts["lastLine"] != line:
        line = reply.facts["lastLine"]
    golden("task-get-running.xml", reply, ID=task, PID=pid, LINE=line)
    host.machine.copies.running()[0].halt.set()
    host.call("--task-stop", "-i", task)
    golden("task-clean.xml", host.call("--task-clean", "-i", task))
    golden("task-unknown.xml", host.call("--task-get", "-i", task), ID=task)
    golden("task-unknown.xml", host.call("--task-clean", "-i", task), ID=task)


def test_the_end_of_a_copy_is_told_as_by_0_3(host: Host) -> None:
    task = host.clone()
    done = host.finish(task)
    golden("task-get-done.xml", host.call("--task-get", "-i", task), ID=task, PID=done["pid"])
    host.call("--task-clean", "-i", task)
    host.machine.faults.locked.add(DISK)
    task = host.clone()
    failed = host.finish(task)
    golden("task-get-failed.xml", host.call("--task-get", "-i", task), ID=task, PID=failed["pid"])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("version.xml", ["--version"]),
        ("version.xml", ["-v"]),
        ("version.txt", ["--version", "--output", "simple"]),
        ("no-id-get.xml", ["--task-get"]),
        ("no-id-clean.xml", ["--task-clean"]),
        ("unknown-option.xml", ["--clone", "--evil"]),
        ("path-invalid.xml", ["--clone", "-s", "/vmfs/volumes/ds one/../disk.vmdk", "-t", DEVICE]),
        ("path-not-allowed.xml", ["--clone", "-s", "/etc/shadow", "-t", DEVICE]),
        ("target-not-allowed.xml", ["--clone", "-s", DISK, "-t", "/dev/null"]),
    ],
)
def test_answers_without_a_task(idle_host: Host, name: str, arguments: list[str]) -> None:
    golden(name, idle_host.call(*arguments))


@pytest.mark.parametrize(
    "arguments", [["--clone"], ["--clone", "-s", DISK], ["--clone", "-t", DEVICE], ["-s"], ["-i"], []]
)
def test_a_call_that_is_not_complete_is_answered_too(idle_host: Host, arguments: list[str]) -> None:
    reply = idle_host.call(*arguments)
    assert (reply.status, reply.code) == ("1", 1)
    assert reply.message


def test_version_names_what_it_can_do(idle_host: Host) -> None:
    assert idle_host.call("--version").facts == {"version": VERSION, "capabilities": list(CAPABILITIES)}


def test_a_trailing_carriage_return_leaves_an_empty_line(host: Host) -> None:
    task = host.clone()
    host.finish(task)
    for out, line in (("a\rb", "b"), ("a\rb\n", "b"), ("a\r", ""), ("", ""), ("x" * 9000, "x" * 4096)):
        (host.folder(task) / "out").write_text(out, newline="")
        assert host.get(task)["lastLine"] == line


@pytest.mark.parametrize("text", ["<&>\"'\\ \x01\x1f\t\x7f", "ünïcode 🐍", "]]> &amp; \\u0041"])
def test_whatever_vmkfstools_says_the_answer_is_well_formed(host: Host, text: str) -> None:
    task = host.clone()
    host.finish(task)
    (host.folder(task) / "err").write_text(text)
    (host.folder(task) / "out").write_text(f"\r{text}")
    assert (host.get(task)["stdErr"], host.get(task)["lastLine"]) == (text, text)


def test_bytes_that_are_no_text_are_replaced(host: Host) -> None:
    task = host.clone()
    host.finish(task)
    bad = b"a\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xef\xbf\xbe\xe2\x82b"
    (host.folder(task) / "err").write_bytes(bad)
    told = host.get(task)["stdErr"]
    assert re.fullmatch("a\ufffd+b", told)


# Tasks


def test_a_task_is_told_with_all_that_is_known(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    wait_for(lambda: "%" in host.get(task)["lastLine"])
    told = host.get(task)
    assert list(told) == [
        "taskId", "pid", "exitCode", "lastLine", "xcopyUsed", "stdErr",
        "state", "source", "device", "seconds", "xcopy", "fallback",
    ]  # fmt: skip
    assert (told["state"], told["source"], told["device"]) == ("running", DISK, NAA)
    assert told["xcopyUsed"] is True
    assert isinstance(told["seconds"], int)
    assert (host.folder(task) / "seen").exists()
    pids = {int((host.folder(task) / name).read_text().split()[0]) for name in ("pid", "child")}
    assert pids == set(host.sandbox.processes())


def test_a_second_copy_onto_a_device_is_refused_with_the_first_ones_id(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    reply = host.call(*CLONE)
    assert (reply.status, reply.facts["taskId"], reply.facts["reason"]) == ("1", task, "busy")
    assert all(part in reply.facts["stdErr"] for part in (NAA, task, DISK))
    assert host.machine.harm == []
    host.clone(target=f"/vmfs/devices/disks/{OTHER}")
    assert len(host.call("--task-list").facts["tasks"]) == 2


def at_the_same_instant(host: Host, calls: Sequence[Callable[[], Reply]]) -> list[Reply]:
    """Make all calls at once, and return the replies in no order."""
    host.script.programs.publish()
    begin = threading.Barrier(len(calls))
    replies: list[Reply] = []

    def one(call: Callable[[], Reply]) -> None:
        begin.wait()
        replies.append(call())

    threads = [threading.Thread(target=one, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def test_of_clones_at_the_same_instant_one_wins(host: Host) -> None:
    host.machine.copy_seconds = 60
    # Between the look for other tasks and the start: so they would all pass where no lock kept them apart.
    host.sandbox.add_program("/bin/ps", PS.replace("ours=' '", "sleep 0.5; ours=' '"))

    replies = at_the_same_instant(host, [partial(host.call, *CLONE)] * 3)
    (winner,) = [reply for reply in replies if reply.status == "0"]
    losers = [reply.facts for reply in replies if reply.status != "0"]
    assert {(facts["reason"], facts["taskId"]) for facts in losers} == {("busy", winner.facts["taskId"])}
    assert host.script.temporary == [f"{PREFIX}{winner.facts['taskId']}"], "and no lock is left"


def test_a_lock_that_a_dead_one_left_is_taken_over(host: Host) -> None:
    lock = host.sandbox.path(f"/tmp/.vmkfstools-wrapper-lock-{NAA}")
    lock.symlink_to("pid-4194999")
    task = host.clone()
    assert not lock.is_symlink()
    host.finish(task)


def test_of_clones_that_find_a_lock_which_dead_ones_left_one_wins(host: Host) -> None:
    """The owner died, and after it whoever was about to take the lock over."""
    host.machine.copy_seconds = 60
    lock = host.sandbox.path(f"/tmp/.vmkfstools-wrapper-lock-{NAA}")
    lock.symlink_to("pid-4194999")
    lock.with_name(f"{lock.name}.pid-4194999").symlink_to("pid-4194998")
    replies = at_the_same_instant(host, [partial(host.call, *CLONE)] * 3)
    (winner,) = [reply for reply in replies if reply.status == "0"]
    assert {reply.facts["reason"] for reply in replies if reply is not winner} == {"busy"}
    assert host.script.temporary == [f"{PREFIX}{winner.facts['taskId']}"]
    assert host.machine.harm == []


def test_a_lock_is_not_taken_from_one_who_is_slow(host: Host) -> None:
    lock = host.sandbox.path(f"/tmp/.vmkfstools-wrapper-lock-{NAA}")
    lock.symlink_to(f"pid-{os.getpid()}")
    os.utime(lock, (0, 0), follow_symlinks=False)
    given_back: list[float] = []

    def give_back() -> None:
        given_back.append(time.monotonic())
        lock.unlink()

    threading.Timer(2, give_back).start()
    reply = host.call(*CLONE)
    assert given_back, "the clone did not wait"
    assert reply.status == "0"


@pytest.mark.parametrize("how", ["exit 1", "exit 0", "echo pid-; exit 0", "echo pid-4194999x; exit 0"])
def test_a_lock_whose_owner_cannot_be_read_is_held(idle_host: Host, how: str) -> None:
    lock = idle_host.sandbox.path(f"/tmp/.vmkfstools-wrapper-lock-{NAA}")
    lock.symlink_to("pid-4194999")
    idle_host.break_program("readlink", f'[ "$1" != -f ] || exec $real "$@"; {how}')
    idle_host.break_program("usleep", "exit 0")  # so that it waits a hundred times in no time
    reply = idle_host.call(*CLONE)
    idle_host.mend_program("readlink")
    idle_host.mend_program("usleep")
    assert (reply.status, reply.facts["reason"]) == ("1", "unsure")
    assert lock.is_symlink()
    lock.unlink()


def test_a_lock_that_is_held_is_waited_for(host: Host) -> None:
    lock = host.sandbox.path(f"/tmp/.vmkfstools-wrapper-lock-{NAA}")
    lock.symlink_to(f"pid-{os.getpid()}")
    threading.Timer(0.5, lock.unlink).start()
    host.finish(host.clone())


def test_a_vmkfstools_whose_task_was_forgotten_still_guards_its_device(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    for each in host.folder(task).iterdir():
        each.unlink()
    host.folder(task).rmdir()
    reply = host.call(*CLONE)
    assert (reply.status, reply.facts["reason"]) == ("1", "busy")


def test_stop_ends_the_copy_and_can_be_repeated(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    first = host.call("--task-stop", "-i", task)
    assert (first.status, first.facts["state"], first.facts["exitCode"]) == ("0", "stopped", "143")
    assert host.machine.running_copies == []
    assert host.sandbox.processes() == []
    assert host.call("--task-stop", "-i", task).facts["state"] == "stopped"
    host.call("--task-clean", "-i", task)
    host.machine.copy_seconds = 0
    host.finish(host.clone())


def test_stop_ends_no_other_copy(host: Host) -> None:
    host.machine.copy_seconds = 60
    task, other = host.clone(), host.clone(target=f"/vmfs/devices/disks/{OTHER}")
    assert host.call("--task-stop", "-i", task).facts["state"] == "stopped"
    assert host.get(other)["state"] == "running"
    assert host.machine.running_copies == [OTHER]


def test_stop_tells_the_real_end_of_a_copy_that_had_ended(host: Host) -> None:
    task = host.clone()
    host.finish(task)
    assert host.call("--task-stop", "-i", task).facts["state"] == "succeeded"
    (host.folder(task) / "stopped").touch()  # as when it ended just after it was looked at
    assert host.get(task)["state"] == "succeeded"


def test_a_copy_that_ignores_the_request_is_killed(host: Host) -> None:
    text = (host.sandbox.path("/bin/vmkfstools")).read_text()
    host.sandbox.add_program(
        "/bin/vmkfstools",
        text.replace(
            "import os, socket, sys", "import os, signal, socket, sys; signal.signal(15, signal.SIG_IGN)"
        ),
    )
    host.machine.copy_seconds = 60
    task = host.clone()
    reply = host.call("--task-stop", "-i", task)
    assert (reply.status, reply.facts["state"]) == ("0", "stopped")
    assert reply.facts["exitCode"] == "137"
    assert host.sandbox.processes() == []


def test_stop_of_what_cannot_be_ended_says_so(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    # Something that bears the task's mark and that signals do not reach, as a process in the kernel.
    host.sandbox.add_program("/bin/ps", f"#!/bin/sh\necho '4194999 4194999 vmkfstools x-rdmdisk-{task}'\n")
    reply = host.call("--task-stop", "-i", task)
    assert (reply.status, reply.facts["reason"]) == ("1", "running")


def test_a_running_task_is_not_cleaned_up(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    reply = host.call("--task-clean", "-i", task)
    assert (reply.status, reply.facts["reason"]) == ("1", "running")
    assert host.get(task)["state"] == "running"


def test_a_clean_up_takes_the_mapping_with_it(host: Host) -> None:
    task = host.clone()
    host.finish(task)
    assert host.beside() == [f"disk.vmdk-rdmdisk-{task}", f"disk.vmdk-rdmdisk-{task}-rdm.vmdk"]
    reply = host.call("--task-clean", "-i", task)
    assert (reply.status, reply.message, host.beside(), host.script.temporary) == ("0", "", [], [])


@pytest.mark.parametrize(
    "extent", ["disk-flat.vmdk", "../vm a/disk-flat.vmdk", "/etc/passwd", "../@", "/etc/@"]
)
def test_a_mapping_that_names_something_else_leaves_that_alone(host: Host, extent: str) -> None:
    task = host.clone()
    host.finish(task)
    ours_by_name = f"disk.vmdk-rdmdisk-{task}-rdm.vmdk"
    victims = [
        host.datastore / ours_by_name,
        host.sandbox.path(f"/etc/{ours_by_name}"),
        disks.flat_of(host.disk),
    ]
    for victim in victims[:2]:
        victim.touch()
    names = extent.replace("@", ours_by_name)
    (host.disk.parent / f"disk.vmdk-rdmdisk-{task}").write_text(f'RW 1 VMFSRDM "{names}"\n')
    assert host.call("--task-clean", "-i", task).status == "0"
    assert [victim.exists() for victim in victims] == [True] * 3


@pytest.mark.parametrize("path", ["/etc/x-rdmdisk-1", "/vmfs/volumes/ds one/../../../etc/x-rdmdisk-1"])
def test_an_rdmfile_that_leads_elsewhere_is_not_followed(host: Host, path: str) -> None:
    task = host.clone()
    host.finish(task)
    victim = host.sandbox.path("/etc/x-rdmdisk-1")
    victim.write_text("keep")
    (host.folder(task) / "rdmfile").write_text(f"{path}\n")
    assert host.call("--task-clean", "-i", task).status == "0"
    assert victim.read_text() == "keep"


def test_an_rdmfile_that_is_a_link_is_not_followed(host: Host) -> None:
    task = host.clone()
    host.finish(task)
    (link,) = (each for each in host.disk.parent.iterdir() if each.name == f"disk.vmdk-rdmdisk-{task}")
    link.rename(host.datastore / "elsewhere")
    link.symlink_to("../elsewhere")
    assert host.call("--task-clean", "-i", task).status == "0"
    assert (host.datastore / "elsewhere").exists()
    assert link.is_symlink(), "who made it knows what it is for"


def test_killed_together_with_its_shell_it_has_died(host: Host) -> None:
    host.machine.faults.dies_at = 50
    told = host.finish(host.clone())
    assert (told["state"], told["exitCode"]) == ("died", "1")
    assert "left no exit code" in told["stdErr"]
    host.machine.faults.dies_at = None
    assert host.finish(host.clone())["state"] == "succeeded", "and it keeps nobody from its device"


def test_a_vmkfstools_whose_shell_was_killed_is_seen_to_run(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    os.kill(host.get(task)["pid"], signal.SIGKILL)
    assert host.get(task)["state"] == "running"
    assert host.call(*CLONE).facts["taskId"] == task
    assert host.call("--task-stop", "-i", task).facts["state"] == "stopped"
    assert host.machine.running_copies == []


def names_of(pids: Sequence[int]) -> list[str]:
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


def test_a_process_id_that_is_somebody_elses_now_is_not_taken_for_the_copy(host: Host) -> None:
    host.machine.faults.dies_at = 50
    task = host.clone()
    host.finish(task)
    command = host.sandbox.command(["/bin/sleep", "60"])
    with subprocess.Popen(command) as stranger:
        wait_for(lambda: names_of(host.sandbox.processes()) == ["sleep"])  # not bubblewrap any more
        (pid,) = host.sandbox.processes()
        for name in ("pid", "child"):
            (host.folder(task) / name).write_text(f"{pid}\n")
        told = host.get(task)
        assert (told["state"], told["exitCode"]) == ("died", "1")
        host.break_program("ps", "exit 1")
        assert host.get(task)["state"] == "running", "where ps does not say whose it is, better that"
        host.mend_program("ps")
        assert host.call("--task-clean", "-i", task).status == "0"
        os.kill(pid, signal.SIGKILL)
        stranger.wait()


# Programs of the host that fail


PS_FAULTS = {
    "fails": "exit 1",
    "nothing": "exit 0",
    "head": '$real "$@" | head -n 1; exit 0',
    "some lines": '$real "$@" | head -n 2; exit 0',
    "half a line": '$real "$@" | head -c 100; exit 0',
    "killed": '$real "$@" | head -c 90; kill -9 $$',
    "no command lines": '$real "$@" | cut -c 1-20; exit 0',
    "short lines": '$real "$@" | cut -c 1-70; exit 0',
}


def kill_shell_of(host: Host, task: str) -> None:
    os.kill(host.get(task)["pid"], signal.SIGKILL)
    (host.folder(task) / "pid").write_text("4194999\n")  # in case nobody has been told of its end yet


@pytest.mark.parametrize("shell_lives", [True, False], ids=["", "its shell was killed"])
@pytest.mark.parametrize("fault", PS_FAULTS)
def test_a_copy_lives_though_ps_does_not_show_it(host: Host, fault: str, shell_lives: bool) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    if not shell_lives:
        kill_shell_of(host, task)
    host.break_program("ps", PS_FAULTS[fault])
    assert (host.get(task)["state"], host.get(task)["exitCode"]) == ("running", "")
    (listed,) = host.call("--task-list").facts["tasks"]
    assert listed["state"] == "running"
    second = host.call(*CLONE)
    assert (second.status, second.facts["reason"], second.facts["taskId"]) == ("1", "busy", task)
    cleaned = host.call("--task-clean", "-i", task)
    assert (cleaned.status, cleaned.facts["reason"]) == ("1", "running")
    age(host.folder(task), 9)
    host.machine.copy_seconds = 0
    host.break_program("ps", PS_FAULTS[fault], after=1)
    host.clone(target=f"/vmfs/devices/disks/{OTHER}")  # which sweeps
    wait_for(lambda: len(host.sandbox.processes()) == 1 + shell_lives)
    assert host.get(task)["state"] == "running"
    assert host.machine.running_copies == [NAA]
    assert host.machine.harm == []


@pytest.mark.parametrize("fault", PS_FAULTS)
def test_a_copy_that_died_is_known_by_its_processes_where_ps_fails(host: Host, fault: str) -> None:
    host.machine.faults.dies_at = 50
    task = host.clone()
    wait_for(lambda: not host.machine.running_copies)
    host.break_program("ps", PS_FAULTS[fault])
    for name in ("pid", "child"):  # as they are where the host has no other process by that id
        (host.folder(task) / name).write_text("4194999\n")
    assert host.get(task)["state"] == "died"
    assert host.call("--task-clean", "-i", task).status == "0"


@pytest.mark.parametrize("fault", ["fails", "nothing", "some lines"])
def test_whether_a_copy_without_a_shell_lives_is_unknown_where_ps_fails(host: Host, fault: str) -> None:
    """One that an older version began, which did not note the process id of vmkfstools."""
    host.machine.copy_seconds = 60
    task = host.clone()
    kill_shell_of(host, task)
    (host.folder(task) / "child").unlink()
    host.break_program("ps", PS_FAULTS[fault])
    assert (host.get(task)["state"], host.get(task)["exitCode"]) == ("unknown", "")
    second = host.call(*CLONE)
    assert (second.status, second.facts["reason"], second.facts["taskId"]) == ("1", "unsure", task)
    cleaned = host.call("--task-clean", "-i", task)
    assert (cleaned.status, cleaned.facts["reason"]) == ("1", "unsure")
    host.mend_program("ps")
    assert host.get(task)["state"] == "running"
    assert host.call("--task-stop", "-i", task).facts["state"] == "stopped"
    assert host.call("--task-clean", "-i", task).status == "0"


@pytest.mark.parametrize("fault", [name for name in PS_FAULTS if name != "short lines"])
def test_a_vmkfstools_whose_task_was_forgotten_guards_its_device_where_ps_fails(
    host: Host, fault: str
) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    for each in host.folder(task).iterdir():
        each.unlink()
    host.folder(task).rmdir()
    host.break_program("ps", PS_FAULTS[fault])
    reply = host.call(*CLONE)
    assert (reply.status, reply.facts["reason"], reply.facts["taskId"]) == ("1", "unsure", "")
    assert host.machine.harm == []
    assert host.script.temporary == []


@pytest.mark.parametrize("fault", ["fails", "nothing", "half a line", "killed"])
def test_a_ps_that_fails_once_is_asked_again(host: Host, fault: str) -> None:
    host.machine.copy_seconds = 60
    host.break_program("ps", PS_FAULTS[fault], times=1)
    task = host.clone()
    host.break_program("ps", PS_FAULTS[fault], times=1)
    reply = host.call("--task-stop", "-i", task)
    assert (reply.status, reply.facts["state"]) == ("0", "stopped")


@pytest.mark.parametrize("fault", ["fails", "some lines", "short lines"])
def test_stop_claims_no_end_that_it_cannot_bring_about(host: Host, fault: str) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    host.break_program("ps", PS_FAULTS[fault])
    if fault == "fails":  # nor does it wait for ever where time seems to stand still
        host.break_program("date", "exit 1")
        host.break_program("usleep", "exit 0")
    reply = host.call("--task-stop", "-i", task)
    assert host.machine.running_copies == [NAA]
    assert (reply.status, reply.facts["reason"]) == ("1", "running")


def test_a_start_under_way_is_no_copy_that_died(host: Host) -> None:
    """Its caller was killed after the task's folder was made, and the process id is not noted yet."""
    folder = host.folder(UNKNOWN)
    folder.mkdir()
    for name, text in (
        ("rdmfile", f"{DISK}-rdmdisk-{UNKNOWN}\n"),
        ("targetLun", f"{NAA}\n"),
        ("began", f"{time.time():.0f}\n"),
    ):
        (folder / name).write_text(text)
    (listed,) = host.call("--task-list").facts["tasks"]
    assert (listed["state"], listed["exitCode"]) == ("unknown", "")
    assert host.call(*CLONE).facts["reason"] == "unsure"
    assert host.call("--task-clean", "-i", UNKNOWN).facts["reason"] == "unsure"
    (folder / "began").write_text(f"{time.time() - 61:.0f}\n")
    assert host.call("--task-clean", "-i", UNKNOWN).status == "0", "and none that will begin"


@pytest.mark.parametrize("how", ["exit 1", "exit 0"])
def test_a_find_that_fails_sweeps_nothing(host: Host, how: str) -> None:
    host.finish(old := host.clone())
    age(host.folder(old), 9)
    host.break_program("find", how)
    host.finish(task := host.clone())
    wait_for(lambda: host.sandbox.processes() == [])
    assert set(host.script.tasks) == {old, task}


def test_a_readlink_that_fails_lets_no_link_out(host: Host) -> None:
    host.sandbox.path("/etc/secret.vmdk").write_text("x")
    (host.disk.parent / "up").symlink_to("../../../../etc")
    host.break_program("readlink", "exit 1")
    reply = host.call("--clone", "-s", "/vmfs/volumes/ds one/vm a/up/secret.vmdk", "-t", DEVICE)
    assert reply.message.startswith("Path validation error: Path not in allowed directories")


def test_what_has_ended_is_told_without_ps(host: Host) -> None:
    task = host.clone()
    host.finish(task)
    host.break_program("ps", "exit 1")
    assert host.get(task)["state"] == "succeeded"
    assert host.call("--task-clean", "-i", task).status == "0"


def test_a_task_without_a_process_id_is_told_as_by_0_3(host: Host) -> None:
    folder = host.folder(UNKNOWN)
    folder.mkdir()
    reply = host.call("--task-get", "-i", UNKNOWN)
    assert (reply.status, reply.facts["stdErr"]) == ("1", "Failed to read PID")
    assert reply.facts["taskId"] == UNKNOWN


def test_a_task_of_version_0_3_is_understood(host: Host) -> None:
    folder = host.folder(UNKNOWN)
    folder.mkdir()
    for name, text in (
        ("pid", "2100007\n"),
        ("rdmfile", f"{DISK}-rdmdisk-21\n"),
        ("targetLun", f"{NAA}\n"),
        ("exitcode", "0"),
    ):
        (folder / name).write_text(text)
    told = host.get(UNKNOWN)
    assert (told["state"], told["source"], told["device"], told["seconds"]) == ("succeeded", DISK, NAA, None)
    assert (told["xcopyUsed"], told["xcopy"]) == (None, None)


@pytest.mark.parametrize(
    "task", ["../x", "..", UNKNOWN.upper(), f"{UNKNOWN}/.", f" {UNKNOWN}", "*", "$(id)", "x'y"]
)
@pytest.mark.parametrize("command", ["--task-get", "--task-clean", "--task-stop"])
def test_only_a_task_id_is_taken_for_one(idle_host: Host, command: str, task: str) -> None:
    idle_host.folder(UNKNOWN).mkdir()
    reply = idle_host.call(command, "-i", task)
    assert (reply.status, reply.facts["reason"]) == ("1", "unknown")
    idle_host.folder(UNKNOWN).rmdir()


def test_a_task_folder_that_is_a_link_is_none(host: Host) -> None:
    host.folder(UNKNOWN).symlink_to("/etc")
    assert host.call("--task-get", "-i", UNKNOWN).facts["reason"] == "unknown"
    assert host.call("--task-list").facts == {"tasks": []}


def age(folder: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(folder, (then, then))


def test_old_tasks_are_swept_with_their_mappings_unless_they_run(host: Host) -> None:
    ended = host.clone()
    host.finish(ended)
    host.machine.copy_seconds = 60
    running = host.clone(target=f"/vmfs/devices/disks/{OTHER}")
    host.machine.copy_seconds = 0
    age(host.folder(ended), 5.1)
    age(host.folder(running), 9)
    young = host.folder(UNKNOWN)
    young.mkdir()
    age(young, 4.5)
    pattern = host.sandbox.path(f"/tmp/{PREFIX}*")  # a name that means all of them, were it expanded
    pattern.mkdir()
    age(pattern, 9)
    task = host.clone()
    host.finish(task)
    wait_for(lambda: not host.folder(ended).exists() and not pattern.exists())
    left = [each["taskId"] for each in host.call("--task-list").facts["tasks"]]
    assert sorted(left) == sorted([running, UNKNOWN, task])
    assert [name for name in host.beside() if ended in name] == []
    assert host.get(running)["state"] == "running"


# How many copies


def limited(host: Host, limit: int | str, target: str = DEVICE) -> Reply:
    reply = host.call("--clone", "-s", DISK, "-t", target, "-l", str(limit))
    if reply.status == "0":
        wait_for(lambda: reply.facts["taskId"] in host.machine.copies.seen)
    return reply


def test_a_copy_beyond_the_limit_is_refused_while_so_many_run(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    full = limited(host, 1, f"/vmfs/devices/disks/{OTHER}")
    assert (full.status, full.facts["reason"], full.facts["taskId"]) == ("1", "full", "")
    assert host.machine.running_copies == [NAA]
    assert host.script.tasks == [task]
    assert limited(host, 2, f"/vmfs/devices/disks/{OTHER}").status == "0"
    assert limited(host, 9).facts["reason"] == "busy", "which says more"
    assert host.call("--task-stop", "-i", task).status == "0"
    assert limited(host, 2).status == "0", "an ended copy does not count"


def test_a_vmkfstools_killed_before_it_said_anything_is_none(host: Host) -> None:
    before = set(threading.enumerate())
    with socket.socket(socket.AF_UNIX) as killed:
        killed.settimeout(10)
        killed.connect(str(host.sandbox.path(VMKFSTOOLS)))
        killed.shutdown(socket.SHUT_WR)
        assert killed.recv(1) == b"", "it is hung up on"
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert host.call("--task-list").facts["tasks"] == []


@pytest.mark.parametrize("way", ["esxcli", "ssh"])
def test_the_limit_comes_by_both_ways(host: Host, way: str) -> None:
    host.machine.copy_seconds = 60
    host.clone()
    target = f"/vmfs/devices/disks/{OTHER}"
    for limit, status in (("1", "1"), ("2", "0")):
        if way == "esxcli":
            arguments = {"sourcevmdk": DISK, "targetlun": target, "limit": limit}
            reply = Reply(host.script.answer("cloneLimited", arguments), 0)
        else:
            reply = host.call(ssh=f"--clone -s {DISK} -t {target} -l {limit}")
        assert reply.status == status, reply.text


@pytest.mark.parametrize("limit", ["x", "-1", "1 2", "$(id)"])
def test_a_limit_that_is_no_number_is_refused(idle_host: Host, limit: str) -> None:
    assert limited(idle_host, limit).status == "1"
    assert idle_host.call(ssh=f"--clone -s {DISK} -t {DEVICE} -l {limit}").status == "1"


def test_a_copy_of_which_nothing_is_known_counts(host: Host) -> None:
    host.machine.copy_seconds = 60
    task = host.clone()
    kill_shell_of(host, task)
    (host.folder(task) / "child").unlink()
    host.break_program("ps", PS_FAULTS["fails"], times=3)  # while the tasks are looked at, but not later
    reply = limited(host, 1, f"/vmfs/devices/disks/{OTHER}")
    assert (reply.status, host.machine.running_copies) == ("1", [NAA])


def test_clones_at_the_same_instant_keep_the_limit_together(host: Host) -> None:
    host.machine.copy_seconds = 60
    devices = [f"naa.600a0980{secrets.token_hex(12)}" for _ in range(4)]
    for number, naa in enumerate(devices, 3):
        host.san.create_lun(naa, 4 * MIB)
        host.san.map(naa, {IQN}, number, "xcopy")
    host.machine.stack.add(host.machine.adapters)
    host.sandbox.add_program("/bin/ps", PS.replace("ours=' '", "sleep 0.5; ours=' '"))
    calls = [partial(limited, host, 2, f"/vmfs/devices/disks/{naa}") for naa in devices]
    replies = at_the_same_instant(host, calls)
    assert sorted(reply.status for reply in replies) == ["0", "0", "1", "1"]
    assert {reply.facts["reason"] for reply in replies if reply.status == "1"} == {"full"}
    assert len(host.machine.running_copies) == 2


# A full /tmp


def small(host: Host, script: str) -> list[Reply]:
    """Run a shell's script where /tmp has room for sixteen pages; return the answers in what it prints."""
    host.script.programs.publish()
    command = [*host.sandbox.command([]), "--size", str(16 << 12), "--tmpfs", "/tmp", "/bin/sh", "-c", script]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return [Reply(f"<?xml{text}", 0) for text in done.stdout.decode().split("<?xml")[1:]]


FILL = "dd if=/dev/zero of=/tmp/full bs=4096 2>/dev/null"
START = f"{SCRIPT_PATH} --clone -s '{DISK}' -t {DEVICE}"


def test_no_space_in_tmp_is_told_as_that_and_leaves_nothing(host: Host) -> None:
    (reply,) = small(host, f"{FILL}; {START}; ls -A /tmp >/lab/left")
    assert reply.status == "28"
    assert "free space is low" in reply.message
    assert host.sandbox.path("/lab/left").read_text() == "full\n"
    assert host.machine.clones_started == {}


def test_room_is_made_by_sweeping_old_tasks(host: Host) -> None:
    old = f"/tmp/{PREFIX}{UNKNOWN}"
    make = f"mkdir {old}; echo 0 >{old}/exitcode; dd if=/dev/zero of={old}/out bs=4096 2>/dev/null"
    (reply,) = small(host, f"{make}; touch -d '2020-01-01 00:00' {old}; {START}")
    assert reply.status == "0"


def test_a_tmp_that_fills_up_in_mid_copy_does_not_swallow_the_end(host: Host) -> None:
    host.machine.copy_seconds = 1
    wait = f"for n in 1 2 3 4 5 6; do {SCRIPT_PATH} --task-list; sleep 1; done"
    replies = small(host, f"{START}; {FILL}; {wait}")
    assert [each["state"] for each in replies[-1].facts["tasks"]] == ["succeeded"]


# XCOPY


def test_counters_are_the_tasks_own(host: Host) -> None:
    host.machine.faults.xcopy_fails = True
    host.finish(first := host.clone())
    told = host.get(first)
    operations = host.machine.copies.clone_write_ops[NAA]
    assert told["xcopyUsed"] is True
    assert told["xcopy"] == {
        "writeOps": operations,
        "readOps": operations,
        "failedOps": operations,
        "writeBytes": 4 * MIB,
    }
    host.machine.xcopy, host.machine.faults.xcopy_fails = False, False
    host.finish(second := host.clone())
    assert host.get(second)["xcopyUsed"] is False
    assert host.get(second)["xcopy"] == {"writeOps": 0, "readOps": 0, "failedOps": 0, "writeBytes": 0}
    assert host.get(second)["fallback"] == ""
    host.machine.xcopy = True
    host.finish(host.clone())
    assert host.machine.copies.clone_write_ops[NAA] > operations
    assert host.get(first)["xcopy"] == told["xcopy"], "an ended task's do not change any more"


def test_counters_that_begin_anew_are_not_taken_for_less_than_nothing(host: Host) -> None:
    """As they do when the device was away in between."""
    host.finish(host.clone())
    host.machine.copy_seconds = 60
    task = host.clone()
    for counters in (host.machine.copies.clone_write_ops, host.machine.copies.clone_write_blocks):
        counters.clear()
    host.script.programs.publish()
    assert all(value >= 0 for value in host.get(task)["xcopy"].values())


def test_unreadable_counters_say_nothing(host: Host) -> None:
    host.machine.xcopy = None
    told = host.finish(host.clone())
    assert (told["xcopyUsed"], told["xcopy"]) == (None, None)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda host: None, ""),
        (lambda host: setattr(host.script.acceleration, "enabled", False), "hardware acceleration is off"),
        (lambda host: setattr(host.script.acceleration, "plugin", ""), "no VAAI plugin"),
        (lambda host: setattr(host.script.acceleration, "clone_status", "unsupported"), "clone unsupported"),
        (make_snapshot, "snapshot"),
        (lambda host: disks.make_vmdk(host.disk.parent, "disk.vmdk", 3 * MIB + 512), "misaligned"),
        (lambda host: setattr(host.machine.faults, "xcopy_fails", True), "failed operations"),
    ],
)  # fmt: skip
def test_why_the_array_does_not_copy(host: Host, act: Callable[[Host], object], reason: str) -> None:
    act(host)
    host.machine.xcopy = False
    host.machine.copy_seconds = 60
    task = host.clone()
    wait_for(lambda: host.get(task)["lastLine"] != "")
    wait_for(lambda: host.get(task)["fallback"] == reason)
    assert (host.get(task)["xcopy"]["failedOps"] > 0) == (reason == "failed operations")


# Names


NAMES = [
    "o'brien", 'say "hi"', "$(touch canary)", "`touch canary`", "; touch canary ;", "a && touch canary", "*", "?",
    "[a-z]", "-rf", "--clone", "a  b", " lead", "trail ", "ünïcode", "ディスク 🐍", "a\\b", "100%", "%41", "pct:x",
    "a -t b", "vm..1", "~", "#1", "{a,b}", "!", "<&>", "a=b", "$HOME", "${IFS}", "$val{id}",
]  # fmt: skip


def start(host: Host, way: int, source: str) -> Reply:
    encoded = f"pct:{quote(source, safe='/')}".replace("~", "%7E")
    match way:
        case 0:
            return host.call("--clone", "-s", source, "-t", DEVICE)
        case 1:
            return host.call("--clone", "-s", encoded, "-t", f"pct:{DEVICE}")
        case 2:
            return Reply(
                host.script.answer("clone", {"sourcevmdk": encoded, "targetlun": f"pct:{DEVICE}"}), 0
            )
        case 3:
            return host.call(ssh=f"--clone -s {source} -t {DEVICE}")
        case _:
            return host.call(ssh=f"--clone -s {encoded} -t {DEVICE}")


@pytest.mark.parametrize("first", range(2))
def test_every_name_is_copied_verbatim(host: Host, first: int) -> None:
    """By five ways in turn; tests/property has all names by all ways."""
    for number, name in enumerate(NAMES[first::2]):
        disks.make_vmdk(host.datastore / name, f"{name}.vmdk", 512, content=number)
        source = f"/vmfs/volumes/ds one/{name}/{name}.vmdk"
        reply = start(host, number % 5, source)
        assert reply.status == "0", (name, reply.text)
        told = host.finish(str(reply.facts["taskId"]))
        assert (told["source"], told["exitCode"]) == (source, "0"), told
        host.call("--task-clean", "-i", told["taskId"])
    assert list(host.sandbox.root.rglob("canary")) == []


@pytest.mark.parametrize(
    "source",
    [
        "/vmfs/volumes/ds one/a\nb.vmdk", "/vmfs/volumes/ds one/a\x01.vmdk", "/vmfs/volumes/ds one/a\x7f.vmdk",
        "pct:/vmfs/volumes/ds%20one/a%0Ab.vmdk", "pct:/vmfs/volumes/ds%20one/a%00.vmdk", "pct:/vmfs/volumes/a/%ff.vmdk",
        "pct:/vmfs/volumes/ds one/a.vmdk", "pct:/vmfs/volumes/a/%4.vmdk", "pct:/vmfs/volumes/a/%zz.vmdk", "pct:",
        "pct:/vmfs/volumes/a/%", "pct:/vmfs/volumes/a/b/%2e%2e/c.vmdk", "/vmfs/volumes/../etc/x.vmdk",
        "/vmfs/volumes/x.vmdk", "/vmfs/volumes//x.vmdk", "/vmfs/volumes/ds one/disk-flat", "/tmp/x.vmdk", "-rf",
        "/vmfs/devices/disks/x.vmdk", "vmfs/volumes/ds one/x.vmdk", "/vmfs/volumes/ds one/vm a/disk.vmdk ",
        # In folders that are not there, so that no look at where they really lie helps.
        "/vmfs/devices/none/x.vmdk", "/none/x.vmdk", "/vmfs/volumes/ds one/none/x",
        "/vmfs/volumes/ds one/none/../../x.vmdk",
    ],
)  # fmt: skip
def test_a_source_that_is_no_disk_of_a_datastore_is_refused(idle_host: Host, source: str) -> None:
    reply = idle_host.call("--clone", "-s", source, "-t", DEVICE)
    assert reply.status == "1"
    assert reply.message.startswith("Path validation error: ")
    assert idle_host.machine.clones_started == {}
    assert idle_host.script.temporary == []


@pytest.mark.parametrize(
    "target",
    [
        "/vmfs/devices/disks/mpx.vmhba0:C0:T0:L0", "/vmfs/devices/disks/naa.", "/vmfs/devices/disks/vml.01",
        "@:1", "@/x", "@;x", "@ x", "@\n", "/vmfs/devices/../#",
        "/dev/disks/#", "/vmfs/volumes/ds one/naa.1", "/tmp/naa.1", "pct:@%20", "naa.1", "$(x)", "-d",
        "/vmfs/devices/disks//#",
    ],
)  # fmt: skip
def test_a_target_that_is_no_whole_device_is_refused(idle_host: Host, target: str) -> None:
    reply = idle_host.call("--clone", "-s", DISK, "-t", target.replace("@", DEVICE).replace("#", NAA))
    assert reply.status == "1"
    assert reply.message.startswith("Path validation error: ")
    assert idle_host.machine.clones_started == {}


def test_links_do_not_lead_out(host: Host) -> None:
    host.sandbox.path("/etc/secret.vmdk").write_text("x")
    folder = host.disk.parent
    (folder / "out.vmdk").symlink_to("/etc/secret.vmdk")
    (folder / "nowhere.vmdk").symlink_to("/etc/no/such.vmdk")
    (folder / "up").symlink_to("../../../../etc")
    (folder / "in.vmdk").symlink_to("disk.vmdk")
    (folder / "vm.log").write_text("x")
    (folder / "log.vmdk").symlink_to("vm.log")
    for name in ("out.vmdk", "nowhere.vmdk", "up/secret.vmdk", "log.vmdk"):
        reply = host.call("--clone", "-s", f"/vmfs/volumes/ds one/vm a/{name}", "-t", DEVICE)
        assert reply.message.startswith("Path validation error: Path not in allowed directories"), name
    host.sandbox.path("/vmfs/devices/disks/naa.1").symlink_to(NAA)
    reply = host.call("--clone", "-s", DISK, "-t", "/vmfs/devices/disks/naa.1")
    assert reply.message.startswith("Path validation error: Path not in allowed directories")
    host.finish(host.clone("/vmfs/volumes/ds one/vm a/in.vmdk"))


@pytest.mark.parametrize(
    "command",
    [
        "status x",
        "--clone",
        "--clone -s a",
        "--task-get",
        "--task-get -i *",
        "rm -rf /",
        "--version; reboot",
        "--clone -t x -s y",
        "--verify",
        "--verify -s a -t b -i c",
        "--verify -s a -t b -n 1 -i c",
    ],
)
def test_a_forced_command_of_another_shape_is_refused(idle_host: Host, command: str) -> None:
    reply = idle_host.call(ssh=command)
    assert (reply.status, reply.code) == ("1", 1)


def test_forced_commands(host: Host) -> None:
    assert host.call(ssh="--version").facts["version"] == VERSION
    assert host.call("--clone", ssh="--version --output simple").text == f"{VERSION}\n"
    host.machine.copy_seconds = 60
    task = host.call(ssh=f"--clone -s {DISK} -t {DEVICE}").facts["taskId"]
    assert host.call(ssh=f"--task-get -i {task}").facts["state"] == "running"
    assert [each["taskId"] for each in host.call(ssh="--task-list").facts["tasks"]] == [task]
    assert host.call(ssh=f"--task-stop -i {task}").facts["state"] == "stopped"
    assert host.call(ssh=f"--task-clean -i {task}").status == "0"


# The files


def test_the_plugin_has_the_commands_of_the_contract() -> None:
    plugin = parse_plugin(PLUGIN_XML)
    assert {name: list(options) for name, (options, _) in plugin.items()} == {
        "clone": ["source-vmdk", "target-lun"],
        "cloneLimited": ["source-vmdk", "target-lun", "limit"],
        "verify": ["source-vmdk", "target-lun", "id", "samples"],
        "taskGet": ["id"],
        "taskClean": ["id"],
        "taskStop": ["id"],
        "taskList": [],
        "version": [],
    }
    for options, line in plugin.values():
        assert line.startswith(SCRIPT_PATH)
        assert sorted(re.findall(r"'\$val\{(.+?)\}'", line)) == sorted(options), "all within quotes"
        assert line.count("$val") == len(options)


def test_the_plugin_is_well_formed() -> None:
    subprocess.run(["xmllint", "--noout", "-"], input=PLUGIN_XML, check=True)
