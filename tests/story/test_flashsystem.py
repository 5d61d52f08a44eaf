"""A FlashSystem that copies by itself, where a run dies while it ends its copy: the target is offline by then."""

import os
import signal

import pytest

from tests.lab import world
from tests.lab.arrays import lab_of
from tests.lab.arrays.flashsystem.flashcopy import Status
from tests.lab.arrays.flashsystem.lab import FlashSystemLab
from tests.lab.lab import Lab

pytestmark = pytest.mark.arrays("flashsystem")


@pytest.mark.parametrize("method", ["rdm", "vib"])
def test_a_target_that_a_killed_run_has_left_offline_is_filled_by_the_next(lab: Lab, method: str) -> None:
    array = lab_of(FlashSystemLab, lab.array)
    copies = array.simulator.flashcopies
    device = lab.add_source(world.RDM_DISK)
    target = lab.add_target()
    array.copy_seconds = 20.0
    with lab.program(target, vm=world.RDM_VM, disk=world.RDM_DISK, scrape_interval=0.2) as program:
        while not [item for item in list(copies.all.values()) if item.status == Status.COPYING]:
            assert program.code is None, program.text()
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    (left,) = copies.all.values()
    copies.stop(left)
    assert left.target.unusable

    array.copy_seconds = 0.3
    switch: dict[str, str | None] = {"DISABLE_RDM_METHOD": "true"} if method == "vib" else {}
    with lab.program(
        target, vm=world.RDM_VM, disk=world.RDM_DISK, environment=switch, scrape_interval=0.2
    ) as program:
        assert program.wait() == 0, program.text()
    assert "ending the copy by the array that an earlier run" in program.text()
    assert program.status.clone_method == method
    assert lab.copied(target, world.RDM_DISK)
    assert array.copies == 0
    assert lab.san.lun(device).bytes_written == 0
