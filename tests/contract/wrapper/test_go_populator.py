"""Forklift's own populator against our wrapper: a client that keeps to the Go program's rules, by both methods.

The rules are the contract's: what it asks for, how it reads answers, when it believes in an end, and what it only logs.
By the plugin it speaks through govmomi's esxcli client, over SSH through OpenSSH's, as neither is ours.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from xml.etree import ElementTree

import pytest

from tests.lab.esxi.sandbox import SHELLS
from tests.lab.govc import Govc
from tests.lab.lab import VCENTER_PASSWORD, VCENTER_USER, Lab, Target
from vsphere.wrapper import key_line
from vsphere.wrapper.files import SCRIPT, VERSION

SOURCE = "/vmfs/volumes/ds one/plain vm/plain vm.vmdk"
OPTIONS = {"clone": "--clone", "taskGet": "--task-get", "taskClean": "--task-clean", "version": "--version"}
"""commands of the plugin -> as the script is called over SSH"""
UNKNOWN = "01234567-89ab-cdef-0123-456789abcdef"
POLL_SECONDS = 0.05
"""the Go program waits 5 s"""
FIELDS: Mapping[str, tuple[type, ...]] = {
    "taskId": (str,),
    "pid": (int,),
    "exitCode": (str,),
    "lastLine": (str,),
    "xcopyUsed": (bool, type(None)),
    "stdErr": (str,),
}
"""what the Go program takes from a message, and the types without which it takes nothing at all"""


class GoError(Exception):
    """An error that the Go program returns."""


def decode(message: str) -> dict[str, Any]:
    """Read JSON as Go does: into fixed types, by names whose case does not matter, the last of two winning."""
    names = {name.casefold(): name for name in FIELDS}
    taken: dict[str, Any] = {}
    try:
        pairs = json.loads(message, object_pairs_hook=list)
    except ValueError as error:
        raise GoError(f"unexpected end of JSON input or so: {error}") from error
    if pairs and not isinstance(pairs[0], tuple):
        raise GoError(f"cannot unmarshal {message}")
    for key, value in pairs:
        name = names.get(key.casefold())
        if name is None:
            continue
        if type(value) not in FIELDS[name]:
            raise GoError(f"cannot unmarshal {value!r} into field {name}")
        taken[name] = value
    return taken


class Transport(Protocol):
    def __call__(self, operation: str, **arguments: str) -> dict[str, Any]:
        """Run an operation of the wrapper; return what the Go program reads in its answer."""


@dataclass
class Plugin:
    """The method vib."""

    lab: Lab

    def __call__(self, operation: str, **arguments: str) -> dict[str, Any]:
        options = [word for name, value in arguments.items() for word in (f"-{name}", value)]
        govc = Govc(self.lab.vcenter.url, VCENTER_USER, VCENTER_PASSWORD, self.lab.pki.ca_file)
        rows = govc.esxcli(self.lab.host.moid, "vmkfstools", operation, *options)
        for row in rows:
            if row.get("status", ["0"]) != ["0"]:
                raise GoError(f"Failed to invoke vmkfstools: {row['message'][0]}")
        return decode("".join(text for row in rows for text in row.get("message", [])))


@dataclass
class ForcedCommand:
    """The method ssh: stdout and stderr are one, and an exit code that is not 0 hides what was said."""

    lab: Lab

    def __call__(self, operation: str, **arguments: str) -> dict[str, Any]:
        words = [OPTIONS[operation], *(f"-{name} {value}" for name, value in arguments.items())]
        output = self.run(f"DS=ds one;CMD={' '.join(words)}")
        try:
            tree = ElementTree.fromstring(output)  # noqa: S314 - of our own script
        except ElementTree.ParseError as error:
            raise GoError(f"failed to parse XML response: {error}") from error
        status, message = (each.text or "" for each in tree.iter() if each.tag.endswith("}string"))
        if not status or not message:
            raise GoError("failed to parse XML response: no status or message")
        if status != "0":
            raise GoError(message)
        try:
            return decode(message)
        except GoError:
            return {"lastLine": message}

    def run(self, command: str) -> str:
        sshd = self.lab.host.ssh
        words = ["ssh", "-i", str(self.lab.directory / "ssh-key"), "-p", str(sshd.port), "-T"]
        for option in (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
        ):
            words += ["-o", option]
        done = subprocess.run(
            [*words, f"root@{sshd.address}", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise GoError(f"Process exited with status {done.returncode}")
        return done.stdout


@dataclass
class GoPopulator:
    """The Go program from the clone to the clean-up."""

    call: Transport
    progress: list[int] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    """errors that it only logs"""
    task: str = ""

    def copy(self, source: str, device: str) -> dict[str, Any]:
        """Copy a disk; return the task's end state."""
        self.task = str(self.call("clone", s=source, t=device)["taskId"])
        try:
            return self._follow()
        finally:
            self._clean()

    def _follow(self) -> dict[str, Any]:
        while True:
            state = self.call("taskGet", i=self.task)
            if percent := re.search(r"(\d+)%", state["lastLine"]):
                self.progress.append(int(percent[1]))
            if not state["exitCode"]:
                time.sleep(POLL_SECONDS)
                continue
            state = self.call("taskGet", i=self.task)
            if state["exitCode"] == "0":
                return state
            raise GoError(f"copy failed with exit code {state['exitCode']}: {state['stdErr']}")

    def _clean(self) -> None:
        try:
            self.call("taskClean", i=self.task)
        except GoError as error:
            self.logged.append(str(error))


