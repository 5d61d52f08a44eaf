"""Whether the array moved the bytes: the same verdict in the log, on the page, and in the termination message."""

from collections.abc import Callable

import pytest

from tests.lab.esxi.script import Script
from tests.lab.esxi.stubs import Acceleration
from tests.lab.kube import path
from tests.lab.lab import TARGET_NAMESPACE, Lab, Target
from tests.lab.program import Program

pytestmark = pytest.mark.any_kube


def copy(lab: Lab) -> Program:
    """Copy one disk by a whole run, and return what that said."""
    # Long enough for the host to find out beside the copy why the array would not do it.
    lab.host.copy_seconds = 2.0
    target = lab.add_target()
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    judge(program, target)
    return program


def judge(program: Program, target: Target) -> None:
    """Expect the verdict of the termination message in the log too, once."""
    verdict = f"XCOPY was {program.message['xcopy']}"
    assert [line["message"] for line in program.lines].count(verdict) == 1
    assert program.message["reason"] == "Succeeded"


def acceleration(lab: Lab) -> Acceleration:
    assert isinstance(lab.host.wrapper, Script)
    return lab.host.wrapper.acceleration


def test_used(lab: Lab) -> None:
    program = copy(lab)
    assert program.message["xcopy"].startswith("used: ")
    assert program.message["xcopy"].endswith(" operations by the array")
    assert program.status.xcopy_used == 1


def test_partly_used(lab: Lab) -> None:
    lab.host.faults.xcopy_fails = True
    program = copy(lab)
    assert program.message["xcopy"].startswith("partly used: ")
    assert program.message["xcopy"].endswith(" failed")
    assert program.status.xcopy_used == 1


NOT_USED: dict[str, Callable[[Lab], object]] = {
    "hardware acceleration is off": lambda lab: setattr(acceleration(lab), "enabled", False),
    "no VAAI plugin": lambda lab: setattr(acceleration(lab), "plugin", ""),
    "clone unsupported": lambda lab: setattr(acceleration(lab), "clone_status", "unsupported"),
    "failed operations": lambda lab: setattr(lab.host.faults, "xcopy_fails", True),
}


@pytest.mark.parametrize("reason", NOT_USED)
def test_not_used_and_why(lab: Lab, reason: str) -> None:
    lab.host.xcopy = False
    NOT_USED[reason](lab)
    program = copy(lab)
    assert program.message["xcopy"] == f"not used: the host moved the bytes, because: {reason}"
    assert program.status.xcopy_used == 0
    assert [line["level"] for line in program.lines if line["message"].startswith("XCOPY was")] == ["warning"]


def test_not_used_for_no_reason_that_the_host_knows(lab: Lab) -> None:
    lab.host.xcopy = False
    program = copy(lab)
    assert program.message["xcopy"] == "not used: the host moved the bytes"
    assert program.status.xcopy_used == 0


def test_what_an_earlier_copy_used_is_not_taken_for_this_ones(lab: Lab) -> None:
    target = lab.add_target()
    for lab.host.xcopy, used in ((True, 1), (False, 0)):
        lab.host.copy_seconds = 1.0
        with lab.program(target) as program:
            assert program.wait() == 0, program.text()
        assert program.status.xcopy_used == used, program.text()
        lab.kube.admin.delete(
            path("leases", TARGET_NAMESPACE, f"xcopy-volume-{target.uid}")
        )  # filled once is enough
    assert program.message["xcopy"] == "not used: the host moved the bytes"


def test_unknown_where_the_counters_cannot_be_read(lab: Lab) -> None:
    lab.host.xcopy = None
    program = copy(lab)
    assert program.message["xcopy"] == "unknown: the host cannot tell"
    assert program.status.xcopy_used == 0
