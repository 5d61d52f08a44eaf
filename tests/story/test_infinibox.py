"""The main job on an InfiniBox, with what is its own: ESXi hosts in host clusters."""

import pytest

from tests.lab.arrays import lab_of
from tests.lab.arrays.infinibox.lab import InfiniBoxLab
from tests.lab.lab import Lab, Target

pytestmark = pytest.mark.arrays("infinibox")


@pytest.fixture
def array(lab: Lab) -> InfiniBoxLab:
    return lab_of(InfiniBoxLab, lab.array)


@pytest.fixture
def cluster(array: InfiniBoxLab) -> int:
    """All hosts that reach the array by iSCSI, in one cluster."""
    hosts = [host for host in array.simulator.hosts.values() if host.ports[0][0] == "ISCSI"]
    return array.simulator.add_cluster("esx-cluster", *hosts).id


def populate(lab: Lab, array: InfiniBoxLab, target: Target) -> list[str]:
    """Run the program, expect that all went well and is as it was, and return the calls to the array."""
    state = array.state()
    array.calls.clear()
    with lab.program(target) as program:
        code = program.wait()
    assert code == 0, program.text()
    calls = [f"{method} {path}" for method, path in array.calls]
    assert lab.copied(target)
    assert array.state() == state
    return calls


def test_a_host_in_a_cluster_is_given_the_volume_by_itself(
    lab: Lab, array: InfiniBoxLab, cluster: int
) -> None:
    target = lab.add_target()
    calls = populate(lab, array, target)
    changes = [call.partition(" /api/rest/")[::2] for call in calls if not call.startswith("GET")]
    assert [(method, path.partition("/")[0]) for method, path in changes] == [
        ("POST", "hosts"),
        ("DELETE", "hosts"),
    ]
    assert lab.leftovers(target) == []


def test_a_volume_that_the_hosts_cluster_has_is_copied_onto_and_stays_there(
    lab: Lab, array: InfiniBoxLab, cluster: int
) -> None:
    target = lab.add_target()
    array.simulator.map(array.volume(target.volume), cluster=cluster)
    calls = populate(lab, array, target)
    assert not [call for call in calls if not call.startswith("GET")]
