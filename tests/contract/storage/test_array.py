"""What every storage array's driver promises (`populator.storage.array`), on each vendor's simulator."""

import subprocess
import sys
from pathlib import Path

import pytest

from populator.errors import StorageError
from populator.storage.array import GroupPlan, Volume
from populator.storage.registry import VENDORS
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import FC, FC_2, HOST, IQN, PORTS, Ports, ensure, seen, unmap
from tests.lab.arrays import ArrayLab, QuickClock, connect, iscsi
from tests.lab.pki import Pki
from vsphere.model import Initiator, InitiatorKind


def test_the_table_of_vendors_costs_nothing_to_import() -> None:
    """The metrics port must answer before anything slow is imported."""
    script = "import sys, populator.storage.registry; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    assert not {"requests", "urllib3", "tenacity", "populator.storage.http"} & set(loaded.split())


def test_info_names_the_array(lab: ArrayLab) -> None:
    info = connect(lab).info()
    assert info.vendor
    assert info.product
    assert info.version


def test_find_lun_gives_the_device_name_and_the_size_in_bytes(lab: ArrayLab) -> None:
    volume, _ = lab.add_volume(3 << 20), lab.add_volume(5 << 20)
    array = connect(lab)
    lun = array.find_lun(volume)
    assert (lun.device, lun.size) == (lab.device(volume), lab.san.lun(lun.device).size)
    assert lun.size >= 3 << 20
    assert array.find_lun(volume) == lun


def test_a_device_of_hosts_is_found_and_one_of_another_array_is_not(lab: ArrayLab, ports: Ports) -> None:
    volume, _ = lab.add_volume(), lab.add_volume()
    array = connect(lab)
    lun = array.find_lun(volume)
    array.map(lun, array.ensure_group(array.plan_group(HOST, ports.own)))
    assert array.find_device(lun.device) in {lun.name, lun.id}
    own = lun.device[: len("naa.600a0980")]
    for other in (own + lun.device[len(own) :][::-1], "naa.6999999" + lun.device[11:], "mpx.vmhba0:C0:T0:L0"):
        with pytest.raises(StorageError) as caught:
            array.find_device(other)
        assert other in caught.value.text
        assert caught.value.hint


def test_what_a_populator_has_made_is_known_by_its_name_where_names_tell(lab: ArrayLab, ports: Ports) -> None:
    array = connect(lab)
    lun = array.find_lun(lab.add_volume())
    assert array.own_groups() == ()
    mapping = array.map(lun, array.ensure_group(array.plan_group(HOST, ports.own)))
    groups = array.own_groups()
    assert [(one.name, one.host) for one in groups] == (
        [(mapping.group.name, HOST)] if lab.tells_ours else []
    )
    assert all(one.luns in {(lun.name,), (lun.id,)} for one in groups)


def test_a_volume_without_a_lun_is_an_error(lab: ArrayLab) -> None:
    known = lab.add_volume()
    attributes = {name: value.replace("1", "9") for name, value in known.attributes.items()}
    with pytest.raises(StorageError) as caught:
        connect(lab).find_lun(Volume("pvc-9", known.driver, "pvc-9", attributes))
    assert caught.value.text
    assert caught.value.hint


def test_a_volume_whose_id_and_name_belong_to_two_luns_is_refused(lab: ArrayLab) -> None:
    """Arrays give the id of a deleted volume to the next one."""
    volume, _ = lab.add_volume(), lab.add_volume()
    for wrong in lab.contradictions(volume):
        with pytest.raises(StorageError) as caught:
            connect(lab).find_lun(wrong)
        assert caught.value.hint


@pytest.mark.parametrize("number", [1, 2])
def test_ensure_group_makes_it_once(lab: ArrayLab, ports: Ports, number: int) -> None:
    array, initiators = connect(lab), ports.own[:number]
    group = ensure(array, *initiators)
    assert set(group.initiators) == set(initiators)
    state = lab.state()
    assert ensure(connect(lab), *initiators[::-1]).id == group.id
    assert lab.state() == state


