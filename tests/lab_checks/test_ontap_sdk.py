"""NetApp's own SDK against our simulator: what an independent client of the API makes of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from netapp_ontap import HostConnection, NetAppRestError
from netapp_ontap.resources import (
    Cluster,
    FcLogin,
    Igroup,
    IgroupInitiator,
    IscsiSession,
    Job,
    Lun,
    LunMap,
    Node,
    Svm,
    Volume,
)

from tests.lab.arrays.ontap import fields as ontap_fields
from tests.lab.arrays.ontap.server import OntapSimulator, User
from tests.lab.pki import Pki
from tests.lab.san import San

IQN = "iqn.1998-01.com.vmware:esx-1"
WWPN = "20:00:00:25:b5:aa:00:01"


@pytest.fixture(autouse=True)
def trust(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """In requests this variable is stronger than the SDK's `verify`."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.ca_file))


@pytest.fixture
def san(tmp_path: Path) -> San:
    return San(tmp_path / "san")


@pytest.fixture
def sim(pki: Pki, san: San) -> Iterator[OntapSimulator]:
    users = {"admin": User("ontap-secret"), "vsadmin": User("svm-secret", svm="svm2")}
    with OntapSimulator(san, pki.server_context("ontap"), users, svms=("svm1", "svm2")) as simulator:
        yield simulator


def log_in(sim: OntapSimulator, user: str = "admin", secret: str = "") -> Any:
    secret = secret or sim.users[user].password
    return HostConnection("127.0.0.1", user, secret, port=sim.port, poll_interval=1, poll_timeout=20)


@pytest.fixture
def sdk(sim: OntapSimulator) -> Iterator[None]:
    with log_in(sim):
        yield


def names(resources: Any) -> list[str]:
    return sorted(resource.name for resource in resources)


def refused(call: Any) -> tuple[int, str]:
    """Return HTTP status and error code."""
    with pytest.raises(NetAppRestError) as caught:
        call()
    return caught.value.status_code, caught.value.response_body["error"]["code"]


def test_log_in(sim: OntapSimulator) -> None:
    with log_in(sim):
        cluster = Cluster()
        cluster.get()
        assert (cluster.version.generation, cluster.version.major, cluster.version.minor) == (9, 15, 1)
        assert [node.model for node in Node.get_collection(fields="model,version")] == ["AFF-A400"] * 2
    with log_in(sim, secret="wrong"):
        assert refused(lambda: list(Svm.get_collection())) == (401, "6691623")
    with log_in(sim, "vsadmin"):
        assert names(Svm.get_collection()) == ["svm2"]
        assert refused(Cluster().get) == (403, "6")


