"""What goes wrong after the LUN was mapped: the right sentence and code, and everything put back all the same."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.lab import world
from tests.lab.controller import Status
from tests.lab.lab import Lab, Target
from tests.lab.program import Program

Act = Callable[[Lab, Target], object]
LONG, ENDLESS = 15.0, 600.0
"""seconds of a copy that is waited for, and of one that outlasts the test"""


def nothing(lab: Lab, target: Target) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Case:
    """A fault: set before the start, or when the copy has started."""

    code: int
    says: tuple[str, ...]
    before: Act = nothing
    in_mid_copy: Act = nothing


CASES = {
    "device never appears": Case(
        5,
        (
            "did not appear",
            "mapped as LUN id ",
            "xcopy-hostsystem-",
            "vmhba64 (iqn.1998-01.com.vmware",
            "Disk.MaxLUN",
        ),
        before=lambda lab, _: setattr(lab.host, "max_lun", 0),
    ),
    "disk locked by another writer": Case(
        7, ("locked by another writer",), before=lambda lab, _: lab.host.faults.locked.add(world.PLAIN_DISK)
    ),
    "LUN full in mid-copy": Case(
        7, ("no space left",), before=lambda lab, t: lab.san.set_fault(t.naa, full_from=world.DISK_SIZE // 2)
    ),
    "LUN failing in mid-copy": Case(
        7, ("I/O error",), before=lambda lab, t: lab.san.set_fault(t.naa, failing_from=world.DISK_SIZE // 2)
    ),
    "vmkfstools killed in mid-copy": Case(
        7, ("1",), before=lambda lab, _: setattr(lab.host.faults, "dies_at", 50)
    ),
    "host restarted in mid-copy": Case(7, ("restarted",), in_mid_copy=lambda lab, _: lab.host.restart(1.0)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.wrappers("busybox", "0.3.3")
def test_failure(lab: Lab, name: str) -> None:
    case = CASES[name]
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    case.before(lab, target)
    with lab.program(target, scrape_interval=0.2) as program:
        if case.in_mid_copy is not nothing:
            program.wait_for(lambda line: line["message"] == "copy started")
            case.in_mid_copy(lab, target)
        assert program.wait() == case.code, program.text()
    said = f"{program.message['text']} {program.message['hint']}"
    assert [piece for piece in case.says if piece not in said] == [], said
    assert program.message["phase"] == ("discover the device" if case.code == 5 else "clone")
    assert "Traceback" not in program.text()
    assert not {"undoFailures", "left"} & set(program.message)
    allowed = {"host restarted in mid-copy": (f"{lab.host.name}: ", "mapping ")}.get(name, ())
    assert [left for left in lab.leftovers(target) if not left.startswith(allowed)] == []
    never_success(program)


@pytest.mark.parametrize("wrong", ["gone", "changed"])
def test_a_broken_chain_is_explained(lab: Lab, wrong: str) -> None:
    target = lab.add_target()
    base = world.file_of(lab.datastores, world.BASE)
    good = base.read_text()
    if wrong == "gone":
        base.unlink()
    else:
        base.write_text(good.replace("\nCID=", "\nCID=0", 1))
    try:
        with lab.program(target, vm=world.SNAPSHOT_VM, disk=world.NEWEST) as program:
            assert program.wait() == 7, program.text()
    finally:
        base.write_text(good)
    says = {"gone": "inherits from cannot be opened", "changed": "was changed after the one above it"}
    assert says[wrong] in program.message["text"]
    assert not {"undoFailures", "left"} & set(program.message)
    assert lab.leftovers(target) == []
    never_success(program)


def never_success(program: Program) -> None:
    """The controller was never told that all bytes are there."""
    assert program.controller is not None
    seen: list[Status] = program.controller.seen
    assert [status for status in seen if status.result == "success" or status.progress == 100] == []


@pytest.mark.wrappers("busybox", "dash")
def test_a_lost_reply_to_clone_is_made_good(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 1.0
    lab.ledger.reset(lambda call: "after" if "vmkfstools.clone" in call.label else None)
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert [line for line in program.lines if "Looking whether the copy was started" in line["message"]]
    assert lab.host.clones_started[target.naa] == 1
    assert lab.copied(target)
    assert lab.leftovers(target) == []


@pytest.mark.wrappers("0.3.3")
def test_a_lost_reply_to_clone_leaves_everything_and_says_so(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 1.0
    lab.ledger.reset(lambda call: "after" if "vmkfstools.clone" in call.label else None)
    with lab.program(target) as program:
        assert program.wait() == 8, program.text()
    assert lab.host.clones_started[target.naa] == 1, "and never a second one"
    assert program.message["reason"] == "CopyMayBeRunning"
    assert program.message["left"] == ["detach the device", "restore the mapping", "remove the dead paths"]
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.harm == []
    never_success(program)


def test_a_clone_that_surely_was_not_started_may_be_tried_again(lab: Lab) -> None:
    target = lab.add_target()
    with lab.program(target) as program:
        program.wait_for_phase("discover the device")
        lab.host.hostd_restart(3.0)
        assert program.wait() in {0, 8}, program.text()
    assert lab.host.clones_started[target.naa] <= 1
    if program.code == 0:
        assert lab.copied(target)
        assert lab.leftovers(target) == []


@pytest.mark.wrappers("busybox", "dash")
def test_after_sigkill_the_next_run_takes_over_the_copy(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = LONG
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "4"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    assert dead.code == -9
    with lab.program(target) as next_one:
        assert next_one.wait() == 0, next_one.text()
    (task,) = {line["task"] for line in dead.lines if line["message"] == "copy started"}
    assert [line for line in next_one.lines if f"as task {task}: following it" in line["message"]]
    assert next_one.message["reason"] == "Succeeded"
    assert next_one.message["xcopy"].startswith("used: "), "counted from the beginning of the copy"
    assert next_one.status.progress == 100
    assert lab.host.clones_started[target.naa] == 1
    assert lab.copied(target)
    assert [left for left in lab.leftovers(target) if "is held by populate-pod" not in left] == []


@pytest.mark.wrappers("0.3.3")
def test_after_sigkill_the_next_run_waits_for_nobody_and_doubles_nothing(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = ENDLESS
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "4"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    assert dead.code == -9

    with lab.program(target) as early:
        assert early.wait() == 8, early.text()
    assert "vmkfstools" in early.message["text"]
    assert lab.host.clones_started[target.naa] == 1
    assert lab.host.running_copies == [target.naa], "the dead one's copy goes on undisturbed"

    lab.host.copies.running()[0].die()
    lab.host.copy_seconds = 1.0
    with lab.program(target) as late:
        assert late.wait() == 0, late.text()
    assert lab.copied(target)
    # What the dead one could not put back: its task's files with the mapping, and its name in an expired slot.
    dead_ones = ("has task", "mapping ", "is held by populate-pod")
    assert [left for left in lab.leftovers(target) if not any(words in left for words in dead_ones)] == []
