"""The disks of many VMs, and `populator forecast` of them, against stock vcsim."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from populator.clock import Clock
from populator.reach import repeat
from tests.lab.pki import Pki
from tests.lab.program import ROOT
from tests.lab.vcenter import DatastoreSpec, DiskSpec, HostSpec, VCenter, VmSpec
from vsphere.errors import VsphereError
from vsphere.model import SurveyedDisk
from vsphere.vcenter.session import Session
from vsphere.vcenter.survey import survey

USER, PASSWORD = "u", "a secret"
GIB = 1 << 30
ALL = ("esx-1", "esx-2", "esx-3")


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VCenter, Pki]]:
    folder: Path = tmp_path_factory.mktemp("survey")
    for name in ("shared", "own", "nfs"):
        (folder / name).mkdir()
    pki = Pki(folder / "pki")
    two = tuple(DiskSpec(f"[shared] web/web_{n}.vmdk", (n + 1) * GIB) for n in range(2))
    with VCenter(
        directory=folder,
        cert=pki.issue("vcenter"),
        ca_pem=pki.ca_pem,
        username=USER,
        password=PASSWORD,
        hosts=tuple(map(HostSpec, ALL)),
        datastores=(
            DatastoreSpec("shared", folder / "shared", ALL, "naa.1"),
            DatastoreSpec("own", folder / "own", ("esx-2",), "naa.2"),
            DatastoreSpec("nfs", folder / "nfs", ALL, kind="NFS"),
        ),
        vms=(
            VmSpec("web", "esx-1", two),
            VmSpec("db", "esx-2", (DiskSpec("[own] db/db.vmdk", 4 * GIB),)),
            VmSpec("secret", "esx-2", (DiskSpec("[own] secret/secret.vmdk", GIB, encrypted=True),)),
            VmSpec("share", "esx-3", (DiskSpec("[nfs] share/share.vmdk", GIB),)),
            VmSpec("bare", "esx-3"),
        ),
    ) as running:
        yield running, pki


@pytest.fixture
def session(vcenter: tuple[VCenter, Pki]) -> Iterator[Session]:
    running, pki = vcenter
    clock = Clock()
    with Session(
        "127.0.0.1", running.port, USER, PASSWORD, clock=clock, retry=repeat(clock), ca_pem=pki.ca_pem
    ) as session:
        yield session


def test_disks_come_in_the_order_of_the_vms_and_each_vm_counts_once(
    session: Session, vcenter: tuple[VCenter, Pki]
) -> None:
    found = survey(session, ["db", vcenter[0].vms["web"], "web"])
    assert found.disks == (
        SurveyedDisk("db", "[own] db/db.vmdk", 4 * GIB, "esx-2", "own"),
        SurveyedDisk("web", "[shared] web/web_0.vmdk", GIB, "esx-1", "shared"),
        SurveyedDisk("web", "[shared] web/web_1.vmdk", 2 * GIB, "esx-1", "shared"),
    )
    assert found.mounted == {"own": {"esx-2"}, "shared": set(ALL)}


def test_many_vms_take_as_many_calls_as_one(session: Session) -> None:
    session.login()

    def calls(*vms: str) -> int:
        before = session.calls
        survey(session, vms)
        return session.calls - before

    assert calls("web", "db", "secret", "share", "bare") == calls("web")


def test_what_no_host_can_copy_is_told_with_its_reason(session: Session) -> None:
    problems = {disk.vm: disk.problem for disk in survey(session, ["secret", "share", "bare"]).disks}
    assert problems == {
        "secret": "it is encrypted",
        "share": "no array can copy from a datastore of type NFS",
    }


def test_a_host_in_maintenance_or_without_a_connection_is_none_to_spread_to(
    session: Session, vcenter: tuple[VCenter, Pki]
) -> None:
    running = vcenter[0]
    running.set_host("esx-2", in_maintenance_mode=True)
    running.set_host("esx-3", connection_state="disconnected")
    try:
        assert survey(session, ["web"]).mounted == {"shared": {"esx-1"}}
    finally:
        running.set_host("esx-2", in_maintenance_mode=False)
        running.set_host("esx-3", connection_state="connected")


@pytest.mark.parametrize("vm", ["nowhere", "DC0/vm/nowhere", "vm-99999"])
def test_a_vm_that_there_is_not_is_named(session: Session, vm: str) -> None:
    with pytest.raises(VsphereError, match=vm):
        survey(session, ["web", vm])


def forecast(
    vcenter: tuple[VCenter, Pki], *words: str, password: str = PASSWORD
) -> "subprocess.CompletedProcess[str]":
    running, pki = vcenter
    environment = {
        "GOVMOMI_HOSTNAME": f"127.0.0.1:{running.port}",
        "GOVMOMI_USERNAME": USER,
        "GOVMOMI_PASSWORD": password,
        "cacert": pki.ca_pem,
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
    }
    return subprocess.run(
        [sys.executable, "-m", "populator", "forecast", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_file_of_vms_is_forecast_and_drawn(vcenter: tuple[VCenter, Pki], tmp_path: Path) -> None:
    file, chart = tmp_path / "plan.txt", tmp_path / "night.svg"
    file.write_text("# tonight\nweb\n\n  db\n")
    done = forecast(vcenter, f"--vm-file={file}", "--vm=secret", f"--gantt={chart}", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [passage["disk"] for passage in told["passages"]] == [
        "[shared] web/web_0.vmdk",
        "[shared] web/web_1.vmdk",
        "[own] db/db.vmdk",
    ]
    assert {host["host"] for host in told["hosts"]} == {"esx-1", "esx-2"}
    assert [left["vm"] for left in told["leftOut"]] == ["secret"]
    assert told["bytes"] == 7 * GIB
    assert 4 * 1024 / 200 < told["makespanSeconds"] < 60
    assert chart.read_text().startswith("<svg")


def test_people_see_a_table(vcenter: tuple[VCenter, Pki]) -> None:
    done = forecast(vcenter, "--vm=web", "--vm=db")
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("3 disks, 7 GiB, by 2 hosts: done after ")
    assert second.startswith("bottleneck: one big disk, [own] db/db.vmdk")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--vm=nowhere",), 5, "There is no VM nowhere"),
        (("--vm=bare",), 5, "have no disk that a host could copy"),
        (("--vm=share",), 5, "of type NFS"),
        (("--vm=web", "--gantt=/none/x.svg"), 2, "--gantt: cannot write"),
    ],
)
def test_failures_have_their_codes(
    vcenter: tuple[VCenter, Pki], words: tuple[str, ...], code: int, said: str
) -> None:
    done = forecast(vcenter, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_wrong_password_is_vcenters_failure(vcenter: tuple[VCenter, Pki]) -> None:
    done = forecast(vcenter, "--vm=web", password="wrong")
    assert done.returncode == 5
    assert "refuses the user name or the password" in done.stderr