@pytest.mark.parametrize(
    ("offered", "logged_in", "taken"),
    [
        ([FC, IQN], [], [FC]),
        ([IQN, FC, iscsi("vmhba64")], [], [IQN]),
        ([FC, FC_2, IQN], [IQN], [IQN]),
        ([FC, IQN, FC_2], [FC_2], [FC, FC_2]),
        ([IQN, FC], [FC], [FC]),
        ([IQN, FC], [FC, IQN], [IQN]),
        ([iscsi("nqn.2014-08.com.vmware:nvme:esx"), FC, iscsi("iqn.bad")], [], [FC]),
    ],
)
def test_fc_and_iscsi_are_never_mixed(
    scsi_lab: ArrayLab, offered: list[Initiator], logged_in: list[Initiator], taken: list[Initiator]
) -> None:
    """All of one kind: that of the first which the array sees, else of the first; the unusable are passed over."""
    for initiator in logged_in:
        scsi_lab.log_in(initiator)
    array = connect(scsi_lab)
    assert set(ensure(array, *offered).initiators) == set(taken)
    state = scsi_lab.state()
    ensure(array, *offered)
    assert scsi_lab.state() == state


@pytest.mark.parametrize("initiators", [[], [iscsi("vmhba64")], [iscsi("nqn.2014-08.com.vmware:nvme:esx")]])
def test_unusable_initiators_are_refused_before_anything_is_created(
    lab: ArrayLab, initiators: list[Initiator]
) -> None:
    state = lab.state()
    with pytest.raises(StorageError):
        connect(lab).plan_group(HOST, initiators)
    assert lab.state() == state


def test_kinds_that_the_vendor_does_not_serve_are_passed_over(lab: ArrayLab, ports: Ports) -> None:
    """As the registry has it."""
    serves = VENDORS[lab.vendor].initiators
    others = [PORTS[kind].first for kind in set(InitiatorKind) - serves]
    state = lab.state()
    with pytest.raises(StorageError):
        connect(lab).plan_group(HOST, others)
    assert connect(lab).plan_group(HOST, [*others, ports.first]).group.initiators == (ports.first,)
    assert lab.state() == state


def test_a_plan_changes_nothing_and_is_what_comes_of_it(lab: ArrayLab, ports: Ports) -> None:
    array, state = connect(lab), lab.state()
    plan = array.plan_group(HOST, [ports.first])
    assert lab.state() == state
    if lab.own_groups:
        assert (plan.group.id, plan.missing) == ("", (ports.first,))
    group = array.ensure_group(plan)
    assert (group.name, group.initiators) == (plan.group.name, (ports.first,))
    assert group.id
    assert array.plan_group(HOST, [ports.first]) == GroupPlan(group)


def test_a_mapped_lun_is_seen_by_the_host_and_nobody_else(lab: ArrayLab, ports: Ports) -> None:
    volume = lab.add_volume()
    array = connect(lab)
    lun = array.find_lun(volume)
    mapping = array.map(lun, ensure(array, ports.first))
    assert mapping.ours
    assert seen(lab, ports.first) == {lun.device: mapping.lun_id}
    assert seen(lab, ports.worker) == {}
    assert [(m.group.id, m.lun_id, m.ours) for m in array.mappings_of(lun)] == [
        (mapping.group.id, mapping.lun_id, lab.tells_ours)
    ]


def test_mapping_again_is_success(lab: ArrayLab, ports: Ports) -> None:
    array, volume = connect(lab), lab.add_volume()
    lun = array.find_lun(volume)
    group = ensure(array, ports.first)
    first, second = array.map(lun, group), array.map(lun, group)
    assert (first.group.id, first.lun_id) == (second.group.id, second.lun_id)
    assert (first.ours, second.ours) == (True, lab.tells_ours)
    assert len(array.mappings_of(lun)) == 1


def test_two_luns_get_two_lun_ids(lab: ArrayLab, ports: Ports) -> None:
    array = connect(lab)
    group = ensure(array, ports.first)
    for volume in (lab.add_volume(), lab.add_volume()):
        array.map(array.find_lun(volume), group)
    assert len(set(lab.san.seen_by([ports.first.name]).values())) == 2


def test_an_adapter_that_comes_later_joins_the_group(lab: ArrayLab, ports: Ports) -> None:
    array, volume = connect(lab), lab.add_volume()
    lun = array.find_lun(volume)
    mapping = array.map(lun, ensure(array, ports.first))
    ensure(array, *ports.own)
    for port in ports.own:
        assert seen(lab, port) == {lun.device: mapping.lun_id}


def test_unmap_leaves_the_array_as_it_was_and_may_be_repeated(lab: ArrayLab, ports: Ports) -> None:
    volume = lab.add_volume()
    lab.add_map(volume, lab.add_group("worker-7", [ports.worker]))
    state = lab.state()
    array = connect(lab)
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, ports.first))
    for _ in range(2):
        unmap(lab, array, lun)
        assert lab.state() == state
        assert list(seen(lab, ports.worker)) == [lun.device]
    unmap(lab, connect(lab), lun)  # as another process would
    assert lab.state() == state


