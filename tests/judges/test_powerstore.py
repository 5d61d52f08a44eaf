"""Dell's PyPowerStore and our simulator, and crosswise with our driver: what one maps, the other finds and unmaps."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from populator.storage.array import StorageArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc, iscsi
from tests.lab.arrays.powerstore.lab import PASSWORD, USER, PowerStoreLab
from tests.lab.arrays.rack import Rack
from tests.lab.pki import Pki

IQN, IQN_2 = "iqn.1998-01.com.vmware:esx-1", "iqn.1998-01.com.vmware:esx-2"
WWPN = "20:00:00:25:b5:aa:00:01"
ISCSI = iscsi(IQN)
Call = Callable[..., Any]


@pytest.fixture
def lab(rack: Rack) -> PowerStoreLab:
    return rack.add(PowerStoreLab)


def open_judge(lab: PowerStoreLab, pki: Pki, password: str = PASSWORD) -> Judge:
    options = {"user": USER, "password": password}
    return Judge("powerstore", lab.simulator.address, str(pki.ca_file), options)


@pytest.fixture
def judge(lab: PowerStoreLab, pki: Pki) -> Iterator[Judge]:
    with open_judge(lab, pki) as running:
        yield running


@pytest.fixture
def ask(judge: Judge) -> Call:
    """Call a method of the judge's for hosts and volumes."""
    return lambda method, **arguments: judge("call", method=method, **arguments)


@pytest.fixture
def array(lab: PowerStoreLab) -> StorageArray:
    return connect(lab)


def refused(ask: Call, method: str, **arguments: Any) -> str:
    with pytest.raises(JudgeError) as caught:
        ask(method, **arguments)
    assert caught.value.kind == "PowerStoreException"
    return caught.value.text


def test_it_logs_in_once_and_out(lab: PowerStoreLab, judge: Judge, ask: Call) -> None:
    for _ in range(3):
        assert ask("get_array_version") == "4.1.0.2"
    assert lab.calls.count(("GET", "/api/rest/login_session")) == 1
    assert lab.sessions == 1
    judge("log_out")
    assert lab.sessions == 0


def test_it_is_told_of_a_wrong_password(lab: PowerStoreLab, pki: Pki) -> None:
    with open_judge(lab, pki, "wrong") as judge, pytest.raises(JudgeError, match="401") as caught:
        judge("call", method="get_hosts")
    assert caught.value.kind == "PowerStoreException"
    assert lab.sessions == 0


def test_its_session_expires(lab: PowerStoreLab, ask: Call) -> None:
    """It counts the seconds itself, and does not log in again where the array was quicker."""
    ask("get_hosts")
    lab.expire_sessions()
    assert "401" in refused(ask, "get_hosts")


def test_it_reads_who_and_what_the_array_is(lab: PowerStoreLab, judge: Judge) -> None:
    """Both in the words that our driver reads them by."""
    assert judge("cluster")["global_id"] == lab.simulator.global_id
    (row,) = judge("appliances")
    found = judge("appliance", key=row["id"])
    assert (found["model"], found["software_installed"][0]["release_version"]) == (
        "PowerStore 1200T",
        "4.1.0.2",
    )


def test_it_finds_volumes_by_name_id_and_page(lab: PowerStoreLab, ask: Call) -> None:
    key = lab.key(lab.add_volume(3 << 20))
    for _ in range(249):
        lab.add_volume(1 << 20)
    assert len(ask("get_volumes")) == 100
    assert len({row["id"] for row in ask("get_volumes", all_pages=True)}) == 250
    (row,) = ask("get_volumes", filter_dict={"name": "eq.CSIVOL-pvc-1"})
    assert row == {"id": key, "name": "csivol-pvc-1"}
    details = ask("get_volume_details", volume_id=key)
    assert (details["wwn"], details["size"], details["state"]) == (
        lab.simulator.volumes[key].wwn,
        3 << 20,
        "Ready",
    )
    assert ask("get_volume_by_name", volume_name="csivol-pvc-1")[0]["id"] == key
    assert "404" in refused(ask, "get_volume_details", volume_id="no-such-volume")


def test_it_makes_changes_and_deletes_hosts(lab: PowerStoreLab, ask: Call) -> None:
    port = {"port_name": IQN, "port_type": "iSCSI"}
    key = ask("create_host", name="esx-1", os_type="ESXi", initiators=[port])["id"]
    state = lab.state()
    assert state == ([("esx-1", "", IQN)], [], [])
    assert "already in use" in refused(
        ask, "create_host", name="ESX-1", os_type="ESXi", initiators=[{**port, "port_name": IQN_2}]
    )
    assert "already registered" in refused(ask, "create_host", name="b", os_type="ESXi", initiators=[port])
    assert "400" in refused(
        ask, "create_host", name="b", os_type="VMS", initiators=[{**port, "port_name": IQN_2}]
    )
    assert lab.state() == state
    ask("add_initiators_to_host", host_id=key, add_initiators=[{**port, "port_name": IQN_2}])
    assert lab.state() == ([("esx-1", "", IQN, IQN_2)], [], [])
    ask("remove_initiators_from_host", host_id=key, remove_initiators=[IQN_2])
    assert lab.state() == state
    details = ask("get_host_details", host_id=key)
    assert [port["port_name"] for port in details["host_initiators"]] == [IQN]
    assert [port["port_name"] for port in details["initiators"]] == [IQN]
    assert ask("get_host_by_name", host_name="esx-1")[0]["id"] == key
    ask("delete_host", host_id=key)
    assert lab.state() == ([], [], [])
    assert "404" in refused(ask, "delete_host", host_id=key)


