"""The hosts that might copy a disk, as vCenter has them now, in two calls however many they are."""

from collections.abc import Iterator

import pytest

from populator.clock import Clock
from populator.reach import repeat
from tests.lab import world
from tests.lab.lab import VCENTER_PASSWORD, VCENTER_USER, Lab
from vsphere.errors import VsphereError
from vsphere.model import HostState
from vsphere.vcenter.inventory import find_disk, host_states
from vsphere.vcenter.session import Session

OWN, SECOND, THIRD = NAMES = world.host_names(3)


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with Lab(hosts=3) as lab:
        yield lab


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    running.tidy()
    yield running
    running.tidy()


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    clock = Clock()
    with Session(
        "127.0.0.1", lab.vcenter_port, VCENTER_USER, VCENTER_PASSWORD,
        clock=clock, retry=repeat(clock), ca_pem=lab.pki.ca_pem,
    ) as session:  # fmt: skip
        yield session


def state(lab: Lab, name: str, connection: str = "connected", **more: object) -> HostState:
    facts = {"maintenance": False, "lacks": (), **more}
    return HostState(lab.hosts[name].moid, name, exists=True, connection=connection, **facts)  # type: ignore[arg-type]


def test_all_that_have_the_datastore_in_two_calls(lab: Lab, session: Session) -> None:
    disk = find_disk(session, lab.vcenter.vms[world.PLAIN_VM], world.PLAIN_DISK)
    lab.vcenter.set_host(SECOND, connection_state="notResponding")
    lab.vcenter.set_host(THIRD, in_maintenance_mode=True)
    lab.ledger.reset()
    found = host_states(session, disk)
    assert [call.label for call in lab.ledger.calls] == ["RetrievePropertiesEx"] * 2
    assert set(found) == {
        state(lab, OWN),
        state(lab, SECOND, "notResponding"),
        state(lab, THIRD, maintenance=True),
    }


def test_those_that_are_named_and_what_they_lack(lab: Lab, session: Session) -> None:
    disk = find_disk(session, lab.vcenter.vms[world.CLONE_VM], world.CLONE_DISK)
    named = [lab.hosts[name].moid for name in (SECOND, OWN)]
    found = host_states(session, disk, named)
    assert found == (state(lab, SECOND, lacks=("local",)), state(lab, OWN))


def test_one_that_is_not_there_is_said_to_be_and_the_others_are_read(lab: Lab, session: Session) -> None:
    disk = find_disk(session, lab.vcenter.vms[world.PLAIN_VM], world.PLAIN_DISK)
    gone, own = host_states(session, disk, ["host-9999", lab.hosts[OWN].moid])
    assert (gone.id, gone.exists) == ("host-9999", False)
    assert own == state(lab, OWN)


def test_what_is_withheld_of_one_host_does_not_hide_the_others(lab: Lab, session: Session) -> None:
    disk = find_disk(session, lab.vcenter.vms[world.PLAIN_VM], world.PLAIN_DISK)
    lab.vcenter.withhold((lab.hosts[SECOND].moid, "runtime.connectionState", "System.Read"))
    found = {found.name: found for found in host_states(session, disk)}
    assert found[OWN] == state(lab, OWN)
    assert found[SECOND] == state(lab, SECOND, "unknown")


def test_from_some_datastores_no_host_can_copy(lab: Lab, session: Session) -> None:
    disk = find_disk(session, lab.vcenter.vms[world.NFS_VM], world.NFS_DISK)
    with pytest.raises(VsphereError, match="no array can copy by XCOPY"):
        host_states(session, disk)


def test_whether_the_vm_is_running(lab: Lab, session: Session) -> None:
    assert not find_disk(session, lab.vcenter.vms[world.PLAIN_VM], world.PLAIN_DISK).running
    assert find_disk(session, lab.vcenter.vms[world.FC_VM], world.FC_DISK).running
