"""The key lines and our script behind a real sshd: what a request may do, and that names arrive as they are."""

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from populator.clock import Clock
from tests.lab.esxi.sandbox import SHELLS, Sandbox
from tests.lab.esxi.sshd import Sshd, make_key
from tests.lab.esxi.stubs import PS
from vsphere.errors import VsphereError, WrapperMissing
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import HostTrust, public_key
from vsphere.paths import VmdkPath
from vsphere.wrapper import key_line
from vsphere.wrapper.answers import parse_task, parse_version
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.contract import Version
from vsphere.wrapper.files import CAPABILITIES, SCRIPT, VERSION

DATASTORE = "ds one"
DEVICE = f"/vmfs/devices/disks/naa.{secrets.token_hex(16)}"
"""unlike those of other tests, as the host's ps shows all processes of the machine"""
VMKFSTOOLS = """#!/bin/sh
printf '%s\\n' "$2" >>/lab/copied
echo 'Clone: 100% done.'
"""
NOTHING = """#!/bin/sh
exit 1
"""
OURS = Version(VERSION, frozenset(CAPABILITIES))


@dataclass
class Host:
    sshd: Sshd
    key: str
    """PEM"""
    datastore: Path

    @property
    def public(self) -> str:
        return public_key(self.key)

    def connect(self) -> Ssh:
        return Ssh(Login("esx-1.lab", "127.0.0.1", self.key, self.sshd.port), HostTrust(), Clock(), 20.0)

    def path(self, inside: str) -> Path:
        return self.sshd.sandbox.path(inside)

    @property
    def copied(self) -> list[str]:
        """The paths that vmkfstools was told."""
        file = self.path("/lab/copied")
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="module", params=SHELLS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("esxi")
    datastore = folder / "ds"
    datastore.mkdir()
    sandbox = Sandbox(
        folder / "root", {DATASTORE: datastore, "o'brien": datastore, "plain": datastore}, request.param
    )
    sandbox.add_program("/bin/vmkfstools", VMKFSTOOLS)
    for name in ("vsish", "esxcli", "logger"):
        sandbox.add_program(f"/bin/{name}", NOTHING)
    sandbox.add_program("/bin/ps", PS)
    key = make_key(folder / "key", "-t", "rsa", "-b", "2048", "-m", "PEM")
    with Sshd(sandbox) as sshd:
        yield Host(sshd, key.read_text(), datastore)


@pytest.fixture
def host(running: Host) -> Host:
    (running.datastore / key_line.SCRIPT).write_bytes(SCRIPT)
    running.path("/lab/copied").unlink(missing_ok=True)
    running.sshd.authorize(key_line.compatible(running.public))
    return running


@pytest.fixture
def ssh(host: Host) -> Iterator[Ssh]:
    with host.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def shared(running: Host) -> Iterator[Ssh]:
    """A connection for many tests, let in by the compatible line."""
    running.sshd.authorize(key_line.compatible(running.public))
    with running.connect() as connection:
        connection.run("DS=;CMD=status")
        yield connection


@pytest.fixture
def script(host: Host, shared: Ssh) -> Script:
    return script_over(shared)


def script_over(ssh: Ssh, datastore: str = DATASTORE) -> Script:
    return Script(ssh, datastore, lambda call, _: call())


def lines_of(host: Host) -> dict[str, str]:
    return {
        "compatible": key_line.compatible(host.public),
        "hardened": key_line.hardened(host.public, SCRIPT, [DATASTORE]),
        "hardened, any datastore": key_line.hardened(host.public, SCRIPT),
    }


FORMS = ("compatible", "hardened", "hardened, any datastore")


