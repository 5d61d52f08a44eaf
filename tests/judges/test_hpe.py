"""HPE's own clients against our simulator of its arrays, whose state is looked at after each of their calls; and what
our driver did is read back by them, and the other way round.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun
from populator.storage.copies import Backing, CopyingArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc
from tests.lab.arrays.hpe.copying import CopyingSimulator
from tests.lab.arrays.hpe.lab import PASSWORD, USER, HpeLab
from tests.lab.arrays.hpe.server import HpeSimulator
from tests.lab.arrays.hpe.system import PERSONA_VMWARE, Template
from tests.lab.arrays.rack import Rack
from tests.lab.disks import MIB, noise
from tests.lab.pki import Pki
from tests.lab.san import LunFile
from vsphere.model import DiskKind

WWN, WWN_2, IQN = "20000025B5AA0001", "20000025B5AA0002", "iqn.1998-01.com.vmware:esx-1"
FC = fc(WWN.lower())
PORT = {"node": 0, "slot": 2, "cardPort": 1}
OLD, NEW = "hpe", "hpe_flowkit"
FORBIDDEN, NOT_FOUND, CONFLICT, BAD = "HTTPForbidden", "HTTPNotFound", "HTTPConflict", "HTTPBadRequest"


@pytest.fixture
def lab(rack: Rack) -> HpeLab:
    return rack.add(HpeLab)


@pytest.fixture
def sim(lab: HpeLab) -> CopyingSimulator:
    return lab.simulator


def log_in(sim: HpeSimulator, pki: Pki, client: str, password: str = PASSWORD) -> Judge:
    return Judge(client, f"https://{sim.address}", str(pki.ca_file), {"user": USER, "password": password})


@pytest.fixture(params=[OLD, NEW])
def judge(request: pytest.FixtureRequest, sim: HpeSimulator, pki: Pki) -> Iterator[Judge]:
    with log_in(sim, pki, request.param) as client:
        yield client


@pytest.fixture
def old(sim: HpeSimulator, pki: Pki) -> Iterator[Judge]:
    with log_in(sim, pki, OLD) as client:
        yield client


def refused(judge: Judge, kind: str, code: int, function: str, **arguments: Any) -> None:
    """Expect its own error of that class, with the array's code."""
    with pytest.raises(JudgeError) as caught:
        judge(function, **arguments)
    assert caught.value.kind == kind, caught.value
    assert str(code) in caught.value.text, caught.value


def names(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["name"] for row in rows)


def test_log_in_and_log_out(sim: HpeSimulator, judge: Judge) -> None:
    assert len(sim.sessions) == 1
    assert judge("system")["systemVersion"] == sim.version
    assert judge("version")["build"] > 100_000_000
    judge("log_out")
    assert sim.sessions == {}


@pytest.mark.parametrize("client", [OLD, NEW])
def test_a_wrong_password(sim: HpeSimulator, pki: Pki, client: str) -> None:
    with pytest.raises(JudgeError) as caught:
        log_in(sim, pki, client, "wrong").close()
    assert (caught.value.kind, "5" in caught.value.text) == (FORBIDDEN, True)
    assert sim.sessions == {}


def test_the_certificate_is_a_real_one(sim: HpeSimulator, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="SSLCertFailed"):
        log_in(sim, Pki(tmp_path / "other"), OLD).close()
    assert sim.calls == []


def test_an_expired_key_is_renewed(sim: HpeSimulator, old: Judge) -> None:
    sim.sessions.clear()
    assert old("volumes") == []
    assert len(sim.sessions) == 1


def test_a_key_in_use_cannot_be_deleted(sim: HpeSimulator, judge: Judge) -> None:
    sim.busy = 1
    refused(judge, CONFLICT, 34, "log_out")
    judge("log_out")
    assert sim.sessions == {}


def test_no_session_is_left(sim: HpeSimulator, pki: Pki, old: Judge) -> None:
    sim.most_sessions, sim.full = 1, (500, 1)
    with pytest.raises(JudgeError, match="HTTPInternalServerError"):
        log_in(sim, pki, OLD).close()
    old("log_out")
    with log_in(sim, pki, OLD) as other:
        assert other("volumes") == []


