"""Infinidat's own SDK against our simulator of its array, whose state is looked at after each call; and what our driver
did is read back by it, and the other way round.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from populator.storage.array import Lun, StorageArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc, iscsi
from tests.lab.arrays.infinibox.lab import USERS, InfiniBoxLab
from tests.lab.arrays.infinibox.server import InfiniBoxSimulator
from tests.lab.arrays.infinibox.system import SYSTEM_ID
from tests.lab.arrays.rack import Rack
from tests.lab.pki import Pki

HOST, JUDGE = "host-1234", "infinibox"
FC, FC_2, IQN = fc("20000025b5aa0001"), fc("20000025b5aa0002"), iscsi("iqn.1998-01.com.vmware:esx-1")
ALL = frozenset({FC, FC_2, IQN})
FAILED = "APICommandFailed"


@pytest.fixture
def lab(rack: Rack) -> InfiniBoxLab:
    lab = rack.add(InfiniBoxLab)
    lab.know_host("esx-1", ALL)
    return lab


def log_in(sim: InfiniBoxSimulator, pki: Pki, user: str = "admin", password: str = "") -> Judge:
    options = {"user": user, "password": password or USERS[user].password}
    return Judge(JUDGE, sim.address, str(pki.ca_file), options)


@pytest.fixture
def judge(sim: InfiniBoxSimulator, pki: Pki) -> Iterator[Judge]:
    with log_in(sim, pki) as client:
        yield client


def refused(judge: Judge, code: str, function: str, **arguments: Any) -> None:
    """Expect its own error, with the array's code."""
    with pytest.raises(JudgeError) as caught:
        judge(function, **arguments)
    assert caught.value.kind == FAILED
    assert f"Code: {code}" in caught.value.text


def ours(lab: InfiniBoxLab) -> tuple[StorageArray, Lun]:
    driver = connect(lab)
    return driver, driver.find_lun(lab.add_volume())


# The way in


@pytest.mark.parametrize("auth_sessions", [False, True])
def test_its_sessions(sim: InfiniBoxSimulator, pki: Pki, auth_sessions: bool) -> None:
    """With credentials in each call beside the cookie, and with the cookie alone, by what the array says it has."""
    sim.auth_sessions = auth_sessions
    with log_in(sim, pki) as client:
        assert len(sim.sessions) == 1
        system = {"name": "ibox3951", "version": sim.version, "serial": SYSTEM_ID}
        assert client("system") == system
        assert len(client("hosts")) == 2
        sim.sessions.clear()
        assert len(client("hosts")) == 2
        assert len(sim.sessions) == auth_sessions
        client("log_out")
        assert not client("is_logged_in")
        assert not sim.sessions


def test_a_wrong_password(sim: InfiniBoxSimulator, pki: Pki) -> None:
    with pytest.raises(JudgeError) as caught:
        log_in(sim, pki, password="wrong")
    assert caught.value.kind == FAILED
    assert "Status: 401" in caught.value.text
    assert not sim.sessions


def test_an_array_of_an_unknown_authority(sim: InfiniBoxSimulator, tmp_path: Path) -> None:
    with pytest.raises(JudgeError) as caught:
        log_in(sim, Pki(tmp_path / "other"))
    assert caught.value.kind == "APITransportFailure"
    assert sim.server.calls == []


# Lists and filters


def test_a_volume_and_its_serial_number(lab: InfiniBoxLab, judge: Judge) -> None:
    made = lab.volume(lab.add_volume(3 << 20))
    assert judge("volume", name=made.name) == {
        "id": made.id,
        "size": 3 << 20,
        "serial": made.serial,
        "company": 0x742B0F,
        "system": SYSTEM_ID,
        "volume": made.id,
        "mapped": False,
        "type": "MASTER",
        "protected": False,
    }
    assert judge("by_id", kind="volumes", key=made.id) == {"id": made.id, "name": made.name}
    refused(judge, "VOLUME_NOT_FOUND", "by_id", kind="volumes", key=7)
    refused(judge, "HOST_NOT_FOUND", "by_id", kind="hosts", key=7)
    with pytest.raises(JudgeError, match="ObjectNotFound"):
        judge("volume", name="none")


