"""What vCenter withholds, most often for want of a privilege, is not taken for something that is not there."""

import time
from collections.abc import Callable, Iterator

import pytest

from populator.clock import Clock
from populator.reach import repeat
from tests.lab import world
from tests.lab.lab import VCENTER_PASSWORD, VCENTER_USER, Lab
from vsphere.errors import VsphereError
from vsphere.vcenter.datastore import TASK_SECONDS, Datastore
from vsphere.vcenter.hosts import find_hosts
from vsphere.vcenter.inventory import boot_time, find_disk, find_host
from vsphere.vcenter.placement import Placement, find_placement
from vsphere.vcenter.session import Session


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with Lab(proxied=False) as lab:
        yield lab


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    yield running
    running.vcenter.withhold()
    running.vcenter.set_vm(world.PLAIN_VM, connection_state="connected")


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    clock = Clock()
    with Session(
        "127.0.0.1", lab.vcenter_port, VCENTER_USER, VCENTER_PASSWORD,
        clock=clock, retry=repeat(clock), ca_pem=lab.pki.ca_pem,
    ) as session:  # fmt: skip
        yield session


def vm_id(lab: Lab) -> str:
    return lab.vcenter.vms[world.PLAIN_VM]


def store_id(lab: Lab) -> str:
    return lab.vcenter.datastores["ds one"]


@pytest.mark.parametrize(
    ("of", "path"),
    [
        (vm_id, "config"),
        (vm_id, "config.hardware.device"),
        (vm_id, "runtime.host"),
        (vm_id, "runtime.connectionState"),
        (lambda lab: lab.host.moid, "runtime.connectionState"),
        (lambda lab: lab.host.moid, "runtime.inMaintenanceMode"),
        (lambda lab: lab.host.moid, "config.storageDevice"),
        (lambda lab: lab.host.moid, "config.storageDevice.scsiLun"),
        (lambda lab: lab.host.moid, "config.storageDevice.multipathInfo"),
        (store_id, "info"),
        (store_id, "summary"),
        (store_id, "host"),
    ],
)
def test_a_property_that_is_needed_is_named_with_object_and_privilege(
    lab: Lab, session: Session, of: Callable[[Lab], str], path: str
) -> None:
    lab.vcenter.withhold((of(lab), path, "System.Read"))
    with pytest.raises(VsphereError, match=rf"vCenter does not report {path}") as caught:
        find_host(session, find_disk(session, world.PLAIN_VM, world.PLAIN_DISK))
    assert f"({of(lab)})" in caught.value.text
    assert "lacks the privilege System.Read on it" in caught.value.text
    assert "System.Read" in caught.value.hint


@pytest.mark.parametrize("path", ["name", "datastore", "layoutEx"])
def test_what_is_not_needed_of_a_vm_may_be_withheld(lab: Lab, session: Session, path: str) -> None:
    lab.vcenter.withhold((vm_id(lab), path, "System.View"))
    disk = find_disk(session, vm_id(lab), world.PLAIN_DISK)
    assert disk.path == world.PLAIN_DISK


def test_a_vm_whose_name_is_withheld_may_be_the_one_that_is_meant(lab: Lab, session: Session) -> None:
    lab.vcenter.withhold((vm_id(lab), "name", "System.View"))
    with pytest.raises(VsphereError, match=rf"report name of VM {vm_id(lab)}: .*System.View"):
        find_disk(session, world.PLAIN_VM, world.PLAIN_DISK)
    assert find_disk(session, world.FC_VM, world.FC_DISK).path == world.FC_DISK


def test_with_the_storage_withheld_no_adapter_is_guessed(lab: Lab, session: Session) -> None:
    lab.vcenter.withhold((lab.host.moid, "config.storageDevice.multipathInfo", "Host.Config.Storage"))
    with pytest.raises(VsphereError, match=r"lacks the privilege Host\.Config\.Storage"):
        find_host(session, find_disk(session, world.PLAIN_VM, world.PLAIN_DISK))