def test_it_attaches_and_detaches(lab: PowerStoreLab, ask: Call) -> None:
    volume = lab.add_volume()
    key, host = lab.key(volume), lab.add_group("esx-1", [ISCSI])
    state = lab.state()
    ask("map_volume_to_host", volume_id=key, host_id=host, logical_unit_number=7)
    assert lab.san.seen_by([IQN]) == {lab.device(volume): 7}
    (row,) = ask("get_host_volume_mapping", volume_id=key)
    assert (row["host_id"], row["host_group_id"], row["logical_unit_number"]) == (host, None, 7)
    assert "already attached" in refused(ask, "map_volume_to_host", volume_id=key, host_id=host)
    other = lab.key(lab.add_volume())
    assert "in use" in refused(
        ask, "map_volume_to_host", volume_id=other, host_id=host, logical_unit_number=7
    )
    assert "422" in refused(ask, "delete_volume", volume_id=key)
    assert "422" in refused(ask, "delete_host", host_id=host)
    ask("unmap_volume_from_host", volume_id=key, host_id=host)
    lab.simulator.remove_volume(other)
    assert lab.state() == state
    assert lab.san.seen_by([IQN]) == {}
    assert "422" in refused(ask, "unmap_volume_from_host", volume_id=key, host_id=host)
    assert "404" in refused(ask, "map_volume_to_host", volume_id="no-such-volume", host_id=host)
    assert "404" in refused(ask, "map_volume_to_host", volume_id=key, host_id="no-such-host")


def test_it_attaches_to_a_group_and_not_to_its_members(lab: PowerStoreLab, ask: Call) -> None:
    key, host = lab.key(lab.add_volume()), lab.add_group("esx-1", [ISCSI])
    group = ask("create_host_group", name="esx", host_ids=[host])["id"]
    assert "422" in refused(ask, "map_volume_to_host", volume_id=key, host_id=host)
    ask("map_volume_to_host_group", volume_id=key, host_group_id=group)
    assert list(lab.san.seen_by([IQN]).values()) == [1]
    (row,) = ask("get_host_volume_mapping", volume_id=key)
    assert (row["host_id"], row["host_group_id"]) == (None, group)
    details = ask("get_host_group_details", host_group_id=group)
    assert [row["id"] for row in details["hosts"]] == [host]
    ask("unmap_volume_from_host_group", volume_id=key, host_group_id=group)
    ask("remove_hosts_from_host_group", host_group_id=group, remove_host_ids=[host])
    ask("delete_host_group", host_group_id=group)
    assert lab.state() == ([("esx-1", "", IQN)], [], [])


@pytest.mark.parametrize("grouped", [False, True])
def test_what_our_driver_maps_it_lists_and_unmaps(
    lab: PowerStoreLab, array: StorageArray, ask: Call, grouped: bool
) -> None:
    volume = lab.add_volume()
    host = lab.add_group("esx-1", [ISCSI])
    group = lab.simulator.add_host_group("esx", [host]) if grouped else None
    state = lab.state()
    lun = array.find_lun(volume)
    mapping = array.map(lun, array.ensure_group(array.plan_group("host-1", [ISCSI])))
    (row,) = ask("get_host_volume_mapping", volume_id=lun.id)
    assert row["logical_unit_number"] == mapping.lun_id
    assert (row["host_id"], row["host_group_id"]) == ((None, group) if grouped else (host, None))
    if grouped:
        ask("unmap_volume_from_host_group", volume_id=lun.id, host_group_id=group)
    else:
        ask("unmap_volume_from_host", volume_id=lun.id, host_id=host)
    assert array.mappings_of(lun) == ()
    array.unmap(lun, "host-1", {ISCSI}, ())
    assert lab.state() == state


def test_what_it_maps_our_driver_finds_and_unmaps(lab: PowerStoreLab, array: StorageArray, ask: Call) -> None:
    volume = lab.add_volume()
    port = {"port_name": WWPN.upper(), "port_type": "FC"}
    host = ask("create_host", name="esx-1", os_type="ESXi", initiators=[port])["id"]
    state = lab.state()
    initiator = fc(WWPN.replace(":", ""))
    group = array.plan_group("host-1", [initiator]).group
    assert (group.id, group.initiators) == (f"host/{host}", (initiator,))
    lun = array.find_lun(volume)
    ask("map_volume_to_host", volume_id=lun.id, host_id=host, logical_unit_number=9)
    (mapping,) = array.mappings_of(lun)
    assert (mapping.group.id, mapping.lun_id, mapping.initiators) == (group.id, 9, frozenset([initiator]))
    array.unmap(lun, "host-1", {initiator}, ())
    assert ask("get_host_volume_mapping", volume_id=lun.id) == []
    assert lab.state() == state


def test_the_host_that_our_driver_makes_is_one_to_it(
    lab: PowerStoreLab, array: StorageArray, ask: Call
) -> None:
    lun = array.find_lun(lab.add_volume())
    group = array.ensure_group(array.plan_group("host-1", [ISCSI]))
    (row,) = ask("get_host_by_name", host_name="xcopy-hostsystem-host-1-iscsi")
    assert f"host/{row['id']}" == group.id
    details = ask("get_host_details", host_id=row["id"])
    assert (details["os_type"], details["host_initiators"][0]["port_name"]) == ("ESXi", IQN)
    array.unmap(lun, "host-1", {ISCSI}, ())
    assert ask("get_hosts") == []
