"""IBM's own Ansible collection against our simulator of Storage Virtualize, whose state is looked at after each of its
calls; and what our driver did is read back by it, and the other way round. It knows one port only, 7443, so the
simulator has an address of its own; and it is a process for each call, which takes a second or two.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from populator.errors import StorageError
from populator.storage.array import StorageArray
from populator.storage.copies import Backing, Copy, CopyingArray
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc
from tests.lab.arrays.flashsystem.lab import PASSWORD, READER, USER, FlashSystemLab
from tests.lab.arrays.flashsystem.server import FlashSystemSimulator
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply
from tests.lab.pki import Pki
from vsphere.model import DiskKind

PORT = 7443
WWPN, WWPN_2, IQN = "20000025B5AA0001", "20000025B5AA0002", "iqn.1998-01.com.vmware:esx-1"
FC = fc(WWPN.lower())
FAILED, UNREACHABLE = "Failed", "Unreachable"


@pytest.fixture
def lab(rack: Rack) -> FlashSystemLab:
    host = f"127.{100 + secrets.randbelow(100)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    return rack.add(FlashSystemLab, (host, PORT))


def let(sim: FlashSystemSimulator, pki: Pki, **options: str) -> Judge:
    return Judge("flashsystem", sim.address.partition(":")[0], str(pki.ca_file), options)


@pytest.fixture
def judge(sim: FlashSystemSimulator, pki: Pki) -> Iterator[Judge]:
    with let(sim, pki, username=USER, password=PASSWORD) as client:
        yield client


def refused(judge: Judge, code: str, function: str, **arguments: Any) -> None:
    """Expect that its module fails, and says the array's code."""
    with pytest.raises(JudgeError) as caught:
        judge(function, **arguments)
    assert caught.value.kind == FAILED, caught.value
    assert code in caught.value.text, caught.value


def mapped(sim: FlashSystemSimulator) -> list[tuple[str, str, int]]:
    return sorted((item.volume.name, item.host.name, item.scsi_id) for item in sim.maps)


def test_a_token_for_user_and_password(sim: FlashSystemSimulator, judge: Judge) -> None:
    assert [judge("token")] == sim.sessions.made
    assert sim.calls == [("POST", "/rest/auth"), ("POST", "/rest/registerplugin")]


def test_a_wrong_password(sim: FlashSystemSimulator, pki: Pki) -> None:
    with let(sim, pki, username=USER, password="wrong") as judge, pytest.raises(JudgeError) as caught:
        judge("token")
    assert caught.value.kind == UNREACHABLE
    assert sim.sessions.made == []


def test_a_token_of_another_time(sim: FlashSystemSimulator, pki: Pki, judge: Judge) -> None:
    with let(sim, pki, token=judge("token")) as other:
        assert other("info", what="system")["System"]["name"] == "lab"
        sim.sessions.expire()
        refused(other, "403", "info", what="system")


def test_the_certificate_is_a_real_one(sim: FlashSystemSimulator, tmp_path: Path) -> None:
    other = Pki(tmp_path / "other")
    with (
        let(sim, other, username=USER, password=PASSWORD) as judge,
        pytest.raises(JudgeError, match=UNREACHABLE),
    ):
        judge("token")
    assert sim.calls == []


def test_too_many_requests_are_made_again(sim: FlashSystemSimulator, judge: Judge) -> None:
    for command in ("auth", "lssystem"):
        sim.server.before("POST", f"/rest/{command}", lambda _: Reply(429, ["Too Many Requests"]), times=2)
    assert judge("info", what="system")["System"]["code_level"] == sim.commands.version
    assert [path for _, path in sim.calls].count("/rest/lssystem") == 3


