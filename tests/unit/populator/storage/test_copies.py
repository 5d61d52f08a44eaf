"""What a disk is on its array, out of what vSphere calls it."""

import pytest

from populator.storage.copies import Backing, CannotCopy, backing_of, device_of
from vsphere.model import DiskKind, Link, SourceDisk


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("naa.60002ac0000000000000186b00021f6b", "naa.60002ac0000000000000186b00021f6b"),
        ("naa.60002AC0000000000000186B00021F6B", "naa.60002ac0000000000000186b00021f6b"),
        (
            "vml.020001000060002ac0000000000000186b00021f6b565620202020",
            "naa.60002ac0000000000000186b00021f6b",
        ),
        (
            "vml.0200180000600a098038313954492458313032502d4c554e20432d",
            "naa.600a098038313954492458313032502d",
        ),
        ("VML.020001000060002AC0000000000000186B00021F6B", "naa.60002ac0000000000000186b00021f6b"),
    ],
)
def test_the_device_of_a_mapping(name: str, device: str) -> None:
    assert device_of(name) == device


@pytest.mark.parametrize(
    "name",
    [
        "",
        "naa.",
        "naa.5000c500a1b2c3d4",  # a disk of 8 bytes, which no array names a volume by
        "naa.60002ac0000000000000186b00021f6b0",
        "naa.60002ac0000000000000186b00021f6g",
        "vml.01000000004c554e20303030",  # type 1: by its T10 name
        "vml.020001000060002ac0000000000000186b00021f6",  # cut off
        "mpx.vmhba0:C0:T0:L0",
        "t10.ATA_____disk",
        "eui.0025385b71b00001",
    ],
)
def test_what_has_no_naa_is_no_array_s_to_copy(name: str) -> None:
    with pytest.raises(CannotCopy, match="no NAA"):
        device_of(name)


def link(kind: DiskKind, backing: str, path: str = "[ds] vm/vm.vmdk") -> Link:
    return Link(path, "datastore-1", kind, backing, encrypted=False, extents=None)


@pytest.mark.parametrize(
    ("links", "backing"),
    [
        ((link(DiskKind.VVOL, "rfc4122.AB-1"),), Backing(DiskKind.VVOL, "rfc4122.ab-1")),
        (
            (link(DiskKind.VVOL, "rfc4122.second"), link(DiskKind.VVOL, "rfc4122.first")),
            Backing(DiskKind.VVOL, "rfc4122.second"),
        ),
        (
            (link(DiskKind.RDM, "naa.60002AC0000000000000186B00021F6B"),),
            Backing(DiskKind.RDM, "naa.60002ac0000000000000186b00021f6b"),
        ),
    ],
)
def test_the_link_that_is_to_be_copied_decides(links: tuple[Link, ...], backing: Backing) -> None:
    disk = SourceDisk(links, 1 << 20, "vm-1", "host-1", ("datastore-1",))
    assert backing_of(disk) == backing
