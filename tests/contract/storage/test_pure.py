"""What is the FlashArray's alone: log-in by two APIs, Portworx's names, hosts, connections, errors known by words."""

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from populator.errors import StorageError
from populator.storage.array import Group, Lun, StorageArray, Volume
from populator.storage.vendors.pure import names
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import ALL, FC, FC_2, HOST, IQN, IQN_2, ensure
from tests.lab.arrays import QuickClock, connect
from tests.lab.arrays.pure.lab import PREFIX, USERS, PureLab
from tests.lab.arrays.pure.server import PureSimulator
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request, Step

HOSTS, VOLUMES, CONNECTIONS = (f"/api/2.26/{name}" for name in ("hosts", "volumes", "connections"))
USER: dict[str, Any] = {"token": "", "username": "admin", "password": USERS["admin"].password}


@pytest.fixture
def lab(rack: Rack) -> PureLab:
    lab = rack.add(PureLab)
    lab.know_host("esx-1", ALL)
    return lab


def refuse(message: str, status: int = 400, **headers: str) -> Reply:
    body = {"errors": [{"message": message, "context": "it"}]}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def answering(reply: Reply) -> Step:
    return lambda _: reply


def fails(array: StorageArray, volume: Volume) -> StorageError:
    with pytest.raises(StorageError) as caught:
        array.find_lun(volume)
    return caught.value


def named(lab: PureLab, name: str, **changes: Any) -> Volume:
    """Return the volume of a PersistentVolume `pvc-x`, which the array has under that name."""
    made = lab.simulator.add_volume(name, 1 << 20)
    for field, value in changes.items():
        setattr(made, field, value)
    return Volume("pvc-x", "pxd.portworx.com", "1093275463785672839")


def paths(lab: PureLab) -> list[str]:
    return [f"{method} {path}" for method, path in lab.calls]


# Log-in


def test_a_token_needs_no_rest_1(lab: PureLab, sim: PureSimulator) -> None:
    """The Go driver fails without it."""
    sim.versions = ("2.4",)
    array = connect(lab)
    assert array.info().version == sim.purity
    array.close()
    assert paths(lab) == [
        "GET /api/api_version",
        "POST /api/2.4/login",
        "GET /api/2.4/arrays",
        "GET /api/2.4/controllers",
        "POST /api/2.4/logout",
    ]
    assert lab.sessions == 0


def test_a_token_goes_before_user_and_password(lab: PureLab) -> None:
    connect(lab, username="admin", password="wrong").info()
    assert not [path for path in paths(lab) if "apitoken" in path]
    with pytest.raises(StorageError) as caught:
        connect(lab, username="admin", token="wrong").info()
    assert "STORAGE_TOKEN" in caught.value.hint


@pytest.mark.parametrize(
    "versions", [("1.2", "1.19", "1.9", "2.9", "2.26", "2.X", "2.s-1f"), ("2.26", "1.19")]
)
def test_user_and_password_become_a_token_by_the_newest_rest_1(
    lab: PureLab, sim: PureSimulator, versions: tuple[str, ...]
) -> None:
    sim.versions = versions
    array = connect(lab, **USER)
    assert array.info().version
    assert paths(lab)[:3] == ["GET /api/api_version", "POST /api/1.19/auth/apitoken", "POST /api/2.26/login"]
    array.close()
    assert lab.sessions == 0


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_wrong_password_is_tried_once(lab: PureLab, status: int) -> None:
    error = [{"code": 7, "ctx": "", "msg": "invalid credentials"}]
    lab.server.before("POST", "/api/1.19/auth/apitoken", lambda _: Reply(status, error))
    clock = QuickClock()
    with pytest.raises(StorageError) as caught:
        connect(lab, clock, **USER).info()
    assert "does not accept the credentials of 'admin'" in caught.value.text
    assert "STORAGE_PASSWORD" in caught.value.hint
    assert (len(lab.calls), clock.waited) == (2, 0)


def test_a_failing_exchange_is_no_wrong_password(lab: PureLab) -> None:
    lab.server.before("POST", "/api/1.19/auth/apitoken", lambda _: Reply(404, [{"msg": "gone"}]))
    with pytest.raises(StorageError, match="gone") as caught:
        connect(lab, **USER).info()
    assert "credentials" not in caught.value.text
    lab.server.before("POST", "/api/1.19/auth/apitoken", lambda _: Reply(503))
    assert connect(lab, **USER).info().version


