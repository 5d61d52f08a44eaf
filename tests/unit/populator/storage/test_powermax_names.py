"""PowerMax's names, without an array."""

import pytest

from populator.errors import StorageError
from populator.storage.array import Volume
from populator.storage.vendors.powermax import names, records, volumes
from tests.lab.arrays import fc, iscsi

OURS, OTHER = "000120000548", "000120000606"


def volume(handle: str) -> Volume:
    return Volume("pv-1", "csi-powermax.dellemc.com", handle)


@pytest.mark.parametrize(
    ("handle", "name", "device"),
    [
        (f"csi-ABC-pmax-260602731A-{OURS}-011AB", "csi-ABC-pmax-260602731A", "011AB"),
        (f"csi-ABC-pmax-260602731A-ns1-nsx-{OURS}-011AB", "csi-ABC-pmax-260602731A-ns1-nsx", "011AB"),
        (f"csi-ABC-pmax-260602731A-{OURS}-011ab", "csi-ABC-pmax-260602731A", "011AB"),
        (f"csi-A-{OTHER}-0FFFF-{OURS}-00001", f"csi-A-{OTHER}-0FFFF", "00001"),
        (f"csi-ABC-m-{OURS}:{OTHER}-011AB:000CD", "csi-ABC-m", "011AB"),
        (f"csi-ABC-m-{OTHER}:{OURS}-000CD:011ab", "csi-ABC-m", "011AB"),
    ],
)
def test_a_handle_is_read_from_its_end(handle: str, name: str, device: str) -> None:
    place = names.place(volume(handle))
    assert (place.name, volumes.here(place, OURS, "the array")) == (name, device)