@pytest.mark.parametrize(
    ("state", "means"),
    [
        ("orphaned", "its host does not know it any more"),
        ("inaccessible", "cannot read its configuration file"),
        ("disconnected", "no connection to its host"),
        ("invalid", "its configuration cannot be used"),
    ],
)
def test_the_connection_state_of_a_vm_is_put_into_words(
    lab: Lab, session: Session, state: str, means: str
) -> None:
    lab.vcenter.set_vm(world.PLAIN_VM, connection_state=state)  # type: ignore[arg-type]
    with pytest.raises(VsphereError, match=rf"VM plain vm \(vm-\d+\) is {state}: .*{means}") as caught:
        find_disk(session, world.PLAIN_VM, world.PLAIN_DISK)
    assert caught.value.hint


def test_a_boot_time_that_is_withheld_is_no_restart(lab: Lab, session: Session) -> None:
    assert boot_time(session, lab.host.moid)
    lab.vcenter.withhold((lab.host.moid, "runtime", "System.Read"))
    with pytest.raises(VsphereError, match=r"report runtime.bootTime of host esx-1.lab"):
        boot_time(session, lab.host.moid)


def test_a_boot_time_that_vcenter_does_not_know_is_no_restart(lab: Lab, session: Session) -> None:
    lab.vcenter.set_host(lab.host.moid, boot_time_unknown=True)
    try:
        with pytest.raises(VsphereError, match=r"does not report when host esx-1\.lab .* was started"):
            boot_time(session, lab.host.moid)
    finally:
        lab.vcenter.set_host(lab.host.moid, boot_time=lab.host.boot_time)


def test_a_management_address_that_is_withheld(lab: Lab, session: Session) -> None:
    lab.vcenter.withhold((lab.host.moid, "config", "System.Read"))
    with pytest.raises(
        VsphereError, match=r"report config.virtualNicManagerInfo.netConfig of host .*System.Read"
    ):
        find_placement(session, lab.host.moid, lab.host.name)
    found = {host.name: host for host in find_hosts(session)}
    assert (found[world.PLAIN_HOST].address, found[world.OTHER_HOST].address) == ("", "127.0.1.2")
    assert "System.Read" in found[world.PLAIN_HOST].problem


def test_a_datacenter_s_path_is_never_guessed(lab: Lab, session: Session) -> None:
    lab.vcenter.withhold(("group-d1", "name", "System.View"), ("group-d1", "parent", "System.View"))
    assert find_placement(session, lab.host.moid, lab.host.name) == Placement(
        "127.0.1.1", "datacenter-1", "DC0"
    )
    lab.vcenter.withhold(("datacenter-1", "name", "System.View"))
    with pytest.raises(VsphereError, match=r"report name of datacenter datacenter-1: .*System.View"):
        find_placement(session, lab.host.moid, lab.host.name)
    with pytest.raises(VsphereError, match=r"report name of datacenter datacenter-1: .*System.View"):
        find_hosts(session, "DC0")


def test_a_task_whose_state_is_withheld_is_not_waited_for(lab: Lab, session: Session) -> None:
    place = find_placement(session, lab.host.moid, lab.host.name)
    store = Datastore(session, "ds one", place.datacenter, place.datacenter_path, Clock())
    lab.vcenter.withhold(("*", "info", "System.View"))
    began = time.monotonic()
    store.replace("a file", b"content", "pod-1_0a1b2c3d")  # reading it tells that it was moved
    assert time.monotonic() - began < TASK_SECONDS / 2
    assert store.read("a file") == b"content"


def test_a_refused_call_names_the_privilege(lab: Lab, session: Session) -> None:
    with pytest.raises(VsphereError, match="NoPermission") as caught:
        session.call(lambda: refuse(session))
    assert caught.value.hint == "Give the vCenter user the privilege Host.Cim.CimInteraction on host-21."


def refuse(session: Session) -> None:
    fault = session.vim.fault.NoPermission(
        msg="denied", object=session.reference("HostSystem", "host-21"), privilegeId="Host.Cim.CimInteraction"
    )
    raise fault
