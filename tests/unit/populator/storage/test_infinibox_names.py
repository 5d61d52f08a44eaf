"""What an InfiniBox's names mean."""

import pytest

from populator.errors import StorageError
from populator.storage.array import Volume
from populator.storage.vendors.infinibox import names
from vsphere.model import Initiator, InitiatorKind


def volume(handle: str, **attributes: str) -> Volume:
    return Volume("pvc-1", "infinibox-csi-driver", handle, attributes)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (volume("66209$$fc", Name="csi-1"), names.Place(66209, "csi-1")),
        (volume("66209$$ISCSI", ID="66209"), names.Place(66209, "")),
        (volume("csi-1", Name="csi-1"), names.Place(None, "csi-1")),
        (volume("66209", Name="csi-1"), names.Place(None, "csi-1")),
    ],
)
def test_handles(given: Volume, place: names.Place) -> None:
    assert names.place(given) == place


@pytest.mark.parametrize(
    "handle", ["12#34$$nfs_treeq", "12$$nfs", "12$$smb", "٣$$fc", "1e3$$fc", "1$$fc$$fc", "12"]
)
def test_handles_that_are_none(handle: str) -> None:
    with pytest.raises(StorageError):
        names.place(volume(handle))


@pytest.mark.parametrize(
    ("serial", "key"),
    [
        ("742b0f000000f6f00000000000102a1", 66209),
        ("742B0F000000BBD00000000002B3E13", 0x2B3E13),
    ],
)
def test_a_device_is_called_by_its_serial_number_which_ends_with_its_id(serial: str, key: int) -> None:
    assert names.device(serial, "v") == f"naa.6{serial.lower()}"
    assert names.id_in(serial) == key


def test_volumes_in_a_row_get_lun_ids_of_their_own() -> None:
    ids = [names.first_lun_id(key) for key in range(66209, 66209 + len(names.OF_OUR_CHOICE))]
    assert sorted(ids) == list(range(256, 1024))


def test_initiators_that_can_be_used_each_once() -> None:
    fibre = Initiator(InitiatorKind.FC, "20000025b5aa0001")
    given = [
        Initiator(InitiatorKind.ISCSI, name)
        for name in (
            "iqn.1998-01.com.vmware:esx",
            "eui.0123456789abcdef",
            "nqn.2014-08.org",
            "vmhba64",
            "eui.1",
        )
    ]
    sdc = Initiator(InitiatorKind.SDC, "3f4b2c1d-0000-4000-8000-000000000001")
    assert names.usable([sdc, *given, fibre, given[0]]) == [*given[:2], fibre]
