"""Names of services: a DNS server that never answers keeps nobody, and one that changes its mind is heard."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.dns import Dns
from tests.lab.lab import Lab, Target
from tests.lab.program import ROOT, Program

pytestmark = pytest.mark.any_kube
END = 28.0
"""seconds from SIGTERM to the end of the process, at most"""
SERVICES = ("vcenter", "array", "kubernetes")


@pytest.fixture
def dns() -> Iterator[Dns]:
    with Dns() as dns:
        yield dns


def by_name(lab: Lab, target: Target, dns: Dns, folder: Path, *services: str) -> Program:
    """Return the program with names for the addresses of these services."""
    environment = lab.environment()
    if "vcenter" in services:
        environment["GOVMOMI_HOSTNAME"] = f"vcenter.lab.example:{lab.vcenter_port}"
    if "array" in services:
        environment["STORAGE_HOSTNAME"] = f"array.lab.example:{lab.array_port}"
    if "kubernetes" in services:
        config = json.loads(Path(environment["KUBECONFIG"]).read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://kubernetes.lab.example:{lab.kube_port}"
        environment["KUBECONFIG"] = str(folder / "kubeconfig")
        (folder / "kubeconfig").write_text(json.dumps(config))
    program = lab.program(target, environment=dict(environment))
    program.prefix = dns.prefix(folder)
    return program


def asked_for(dns: Dns, service: str) -> bool:
    return any(name.startswith(f"{service}.") for name in dns.asked)


@pytest.mark.parametrize("service", SERVICES)
def test_a_silent_dns_server_keeps_nobody(lab: Lab, dns: Dns, tmp_path: Path, service: str) -> None:
    with by_name(lab, lab.add_target(), dns, tmp_path, service) as program:
        deadline = time.monotonic() + 60
        while not asked_for(dns, service):
            assert time.monotonic() < deadline, program.text()
            time.sleep(0.01)
        program.signal(signal.SIGTERM)
        began = time.monotonic()
        assert program.wait(70) == 9, program.text()
        assert time.monotonic() - began < END / 4
    assert program.message["reason"] == "Cancelled"


@pytest.mark.long
def test_one_that_falls_silent_before_the_undo_does_not_outlast_the_pod(
    lab: Lab, dns: Dns, tmp_path: Path
) -> None:
    dns.address = "127.0.0.1"
    target = lab.add_target()
    lab.host.rescan_seconds = 5.0
    with by_name(lab, target, dns, tmp_path, *SERVICES) as program:
        deadline = time.monotonic() + 60
        while not lab.host.history:
            assert time.monotonic() < deadline, program.text()
            time.sleep(0.01)
        dns.address = None
        lab.ledger.reset(lambda call: "before")  # so that each call needs a new connection
        program.signal(signal.SIGTERM)
        began = time.monotonic()
        assert program.wait(70) == 9, program.text()
        assert time.monotonic() - began <= END
    assert program.message["reason"] == "Cancelled"
    assert program.message["undoFailures"]


def test_names_are_looked_up_and_checked_against_the_certificates(lab: Lab, dns: Dns, tmp_path: Path) -> None:
    dns.address = "127.0.0.1"
    target = lab.add_target()
    with by_name(lab, target, dns, tmp_path, *SERVICES) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert all(asked_for(dns, service) for service in SERVICES)


def test_a_certificate_for_another_name_is_still_refused(lab: Lab, dns: Dns, tmp_path: Path) -> None:
    dns.address = "127.0.0.1"
    program = by_name(lab, lab.add_target(), dns, tmp_path)
    program.environment = {**program.environment, "GOVMOMI_HOSTNAME": f"other.example:{lab.vcenter_port}"}
    with program:
        assert program.wait() == 5, program.text()
    assert "not trusted" in program.message["text"]


MOVES = """
import socket, sys
from populator import resolver
resolver.install()
for _ in sys.stdin:
    print(socket.create_connection.__globals__["getaddrinfo"]("vcenter.lab.example", 443)[0][4][0], flush=True)
"""


def test_a_name_that_moves_is_found_where_it_is_now(dns: Dns, tmp_path: Path) -> None:
    command = [*dns.prefix(tmp_path), sys.executable, "-c", MOVES]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for address in ("127.0.0.21", "127.0.0.22"):
            dns.address = address
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == address
        process.stdin.close()


LONG = """
import socket, time
from populator import resolver
resolver.install()
began = time.monotonic()
try:
    socket.create_connection(("vcenter.lab.example", 443), 5)
except socket.gaierror as error:
    print(error.errno == socket.EAI_AGAIN, resolver.WITHIN <= time.monotonic() - began < 2 * resolver.WITHIN)
"""


def test_a_look_up_is_given_up_though_the_c_library_would_go_on(dns: Dns, tmp_path: Path) -> None:
    command = [*dns.prefix(tmp_path), sys.executable, "-c", LONG]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True True\n", "and its thread keeps nobody at the end"