def test_volumes(sim: HpeSimulator, judge: Judge) -> None:
    for number in range(300):
        sim.add_volume(f"pvc-{number}", 1)
    sim.add_volume("dat-hidden", 1, vvol=True)
    assert len(names(judge("volumes"))) == 300
    found = judge("volume", name="pvc-7")
    assert (found["wwn"], found["sizeMiB"]) == (sim.volumes["pvc-7"].wwn, 1)
    assert judge("volume", name="dat-hidden")["name"] == "dat-hidden"
    refused(judge, NOT_FOUND, 23, "volume", name="pvc-300")


def test_creating_volumes(sim: HpeSimulator, old: Judge) -> None:
    old("create_volume", name="pvc-1", size=3)
    assert sim.volumes["pvc-1"].size_mib == 3
    refused(old, CONFLICT, 22, "create_volume", name="pvc-1", size=3)
    refused(old, BAD, 57, "create_volume", name="p" * 32, size=3)
    refused(old, BAD, 69, "create_volume", name="p vc", size=3)
    old("delete_volume", name="pvc-1")
    assert sim.volumes == {}


def test_hosts_and_their_paths(sim: HpeSimulator, judge: Judge) -> None:
    judge("create_host", name="esx1", wwns=[WWN, WWN_2])
    judge("create_host", name="esx1-iscsi", iqns=[IQN])
    assert sim.hosts["esx1"].fc == [WWN, WWN_2]
    assert sim.hosts["esx1-iscsi"].iscsi == [IQN]
    assert names(judge("hosts")) == ["esx1", "esx1-iscsi"]
    assert names(judge("hosts_with", wwns=[WWN_2])) == ["esx1"]
    assert names(judge("hosts_with", iqns=[IQN])) == ["esx1-iscsi"]
    assert names(judge("hosts_with", iqns=[IQN], wwns=["20000025B5AA0009", WWN])) == ["esx1", "esx1-iscsi"]
    assert judge("hosts_with", wwns=["20000025B5AA0009"]) == []
    assert [path["wwn"] for path in judge("host", name="esx1")["FCPaths"]] == [WWN, WWN_2]
    refused(judge, NOT_FOUND, 17, "host", name="esx2")
    refused(judge, CONFLICT, 16, "create_host", name="esx1", wwns=["20000025B5AA0009"])
    refused(judge, CONFLICT, 73, "create_host", name="esx2", wwns=[WWN])
    refused(judge, BAD, 39, "create_host", name="esx2", wwns=["2000"])
    judge("delete_host", name="esx1")
    assert list(sim.hosts) == ["esx1-iscsi"]
    refused(judge, NOT_FOUND, 17, "delete_host", name="esx1")


def test_a_host_for_vmware_and_changes_of_its_paths(sim: HpeSimulator, old: Judge) -> None:
    old("create_host", name="esx1", wwns=[WWN])
    assert sim.hosts["esx1"].persona == PERSONA_VMWARE
    refused(old, BAD, 44, "create_host", name="esx2", wwns=[WWN_2], iqns=[IQN])
    old("add_wwn", name="esx1", wwn=WWN_2)
    assert sim.hosts["esx1"].fc == [WWN, WWN_2]
    sim.add_volume("pvc-1", 1)
    sim.export("pvc-1", "esx1")
    refused(old, CONFLICT, 26, "remove_wwn", name="esx1", wwn=WWN)
    refused(old, CONFLICT, 26, "delete_host", name="esx1")


def test_host_sets(sim: HpeSimulator, judge: Judge) -> None:
    sim.add_host("esx1", [WWN])
    sim.add_host("esx5", [WWN_2])
    judge("create_set", name="cluster", hosts=["esx1"])
    judge("join", name="cluster", host="esx5")
    assert sim.sets["cluster"].members == ["esx1", "esx5"]
    refused(judge, CONFLICT, 104, "join", name="cluster", host="esx5")
    refused(judge, CONFLICT, 101, "create_set", name="cluster", hosts=[])
    refused(judge, CONFLICT, 77, "delete_host", name="esx1")
    refused(judge, NOT_FOUND, 17, "create_set", name="another", hosts=["esx9"])
    judge("leave", name="cluster", host="esx1")
    assert sim.sets["cluster"].members == ["esx5"]
    judge("delete_set", name="cluster")
    assert sim.sets == {}
    refused(judge, NOT_FOUND, 102, "delete_set", name="cluster")


