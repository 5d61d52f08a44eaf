"""Which hosts may copy a disk: their order, the reasons of those left out, and when one may be left for another."""

import pytest

from populator.errors import HostUnknown, StorageError
from populator.plan.host import decide_hosts, in_order, may_leave
from vsphere.errors import CloneFailed, DeviceAbsent, HostUnfit, VsphereError, WrapperMissing
from vsphere.model import DiskKind, HostState, Link, SourceDisk

LINK = Link("[ds] vm/vm.vmdk", "datastore-1", DiskKind.VMDK, "", encrypted=False, extents=None)
DISK = SourceDisk((LINK,), 1 << 20, "vm-1", "host-1", ("datastore-1",))
RUNNING = SourceDisk((LINK,), 1 << 20, "vm-1", "host-1", ("datastore-1",), running=True)


def state(
    number: int,
    *,
    exists: bool = True,
    connection: str = "connected",
    maintenance: bool = False,
    lacks: tuple[str, ...] = (),
) -> HostState:
    return HostState(f"host-{number}", f"esx-{number}", exists, connection, maintenance, lacks)


def test_the_vms_own_host_comes_first_and_the_others_in_another_order_for_each_volume() -> None:
    states = [state(number) for number in (3, 2, 1, 4)]
    orders = {decide_hosts(states, DISK, (), f"pvc-{n}").hosts for n in range(50)}
    assert orders == {
        ("host-1", "host-2", "host-3", "host-4"),
        ("host-1", "host-3", "host-4", "host-2"),
        ("host-1", "host-4", "host-2", "host-3"),
    }
    assert in_order(["host-2"], "host-1", "pvc") == ("host-2",)
    assert in_order(["host-1"], "host-1", "pvc") == ("host-1",)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (state(2, connection="disconnected"), "vCenter says it is disconnected"),
        (state(2, maintenance=True), "it is in maintenance mode"),
        (state(2, lacks=("ds", "base")), "it does not have datastore 'ds', 'base' mounted"),
        (state(2, exists=False), "vCenter does not have it any more"),
    ],
)
def test_what_keeps_a_host_from_copying(other: HostState, reason: str) -> None:
    choice = decide_hosts([state(1), other], DISK, (), "pvc")
    assert choice.hosts == ("host-1",)
    assert choice.left_out == (f"esx-2 (host-2): {reason}",)
    with pytest.raises(VsphereError) as nobody:
        decide_hosts([other], DISK, (), "pvc")
    assert nobody.value.text == f"No host may copy '[ds] vm/vm.vmdk': esx-2 (host-2): {reason}."


def test_the_disk_of_a_running_vm_is_left_to_its_own_host() -> None:
    choice = decide_hosts([state(1), state(2)], RUNNING, (), "pvc")
    assert choice.hosts == ("host-1",)
    assert choice.left_out == ("esx-2 (host-2): the VM is running, and its own host has its disks open",)
    with pytest.raises(VsphereError, match="the VM is running"):
        decide_hosts([state(2)], RUNNING, ["host-2"], "pvc")


def test_a_host_that_was_named_has_to_be_there() -> None:
    with pytest.raises(VsphereError, match="There is no ESXi host host-2 in vCenter"):
        decide_hosts([state(1), state(2, exists=False)], DISK, ["host-1", "host-2"], "pvc")


def test_where_vcenter_shows_no_host_at_all() -> None:
    with pytest.raises(VsphereError, match="vCenter shows none that has its datastore mounted"):
        decide_hosts([], DISK, (), "pvc")


def test_a_host_is_left_over_what_it_alone_cannot_do() -> None:
    unfit, unknown, missing, absent = HostUnfit(""), HostUnknown(""), WrapperMissing(""), DeviceAbsent("")
    for error in (unfit, unknown, missing, absent):
        assert may_leave(error, [])
        assert may_leave(error, [unfit, unknown, missing])
    for other in (CloneFailed(""), VsphereError(""), StorageError("")):
        assert not may_leave(other, [])


def test_hosts_are_shaken_for_nothing_once() -> None:
    assert not may_leave(DeviceAbsent(""), [HostUnfit(""), DeviceAbsent("")])
    assert may_leave(HostUnfit(""), [DeviceAbsent("")])
