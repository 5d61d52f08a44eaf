"""SIGTERM in the first moments, to the first process of a container: never lost, and never without a word."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.program import ROOT

NOBODY_THERE = "https://127.0.0.1:1"
ARGUMENTS = {
    "source-vm-id": "vm-1",
    "source-vmdk": "[ds] vm/vm.vmdk",
    "target-namespace": "vms",
    "owner-name": "disk",
    "owner-uid": "6f1c8a52-0d0e-4c6b-9a57-1f2f3a4b5c6d",
    "storage-vendor-product": "ontap",
    "storage-hostname": "127.0.0.1:1",
    "storage-username": "user",
    "storage-password": "secret-of-array",
    "vsphere-hostname": "127.0.0.1:1",
    "vsphere-username": "user",
    "vsphere-password": "secret-of-vcenter",
    "master": NOBODY_THERE,
    "http-endpoint": "127.0.0.1:0",
}
AS_FIRST_PROCESS = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
MOMENTS = [number / 1000 for number in range(0, 301, 20)]
"""seconds"""


def entrypoint() -> list[str]:
    """Return how the image starts the program, with this machine's interpreter for the image's."""
    (words,) = re.findall(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    *before, program = json.loads(words)
    assert program == "/opt/populator/bin/populator"
    script = "import sys; sys.argv[0] = 'populator'; from populator.__main__ import main; main()"
    return [*before, sys.executable, "-c", script]


def child_of(pid: int) -> int:
    """Return the first process of the new namespace, as soon as it holds SIGTERM back."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children and blocks_term(int(children[0])):
            return int(children[0])
    raise TimeoutError("it never held SIGTERM back")


def blocks_term(pid: int) -> bool:
    (mask,) = re.findall(r"^SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def end(folder: Path, moment: float) -> tuple[int, str, float]:
    """Start the program, send SIGTERM at a moment; return exit code, reason and the seconds that its end took."""
    message = folder / f"termination-{moment}"
    message.touch()
    arguments = ARGUMENTS | {"termination-message-path": str(message)}
    with subprocess.Popen(
        [*AS_FIRST_PROCESS, *entrypoint(), *(f"--{name}={value}" for name, value in arguments.items())],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        stderr=subprocess.DEVNULL,
    ) as process:
        pid = child_of(process.pid)
        time.sleep(moment)
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        try:
            code = process.wait(60)
        finally:
            process.kill()
    text = message.read_text()
    return code, json.loads(text)["reason"] if text else "", time.monotonic() - began


@pytest.mark.timeout(600)
def test_sigterm_is_heard_from_the_first_moment_on(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        ends = dict(zip(MOMENTS, pool.map(lambda moment: end(tmp_path, moment), MOMENTS), strict=True))
    assert {moment: one[:2] for moment, one in ends.items()} == dict.fromkeys(MOMENTS, (9, "Cancelled"))
    assert max(seconds for *_, seconds in ends.values()) < 20


def test_a_command_for_people_ends_by_the_signal_itself() -> None:
    command = ["env", "--block-signal=TERM", sys.executable, "-m", "populator", "leases", "--watch"]
    with subprocess.Popen(
        [*command, f"--master={NOBODY_THERE}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        stderr=subprocess.DEVNULL,
    ) as process:
        while not blocks_term(process.pid):
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60) == -signal.SIGTERM
        finally:
            process.kill()