def test_lists_page_by_page(lab: InfiniBoxLab, judge: Judge) -> None:
    made = [lab.volume(lab.add_volume(512)) for _ in range(120)]
    lab.calls.clear()
    assert sorted(judge("volume_names")) == sorted(volume.name for volume in made)
    assert len(lab.calls) == 2
    assert judge("volume_names", page_size=50) == [volume.name for volume in made]
    assert judge("volume_names", name=made[7].name) == [made[7].name]
    assert judge("volumes_of", ids=[made[3].id, made[99].id, 5]) == [made[3].name, made[99].name]
    with pytest.raises(JudgeError, match=r"Code: BAD_REQUEST"):
        judge("volume_names", parent_id=3)


# Hosts and clusters


def test_hosts(lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge) -> None:
    key = judge("add_host", name="w", wwns=["20:00:00:25:B5:AA:00:09"], iqns=["iqn.1998-01.com.vmware:w"])
    ports = ["20000025b5aa0009", "iqn.1998-01.com.vmware:w"]
    assert [port for _, port in sim.hosts[key].ports] == ports
    assert judge("hosts", name="w") == [{"id": key, "name": "w", "ports": ports}]
    assert [judge("host_of", address=port) for port in ports] == [key, key]
    assert judge("host_of", address="20000025b5aa00ff") is None
    refused(judge, "HOST_NAME_CONFLICT", "add_host", name="w", wwns=[], iqns=[])
    refused(judge, "PORT_ALREADY_BELONGS_TO_HOST", "add_host", name="x", wwns=[FC.name], iqns=[])
    judge("remove_host", name="w")
    assert key not in sim.hosts
    (group,) = [plan.group for plan in [connect(lab).plan_group(HOST, [FC])]]
    assert group.id == f"hosts/{judge('host_of', address=FC.name)}"


def test_initiators(lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge) -> None:
    refused(judge, "INITIATOR_NOT_FOUND", "initiator", address=FC.name)
    sim.lists_offline = True
    assert judge("initiator", address=FC_2.name) == {"host": "esx-1-fc", "type": "FC", "targets": []}
    lab.log_in(FC)
    assert judge("initiator", address=FC.name)["targets"] == [["5742b0f000000f6f", 1]]
    lab.log_in(fc("20000025b5aa00ff"))
    assert judge("initiator", address="20000025b5aa00ff")["host"] is None


def test_clusters(lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge) -> None:
    esx = sim.host_named("esx-1-fc")
    judge("add_host", name="esx-2", wwns=["20000025b5aa0009"], iqns=[])
    key = judge("add_cluster", name="vms", members=["esx-1-fc", "esx-2"])
    assert judge("cluster_members", name="vms") == ["esx-1-fc", "esx-2"]
    volume = lab.volume(lab.add_volume())
    row = {"lun": 11, "volume": volume.id, "host": 0, "cluster": key, "clustered": True}
    assert judge("attach", volume=volume.name, cluster="vms") == row
    assert [(item.cluster, item.lun) for item in sim.luns] == [(key, 11)]
    assert judge("luns", volume=volume.name) == [row]
    assert judge("luns", host="esx-1-fc") == [row | {"host": esx.id}]
    assert judge("luns", cluster="vms") == [row]
    refused(judge, "MAPPING_ALREADY_EXISTS", "attach", volume=volume.name, cluster="vms")
    driver = connect(lab)
    lun = driver.find_lun(lab.add_volume())
    private = driver.map(lun, driver.ensure_group(driver.plan_group(HOST, [FC])))
    assert [row["clustered"] for row in judge("luns", host="esx-1-fc")] == [True, False]
    assert judge("lun", host="esx-1-fc", number=private.lun_id)["volume"] == int(lun.id)
    judge("leave_cluster", name="vms", host="esx-1-fc")
    assert list(lab.san.seen_by([FC.name])) == [lun.device]
    judge("detach", volume=volume.name, cluster="vms")
    assert judge("luns", volume=volume.name) == []


# Mappings


