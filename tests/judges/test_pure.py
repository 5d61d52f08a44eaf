"""Pure's own clients against our FlashArray, and against what our driver does there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from populator.storage.array import Lun, Volume
from populator.storage.copies import Backing, CopyingArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc, iscsi
from tests.lab.arrays.pure.lab import PREFIX, PureLab
from tests.lab.arrays.pure.server import VERSIONS, PureSimulator
from tests.lab.arrays.rest import Reply
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import DiskKind

HOST = "host-1234"
IQN, IQN_2 = iscsi("iqn.1998-01.com.vmware:esx-1"), iscsi("iqn.1998-01.com.vmware:esx-1-b")
FC = fc("20000025b5aa0001")
WWN = "20:00:00:25:B5:AA:00:01"
ALL = frozenset({IQN, IQN_2, FC})
TOKEN = "11111111-aaaa-4bbb-8ccc-222222222222"


@pytest.fixture(scope="module")
def running(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PureLab]:
    with PureLab(pki, San(tmp_path_factory.mktemp("pure"))) as lab:
        yield lab


@pytest.fixture(scope="module")
def logged_in(running: PureLab, pki: Pki) -> Iterator[Judge]:
    with judge_of(running, pki) as judge:
        yield judge


@pytest.fixture
def lab(running: PureLab, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> PureLab:
    """An array with one host, and nothing of the test before."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.ca_file))
    running.reset()
    running.expire_sessions()
    running.simulator.versions, running.simulator.page_size = VERSIONS, 1000
    running.know_host("esx-1", ALL)
    running.calls.clear()
    return running


@pytest.fixture
def array(lab: PureLab) -> PureSimulator:
    return lab.simulator


def judge_of(lab: PureLab, pki: Pki, **options: Any) -> Judge:
    return Judge("pure", lab.simulator.address, str(pki.ca_file), {"token": TOKEN} | options)


@pytest.fixture
def judge(lab: PureLab, logged_in: Judge) -> Judge:
    """The judge, in a session that this array still knows."""
    logged_in("arrays")
    lab.calls.clear()
    return logged_in


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def refused(judge: Judge, function: str, **arguments: Any) -> str:
    with pytest.raises(JudgeError) as caught:
        judge(function, **arguments)
    assert caught.value.kind == "Refused"
    return caught.value.text


def test_log_in_and_out(lab: PureLab, pki: Pki) -> None:
    with judge_of(lab, pki) as own:
        assert own("version") == "2.26"
        assert lab.calls[:2] == [("GET", "/api/api_version"), ("POST", "/api/2.26/login")]
        assert lab.sessions == 1
        own("log_out")
        assert lab.sessions == 0


def test_a_wrong_token_is_refused(lab: PureLab, pki: Pki) -> None:
    with pytest.raises(JudgeError) as caught, judge_of(lab, pki, token="nonsense"):
        pass
    assert caught.value.kind == "PureError"
    assert "401" in caught.value.text
    assert lab.sessions == 0


def test_an_untrusted_certificate_is_refused(lab: PureLab, tmp_path: Path) -> None:
    with pytest.raises(JudgeError), judge_of(lab, Pki(tmp_path / "other")):
        pass
    assert lab.calls == []


@pytest.mark.parametrize("version", ["2.2", "2.26"])
def test_versions(lab: PureLab, pki: Pki, version: str) -> None:
    lab.simulator.versions = ("1.19", "2.0", "2.2", version, "2.X")
    with judge_of(lab, pki) as running:
        assert running("version") == version
        assert names(running("hosts")) == ["esx-1-fc", "esx-1-iscsi"]


def test_an_expired_session_is_renewed_by_a_401(lab: PureLab, judge: Judge) -> None:
    lab.expire_sessions()
    assert names(judge("hosts")) == ["esx-1-fc", "esx-1-iscsi"]
    assert lab.calls.count(("POST", "/api/2.26/login")) == 1


def test_a_busy_array_is_asked_again(lab: PureLab, pki: Pki) -> None:
    with judge_of(lab, pki, retries=2) as running:
        lab.server.before(
            "GET", "/api/2.26/hosts", lambda _: Reply(429, {"message": "too many"}, {"Retry-After": "0"})
        )
        assert len(running("hosts")) == 2


