"""Any name of a disk at all, by every way into the wrapper: vmkfstools gets it verbatim, or it is refused.

`FUZZ=5000 python -m pytest tests/property/test_wrapper_names.py` tries that many by each transport, half of them under
each shell; without FUZZ it is a few.
Nothing of a name is ever executed (a canary would tell), and every reply is XML, and JSON where it has to be.
"""

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.esxi.sandbox import PYTHON, SHELLS, Sandbox
from tests.lab.esxi.script import PREFIX, SCRIPT_PATH, parse_plugin, substitute
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT

TRIES = int(os.environ.get("FUZZ", "100")) // len(SHELLS)
WAYS = {
    "esxcli": ("esxcli", "arguments", "encoded arguments"),
    "ssh": ("forced command", "encoded forced command"),
}
"""transport -> ways into the script"""
ID = "0b7e21c4-1111-4222-8333-000000000001"
DEVICE = "/vmfs/devices/disks/naa.600a098038303053455d463045727654"
ROOT = "/vmfs/volumes/ds one/"
VMKFSTOOLS = """#!/bin/sh
printf '%s\\0' "$@" >/lab/copied
"""
PS = """#!/bin/sh
exec /bin/busybox ps -o pid,pgid,comm,args
"""
# Runs what it is sent inside, so that a try does not cost a sandbox: lengths, then words, of argv and SSH's command.
DRIVER = """
import os, struct, subprocess, sys
os.chdir("/lab")
while head := sys.stdin.buffer.read(4):
    words = sys.stdin.buffer.read(*struct.unpack("I", head)).split(b"\\0")
    environment = {b"PATH": b"/bin"} | ({b"SSH_ORIGINAL_COMMAND": words[0]} if words[0] else {})
    done = subprocess.run(words[1:], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    answer = done.stdout + done.stderr
    sys.stdout.buffer.write(struct.pack("I", len(answer)) + answer)
    sys.stdout.buffer.flush()
"""
BITES = st.sampled_from(
    [
        "$(>canary)", "`>canary`", "';>canary;'", '";>canary;"', "|>canary", "&&>canary", ";>canary;", "\n>canary\n",
        "${IFS}", "$val{id}", " -t ", " -s ", "pct:", "%00", "%27", "--clone", "-", "*", "?", "[a]", "~", "\\", "\\0",
        "<&>", "]]>", "&amp;", "<!--", '"}', "\\u0000", "..", ".", " ", "  ", "-rdmdisk-", "'", '"', "$", "\r", "\t",
    ]
)  # fmt: skip
NAMES = (
    st.lists(
        BITES | st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=12),
        min_size=1,
        max_size=6,
    )
    .map("".join)
    .filter(bool)
)


