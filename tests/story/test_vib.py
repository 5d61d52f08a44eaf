"""`populator vib` as people and scripts call it: hosts over real SSH, a vCenter, signals, exit codes, the file."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.esxi.fleet import Fleet
from tests.lab.esxi.vibs import stock_vib
from tests.lab.pki import Pki
from tests.lab.program import ROOT
from tests.lab.tunnel import Relay
from tests.lab.vcenter import HostSpec, VCenter
from tests.lab.waiting import wait_until
from vsphere.vib.build import VENDOR, build_vib
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION

OURS_NOW = [(VERSION, VENDOR)]
SSH_KEY = "BEGIN OPENSSH PRIVATE KEY"


def call(fleet: Fleet, *words: str, **environment: str) -> "Done":
    with fleet.start(*words, **environment) as process:
        return Done(process)


class Done:
    """How a call ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.stdout, self.log = process.communicate(timeout=120)
        self.code = process.returncode
        self.rows = self.stdout.splitlines()
        assert "Traceback" not in self.log
        assert SSH_KEY not in self.stdout + self.log

    def row(self, host: str) -> str:
        """Return a host's row, blanks squeezed."""
        (found,) = (row for row in self.rows if row.startswith(f"{host} "))
        return " ".join(found.split())


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, 3) as three:
        yield three


def test_one_host_of_three_that_is_down_leaves_the_others_alone(fleet: Fleet) -> None:
    fleet.servers[1].refuse()
    done = call(fleet, "install")
    assert done.code == 5
    assert done.rows[0].split() == ["HOST", "BEFORE", "AFTER", "RESULT", "NEXT"]
    for number in (0, 2):
        assert f"none {VERSION} ({VENDOR}) installed" in done.row(fleet.names[number])
        assert fleet.hosts[number].installed == OURS_NOW
        assert fleet.hosts[number].temporary == []
    assert "unknown unknown failed: Host" in done.row(fleet.names[1])
    assert "Start the host's SSH service" in done.stdout
    narrow = call(fleet, "status", COLUMNS="120")
    assert len(narrow.rows) > 4
    assert max(map(len, narrow.rows)) <= 120
    fleet.servers[1].accept()
    assert call(fleet, "install").code == 0
    assert fleet.hosts[1].installed == OURS_NOW


@pytest.mark.long
def test_status_and_removal(fleet: Fleet) -> None:
    done = call(fleet, "status", "-o", "json")
    assert done.code == 10
    items = json.loads(done.stdout)["items"]
    assert [(item["host"], item["before"]) for item in items] == [(name, "none") for name in fleet.names]
    assert yaml.safe_load(call(fleet, "status", "--output=yaml").stdout)["items"] == items
    assert call(fleet, "install", "--dry-run").code == 0
    assert [host.installed for host in fleet.hosts] == [[], [], []]
    assert call(fleet, "install").code == 0
    done = call(fleet, "status")
    assert (done.code, done.stdout.count("is up to date")) == (0, 3)
    done = call(fleet, "remove")
    assert (done.code, done.stdout.count("removed")) == (0, 3)
    assert [host.installed for host in fleet.hosts] == [[], [], []]


