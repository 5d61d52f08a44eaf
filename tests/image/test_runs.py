"""Whole runs of the image against the lab, as a random user without any right, on a read-only root."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.container import Container, Image
from tests.lab import world
from tests.lab.lab import Lab, Target
from tests.lab.program import Program

PROBE = """
for path in / /etc /opt/populator /var /dev /dev/shm /var/tmp; do
    if [ -d $path ] && (: >$path/probe) 2>/dev/null; then echo "$path can be written to"; fi
done
: >/tmp/probe
cat /proc/self/status
id
"""


@pytest.fixture(scope="module")
def own_lab() -> Iterator[Lab]:
    """A lab with the real Kubernetes API."""
    with Lab("real", proxied=False) as lab:
        yield lab


@pytest.fixture
def lab(own_lab: Lab) -> Lab:
    """The lab, put in order."""
    own_lab.tidy()
    return own_lab


def start(lab: Lab, image: Image, target: Target, folder: Path) -> Program:
    """Return the image's run for a target, as Forklift's pod would be."""
    kubeconfig, message = folder / "kubeconfig", folder / "message"
    environment = lab.environment()
    kubeconfig.write_bytes(Path(environment["KUBECONFIG"]).read_bytes())
    kubeconfig.chmod(0o644)  # of a cluster that ends with the test
    message.touch()
    message.chmod(0o666)
    authority = str(lab.pki.ca_file)
    binds = {"/tmp/kubeconfig": kubeconfig, authority: lab.pki.ca_file}
    environment["KUBECONFIG"] = "/tmp/kubeconfig"
    arguments = [f"--{name}={value}" for name, value in lab.arguments(target).items()]
    prefix = Container(image, binds, message).prefix()
    return Program(arguments, environment, message, scrape_interval=0.5, prefix=prefix)


def test_only_tmp_can_be_written_to(image: Image) -> None:
    done = Container(image).run("-c", PROBE, entrypoint=["sh"])
    assert done.returncode == 0, done.stderr
    assert "can be written to" not in done.stdout
    assert re.findall(r"^Cap\w+:\s*(\w+)", done.stdout, re.MULTILINE) == ["0" * 16] * 5
    assert "NoNewPrivs:\t1" in done.stdout
    assert re.search(r"uid=1000740000\S* gid=0", done.stdout)


def test_a_whole_populate(lab: Lab, image: Image, tmp_path: Path) -> None:
    target = lab.add_target()
    with start(lab, image, target, tmp_path) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert program.message["reason"] == "Succeeded"
    assert (program.status.progress, program.status.result) == (100, "success")


def test_sigterm_in_the_middle_of_the_copy(lab: Lab, image: Image, tmp_path: Path) -> None:
    lab.host.copy_rate = world.DISK_SIZE / 30
    target = lab.add_target()
    with start(lab, image, target, tmp_path) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        program.signal(signal.SIGTERM)
        assert program.wait() == 9, program.text()
    assert program.message["reason"] == "Cancelled"
    assert lab.leftovers(target) == []


@pytest.mark.parametrize("moment", [0, 0.02, 0.05, 0.1])
def test_sigterm_in_the_first_moments(lab: Lab, image: Image, tmp_path: Path, moment: float) -> None:
    target = lab.add_target()
    with start(lab, image, target, tmp_path) as program:
        first = first_process(program)
        time.sleep(moment)
        program.signal(signal.SIGTERM)
        assert program.wait() == 9, f"{first}: {program.text()}"
    assert program.message["reason"] == "Cancelled"
    assert lab.leftovers(target) == []


def first_process(program: Program) -> int:
    """Return the container's first process as soon as it is the program's, and holds SIGTERM back."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in children(program.pid):
            status = text_of(Path(f"/proc/{pid}/status"))
            blocked = re.search(r"^SigBlk:\s*(\w+)", status, re.MULTILINE)
            if blocked and int(blocked[1], 16) >> signal.SIGTERM - 1 & 1 and "runc" not in status:
                return pid
    raise TimeoutError(f"it never held SIGTERM back:\n{program.text()}")


def children(parent: int) -> list[int]:
    """Return the processes that were started by any thread of a process."""
    threads = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(pid) for thread in threads for pid in text_of(thread).split()]


def text_of(file: Path) -> str:
    """Return a file of a process; empty if that has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