def test_user_and_password_without_rest_1_are_told_to_make_a_token(lab: PureLab, sim: PureSimulator) -> None:
    sim.versions = ("2.26",)
    with pytest.raises(StorageError, match="no REST 1 API any more") as caught:
        connect(lab, **USER).info()
    assert "STORAGE_TOKEN" in caught.value.hint


@pytest.mark.parametrize("versions", [(), ("1.19",), ("2.X", "2.s-1f")])
def test_an_array_without_rest_2_is_named_as_one(
    lab: PureLab, sim: PureSimulator, versions: tuple[str, ...]
) -> None:
    sim.versions = versions
    with pytest.raises(StorageError, match="no REST 2 API") as caught:
        connect(lab).info()
    assert "Purity" in caught.value.hint


def test_an_answer_without_a_session_is_none(lab: PureLab) -> None:
    lab.server.before("POST", "/api/2.26/login", lambda _: Reply(200, {}))
    with pytest.raises(StorageError, match="x-auth-token"):
        connect(lab).info()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_expired_session_is_renewed_and_the_call_made_again_whole(
    lab: PureLab, array: StorageArray, method: str
) -> None:
    """The Go driver sends a consumed body."""
    lun = array.find_lun(lab.add_volume())
    group = ensure(array, FC)
    lab.server.before(method, CONNECTIONS, lambda _: lab.expire_sessions())
    assert array.map(lun, group).ours
    array.unmap(lun, HOST, ALL, [])
    assert lab.simulator.connections == []
    array.close()
    assert lab.sessions == 0


def test_a_session_that_ends_at_once_again_is_an_error(lab: PureLab, array: StorageArray) -> None:
    array.info()
    lab.server.before("GET", VOLUMES, lambda _: lab.expire_sessions(), times=9)
    lab.calls.clear()
    assert fails(array, lab.add_volume()).hint
    assert paths(lab).count("POST /api/2.26/login") == 1


def test_a_token_that_was_deleted_meanwhile_is_told(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    array.info()
    sim.users["admin"] = replace(USERS["admin"], token="another")
    lab.expire_sessions()
    assert "does not accept the credentials" in fails(array, lab.add_volume()).text


def test_who_may_not_read_the_array_itself_works_all_the_same(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    sim.forbidden = {"arrays", "controllers"}
    assert (array.info().version, array.info().model) == ("", "")
    sim.forbidden = {"controllers"}
    assert (array.info().version, array.info().model) == (sim.purity, "")
    sim.forbidden = set()
    assert array.info().model == sim.model
    lab.server.before("GET", "/api/2.26/arrays", answering(Reply(200, {"items": []})))
    assert array.info().version == ""
    assert array.find_lun(lab.add_volume()).size


# Volumes


@pytest.mark.parametrize("place", ["", "pod-1::", "realm-1::pod-1::", "group-1/", "pod-1::group-1/"])
def test_a_volume_is_found_wherever_it_is_by_one_call(lab: PureLab, array: StorageArray, place: str) -> None:
    wanted = named(lab, f"{place}{PREFIX}-pvc-x")
    named(lab, f"x{PREFIX}-pvc-x")
    named(lab, f"{PREFIX}-pvc-x-2")
    array.info()
    lab.calls.clear()
    assert array.find_lun(wanted).name == f"{place}{PREFIX}-pvc-x"
    assert paths(lab) == [f"GET {VOLUMES}"]


def test_the_prefix_may_come_with_blanks(lab: PureLab) -> None:
    volume = lab.add_volume()
    assert connect(lab, options={"PURE_CLUSTER_PREFIX": f" {PREFIX}\n"}).find_lun(volume).size


def test_the_same_name_in_two_pods_is_refused(lab: PureLab, array: StorageArray) -> None:
    wanted = named(lab, f"pod-1::{PREFIX}-pvc-x")
    named(lab, f"pod-2::{PREFIX}-pvc-x")
    error = fails(array, wanted)
    assert f"pod-1::{PREFIX}-pvc-x" in error.text
    assert f"pod-2::{PREFIX}-pvc-x" in error.text


def test_a_handle_that_is_the_arrays_id(lab: PureLab, sim: PureSimulator) -> None:
    made = sim.add_volume("db01", 1 << 20)
    found = connect(lab, options={}).find_lun(Volume("pvc-x", "pxd.portworx.com", made.id.upper()))
    assert (found.id, found.name) == (made.id, "db01")


def test_an_id_that_was_given_to_anothers_volume_is_refused(lab: PureLab, sim: PureSimulator) -> None:
    stranger = sim.add_volume("px_87654321-pvc-y", 1 << 20)
    error = fails(connect(lab), Volume("pvc-x", "pxd.portworx.com", stranger.id))
    assert "belongs to another PersistentVolume" in error.text
    assert error.hint


def test_old_handles_are_names(lab: PureLab, array: StorageArray, sim: PureSimulator) -> None:
    sim.add_volume("k8s-pvc-x", 1 << 20)
    assert array.find_lun(Volume("pvc-x", "pure-csi", "k8s-pvc-x")).name == "k8s-pvc-x"
    assert "has no volume" in fails(array, Volume("pvc-x", "pxd.portworx.com", "k8s-pvc-x")).text


@pytest.mark.parametrize("annotation", ["portworx.io/pure-volume-name", "pure_vol_name"])
def test_an_imported_volume_keeps_its_name(lab: PureLab, sim: PureSimulator, annotation: str) -> None:
    made = sim.add_volume("pod-1::db01", 1 << 20)
    sim.add_volume("db01", 1 << 20)
    volume = Volume("pvc-x", "pxd.portworx.com", "1093", {}, {annotation: "pod-1::db01"})
    assert connect(lab).find_lun(volume).id == made.id
    sim.add_volume(f"{PREFIX}-pvc-x", 1 << 20)
    assert "2 volumes" in fails(connect(lab), volume).text


def test_a_volume_of_another_array_is_refused(lab: PureLab, sim: PureSimulator, array: StorageArray) -> None:
    """A pod may have the same name on several, and so may a volume."""
    volume = lab.add_volume()
    array_id = "portworx.io/pure-array-id"
    assert array.find_lun(replace(volume, annotations={array_id: sim.id})).size
    error = fails(array, replace(volume, annotations={array_id: "other"}))
    assert "is on the array other" in error.text
    assert "STORAGE_HOSTNAME" in error.hint


def test_a_volume_that_is_not_there_names_array_and_prefix(lab: PureLab, array: StorageArray) -> None:
    error = fails(array, Volume("pvc-x", "pxd.portworx.com", "1093"))
    assert f"{PREFIX}-pvc-x" in error.text
    assert lab.simulator.address in error.text
    assert "PURE_CLUSTER_PREFIX" in error.hint
    assert "several arrays" in error.hint


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"destroyed": True}, "destroyed"),
        ({"subtype": "protocol_endpoint"}, "protocol_endpoint"),
        ({"promotion": "demoted"}, "read-only"),
        ({"requested": "demoted"}, "read-only"),
        ({"promotion": "demoted", "requested": "promoted"}, "read-only"),
        ({"serial": "9714B5CB91634C47"}, "24 hex digits"),
    ],
)
def test_volumes_that_cannot_be_used(
    lab: PureLab, array: StorageArray, changes: dict[str, Any], says: str
) -> None:
    assert says in fails(array, named(lab, f"{PREFIX}-pvc-x", **changes)).text


