"""The main job on a VSP where the host is in two host groups, on two ports; and after a populator died between the two.

The host of world.FC_VM has one WWPN, registered on both ports, as where a fabric leads to both.
"""

import os
import signal
import threading

import pytest

from tests.lab import world
from tests.lab.arrays import lab_of
from tests.lab.arrays.rest import Reply, Request
from tests.lab.arrays.vantara.lab import PORTS, VantaraLab
from tests.lab.lab import Lab, Target
from tests.lab.waiting import wait_until
from vsphere.model import InitiatorKind

HERE, THERE = PORTS[InitiatorKind.FC], "CL2-A"
pytestmark = pytest.mark.arrays("vantara")


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """The lab, in which hosts are on both ports."""
    sim = lab_of(VantaraLab, lab.array).simulator
    for group in [group for group in sim.groups.values() if group.port == HERE]:
        sim.add_group(THERE, group.name, group.initiators)
    return lab


@pytest.fixture
def array(lab: Lab) -> VantaraLab:
    return lab_of(VantaraLab, lab.array)


def ports(array: VantaraLab, target: Target) -> list[str]:
    """Return the ports by which hosts see the volume."""
    number = int(target.volume.handle.split("--")[3])
    return [group.port for _, group in array.simulator.of(number)]


def populate(lab: Lab, target: Target) -> None:
    with lab.program(target, vm=world.FC_VM, disk=world.FC_DISK) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, world.FC_DISK)
    assert not {"undoFailures", "left"} & set(program.message)
    assert [left for left in lab.leftovers(target) if "is mapped" in left or "has device" in left] == []


def test_a_disk_is_copied_by_both_and_both_are_taken_away(lab: Lab, array: VantaraLab) -> None:
    target, seen = lab.add_target(), list[str]()
    state = array.state()

    def look(_: Request) -> None:
        seen.extend(ports(array, target))

    array.simulator.before("DELETE", "/luns", look)
    populate(lab, target)
    assert (seen, array.state()) == ([HERE, THERE], state)


def test_both_that_a_killed_populator_has_made_are_taken_away_by_the_next(
    lab: Lab, array: VantaraLab
) -> None:
    target = lab.add_target()
    state = array.state()
    lab.hosts[world.OTHER_HOST].rescan_seconds = 3.0
    with lab.program(target, vm=world.FC_VM, disk=world.FC_DISK) as program:
        program.wait_for_phase("discover the device")
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    lab.hosts[world.OTHER_HOST].rescan_seconds = 0.0
    assert ports(array, target) == [HERE, THERE]
    array.expire_sessions()
    populate(lab, target)
    assert array.state() == state


def test_the_one_that_it_made_before_it_died_is_too(lab: Lab, array: VantaraLab) -> None:
    """The Lease names both."""
    target = lab.add_target()
    state = array.state()
    second, dead = threading.Event(), threading.Event()

    def stop_there(request: Request) -> Reply | None:
        if request.body["portId"] == HERE:
            return None
        second.set()
        dead.wait(60)
        return Reply(503)

    array.simulator.before("POST", "/luns", stop_there, times=2)
    with lab.program(target, vm=world.FC_VM, disk=world.FC_DISK) as program:
        assert second.wait(60)
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    dead.set()
    assert ports(array, target) == [HERE]
    array.expire_sessions()
    populate(lab, target)
    assert array.state() == state


def test_a_pair_that_somebody_deletes_is_copied_anew_by_a_host(lab: Lab, array: VantaraLab) -> None:
    lab.add_source(world.RDM_DISK)
    target = lab.add_target()
    array.copy_seconds = 60.0
    with lab.program(target, vm=world.RDM_VM, disk=world.RDM_DISK, scrape_interval=0.2) as program:
        wait_until(lambda: (program.status.progress or 0) >= 2)
        for pair in list(array.simulator.pairs.all):
            array.simulator.pairs.delete(pair)
        assert program.wait() == 0, program.text()
    assert "a host copies anew: The array's copy of LDEV" in program.text()
    assert lab.copied(target, world.RDM_DISK)
    assert program.status.clone_method == "vib"
    assert [left for left in lab.leftovers(target) if "is mapped" in left or "has device" in left] == []
