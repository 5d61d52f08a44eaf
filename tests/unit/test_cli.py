"""The command line as a user meets it: the console script, help, and a call that cannot begin."""

import subprocess
import sys
from pathlib import Path

from populator import __version__
from tests.lab.program import ROOT


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "populator", *words],
        cwd=ROOT,
        env={"LANG": "C.UTF-8"},
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
