"""What people read, to the letter: help at two widths, and errors, compared with the files in `golden`.

`python -m tests.unit.populator.test_golden` rewrites the files; read the difference aloud before it is committed.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from populator.cli import run
from tests.lab.program import ROOT
from tests.unit.populator.face import commands, read_variables

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (80, 120)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3a populator"

HELP = {
    f"help {' '.join(path) or 'of all'} {width}": (*path, "--help")
    for path, _ in commands()
    for width in WIDTHS
}
ERRORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "no such command": (("leasez",), ("nonsense",), ("vib", "instal"), ("vib",)),
    "no such option": (
        ("leases", "--wach"),
        ("vib", "install", "--hots=a"),
        ("ssh-key", "--private-key=k"),
        ("completion", "--shell=bash"),
        ("--typo", "leases"),
    ),
    "wrong value": (
        ("leases", "-o", "xml"),
        ("leases", "--template=x"),
        ("leases", "--log-level=loud"),
        ("top", "--template=x"),
        ("--log-format=xml", "vib", "build"),
        ("vib", "status", "--parallel=0", "--hosts=a:b", "--ssh-timeout-seconds=soon"),
        ("vib", "install", "--ssh-key-file=/none", "--restart-hostd=maybe", "--vcenter=vc:x"),
        ("vib", "build", "--file=/none/x.vib"),
        ("ssh-key", "--public-key=nonsense"),
        ("completion", "ksh"),
        ("forecast", "--disks=/none", "--copy-rate=fast", "--slots=0", "--scope=all", "--copy-hosts=some"),
        ("forecast", "--disks=/etc/hostname"),
        ("forecast", "--vm=a", "--measured=/dev/null", "--vcenter=vc", "--vsphere-username=u"),
    ),
    "incomplete": (
        ("leases", "--namespace"),
        ("vib", "remove"),
        ("forecast",),
        ("forecast", "--vm=a"),
        ("forecast", "--vm=a", "--disks=/dev/null"),
        ("ssh-key",),
        ("completion",),
        ("ssh-key", f"--public-key={KEY}", "--datastore=ds"),
        ("leases", "--watch=true"),
        ("top", "all"),
        ("leases", "all"),
    ),
    "failed": (
        ("leases", "--kubeconfig=/none"),
        ("leases", "--master=https://127.0.0.1:1"),
        ("top", "--kubeconfig=/none"),
        ("top", "--once", "--master=https://127.0.0.1:1"),
        ("ssh-key", f"--public-key={KEY}", "--hardened", "--datastore=a/b"),
        ("vib", "install", "--hosts=esx-1", "--ssh-key-file=/dev/null", "--vib-path=/etc/hostname"),
    ),
    "populating": (
        ("--sorce-vmdk=x",),
        ("--source-vm-id",),
        ("--storage-vendor-product=ontap", "--storage-username=a", "--http-endpoint=x", "--log-level=loud"),
    ),
}
"""calls by kind; those of `populating` have lines of the log, as in a pod"""


def output(*words: str, width: int = 80) -> str:
    """Return what a call prints, and the exit code behind it; only the time is left out, and the vendors' rows."""
    os.environ["COLUMNS"] = str(width)
    shown = StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        code = run(words)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", "<time>", shown.getvalue())
    text = re.sub(r"(?ms)^(Vendors, .*?:\n).*?^$", r"\1  <the registry>\n", text)
    return f"$ populator {shlex.join(words)}\n{text}exit code {code}\n"


def everything() -> dict[str, str]:
    """Return what the golden files are to hold; to be called in a process of its own, whose log it changes."""
    pages = {name: output(*words, width=int(name.rpartition(" ")[2])) for name, words in HELP.items()}
    return pages | {name: "\n".join(output(*words) for words in calls) for name, calls in ERRORS.items()}


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    script = "import json; from tests.unit.populator.test_golden import everything; print(json.dumps(everything()))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"LANG": "C.UTF-8"}, capture_output=True, check=True
    )
    pages: dict[str, str] = json.loads(done.stdout)
    return pages


def file(name: str) -> Path:
    return GOLDEN / f"{name.replace(' ', '-')}.txt"


@pytest.mark.parametrize("name", [*HELP, *ERRORS])
def test_people_read_what_they_are_meant_to(shown: dict[str, str], name: str) -> None:
    assert shown[name] == file(name).read_text()


def test_no_golden_file_is_left_behind() -> None:
    assert set(GOLDEN.iterdir()) == {file(name) for name in (*HELP, *ERRORS)}


@pytest.mark.parametrize("name", HELP)
def test_help_fits_the_terminal(name: str) -> None:
    lines = file(name).read_text().splitlines()
    assert max(map(len, lines)) <= int(name.rpartition(" ")[2])


if __name__ == "__main__":
    for variable in os.environ.keys() & read_variables():
        del os.environ[variable]
    for old in GOLDEN.iterdir():
        old.unlink()
    for name, text in everything().items():
        file(name).write_text(text)