def test_mappings_from_beginning_to_end(lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge) -> None:
    esx = sim.host_named("esx-1-fc")
    first, second = (lab.volume(lab.add_volume()) for _ in range(2))
    row = {"lun": 1, "volume": first.id, "host": esx.id, "cluster": 0, "clustered": False}
    assert judge("attach", volume=first.name, host="esx-1-fc") == row
    assert lab.san.seen_by([FC.name]) == {first.naa: 1}
    assert judge("luns", volume=first.name) == judge("luns", host="esx-1-fc") == [row]
    assert judge("volume", name=first.name)["mapped"]
    with pytest.raises(JudgeError, match="is already mapped"):
        judge("attach", volume=first.name, host="esx-1-fc")
    refused(judge, "LUN_CONFLICT", "attach", volume=second.name, host="esx-1-fc", lun=1)
    refused(judge, "VOLUME_NOT_FOUND", "attach_id", volume=7, host="esx-1-fc")
    assert judge("attach", volume=second.name, host="esx-1-fc", lun=77)["lun"] == 77
    assert judge("attach", volume=second.name, host="esx-1-iscsi")["lun"] == 1
    assert judge("detach_twice", volume=second.name) == 2
    judge("detach", volume=first.name, host="esx-1-fc")
    assert sim.luns == []
    with pytest.raises(JudgeError, match="has no logical units"):
        judge("detach", volume=first.name, host="esx-1-fc")


def test_what_is_not_approved(lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge) -> None:
    volume = lab.volume(lab.add_volume())
    refused(judge, "APPROVAL_REQUIRED", "attach_unapproved", volume=volume.name, host="esx-1-fc")
    assert sim.luns == []


def test_who_may_only_read(lab: InfiniBoxLab, sim: InfiniBoxSimulator, pki: Pki) -> None:
    volume = lab.volume(lab.add_volume())
    with log_in(sim, pki, "reader") as client:
        assert client("volume_names") == [volume.name]
        with pytest.raises(JudgeError, match="Status: 403"):
            client("attach", volume=volume.name, host="esx-1-fc")
    assert sim.luns == []


# Crosswise


def test_what_our_driver_maps_the_judge_lists_and_removes(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge
) -> None:
    driver, lun = ours(lab)
    group = driver.ensure_group(driver.plan_group(HOST, [FC, FC_2]))
    mapping = driver.map(lun, group)
    (row,) = judge("luns", volume=lun.name)
    assert (f"hosts/{row['host']}", row["lun"], row["volume"]) == (group.id, mapping.lun_id, int(lun.id))
    refused(judge, "MAPPING_ALREADY_EXISTS", "attach", volume=lun.name, host="esx-1-fc")
    judge("detach", volume=lun.name, host="esx-1-fc")
    assert driver.mappings_of(lun) == ()
    driver.unmap(lun, HOST, ALL, [])
    assert sim.luns == []


def test_what_the_judge_maps_our_driver_lists_and_removes(
    lab: InfiniBoxLab, sim: InfiniBoxSimulator, judge: Judge
) -> None:
    driver, lun = ours(lab)
    judge("attach", volume=lun.name, host="esx-1-iscsi", lun=9)
    (mapping,) = driver.mappings_of(lun)
    assert (mapping.group.name, mapping.lun_id, mapping.initiators) == ("esx-1-iscsi", 9, frozenset({IQN}))
    again = driver.map(lun, driver.ensure_group(driver.plan_group(HOST, [IQN])))
    assert (again.lun_id, again.ours) == (9, False)
    driver.unmap(lun, HOST, ALL, [mapping])
    assert len(judge("luns", volume=lun.name)) == 1
    driver.unmap(lun, HOST, ALL, [])
    assert judge("luns", volume=lun.name) == []
    assert sim.luns == []


def test_what_the_judge_gives_a_cluster_our_driver_uses_and_leaves(lab: InfiniBoxLab, judge: Judge) -> None:
    driver, lun = ours(lab)
    judge("add_cluster", name="vms", members=["esx-1-fc"])
    judge("attach", volume=lun.name, cluster="vms")
    state = lab.state()
    mapping = driver.map(lun, driver.ensure_group(driver.plan_group(HOST, [FC])))
    assert (mapping.group.name, mapping.lun_id, mapping.ours) == ("vms", 11, False)
    driver.unmap(lun, HOST, ALL, [])
    assert lab.state() == state