def test_volumes_and_pools(sim: FlashSystemSimulator, judge: Judge) -> None:
    for number in range(300):
        sim.add_volume(f"pvc-{number}", 1 << 20)
    assert len(judge("info", what="vol")["Volume"]) == 300
    (found,) = judge("info", what="vol", only="name=pvc-7")["Volume"]
    assert (found["id"], found["vdisk_UID"]) == ("7", sim.volumes[7].uid)
    assert len(judge("info", what="vol", only="name=pvc-1*")["Volume"]) == 111
    assert judge("info", what="vol", name="pvc-300")["Volume"] is None
    assert [row["name"] for row in judge("info", what="pool")["Pool"]] == ["Pool0", "Pool1"]


def test_hosts_and_their_ports(sim: FlashSystemSimulator, judge: Judge) -> None:
    assert judge("host", name="esx1", fcwwpn=WWPN)
    assert judge("host", name="esx1-iscsi", iscsiname=IQN)
    assert [host.ports for host in sim.hosts.values()] == [[WWPN], [IQN]]
    assert not judge("host", name="esx1", fcwwpn=WWPN)
    assert judge("host", name="esx1", fcwwpn=f"{WWPN}:{WWPN_2}")
    assert sim.hosts[0].ports == [WWPN, WWPN_2]
    assert judge("host", name="esx1", fcwwpn=WWPN_2)
    assert sim.hosts[0].ports == [WWPN_2]
    refused(judge, "CMMVC5867E", "host", name="esx5", fcwwpn=WWPN_2)
    refused(judge, "CMMVC6578E", "host", name="esx5", iscsiname=IQN)
    assert [row["name"] for row in judge("info", what="host")["Host"]] == ["esx1", "esx1-iscsi"]
    assert judge("remove_host", name="esx1")
    assert not judge("remove_host", name="esx1")
    assert [host.name for host in sim.hosts.values()] == ["esx1-iscsi"]


def test_mappings(sim: FlashSystemSimulator, judge: Judge, lab: FlashSystemLab) -> None:
    esx1, _ = sim.add_host("esx1", [WWPN]), sim.add_host("worker-7", [WWPN_2])
    for name in ("pvc-1", "pvc-2"):
        sim.add_volume(name, 1 << 20)
    assert judge("map", volume="pvc-1", host="esx1")
    assert not judge("map", volume="pvc-1", host="esx1")
    assert judge("map", volume="pvc-1", host="worker-7")
    assert judge("map", volume="pvc-2", host="esx1", scsi=7)
    assert mapped(sim) == [("pvc-1", "esx1", 0), ("pvc-1", "worker-7", 0), ("pvc-2", "esx1", 7)]
    assert set(lab.san.seen_by([FC.name]).values()) == {0, 7}
    (row, _) = judge("info", what="vdiskhostmap", name="pvc-1")["VdiskHostMap"]
    assert (row["host_name"], row["SCSI_id"], row["mapping_type"]) == ("esx1", "0", "private")
    rows = judge("info", what="hostvdiskmap", name="esx1")["HostVdiskMap"]
    assert [row["vdisk_name"] for row in rows] == ["pvc-1", "pvc-2"]
    refused(judge, "CMMVC5871E", "remove_host", name="esx1")
    sim.add_volume("pvc-3", 1 << 20)
    refused(judge, "CMMVC5879E", "map", volume="pvc-3", host="esx1", scsi=7)
    refused(judge, "CMMVC5754E", "map", volume="pvc-4", host="esx1")
    refused(judge, "CMMVC5754E", "map", volume="pvc-3", host="esx9")
    assert judge("unmap", volume="pvc-2", host="esx1")
    assert not judge("unmap", volume="pvc-2", host="esx1")
    refused(judge, "CMMVC5842E", "unmap", volume="pvc-1", host=sim.add_host("esx5", [IQN]).name)
    assert mapped(sim) == [("pvc-1", "esx1", 0), ("pvc-1", "worker-7", 0)]
    assert esx1.ports == [WWPN]


