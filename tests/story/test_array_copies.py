"""Disks that the array copies by itself: no host takes part, the source is only read, and all else is a host's work."""

import os
import signal

import pytest

from populator.storage.registry import VENDORS
from tests.lab import arrays, world
from tests.lab.faults import Call
from tests.lab.lab import Lab, Target
from tests.lab.program import Program
from tests.lab.waiting import wait_until
from vsphere.model import DiskKind

VVOL, FROZEN, RDM = (
    (world.VVOL_VM, world.VVOL_DISK),
    (world.VVOL_VM, world.VVOL_FROZEN),
    (world.RDM_VM, world.RDM_DISK),
)
KINDS = {VVOL: DiskKind.VVOL, FROZEN: DiskKind.VVOL, RDM: DiskKind.RDM}
AT_ONCE = {"pureFlashArray"}
"""vendors whose copies are complete when they are begun: there is none to look at or to end"""
COPYING = [name for name, vendor in sorted(VENDORS.items()) if vendor.copies]
TAKING_TIME = [name for name in COPYING if name not in AT_ONCE]
LONG = 60.0
"""seconds of a copy that is not meant to end by itself"""
pytestmark = pytest.mark.arrays(*COPYING)


@pytest.fixture
def lab(lab: Lab) -> Lab:
    arrays.copying(lab.array).copy_seconds = 0.3
    return lab


@pytest.fixture
def source(lab: Lab) -> tuple[str, str]:
    """VM and disk: a vVol where the array copies those, else a raw device mapping."""
    return VVOL if DiskKind.VVOL in VENDORS[lab.array.vendor].copies else RDM


def array_copies(lab: Lab, target: Target, vm: str, disk: str, **environment: str | None) -> Program:
    return lab.program(target, vm=vm, disk=disk, environment=environment, scrape_interval=0.2)


def hosts_left_alone(lab: Lab) -> bool:
    """Return whether no host was asked anything, and no slot was looked at."""
    of_hosts = [call for call in lab.ledger.of("vcenter") if "esxcli" in call.label.lower()]
    slots = [call for call in lab.ledger.of("kubernetes") if "esxi-lock" in call.label]
    return not of_hosts and not slots


@pytest.mark.parametrize("disk", KINDS, ids=("newest vVol", "frozen vVol", "RDM"))
def test_the_array_copies_what_it_can_and_a_host_the_rest(lab: Lab, disk: tuple[str, str]) -> None:
    vendor, kind = VENDORS[lab.array.vendor], KINDS[disk]
    by_array = kind in vendor.copies
    device = lab.add_source(disk[1]) if by_array else ""
    target = lab.add_target()
    state = lab.array.state()
    lab.ledger.reset()
    with array_copies(lab, target, *disk) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, disk[1])
    assert lab.array.state() == state
    assert lab.leftovers(target) == []
    assert lab.array.sessions == 0
    seen = program.status
    assert (seen.result, seen.progress, seen.clone_method) == ("success", 100, kind if by_array else "vib")
    if by_array:
        assert hosts_left_alone(lab)
        assert program.message["xcopy"].startswith("not needed")
        assert lab.san.lun(device).bytes_written == 0
        assert (seen.storage_protocol, seen.xcopy_used, seen.provisioned) == ("n/a", 0, world.DISK_SIZE)
    else:
        assert f"{vendor.product} is not known to copy a" in program.text()


def test_the_vm_may_be_on_no_host_and_its_datastore_out_of_order(lab: Lab, source: tuple[str, str]) -> None:
    lab.add_source(source[1])
    target = lab.add_target()
    lab.vcenter.set_host(lab.host.moid, connection_state="notResponding")
    with array_copies(lab, target, *source) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, source[1])


def test_who_does_not_want_it_has_a_host_copy(lab: Lab, source: tuple[str, str]) -> None:
    device = lab.add_source(source[1])
    target = lab.add_target()
    switch = {DiskKind.VVOL: "DISABLE_VVOL_METHOD", DiskKind.RDM: "DISABLE_RDM_METHOD"}[KINDS[source]]
    with array_copies(lab, target, *source, **{switch: "true"}) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, source[1])
    assert f"{switch} is set" in program.text()
    assert program.status.clone_method == "vib"
    assert lab.host.clones_started[target.naa] == 1
    assert lab.san.lun(device).bytes_written == 0


def test_a_disk_of_another_array_is_copied_by_a_host(lab: Lab, source: tuple[str, str]) -> None:
    target = lab.add_target()  # and no source: this array does not have it
    with array_copies(lab, target, *source) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, source[1])
    assert "a host copies, since the array does not" in program.text()
    assert (program.status.clone_method, program.status.result) == ("vib", "success")
    assert lab.leftovers(target) == []


