"""Which adapters of a host are offered to the array, from vSphere's own data objects."""

from typing import Any

import pytest
from pyVmomi import vim

from vsphere.model import Initiator, InitiatorKind
from vsphere.vcenter.adapters import Storage, adapters_for, describe, initiators_of, parse_adapter

NAA = "naa.600a098038303044"
NO_WWN, WWN = 0, 0x20000025B5AA0001


def iscsi(device: str, status: str = "online", name: str = "") -> Any:
    return vim.host.InternetScsiHba(
        key=f"key-{device}",
        device=device,
        bus=1,
        status=status,
        model="iSCSI Software Adapter",
        iScsiName=name or f"IQN.1998-01.com.vmware:{device}",
    )


def fc(device: str, status: str = "online", wwn: int = WWN) -> Any:
    return vim.host.FibreChannelHba(
        key=f"key-{device}",
        device=device,
        bus=1,
        status=status,
        model="LPe32002 ",
        nodeWorldWideName=wwn,
        portWorldWideName=wwn,
    )


def sata(device: str = "vmhba0") -> Any:
    return vim.host.BlockHba(key=f"key-{device}", device=device, bus=0, status="unknown", model="AHCI")


def storage(*hbas: Any, active: tuple[str, ...] = (), dead: tuple[str, ...] = ()) -> Storage:
    """Return a host's storage with paths to NAA over some of its adapters."""
    paths = [
        vim.host.MultipathInfo.Path(adapter=f"key-{name}", pathState=state, state=state)
        for names, state in ((active, "active"), (dead, "dead"))
        for name in names
    ]
    if not paths:
        return Storage(hbas, [], None)
    unit = vim.host.MultipathInfo.LogicalUnit(key="unit", id="unit", lun="lun", path=paths)
    lun = vim.host.ScsiDisk(key="lun", canonicalName=NAA)
    return Storage(hbas, [lun], vim.host.MultipathInfo(lun=[unit]))


def offered(found: Storage, *devices: str) -> list[str]:
    return [adapter.name for adapter in adapters_for(devices or (NAA,), found)]


@pytest.mark.parametrize("status", ["offline", "unbound", "fault"])
def test_an_adapter_that_is_down_is_not_offered(status: str) -> None:
    assert offered(storage(fc("vmhba1", status), fc("vmhba2"))) == ["vmhba2"]
    assert offered(storage(fc("vmhba1", status), iscsi("vmhba64"))) == ["vmhba64"]


def test_an_adapter_without_world_wide_names_is_not_offered() -> None:
    assert offered(storage(fc("vmhba1", wwn=NO_WWN), fc("vmhba2"), sata())) == ["vmhba2"]
    half = fc("vmhba3")
    half.portWorldWideName = NO_WWN
    assert parse_adapter(half) is None


def test_an_adapter_of_unknown_state_is_offered_last() -> None:
    hbas = (fc("vmhba1", "unknown"), iscsi("vmhba64", "unknown"), iscsi("vmhba65"), fc("vmhba2"))
    assert offered(storage(*hbas)) == ["vmhba2", "vmhba65", "vmhba1", "vmhba64"]


def test_those_that_carry_the_source_come_first_whatever_is_said_of_them() -> None:
    hbas = (fc("vmhba1"), fc("vmhba2", "unknown"), iscsi("vmhba64"))
    assert offered(storage(*hbas, active=("vmhba64", "vmhba2"))) == ["vmhba2", "vmhba64", "vmhba1"]


def test_a_dead_path_carries_nothing() -> None:
    hbas = (iscsi("vmhba64"), fc("vmhba1"))
    assert offered(storage(*hbas, dead=("vmhba64",))) == ["vmhba1", "vmhba64"]
    assert offered(storage(*hbas, active=("vmhba64",)), "naa.1") == ["vmhba1", "vmhba64"]


def test_the_host_s_initiators_are_all_there_are() -> None:
    found = storage(fc("vmhba1", "offline"), fc("vmhba2", wwn=NO_WWN), iscsi("vmhba64", "unbound"), sata())
    assert offered(found) == []
    assert initiators_of(found) == {
        Initiator(InitiatorKind.FC, "20000025b5aa0001"),
        Initiator(InitiatorKind.ISCSI, "iqn.1998-01.com.vmware:vmhba64"),
    }


def test_an_adapter_is_described_for_people() -> None:
    assert describe(fc("vmhba1", "offline")) == "vmhba1 (LPe32002, offline)"
    assert describe(fc("vmhba1", wwn=NO_WWN)) == "vmhba1 (LPe32002, online, no initiator)"
    assert describe(sata()) == "vmhba0 (AHCI, unknown, no initiator)"


def test_powerflexs_client_is_not_taken_for_fibre_channel() -> None:
    """vSphere shows it as such an adapter, online and with world-wide names, which are no array's business."""
    client = fc("vmhba65")
    client.driver = "scini"
    found = storage(client, iscsi("vmhba64"), active=("vmhba65",))
    assert offered(found) == ["vmhba64"]
    assert {initiator.kind for initiator in initiators_of(found)} == {InitiatorKind.ISCSI}
    assert describe(client) == "vmhba65 (LPe32002, online, GUID not known)"
