"""Hitachi's driver in OpenStack Cinder, and its Ansible modules, against our simulator of a VSP.

Its state is looked at after each call.

What our driver did is read back by it, and the other way round.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from populator.storage.array import Lun
from tests.judges import Judge, JudgeError
from tests.lab.arrays import connect, fc, iscsi
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply
from tests.lab.arrays.vantara.lab import PASSWORD, USER, VantaraLab, number_of
from tests.lab.arrays.vantara.server import VantaraSimulator
from tests.lab.arrays.vantara.system import LUN_TAKEN, Failure, SimPath
from tests.lab.pki import Pki

WWN, WWN_2, IQN = "20000025b5aa0001", "20000025b5aa0002", "iqn.1998-01.com.vmware:esx-1"
FC, ISCSI = fc(WWN), iscsi(IQN)
CONNECTOR = {"wwpns": [WWN], "initiator": IQN, "host": "esx1", "ip": "192.0.2.1", "multipath": True}
FAILED = "VolumeDriverException"


@pytest.fixture
def lab(rack: Rack) -> VantaraLab:
    lab = rack.add(VantaraLab)
    for port in ("CL1-A", "CL2-A"):
        lab.simulator.add_group(port, "HBSD-esx1", [WWN])
    lab.simulator.add_group("CL5-A", "HBSD-esx1", [IQN])
    return lab


def log_in(sim: VantaraSimulator, pki: Pki, protocol: str = "fc", password: str = PASSWORD) -> Judge:
    ports = ["CL1-A", "CL2-A"] if protocol == "fc" else ["CL5-A"]
    options = {
        "user": USER,
        "password": password,
        "array": sim.device_id,
        "protocol": protocol,
        "ports": ports,
        "connector": CONNECTOR,
    }
    return Judge("vantara", sim.address, str(pki.ca_file), options)


@pytest.fixture
def judge(sim: VantaraSimulator, pki: Pki) -> Iterator[Judge]:
    with log_in(sim, pki) as client:
        yield client


def refused(judge: Judge, code: str, function: str, **arguments: Any) -> None:
    """Expect its own error, with the array's code."""
    with pytest.raises(JudgeError) as caught:
        judge(function, **arguments)
    assert caught.value.kind == FAILED, caught.value
    assert code in caught.value.text, caught.value


def paths(sim: VantaraSimulator, ldev: int) -> list[SimPath]:
    return [path for path, _ in sim.of(ldev)]


def test_log_in(sim: VantaraSimulator, judge: Judge) -> None:
    assert [session.user for session in sim.sessions.values()] == [USER]
    assert judge("session")["userId"] == USER


def test_a_wrong_password(sim: VantaraSimulator, pki: Pki) -> None:
    with pytest.raises(JudgeError) as caught:
        log_in(sim, pki, password="wrong").close()
    assert caught.value.kind == FAILED
    assert sim.sessions == {}


def test_the_certificate_is_a_real_one(sim: VantaraSimulator, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=FAILED):
        log_in(sim, Pki(tmp_path / "other")).close()
    assert sim.calls == []


def test_an_expired_session_is_renewed(sim: VantaraSimulator, judge: Judge) -> None:
    sim.sessions.clear()
    assert judge("host_group", port="CL1-A", number=1)["hostGroupName"] == "HBSD-esx1"
    assert len(sim.sessions) == 1


def test_ldevs(lab: VantaraLab, sim: VantaraSimulator, judge: Judge) -> None:
    number = number_of(lab.add_volume(3 << 20))
    found = judge("ldev", ldev=number)
    assert (found["blockCapacity"], found["label"], found["status"]) == (6144, sim.ldevs[number].label, "NML")
    assert "naaId" not in found
    assert judge("ldev", ldev=9)["emulationType"] == "NOT DEFINED"
    refused(judge, "KART40038-E", "ldev", ldev=2_000_000)
    sim.add_path(number, "CL1-A,1")
    assert judge("ldev", ldev=number)["naaId"] == sim.ldevs[number].naa
    assert [row["ldevId"] for row in judge("ldevs", ldevOption="luMapped", count=1)] == [7]


def test_pages_of_ldevs(lab: VantaraLab, judge: Judge) -> None:
    numbers = [7, *(number_of(lab.add_volume(512)) for _ in range(150))]
    first = [row["ldevId"] for row in judge("ldevs", ldevOption="defined")]
    rest = [row["ldevId"] for row in judge("ldevs", ldevOption="defined", headLdevId=first[-1] + 1)]
    assert (len(first), first + rest) == (100, numbers)


