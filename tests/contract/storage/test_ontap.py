"""ONTAP's own cases: names, races, odd answers, and what happens when one call of a run fails."""

import os
import signal
import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from populator.errors import Cancelled, StorageError
from populator.storage.address import origin
from populator.storage.array import Group, Lun, Mapping, StorageArray, Volume
from populator.storage.failures import Refused, Unanswered
from populator.storage.own_names import stem
from populator.storage.vendors.ontap import names
from tests.contract.storage.hosts import FC, HOST, IQN, ensure
from tests.lab.arrays import QuickClock, connect, fc, iscsi
from tests.lab.arrays.ontap.lab import OntapLab
from tests.lab.arrays.ontap.server import OntapSimulator, User
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.pki import Pki
from tests.lab.san import San
from vsphere.model import Initiator, InitiatorKind

WWPN = "20:00:00:25:b5:aa:00:01"
ISCSI_GROUP, FC_GROUP = "xcopy-hostsystem-host-1234-iscsi", "xcopy-hostsystem-host-1234-fcp"
GROUPS, MAPS, LUNS = "/protocols/san/igroups", "/protocols/san/lun-maps", "/storage/luns"


@pytest.fixture
def lab(rack: Rack) -> OntapLab:
    return rack.add(OntapLab)


def error(status: int, code: str, message: str = "the array's own words") -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})


def writes(sim: OntapSimulator) -> list[tuple[str, str]]:
    return [(method, path.removeprefix("/api")) for method, path in sim.calls if method != "GET"]


def volume(**attributes: str) -> Volume:
    return Volume("pvc-1", "csi.trident.netapp.io", "pvc-1", attributes)


def unmap(array: StorageArray, lun: Lun) -> None:
    array.unmap(lun, HOST, {IQN, FC}, ())


def run(array: StorageArray, wanted: Volume, initiator: Initiator) -> Mapping:
    """Do what the populator does to an array for one disk."""
    array.info()
    lun = array.find_lun(wanted)
    array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, initiator))
    unmap(array, lun)
    return mapping


# Addresses and the SVM


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("h", "https://h"),
        ("h:8443", "https://h:8443"),
        ("https://h/", "https://h"),
        ("https://h:8443/api/", "https://h:8443"),
        ("http://h", "https://h"),
        (" h ", "https://h"),
        ("https://admin:secret@h/", "https://h"),
        ("fd00::1", "https://[fd00::1]"),
        ("[fd00::1]:8443", "https://[fd00::1]:8443"),
    ],
)
def test_host_forms(given: str, expected: str) -> None:
    assert origin(given) == expected


@pytest.mark.parametrize("given", ["", "https://", "h:port", "https:///api", "h:99999"])
def test_what_is_no_host_is_refused(given: str) -> None:
    with pytest.raises(StorageError, match="STORAGE_HOSTNAME"):
        origin(given)


@pytest.mark.parametrize("form", ["https://{}/", "https://{}/api", "{}"])
def test_host_forms_reach_the_array(lab: OntapLab, form: str) -> None:
    assert connect(lab, hostname=form.format(lab.simulator.address)).info().version == "9.15.1"


def test_one_svm_needs_no_name(pki: Pki, lab: OntapLab, tmp_path: Path) -> None:
    with OntapSimulator(San(tmp_path / "one"), pki.server_context("one")) as single:
        single.add_lun("/vol/f/lun0", "svm1", 4096)
        found = connect(lab, hostname=single.address, options={}).find_lun(volume(internalName="f"))
        assert found.name == "/vol/f/lun0"


def test_several_svms_need_one(lab: OntapLab) -> None:
    with pytest.raises(StorageError, match=r"2 SVMs.*svm1, svm2") as caught:
        connect(lab, options={"ONTAP_SVM": ""}).find_lun(lab.add_volume())
    assert "ONTAP_SVM" in caught.value.hint


@pytest.mark.parametrize("svm", ["svm9", "svm*", "svm1|svm2", "!svm2"])
def test_an_unknown_svm_is_an_error_and_never_a_query(lab: OntapLab, svm: str) -> None:
    with pytest.raises(StorageError, match="has no SVM"):
        connect(lab, options={"ONTAP_SVM": svm}).find_lun(lab.add_volume())


def test_the_credentials_of_one_svm_are_enough(lab: OntapLab, sim: OntapSimulator) -> None:
    sim.users["vsadmin"] = User("svm-secret", svm="svm1")
    array = connect(lab, username="vsadmin", password="svm-secret", options={})
    assert run(array, lab.add_volume(), IQN).ours
    assert array.info().version == ""
    assert len(sim.calls) - 2 <= 12


