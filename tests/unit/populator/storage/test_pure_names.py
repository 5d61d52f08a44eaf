"""What a FlashArray's names mean."""

from collections.abc import Mapping

import pytest

from populator.errors import StorageError
from populator.storage.array import Volume
from populator.storage.vendors.pure import names
from vsphere.model import Initiator, InitiatorKind

PREFIX = "px_f2b24059"
PV = "pvc-994b9124-9213-4e1e-ba5e-7e0554c9efd8"
LAST = f"{PREFIX}-{PV}"
ID = "0f4d9a6e-7c1b-4f0e-9a55-1d2c3b4a5f60"


def volume(
    handle: str = "1093275463785672839",
    driver: str = "pxd.portworx.com",
    annotations: Mapping[str, str] | None = None,
) -> Volume:
    return Volume(PV, driver, handle, {}, annotations or {})


@pytest.mark.parametrize(
    ("given", "query"),
    [
        (volume(), f"name='*{LAST}'"),
        (volume(ID.upper()), f"id='{ID}' or name='*{LAST}'"),
        (volume("old-lun", "pure-csi"), f"name='*{LAST}' or name='old-lun'"),
        (volume("pod::old-lun", "pure-csi"), f"name='*{LAST}' or name='pod::old-lun'"),
        (volume(annotations={"portworx.io/pure-volume-name": "db01"}), f"name='*{LAST}' or name='db01'"),
        (volume(annotations={"pure_vol_name": "group/db01"}), f"name='*{LAST}' or name='group/db01'"),
    ],
)
def test_all_that_a_volume_says_is_one_query(given: Volume, query: str) -> None:
    assert names.wanted(given, PREFIX).query == query


@pytest.mark.parametrize(
    ("given", "query"),
    [
        (volume(ID), f"id='{ID}'"),
        (volume("old-lun", "pure-csi"), "name='old-lun'"),
        (volume(annotations={"pure_vol_name": "db01"}), "name='db01'"),
    ],
)
def test_the_prefix_is_needed_only_where_nothing_else_is_known(given: Volume, query: str) -> None:
    assert names.wanted(given, "").query == query
    with pytest.raises(StorageError, match="PURE_CLUSTER_PREFIX is not set") as caught:
        names.wanted(volume(), "")
    assert "clusterUid" in caught.value.hint


@pytest.mark.parametrize("name", ["db*", "db' or name='*", "db 1", "db%", "", "дб"])
def test_what_cannot_be_a_name_gets_into_no_query(name: str) -> None:
    given = volume(annotations={"pure_vol_name": name})
    if not name:
        assert names.wanted(given, PREFIX).names == ()
        return
    with pytest.raises(StorageError, match="cannot be the name"):
        names.wanted(given, PREFIX)
    with pytest.raises(StorageError, match="cannot be the name"):
        names.wanted(volume(name, "pure-csi"), PREFIX)
    with pytest.raises(StorageError, match="cannot be the name"):
        names.wanted(volume(), name)


@pytest.mark.parametrize(
    "name", [LAST, f"pod::{LAST}", f"realm::pod::{LAST}", f"group/{LAST}", f"pod::group/{LAST}", "db01"]
)
def test_a_volume_is_known_wherever_it_is(name: str) -> None:
    assert names.wanted(volume(annotations={"pure_vol_name": "db01"}), PREFIX).is_named(name)


@pytest.mark.parametrize("name", ["", PV, f"x{LAST}", f"{LAST}-2", f"{LAST}::db", "pod::db01", "px_f2b24059"])
def test_a_name_that_only_looks_alike_is_another(name: str) -> None:
    """The query's asterisk takes what is in front, too."""
    assert not names.wanted(volume(annotations={"pure_vol_name": "db01"}), PREFIX).is_named(name)


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("db01", True),
        (f"px_00000000-{PV}", True),
        ("px_f2b24059-pvc-1", False),
        ("pod::px_00000000-pvc-1", False),
    ],
)
def test_a_volume_of_the_right_id_may_be_named_as_it_will_but_not_as_anothers(
    name: str, *, may: bool
) -> None:
    assert names.wanted(volume(ID), PREFIX).may_be_named(name) is may


def test_device_names() -> None:
    assert names.naa("9714B5CB91634C470002B2C8") == "naa.624a93709714b5cb91634c470002b2c8"
    for odd in ("", "9714B5CB91634C47", "9714B5CB91634C470002B2CZ", "naa.624a93709714b5cb91634c470002b2c8"):
        with pytest.raises(StorageError, match="24 hex digits"):
            names.naa(odd)


def test_volumes_made_in_a_row_ask_for_lun_ids_of_their_own() -> None:
    devices = [names.naa(f"9714B5CB91634C47{number:08X}") for number in range(0x2B2C8, 0x2B2C8 + 1023)]
    assert {names.first_lun_id(device) for device in devices} == set(range(1, 1024))


def test_initiators_that_a_flasharray_can_know() -> None:
    fc = Initiator(InitiatorKind.FC, "21000000c0a80def")
    iqn = Initiator(InitiatorKind.ISCSI, "iqn.1998-01.com.vmware:esx-1")
    odd = [
        Initiator(InitiatorKind.ISCSI, name)
        for name in ("vmhba64", "iqn.bad", "nqn.2014-08.org:1", "iqn.1998-01.a:'")
    ]
    sdc = Initiator(InitiatorKind.SDC, "3f4b2c1d-0000-4000-8000-000000000001")
    assert names.usable([*odd, iqn, sdc, fc]) == [iqn, fc]
    assert names.hosts_with([iqn, fc]) == (
        "iqns='iqn.1998-01.com.vmware:esx-1' or wwns='21:00:00:00:C0:A8:0D:EF' or wwns='21000000C0A80DEF'"
    )
    with pytest.raises(StorageError, match=r"vmhba64, iqn\.bad"):
        names.usable(odd)
    with pytest.raises(StorageError, match="it has none"):
        names.usable([])


@pytest.mark.parametrize(
    ("versions", "first", "second"),
    [
        (["1.19", "2.4"], "1.19", "2.4"),
        (["1.2", "1.19", "1.9", "2.9", "2.26", "2.X", "2.s-1f", "2.DEV"], "1.19", "2.26"),
        (["2.26", "2.9"], "", "2.26"),
        (["1.19"], "1.19", ""),
        (["3.0", "two", "", "2", "2.1.1"], "", ""),
        ([], "", ""),
    ],
)
def test_the_newest_released_version_by_number(versions: list[str], first: str, second: str) -> None:
    assert (names.newest(versions, 1), names.newest(versions, 2)) == (first, second)