class Host:
    """One sandbox with a process inside that runs commands."""

    def __init__(self, directory: Path, shell: str) -> None:
        (directory / "ds").mkdir()
        self.sandbox = Sandbox(directory / "r", {"ds one": directory / "ds"}, shell)
        self.sandbox.add_program(SCRIPT_PATH, SCRIPT.decode())
        self.sandbox.add_program("/bin/vmkfstools", VMKFSTOOLS)
        self.sandbox.add_program("/bin/ps", PS)
        for name in ("vsish", "esxcli", "logger"):
            self.sandbox.add_program(f"/bin/{name}", "#!/bin/sh\nexit 1\n")
        self.process = subprocess.Popen(
            self.sandbox.command([str(PYTHON), "-IS", "-c", DRIVER]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.lab, self.tmp = self.sandbox.path("/lab"), self.sandbox.path("/tmp")

    def run(self, argv: list[str], ssh: str = "") -> str:
        assert self.process.stdin
        assert self.process.stdout
        words = b"\0".join(each.encode() for each in (ssh, *argv))
        self.process.stdin.write(len(words).to_bytes(4, "little") + words)
        self.process.stdin.flush()
        size = int.from_bytes(self.process.stdout.read(4), "little")
        return self.process.stdout.read(size).decode()

    def clone(self, way: str, source: str) -> str:
        encoded = "pct:" + quote(source, safe="/").replace("~", "%7E")
        match way:
            case "arguments":
                return self.run([SCRIPT_PATH, "--clone", "-s", source, "-t", DEVICE])
            case "encoded arguments":
                return self.run([SCRIPT_PATH, "--clone", "-s", encoded, "-t", DEVICE])
            case "esxcli":
                _, execute = parse_plugin(PLUGIN_XML)["clone"]
                line = substitute(execute, {"sourcevmdk": encoded, "targetlun": f"pct:{DEVICE}"})
                return self.run(["/bin/sh", "-c", line])
            case "forced command":
                return self.run([SCRIPT_PATH], ssh=f"--clone -s {source} -t {DEVICE}")
            case _:
                return self.run([SCRIPT_PATH], ssh=f"--clone -s {encoded} -t {DEVICE}")

    def verify(self, way: str, source: str) -> str:
        """Ask for a comparison; as no such disk is there, nothing is read."""
        encoded = "pct:" + quote(source, safe="/").replace("~", "%7E")
        given = source if way in {"arguments", "forced command"} else encoded
        words = ["--verify", "-s", given, "-t", DEVICE, "-i", ID, "-n", "64"]
        if way == "esxcli":
            _, execute = parse_plugin(PLUGIN_XML)["verify"]
            values = {"sourcevmdk": encoded, "targetlun": f"pct:{DEVICE}", "id": ID, "samples": "64"}
            return self.run(["/bin/sh", "-c", substitute(execute, values)])
        if "forced" in way:
            return self.run([SCRIPT_PATH], ssh=" ".join(words))
        return self.run([SCRIPT_PATH, *words])

    def copied(self, task: str) -> list[str]:
        """Wait for the copy, return what vmkfstools was told, and forget the task."""
        folder, deadline = self.tmp / f"{PREFIX}{task}", time.monotonic() + 20
        while not (folder / "exitcode").exists():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        told = (self.lab / "copied").read_text().split("\0")[:-1]
        (self.lab / "copied").unlink()
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()
        return told

    def close(self) -> None:
        self.sandbox.kill()
        self.process.communicate()


@pytest.fixture(scope="module", params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with tempfile.TemporaryDirectory() as name:
        host = Host(Path(name), request.param)
        try:
            yield host
        finally:
            host.close()


def strings(reply: str) -> list[str]:
    tree = ElementTree.fromstring(reply)  # noqa: S314 - of our own script
    return [each.text or "" for each in tree.iter() if each.tag.endswith("string")]


many = settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("transport", WAYS)
@many
@given(folder=NAMES, disk=NAMES, data=st.data())
def test_a_name_is_copied_verbatim_or_refused(
    host: Host, transport: str, folder: str, disk: str, data: st.DataObject
) -> None:
    source = f"{ROOT}{folder}/{disk}.vmdk"
    status, message = strings(host.clone(data.draw(st.sampled_from(WAYS[transport])), source))
    if status == "0":
        task = json.loads(message)["taskId"]
        told = host.copied(task)
        assert told == ["-i", source, "-d", f"rdm:{DEVICE}", f"{source}-rdmdisk-{task}"]
    else:
        assert message.startswith("Path validation error: Invalid path detected: ")
        assert not (host.lab / "copied").exists()
        assert list(host.tmp.iterdir()) == []
        assert folder == ".." or re.search(r"[\x00-\x1f\x7f\ufffe\uffff]", folder + disk), (
            "refused for no reason"
        )
    assert [each.name for each in host.lab.iterdir()] == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("transport", WAYS)
@many
@given(folder=NAMES, disk=NAMES, data=st.data())
def test_a_name_of_what_is_to_be_compared_is_looked_for_or_refused(
    host: Host, transport: str, folder: str, disk: str, data: st.DataObject
) -> None:
    source = f"{ROOT}{folder}/{disk}.vmdk"
    status, message = strings(host.verify(data.draw(st.sampled_from(WAYS[transport])), source))
    if status == "0":
        facts = json.loads(message)
        assert (facts["taskId"], facts["state"], facts["stdErr"]) == (
            ID,
            "unread",
            "the source cannot be read",
        )
    else:
        assert message.startswith("Path validation error: Invalid path detected: ")
        assert folder == ".." or re.search(r"[\x00-\x1f\x7f\ufffe\uffff]", folder + disk), (
            "refused for no reason"
        )
    assert [each.name for each in host.lab.iterdir()] == []
    assert list(host.tmp.iterdir()) == []


@pytest.mark.timeout(3600)
@many
@given(
    command=st.sampled_from(["--task-get", "--task-stop", "--task-clean"]), task=NAMES, forced=st.booleans()
)
def test_an_id_that_is_none_is_refused(host: Host, command: str, task: str, forced: bool) -> None:
    argv, ssh = ([], f"{command} -i {task}") if forced else ([command, "-i", task], "")
    status, message = strings(host.run([SCRIPT_PATH, *argv], ssh))
    assert (status, json.loads(message)["reason"]) == ("1", "unknown")
    assert [each.name for each in host.lab.iterdir()] == []
