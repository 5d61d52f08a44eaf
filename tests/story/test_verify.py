"""Proof of bytes, from end to end: a copy that is not what its source is never counts, whoever else is content."""

import json
import signal
from typing import Any

import pytest

from tests.lab import world
from tests.lab.kube import path
from tests.lab.lab import TARGET_NAMESPACE, Lab, Target
from tests.lab.program import Program
from tests.lab.waiting import wait_until
from tests.story.comparisons import be_quick, be_slow, script_of

pytestmark = pytest.mark.any_kube
GRACE = 30.0
"""seconds from SIGTERM to the kubelet's SIGKILL"""
LOCKED = "#!/bin/sh\necho \"dd: can't open '$1': Device or resource busy\" >&2\nexit 1\n"


def lease_of(lab: Lab, target: Target) -> dict[str, Any]:
    """Return the Lease of the volume's writer."""
    return dict(lab.kube.admin.get(path("leases", TARGET_NAMESPACE, f"xcopy-volume-{target.uid}")))


def outcome(program: Program) -> str:
    """Return what the last page says of the comparison."""
    assert program.controller
    [line] = [line for line in program.controller.page.splitlines() if "_verification_info{" in line]
    return line.partition('outcome="')[2].partition('"')[0]


def succeeds(lab: Lab, target: Target, verified: str, **how: Any) -> Program:
    with lab.program(target, **how) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, how.get("disk", world.PLAIN_DISK))
    assert lab.leftovers(target) == []
    assert program.message["verified"].startswith(verified), program.message
    assert not {"undoFailures", "left"} & set(program.message)
    return program


def idle(lab: Lab) -> bool:
    """Whether nothing of a comparison runs or lies on the host."""
    script = script_of(lab.host)
    return not script.sandbox.processes() and not script.verifications


@pytest.mark.wrappers("busybox", "dash")
@pytest.mark.parametrize(("samples", "offset"), [("64", 0), ("64", world.DISK_SIZE - 1), ("all", 3_210_987)])
def test_one_wrong_byte_fails_the_run(lab: Lab, samples: str, offset: int) -> None:
    target = lab.add_target()
    lab.host.faults.flip_at = offset
    with lab.program(target, environment={"VERIFY_SAMPLES": samples}) as program:
        assert program.wait() == 7, program.text()
    message = program.message
    assert (message["reason"], message["phase"]) == ("CloneFailed", "compare source and volume")
    assert f"different at byte {offset}," in message["text"]
    assert message["verified"] == f"different at byte {offset}"
    assert message["xcopy"].startswith("used")
    assert (program.status.result, program.status.progress) == ("failure", 99)
    assert outcome(program) == "different"
    assert "populated" not in json.dumps(lease_of(lab, target))
    assert lab.leftovers(target) == []
    assert idle(lab)


@pytest.mark.parametrize("by", ["vib", "ssh"])
def test_what_is_equal_is_said_everywhere(lab: Lab, by: str) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 1.0
    environment = lab.start_ssh() if by == "ssh" else {}
    program = succeeds(lab, target, f"equal: {world.DISK_SIZE} bytes", environment=environment)
    assert outcome(program) == "equal"
    assert [line for line in program.lines if line["message"].startswith("source and volume: equal")]
    assert idle(lab)


def test_every_byte_is_compared_on_request(lab: Lab) -> None:
    arguments = {"verify-samples": "all"}
    succeeds(lab, lab.add_target(), f"equal: all {world.DISK_SIZE} bytes", arguments=arguments)


@pytest.mark.wrappers("0.3.3")
def test_a_wrapper_that_cannot_compare_is_no_failure(lab: Lab) -> None:
    target = lab.add_target()
    program = succeeds(lab, target, "not verified: the host's wrapper (0.3.3) cannot compare")
    assert outcome(program) == "not_verified"


def test_a_source_that_is_locked_is_no_failure(lab: Lab) -> None:
    script_of(lab.host).sandbox.add_program("/bin/dd", LOCKED)
    program = succeeds(lab, lab.add_target(), "not verified: the source cannot be read")
    assert "Device or resource busy" in program.message["verified"]
    assert outcome(program) == "not_verified"


def test_a_snapshot_is_no_failure(lab: Lab) -> None:
    succeeds(
        lab,
        lab.add_target(),
        "not verified: the source is a snapshot",
        vm=world.SNAPSHOT_VM,
        disk=world.NEWEST,
    )


def test_turned_off_it_costs_nothing(lab: Lab) -> None:
    target = lab.add_target()
    succeeds(lab, target, "not verified: comparing is turned off", environment={"VERIFY_SAMPLES": "0"})
    assert not [call for call in lab.host.calls if call.command == "vmkfstools verify"]


@pytest.mark.wrappers("busybox", "dash")
def test_told_to_stop_while_it_compares_it_ends_that_and_puts_all_back(lab: Lab) -> None:
    target = lab.add_target()
    be_slow(lab.host)
    with lab.program(target, environment={"VERIFY_SAMPLES": "all"}) as program:
        wait_until(lambda: lab.host.readers(target.naa), 60)
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert not {"undoFailures", "left"} & set(program.message), program.message
    assert "populated" not in json.dumps(lease_of(lab, target))
    assert lab.leftovers(target) == []
    assert idle(lab)


def test_a_populator_that_is_killed_while_it_compares_leaves_what_the_next_one_can_use(lab: Lab) -> None:
    target = lab.add_target()
    be_slow(lab.host)
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "5"}) as program:
        wait_until(lambda: lab.host.readers(target.naa), 60)
        program.signal(signal.SIGKILL)
        program.wait(GRACE)
    be_quick(lab.host)
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert program.message["verified"].startswith("equal: ")
    assert [left for left in lab.leftovers(target) if "is held by" not in left] == []