def test_ports_host_groups_and_members(sim: VantaraSimulator, judge: Judge) -> None:
    assert {row["portId"] for row in judge("ports", portType="ISCSI", portAttributes="TAR")} == {
        "CL5-A",
        "CL6-A",
        "CL7-A",
        "CL8-A",
    }
    number = judge("create_group", port="CL3-A", name="esx2")
    assert sim.groups[f"CL3-A,{number}"].name == "esx2"
    judge("add_wwn", port="CL3-A", number=number, wwn=WWN_2)
    assert sim.groups[f"CL3-A,{number}"].initiators == [WWN_2]
    assert [row["hostWwn"] for row in judge("wwns", port="CL3-A", number=number)] == [WWN_2]
    assert [row["iscsiName"] for row in judge("iqns", port="CL5-A", number=1)] == [IQN]
    refused(judge, "KART30013-E", "wwns", port="CL3-A", number=99)
    refused(judge, "KART40038-E", "wwns", port="CL5-A", number=1)
    refused(judge, "B956", "create_group", port="CL3-A", name="esx2")
    judge("delete_group", port="CL3-A", number=number)
    assert f"CL3-A,{number}" not in sim.groups


def test_lu_paths(lab: VantaraLab, sim: VantaraSimulator, judge: Judge) -> None:
    first, second = (number_of(lab.add_volume()) for _ in range(2))
    assert judge("map", port="CL1-A", number=1, ldev=first) == 0
    assert judge("map", port="CL1-A", number=1, ldev=second, lun=17) == 17
    assert paths(sim, first) == [SimPath(first, "CL1-A,1", 0)]
    assert [(row["lun"], row["ldevId"]) for row in judge("luns", port="CL1-A", number=1)] == [
        (0, first),
        (17, second),
    ]
    refused(judge, "015A", "map", port="CL1-A", number=1, ldev=first)
    refused(judge, "0947", "map", port="CL1-A", number=1, ldev=number_of(lab.add_volume()), lun=17)
    judge("unmap", port="CL1-A", number=1, lun=17)
    assert paths(sim, second) == []
    refused(judge, "KART30013-E", "unmap", port="CL1-A", number=1, lun=17)
    refused(judge, "KART30013-E", "map", port="CL1-A", number=99, ldev=first)


@pytest.mark.parametrize("protocol", ["fc", "iscsi"])
def test_whole_attachments(lab: VantaraLab, sim: VantaraSimulator, pki: Pki, protocol: str) -> None:
    """Twice each, which is no error: a path that is there is used, one that is gone is not missed."""
    number = number_of(lab.add_volume())
    initiator, ports = (WWN, 2) if protocol == "fc" else (IQN, 1)
    with log_in(sim, pki, protocol) as judge:
        for _ in range(2):
            shown = judge("attach", ldev=number)
            assert len(paths(sim, number)) == ports
        assert set(lab.san.seen_by([initiator]).values()) == {shown.get("target_lun", 0)}
        for _ in range(2):
            judge("detach", ldev=number)
            assert paths(sim, number) == []


def test_a_lun_id_that_is_taken_by_then_is_tried_again(
    lab: VantaraLab, sim: VantaraSimulator, judge: Judge
) -> None:
    sim.fails.append(Failure("KART40051-E", "The resource group is locked."))
    number = number_of(lab.add_volume())
    judge("attach", ldev=number)
    assert len(paths(sim, number)) == 2


def test_an_array_that_is_busy_is_asked_again(lab: VantaraLab, sim: VantaraSimulator, judge: Judge) -> None:
    sim.locked = 1
    number = number_of(lab.add_volume())
    sim.before("POST", "/luns", lambda _: Reply(503, {"messageId": "KART00003-E", "errorSource": "/"}))
    judge("attach", ldev=number)
    assert len(paths(sim, number)) == 2


def mapped_by_us(lab: VantaraLab, *initiators: Any) -> tuple[Any, Lun]:
    array = connect(lab)
    lun = array.find_lun(lab.add_volume())
    array.map(lun, array.ensure_group(array.plan_group("host-1234", initiators)))
    return array, lun