def test_the_array_itself(array: PureSimulator, judge: Judge) -> None:
    (row,) = judge("arrays")
    assert (row["id"], row["version"], row["os"]) == (array.id, array.purity, "Purity//FA")
    assert array.model in {row.get("model") for row in judge("controllers")}


def test_volumes_by_name_id_serial_and_pattern(lab: PureLab, array: PureSimulator, judge: Judge) -> None:
    made = [lab.add_volume(size << 20) for size in (1, 2, 3)]
    first, second, third = map(lab.volume, made)
    assert [
        (row["id"], row["provisioned"], row["serial"]) for row in judge("volumes", names=[second.name])
    ] == [(second.id, 2 << 20, second.serial)]
    assert names(judge("volumes", ids=[third.id])) == [third.name]
    assert names(judge("volumes", filter=f"serial='{first.serial}'")) == [first.name]
    assert names(judge("volumes", filter=f"name='*{PREFIX}-{made[1].name}'")) == [second.name]
    assert names(judge("volumes", filter=f"id='{first.id}' or name='*-{made[2].name}'")) == [
        first.name,
        third.name,
    ]
    assert judge("volumes", filter="serial='000000000000000000000000'") == []
    assert "Volume does not exist. (none)" in refused(judge, "volumes", names=["none"])
    assert "HTTP 400" in refused(judge, "volumes", filter="colour='red'")
    array.destroy_volume(first.id)
    assert [row["destroyed"] for row in judge("volumes", ids=[first.id])] == [True]
    assert names(judge("volumes", destroyed=False)) == [second.name, third.name]
    second.promotion = "demoted"
    assert judge("volumes", names=[second.name])[0]["promotion_status"] == "demoted"
    assert names(judge("volumes", filter="promotion_status='demoted'")) == [second.name]


def test_lists_page_after_page(lab: PureLab, array: PureSimulator, judge: Judge) -> None:
    array.page_size = 3
    expected = [lab.volume(lab.add_volume(512)).name for _ in range(8)]
    lab.calls.clear()
    assert names(judge("volumes")) == expected
    assert lab.calls == [("GET", "/api/2.26/volumes")] * 3
    assert names(judge("volumes", filter="name='*pvc-*'", limit=2)) == expected[:2]
    assert names(judge("volumes", total_item_count=True)) == expected


def test_hosts(array: PureSimulator, judge: Judge) -> None:
    assert names(judge("hosts", filter=f"wwns='{WWN}'")) == ["esx-1-fc"]
    assert names(judge("hosts", filter=f"iqns='{IQN.name}' or wwns='{WWN}'")) == ["esx-1-fc", "esx-1-iscsi"]
    array.hosts["esx-1-fc"].logged_in.add(FC.name)
    fibre, network = judge("hosts", filter="is_local")
    assert (fibre["wwns"], fibre["port_connectivity"]["details"]) == ([WWN], "Redundant")
    assert set(network["iqns"]) == {IQN.name, IQN_2.name}
    assert network["port_connectivity"]["details"] == "None"
    judge("add_host", name="new", iqns=["iqn.1998-01.com.vmware:new"])
    assert array.hosts["new"].iqns == ["iqn.1998-01.com.vmware:new"]
    assert "already exists" in refused(judge, "add_host", name="new", iqns=[])
    assert "already in use" in refused(judge, "add_host", name="twin", iqns=[IQN.name])
    judge("remove_host", name="new")
    assert "new" not in array.hosts
    assert "Host does not exist. (new)" in refused(judge, "hosts", names=["new"])