@pytest.mark.parametrize(
    ("handle", "said"),
    [
        (f"csi-ABC-nfs-{OURS}-64c7a5d2-0fde-4f2e-9a5c-0123456789ab", "NFS"),
        (f"csi-ABC-v-{OURS}-011A", "does not end"),
        (f"csi-ABC-v-{OURS}-011ABC", "does not end"),
        (f"csi-ABC-v-{OURS}-011AG", "does not end"),
        (f"csi-ABC-v-{OURS[:11]}-011AB", "does not end"),
        (f"csi-ABC-v-{OURS}:{OTHER}-011AB", "does not end"),
        (f"csi-ABC-v-{OURS}-011AB:000CD", "does not end"),
        (f"-{OURS}-011AB", "does not end"),
        (f"csi-ABC-v-{OURS}-011AB\n", "does not end"),
        ("", "does not end"),
    ],
)
def test_what_is_no_handle_of_a_block_volume_is_refused(handle: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught:
        names.place(volume(handle))
    assert caught.value.hint


@pytest.mark.parametrize("handle", [f"csi-v-{OTHER}-011AB", f"csi-v-{OTHER}:{OTHER[:-1]}7-011AB:011AB"])
def test_a_volume_of_another_array_is_refused(handle: str) -> None:
    with pytest.raises(StorageError, match=OTHER) as caught:
        volumes.here(names.place(volume(handle)), OURS, "the array")
    assert names.SYMMETRIX_ID in caught.value.hint


@pytest.mark.parametrize(
    ("offered", "unisphere", "api"),
    [
        (["101", "100", "92"], "V10.1.0.5", "100"),
        (["92", "100", "101"], "T10.1.0.468", "100"),
        (["104", "103", "92"], "V10.4.0.1", "92"),
        (["104", "103"], "V10.4.0.1", ""),
        (["111", "100"], "V11.0.0.0", "100"),
        ([], "V10.0.0.2", "100"),
        ([], "10.0.1.3", "100"),
        ([], "V9.2.3.22", "92"),
        ([], "V9.1.0.1", ""),
        ([], "V9.20.0.1", ""),
        ([], "V11.0.0.0", ""),
        ([], "V1.0.0", ""),
        ([], "unknown", ""),
    ],
)
def test_the_version_of_the_api_is_what_unisphere_offers(
    offered: list[str], unisphere: str, api: str
) -> None:
    assert names.api_version(offered, unisphere) == api


def test_what_we_make_says_for_which_host_and_volume() -> None:
    assert names.own("host-1234", "011AB") == "xcopy-hostsystem-host-1234-011AB"
    assert names.own("Host:1 ä", "011AB") == "xcopy-hostsystem-host-1---011AB"
    assert names.host_of("xcopy-hostsystem-host-1234-011AB", "011AB") == "host-1234"
    assert names.OBJECT.fullmatch(names.own("host-1234567890123456789012345", "011AB"))


@pytest.mark.parametrize(
    "view",
    [
        "xcopy-hostsystem-host-1234-011AC",
        "xcopy-hostsystem--011AB",
        "xcopy-hostsystem-host-1234",
        "xcopy-vms-011AB",
        "",
    ],
)
def test_no_other_view_is_taken_for_ours(view: str) -> None:
    assert names.host_of(view, "011AB") is None
    assert not names.is_ours(view, f"{view}-SG", "011AB")


def test_a_view_of_the_go_populator_is_ours_and_says_no_host() -> None:
    assert names.is_ours("xcopy-0a1b2c3d", "xcopy-0a1b2c3d-SG", "011AB")
    assert not names.is_ours("xcopy-0a1b2c3d", "esx-cluster-SG", "011AB")
    assert names.host_of("xcopy-0a1b2c3d", "011AB") is None
    for other in ("xcopy-0a1b2c3", "xcopy-0A1B2C3D", "xcopy-0a1b2c3d-SG", "xcopy-0a1b2c3de"):
        assert not names.is_ours(other, f"{other}-SG", "011AB")


def test_two_volumes_made_one_after_the_other_get_two_lun_ids_that_hosts_see() -> None:
    ids = [names.first_lun_id(f"{number:05X}") for number in range(0x1000, 0x1000 + 399)]
    assert sorted(ids) == list(range(1, 400))
    assert max(int(str(number), 16) for number in ids) < 1024


@pytest.mark.parametrize(
    ("spelled", "initiator"),
    [
        ("10000090fa1b2c3d", fc("10000090fa1b2c3d")),
        ("FA-1D:4:10000090FA1B2C3D", fc("10000090fa1b2c3d")),
        ("OR-2C:0:10000000c99debc3", fc("10000000c99debc3")),
        ("SE-1E:000:iqn.1998-01.com.vmware:esx-1", iscsi("iqn.1998-01.com.vmware:esx-1")),
        ("iqn.1998-01.com.vmware:esx-1", iscsi("iqn.1998-01.com.vmware:esx-1")),
        ("eui.0123456789abcdef", iscsi("eui.0123456789abcdef")),
    ],
)
def test_an_initiator_is_read_with_or_without_the_port_that_knows_it(spelled: str, initiator: object) -> None:
    assert records.initiator(spelled) == initiator


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_without_a_port_group_nothing_can_be_done(value: str) -> None:
    with pytest.raises(StorageError, match="is missing"):
        names.port_groups({names.PORT_GROUPS: value})


@pytest.mark.parametrize("value", ["pg 1", "pg/1", "pg1;pg2", "p" * 65])
def test_what_cannot_be_a_port_group_is_refused(value: str) -> None:
    with pytest.raises(StorageError, match="no name of a port group"):
        names.port_groups({names.PORT_GROUPS: value})


def test_port_groups_are_listed_by_commas() -> None:
    assert names.port_groups({names.PORT_GROUPS: " esx-fc ,esx_iscsi,esx-fc"}) == ("esx-fc", "esx_iscsi")


@pytest.mark.parametrize("value", ["", " ", "00012000054", "0001200005480", "00012000054x"])
def test_an_id_of_an_array_has_twelve_digits(value: str) -> None:
    with pytest.raises(StorageError, match=names.SYMMETRIX_ID):
        names.array_id({names.SYMMETRIX_ID: value})


def test_only_a_whole_wwn_is_a_device() -> None:
    wwn = "60000970000197900046533030324538"
    assert names.naa(wwn.upper(), "002E8") == f"naa.{wwn}"
    for wrong in ("", wwn[:-1], f"{wwn}0", wwn.replace("0", "g", 1)):
        with pytest.raises(StorageError, match="device name"):
            names.naa(wrong, "002E8")