# info


def test_info_of_a_cluster(array: StorageArray) -> None:
    info = array.info()
    assert (info.vendor, info.product, info.model, info.version) == ("NetApp", "ONTAP", "AFF-A400", "9.15.1")


def test_info_without_rights_is_empty_and_the_driver_works(lab: OntapLab, sim: OntapSimulator) -> None:
    sim.cluster_forbidden = True
    array = connect(lab)
    info = array.info()
    assert (info.vendor, info.product, info.model, info.version) == ("NetApp", "ONTAP", "", "")
    assert array.find_lun(lab.add_volume()).size


def test_wrong_credentials_are_tried_once(lab: OntapLab, sim: OntapSimulator) -> None:
    """Each wrong try counts towards locking the account."""
    with pytest.raises(Refused) as caught:
        connect(lab, password="wrong").info()
    assert caught.value.status == 401
    assert len(sim.calls) == 1


# The volume's LUN


ECONOMY = (
    "/svm/svm1/flexvol/trident_lun_pool_copy_offload_cluster_ASVRVZBSPB"
    "/lun/copy_offload_cluster_pvc_5c9d270a_11c8_4c36_9f12_f0d5f69870cf"
)
ECONOMY_PATH = (
    "/vol/trident_lun_pool_copy_offload_cluster_ASVRVZBSPB"
    "/copy_offload_cluster_pvc_5c9d270a_11c8_4c36_9f12_f0d5f69870cf"
)


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ({"internalID": ECONOMY, "internalName": "ignored"}, ECONOMY_PATH),
        ({"internalName": "trident_pvc_1"}, "/vol/trident_pvc_1/lun0"),
        ({"internalID": "/svm/svm1/lun/pvc_1"}, "pvc_1"),
        ({"internalID": "/svm/svm1/flexvol/f"}, "/vol/f/lun0"),
        ({"internalID": "arn:aws:fsx:us-east-1:1:volume/fs-1/fsvol-2", "internalName": "f"}, "/vol/f/lun0"),
        ({"internalName": "imported"}, "/vol/imported/some-old-name"),
        ({"internalID": "/svm/svm1/flexvol/imported"}, "/vol/imported/qtree/old"),
    ],
)
def test_the_forms_in_which_trident_names_a_lun(
    array: StorageArray, sim: OntapSimulator, attributes: dict[str, str], path: str
) -> None:
    sim.add_lun("/vol/other/lun0", "svm1", 4096)
    key = sim.add_lun(path, "svm1", 8192)
    lun = array.find_lun(volume(**attributes))
    assert (lun.id, lun.name, lun.size, lun.device) == (key, path, 8192, sim.luns[key].naa)


def test_lun0_is_taken_among_several(array: StorageArray, sim: OntapSimulator) -> None:
    sim.add_lun("/vol/f/copy-of-lun0", "svm1", 4096)
    key = sim.add_lun("/vol/f/lun0", "svm1", 4096)
    assert array.find_lun(volume(internalName="f")).id == key


def test_several_candidates_are_an_error_that_lists_them(array: StorageArray, sim: OntapSimulator) -> None:
    sim.add_lun("/vol/f/one", "svm1", 4096)
    sim.add_lun("/vol/f/two", "svm1", 4096)
    with pytest.raises(StorageError, match=r"holds 2 LUNs, none of them lun0: /vol/f/one, /vol/f/two"):
        array.find_lun(volume(internalName="f"))


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({}, "neither internalID nor internalName"),
        ({"internalID": "/svm/svm2/flexvol/f/lun/l"}, "SVM 'svm2'"),
        ({"internalID": "/svm/svm1/flexvol/f/namespace/n"}, "NVMe"),
        ({"internalName": "f", "protocol": "file"}, "file share"),
        ({"internalName": "missing"}, "no LUN /vol/missing/lun0"),
        ({"internalID": "/svm/svm1/flexvol/f/lun/*"}, "no LUN"),
        ({"internalID": "/svm/svm1/flexvol/f/lun/lun0|lun1"}, "no LUN"),
        ({"internalName": "*"}, "no LUN"),
    ],
)
def test_volumes_that_lead_to_no_lun(
    array: StorageArray, sim: OntapSimulator, attributes: dict[str, str], says: str
) -> None:
    sim.add_lun("/vol/f/lun0", "svm1", 4096)
    with pytest.raises(StorageError) as caught:
        array.find_lun(volume(**attributes))
    assert says in caught.value.text
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "vvol"}, "class 'vvol'"),
        ({"kind": "protocol_endpoint"}, "class 'protocol_endpoint'"),
        ({"state": "offline"}, "is offline"),
        ({"enabled": False}, "is disabled"),
        ({"serial": "short"}, "serial number"),
    ],
)
def test_luns_that_cannot_be_used(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator, change: dict[str, object], says: str
) -> None:
    wanted = lab.add_volume()
    for name, value in change.items():
        setattr(sim.luns[lab.uuid(wanted)], name, value)
    with pytest.raises(StorageError, match=says):
        array.find_lun(wanted)


