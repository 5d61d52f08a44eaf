"""The main job on the array of each vendor, by each kind of initiators that it serves; and after a populator died."""

import os
import re
import signal
from typing import Any

import pytest

from populator.storage.registry import VENDORS
from tests.lab import world
from tests.lab.lab import Lab, Target
from vsphere.model import InitiatorKind

DISKS = {
    InitiatorKind.FC: (world.FC_VM, world.FC_DISK),
    InitiatorKind.ISCSI: (world.PLAIN_VM, world.PLAIN_DISK),
    InitiatorKind.SDC: (world.PLAIN_VM, world.PLAIN_DISK),
}
"""VM and disk on a datastore of each kind"""
EXPIRED = re.compile(r"^esxi-lock-.* is held by populate-pod_")
"""the slot of one that died, which nobody has needed since"""
pytestmark = pytest.mark.arrays(*sorted(VENDORS))


def populate(lab: Lab, target: Target, kind: InitiatorKind) -> Any:
    """Run the program, expect that all went well in every respect, and return what Forklift saw last."""
    vm, disk = DISKS[kind]
    with lab.program(target, vm=vm, disk=disk) as program:
        code = program.wait()
    assert code == 0, program.text()
    assert lab.copied(target, disk)
    assert [left for left in lab.leftovers(target) if not EXPIRED.search(left)] == []
    assert lab.array.sessions == 0
    assert not {"undoFailures", "left"} & set(program.message)
    return program.status


def test_a_disk_is_copied_by_each_kind_of_initiators(lab: Lab) -> None:
    for kind in sorted(VENDORS[lab.array.vendor].initiators):
        target = lab.add_target()
        state = lab.array.state()
        seen = populate(lab, target, kind)
        assert lab.array.state() == state
        assert (seen.storage_vendor, seen.result) == (lab.array.vendor, "success")
        assert seen.storage_protocol == ("n/a" if kind == InitiatorKind.SDC else kind)


def test_what_a_killed_populator_has_mapped_is_taken_away_by_the_next(lab: Lab) -> None:
    """Also where the array cannot tell a populator's mapping from an admin's."""
    kind = max(VENDORS[lab.array.vendor].initiators)
    target = lab.add_target()
    state = lab.array.state()
    lab.host.rescan_seconds = 3.0
    with lab.program(target) as program:
        program.wait_for_phase("discover the device")
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    lab.array.expire_sessions()  # that of the dead one, in its time
    assert lab.array.state() != state
    lab.host.rescan_seconds = 0.0
    populate(lab, target, kind)
    assert lab.array.state() == state


def test_sigterm_in_mid_copy_puts_everything_back(lab: Lab) -> None:
    target = lab.add_target()
    state = lab.array.state()
    lab.host.copy_seconds = 20.0
    with lab.program(target) as program:
        program.wait_for_phase("clone")
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait() == 9, program.text()
    assert lab.leftovers(target) == []
    assert lab.array.state() == state
    assert lab.array.sessions == 0