def test_unmap_is_harmless_when_nothing_was_mapped(lab: ArrayLab) -> None:
    array, volume = connect(lab), lab.add_volume()
    lun = array.find_lun(volume)
    state = lab.state()
    unmap(lab, array, lun)
    assert lab.state() == state


def test_unmap_removes_a_group_that_was_made_but_never_mapped(lab: ArrayLab, ports: Ports) -> None:
    array, volume = connect(lab), lab.add_volume()
    lun = array.find_lun(volume)
    state = lab.state()
    ensure(array, ports.first)
    unmap(lab, array, lun)
    assert lab.state() == state


def test_what_somebody_else_has_unmapped_meanwhile_is_not_mapped_again(lab: ArrayLab, ports: Ports) -> None:
    volume = lab.add_volume()
    workers = lab.add_group("worker-7", [ports.worker])
    state = lab.state()
    lab.add_map(volume, workers)
    array = connect(lab)
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, ports.first))
    lab.remove_map(volume, workers)
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_mapping_says_who_sees_the_lun_by_it_and_for_which_host_it_was_made(
    lab: ArrayLab, ports: Ports
) -> None:
    volume = lab.add_volume()
    lab.add_map(volume, lab.add_group("worker-7", [ports.worker]))
    array = connect(lab)
    lun = array.find_lun(volume)
    mine = array.map(lun, ensure(array, *ports.own))
    found = {mapping.group.id == mine.group.id: mapping for mapping in array.mappings_of(lun)}
    assert (found[True].ours, found[False].ours) == (lab.tells_ours, False)
    assert mine.host == found[True].host == (HOST if lab.tells_ours else None)
    assert found[False].host is None
    assert mine.initiators == found[True].initiators == set(ports.own)
    assert found[False].initiators == {ports.worker}


def test_a_group_of_an_older_populator_is_ours_and_is_tidied_up(lab: ArrayLab, ports: Ports) -> None:
    """It saw the host first, so the LUN is seen by it; its populator is dead, since ours found the volume free."""
    for name in lab.older_groups(HOST):
        volume = lab.add_volume()
        state = lab.state()
        lab.add_map(volume, lab.add_group(name, [ports.first]))
        array = connect(lab)
        lun = array.find_lun(volume)
        (before,) = array.mappings_of(lun)
        assert (before.ours, before.host) == (True, HOST)
        mapping = array.map(lun, ensure(array, ports.first))
        assert (mapping.group.id, mapping.ours) == (before.group.id, True)
        for _ in range(2):
            unmap(lab, array, lun)
            assert lab.state() == state


@pytest.mark.parametrize("shared", [False, True])
def test_a_group_of_all_hosts_is_left_and_so_is_our_lun_in_it_where_others_see_it(
    lab: ArrayLab, ports: Ports, shared: bool
) -> None:
    """On another host a copy may be running by then; this host's own may not, since its device is detached first."""
    others = [ports.worker] if shared else []
    for name in lab.groups_of_all_hosts():
        mine, other = lab.add_volume(), lab.add_volume()
        group = lab.add_group(name, [ports.first, *others])
        lab.add_map(other, group)
        without = lab.state()
        lab.add_map(mine, group)
        state = lab.state()
        array = connect(lab)
        lun = array.find_lun(mine)
        (before,) = array.mappings_of(lun)
        assert (before.ours, before.host) == (True, None)
        assert before.initiators == frozenset([ports.first, *others])
        unmap(lab, array, lun)
        assert lab.state() == (state if others else without)


def test_a_group_of_an_admin_is_not_ours_though_its_name_begins_like_one(lab: ArrayLab, ports: Ports) -> None:
    for name in lab.names_like_ours():
        volume = lab.add_volume()
        lab.add_map(volume, lab.add_group(name, [ports.first]))
        state = lab.state()
        array = connect(lab)
        lun = array.find_lun(volume)
        assert [(mapping.ours, mapping.host) for mapping in array.mappings_of(lun)] == [(False, None)]
        unmap(lab, array, lun)
        assert lab.state() == state


def test_what_a_dead_predecessor_left_is_removed_not_restored(lab: ArrayLab, ports: Ports) -> None:
    volume = lab.add_volume()
    state = lab.state()
    dead = connect(lab)
    dead.map(dead.find_lun(volume), ensure(dead, ports.first))
    array = connect(lab)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    assert [mapping.ours for mapping in before] == [lab.tells_ours]
    array.map(lun, ensure(array, ports.own[-1]))
    for _ in range(2):
        unmap(lab, array, lun)
        assert lab.state() == state