def test_the_certificate_is_a_real_one(sim: OntapSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    with log_in(sim), pytest.raises(NetAppRestError, match="CERTIFICATE_VERIFY_FAILED"):
        list(Svm.get_collection())
    assert sim.calls == []


@pytest.mark.usefixtures("sdk")
def test_lists_with_paging_order_and_queries(sim: OntapSimulator) -> None:
    for number in range(7):
        sim.add_lun(f"/vol/f{number}/lun0", "svm1", (number + 1) << 20)
    sim.add_lun("/vol/other/lun0", "svm2", 1 << 20)
    assert names(Svm.get_collection()) == ["svm1", "svm2"]
    sim.calls.clear()
    assert len(names(Lun.get_collection(max_records=3))) == 8
    assert len(sim.calls) == 3
    by_size = Lun.get_collection(order_by="space.size desc", fields="space.size", max_records=2)
    assert [lun.space.size >> 20 for lun in by_size] == [7, 6, 5, 4, 3, 2, 1, 1]

    def found(**query: str) -> list[str]:
        return names(Lun.get_collection(**{name.replace("__", "."): value for name, value in query.items()}))

    assert found(svm__name="svm2") == ["/vol/other/lun0"]
    assert found(svm__name="!svm1") == ["/vol/other/lun0"]
    assert found(name="/vol/f1/lun0|/vol/f2/lun0") == ["/vol/f1/lun0", "/vol/f2/lun0"]
    assert found(name="/vol/o*") == ["/vol/other/lun0"]
    assert found(space__size=f"{6 << 20}..{9 << 20}") == ["/vol/f5/lun0", "/vol/f6/lun0"]
    assert found(space__size=f">{6 << 20}") == ["/vol/f6/lun0"]
    assert found(status__mapped="true") == []
    assert found(name='"/vol/f1/lun0|/vol/f2/lun0"') == []
    assert Lun.count_collection(**{"svm.name": "svm1"}) == 7
    assert refused(lambda: list(Lun.get_collection(colour="red"))) == (400, "262179")
    assert refused(lambda: list(Lun.get_collection(fields="colour"))) == (400, "262197")


@pytest.mark.usefixtures("sdk")
def test_a_serial_number_with_a_plus_survives_the_url(sim: OntapSimulator) -> None:
    sim.add_lun("/vol/f/lun0", "svm1", 1 << 20, serial="wf0Iq+N4uck3")
    found = list(Lun.get_collection(serial_number="wf0Iq+N4uck3", fields="name"))
    assert names(found) == ["/vol/f/lun0"]


@pytest.mark.usefixtures("sdk")
def test_properties_of_a_lun(sim: OntapSimulator) -> None:
    key = sim.add_lun("/vol/f/lun0", "svm1", 1 << 20)
    lun = Lun(uuid=key)
    lun.get()
    assert (lun.name, lun.space.size, lun.status.state, lun.enabled) == (
        "/vol/f/lun0",
        1 << 20,
        "online",
        True,
    )
    assert not hasattr(lun, "lun_maps")  # an expensive property, given only when asked for
    sim.add_map(key, sim.add_group("g", "svm1", [IQN]))
    lun.get(fields="lun_maps")
    assert [item.igroup.name for item in lun.lun_maps] == ["g"]
    assert refused(Lun(uuid="no-such-lun").get) == (404, "4")


@pytest.mark.usefixtures("sdk")
def test_igroups_and_maps_from_beginning_to_end(sim: OntapSimulator, san: San) -> None:
    lun_key = sim.add_lun("/vol/f/lun0", "svm1", 1 << 20)
    naa = sim.luns[lun_key].naa
    group = Igroup(
        svm={"name": "svm1"},
        name="g",
        protocol="mixed",
        os_type="vmware",
        initiators=[{"name": IQN}],
    )
    group.post(hydrate=True)
    assert (group.uuid, group.protocol, [i.name for i in group.initiators]) == (
        sim.find_group("g", "svm1").uuid,  # type: ignore[union-attr]
        "mixed",
        [IQN],
    )
    IgroupInitiator(group.uuid, name=WWPN.upper()).post()
    assert names(IgroupInitiator.get_collection(group.uuid)) == [WWPN, IQN]

    mapping = LunMap(svm={"name": "svm1"}, igroup={"name": "g"}, lun={"name": "/vol/f/lun0"})
    mapping.post(hydrate=True)
    assert (mapping.lun.uuid, mapping.igroup.uuid, mapping.logical_unit_number) == (lun_key, group.uuid, 0)
    assert san.seen_by([IQN]) == san.seen_by(["20000025b5aa0001"]) == {naa: 0}
    [listed] = LunMap.get_collection(
        **{"lun.uuid": lun_key, "fields": "logical_unit_number,igroup.initiators"}
    )
    assert (listed.logical_unit_number, listed.igroup.initiators) == (0, [IQN, WWPN])

    assert refused(Igroup(uuid=group.uuid).delete) == (409, "1254213")
    LunMap(**{"lun.uuid": lun_key, "igroup.uuid": group.uuid}).delete()
    assert san.seen_by([IQN]) == {}
    IgroupInitiator(group.uuid, name=WWPN).delete()
    Igroup(uuid=group.uuid).delete()
    assert names(Igroup.get_collection()) == []


@pytest.mark.usefixtures("sdk")
def test_the_arrays_rules_and_their_codes(sim: OntapSimulator) -> None:
    first, second = (sim.add_lun(f"/vol/f{n}/lun0", "svm1", 1 << 20) for n in (1, 2))
    group = sim.add_group("g", "svm1", [IQN], "iscsi")
    twin = sim.add_group("twin", "svm1", [IQN, "iqn.1998-01.com.lab:other"], "iscsi")
    empty = sim.add_group("empty", "svm1", [], "iscsi")

    def igroup(name: str = "new", os_type: str = "vmware", initiator: str = IQN, svm: str = "svm1") -> Any:
        body = {"svm": {"name": svm}, "name": name, "protocol": "iscsi", "os_type": os_type}
        return Igroup(**body, initiators=[{"name": initiator}]).post

    def lun_map(lun: str, to: str, **more: object) -> Any:
        return LunMap(svm={"name": "svm1"}, lun={"uuid": lun}, igroup={"uuid": to}, **more).post

    def member(of: str, name: str) -> Any:
        return IgroupInitiator(of, name=name).post

    assert refused(igroup("g")) == (409, "5374023")
    assert refused(igroup(os_type="linux")) == (409, "5374732")
    assert refused(igroup(svm="svm9")) == (404, "2621462")
    assert refused(igroup(initiator=WWPN)) == (400, "5374038")
    assert refused(igroup(initiator="nonsense")) == (400, "5373993")
    assert refused(igroup(initiator="iqn.bad")) == (400, "5374039")
    assert refused(member(group, IQN)) == (409, "5374035")
    assert refused(member("no-such-group", IQN)) == (404, "5374852")

    lun_map(first, group)()
    assert refused(lun_map(first, group)) == (409, "1254207")
    assert refused(lun_map(first, twin)) == (409, "1254193")
    assert refused(lun_map(second, twin, logical_unit_number=0)) == (409, "1254324")
    lun_map(second, twin)()
    assert sim.find_map(second, twin).lun_id == 1  # type: ignore[union-attr]
    sim.add_map(first, empty, 7)
    assert refused(member(empty, IQN)) == (409, "1254193")
    sim.remove_map(first, empty)
    third = sim.add_lun("/vol/f3/lun0", "svm1", 1 << 20)
    sim.add_map(third, empty, 1)
    assert refused(member(empty, IQN)) == (409, "1254324")

    sim.luns[third].kind = "vvol"
    assert refused(lun_map(third, group)) == (400, "5374329")
    assert refused(LunMap(**{"lun.uuid": third, "igroup.uuid": group}).delete) == (404, "5374922")
    assert refused(LunMap(**{"lun.uuid": "no-such-lun", "igroup.uuid": group}).delete) == (404, "5374875")
    assert refused(LunMap(**{"lun.uuid": third, "igroup.uuid": "no-such"}).delete) == (404, "5374878")


@pytest.mark.usefixtures("sdk")
def test_the_same_names_on_two_svms_do_not_meet(sim: OntapSimulator) -> None:
    lun = sim.add_lun("/vol/f/lun0", "svm1", 1 << 20)
    sim.add_lun("/vol/f/lun0", "svm2", 1 << 20)
    sim.add_group("g", "svm1", [IQN])
    foreign = sim.add_group("g", "svm2", [IQN], os_type="linux")  # OS types need agree within an SVM only
    assert refused(LunMap(svm={"name": "svm1"}, lun={"uuid": lun}, igroup={"uuid": foreign}).post) == (
        404,
        "5374852",
    )
    found = list(Igroup.get_collection(**{"name": "g", "svm.name": "svm2"}))
    assert [group.uuid for group in found] == [foreign]


@pytest.mark.usefixtures("sdk")
def test_what_takes_long_is_a_job(sim: OntapSimulator, san: San) -> None:
    lun = Lun(svm={"name": "svm1"}, name="/vol/f/lun0", os_type="linux", space={"size": 1 << 20})
    response = lun.post(poll=False, return_timeout=0)
    assert response.is_job
    assert sim.luns == {}
    assert response.poll().http_response.json()["state"] == "success"
    [key] = sim.luns
    assert list(san.luns) == [sim.luns[key].naa]
    Lun(uuid=key).delete(return_timeout=0)
    assert sim.luns == {}
    assert san.luns == {}


@pytest.mark.usefixtures("sdk")
def test_a_job_may_fail(sim: OntapSimulator) -> None:
    lun = Lun(svm={"name": "svm1"}, name="/vol/f/lun0", os_type="linux", space={"size": 1 << 20})
    response = lun.post(poll=False, return_timeout=0)
    sim.add_lun("/vol/f/lun0", "svm1", 1 << 20)
    with pytest.raises(NetAppRestError, match="already exists"):
        response.poll()


@pytest.mark.usefixtures("sdk")
def test_luns_can_be_taken_offline(sim: OntapSimulator) -> None:
    key = sim.add_lun("/vol/f/lun0", "svm1", 1 << 20)
    lun = Lun(uuid=key)
    lun.get()
    lun.enabled = False
    lun.patch()
    assert sim.luns[key].state == "offline"


@pytest.mark.parametrize(
    ("resource", "known"),
    [
        (Lun, ontap_fields.LUNS),
        (Igroup, ontap_fields.IGROUPS),
        (LunMap, ontap_fields.LUN_MAPS),
        (IscsiSession, ontap_fields.ISCSI_SESSIONS),
        (FcLogin, ontap_fields.FC_LOGINS),
        (Svm, ontap_fields.SVMS),
        (Volume, ontap_fields.VOLUMES),
        (Cluster, ontap_fields.CLUSTER),
        (Node, ontap_fields.NODES),
        (Job, ontap_fields.JOBS),
        (IgroupInitiator, ontap_fields.IGROUP_INITIATORS),
    ],
)
def test_every_property_that_the_sdk_knows_may_be_asked_for(resource: Any, known: tuple[str, ...]) -> None:
    fields = resource._schema.gettable_fields
    assert {field.split(".")[0].rstrip("_") for field in fields if field != "links"} == set(known)


@pytest.mark.usefixtures("sdk")
def test_the_sdk_lists_with_all_fields_and_in_either_spelling(sim: OntapSimulator) -> None:
    lun = sim.add_lun("/vol/v/lun0", "svm1", 1 << 20)
    sim.add_map(lun, sim.add_group("g", "svm1", [IQN], "iscsi"))
    (found,) = Lun.get_collection(fields="qos_policy.name,create_time,comment,location,lun_maps,access_mode")
    assert found.create_time
    assert found.lun_maps[0].logical_unit_number == 0
    (mapped,) = LunMap.get_collection(fields="igroup,logical-unit-number")
    assert mapped.logical_unit_number == 0


@pytest.mark.usefixtures("sdk")
def test_an_svm_says_what_it_serves(sim: OntapSimulator) -> None:
    sim.svm("svm1").services = {"iscsi"}
    served = {
        svm.name: (svm.fcp.enabled, svm.iscsi.enabled) for svm in Svm.get_collection(fields="fcp,iscsi")
    }
    assert served == {"svm1": (False, True), "svm2": (True, True)}
    assert not hasattr(next(iter(Svm.get_collection(fields="comment,dns"))), "fcp")


@pytest.mark.usefixtures("sdk")
def test_the_sdk_lists_who_is_logged_in(sim: OntapSimulator) -> None:
    sim.log_in("svm1", WWPN)
    sim.log_in("svm1", IQN)
    assert [login.initiator.wwpn for login in FcLogin.get_collection(fields="initiator")] == [WWPN]
    assert [session.initiator.name for session in IscsiSession.get_collection(fields="initiator")] == [IQN]