# --- the line -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_host_that_is_set_up_says_so(host: Host, ssh: Ssh, form: str) -> None:
    host.sshd.authorize(lines_of(host)[form])
    output = ssh.run("DS=;CMD=status test-task-id")
    assert (output.status, output.stdout.strip(), output.stderr) == (0, "SSH_OK", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_request_that_names_a_datastore_starts_its_script(host: Host, ssh: Ssh, form: str) -> None:
    host.sshd.authorize(lines_of(host)[form])
    assert parse_version(script_over(ssh).version()) == OURS


REQUESTS = (
    "touch /lab/canary",
    "DS=ds one",
    "DS=ds one;touch /lab/canary",
    ";CMD=touch /lab/canary",
    "DS=../../lab;CMD=--version",
    "DS=..;CMD=--version",
    "DS=.;CMD=--version",
    "DS=/;CMD=--version",
    "DS=$(touch /lab/canary);CMD=--version",
    "DS=`touch /lab/canary`;CMD=--version",
    "DS=x' touch /lab/canary ';CMD=--version",
    'DS=x" touch /lab/canary ";CMD=--version',
    "DS=ds one;CMD=--version; touch /lab/canary",
    "DS=ds one;CMD=$(touch /lab/canary)",
    "DS=ds one;CMD=--task-get -i $(touch /lab/canary)",
    "DS=ds*;CMD=--version",
    "DS=?s one;CMD=--version",
    "DS=ds one\nx;CMD=--version",
    "DS=;CMD=$(touch /lab/canary)",
)


@pytest.mark.parametrize("form", FORMS)
def test_a_request_runs_nothing_but_the_script(host: Host, ssh: Ssh, form: str) -> None:
    (host.path("/lab") / key_line.SCRIPT).write_text("touch /lab/canary\n")
    host.sshd.authorize(lines_of(host)[form])
    for request in REQUESTS:
        output = ssh.run(request)
        assert not host.path("/lab/canary").exists(), request
        if request.startswith("DS=;"):
            assert (output.status, output.stdout) == (0, "SSH_OK\n"), request
        elif not (
            form.endswith("any datastore") and "--version" in request
        ):  # it needs no datastore any more
            assert output.status != 0, request


STOCK_LINE = r"""
sh -c 'DS=$(echo "$SSH_ORIGINAL_COMMAND" | sed -n "s/^DS=\([^;]*\);.*/\1/p");
CMD=$(echo "$SSH_ORIGINAL_COMMAND" | sed "s/^DS=[^;]*;CMD=//"); if [ -z "$DS" ]; then echo SSH_OK; exit; fi;
export SSH_ORIGINAL_COMMAND="$CMD"; exec sh /vmfs/volumes/$DS/secure-vmkfstools-wrapper'
"""
"""does what the stock line does, the datastore without quotes too"""


def test_a_stock_line_serves_datastores_without_blanks(host: Host, ssh: Ssh) -> None:
    command = " ".join(STOCK_LINE.split()).replace('"', '\\"')
    host.sshd.authorize(f'command="{command}",no-port-forwarding {host.public}')
    plain = script_over(ssh, "plain")
    assert plain.ask_key_line("status test-task-id") == plain.ask_key_line(key_line.PIN) == key_line.READY
    assert parse_version(plain.version()) == OURS
    path = VmdkPath(DATASTORE, "$(touch canary) * 'x'/a b.vmdk")
    task = plain.clone(plain.spell(path, OURS), DEVICE, lambda: None, 0).facts["taskId"]
    while not parse_task(plain.task_get(task)).ended:
        pass
    assert host.copied == [path.host_path]
    assert plain.task_clean(task).status == "0"
    with pytest.raises(WrapperMissing, match="does not find the script"):
        script_over(ssh).version()


def test_without_a_command_nothing_is_had(host: Host) -> None:
    """An interactive log-in, as one would try by hand."""
    key = host.datastore.parent / "key"
    words = ["ssh", "-i", str(key), "-p", str(host.sshd.port), "-o", "StrictHostKeyChecking=no"]
    words += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "root@127.0.0.1"]
    done = subprocess.run(words, input="touch /lab/canary\n", capture_output=True, text=True, check=False)
    assert "not a request of the populator" in done.stdout
    assert not host.path("/lab/canary").exists()


def test_a_hardened_line_runs_no_other_script(host: Host, ssh: Ssh) -> None:
    evil = b"touch /lab/canary\n"
    host.sshd.authorize(key_line.hardened(host.public, b"#!/bin/sh\n# never seen before\n", [DATASTORE]))
    (host.datastore / key_line.SCRIPT).write_bytes(evil)
    with pytest.raises(WrapperMissing, match="not the one that this line was made for") as caught:
        script_over(ssh).version()
    assert (caught.value.unclear, caught.value.passing) == (False, False)
    assert not host.path("/lab/canary").exists()
    assert [file for file in host.path("/tmp").glob(".populator-*/*") if evil == file.read_bytes()] == []


def test_a_hardened_line_keeps_its_copy_whatever_happens_to_the_datastore(host: Host, ssh: Ssh) -> None:
    host.sshd.authorize(lines_of(host)["hardened"])
    assert parse_version(script_over(ssh).version()) == OURS
    (host.datastore / key_line.SCRIPT).write_text("touch /lab/canary\n")
    assert parse_version(script_over(ssh).version()) == OURS
    copy = host.path("/tmp") / f".populator-{key_line.checksum(SCRIPT)}"
    assert copy.stat().st_mode & 0o077 == 0
    (copy / "script").write_text("touch /lab/canary\n")
    with pytest.raises(WrapperMissing):
        script_over(ssh).version()
    assert not host.path("/lab/canary").exists()
    assert [each.name for each in copy.iterdir()] == ["script"]


def test_a_hardened_line_allows_the_datastores_that_it_names(host: Host, ssh: Ssh) -> None:
    host.sshd.authorize(key_line.hardened(host.public, SCRIPT, ["o'brien", "*"]))
    assert ssh.run("DS=o'brien;CMD=--version").status == 0
    with pytest.raises(WrapperMissing, match="does not allow this datastore"):
        script_over(ssh).version()