def test_host_clusters(sim: FlashSystemSimulator, judge: Judge) -> None:
    assert judge("cluster", name="vmware")
    assert not judge("cluster", name="vmware")
    assert judge("host", name="esx1", fcwwpn=WWPN, hostcluster="vmware")
    assert judge("host", name="esx5", fcwwpn=WWPN_2, hostcluster="vmware")
    sim.add_volume("pvc-1", 1 << 20)
    assert judge("map", volume="pvc-1", hostcluster="vmware")
    assert not judge("map", volume="pvc-1", hostcluster="vmware")
    assert mapped(sim) == [("pvc-1", "esx1", 0), ("pvc-1", "esx5", 0)]
    rows = judge("info", what="vdiskhostmap", name="pvc-1")["VdiskHostMap"]
    assert {(row["mapping_type"], row["host_cluster_name"]) for row in rows} == {("shared", "vmware")}
    assert judge("unmap", volume="pvc-1", hostcluster="vmware")
    assert mapped(sim) == []
    assert judge("remove_cluster", name="vmware")
    assert (sim.clusters, sim.hosts) == ({}, {})


def status(judge: Judge, kind: str, name: str) -> str:
    """Return what it reads of a FlashCopy mapping or a volume."""
    subset = {"fcmap": "FCMap", "vol": "Volume"}[kind]
    (row,) = [row for row in judge("info", what=kind)[subset] if row["name"] == name]
    return str(row["status"])


def test_flashcopies(sim: FlashSystemSimulator, judge: Judge, lab: FlashSystemLab) -> None:
    source, target, other = (sim.add_volume(name, 1 << 20) for name in ("src", "tgt", "other"))
    lab.san.lun(source.naa).write(0, b"the disk")
    assert judge("flashcopy", name="m1", source="src", target="tgt", copytype="clone", copyrate=100)
    assert not judge("flashcopy", name="m1", source="src", target="tgt", copytype="clone", copyrate=100)
    refused(judge, "CMMVC6466E", "flashcopy", name="m2", source="src", target="tgt", copytype="backup")
    refused(judge, "CMMVC6303E", "flashcopy", name="m2", source="src", target="src", copytype="backup")
    assert status(judge, "fcmap", "m1") == "idle_or_copied"
    assert judge("start_flashcopy", name="m1")
    assert judge("info", what="fcmap")["FCMap"] == []
    assert lab.san.lun(target.naa).read(0, 8) == b"the disk"

    lab.copy_seconds = 60.0
    assert judge("flashcopy", name="m2", source="src", target="other", copytype="backup")
    assert judge("start_flashcopy", name="m2")
    refused(judge, "CMMVC5903E", "remove_flashcopy", name="m2")
    assert status(judge, "fcmap", "m2") == "copying"
    assert judge("stop_flashcopy", name="m2")
    assert (status(judge, "fcmap", "m2"), status(judge, "vol", other.name)) == ("stopped", "offline")
    refused(judge, "CMMVC5903E", "remove_flashcopy", name="m2")
    assert judge("remove_flashcopy", name="m2", force=True)
    assert not judge("remove_flashcopy", name="m2", force=True)
    assert status(judge, "vol", other.name) == "online"


def test_a_copy_that_our_driver_began_is_what_it_sees_and_ends(
    sim: FlashSystemSimulator, judge: Judge, lab: FlashSystemLab
) -> None:
    lab.copy_seconds = 60.0
    array, copy = begin_copy(lab)
    (row,) = judge("info", what="fcmap")["FCMap"]
    ids = [row[name] for name in ("id", "source_vdisk_id", "target_vdisk_id")]
    assert ids == [copy.id, copy.source, copy.target]
    assert (row["status"], row["copy_rate"]) == ("copying", "130")
    assert not judge("start_flashcopy", name=row["name"])
    assert judge("stop_flashcopy", name=row["name"])
    with pytest.raises(StorageError, match="is stopped"):
        array.progress(copy)
    assert judge("remove_flashcopy", name=row["name"], force=True)
    array.end_copy(copy)
    array.close()
    assert sim.flashcopies.all == {}