def test_a_volume_that_a_host_sees_is_not_overwritten_by_the_array(lab: Lab, source: tuple[str, str]) -> None:
    lab.add_source(source[1])
    target = lab.add_target()
    lab.map_to_host(target, "by-hand")
    with array_copies(lab, target, *source) as program:
        assert program.wait() == 0, program.text()
    assert "is mapped to" in program.text()
    assert program.status.clone_method == "vib"
    assert lab.copied(target, source[1])


def test_a_volume_that_is_too_small_is_refused(lab: Lab, source: tuple[str, str]) -> None:
    lab.add_source(source[1])
    target = lab.add_target(world.DISK_SIZE // 2)
    with array_copies(lab, target, *source) as program:
        assert program.wait() == 4, program.text()
    assert lab.san.lun(target.naa).bytes_written == 0
    assert "fewer" in program.message["text"] or "less than disk" in program.message["text"]


def wait_until_it_copies(lab: Lab, program: Program) -> None:
    program.wait_for_phase("clone")
    wait_until(lambda: arrays.copying(lab.array).copies or program.code is not None)
    assert program.code is None, program.text()


@pytest.mark.arrays(*TAKING_TIME)
def test_sigterm_ends_the_arrays_copy(lab: Lab, source: tuple[str, str]) -> None:
    device = lab.add_source(source[1])
    target = lab.add_target()
    arrays.copying(lab.array).copy_seconds = LONG
    with array_copies(lab, target, *source) as program:
        wait_until_it_copies(lab, program)
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait() == 9, program.text()
    assert "was ended before it was complete" in program.text()
    assert lab.leftovers(target) == []
    assert lab.array.sessions == 0
    assert lab.san.lun(device).bytes_written == 0


@pytest.mark.arrays(*TAKING_TIME)
def test_sigterm_while_the_array_does_not_answer_leaves_the_copy_and_says_so(
    lab: Lab, source: tuple[str, str]
) -> None:
    lab.add_source(source[1])
    target = lab.add_target()
    arrays.copying(lab.array).copy_seconds = LONG
    with array_copies(lab, target, *source) as program:
        wait_until_it_copies(lab, program)
        lab.ledger.reset(lambda call: "hang" if call.service == "array" else None)
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait() == 8, program.text()
    assert "may still be copying" in program.message["text"]
    assert arrays.copying(lab.array).copies == 1


@pytest.mark.arrays(*TAKING_TIME)
def test_what_a_killed_run_has_the_array_copy_is_ended_by_the_next(lab: Lab, source: tuple[str, str]) -> None:
    lab.add_source(source[1])
    target = lab.add_target()
    arrays.copying(lab.array).copy_seconds = LONG
    with array_copies(lab, target, *source) as program:
        wait_until_it_copies(lab, program)
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    lab.array.expire_sessions()  # that of the dead one, in its time
    assert arrays.copying(lab.array).copies == 1
    arrays.copying(lab.array).copy_seconds = 0.3
    with array_copies(lab, target, *source, DISABLE_VVOL_METHOD="true", DISABLE_RDM_METHOD="true") as program:
        assert program.wait() == 0, program.text()
    assert "ending the copy by the array that an earlier run" in program.text()
    assert lab.copied(target, source[1])
    assert [left for left in lab.leftovers(target) if " is held by " not in left] == []


@pytest.mark.arrays(*TAKING_TIME)
def test_a_copy_that_fails_on_the_array_is_a_failure_and_nothing_is_left(
    lab: Lab, source: tuple[str, str]
) -> None:
    lab.add_source(source[1])
    target = lab.add_target()
    lab.san.set_fault(target.naa, failing_from=world.DISK_SIZE // 2)
    with array_copies(lab, target, *source) as program:
        assert program.wait() == 4, program.text()
    assert lab.leftovers(target) == []
    assert program.message["hint"]
    assert program.status.result == "failure"


@pytest.mark.arrays(*TAKING_TIME)
def test_an_array_that_is_away_for_a_while_keeps_no_copy_from_its_end(
    lab: Lab, source: tuple[str, str]
) -> None:
    lab.add_source(source[1])
    target = lab.add_target()
    arrays.copying(lab.array).copy_seconds = 1.0
    away: list[float] = []

    def rule(call: Call) -> str | None:
        """Be away for five seconds, from the first call on after the copy has begun."""
        if call.service != "array" or not (away or arrays.copying(lab.array).copies):
            return None
        away.append(call.at)
        return "before" if call.at - away[0] < 5.0 else None

    with array_copies(lab, target, *source) as program:
        lab.ledger.reset(rule)
        assert program.wait() == 0, program.text()
    assert len(away) > 1
    assert lab.copied(target, source[1])
    assert lab.leftovers(target) == []