def test_finding_the_set_of_a_host(sim: HpeSimulator, old: Judge) -> None:
    sim.add_host("esx1", [WWN])
    assert old("create_set", name="cluster", hosts=["esx1"]) == "cluster"
    assert old("set_of_host", name="esx1") == "cluster"
    assert names(old("host_sets")) == ["cluster"]


def test_vluns(sim: HpeSimulator, judge: Judge, lab: HpeLab) -> None:
    sim.add_host("esx1", [WWN])
    sim.log_in(WWN)
    for name in ("pvc-1", "pvc-2"):
        sim.add_volume(name, 1)
        judge("map", volume=name, host="esx1")
    assert sim.templates == [Template("pvc-1", 0, "esx1"), Template("pvc-2", 1, "esx1")]
    assert set(lab.san.seen_by([FC.name]).values()) == {0, 1}
    assert {(row["volumeName"], row["lun"], row["active"]) for row in judge("vluns")} == {
        (name, lun_id, active) for name, lun_id in (("pvc-1", 0), ("pvc-2", 1)) for active in (False, True)
    }
    assert {row["lun"] for row in judge("vluns_of_volume", name="pvc-2")} == {1}
    assert {row["type"] for row in judge("vluns_of_host", name="esx1")} == {3}
    refused(judge, NOT_FOUND, 23, "map", volume="pvc-3", host="esx1")
    refused(judge, NOT_FOUND, 17, "map", volume="pvc-1", host="esx2")
    judge("unmap", volume="pvc-1", lun=0, host="esx1")
    assert sim.templates == [Template("pvc-2", 1, "esx1")]
    refused(judge, NOT_FOUND, 19, "unmap", volume="pvc-1", lun=0, host="esx1")
    refused(judge, NOT_FOUND, 17, "unmap", volume="pvc-1", lun=0, host="esx2")
    assert len(lab.san.seen_by([FC.name])) == 1


def test_mapping_twice(sim: HpeSimulator, old: Judge) -> None:
    sim.add_host("esx1", [WWN])
    sim.add_volume("pvc-1", 1)
    assert old("map", volume="pvc-1", host="esx1") == "pvc-1,0,esx1"
    assert old("map", volume="pvc-1", host="esx1") == "pvc-1,1,esx1"
    refused(old, CONFLICT, 18, "map", volume="pvc-1", host="esx1", lun=1)
    sim.refuses_twice = 29
    refused(old, FORBIDDEN, 29, "map", volume="pvc-1", host="esx1")
    assert len(sim.templates) == 2


def test_host_sets_and_matched_sets_in_vluns(sim: HpeSimulator, old: Judge) -> None:
    sim.add_host("esx1", [WWN])
    sim.log_in(WWN, "0:2:1")
    sim.add_set("cluster", ["esx1"])
    for name in ("pvc-1", "pvc-2"):
        sim.add_volume(name, 1)
    assert old("map", volume="pvc-1", host="set:cluster") == "pvc-1,0,set:cluster"
    assert old("map", volume="pvc-2", host="esx1", port=PORT) == "pvc-2,1,esx1,0:2:1"
    rows = {(row["volumeName"], row["hostname"], row["type"], row["active"]) for row in old("vluns")}
    assert rows == {
        ("pvc-1", "set:cluster", 5, False),
        ("pvc-1", "esx1", 5, True),
        ("pvc-2", "esx1", 4, False),
        ("pvc-2", "esx1", 4, True),
    }
    refused(old, CONFLICT, 26, "delete_set", name="cluster")
    refused(old, NOT_FOUND, 19, "unmap", volume="pvc-2", lun=1, host="esx1")
    old("unmap", volume="pvc-2", lun=1, host="esx1", port=PORT)
    old("unmap", volume="pvc-1", lun=0, host="set:cluster")
    assert sim.templates == []