def test_what_our_driver_made_is_what_it_sees(lab: VantaraLab, sim: VantaraSimulator, judge: Judge) -> None:
    array, lun = mapped_by_us(lab, FC)
    (shown,) = array.mappings_of(lun)[:1]
    for port in ("CL1-A", "CL2-A"):
        assert (shown.lun_id, int(lun.id)) in [
            (row["lun"], row["ldevId"]) for row in judge("luns", port=port, number=1)
        ]
    assert judge("attach", ldev=int(lun.id))["target_lun"] == shown.lun_id
    judge("detach", ldev=int(lun.id))
    assert paths(sim, int(lun.id)) == []
    array.unmap(lun, "host-1234", [FC], ())
    array.close()


@pytest.mark.parametrize("protocol", ["fc", "iscsi"])
def test_what_it_made_is_what_our_driver_sees(
    lab: VantaraLab, sim: VantaraSimulator, pki: Pki, protocol: str
) -> None:
    initiator = FC if protocol == "fc" else ISCSI
    volume = lab.add_volume()
    with log_in(sim, pki, protocol) as judge:
        judge("attach", ldev=number_of(volume))
        array = connect(lab)
        lun = array.find_lun(volume)
        found = array.mappings_of(lun)
        assert {mapping.group.id for mapping in found} == {path.group for path in paths(sim, int(lun.id))}
        assert {mapping.initiators for mapping in found} == {frozenset({initiator})}
        group = array.ensure_group(array.plan_group("host-1234", [initiator]))
        assert array.map(lun, group).group.id == found[0].group.id
        array.unmap(lun, "host-1234", [initiator], ())
        array.close()
        assert paths(sim, int(lun.id)) == []
        judge("detach", ldev=number_of(volume))


# The Ansible modules, which have a session for each call, and ask about jobs.


def modules(sim: VantaraSimulator, pki: Pki, password: str = PASSWORD) -> Judge:
    options = {"user": USER, "password": password}
    return Judge("vantara_ansible", sim.address, str(pki.ca_file), options)


def test_the_modules_read_map_and_unmap(lab: VantaraLab, sim: VantaraSimulator, pki: Pki) -> None:
    volume = lab.add_volume()
    number = number_of(volume)
    with modules(sim, pki) as judge:
        judge("map", port="CL1-A", name="HBSD-esx1", ldev=number)
        assert paths(sim, number) == [SimPath(number, "CL1-A,1", 0)]
        assert ("GET", "/ConfigurationManager/v1/objects/jobs/1") in sim.calls
        (found,) = judge("ldev", ldev=number)["volumes"]
        assert (found["name"], found["num_of_ports"]) == (sim.ldevs[number].label, 1)
        assert f"naa.{found['canonical_name']}" == lab.device(volume)
        judge("unmap", port="CL1-A", name="HBSD-esx1", ldev=number)
    assert paths(sim, number) == []
    assert sim.sessions == {}


def test_what_the_modules_are_refused(lab: VantaraLab, sim: VantaraSimulator, pki: Pki) -> None:
    number = number_of(lab.add_volume())
    with modules(sim, pki, "wrong") as judge, pytest.raises(JudgeError, match="HTTP Error 401"):
        judge("ldev", ldev=number)
    assert sim.sessions == {}
    with modules(sim, pki) as judge:
        sim.fails.append(Failure("KART30000-E", "Another LDEV is already mapped to the LUN.", LUN_TAKEN))
        with pytest.raises(JudgeError, match="already mapped"):
            judge("map", port="CL1-A", name="HBSD-esx1", ldev=number)
    assert (paths(sim, number), sim.sessions) == ([], {})


def test_what_our_driver_made_is_what_the_modules_see(
    lab: VantaraLab, sim: VantaraSimulator, pki: Pki
) -> None:
    array, lun = mapped_by_us(lab, FC)
    shown = array.mappings_of(lun)[0]
    with modules(sim, pki) as judge:
        (group,) = judge("host_groups", port="CL1-A", name="HBSD-esx1")["hostGroups"]
        assert [wwn["id"].lower() for wwn in group["wwns"]] == [WWN]
        (path,) = group["lun_paths"]
        assert (path["lun_id"], path["ldev_id"]) == (f"CL1-A,1,{shown.lun_id}", int(lun.id))
        for port in ("CL1-A", "CL2-A"):
            judge("unmap", port=port, name="HBSD-esx1", ldev=int(lun.id))
    assert paths(sim, int(lun.id)) == []
    array.unmap(lun, "host-1234", [FC], ())
    array.close()