def test_a_destroyed_namesake_is_no_rival(lab: PureLab, array: StorageArray, sim: PureSimulator) -> None:
    wanted = named(lab, f"{PREFIX}-pvc-x", destroyed=True)
    now = sim.add_volume(f"{PREFIX}-pvc-x", 2 << 20)
    assert array.find_lun(wanted).id == now.id


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(200, {"items": None}), "a list"),
        (Reply(200, {}), "a list"),
        (Reply(200, {"items": []}), "has no volume"),
        (Reply(200, {"items": [{"id": "1"}]}), "text in the field 'name'"),
        (Reply(400, {"errors": []}), "no reason given"),
        (Reply(400, {"message": "no route"}), "no route"),
        (Reply(400, [{"msg": "odd", "ctx": "it"}]), r"odd \(it\)"),
        (Reply(418, b"<html>"), "no reason given"),
    ],
)
def test_odd_answers_end_with_an_error(lab: PureLab, array: StorageArray, reply: Reply, says: str) -> None:
    """The Go driver crashes where an error or an empty list leaves it without a volume."""
    lab.server.before("GET", VOLUMES, lambda _: reply)
    with pytest.raises(StorageError, match=says):
        array.find_lun(lab.add_volume())


def test_an_array_in_trouble_is_no_missing_volume(lab: PureLab, array: StorageArray) -> None:
    lab.server.before("GET", VOLUMES, lambda _: refuse("internal", 500), times=99)
    error = fails(array, lab.add_volume())
    assert "HTTP 500" in error.text
    assert "has no volume" not in error.text


# Hosts


@pytest.mark.parametrize("spelled", ["20:00:00:25:B5:AA:00:01", "20:00:00:25:b5:aa:00:01"])
def test_world_wide_names_are_compared_in_one_form(lab: PureLab, sim: PureSimulator, spelled: str) -> None:
    sim.hosts["esx-1-fc"].wwns = [spelled]
    assert ensure(connect(lab), FC).name == "esx-1-fc"


