"""Whatever a disk is called, over SSH it is copied under exactly that name or refused; nothing of it is ever run.

`FUZZ=5000 python -m pytest tests/property/test_ssh_names.py` tries that many; without FUZZ it is a few. One
connection serves all; key line, shell and script are the real ones, vmkfstools just tells what it was given.
"""

import itertools
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from populator.clock import Clock
from tests.lab.esxi.sandbox import Sandbox
from tests.lab.esxi.sshd import Sshd, make_key
from tests.lab.esxi.stubs import PS
from vsphere.errors import VsphereError
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import HostTrust, public_key
from vsphere.paths import VmdkPath
from vsphere.wrapper import key_line
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.contract import Version
from vsphere.wrapper.files import CAPABILITIES, SCRIPT, VERSION

TRIES = int(os.environ.get("FUZZ", "60"))
DATASTORE = "ds one"
CANARY = "/lab/canary"
VMKFSTOOLS = """#!/bin/sh
printf '%s\\0' "$2" >>/lab/copied
"""
WORDS = (
    f"$(touch {CANARY})", f"`touch {CANARY}`", f"; touch {CANARY} ;", f"' ; touch {CANARY} ; '", f"| touch {CANARY}",
    f'" ; touch {CANARY} ; "', f"\\n touch {CANARY}", f"\n touch {CANARY}\n", f"&& touch {CANARY}", " -t ", " -s ",
    "--clone", "pct:", "%2e%2e", "%00", "%", "..", "/", "//", "\\", "*", "?", "[a-z]", "~", "$IFS", "${PATH}",
    "<", "&amp;", "]]>", "\x00", "\x1b[31m", "\x7f", "\u2028", "é", "深", "🐍", "\ufffd", "\ufffe", " ", "  ", "\t",
    "-", ".vmdk",
)  # fmt: skip
NAMES = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), min_size=1, max_size=6).map("".join)
OURS = Version(VERSION, frozenset(CAPABILITIES))


class Host:
    """A host of the lab, and a connection to it."""

    def __init__(self, folder: Path) -> None:
        datastore = folder / "ds"
        datastore.mkdir()
        (datastore / key_line.SCRIPT).write_bytes(SCRIPT)
        self.sandbox = Sandbox(folder / "root", {DATASTORE: datastore})
        self.sandbox.add_program("/bin/vmkfstools", VMKFSTOOLS)
        self.sandbox.add_program("/bin/ps", PS)
        for name in ("vsish", "esxcli", "logger"):
            self.sandbox.add_program(f"/bin/{name}", "#!/bin/sh\nexit 1\n")
        key = make_key(folder / "key").read_text()
        self.sshd = Sshd(self.sandbox)
        self.sshd.authorize(key_line.compatible(public_key(key)))
        login = Login("esx-1.lab", "127.0.0.1", key, self.sshd.port)
        self.ssh = Ssh(login, HostTrust(), Clock(), 30.0)
        self._array, self._devices = secrets.token_hex(8), itertools.count()

    def clone(self, spelled: str) -> str:
        """Ask for a copy; return the status."""
        device = f"/vmfs/devices/disks/naa.{self._array}{next(self._devices):016x}"
        output = self.ssh.run(f"DS={DATASTORE};CMD=--clone -s {spelled} -t {device}")
        assert output.stderr == ""
        # Strictly: a reply that is not well-formed is a failure of its own.
        tree = ElementTree.fromstring(output.stdout)  # noqa: S314 - our own script's
        fields = {one.get("name"): one[0].text for one in tree.iter() if one.get("name")}
        assert (fields["status"] == "0") == (output.status == 0)
        return fields["status"] or ""

    def copied(self) -> list[str]:
        """Return what vmkfstools was told since the last look, and tidy up."""
        tasks = list(self.sandbox.path("/tmp").glob("vmkfstools-wrapper-*"))
        for task in tasks:
            while not (task / "exitcode").exists():  # vmkfstools is about to tell
                pass
            shutil.rmtree(task)
        file = self.sandbox.path("/lab/copied")
        told = file.read_bytes().decode().split("\0")[:-1] if file.exists() else []
        file.unlink(missing_ok=True)
        return told

    def close(self) -> None:
        """Hang up and end the server."""
        self.ssh.close()
        self.sshd.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    running = Host(tmp_path_factory.mktemp("esxi"))
    yield running
    running.close()


slow = settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.timeout(3600)
@slow
@given(name=NAMES, encoded=st.booleans())
@example(name=f"$(touch {CANARY})", encoded=False)
@example(name="a -t b", encoded=False)
def test_a_name_is_copied_verbatim_or_refused(host: Host, name: str, encoded: bool) -> None:
    path = VmdkPath(DATASTORE, f"{name}/{name}.vmdk")
    try:
        spelled = Script(host.ssh, DATASTORE, lambda call, _: call()).spell(path, OURS)
    except VsphereError:
        return
    raw = not encoded and "\0" not in name  # sshd itself hangs up on a command with a zero in it
    status = host.clone(path.host_path if raw else spelled)
    told = host.copied()
    assert told == ([path.host_path] if status == "0" else [])
    assert not host.sandbox.path(CANARY).exists()
    assert host.ssh.handshakes == 1


@pytest.mark.timeout(3600)
@slow
@given(name=NAMES)
def test_a_datastores_name_starts_its_script_or_nothing(host: Host, name: str) -> None:
    try:
        Script(host.ssh, name, lambda call, _: call())
    except VsphereError:
        return
    output = host.ssh.run(f"DS={name};CMD=--version")
    assert output.status != 0  # there is no such datastore
    assert not host.sandbox.path(CANARY).exists()