def mapped_by_us(lab: HpeLab) -> tuple[Any, Lun]:
    array = connect(lab)
    lun = array.find_lun(lab.add_volume())
    array.map(lun, array.ensure_group(array.plan_group("host-1234", [FC])))
    return array, lun


def test_what_our_driver_made_is_what_they_see(sim: HpeSimulator, lab: HpeLab, judge: Judge) -> None:
    array, lun = mapped_by_us(lab)
    (row,) = judge("vluns_of_volume", name=lun.name)
    assert (row["hostname"], row["type"], row["active"]) == ("xcopy-host-1234-fc", 3, False)
    assert judge("host", name="xcopy-host-1234-fc")["persona"] == PERSONA_VMWARE
    judge("unmap", volume=lun.name, lun=row["lun"], host=row["hostname"])
    array.unmap(lun, "host-1234", [FC], ())
    array.close()
    assert names(judge("hosts")) == []


def test_what_they_made_is_what_our_driver_sees(sim: HpeSimulator, lab: HpeLab, judge: Judge) -> None:
    judge("create_host", name="esx1", wwns=[WWN])
    volume = lab.add_volume()
    judge("map", volume=volume.handle[:31], host="esx1")
    array = connect(lab)
    lun = array.find_lun(volume)
    assert array.plan_group("host-1234", [FC]).group.id == "esx1"
    (found,) = array.mappings_of(lun)
    assert (found.group.id, found.lun_id, found.initiators) == ("esx1", 0, frozenset({FC}))
    array.unmap(lun, "host-1234", [FC], ())
    array.close()
    assert not judge("vluns_of_volume", name=lun.name)
    assert names(judge("hosts")) == ["esx1"]


LONG = 30.0
"""seconds of a copy that is not meant to end by itself"""
BYTES = noise(5, 0, 2 * MIB)
COPY_FAILED, COPY_TARGET = 9, 13


@pytest.fixture
def source(lab: HpeLab, sim: CopyingSimulator) -> LunFile:
    """The volume `source` with noise on it, and beside it an empty one of the same size, `target`."""
    file = lab.san.lun(sim.add_volume("source", 2).naa)
    file.path.write_bytes(BYTES)
    sim.add_volume("target", 2)
    return file


def bytes_of(lab: HpeLab, sim: CopyingSimulator, name: str) -> bytes:
    return lab.san.lun(sim.volumes[name].naa).read(0, 2 * MIB)


def test_a_physical_copy_and_its_end(
    lab: HpeLab, sim: CopyingSimulator, judge: Judge, source: LunFile
) -> None:
    sim.copies.seconds = LONG
    task = judge("copy", source="source", target="target", saveSnapshot=False, priority=1)
    shown = judge("task", task=task)
    assert (shown["type"], shown["status"], shown["priority"]) == (1, 2, 1)
    assert judge("task_named", name="source->target")[0] == task
    record = judge("volume", name="target")
    assert (record["copyType"], record["copyOf"], record["additionalStates"]) == (2, "source", [COPY_TARGET])
    assert record["physParentId"] == judge("volume", name="source")["id"]
    refused(judge, CONFLICT, 925, "copy", source="source", target="target")
    judge("create_host", name="esx1", wwns=[WWN])
    refused(judge, CONFLICT, 97, "map", volume="target", host="esx1")
    judge("stop_copy", target="target")
    assert judge("task", task=task)["status"] == 3
    record = judge("volume", name="target")
    assert (record["copyType"], record["additionalStates"]) == (1, [COPY_FAILED])
    refused(judge, NOT_FOUND, 928, "stop_copy", target="target")
    sim.copies.seconds = 0.0
    task = judge("copy", source="source", target="target")
    assert judge("task", task=task)["status"] == 1
    assert {row["id"] for row in judge("tasks")} >= {task}
    assert judge("volume", name="target")["copyType"] == 1
    assert bytes_of(lab, sim, "target") == BYTES
    assert source.bytes_written == 0