def test_iscsi_names_are_compared_without_case(lab: PureLab, sim: PureSimulator) -> None:
    """The filter may heed case, so all hosts are looked at before the host is said to be unknown."""
    sim.hosts["esx-1-iscsi"].iqns = ["iqn.1998-01.com.vmware:ESX-1"]
    group = ensure(connect(lab), IQN)
    assert (group.name, group.initiators) == ("esx-1-iscsi", (IQN,))


def test_a_host_on_the_last_page_is_found(lab: PureLab, sim: PureSimulator) -> None:
    """Of hosts that share a name's spelling; the Go driver reads the first page."""
    sim.hosts["esx-1-fc"].wwns = []
    for number in range(7):
        sim.add_host(f"other-{number}", iqns=[f"iqn.1998-01.com.vmware:other-{number}"])
    last = sim.add_host("last", wwns=["20:00:00:25:b5:aa:00:01".upper()])
    last.wwns = [last.wwns[0].lower()]
    sim.page_size = 2
    assert ensure(connect(lab), FC).name == "last"


def test_an_unknown_host_is_told_with_the_names_looked_for(array: StorageArray, sim: PureSimulator) -> None:
    sim.hosts.clear()
    with pytest.raises(StorageError) as caught:
        array.plan_group(HOST, [IQN, FC])
    assert "20:00:00:25:B5:AA:00:01" in caught.value.text
    assert IQN.name in caught.value.text
    assert HOST in caught.value.hint
    assert sim.hosts == {}


def test_hosts_of_another_array_are_passed_over(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    """In ActiveCluster the array lists those, too."""
    del sim.hosts["esx-1-fc"]
    sim.add_host("a-remote", wwns=["20:00:00:25:B5:AA:00:01"], local=False)
    with pytest.raises(StorageError, match="knows no host"):
        array.plan_group(HOST, [FC])
    sim.add_host("esx-1", wwns=["20:00:00:25:B5:AA:00:01"])
    assert ensure(array, FC).name == "esx-1"


def test_an_initiator_in_two_hosts_is_refused(sim: PureSimulator, array: StorageArray) -> None:
    sim.add_host("twin").wwns = ["20:00:00:25:B5:AA:00:01"]
    with pytest.raises(StorageError, match="several hosts: esx-1-fc, twin"):
        array.plan_group(HOST, [FC])


@pytest.mark.parametrize("backwards", [False, True])
def test_the_kind_does_not_depend_on_the_order_of_the_hosts(
    sim: PureSimulator, lab: PureLab, *, backwards: bool
) -> None:
    sim.hosts = dict(sorted(sim.hosts.items(), reverse=backwards))
    assert ensure(connect(lab), FC, IQN).name == "esx-1-fc"
    assert ensure(connect(lab), IQN, FC).name == "esx-1-iscsi"


@pytest.mark.parametrize("details", ["None", "N/A", None])
def test_a_host_without_paths_is_taken_last(sim: PureSimulator, lab: PureLab, details: str | None) -> None:
    lab.log_in(IQN)
    lab.server.before("GET", HOSTS, lambda request: without_paths(sim, request, details))
    assert ensure(connect(lab), FC, IQN).name == "esx-1-iscsi"


def without_paths(sim: PureSimulator, request: Request, details: str | None) -> Reply:
    rows = [sim.host_record(host) for host in sim.hosts.values()]
    for row in rows:
        if row["wwns"]:
            row["port_connectivity"] = {"details": details}
    return Reply(200, {"items": rows})


def test_one_host_with_both_kinds_is_used_as_it_is(
    sim: PureSimulator, lab: PureLab, array: StorageArray
) -> None:
    sim.hosts.clear()
    sim.add_host("esx-1", [IQN.name, IQN_2.name], ["20:00:00:25:B5:AA:00:01"])
    group = ensure(array, FC, IQN, FC_2)
    assert (group.name, group.initiators) == ("esx-1", (FC,))
    mapping = array.map(array.find_lun(lab.add_volume()), group)
    assert mapping.initiators == {FC, IQN, IQN_2}


def test_only_the_hosts_of_these_initiators_are_asked_for(lab: PureLab, array: StorageArray) -> None:
    asked: list[Request] = []
    lab.server.before("GET", HOSTS, asked.append, times=9)
    array.plan_group(HOST, [FC, IQN])
    assert [request.query["filter"] for request in asked] == [
        "wwns='20:00:00:25:B5:AA:00:01' or wwns='20000025B5AA0001' or iqns='iqn.1998-01.com.vmware:esx-1'"
    ]


def test_hosts_are_neither_made_nor_changed(lab: PureLab, array: StorageArray) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, FC))
    array.unmap(lun, HOST, ALL, [])
    assert {path for path in paths(lab) if not path.startswith("GET")} == {
        "POST /api/2.26/login",
        f"POST {CONNECTIONS}",
        f"DELETE {CONNECTIONS}",
    }