@pytest.fixture(scope="module", params=SHELLS)
def running(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab with the simulated Kubernetes API, which makes no difference here."""
    with Lab(wrapper=request.param) as lab:
        yield lab


@pytest.fixture(params=[Plugin, ForcedCommand])
def go(request: pytest.FixtureRequest, running: Lab) -> Iterator[GoPopulator]:
    running.tidy()
    if request.param is ForcedCommand:
        running.start_ssh()
        (running.datastores / "ds one" / key_line.SCRIPT).write_bytes(SCRIPT)
    yield GoPopulator(request.param(running))
    running.tidy()


def target_on(lab: Lab) -> Target:
    target = lab.add_target()
    lab.map_to_host(target, "by-hand")
    lab.host.publish()
    return target


def device_of(target: Target) -> str:
    return f"/vmfs/devices/disks/{target.naa}"


def left(lab: Lab) -> list[str]:
    """What the copies of this host have left."""
    beside = (lab.datastores / "ds one").rglob("*-rdmdisk-*")
    return [*lab.host.wrapper.tasks, *map(str, beside)]


def test_it_copies_a_disk(running: Lab, go: GoPopulator) -> None:
    running.host.copy_seconds = 2.0
    target = target_on(running)
    end = go.copy(SOURCE, device_of(target))
    assert (end["taskId"], end["exitCode"], end["xcopyUsed"], end["stdErr"]) == (go.task, "0", True, "")
    assert running.copied(target)
    assert go.progress == sorted(go.progress)
    assert len(set(go.progress)) > 1
    assert len(go.logged) == 1, "it takes the empty message of a good clean-up for an error, and only logs it"
    assert left(running) == []


def test_it_learns_why_a_copy_failed(running: Lab, go: GoPopulator) -> None:
    running.host.faults.locked.add(SOURCE)
    with pytest.raises(GoError, match=r"copy failed with exit code 255: .*[Ll]ock"):
        go.copy(SOURCE, device_of(target_on(running)))
    assert len(go.logged) == 1
    assert left(running) == []


def test_it_is_told_that_a_copy_died(running: Lab, go: GoPopulator) -> None:
    running.host.faults.dies_at = 50
    with pytest.raises(GoError, match=r"copy failed with exit code 1: .*left no exit code"):
        go.copy(SOURCE, device_of(target_on(running)))
    assert left(running) == []


def test_it_is_told_of_a_task_that_is_unknown(running: Lab, go: GoPopulator) -> None:
    for operation in ("taskGet", "taskClean"):
        with pytest.raises(GoError, match=r"Failed to invoke vmkfstools: .*not found|exited with status 1"):
            go.call(operation, i=UNKNOWN)


def test_its_second_copy_onto_a_device_is_refused(running: Lab, go: GoPopulator) -> None:
    running.host.copy_seconds = 60.0
    target = target_on(running)
    go.call("clone", s=SOURCE, t=device_of(target))
    with pytest.raises(GoError, match=r"Failed to invoke vmkfstools: .*busy|exited with status 1"):
        go.copy(SOURCE, device_of(target))
    assert running.host.running_copies == [target.naa]
    assert running.host.harm == []


def test_it_asks_for_the_version(running: Lab, go: GoPopulator) -> None:
    assert go.call("version") == {}
    if isinstance(go.call, ForcedCommand):
        assert go.call.run("DS=;CMD=status test-task-id").strip() == "SSH_OK"
        assert go.call.run("DS=ds one;CMD=--version --output simple").strip() == VERSION