@pytest.mark.parametrize(
    ("serial", "device"),
    [
        ("819TI$X101LA", "naa.600a0980383139544924583130314c41"),
        ("wf0Iq+N4uck3", "naa.600a098077663049712b4e3475636b33"),
        ("819TI$X102P-", "naa.600a098038313954492458313032502d"),
    ],
)
def test_device_names(array: StorageArray, sim: OntapSimulator, serial: str, device: str) -> None:
    sim.add_lun("/vol/f/lun0", "svm1", 4096, serial=serial)
    assert array.find_lun(volume(internalName="f")).device == device


def test_the_same_path_on_two_svms(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    wanted = lab.add_volume()
    path = sim.luns[lab.uuid(wanted)].path
    twin = sim.add_lun(path, "svm2", 4096)
    twin_group = sim.add_group(ISCSI_GROUP, "svm2", [IQN.name])
    sim.add_map(twin, twin_group)
    lun = array.find_lun(wanted)
    assert lun.id == lab.uuid(wanted)
    assert array.mappings_of(lun) == ()
    array.map(lun, ensure(array, IQN))
    unmap(array, lun)
    assert sim.find_map(twin, twin_group) is not None
    assert sim.find_group(ISCSI_GROUP, "svm1") is None


# Igroups


def test_an_igroup_is_made_in_one_call(array: StorageArray, sim: OntapSimulator) -> None:
    ensure(array, FC)
    assert writes(sim) == [("POST", GROUPS)]
    group = sim.find_group(FC_GROUP, "svm1")
    assert group is not None
    assert (group.protocol, group.os_type, group.initiators) == ("fcp", "vmware", [WWPN])
    ensure(array, FC)
    assert len(writes(sim)) == 1


def test_the_go_populators_names_are_used_and_known() -> None:
    assert stem("host-12345") == "xcopy-hostsystem-host-12345"
    assert stem("Host-12:a") == "xcopy-hostsystem-host-12-a"
    own = {f"xcopy-hostsystem-host-1{ending}" for ending in ("-iscsi", "-fcp", "-mixed", "")}
    assert set(names.own_groups("host-1")) == own
    assert {names.host_of(group) for group in own} == {"host-1"}
    assert names.host_of("xcopy-hostsystem-host-12-fcp") == "host-12"
    for group in ("xcopy-esxs", "xcopy-", "worker-7"):
        assert names.host_of(group) is None
    assert [names.is_ours(group) for group in (*own, "xcopy-esxs", "worker-7")] == [True] * 5 + [False]


def test_initiators_are_compared_without_case(array: StorageArray, sim: OntapSimulator) -> None:
    sim.add_group(ISCSI_GROUP, "svm1", [IQN.name.upper().replace("IQN.name", "iqn"), WWPN.upper()])
    ensure(array, IQN)
    assert writes(sim) == []


def test_the_first_kind_where_both_are_there(array: StorageArray, sim: OntapSimulator) -> None:
    assert ensure(array, FC, IQN).name == FC_GROUP
    assert [(g.name, g.initiators) for g in sim.groups.values()] == [(FC_GROUP, [WWPN])]


def test_a_user_who_may_not_see_logins_gets_the_first_kind(array: StorageArray, sim: OntapSimulator) -> None:
    sim.log_in("svm1", WWPN)
    for where in ("/network/fc/logins", "/protocols/san/iscsi/sessions"):
        sim.before("GET", where, lambda _: error(403, "6", "not authorized for that command"))
    assert ensure(array, IQN, FC).name == ISCSI_GROUP


@pytest.mark.parametrize(
    ("served", "group"), [({"iscsi"}, ISCSI_GROUP), ({"fcp"}, FC_GROUP), (set(), FC_GROUP)]
)
def test_what_the_svm_does_not_serve_is_not_chosen(
    array: StorageArray, sim: OntapSimulator, served: set[str], group: str
) -> None:
    """Any user may read that, also one who may not see who is logged in."""
    sim.svm("svm1").services = served
    for where in ("/network/fc/logins", "/protocols/san/iscsi/sessions"):
        sim.before("GET", where, lambda _: error(403, "6", "not authorized for that command"))
    assert ensure(array, FC, IQN).name == group


@pytest.mark.parametrize("only", [IQN, FC])
def test_a_host_of_one_protocol_has_no_choice(
    array: StorageArray, sim: OntapSimulator, only: Initiator
) -> None:
    sim.svm("svm1").services = set()
    assert ensure(array, only).initiators == (only,)


ODD = ["iqn.bad", "iqn.1998-01.com vmware:esx", "eui.12", "", "vmhba1", "nqn.2014-08.com.vmware:nvme:esx"]


def test_initiators_offered_twice_count_once_and_odd_ones_not_at_all(
    array: StorageArray, sim: OntapSimulator
) -> None:
    odd = [*map(iscsi, ODD), Initiator(InitiatorKind.SDC, "3f4b2c1d-0000")]
    group = ensure(array, *odd, IQN, FC, IQN, *odd)
    assert (group.name, group.initiators) == (ISCSI_GROUP, (IQN,))
    assert sim.groups[group.id].initiators == [IQN.name]


def test_logins_are_asked_for_only_where_there_is_a_choice(array: StorageArray, sim: OntapSimulator) -> None:
    ensure(array, IQN)
    assert not [path for _, path in sim.calls if path.endswith(("logins", "sessions"))]


@pytest.mark.parametrize("bad", ODD)
def test_names_that_ontap_would_refuse(array: StorageArray, sim: OntapSimulator, bad: str) -> None:
    """With one of them it refuses the whole igroup."""
    with pytest.raises(StorageError, match="No initiator of the host can be used"):
        array.plan_group(HOST, [iscsi(bad)])
    assert sim.groups == {}
    assert ensure(array, iscsi(bad), FC).initiators == (FC,), "others may be"


def test_a_plan_says_what_there_is_and_what_is_missing(array: StorageArray, sim: OntapSimulator) -> None:
    plan = array.plan_group(HOST, [IQN])
    assert (plan.group, plan.missing) == (Group("", ISCSI_GROUP, (IQN,)), (IQN,))
    key = sim.add_group(ISCSI_GROUP, "svm1", [], "iscsi")
    plan = array.plan_group(HOST, [IQN])
    assert (plan.group, plan.missing) == (Group(key, ISCSI_GROUP, (IQN,)), (IQN,))
    sim.add_initiators(key, [IQN.name])
    assert array.plan_group(HOST, [IQN]).missing == ()
    assert writes(sim) == []


def test_a_plan_may_be_out_of_date(array: StorageArray, sim: OntapSimulator) -> None:
    """Somebody made the igroup since; or it was there, and somebody took it away."""
    plan = array.plan_group(HOST, [IQN])
    key = sim.add_group(ISCSI_GROUP, "svm1", [], "iscsi")
    assert array.ensure_group(plan).id == key
    assert sim.groups[key].initiators == [IQN.name]
    plan = array.plan_group(HOST, [IQN, iscsi(f"{IQN.name}-b")])
    sim.remove_group(key)
    again = array.ensure_group(plan)
    assert sim.groups[again.id].initiators == [IQN.name, f"{IQN.name}-b"]


def test_somebody_creates_the_igroup_first(array: StorageArray, sim: OntapSimulator) -> None:
    def first(_: Request) -> None:
        sim.add_group(ISCSI_GROUP, "svm1", [], "iscsi")

    sim.before("POST", GROUPS, first)
    group = ensure(array, IQN)
    assert sim.groups[group.id].initiators == [IQN.name]


def test_somebody_adds_the_initiator_first(array: StorageArray, sim: OntapSimulator) -> None:
    key = sim.add_group(ISCSI_GROUP, "svm1", [], "iscsi")
    sim.before("POST", f"{GROUPS}/{key}/initiators", lambda _: sim.add_initiators(key, [IQN.name]))
    assert ensure(array, IQN).id == key
    assert sim.groups[key].initiators == [IQN.name]


def test_somebody_deletes_the_igroup_before_the_initiator_is_added(
    array: StorageArray, sim: OntapSimulator
) -> None:
    key = sim.add_group(ISCSI_GROUP, "svm1", [], "iscsi")
    sim.before("POST", f"{GROUPS}/{key}/initiators", lambda _: sim.remove_group(key))
    group = ensure(array, IQN)
    assert group.id != key
    assert sim.groups[group.id].initiators == [IQN.name]


def test_another_conflict_is_not_taken_for_a_race(array: StorageArray, sim: OntapSimulator) -> None:
    sim.add_group("linux-group", "svm1", [IQN.name], os_type="linux")
    with pytest.raises(StorageError, match=r"linux-group.*5374732"):
        ensure(array, IQN)
    key = sim.add_group(ISCSI_GROUP, "svm1", [], "iscsi")
    with pytest.raises(StorageError, match=r"linux-group.*5374734"):
        ensure(array, IQN)
    assert sim.groups[key].initiators == []


@pytest.mark.parametrize(("protocol", "os_type"), [("fcp", "vmware"), ("iscsi", "linux")])
def test_an_igroup_of_our_name_that_is_not_ours(
    array: StorageArray, sim: OntapSimulator, protocol: str, os_type: str
) -> None:
    sim.add_group(ISCSI_GROUP, "svm1", [], protocol, os_type)
    with pytest.raises(StorageError, match="exists with protocol"):
        ensure(array, IQN)
    assert writes(sim) == []


# Maps


def test_all_pages_of_maps_are_read(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    wanted = lab.add_volume()
    for number in range(7):
        lab.add_map(wanted, lab.add_group(f"worker-{number}", [iscsi(f"iqn.1998-01.com.lab:w{number}")]))
    sim.page_size = 3
    lun = array.find_lun(wanted)
    sim.calls.clear()
    assert {m.group.name for m in array.mappings_of(lun)} == {f"worker-{number}" for number in range(7)}
    assert len(sim.calls) == 3


def test_mapped_already(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    wanted = lab.add_volume()
    lun, group = array.find_lun(wanted), ensure(array, IQN)
    sim.add_map(lun.id, group.id, 17)
    mapping = array.map(lun, group)
    assert (mapping.lun_id, mapping.ours, mapping.group) == (17, True, group)


def test_no_interface_for_the_protocol(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.before("POST", MAPS, lambda _: error(400, "5374573", "A node has no interface for iSCSI"), times=9)
    with pytest.raises(Refused, match=r"A node has no interface for iSCSI.*5374573"):
        array.map(lun, group)
    assert writes(sim).count(("POST", MAPS)) == 2, "by a LUN id of ours, and by one of its choice"


def test_the_igroup_vanishes_before_the_map(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.before("POST", MAPS, lambda _: sim.remove_group(group.id))
    mapping = array.map(lun, group)
    assert mapping.ours
    assert mapping.group.id != group.id
    assert lab.san.seen_by([IQN.name]) == {lun.device: mapping.lun_id}


def test_an_igroup_that_always_vanishes_is_an_error(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)

    def vanish(_: Request) -> None:
        for key in list(sim.groups):
            sim.remove_group(key)

    sim.before("POST", MAPS, vanish, times=100)
    with pytest.raises(Refused):
        array.map(lun, group)
    assert writes(sim).count(("POST", MAPS)) < 10


@pytest.mark.parametrize("code", ["1254193", "9999999"])
def test_seen_through_another_group_whatever_the_code(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator, code: str
) -> None:
    wanted = lab.add_volume()
    lab.add_map(wanted, lab.add_group("esx-cluster", [FC, fc("20000025b5aa0002")]))
    sim.seen_twice_code = code
    lun = array.find_lun(wanted)
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.name, mapping.ours) == ("esx-cluster", False)


def test_a_lun_id_that_esxi_does_not_see(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    wanted = lab.add_volume()
    lun, group = array.find_lun(wanted), ensure(array, IQN)
    sim.add_map(lun.id, group.id, 1024)
    with pytest.raises(StorageError, match=r"LUN id 1024.*0 to 1023") as caught:
        array.map(lun, group)
    assert caught.value.hint
    unmap(array, lun)
    assert lab.state() == ([], [])


def test_lun_id_1023_is_fine(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)
    sim.add_map(lun.id, group.id, 1023)
    assert array.map(lun, group).lun_id == 1023


# Restore


@pytest.mark.parametrize("code", ["5374922", "5374875", "5374878", "4"])
def test_unmapping_what_is_gone_is_success(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator, code: str
) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    sim.before("DELETE", MAPS, lambda _: error(404, code))
    unmap(array, lun)


def test_other_refusals_to_unmap_are_not(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    sim.before("DELETE", MAPS, lambda _: error(401, "6691623"))
    with pytest.raises(Refused) as caught:
        unmap(array, lun)
    assert caught.value.status == 401


def test_a_step_that_fails_does_not_keep_the_others_from_being_done(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    wanted = lab.add_volume()
    lun = array.find_lun(wanted)
    stuck, _ = [array.map(lun, ensure(array, initiator)).group for initiator in (IQN, FC)]

    def move(request: Request) -> Reply | None:
        return error(409, "5374316", "being moved") if stuck.id in request.path else None

    sim.before("DELETE", MAPS, move, times=9)
    with pytest.raises(Refused, match="being moved"):
        unmap(array, lun)
    assert sim.groups_of(lun.id) == {stuck.name}
    assert list(sim.groups) == [stuck.id]


NOT_THERE = error(404, "4", "entry doesn't exist")
EMPTY = Reply(200, {})


@pytest.mark.parametrize("reply", [NOT_THERE, EMPTY, Reply(200, {"num_records": 0})])
def test_a_list_that_is_none_is_not_taken_for_an_empty_one(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator, reply: Reply
) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    sim.before("GET", MAPS, lambda _: reply)
    with pytest.raises(StorageError):
        unmap(array, lun)
    assert sim.groups_of(lun.id) == {ISCSI_GROUP}
    unmap(array, lun)
    assert sim.groups == {}


@pytest.mark.parametrize("code", ["4", "5374922", "5374875", "5374878"])
def test_a_map_that_is_said_to_be_gone_is_looked_for(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator, code: str
) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    sim.before("DELETE", MAPS, lambda _: error(404, code, "entry doesn't exist"))
    unmap(array, lun)
    assert sim.groups == {}
    sim.before("DELETE", MAPS, lambda _: error(404, code, "entry doesn't exist"), times=1000)
    array.map(lun, ensure(array, IQN))
    with pytest.raises(StorageError, match="lists it all the same"):
        unmap(array, lun)


def test_a_group_that_is_said_to_be_gone_is_looked_for(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    lun = array.find_lun(lab.add_volume())
    array.map(lun, ensure(array, IQN))
    sim.before("DELETE", GROUPS, lambda _: NOT_THERE)
    unmap(array, lun)
    assert sim.groups == {}


@pytest.mark.parametrize("reply", [NOT_THERE, EMPTY])
def test_a_map_whose_answer_says_nothing_is_looked_for(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator, reply: Reply
) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)

    def mapped_all_the_same(_: Request) -> Reply:
        sim.add_map(lun.id, group.id)
        return reply

    sim.before("POST", MAPS, mapped_all_the_same)
    assert array.map(lun, group).lun_id == 0


def test_both_groups_of_the_host_are_removed(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    wanted = lab.add_volume()
    lun = array.find_lun(wanted)
    for initiator in (IQN, FC):
        array.map(lun, ensure(array, initiator))
    sim.add_map(lun.id, sim.add_group("admin", "svm1", ["iqn.1998-01.com.lab:a"]))
    before = array.mappings_of(lun)
    assert {m.group.name for m in before if m.ours} == {ISCSI_GROUP, FC_GROUP}
    unmap(array, lun)
    assert {group.name for group in sim.groups.values()} == {"admin"}
    assert sim.groups_of(lun.id) == {"admin"}


def test_what_is_still_mapped_is_not_mapped_again(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    wanted = lab.add_volume()
    lab.add_map(wanted, lab.add_group("worker", [iscsi("iqn.1998-01.com.lab:w")]))
    lun = array.find_lun(wanted)
    unmap(array, lun)
    assert writes(sim) == []


def test_an_igroup_that_vanishes_from_restore_is_no_error(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    lun = array.find_lun(lab.add_volume())
    group = ensure(array, IQN)
    array.map(lun, group)
    sim.before("DELETE", GROUPS, lambda _: sim.remove_group(group.id))
    unmap(array, lun)
    assert lab.state() == ([], [])


# Trouble on the way


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reads_are_repeated_while_the_array_is_busy(lab: OntapLab, sim: OntapSimulator, status: int) -> None:
    wanted = lab.add_volume()
    sim.before("GET", LUNS, lambda _: Reply(status, b"<html>busy</html>"), times=4)
    clock = QuickClock()
    assert connect(lab, clock).find_lun(wanted).size
    assert 1 < clock.waited < 10


@pytest.mark.parametrize(("status", "asked"), [(429, "9"), (503, "9"), (503, "in nine seconds"), (503, "-9")])
def test_an_array_that_says_when_to_come_again_is_left_alone_so_long(
    lab: OntapLab, sim: OntapSimulator, status: int, asked: str
) -> None:
    sim.before("GET", LUNS, lambda _: Reply(status, b"", {"Retry-After": asked}))
    clock = QuickClock()
    wanted = lab.add_volume()
    assert connect(lab, clock).find_lun(wanted).size
    assert (9 <= clock.waited < 10) if asked == "9" else clock.waited < 1


def test_an_array_may_name_a_date(lab: OntapLab, sim: OntapSimulator) -> None:
    def busy(_: Request) -> Reply:
        return Reply(
            503, b"", {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)}
        )

    sim.before("GET", LUNS, busy)
    clock = QuickClock()
    assert connect(lab, clock).find_lun(lab.add_volume()).size
    assert 7 < clock.waited < 10


def test_an_array_that_asks_for_an_hour_is_asked_once_more_at_the_deadline(
    lab: OntapLab, sim: OntapSimulator
) -> None:
    sim.before("GET", LUNS, lambda _: Reply(503, b"", {"Retry-After": "3600"}), times=1000)
    clock = QuickClock()
    wanted = lab.add_volume()
    with pytest.raises(Refused):
        connect(lab, clock).find_lun(wanted)
    assert clock.waited == 30
    assert len([path for _, path in sim.calls if path.endswith(LUNS)]) == 2


def test_an_array_that_asks_for_more_than_a_grace_has_is_asked_sooner(
    lab: OntapLab, sim: OntapSimulator
) -> None:
    sim.before("GET", LUNS, lambda _: Reply(503, b"", {"Retry-After": "60"}), times=2)
    clock = QuickClock()
    wanted, array = lab.add_volume(), connect(lab, clock)
    with clock.grace(60, within=20):
        assert array.find_lun(wanted).size
    assert clock.waited < 5


def test_busy_for_ever_ends_at_the_deadline(lab: OntapLab, sim: OntapSimulator) -> None:
    sim.before("GET", LUNS, lambda _: error(503, "1", "upgrade"), times=1000)
    clock = QuickClock()
    with pytest.raises(Refused, match=r"upgrade.*HTTP 503"):
        connect(lab, clock).find_lun(lab.add_volume())
    assert 20 < clock.waited <= 30


def test_a_map_whose_answer_is_lost_is_found(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    lun, group = array.find_lun(lab.add_volume()), ensure(array, IQN)

    def done_but_not_told(_: Request) -> Reply:
        sim.add_map(lun.id, group.id, 5)
        return Reply(503, b"")

    sim.before("POST", MAPS, done_but_not_told)
    assert array.map(lun, group).lun_id == 5
    assert writes(sim).count(("POST", MAPS)) == 1


def test_a_slow_array_is_not_waited_for(lab: OntapLab, sim: OntapSimulator) -> None:
    wanted = lab.add_volume()
    release = threading.Event()

    def dawdle(_: Request) -> None:
        release.wait(20)

    sim.before("GET", LUNS, dawdle)
    began = time.monotonic()
    assert connect(lab, timeout=0.5).find_lun(wanted).size
    assert time.monotonic() - began < 5
    release.set()


def test_a_stop_ends_the_waiting(lab: OntapLab, sim: OntapSimulator) -> None:
    class StoppedClock(QuickClock):
        def wait(self, seconds: float) -> None:
            self.stop()
            super().wait(seconds)

    sim.before("GET", LUNS, lambda _: Reply(503), times=1000)
    with pytest.raises(Cancelled):
        connect(lab, StoppedClock()).find_lun(lab.add_volume())
    assert len([path for _, path in sim.calls if path.endswith(LUNS)]) == 1


def test_a_stop_breaks_off_a_call(lab: OntapLab, sim: OntapSimulator) -> None:
    clock, release = QuickClock(), threading.Event()

    def hang(_: Request) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        release.wait(20)

    sim.before("GET", LUNS, hang)
    wanted = lab.add_volume()
    previous = signal.signal(signal.SIGUSR1, lambda *_: clock.stop())
    began = time.monotonic()
    try:
        with pytest.raises(Cancelled):
            connect(lab, clock).find_lun(wanted)
    finally:
        signal.signal(signal.SIGUSR1, previous)
        release.set()
    assert time.monotonic() - began < 5


def test_repeating_ends_with_the_grace(lab: OntapLab, sim: OntapSimulator) -> None:
    sim.before("GET", LUNS, lambda _: Reply(503), times=1000)
    clock = QuickClock()
    array = connect(lab, clock)
    with clock.grace(60, within=2), pytest.raises(Refused):
        array.find_lun(lab.add_volume())
    assert clock.waited < 6


def test_nobody_listens(lab: OntapLab) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unanswered, match="refuses connections") as caught:
            connect(lab, hostname=address).info()
    assert "STORAGE_HOSTNAME" in caught.value.hint


def test_a_name_that_does_not_exist(lab: OntapLab) -> None:
    with pytest.raises(Unanswered, match="cannot be resolved"):
        connect(lab, hostname="no-such-array.invalid").info()


def test_a_certificate_for_another_name(lab: OntapLab, pki: Pki, tmp_path: Path) -> None:
    files = pki.issue("elsewhere", "elsewhere.lab")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert_file, files.key_file)
    with (
        OntapSimulator(San(tmp_path / "else"), context) as elsewhere,
        pytest.raises(Unanswered, match=r"not trusted.*127\.0\.0\.1"),
    ):
        connect(lab, hostname=elsewhere.address).info()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(200, b"<html>log in</html>"), "did not answer in JSON"),
        (Reply(200, b"[1]"), "something else than a JSON object"),
        (Reply(200, {"records": [{"name": "svm1"}]}), "without text in the field 'uuid'"),
        (Reply(200, {"records": 7}), "without a list"),
        (Reply(200, b'"' + b"x" * (17 << 20) + b'"'), "more than"),
        (Reply(302, b"", {"Location": "https://elsewhere.lab/"}), "HTTP 302"),
        (
            Reply(200, {"records": [], "_links": {"next": {"href": "https://elsewhere.lab/"}}}),
            "another address",
        ),
        (Reply(404, {"error": {"code": "3", "message": "API not found"}}), "API not found"),
    ],
)
def test_odd_answers(lab: OntapLab, sim: OntapSimulator, reply: Reply, says: str) -> None:
    sim.before("GET", "/svm/svms", lambda _: reply)
    clock = QuickClock()
    with pytest.raises(StorageError) as caught:
        connect(lab, clock).info()
    assert says in caught.value.text
    assert clock.waited == 0


def test_a_list_without_end_is_given_up(lab: OntapLab, sim: OntapSimulator) -> None:
    endless = {"records": [], "_links": {"next": {"href": "/api/svm/svms?start.key=1"}}}
    sim.before("GET", "/svm/svms", lambda _: Reply(200, endless), times=10_000)
    with pytest.raises(StorageError, match="more than 1000 pages"):
        connect(lab).info()


def test_one_connection_serves_a_whole_run(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    run(array, lab.add_volume(), IQN)
    assert sim.server.accepted == 1


def test_calls_of_a_run(array: StorageArray, lab: OntapLab, sim: OntapSimulator) -> None:
    run(array, lab.add_volume(), IQN)
    assert len(sim.calls) == 11


def test_settings_without_a_password_are_an_array_error(lab: OntapLab) -> None:
    access = replace(lab.access, username="", password="")
    with pytest.raises(Refused):
        connect(lab, username=access.username, password=access.password).info()


def test_a_map_made_since_the_maps_were_last_read_is_taken_away_too(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    """As by a run that took our place and died: its group has our group's name, and is another one."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    group = array.ensure_group(array.plan_group(HOST, [IQN]))
    array.map(lun, group)
    array.mappings_of(lun)
    lab.remove_map(volume, group.id)
    sim.remove_group(group.id)
    lab.add_map(volume, lab.add_group(group.name, [IQN]))
    array.unmap(lun, HOST, {IQN}, ())
    assert lab.state() == ([], [])


def test_a_lun_id_just_freed_is_not_the_next_one_given(array: StorageArray, lab: OntapLab) -> None:
    """ESXi refuses a LUN under an id by which it still has paths to another one."""
    group = array.ensure_group(array.plan_group(HOST, [IQN]))
    own: dict[int, Lun] = {}
    while len(own) < 3:
        lun = array.find_lun(lab.add_volume())
        own[names.lun_id(lun.id)] = lun
    (_, keeper), *others = own.items()
    array.map(keeper, group)  # keeps the group
    for lun_id, lun in others:
        assert array.map(lun, group).lun_id == lun_id
        unmap(array, lun)


def test_where_the_luns_own_id_is_in_use_the_array_chooses(
    array: StorageArray, lab: OntapLab, sim: OntapSimulator
) -> None:
    volume, other = lab.add_volume(), lab.add_volume()
    lun = array.find_lun(volume)
    group = array.ensure_group(array.plan_group(HOST, [IQN]))
    sim.add_map(array.find_lun(other).id, group.id, names.lun_id(lun.id))
    assert array.map(lun, group).lun_id == 0
    assert [request for request in sim.calls if request == ("POST", "/api/protocols/san/lun-maps")] == [
        ("POST", "/api/protocols/san/lun-maps")
    ] * 2