# Connections


def prepared(lab: PureLab, array: StorageArray) -> tuple[Lun, Group]:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, FC)
    lab.calls.clear()
    return lun, group


def test_a_connection_is_made_by_one_call_with_its_names_in_the_query(
    lab: PureLab, array: StorageArray
) -> None:
    for _ in range(3):  # the second is in a pod, the third in a realm
        lun, group = prepared(lab, array)
        asked: list[Request] = []
        for method in ("POST", "DELETE"):
            lab.server.before(method, CONNECTIONS, asked.append)
        mapping = array.map(lun, group)
        assert paths(lab) == [f"POST {CONNECTIONS}"]
        array.unmap(lun, HOST, ALL, [])
        assert paths(lab)[1:] == [f"GET {CONNECTIONS}", f"DELETE {CONNECTIONS}"]
        assert [request.query for request in asked] == [
            {"host_names": "esx-1-fc", "volume_names": lun.name}
        ] * 2
        assert [request.body for request in asked] == [{"lun": mapping.lun_id}, None]


def test_names_with_slashes_and_colons_survive_the_url(lab: PureLab, array: StorageArray) -> None:
    lun = array.find_lun(named(lab, f"realm-1::pod-1::group/{PREFIX}-pvc-x"))
    array.map(lun, ensure(array, FC))
    assert [item.volume.name for item in lab.simulator.connections] == [lun.name]
    array.unmap(lun, HOST, ALL, [])
    assert lab.simulator.connections == []


def test_a_lun_id_just_freed_is_not_the_next_volumes(lab: PureLab, array: StorageArray) -> None:
    """A host that has not dropped the old path would refuse the new device."""
    group = ensure(array, FC)
    for _ in range(3):
        lun = array.find_lun(lab.add_volume())
        assert array.map(lun, group).lun_id == names.first_lun_id(lun.device)
        array.unmap(lun, HOST, ALL, [])


def test_a_lun_id_that_is_taken_leaves_the_choice_to_the_array(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    wanted = names.first_lun_id(lun.device)
    sim.connect(sim.add_volume("other", 512), "esx-1-fc", lun=wanted)
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours) == (1 if wanted != 1 else 2, True)
    array.unmap(lun, HOST, ALL, [])
    assert [item.volume.name for item in sim.connections] == ["other"]


@pytest.mark.parametrize("reply", [Reply(503), Reply(429), Reply(200, b"<html>")])
def test_an_array_in_trouble_is_not_asked_for_another_lun_id(
    lab: PureLab, array: StorageArray, reply: Reply
) -> None:
    lun, group = prepared(lab, array)
    asked: list[Request] = []
    lab.server.before("POST", CONNECTIONS, asked.append, times=9)
    lab.server.before("POST", CONNECTIONS, answering(reply))
    with suppress(StorageError):  # what is no answer at all is not asked for again
        array.map(lun, group)
    assert {request.body.get("lun") for request in asked} == {int(lun.device[-8:], 16) % 1023 + 1}