def test_the_folder_of_the_copy_is_nobody_elses(host: Host, ssh: Ssh, tmp_path: Path) -> None:
    content = b"#!/bin/sh\n# another\n"
    folder = host.path("/tmp") / f".populator-{key_line.checksum(content)}"
    folder.symlink_to("/lab")
    host.sshd.authorize(key_line.hardened(host.public, content))
    (host.datastore / key_line.SCRIPT).write_bytes(content)
    with pytest.raises(WrapperMissing, match="somebody else made the folder"):
        script_over(ssh).version()
    assert not host.path("/lab/script").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a;b", "a\nb"])
def test_a_line_is_not_made_for_what_is_no_datastore(name: str) -> None:
    with pytest.raises(VsphereError, match="no datastore"):
        key_line.hardened("ssh-rsa AAAA", SCRIPT, [name])


# --- the script -----------------------------------------------------------------------------------------------------


NAMES = (
    "plain", "with  two blanks", " leading", "trailing ", "o'brien", 'a "b"', "$(touch canary)", "`touch canary`",
    "a;touch canary", "a&b|c", "<b>&amp;", "100%", "%41", "pct:x", "*", "?[a]", "~root", "-s -t x", "back\\slash",
    "vm..1", "ünïcode 深い 🐍", "{a,b}", "#x", "!x", "a -t b", "$PATH", "\\n",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_copied_verbatim(host: Host, script: Script, name: str) -> None:
    path = VmdkPath(DATASTORE, f"{name}/{name}.vmdk")
    started = script.clone(script.spell(path, OURS), DEVICE, lambda: None, 0)
    assert started.status == "0", started
    task = started.facts["taskId"]
    state = parse_task(script.task_get(task))
    while not state.ended:
        state = parse_task(script.task_get(task))
    assert (state.source, state.exit_code) == (path.host_path, "0")
    assert script.task_clean(task) == type(started)("0", "")
    assert host.copied == [path.host_path]
    assert list(host.datastore.rglob("canary")) == []


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x01b", "a\x7fb", ".."])
def test_a_name_that_no_file_should_have_is_refused(host: Host, script: Script, name: str) -> None:
    path = VmdkPath(DATASTORE, f"{name}/x.vmdk")
    answer = script.clone(script.spell(path, OURS), DEVICE, lambda: None, 0)
    assert answer.status == "1"
    assert "Path validation error" in answer.message
    assert host.copied == []


HARMLESS = (
    "plain",
    "100%",
    "%41",
    "pct:x",
    "~root",
    "{a,b}",
    "#x",
    "!x",
    "a&b|c",
    "<b>&amp",
    "ünïcode-深い-🐍",
)


@pytest.mark.parametrize("name", sorted({*NAMES} - {*HARMLESS}))
def test_a_stock_script_is_not_told_what_it_would_take_apart(script: Script, name: str) -> None:
    with pytest.raises(VsphereError, match=r"in its name|two dots"):
        script.spell(VmdkPath("ds", f"{name}/x.vmdk"), Version("0.3.3"))


@pytest.mark.parametrize("name", HARMLESS)
def test_a_stock_script_is_told_all_other_names_as_they_are(script: Script, name: str) -> None:
    path = VmdkPath("ds", f"{name}/x.vmdk")
    assert script.spell(path, Version("0.3.3")) == path.host_path
    with pytest.raises(VsphereError, match="a blank in its name"):
        script.spell(VmdkPath("ds one", f"{name}/x.vmdk"), Version("0.3.3"))


@pytest.mark.parametrize(
    "task", ["../x", "", "0123", "A" * 8 + "-1111-1111-1111-" + "1" * 12, "$(touch /lab/canary)"]
)
def test_a_task_id_that_is_none_is_refused(host: Host, script: Script, task: str) -> None:
    for answer in (script.task_get(task), script.task_clean(task), script.task_stop(task)):
        assert answer.status == "1"
        assert answer.facts["reason"] == "unknown"
    assert not host.path("/lab/canary").exists()


def test_tasks_are_listed(script: Script) -> None:
    assert script.task_list().facts == {"tasks": []}


def test_a_script_that_is_not_there_is_said_so(host: Host, script: Script) -> None:
    (host.datastore / key_line.SCRIPT).unlink()
    with pytest.raises(WrapperMissing, match="does not find the script"):
        script.version()


@pytest.mark.parametrize("name", ["a;b", "a/b", "a'b", 'a"b', "a$b", "a`b", "a\\b", "a*b", "a\nb", "..", ""])
def test_a_datastore_that_cannot_be_told_is_refused(ssh: Ssh, name: str) -> None:
    with pytest.raises(VsphereError, match="because of its name"):
        script_over(ssh, name)
    assert ssh.handshakes == 0


def test_all_of_it_takes_one_connection(ssh: Ssh, host: Host) -> None:
    before = host.sshd.handshakes
    for _ in range(5):
        script_over(ssh).version()
    assert host.sshd.handshakes == before + 1
