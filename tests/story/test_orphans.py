"""Copies that outlive their populators count: a host never has more of them than it has slots."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from typing import Any

import pytest

from tests.lab.lab import Lab, Target
from tests.lab.program import Program
from tests.story.test_failures import ENDLESS
from vsphere.model import CopyPhase

FAST = {"HOST_LEASE_DURATION_SECONDS": "4"}


def copies_at_once(lab: Lab) -> int:
    """Return the most copies that ever ran on the host."""
    clones = [operation for operation in lab.host.history if operation.name == "clone"]
    changes = [(one.start, 1) for one in clones] + [(one.end, -1) for one in clones if one.end is not None]
    return max(accumulate(change for _, change in sorted(changes)), default=0)


def started(line: dict[str, Any]) -> bool:
    return bool(line["message"] == "copy started")


def crowded(line: dict[str, Any]) -> bool:
    return "has no room for a copy: 2 copies run" in line["message"]


@contextmanager
def pair(lab: Lab, environment: dict[str, str | None]) -> Iterator[list[tuple[Program, Target]]]:
    """Start two populators at the same time; they are killed at the end of the block."""
    with ExitStack() as stack:
        runs = []
        for _ in range(2):
            target = lab.add_target()
            runs.append((stack.enter_context(lab.program(target, environment=environment)), target))
        yield runs


@pytest.mark.any_kube
@pytest.mark.parametrize("method", ["vib", "ssh"])
@pytest.mark.long
def test_populators_that_are_killed_in_pairs_leave_no_more_copies_than_slots(lab: Lab, method: str) -> None:
    environment: dict[str, str | None] = {**FAST, **(lab.start_ssh() if method == "ssh" else {})}
    lab.host.copy_seconds = ENDLESS
    with pair(lab, environment) as first:
        for program, _ in first:
            program.wait_for(started, 90)
    with pair(lab, environment) as second:
        for program, _ in second:
            program.wait_for(crowded, 90)
            program.wait_for_phase(CopyPhase.WAIT_FOR_ROOM)
    assert len(lab.host.running_copies) == 2

    lab.host.copy_seconds = 1.0
    with pair(lab, environment) as ((stopped, its), (patient, target)):
        for program in (stopped, patient):
            program.wait_for(crowded, 90)
        stopped.signal(signal.SIGTERM)
        assert stopped.wait(30) == 9, stopped.text()
        assert stopped.message["phase"] == CopyPhase.WAIT_FOR_ROOM
        assert [left for left in lab.leftovers(its) if its.naa in left] == []
        lab.host.copies.running()[0].die()
        assert patient.wait() == 0, patient.text()
    assert lab.copied(target)
    assert [left for left in lab.leftovers(target) if target.naa in left] == []
    assert copies_at_once(lab) == 2
    assert lab.host.harm == []


@pytest.mark.any_kube
def test_in_scope_rescan_copies_are_not_counted(lab: Lab) -> None:
    environment: dict[str, str | None] = {**FAST, "HOST_LEASE_SCOPE": "rescan"}
    lab.host.copy_seconds = ENDLESS
    for _ in range(2):
        with pair(lab, environment) as runs:
            for program, _ in runs:
                program.wait_for(started, 90)
    assert copies_at_once(lab) == 4