def test_a_lun_id_that_esxi_does_not_see_is_an_error(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    item = sim.connect(sim.add_volume("other", 512), "esx-1-fc")
    sim.connections += [replace(item, lun=number) for number in range(2, 1024)]
    lun, group = prepared(lab, array)
    with pytest.raises(StorageError, match="LUN id 1024 ") as caught:
        array.map(lun, group)
    assert caught.value.hint
    array.unmap(lun, HOST, ALL, [])
    assert lab.san.mappings(lun.device) == {}


@pytest.mark.parametrize("lun_id", [1, 1023])
def test_the_first_and_the_last_lun_id_are_fine(
    lab: PureLab, sim: PureSimulator, array: StorageArray, lun_id: int
) -> None:
    lun, group = prepared(lab, array)
    sim.connect(lab.simulator.volume(lun.name), "esx-1-fc", lun=lun_id)
    assert array.map(lun, group).lun_id == lun_id


def test_a_connection_that_somebody_made_is_used_and_left(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    """The Go driver fails, and removes at the end what it did not make."""
    lun, group = prepared(lab, array)
    sim.connect(sim.volume(lun.name), "esx-1-fc", lun=33)
    before = array.mappings_of(lun)
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours, mapping.group.id) == (33, False, before[0].group.id)
    array.unmap(lun, HOST, ALL, before)
    assert [item.lun for item in sim.connections] == [33]


def test_a_connection_that_comes_between_is_not_ours(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    lab.server.before(
        "POST", CONNECTIONS, lambda _: discard(sim.connect(sim.volume(lun.name), "esx-1-fc", lun=5))
    )
    lab.server.before("GET", CONNECTIONS, lambda _: refuse("busy", 503))
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours) == (5, False)


def discard(_: object) -> None:
    """Let the simulator answer."""


def connect_and_answer(sim: PureSimulator, lun: Lun, reply: Reply) -> Reply:
    sim.connect(sim.volume(lun.name), "esx-1-fc", lun=7)
    return reply


@pytest.mark.parametrize(
    "reply", [Reply(500, b""), Reply(503, b""), Reply(504, b"<html>"), Reply(200, b"<html>"), Reply(200, {})]
)
def test_a_connection_whose_answer_is_lost_is_found_and_ours(
    lab: PureLab, sim: PureSimulator, array: StorageArray, reply: Reply
) -> None:
    lun, group = prepared(lab, array)
    lab.server.before("POST", CONNECTIONS, lambda _: connect_and_answer(sim, lun, reply))
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours) == (7, True)
    assert len(sim.connections) == 1