def test_connections_from_beginning_to_end(lab: PureLab, array: PureSimulator, judge: Judge) -> None:
    for number in range(3):  # plain, in a pod, in a realm
        volume = lab.volume(lab.add_volume())
        (made,) = judge("attach", host="esx-1-iscsi", volume=volume.name)
        assert (made["host"], made["volume"]["id"], made["lun"]) == (
            {"name": "esx-1-iscsi"},
            volume.id,
            number + 1,
        )
        assert lab.san.seen_by([IQN.name])[volume.naa] == number + 1
        assert lab.san.seen_by([FC.name]) == {}
        (row,) = judge("connections", volume_names=[volume.name])
        assert (row["host"]["name"], row["lun"], row["volume"]["name"]) == (
            "esx-1-iscsi",
            number + 1,
            volume.name,
        )
        assert "Connection already exists." in refused(
            judge, "attach", host="esx-1-iscsi", volume=volume.name
        )
    assert len(judge("connections", host_names=["esx-1-iscsi"])) == 3
    judge("detach", host="esx-1-iscsi", volume=volume.name)
    assert judge("connections", volume_names=[volume.name]) == []
    assert volume.naa not in lab.san.seen_by([IQN.name])
    assert "Connection does not exist." in refused(judge, "detach", host="esx-1-iscsi", volume=volume.name)
    assert "Host does not exist. (none)" in refused(judge, "attach", host="none", volume=volume.name)
    assert "Volume does not exist. (none)" in refused(judge, "attach", host="esx-1-iscsi", volume="none")
    (made,) = judge("attach", host="esx-1-iscsi", volume=volume.name, lun=77)
    assert made["lun"] == 77
    other = lab.volume(lab.add_volume())
    assert "already in use" in refused(judge, "attach", host="esx-1-iscsi", volume=other.name, lun=77)
    assert len(array.connections) == 3


def test_connections_by_a_group_and_by_nvme(lab: PureLab, array: PureSimulator, pki: Pki) -> None:
    array.versions = (*array.versions, "2.58")
    array.join("cluster", "esx-1-iscsi")
    array.add_host("node", nqns=["nqn.2014-08.org.nvmexpress:uuid:1"])
    shared, nvme = (lab.volume(lab.add_volume()) for _ in range(2))
    array.connect(shared, group="cluster")
    array.connect(nvme, "node")
    with judge_of(lab, pki) as running:
        (row,) = running("connections", volume_names=[shared.name])
        assert (row["host"]["name"], row["host_group"]["name"], row["lun"]) == ("esx-1-iscsi", "cluster", 254)
        assert "Connection already exists." in refused(
            running, "attach", host="esx-1-iscsi", volume=shared.name
        )
        (row,) = running("connections", volume_names=[nvme.name])
        assert (row.get("lun"), row["nsid"]) == (None, 1)
        assert "Non-NVME connected" in refused(running, "attach", host="esx-1-iscsi", volume=nvme.name)


def test_who_may_only_read(lab: PureLab, array: PureSimulator, pki: Pki) -> None:
    volume = lab.volume(lab.add_volume())
    with judge_of(lab, pki, token=array.users["reader"].token) as running:
        assert names(running("volumes")) == [volume.name]
        assert "HTTP 403" in refused(running, "attach", host="esx-1-iscsi", volume=volume.name)
    assert array.connections == []


def test_a_volume_is_overwritten_with_another_one(lab: PureLab, array: PureSimulator, judge: Judge) -> None:
    source, target = lab.volume(lab.add_volume(1 << 20)), lab.volume(lab.add_volume(2 << 20))
    lab.san.lun(source.naa).path.write_bytes(b"x" * (1 << 20))
    assert "already exists" in refused(judge, "copy", volume=target.name, source=source.name, overwrite=False)
    assert lab.san.lun(target.naa).bytes_written == 0
    (row,) = judge("copy", volume=target.name, source=source.name)
    assert (row["id"], row["serial"], row["provisioned"]) == (target.id, target.serial, 1 << 20)
    (row,) = judge("resize", volume=target.name, size=2 << 20)
    assert row["provisioned"] == 2 << 20
    assert lab.san.lun(target.naa).read(0, 2 << 20) == b"x" * (1 << 20) + bytes(1 << 20)
    assert "Volume does not exist. (none)" in refused(judge, "copy", volume=target.name, source="none")


def test_a_vvol_is_known_by_its_tag(lab: PureLab, array: PureSimulator, judge: Judge) -> None:
    array.tags["rfc4122.1"] = array.add_volume("vvol-vm/Data-1", 1 << 20).id
    array.tags["rfc4122.2"] = array.add_volume("vvol-vm/Data-2", 1 << 20).id
    (row,) = judge(
        "tags",
        namespaces=["vasa-integration.purestorage.com"],
        filter="key='PURE_VVOL_ID' and value='rfc4122.2'",
    )
    assert (row["value"], row["resource"]["name"]) == ("rfc4122.2", "vvol-vm/Data-2")
    assert judge("tags", namespaces=["of-others"]) == []


