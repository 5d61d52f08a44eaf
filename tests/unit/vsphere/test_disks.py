"""The links of a VM's disks, from vSphere's own data objects."""

from typing import Any

import pytest
from pyVmomi import vim

from vsphere.model import SourceDisk
from vsphere.vcenter.disks import VmDisk, disks_of, frozen_capacities

Disk = vim.vm.device.VirtualDisk
Layout = vim.vm.FileLayoutEx
MIB = 1 << 20


def flat(name: str, parent: Any = None, kind: Any = Disk.FlatVer2BackingInfo, **fields: Any) -> Any:
    return kind(fileName=f"[ds] vm/{name}.vmdk", diskMode="persistent", parent=parent, **fields)


def raw(name: str, parent: Any = None) -> Any:
    return Disk.RawDiskMappingVer1BackingInfo(
        fileName=f"[ds] vm/{name}.vmdk",
        parent=parent,
        lunUuid="02000000",
        deviceName="vml.02000000",
        compatibilityMode="virtualMode",
    )


def allocated(links: Any) -> int | None:
    return SourceDisk(links, 0, "vm-1", "host-1", ()).allocated


def disk(backing: Any, capacity: int = 8 * MIB) -> Any:
    return Disk(
        key=2000,
        backing=backing,
        capacityInKB=capacity // 1024,
        capacityInBytes=capacity,
        deviceInfo=vim.Description(label="Hard disk 1", summary=""),
    )


def behind(found: VmDisk) -> list[tuple[str, str]]:
    return [(link.kind, link.backing) for link in found.links]


def layout(*units: dict[str, int], key: int = 2000) -> Any:
    """Return a layoutEx with a disk of these units: sizes of files by name."""
    files: list[Any] = []
    chain: list[Any] = []
    for unit in units:
        keys = []
        for name, size in unit.items():
            keys.append(len(files))
            kind = "diskExtent" if "-" in name.removeprefix("d-0") else "diskDescriptor"
            files.append(
                Layout.FileInfo(
                    key=keys[-1], name=f"[ds] vm/{name}.vmdk", type=kind, size=size, uniqueSize=size
                )
            )
        chain.append(Layout.DiskUnit(fileKey=keys))
    return Layout(file=files, disk=[Layout.DiskLayout(key=key, chain=chain)])


BASE, FIRST, SECOND = (
    {"d": 512, "d-flat": 5 * MIB},
    {"d-01": 512, "d-01-sesparse": 3 * MIB},
    {"d-02": 512, "d-02-sesparse": MIB},
)


@pytest.mark.parametrize("units", [(BASE, FIRST, SECOND), (SECOND, BASE, FIRST)])
def test_a_link_takes_what_it_and_its_parents_take(units: tuple[dict[str, int], ...]) -> None:
    [found] = disks_of([disk(flat("d-02", flat("d-01", flat("d"))))], layout(*units))
    taken = {path: allocated(found.at(f"[ds] vm/{path}.vmdk")) for path in ("d-02", "d-01", "d")}
    assert taken == {"d-02": 9 * MIB, "d-01": 8 * MIB, "d": 5 * MIB}, "extents, not descriptors"
    assert found.at("[ds] vm/other.vmdk") == ()


@pytest.mark.parametrize("kind", [Disk.SeSparseBackingInfo, Disk.SparseVer2BackingInfo])
def test_deltas_may_have_a_backing_of_their_own(kind: Any) -> None:
    fields = {"split": False, "writeThrough": False} if kind is Disk.SparseVer2BackingInfo else {}
    [found] = disks_of([disk(flat("d-02", flat("d-01", None, kind, **fields), kind, **fields))], None)
    assert [(link.path, link.kind) for link in found.links] == [
        ("[ds] vm/d-02.vmdk", "vmdk"),
        ("[ds] vm/d-01.vmdk", "vmdk"),
    ]


def test_what_vsphere_does_not_report_of_one_link_is_not_guessed() -> None:
    backing = disk(flat("d-01", flat("d")))
    [found] = disks_of([backing], layout(FIRST))
    assert [link.extents for link in found.links] == [3 * MIB, None]
    assert allocated(found.links) is None
    for nothing in (None, Layout(), layout(FIRST, BASE, key=2001)):
        assert allocated(disks_of([backing], nothing)[0].links) is None


def test_each_link_has_a_kind_and_a_backing_of_its_own() -> None:
    [mapped] = disks_of([disk(raw("d-01", raw("d")))], None)
    assert behind(mapped) == [("vmdk", ""), ("rdm", "vml.02000000")], "above a mapping there are files"
    [vvol] = disks_of(
        [disk(flat("d-01", flat("d", backingObjectId="rfc4122.2"), backingObjectId="rfc4122.3"))], None
    )
    assert behind(vvol) == [("vvol", "rfc4122.3"), ("vvol", "rfc4122.2")]
    [plain] = disks_of([disk(flat("d"))], None)
    assert behind(plain) == [("vmdk", "")]


def test_a_key_and_a_datastore_belong_to_a_link() -> None:
    key = vim.encryption.CryptoKeyId(keyId="1")
    store = vim.Datastore("datastore-7", None)
    [found] = disks_of([disk(flat("d-01", flat("d", keyId=key), datastore=store))], None)
    assert [(link.encrypted, link.datastore) for link in found.links] == [(False, "datastore-7"), (True, "")]


def test_what_is_no_file_is_no_disk() -> None:
    cdrom = vim.vm.device.VirtualCdrom(
        key=3000, backing=vim.vm.device.VirtualCdrom.IsoBackingInfo(fileName="[ds] a.iso")
    )
    controller = vim.vm.device.ParaVirtualSCSIController(key=1000)
    assert disks_of([cdrom, controller], None) == []
    assert frozen_capacities([cdrom, controller, disk(flat("d"), MIB)]) == {"[ds] vm/d.vmdk": MIB}


def test_old_hosts_report_kibibytes_alone() -> None:
    device = disk(flat("d"))
    device.capacityInBytes = None
    assert disks_of([device], None)[0].capacity == 8 * MIB