def test_never_more_hosts_at_once_than_asked(tmp_path: Path) -> None:
    with Fleet(tmp_path, 5) as fleet:
        for host in fleet.hosts:
            host.fail("slow", "0.2")
        done = call(fleet, "status", "--parallel=2")
    under_way, most = 0, 0
    for line in done.log.splitlines():
        under_way += {"begins": 1, "plugin": -1}.get(line.split()[2], 0)
        most = max(most, under_way)
    assert (most, under_way) == (2, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_the_host_under_way_is_finished_and_no_other_begun(
    fleet: Fleet, number: signal.Signals
) -> None:
    fleet.hosts[0].fail("install-hangs")
    with fleet.start("install", "--parallel=1") as process:
        wait_until(lambda: fleet.hosts[0].temporary != [])
        process.send_signal(number)
        fleet.hosts[0].heal("install-hangs")
        done = Done(process)
    assert done.code == 9
    assert fleet.hosts[0].installed == OURS_NOW
    assert "installed" in done.row(fleet.names[0])
    for other in (1, 2):
        assert "not begun: told to stop" in done.row(fleet.names[other])
        assert fleet.servers[other].accepted == 0


def test_callers_of_todays_installer_are_understood(fleet: Fleet, tmp_path: Path) -> None:
    """Its environment, its flags, its file, and Go's way to write a flag that is true or false."""
    stock = tmp_path / "stock"
    stock.mkdir()
    (tmp_path / "vmkfstools-wrapper.vib").write_bytes(stock_vib(stock))
    path = str(tmp_path / "vmkfstools-wrapper.vib")
    done = call(fleet, "install", VIB_PATH=path, RESTART_HOSTD="false", SSH_TIMEOUT_SECONDS="20")
    assert (done.code, done.stdout.count("installed, not loaded")) == (0, 3)
    assert [host.hostd_restarts for host in fleet.hosts] == [0, 0, 0]
    done = call(
        fleet,
        "install",
        f"--vib-path={path}",
        f"--ssh-key-file={fleet.key}",
        f"--esxi-hosts={fleet.names[0]}",
        "--ssh-timeout-seconds=20",
        "--restart-hostd",
        ESXI_HOSTS="",
        SSH_KEY_FILE="",
    )
    assert (done.code, len(done.rows)) == (0, 2)
    assert "0.3.3 (REDHAT) 0.3.3 (REDHAT) loaded" in done.row(fleet.names[0])
    done = call(fleet, "install", f"--hosts={fleet.names[0]},{fleet.names[0]}")
    assert (done.code, len(done.rows)) == (0, 2), "a host that is named twice is visited once"


def test_a_host_is_reached_by_ipv6(fleet: Fleet) -> None:
    host = fleet.servers[0]
    with Relay(("127.0.0.1", host.port)) as relay:
        known = f"[::1]:{relay.port} {host.host_key}\n"
        done = call(fleet, "install", f"--hosts=[::1]:{relay.port}", SSH_KNOWN_HOSTS=known)
        assert done.code == 0, done.log
        port = {"SSH_PORT_NUMBER": str(relay.port), "SSH_KNOWN_HOSTS": known}
        done = call(fleet, "status", "--hosts=::1", **port)
        assert (done.code, "is up to date" in done.row("::1")) == (0, True)
        assert fleet.hosts[0].installed == OURS_NOW


def test_only_hosts_with_the_expected_key_are_visited(fleet: Fleet) -> None:
    host = fleet.servers[0]
    lines = f"[127.0.0.1]:{host.port} {host.host_key}\n"
    done = call(fleet, "install", SSH_KNOWN_HOSTS=lines)
    assert done.code == 5
    assert [one.installed for one in fleet.hosts] == [OURS_NOW, [], []]
    assert "not the expected one" in done.row(fleet.names[1])


@pytest.mark.parametrize(
    ("words", "environment", "problem"),
    [
        ((), {"ESXI_HOSTS": ""}, "Name the hosts (--esxi-hosts), or the vCenter that has them (--vcenter)."),
        (("--vcenter=vc",), {"ESXI_HOSTS": ""}, "--vsphere-password is missing."),
        ((), {"SSH_KEY_FILE": ""}, "--ssh-key-file is missing."),
        ((), {"SSH_KEY_FILE": "/none"}, "--ssh-key-file: cannot read /none: No such file or directory."),
        (("--parallel=0",), {}, "--parallel: '0' is not a whole number from 1 to 1000."),
        (("--restart-hostd=maybe",), {}, "--restart-hostd: 'maybe' is neither true nor false."),
        (("--vib-path=/none",), {}, "--vib-path: cannot read /none: No such file or directory."),
        (("--vib-path=/etc/passwd",), {}, "--vib-path: The file is not a VIB of vmkfstools-wrapper"),
        (("--hosts=a:b",), {}, "--esxi-hosts: 'a:b' has a port that is not a number from 1 to 65535."),
    ],
)
def test_what_cannot_begin_is_refused_with_a_sentence(
    fleet: Fleet, words: tuple[str, ...], environment: dict[str, str], problem: str
) -> None:
    done = call(fleet, "install", *words, **environment)
    assert done.code == 2
    assert f"error: {problem}" in done.log
    assert [server.accepted for server in fleet.servers] == [0, 0, 0]


def test_the_hosts_of_a_vcenter_are_visited(fleet: Fleet, tmp_path: Path) -> None:
    """Those of one datacenter or all, by their management addresses; one without is left out with a warning."""
    pki = Pki(tmp_path / "pki")
    with VCenter(
        directory=tmp_path,
        cert=pki.issue("vcenter"),
        ca_pem=pki.ca_pem,
        username="u",
        password="a secret",
        hosts=(
            HostSpec("esx-1.lab", address="127.0.0.1"),
            HostSpec("esx-2.lab", address=""),
            HostSpec("esx-3.lab", address="127.0.0.78"),
        ),
    ) as vcenter:
        site = {
            "ESXI_HOSTS": "",
            "GOVMOMI_HOSTNAME": vcenter.url,
            "GOVMOMI_USERNAME": "u",
            "GOVMOMI_PASSWORD": "a secret",
            "cacert": pki.ca_pem,
            "SSH_PORT_NUMBER": str(fleet.servers[0].port),
        }
        for words in (("status",), ("install", "--datacenter=DC0")):
            done = call(fleet, *words, **site)
            assert done.code == 5
            assert [row.split()[0] for row in done.rows] == ["HOST", "esx-1.lab", "esx-3.lab"]
            assert "refuses SSH connections (127.0.0.78, port" in done.row("esx-3.lab")
            assert re.search("WARNING .*left out: vCenter reports no .* address  host=esx-2.lab", done.log)
            assert "a secret" not in done.log + done.stdout
        assert [host.installed for host in fleet.hosts] == [OURS_NOW, [], []]
        vcenter.withhold((vcenter.hosts["esx-3.lab"], "config", "System.Read"))
        done = call(fleet, "status", **site)
        assert [row.split()[0] for row in done.rows] == ["HOST", "esx-1.lab"]
        assert re.search("left out: .*System.Read.*  host=esx-3.lab", done.log)
        vcenter.withhold()
        done = call(fleet, "status", "--datacenter=DC7", **site)
        assert (done.code, done.stdout) == (5, "")
        assert "no datacenter 'DC7'" in done.log
        untrusted = {key: value for key, value in site.items() if key != "cacert"}
        assert call(fleet, "status", **untrusted).code == 5
        assert "esx-1.lab" in call(fleet, "status", "--vsphere-insecure", **untrusted).stdout


def build(*words: str, folder: Path, wrap: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrap, sys.executable, "-m", "populator", "vib", "build", *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_package_is_built_into_a_file(tmp_path: Path) -> None:
    assert build(folder=tmp_path).stdout == f"vmkfstools-wrapper-{VERSION}.vib\n"
    assert build("--file", "other.vib", folder=tmp_path).returncode == 0
    data = (tmp_path / "other.vib").read_bytes()
    assert data == (tmp_path / f"vmkfstools-wrapper-{VERSION}.vib").read_bytes()
    assert data == build_vib(SCRIPT, PLUGIN_XML, VERSION)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(tmp_path: Path) -> None:
    missing = build("--file", "none/x.vib", folder=tmp_path)
    assert missing.returncode == 2
    assert "error: --file: cannot write none/x.vib: No such file or directory." in missing.stderr

    full = tmp_path / "full"
    full.mkdir()
    bwrap = shutil.which("bwrap") or ""
    script = 'echo old >x.vib; "$@"; echo "code $?" >&2; ls -A >&2; cat x.vib >&2'
    small = (bwrap, "--dev-bind", "/", "/", "--size", "16384", "--tmpfs", str(full), "--chdir", str(full))
    done = build("--file", "x.vib", folder=full, wrap=(*small, "sh", "-c", script, "sh"))
    assert done.stderr.splitlines()[2:] == ["code 2", "x.vib", "old"]
    assert "cannot write x.vib: No space left on device" in done.stderr
    assert list(tmp_path.iterdir()) == [full]