def test_what_our_driver_has_copied_the_judge_sees(lab: PureLab, judge: Judge) -> None:
    device = lab.add_source(lab.backings.vvol, 1 << 20)
    lab.san.lun(device).path.write_bytes(b"y" * (1 << 20))
    driver = cast("CopyingArray", connect(lab))
    target = driver.find_lun(lab.add_volume(3 << 20))
    driver.begin_copy(driver.find_source(Backing(DiskKind.VVOL, lab.backings.vvol)), target)
    (row,) = judge("volumes", ids=[target.id])
    assert (row["provisioned"], row["name"], row["connection_count"]) == (3 << 20, target.name, 0)
    assert lab.san.lun(target.device).read(0, 1 << 20) == b"y" * (1 << 20)


def lun_of(lab: PureLab, volume: Volume) -> tuple[Any, Lun]:
    driver = connect(lab)
    return driver, driver.find_lun(volume)


@pytest.mark.parametrize("_number", range(3))
def test_what_our_driver_maps_the_judge_lists_and_removes(lab: PureLab, judge: Judge, _number: int) -> None:
    for _ in range(_number + 1):
        volume = lab.add_volume()
    driver, lun = lun_of(lab, volume)
    mapping = driver.map(lun, driver.ensure_group(driver.plan_group(HOST, [FC])))
    (row,) = judge("connections", volume_names=[lun.name])
    assert (row["host"]["name"], row["lun"]) == (mapping.group.name, mapping.lun_id)
    assert (row["volume"]["id"], row["volume"]["name"]) == (lun.id, lun.name)
    judge("detach", host="esx-1-fc", volume=lun.name)
    assert driver.mappings_of(lun) == ()
    driver.unmap(lun, HOST, ALL, [])
    assert judge("connections") == []


def test_what_the_judge_maps_our_driver_lists_and_removes(lab: PureLab, judge: Judge) -> None:
    driver, lun = lun_of(lab, lab.add_volume())
    judge("attach", host="esx-1-iscsi", volume=lun.name, lun=9)
    (mapping,) = driver.mappings_of(lun)
    assert (mapping.group.name, mapping.lun_id, mapping.initiators) == ("esx-1-iscsi", 9, {IQN, IQN_2})
    driver.unmap(lun, HOST, ALL, [mapping])
    assert len(judge("connections")) == 1
    driver.unmap(lun, HOST, ALL, [])
    assert judge("connections") == []


def old_judge(lab: PureLab, pki: Pki, **options: Any) -> Judge:
    return Judge("pure_rest1", lab.simulator.address, str(pki.ca_file), options)


def test_user_and_password_become_the_users_token(lab: PureLab, array: PureSimulator, pki: Pki) -> None:
    with old_judge(lab, pki, username="admin", password="pure-secret") as running:
        assert (running("version"), running("token")) == ("1.19", TOKEN)
        for _ in range(2):
            assert running("array")["id"] == array.id
        lab.expire_sessions()
        assert running("array")["version"] == array.purity
        assert lab.calls.count(("POST", "/api/1.19/auth/session")) == 2
        running("log_out")
        assert lab.sessions == 0
    driver = connect(lab, token="", username="admin", password="pure-secret")
    lab.calls.clear()
    assert driver.info().version == array.purity
    assert lab.calls[:3] == [
        ("GET", "/api/api_version"),
        ("POST", "/api/1.19/auth/apitoken"),
        ("POST", "/api/2.26/login"),
    ]
    driver.close()
    assert lab.sessions == 0


@pytest.mark.parametrize("options", [{"username": "admin", "password": "wrong"}, {"api_token": "nonsense"}])
def test_wrong_credentials_are_refused_by_rest_1(lab: PureLab, pki: Pki, options: dict[str, str]) -> None:
    with pytest.raises(JudgeError) as caught, old_judge(lab, pki, **options):
        pass
    assert caught.value.kind == "PureHTTPError"
    assert "invalid credentials" in caught.value.text


def test_a_token_of_rest_1_lets_us_in_by_rest_2(lab: PureLab, pki: Pki) -> None:
    with old_judge(lab, pki, username="admin", password="pure-secret") as running:
        token = running("token")
    assert replace(lab.access, token=token) == lab.access
    assert connect(lab, token=token).info().version
