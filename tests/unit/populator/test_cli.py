"""The command line as a user meets it: the console script, help, and a call that cannot begin."""

import ast
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from populator import __version__
from populator.cli import COMMANDS, cli
from tests.lab.esxi.sshd import make_key
from tests.lab.program import ROOT
from vsphere.wrapper import key_line
from vsphere.wrapper.files import SCRIPT


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "populator", *words],
        cwd=ROOT,
        env={"LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_and_help() -> None:
    assert run("--version").stdout == f"populator, version {__version__}\n"
    shown = run("--help").stdout
    for flag in ("--source-vm-id", "--storage-vendor-product", "GOVMOMI_HOSTNAME", "--http-endpoint"):
        assert flag in shown


def test_an_empty_call_names_all_that_is_missing(tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    done = run(f"--termination-message-path={message}")
    assert done.returncode == 2
    for name in (
        "--source-vm-id",
        "--source-vmdk",
        "--owner-uid",
        "--vsphere-password",
        "--storage-hostname",
    ):
        assert f"{name} is missing." in done.stderr
        assert f"{name} is missing." in message.read_text()
    assert "Traceback" not in done.stderr


def test_an_unknown_flag_is_named() -> None:
    done = run("--speed=warp")
    assert done.returncode == 2
    assert "--speed" in done.stderr
    assert "Traceback" not in done.stderr


def as_pid_1(message: Path, *words: str, **environment: str) -> int:
    """Call the program where a file of ours lies in the place of the pod's termination message."""
    bwrap = shutil.which("bwrap") or ""
    wrap = [bwrap, "--bind", "/", "/", "--dev", "/dev", "--bind", str(message), "/dev/termination-log"]
    command = [*wrap, sys.executable, "-m", "populator", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode


def test_only_a_call_that_was_to_populate_writes_the_termination_message(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text("as it was")
    for words in (
        ("leases", "--typo"),
        ("vib", "install", "--typo"),
        ("lease",),
        ("vib", "instal"),
        ("ssh-key", "x"),
    ):
        assert as_pid_1(message, *words) == 2
        assert message.read_text() == "as it was", words
    assert as_pid_1(message, "--typo=x") == 2
    assert json.loads(message.read_text())["reason"] == "InvalidSettings"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({b"LOG_LEVEL": b"loud"}, "--log-level: 'loud' is none of debug, info, warning, error."),
        ({b"LOG_FORMAT": b"\xff"}, "--log-format: there are bytes in it that are not UTF-8."),
        (
            {b"GOVMOMI_PASSWORD": b"caf\xe9-geheim"},
            "--vsphere-password: there are bytes in it that are not UTF-8.",
        ),
        ({b"STORAGE_PASSWORD": b"\xff"}, "--storage-password: there are bytes in it that are not UTF-8."),
        ({b"SSH_PRIVATE_KEY": b"\xff", b"ESXI_CLONE_METHOD": b"ssh"}, "SSH_PRIVATE_KEY: there are bytes"),
        ({b"cacert": b"M\xfcller"}, "cacert: this holds no certificate in PEM"),
        (
            {b"HOST_LEASE_NAMESPACE": b"\x80"},
            "HOST_LEASE_NAMESPACE: there are bytes in it that are not UTF-8.",
        ),
        ({b"STORAGE_HTTP_TIMEOUT_SECONDS": b"9" * 5000}, "is not a whole number from 1 to 86400."),
        ({b"STORAGE_HTTP_TIMEOUT_SECONDS": b"999999999999"}, "is not a whole number from 1 to 86400."),
    ],
)
def test_whatever_bytes_are_in_the_environment_a_termination_message_is_written(
    tmp_path: Path, environment: dict[bytes, bytes], says: str
) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    done = subprocess.run(
        [sys.executable, "-m", "populator", f"--termination-message-path={message}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert says in json.loads(message.read_text())["text"]
    assert b"Traceback" not in done.stderr
    assert b"geheim" not in done.stderr


def test_a_typo_ends_with_a_message_in_the_file_that_the_call_names(tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    assert run("--typo", f"--termination-message-path={message}").returncode == 2
    assert "--typo" in json.loads(message.read_text())["text"]


def words_of(file: Path) -> Iterator[str]:
    """Yield the texts of a module that people may be shown: all that are no docstrings."""
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def find_command(*path: str) -> click.Command:
    """Return a command by its name, such as `vib`, `install`."""
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found, f"there is no command {' '.join(path)}"
        command = found
    return command


def flags_of(*path: str) -> set[str]:
    return {flag for parameter in find_command(*path).params for flag in parameter.opts}


VISITS = (("vib", "install"), ("vib", "status"), ("vib", "remove"))
OF_OTHERS = {
    "lease/kube/errors.py": {"--raw", "--verb", "--resource", "--serviceaccount", "--user"},  # oc
    "vsphere/host/devices.py": {"--state"},  # esxcli
    "vsphere/vib/software.py": {"--help", "--force"},  # esxcli
    "vsphere/wrapper/by_ssh.py": {
        "--version",
        "--clone",
        "--task-get",
        "--task-clean",
        "--task-stop",
        "--task-list",
    },
}
"""flags of other programs, by the module that names them"""


def commands_that_show(file: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands whose errors may hold a text of a module."""
    if file.startswith("populator/cli/") and (name := Path(file).stem.replace("_", "-")) in COMMANDS:
        return VISITS[:1] if name == "vib" else ((name,),)
    if file in {"populator/stories/fleet.py", "populator/settings/fleet.py"}:
        return VISITS[:1]
    if file.startswith("lease/"):
        return ((), ("leases",))
    return (
        ((), ("leases",), *VISITS) if file in {"populator/report/outcome.py", "populator/log.py"} else ((),)
    )


def test_every_flag_and_command_that_a_text_names_exists() -> None:
    flags = commands = 0
    for file in sorted(
        path for part in ("populator", "vsphere", "lease") for path in (ROOT / part).rglob("*.py")
    ):
        name = file.relative_to(ROOT).as_posix()
        for text in words_of(file):
            for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - OF_OTHERS.get(name, set()):
                flags += 1
                for path in commands_that_show(name):
                    assert flag in flags_of(*path) | {"--help", "--output"}, f"{name}: {flag} of {path}"
            for called in re.findall(rf"populator ((?:{'|'.join(COMMANDS)})(?: (?!-)[a-z]+)?)", text):
                commands += 1
                find_command(*called.split())
    assert flags > 30
    assert commands > 3


def test_a_flag_that_go_takes_alone_is_taken_alone() -> None:
    assert "--storage-skip-ssl-verification" not in run("--storage-skip-ssl-verification").stderr


def test_no_message_file_is_made_where_no_kubelet_made_one(tmp_path: Path) -> None:
    run(f"--termination-message-path={tmp_path / 'none'}")
    assert not list(tmp_path.iterdir())


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3a populator"


def test_the_key_line_is_printed_from_either_key(tmp_path: Path) -> None:
    encoded = base64.b64encode(f"{KEY}\n".encode()).decode()
    for given in (KEY, encoded):
        assert run("ssh-key", SSH_PUBLIC_KEY=given).stdout == f"{key_line.compatible(KEY)}\n"
    private = make_key(tmp_path / "key", "-t", "rsa", "-b", "2048", "-m", "PEM").read_bytes()
    public = (tmp_path / "key.pub").read_text().rpartition(" ")[0]
    done = run("ssh-key", SSH_PRIVATE_KEY=base64.b64encode(private).decode())
    assert (done.returncode, done.stdout) == (0, f"{key_line.compatible(public)}\n")


def test_the_hardened_line_pins_this_programs_script() -> None:
    words = ["ssh-key", "--hardened", "--datastore", "ds one", "--datastore", "o'brien"]
    done = run(*words, SSH_PUBLIC_KEY=KEY)
    assert done.stdout == f"{key_line.hardened(KEY, SCRIPT, ['ds one', 'o' + chr(39) + 'brien'])}\n"
    assert hashlib.sha256(SCRIPT).hexdigest() in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "both missing"),
        (("--public-key", "nonsense"), "neither a public key"),
        (("--public-key", KEY, "--datastore", "ds"), "needs --hardened"),
        (("--public-key", KEY, "--hardened", "--datastore", "a/b"), "no datastore's name"),
        (("--private-key", "secret"), "No such option"),
    ],
)
def test_a_key_line_that_cannot_be_made_is_an_error(words: tuple[str, ...], says: str) -> None:
    done = run("ssh-key", *words)
    assert done.returncode != 0
    assert done.stdout == ""
    assert says in done.stderr


def test_a_private_key_that_cannot_be_read_is_not_shown() -> None:
    done = run("ssh-key", SSH_PRIVATE_KEY="nonsense of a key")
    assert done.returncode != 0
    assert "cannot be read" in done.stderr
    assert "nonsense" not in done.stderr + done.stdout


LATE_SIGTERM = """
import os, signal, sys
from populator.cli import main

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGTERM):
        kill(me, number)

sys.modules["late"] = Late()  # dropped when Python has put the handlers of signals away
sys.argv = ["populator", "--version"]
main()
"""


def test_a_sigterm_while_python_shuts_down_does_not_change_the_exit_code() -> None:
    done = subprocess.run([sys.executable, "-c", LATE_SIGTERM], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