def test_a_task_that_is_cancelled(sim: CopyingSimulator, judge: Judge, source: LunFile) -> None:
    sim.copies.seconds = LONG
    task = judge("copy", source="source", target="target")
    for _ in range(2):
        judge("cancel_task", task=task)
        assert judge("task", task=task)["status"] == 3
    refused(judge, NOT_FOUND, 145, "task", task=9)
    refused(judge, BAD, 39, "task", task="x")


def test_what_is_not_copied(lab: HpeLab, sim: CopyingSimulator, judge: Judge, source: LunFile) -> None:
    sim.add_volume("small", 1)
    judge("create_snapshot", name="frozen", volume="source", read_only=True)
    judge("create_host", name="esx1", wwns=[WWN])
    refused(judge, CONFLICT, 926, "copy", source="source", target="small")
    refused(judge, FORBIDDEN, 921, "copy", source="source", target="source")
    refused(judge, FORBIDDEN, 922, "copy", source="frozen", target="target")
    refused(judge, FORBIDDEN, 920, "copy", source="target", target="frozen")
    refused(judge, NOT_FOUND, 23, "copy", source="source", target="nothing")
    refused(judge, BAD, 46, "copy", source="source", target="target", priority=7)
    judge("map", volume="target", host="esx1")
    refused(judge, FORBIDDEN, 26, "copy", source="source", target="target")
    assert bytes_of(lab, sim, "target") == bytes(2 * MIB)


def test_a_copy_whose_snapshot_is_saved(
    lab: HpeLab, sim: CopyingSimulator, judge: Judge, source: LunFile
) -> None:
    judge("copy", source="source", target="target", saveSnapshot=True)
    assert judge("volume", name="target")["copyType"] == 2
    refused(judge, FORBIDDEN, 920, "copy", source="source", target="target")
    source.write(0, b"changed since")
    task = judge("resync", target="target")
    assert (judge("task", task=task)["type"], judge("task", task=task)["status"]) == (2, 1)
    assert bytes_of(lab, sim, "target").startswith(b"changed since")


def test_a_promotion_overwrites_the_base(sim: CopyingSimulator, judge: Judge, source: LunFile) -> None:
    judge("create_snapshot", name="before", volume="source")
    assert judge("volume", name="before")["copyOf"] == "source"
    source.write(0, b"changed since")
    judge("promote", snapshot="before")
    assert source.read(0, 2 * MIB) == BYTES


def copied_by_us(lab: HpeLab, sim: CopyingSimulator) -> tuple[CopyingArray, Lun, Lun]:
    array = cast("CopyingArray", connect(lab))
    backing = Backing(DiskKind.RDM, sim.volumes["source"].naa)
    return array, array.find_source(backing), array.find_lun(lab.add_volume(2 * MIB))


def test_what_our_driver_copies_is_what_they_see(
    lab: HpeLab, sim: CopyingSimulator, judge: Judge, source: LunFile
) -> None:
    sim.copies.seconds = LONG
    array, origin, target = copied_by_us(lab, sim)
    copy = array.begin_copy(origin, target)
    assert judge("task", task=int(copy.id))["status"] == 2
    assert judge("volume", name=target.name)["copyOf"] == "source"
    judge("stop_copy", target=target.name)
    with pytest.raises(StorageError, match="was cancelled"):
        array.progress(copy)
    assert list(array.copies_onto(target)) == []
    array.close()


def test_what_they_copy_is_what_our_driver_sees_and_ends(
    lab: HpeLab, sim: CopyingSimulator, judge: Judge, source: LunFile
) -> None:
    sim.copies.seconds = LONG
    array, origin, target = copied_by_us(lab, sim)
    task = judge("copy", source="source", target=target.name)
    (copy,) = array.copies_onto(target)
    assert (copy.id, copy.source, copy.target) == (str(task), origin.id, target.id)
    array.end_copy(copy)
    assert judge("task", task=task)["status"] == 3
    array.close()