def test_a_copy_that_is_complete_leaves_nothing_that_it_could_see(lab: FlashSystemLab, judge: Judge) -> None:
    array, copy = begin_copy(lab)
    assert array.progress(copy).complete
    array.close()
    assert judge("info", what="fcmap")["FCMap"] == []


def test_a_copy_that_it_began_is_what_our_driver_sees_and_ends(
    sim: FlashSystemSimulator, judge: Judge, lab: FlashSystemLab
) -> None:
    lab.copy_seconds = 60.0
    source, volume = lab.san.lun(lab.add_source(lab.backings.rdm, 1 << 20)), lab.add_volume()
    target = lab.volume(volume)
    (name,) = [each.name for each in sim.volumes.values() if each.naa == source.naa]
    assert judge("flashcopy", name="theirs", source=name, target=target.name, copytype="clone")
    assert judge("start_flashcopy", name="theirs")
    array = copying(connect(lab))
    lun = array.find_lun(volume)
    (copy,) = array.copies_onto(lun)
    assert (copy.source, copy.target) == ("0", lun.id)
    assert status(judge, "fcmap", "theirs") == "copying"
    array.end_copy(copy)
    array.close()
    assert judge("info", what="fcmap")["FCMap"] == []
    assert status(judge, "vol", target.name) == "online"


def copying(array: StorageArray) -> CopyingArray:
    return cast("CopyingArray", array)


def begin_copy(lab: FlashSystemLab) -> tuple[CopyingArray, Copy]:
    lab.add_source(lab.backings.rdm, 1 << 20)
    array = copying(connect(lab))
    source = array.find_source(Backing(DiskKind.RDM, lab.backings.rdm))
    return array, array.begin_copy(source, array.find_lun(lab.add_volume()))


def test_who_may_only_read(sim: FlashSystemSimulator, pki: Pki) -> None:
    with let(sim, pki, username=READER, password=PASSWORD) as reader:
        assert reader("info", what="host")["Host"] == []
        refused(reader, "CMMVC6253E", "host", name="esx1", fcwwpn=WWPN)
    assert sim.hosts == {}


def test_what_our_driver_made_is_what_it_sees(
    sim: FlashSystemSimulator, lab: FlashSystemLab, judge: Judge
) -> None:
    """Our driver is given no port: it knows the API's own."""
    array = connect(lab, hostname=sim.address.partition(":")[0])
    lun = array.find_lun(lab.add_volume())
    mapping = array.map(lun, array.ensure_group(array.plan_group("host-1234", [FC])))
    (row,) = judge("info", what="vdiskhostmap", name=lun.name)["VdiskHostMap"]
    assert (row["host_name"], row["SCSI_id"]) == (mapping.group.name, str(mapping.lun_id))
    assert not judge("host", name=mapping.group.name, fcwwpn=WWPN, type="generic")
    assert judge("unmap", volume=lun.name, host=mapping.group.name)
    array.unmap(lun, "host-1234", [FC], ())
    array.close()
    assert judge("info", what="host")["Host"] == []


def test_what_it_made_is_what_our_driver_sees(
    sim: FlashSystemSimulator, lab: FlashSystemLab, judge: Judge
) -> None:
    assert judge("host", name="esx1", fcwwpn=WWPN)
    volume = lab.add_volume()
    assert judge("map", volume=lab.volume(volume).name, host="esx1", scsi=5)
    array = connect(lab)
    lun = array.find_lun(volume)
    assert array.plan_group("host-1234", [FC]).group.id == "esx1"
    (found,) = array.mappings_of(lun)
    assert (found.group.id, found.lun_id, found.initiators) == ("esx1", 5, frozenset({FC}))
    array.unmap(lun, "host-1234", [FC], ())
    array.close()
    assert not judge("unmap", volume=lun.name, host="esx1")
    assert [row["name"] for row in judge("info", what="host")["Host"]] == ["esx1"]
