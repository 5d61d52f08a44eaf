"""FlashSystem's names: address, handles, UIDs, devices, host objects, LUN ids."""

import pytest

from populator.errors import StorageError
from populator.storage.address import with_port
from populator.storage.array import Volume
from populator.storage.vendors.flashsystem import names
from populator.storage.vendors.flashsystem.client import PORT
from vsphere.model import Initiator, InitiatorKind

UID = "600507607181869980000000000030E8"
FC, FC_2 = (Initiator(InitiatorKind.FC, f"20000025b5aa000{n}") for n in (1, 2))
IQN, IQN_2 = (Initiator(InitiatorKind.ISCSI, f"iqn.1998-01.com.vmware:esx-{n}") for n in (1, 2))


def volume(handle: str, **attributes: str) -> Volume:
    return Volume("pv-1", "block.csi.ibm.com", handle, attributes)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("10.0.0.1", "10.0.0.1:7443"),
        ("https://FS.example.com/", "fs.example.com:7443"),
        ("fs.example.com:8443", "fs.example.com:8443"),
        ("fd00::1", "[fd00::1]:7443"),
        ("[fd00::1]:8443", "[fd00::1]:8443"),
    ],
)
def test_the_port_is_that_of_the_rest_api_unless_another_is_given(given: str, address: str) -> None:
    assert with_port(given, PORT) == address


@pytest.mark.parametrize(
    ("handle", "key"),
    [
        (f"SVC:5;{UID}", "5"),
        (f"SVC:5;{UID.lower()}", "5"),
        (f"SVC:0000020421A0B2C3:5;{UID}", "5"),
        (f"SVC:{UID}", ""),
    ],
)
def test_handles_of_all_generations_of_the_csi_driver(handle: str, key: str) -> None:
    assert names.place(volume(handle, volume_name="pvc-1")) == names.Place(UID, key, "pvc-1")
    assert names.place(volume(handle)).name == ""


@pytest.mark.parametrize(
    "handle",
    [
        "",
        "pvc-9",
        f"5;{UID}",
        f"DS8K:5;{UID}",
        f"A9000:5;{UID}",
        f"SVC:x;{UID}",
        f"SVC:1:2:3;{UID}",
        f"SVC:5;{UID}0",
        "SVC:5;624a9370781869980000000000003000",
        f"SVC:5;{UID[:-1]}*",
        f"SVC:5;{UID}:name=a",
    ],
)
def test_other_handles_are_refused(handle: str) -> None:
    """Also where they could be read as a filter of another meaning."""
    with pytest.raises(StorageError, match="is none of a Storage Virtualize volume") as caught:
        names.place(volume(handle))
    assert "FlashSystem" in caught.value.hint


def test_the_uid_of_a_volume_that_nvme_hosts_see() -> None:
    """IBM's CSI driver has the same example."""
    assert names.nguid(UID) == "80000000000030E80050760071818699"


def test_a_device_is_named_in_lower_case() -> None:
    assert names.device(UID) == "naa.600507607181869980000000000030e8"
    assert names.uid_of(names.device(UID)) == UID


@pytest.mark.parametrize(
    "device", ["naa.600a098038313954492458313032502d", "naa.600507607181869980000000000030", f"naa.{UID}", ""]
)
def test_what_is_no_device_of_such_an_array_has_no_uid(device: str) -> None:
    assert names.uid_of(device) == ""


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("xcopy-hostsystem-host-1234-fc", "host-1234"),
        ("xcopy-hostsystem-host-1234-iscsi", "host-1234"),
        ("xcopy-hostsystem-host-1234", "host-1234"),
        ("xcopy-hostsystem-host-1234-1732700000", "host-1234"),
        ("xcopy-hostsystem-host-1234567890", "host-1234567890"),
        ("xcopy-lab-hosts", None),
        ("xcopy-hostsystem-", None),
        ("esx-1", None),
    ],
)
def test_whose_host_objects_are(name: str, host: str | None) -> None:
    assert names.host_of(name) == host
    assert names.is_of(name, "Host-1234") is (host == "host-1234")


def test_our_own_host_objects() -> None:
    assert names.own_host("host-1234", InitiatorKind.FC) == "xcopy-hostsystem-host-1234-fc"
    assert names.host_of(names.own_host("host-1234", InitiatorKind.ISCSI)) == "host-1234"


def test_ports_as_commands_take_them() -> None:
    assert names.ports([FC, FC_2]) == {"fcwwpn": "20000025B5AA0001:20000025B5AA0002"}
    assert names.ports([IQN, IQN_2]) == {"iscsiname": f"{IQN.name},{IQN_2.name}"}


@pytest.mark.parametrize(
    "name", ["vmhba64", "nqn.2014-08.com.vmware:nvme:esx", "iqn.bad", "iqn.1998-01.a,b", ""]
)
def test_what_is_no_iscsi_name_is_not_taken_for_one(name: str) -> None:
    """The Go driver takes all that is not Fibre Channel for an IQN."""
    with pytest.raises(StorageError, match="No initiator"):
        names.usable([Initiator(InitiatorKind.ISCSI, name)])


def test_kinds_stay_apart_in_their_order() -> None:
    chosen = names.usable([IQN, FC, IQN_2, IQN])
    assert [(some.kind, some.initiators) for some in chosen] == [
        (InitiatorKind.ISCSI, (IQN, IQN_2)),
        (InitiatorKind.FC, (FC,)),
    ]


def test_the_first_lun_id_is_not_the_lowest_and_one_that_small_systems_have() -> None:
    firsts = {names.first_id(f"{UID[:-2]}{n:02X}") for n in range(256)}
    assert firsts <= set(range(1, 512))
    assert len(firsts) > 100


def test_lun_ids_are_taken_in_a_circle_and_the_high_ones_last() -> None:
    free = list(names.free_ids(500, {500, 501, 1}))
    assert free[:3] == [502, 503, 504]
    assert free[free.index(511) + 1] == 2
    assert free[free.index(499) + 1 :] == [0, *range(512, 1024)]