def test_a_connection_that_is_said_to_be_made_is_looked_for(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    lab.server.before("POST", CONNECTIONS, lambda _: Reply(200, {"items": []}), times=99)
    with pytest.raises(StorageError, match="does not list it"):
        array.map(lun, group)


def test_a_connection_by_the_host_group_is_used_and_left(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    sim.join("cluster", "esx-1-fc", "esx-1-iscsi")
    lun, group = prepared(lab, array)
    sim.connect(sim.volume(lun.name), group="cluster")
    mappings = array.mappings_of(lun)
    assert {(m.group.name, m.lun_id, m.ours) for m in mappings} == {
        ("esx-1-fc", 254, False),
        ("esx-1-iscsi", 254, False),
    }
    assert {m.initiators for m in mappings} == {frozenset({FC, FC_2}), frozenset({IQN, IQN_2})}
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours) == (254, False)
    assert mapping.group.id in {m.group.id for m in mappings}
    array.unmap(lun, HOST, ALL, [])
    assert [item.group for item in sim.connections] == ["cluster"]


def test_our_connection_is_not_taken_for_the_host_groups_that_was_there_before(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    sim.join("cluster", "esx-1-fc")
    lun, group = prepared(lab, array)
    sim.connect(sim.volume(lun.name), group="cluster")
    before = array.mappings_of(lun)
    sim.disconnect(sim.volume(lun.name), group="cluster")
    assert array.map(lun, group).ours
    array.unmap(lun, HOST, ALL, before)
    assert sim.connections == []


def test_a_host_in_a_group_gets_a_connection_of_its_own(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    sim.join("cluster", "esx-1-fc")
    sim.connect(sim.add_volume("datastore", 512), group="cluster")
    lun, group = prepared(lab, array)
    assert array.map(lun, group).ours
    array.unmap(lun, HOST, ALL, [])
    assert [item.group for item in sim.connections] == ["cluster"]


def test_a_connection_of_an_empty_group_has_no_host(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    sim.join("nobody")
    sim.connect(sim.volume(lun.name), group="nobody")
    (before,) = array.mappings_of(lun)
    assert (before.group.name, before.initiators) == ("nobody", frozenset())
    assert array.map(lun, group).ours
    array.unmap(lun, HOST, ALL, [])
    assert [item.group for item in sim.connections] == ["nobody"]


def test_a_volume_that_nvme_hosts_use_is_refused_with_the_reason(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    sim.add_host("node", nqns=["nqn.2014-08.org.nvmexpress:uuid:1"])
    lun, group = prepared(lab, array)
    sim.connect(sim.volume(lun.name), "node")
    (before,) = array.mappings_of(lun)
    assert (before.group.name, before.lun_id, before.initiators) == ("node", None, frozenset())
    with pytest.raises(StorageError, match="Non-NVME") as caught:
        array.map(lun, group)
    assert "NVMe" in caught.value.hint
    assert len([path for path in paths(lab) if path.startswith("POST")]) == 1
    array.unmap(lun, HOST, ALL, [])
    assert len(sim.connections) == 1


def test_a_connection_of_our_host_without_a_lun_id_is_refused_and_left(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    item = sim.connect(sim.volume(lun.name), "esx-1-fc")
    item.lun, item.nsid = None, 3
    with pytest.raises(StorageError, match="by NVMe"):
        array.map(lun, group)
    array.unmap(lun, HOST, ALL, [])
    assert sim.connections == [item]


@pytest.mark.parametrize(
    ("message", "says"),
    [("Host does not exist.", "Host does not exist"), ("Volume does not exist.", "Volume does not")],
)
def test_what_does_not_exist_is_not_asked_for_twice(
    lab: PureLab, array: StorageArray, message: str, says: str
) -> None:
    lun, group = prepared(lab, array)
    lab.server.before("POST", CONNECTIONS, lambda _: refuse(message))
    with pytest.raises(StorageError, match=says):
        array.map(lun, group)
    assert paths(lab) == [f"POST {CONNECTIONS}", f"GET {CONNECTIONS}"]


def test_all_pages_of_connections_are_read(lab: PureLab, sim: PureSimulator, array: StorageArray) -> None:
    lun, group = prepared(lab, array)
    for number in range(7):
        name = sim.add_host(f"a{number}", iqns=[f"iqn.1998-01.com.vmware:a{number}"]).name
        sim.connect(sim.volume(lun.name), name)
    array.map(lun, group)
    sim.page_size = 3
    other = connect(lab)
    assert len(other.mappings_of(lun)) == 8
    other.unmap(lun, HOST, ALL, [])
    assert "esx-1-fc" not in {item.host for item in sim.connections}


def test_connections_that_may_not_be_listed_are_no_missing_volume(lab: PureLab, array: StorageArray) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    for act in (lambda: array.mappings_of(lun), lambda: array.unmap(lun, HOST, ALL, [])):
        lab.server.before("GET", CONNECTIONS, answering(refuse("Operation not permitted.", 403)))
        with pytest.raises(StorageError, match="not permitted"):
            act()


def test_unmapping_what_is_gone_is_success(lab: PureLab, sim: PureSimulator, array: StorageArray) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    lab.server.before("DELETE", CONNECTIONS, lambda _: sim.disconnect(sim.volume(lun.name), "esx-1-fc"))
    array.unmap(lun, HOST, ALL, [])
    assert sim.connections == []


def test_a_connection_that_is_said_to_be_gone_is_looked_for(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    lab.server.before("DELETE", CONNECTIONS, lambda _: refuse("Connection does not exist."))
    array.unmap(lun, HOST, ALL, [])
    assert sim.connections == []
    array.map(lun, group)
    lab.server.before("DELETE", CONNECTIONS, lambda _: refuse("Connection does not exist."), times=99)
    with pytest.raises(StorageError, match="and lists one"):
        array.unmap(lun, HOST, ALL, [])


def test_other_refusals_to_disconnect_are_errors(lab: PureLab, array: StorageArray) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    lab.server.before("DELETE", CONNECTIONS, lambda _: refuse("Volume is protected."))
    with pytest.raises(StorageError, match="Volume is protected"):
        array.unmap(lun, HOST, ALL, [])


def test_a_disconnection_that_fails_does_not_keep_the_other_from_being_made(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun = array.find_lun(lab.add_volume())
    for initiator in (FC, IQN):
        array.map(lun, ensure(array, initiator))
    assert len(sim.connections) == 2
    lab.server.before("DELETE", CONNECTIONS, lambda _: refuse("Volume is protected."))
    with pytest.raises(StorageError, match="Volume is protected"):
        array.unmap(lun, HOST, ALL, [])
    assert len(sim.connections) == 1


def test_what_was_connected_to_a_host_stays_ours_though_its_initiators_move(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    sim.set_initiators("esx-1-fc", [], [])
    sim.add_host("esx-1-new", wwns=["20:00:00:25:B5:AA:00:01"])
    array.unmap(lun, HOST, ALL, [])
    assert sim.connections == []


def test_a_host_that_was_renamed_meanwhile_is_disconnected_all_the_same(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    sim.rename_host("esx-1-fc", "esx-1-new")
    array.unmap(lun, HOST, ALL, [])
    assert sim.connections == []


def test_a_volume_that_was_renamed_meanwhile_is_disconnected_all_the_same(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    sim.volumes[lun.id].name = "renamed"
    assert [mapping.group.name for mapping in array.mappings_of(lun)] == ["esx-1-fc"]
    array.unmap(lun, HOST, ALL, [])
    assert sim.connections == []


def test_a_volume_that_was_replaced_meanwhile_is_left_alone(
    lab: PureLab, sim: PureSimulator, array: StorageArray
) -> None:
    lun, _ = prepared(lab, array)
    sim.remove_volume(lun.id)
    stranger = sim.add_volume(lun.name, 1 << 20)
    sim.connect(stranger, "esx-1-fc")
    for act in (lambda: array.mappings_of(lun), lambda: array.unmap(lun, HOST, ALL, [])):
        with pytest.raises(StorageError, match="is another volume"):
            act()
    assert len(sim.connections) == 1


@pytest.mark.parametrize("eradicated", [False, True])
def test_a_volume_that_is_gone_has_no_connections(
    lab: PureLab, sim: PureSimulator, array: StorageArray, *, eradicated: bool
) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    (sim.remove_volume if eradicated else sim.destroy_volume)(lun.id)
    assert array.mappings_of(lun) == ()
    array.unmap(lun, HOST, ALL, [])


def test_a_run_of_a_second_process_knows_the_hosts_of_connections(lab: PureLab, array: StorageArray) -> None:
    lun, group = prepared(lab, array)
    array.map(lun, group)
    other = connect(lab)
    other.info()
    lab.calls.clear()
    (mapping,) = other.mappings_of(lun)
    assert mapping.initiators == {FC, FC_2}
    assert paths(lab) == [f"GET {CONNECTIONS}", f"GET {HOSTS}"]
    other.mappings_of(lun)
    assert paths(lab)[2:] == [f"GET {CONNECTIONS}"]


def test_twenty_populators_of_one_host(lab: PureLab, sim: PureSimulator) -> None:
    """All wish for the same LUN id, which one of them gets."""
    volumes = [lab.add_volume() for _ in range(20)]
    for volume in volumes:  # their serial numbers end alike
        made = lab.volume(volume)
        lab.san.delete_lun(made.naa)
        made.serial = f"{int(made.serial[-8:], 16):016X}{5:08X}"
        lab.san.create_lun(made.naa, made.size)
    start, given = threading.Barrier(20), list[int | None]()

    def populate(volume: Volume) -> None:
        array = connect(lab)
        lun = array.find_lun(volume)
        group = ensure(array, FC)
        start.wait(60)
        given.append(array.map(lun, group).lun_id)
        start.wait(60)
        array.unmap(lun, HOST, ALL, [])
        array.close()

    at_once(populate, volumes)
    assert len(set(given)) == 20
    assert sim.connections == []
    assert lab.sessions == 0


# An array that is busy


@pytest.mark.parametrize(
    ("reply", "waits"),
    [
        (refuse("Server is busy", 500), 0),
        (Reply(429, {"message": "API rate limit exceeded"}, {"Retry-After": "9"}), 9),
        (Reply(429, {"message": "API rate limit exceeded"}, {"RateLimit-Reset": "7"}), 7),
        (refuse("unavailable", 503, Retry_After="5"), 5),
    ],
)
@pytest.mark.parametrize("call", ["login", "volumes"])
def test_a_busy_array_is_asked_again_when_it_says(
    lab: PureLab, reply: Reply, waits: float, call: str
) -> None:
    """The gateway answers before the log-in is looked at."""
    clock, volume = QuickClock(), lab.add_volume()
    lab.server.before("POST" if call == "login" else "GET", f"/api/2.26/{call}", lambda _: reply)
    assert connect(lab, clock).find_lun(volume).size
    assert waits <= clock.waited < waits + 3


def test_busy_for_ever_ends_at_the_deadline(lab: PureLab) -> None:
    clock = QuickClock()
    lab.server.before("GET", VOLUMES, lambda _: refuse("Server is busy", 500), times=999)
    error = fails(connect(lab, clock), lab.add_volume())
    assert "Server is busy" in error.text
    assert 20 < clock.waited < 40


def test_secrets_are_in_no_error(lab: PureLab) -> None:
    """Whichever step of the log-in fails, and however."""
    secrets = [USERS["admin"].password, USERS["admin"].token]
    for path in ("/api/1.19/auth/apitoken", "/api/2.26/login"):
        for reply in (refuse("no"), Reply(200, b"<html>"), Reply(200, {}), refuse("no", 401)):
            lab.server.before("POST", path, answering(reply))
            with pytest.raises(StorageError) as caught:
                connect(lab, **USER).info()
            error: BaseException | None = caught.value
            while error is not None:
                assert not [secret for secret in secrets if secret in f"{error} {error!r} {vars(error)}"]
                error = error.__cause__
