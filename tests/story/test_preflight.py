"""A preflight of a lab in good order: ready, nothing is touched; several VMs; and the command itself."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from populator.preflight.line import Mark, Verdict, verdict
from tests.lab import world
from tests.lab.faults import Call
from tests.lab.lab import Lab
from tests.lab.program import ROOT
from tests.story.preflights import Preflight, changing, lines_of, shown, state


@pytest.fixture
def look(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Preflight:
    return Preflight(lab, monkeypatch)


@pytest.mark.each_kube
def test_a_lab_in_good_order_is_ready_and_nothing_is_touched(lab: Lab, look: Preflight) -> None:
    target = lab.add_target()
    before = state(lab)
    lab.ledger.reset()
    sections = look.look(target)
    assert verdict(sections) is Verdict.READY, shown(sections)
    unknown = {line.check for line in lines_of(sections, Mark.NOT_CHECKED)}
    assert unknown == {"rights to change", "failed clones"}
    assert changing(lab) == set()
    assert {call.service for call in lab.ledger.calls} == {"kubernetes", "vcenter", "array"}
    assert state(lab) == before
    assert lab.leftovers(target) == []


def test_what_is_not_ready_can_be_seen_in_what_a_populate_says(lab: Lab, look: Preflight) -> None:
    target = lab.add_target()
    lab.vcenter.set_host(lab.host.moid, in_maintenance_mode=True)
    [line] = [line for line in lines_of(look.look(target), Mark.FAILED) if line.check == "host"]
    with lab.program(target) as program:
        assert program.wait() == 5
    assert (program.message["text"], program.message["hint"]) == (line.text, line.mend)


def test_each_host_that_may_copy_is_looked_at_and_those_that_may_not_are_named(
    lab: Lab, look: Preflight
) -> None:
    target = lab.add_target()
    own, other = lab.hosts.values()
    sections = look.look(target, environment={"COPY_HOSTS": "any"})
    assert [line.text for line in lines_of(sections) if line.check == "hosts"] == [
        f"{own.moid}, {other.moid} may copy, in this order of preference"
    ]
    assert [section.title for section in sections[-2:]] == [
        f"Host {each.name} ({each.moid})" for each in (own, other)
    ]
    lab.vcenter.set_host(other.moid, in_maintenance_mode=True)
    sections = look.look(target, environment={"COPY_HOSTS": "any"})
    [line] = [line for line in lines_of(sections, Mark.WARNING) if line.check == "hosts"]
    assert line.text == f"left out: {other.name} ({other.moid}): it is in maintenance mode"
    assert sections[-1].title == f"Host {own.name} ({own.moid})"


def test_a_plan_has_all_disks_of_its_vms_and_each_host_once(lab: Lab, look: Preflight) -> None:
    lab.ledger.reset()
    sections = look.look(None, world.PLAIN_VM, world.FC_VM, world.NFS_VM, "nobody")
    titles = [section.title for section in sections]
    assert titles[3:] == [
        "VM plain vm",
        f"Disk {world.PLAIN_DISK}",
        f"Disk {world.DATA_DISK}",
        "VM fc vm",
        f"Disk {world.FC_DISK}",
        "VM nfs vm",
        f"Disk {world.NFS_DISK}",
        "VM nobody",
        f"Host esx-1.lab ({lab.host.moid})",
        f"Host esx-2.lab ({lab.hosts[world.OTHER_HOST].moid})",
    ]
    assert {line.check for line in lines_of(sections, Mark.FAILED)} == {"VM", "datastore"}
    assert {"PVC", "LUN", "volume rights"} <= {line.check for line in lines_of(sections, Mark.NOT_CHECKED)}
    assert changing(lab) == set()
    logins = sum(call.label == "Login" for call in lab.ledger.calls)
    assert logins == sum(call.label == "Logout" for call in lab.ledger.calls)


@pytest.mark.arrays("pureFlashArray", "primera3par")
def test_an_array_that_copies_by_itself_is_asked_for_the_source(lab: Lab, look: Preflight) -> None:
    target, source = lab.add_target(), {"vm": world.RDM_VM, "disk": world.RDM_DISK}
    sections = look.look(target, **source)
    [refusal] = [line for line in lines_of(sections, Mark.WARNING) if line.check == "source"]
    assert refusal.text
    assert "host" in {line.check for line in lines_of(sections)}, "a host would copy"
    lab.add_source(world.RDM_DISK)
    before = state(lab)
    lab.array.calls.clear()
    sections = look.look(target, **source)
    by_check = {line.check: line for line in lines_of(sections)}
    assert by_check["source"].mark is Mark.PASSED, shown(sections)
    assert by_check["method"].text.startswith("the array by itself")
    assert "wrapper" not in by_check, "no host is involved"
    assert state(lab) == before


def run(
    lab: Lab, *words: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "populator", "preflight", *words],
        cwd=ROOT,
        env={"LANG": "C.UTF-8", **lab.environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_prints_one_word_first_and_ends_with_its_code(lab: Lab) -> None:
    words = [f"--{name}={value}" for name, value in lab.arguments(lab.add_target()).items()]
    ready = run(lab, *words)
    assert (ready.returncode, ready.stderr) == (0, ""), ready.stdout
    assert ready.stdout.startswith("ready: ")
    lab.host.settings["/DataMover/MaxHWTransferSize"] = 4096
    warned = run(lab, *words, "-o", "json")
    page = json.loads(warned.stdout)
    assert (warned.returncode, page["verdict"], page["counts"]["warning"]) == (10, "warnings", 1)
    lab.host.plugin_installed = False
    plan = lab.directory / "plan"
    plan.write_text(f"# tonight\n{world.PLAIN_VM}\n")
    failed = run(lab, f"--plan={plan}", "--storage-vendor-product=ontap")
    assert failed.returncode == 11
    assert failed.stdout.startswith("not ready: ")
    assert "> Install the VIB on the host" in failed.stdout


@pytest.mark.any_kube
def test_ctrl_c_ends_it_and_its_session(lab: Lab) -> None:
    words = [f"--{name}={value}" for name, value in lab.arguments(lab.add_target()).items()]
    asked = threading.Event()

    def slow(call: Call) -> str | None:
        if call.label == "HasPrivilegeOnEntities":
            asked.set()
            return "late 1"
        return None

    lab.ledger.reset(slow)
    # As in a terminal; what a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, "-m", "populator", "preflight", *words],
        cwd=ROOT,
        env={"LANG": "C.UTF-8", **lab.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    labels = [call.label for call in lab.ledger.calls]
    assert labels[labels.index("HasPrivilegeOnEntities") + 1 :] == ["Logout"], "nothing further was begun"
