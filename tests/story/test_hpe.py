"""A whole run with an HPE array: by both protocols, and with what others have made and left there."""

import pytest

from tests.lab import world
from tests.lab.arrays import lab_of
from tests.lab.arrays.hpe.lab import HpeLab
from tests.lab.arrays.hpe.server import HpeSimulator
from tests.lab.lab import Lab, Target

pytestmark = pytest.mark.arrays("primera3par")


@pytest.fixture
def sim(lab: Lab) -> HpeSimulator:
    return lab_of(HpeLab, lab.array).simulator


def populate(lab: Lab, target: Target, disk: str = world.PLAIN_DISK, vm: str = world.PLAIN_VM) -> None:
    """Run the program, and expect the bytes on the LUN, and no session."""
    with lab.program(target, disk=disk, vm=vm) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, disk)
    assert lab.array.sessions == 0


@pytest.mark.parametrize(
    ("disk", "vm"), [(world.PLAIN_DISK, world.PLAIN_VM), (world.FC_DISK, world.FC_VM)], ids=["iscsi", "fc"]
)
def test_by_the_host_objects_of_the_administrator(lab: Lab, sim: HpeSimulator, disk: str, vm: str) -> None:
    target = lab.add_target()
    state = lab.array.state()
    sim.calls.clear()
    populate(lab, target, disk, vm)
    assert lab.array.state() == state
    assert lab.leftovers(target) == []
    assert ("POST", "/api/v1/hosts") not in sim.calls


def test_by_a_host_object_of_our_own_where_there_is_none(lab: Lab, sim: HpeSimulator) -> None:
    sim.hosts.clear()
    target = lab.add_target()
    sim.calls.clear()
    populate(lab, target)
    assert lab.leftovers(target) == []
    assert ("POST", "/api/v1/hosts") in sim.calls


def test_a_host_set_of_the_go_populator_is_used_and_tidied_up(lab: Lab, sim: HpeSimulator) -> None:
    target = lab.add_target()
    state = lab.array.state()
    lab.map_to_host(target, f"xcopy-hostsystem-{lab.host.moid}")
    assert lab.array.state() != state
    populate(lab, target)
    assert lab.array.state() == state
    assert lab.leftovers(target) == []


def test_what_the_csi_driver_gave_to_a_node_stays(lab: Lab, sim: HpeSimulator) -> None:
    target = lab.add_target()
    node = "iqn.1994-05.com.redhat:node-1"
    sim.add_host("iqn-node-1", [node])
    sim.log_in(node, "1:2:1")
    sim.export(target.volume.handle[:31], "iqn-node-1", 0, "1:2:1")
    state = lab.array.state()
    populate(lab, target)
    assert lab.array.state() == state