def test_a_populators_map_is_never_put_back_though_its_group_lives_on(lab: ArrayLab, ports: Ports) -> None:
    mine, theirs = lab.add_volume(), lab.add_volume()
    array = connect(lab)
    lun, group = array.find_lun(mine), ensure(array, ports.first)
    array.map(array.find_lun(theirs), group)
    state = lab.state()
    array.map(lun, group)
    for _ in range(2):
        unmap(lab, array, lun)
        assert lab.state() == state


def test_unmap_leaves_alone_what_another_populator_uses(lab: ArrayLab, ports: Ports) -> None:
    mine, theirs = lab.add_volume(), lab.add_volume()
    state = lab.state()
    array = connect(lab)
    group = ensure(array, ports.first)
    lun, other = array.find_lun(mine), array.find_lun(theirs)
    array.map(lun, group)
    mapping = array.map(other, group)
    unmap(lab, array, lun)
    assert seen(lab, ports.first) == {other.device: mapping.lun_id}
    unmap(lab, array, other)
    assert lab.state() == state


def test_unmap_leaves_another_hosts_copy_alone(lab: ArrayLab, ports: Ports) -> None:
    array, volume = connect(lab), lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, ports.neighbour, host="host-5"))
    state = lab.state()
    unmap(lab, array, lun)
    assert lab.state() == state


def test_a_lun_the_host_sees_already_is_used_and_left_that_way(lab: ArrayLab, ports: Ports) -> None:
    volume = lab.add_volume()
    lab.add_map(volume, lab.add_group("esx-hosts", [ports.first]))
    state = lab.state()
    array = connect(lab)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, ports.first))
    assert (mapping.group.id, mapping.ours) == (before[0].group.id, False)
    assert seen(lab, ports.first) == {lun.device: mapping.lun_id}
    unmap(lab, array, lun, before)
    assert lab.state() == state


MOST_CALLS = {"powermax": 17}
"""of a whole run, where it is not 12: PowerMax lists no mappings, and a mapping there is three objects"""


def test_one_whole_run_takes_at_most_twelve_calls(lab: ArrayLab, ports: Ports) -> None:
    volume = lab.add_volume()
    array = connect(lab)
    array.info()
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    array.map(lun, ensure(array, ports.first))
    unmap(lab, array, lun)
    array.close()
    print(lab.vendor, len(lab.calls), *lab.calls, sep="\n")
    assert len(lab.calls) <= MOST_CALLS.get(lab.vendor, 12)


def test_many_populators_of_one_host_do_not_hurt_each_other(lab: ArrayLab, ports: Ports) -> None:
    """They create, share and delete one group all the time."""
    volumes = [lab.add_volume() for _ in range(6)]
    state = lab.state()

    def populate(volume: Volume) -> None:
        for _ in range(5):
            array = connect(lab)
            lun = array.find_lun(volume)
            array.mappings_of(lun)
            mapping = array.map(lun, ensure(array, ports.first))
            assert seen(lab, ports.first)[lun.device] == mapping.lun_id
            unmap(lab, array, lun)
            assert lun.device not in seen(lab, ports.first)
            array.close()

    at_once(populate, volumes)
    assert lab.state() == state


def test_wrong_credentials_are_told_without_the_secret(lab: ArrayLab) -> None:
    with pytest.raises(StorageError) as caught:
        connect(lab, password="sesame-street", token="sesame-street").info()
    error: BaseException | None = caught.value
    assert "credentials" in caught.value.text
    assert "STORAGE_PASSWORD" in caught.value.hint or "STORAGE_TOKEN" in caught.value.hint
    while error is not None:
        assert "sesame" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__


def test_settings_do_not_show_their_secrets(lab: ArrayLab) -> None:
    for secret in filter(None, (lab.access.password, lab.access.token)):
        assert secret not in repr(lab.access)


def test_an_untrusted_certificate_is_told_at_once(lab: ArrayLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    clock = QuickClock()
    with pytest.raises(StorageError) as caught:
        connect(lab, clock).info()
    assert "certificate" in caught.value.text
    assert "127.0.0.1" in caught.value.text
    assert "STORAGE_SKIP_SSL_VERIFICATION" in caught.value.hint
    assert clock.waited == 0
    assert lab.calls == []


@pytest.mark.parametrize("bundle", [None, "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_verification_can_be_skipped_whatever_the_environment_trusts(
    lab: ArrayLab, bundle: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    if bundle:
        monkeypatch.setenv(bundle, str(Pki(tmp_path / "other").ca_file))
    assert connect(lab, verify=False).info().version


def test_the_other_bundle_variable_is_honoured(
    lab: ArrayLab, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.ca_file))
    assert connect(lab).info().version
