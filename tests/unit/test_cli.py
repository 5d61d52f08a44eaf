"""The command line as a user meets it: the console script, help, and a call that cannot begin."""

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from populator import __version__
from tests.lab.esxi.sshd import make_key
from tests.lab.program import ROOT
from vsphere import key_line
from vsphere.esxi import SCRIPT


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
