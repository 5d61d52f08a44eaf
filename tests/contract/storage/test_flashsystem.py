"""FlashSystem's own cases: tokens and their cache, the array's words for errors, host objects and clusters, mappings,
and each weak point of the Go populator's driver that is known.
"""

import logging
import threading
from dataclasses import replace

import pytest

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.array import Group, Lun, Mapping, StorageArray, Volume
from populator.storage.failures import Refused, Unanswered
from tests.contract.storage.crowd import at_once
from tests.contract.storage.hosts import ALL, FC, FC_2, HOST, IQN, IQN_2, ensure
from tests.lab.arrays import QuickClock, connect, fc, iscsi
from tests.lab.arrays.flashsystem.lab import PASSWORD, USER, FlashSystemLab
from tests.lab.arrays.flashsystem.server import FlashSystemSimulator
from tests.lab.arrays.flashsystem.system import SimHost
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.pki import Pki
from vsphere.model import Initiator

WWPN, WWPN_2, WORKER = "20000025B5AA0001", "20000025B5AA0002", "20000025B5AA0007"
OWN = "xcopy-hostsystem-host-1234-fc"
AUTH = ("POST", "/rest/v1/auth")


class Cache:
    """A token that all runs share."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.written: list[str] = []

    def read(self) -> str:
        return self.token

    def write(self, token: str) -> None:
        self.token = token
        self.written.append(token)


@pytest.fixture
def lab(rack: Rack) -> FlashSystemLab:
    return rack.add(FlashSystemLab)


@pytest.fixture
def esx(sim: FlashSystemSimulator) -> SimHost:
    """The host object that an administrator made for the host, by Fibre Channel; there is one by iSCSI, too."""
    sim.add_host("esx1-iscsi", [IQN.name])
    return sim.add_host("esx1", [WWPN, WWPN_2])


def unmap(array: StorageArray, lun: Lun, keep: tuple[Mapping, ...] = ()) -> None:
    array.unmap(lun, HOST, ALL, keep)


def commands(sim: FlashSystemSimulator) -> list[str]:
    return [path.removeprefix("/rest/v1/") for _, path in sim.calls]


def log_ins(sim: FlashSystemSimulator) -> int:
    return commands(sim).count("auth")


def requests(sim: FlashSystemSimulator, command: str) -> list[Request]:
    """Collect the requests of a command from now on."""
    found: list[Request] = []

    def keep(request: Request) -> None:
        found.append(request)

    sim.before(command, keep, times=1000)
    return found


# Tokens


def test_what_is_sent_to_log_in_and_after(lab: FlashSystemLab, sim: FlashSystemSimulator) -> None:
    auth, about = requests(sim, "auth"), requests(sim, "lssystem")
    connect(lab).info()
    (log_in,), (call,) = auth, about
    assert log_in.headers["x-auth-username"] == USER
    assert log_in.headers["x-auth-password"] == PASSWORD
    assert log_in.body is None
    assert call.headers["x-auth-token"] == sim.sessions.made[0]
    assert "x-auth-password" not in call.headers
    assert call.body == {}
    for request in (log_in, call):
        assert request.headers["content-type"] == request.headers["accept"] == "application/json"


def test_model_and_code_level(array: StorageArray) -> None:
    info = array.info()
    assert (info.vendor, info.product) == ("IBM", "FlashSystem")
    assert (info.model, info.version) == ("IBM FlashSystem 9500", "8.7.0.2")


def test_wrong_credentials_are_tried_once(lab: FlashSystemLab, sim: FlashSystemSimulator) -> None:
    clock = QuickClock()
    with pytest.raises(StorageError, match=f"credentials of '{USER}'") as caught:
        connect(lab, clock, password="wrong").info()
    assert "STORAGE_PASSWORD" in caught.value.hint
    assert sim.calls == [AUTH]
    assert clock.waited == 0


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": None}, {"token": "a\nb"}])
def test_a_log_in_without_a_token_is_an_error(
    lab: FlashSystemLab, sim: FlashSystemSimulator, answer: object
) -> None:
    sim.before("auth", lambda _: Reply(200, answer))
    with pytest.raises(StorageError):
        connect(lab).info()
    assert sim.calls == [AUTH]


def test_an_array_without_version_1_of_the_api_is_named(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    sim.before("auth", lambda _: Reply(404, "Not Found"))
    with pytest.raises(StorageError) as caught:
        connect(lab).info()
    assert "8.4.2" in caught.value.hint


@pytest.mark.parametrize("command", ["auth", "lssystem"])
def test_too_many_requests_are_made_again_after_pauses_that_grow(
    lab: FlashSystemLab, sim: FlashSystemSimulator, command: str
) -> None:
    """The Go driver does so at the log-in only."""
    sim.before(command, lambda _: Reply(429, ["Too Many Requests"]), times=3)
    clock = QuickClock()
    assert connect(lab, clock).info().model
    assert 3 <= clock.waited < 7
    assert len(sim.calls) == 5


def test_an_array_that_says_how_long_to_leave_it_alone_is(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    sim.before("lssystem", lambda _: Reply(429, [], {"Retry-After": "7"}))
    clock = QuickClock()
    connect(lab, clock).info()
    assert 7 <= clock.waited < 8


def test_what_stays_too_much_is_explained(lab: FlashSystemLab, sim: FlashSystemSimulator) -> None:
    sim.before("lssystem", lambda _: Reply(429, ["Too Many Requests"]), times=1000)
    with pytest.raises(StorageError) as caught:
        connect(lab).info()
    assert "4 tokens" in caught.value.hint


@pytest.mark.parametrize("stale", [401, 403])
@pytest.mark.usefixtures("esx")
def test_an_expired_token_is_renewed_once_whatever_the_call(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, stale: int
) -> None:
    sim.stale = stale
    group = ensure(array, FC)
    for command in ("lsvdiskhostmap", "mkvdiskhostmap", "rmvdiskhostmap"):
        sim.before(command, lambda _: sim.sessions.expire())
    sim.calls.clear()
    assert array.map(lun, group).ours
    unmap(array, lun)
    assert log_ins(sim) == 3
    assert sim.maps == []


def test_a_token_that_is_never_taken_is_an_error_after_three_log_ins(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    sim.before("lssystem", lambda _: Reply(403, "Forbidden"), times=1000)
    with pytest.raises(Refused):
        connect(lab).info()
    assert log_ins(sim) == 3


@pytest.mark.parametrize("status", [403, 409, 500])
def test_a_missing_right_is_no_expired_token(
    lab: FlashSystemLab, sim: FlashSystemSimulator, status: int
) -> None:
    sim.refuses_with = status
    reader = connect(lab, username=lab.reader.username)
    group = reader.plan_group(HOST, [FC])
    sim.calls.clear()
    with pytest.raises(StorageError) as caught:
        reader.ensure_group(group)
    assert "role" in caught.value.hint
    assert len(sim.calls) == 1


def test_neither_password_nor_token_are_logged(
    lab: FlashSystemLab, sim: FlashSystemSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The Go driver logs requests and whole answers."""
    caplog.set_level(logging.DEBUG)
    sim.before("lssystem", lambda _: sim.sessions.expire())
    array = connect(lab)
    array.info()
    sim.before("lsvdisk", lambda _: Reply(503), times=1000)
    with pytest.raises(StorageError) as caught:
        array.find_lun(lab.add_volume())
    words = f"{caplog.text} {caught.value!r} {caught.value.__cause__!r} {vars(caught.value)}"
    assert len(sim.sessions.made) == 2
    for secret in (PASSWORD, *sim.sessions.made):
        assert secret not in words


@pytest.mark.parametrize("password", ["", "pässwörd €", "with blanks inside", 'quo"te\\'])
def test_passwords_of_all_letters(pki: Pki, lab: FlashSystemLab, password: str) -> None:
    sent = requests(lab.simulator, "auth")
    with pytest.raises(StorageError, match="refused to accept the credentials"):
        connect(lab, password=password).info()
    assert sent[0].headers["x-auth-password"].encode("latin-1").decode() == password


@pytest.mark.parametrize("password", ["secret\n", " secret", "sec\r\nX-Auth-Token: ret"])
def test_what_no_header_can_hold_is_refused_and_not_shown(
    lab: FlashSystemLab, sim: FlashSystemSimulator, password: str
) -> None:
    with pytest.raises(StorageError, match="STORAGE_PASSWORD") as caught:
        connect(lab, password=password).info()
    error: BaseException | None = caught.value
    while error is not None:
        assert "sec" not in f"{error} {error!r}".replace("Secret", "")
        error = error.__cause__ or error.__context__
    assert sim.calls == []


# The shared token


def token(sim: FlashSystemSimulator) -> str:
    """Return a good token that some run had."""
    made = sim.sessions.log_in(USER, PASSWORD)
    assert made
    return made


def test_a_shared_token_is_used_without_a_log_in(lab: FlashSystemLab, sim: FlashSystemSimulator) -> None:
    cache = Cache(token(sim))
    connect(lab, tokens=cache).info()
    assert commands(sim) == ["lssystem"]
    assert cache.written == []


@pytest.mark.parametrize("held", ["", "a token\nwith a line", "wörds"])
def test_without_one_the_run_logs_in_and_shares_its_own(
    lab: FlashSystemLab, sim: FlashSystemSimulator, held: str
) -> None:
    cache, clock = Cache(held), QuickClock()
    connect(lab, clock, tokens=cache).info()
    assert cache.written == sim.sessions.made
    assert log_ins(sim) == 1
    assert 0.1 <= clock.waited <= 1


def test_a_run_that_begins_while_another_logs_in_waits_for_its_token(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    cache = Cache()

    class Meanwhile(QuickClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            cache.token = token(sim)

    connect(lab, Meanwhile(), tokens=cache).info()
    assert commands(sim) == ["lssystem"]


def test_an_expired_one_is_replaced_by_what_another_run_has_put_there(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    old = token(sim)
    cache = Cache(old)
    array = connect(lab, tokens=cache)
    array.info()
    sim.sessions.expire(old)
    cache.token = token(sim)
    array.find_lun(lab.add_volume())
    assert log_ins(sim) == 0
    assert cache.written == []


def test_an_expired_one_that_nobody_has_replaced_is_renewed_and_shared(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    cache = Cache("eyJ.long-expired")
    connect(lab, tokens=cache).info()
    assert commands(sim) == ["lssystem", "auth", "lssystem"]
    assert cache.written == sim.sessions.made


def test_one_that_is_stale_as_well_is_renewed_in_turn(lab: FlashSystemLab, sim: FlashSystemSimulator) -> None:
    """The Go driver gives up here."""
    first = token(sim)
    cache = Cache(first)
    array = connect(lab, tokens=cache)
    array.info()
    sim.sessions.expire(first)
    cache.token = "eyJ.stale"
    array.find_lun(lab.add_volume())
    assert log_ins(sim) == 1
    assert cache.token == sim.sessions.made[-1]


def test_of_two_runs_whose_token_expires_one_logs_in(lab: FlashSystemLab, sim: FlashSystemSimulator) -> None:
    cache = Cache()
    runs = [connect(lab, tokens=cache) for _ in range(2)]
    for run in runs:
        run.info()
    lab.expire_sessions()
    sim.calls.clear()
    for run in runs:
        run.find_lun(lab.add_volume())
    assert log_ins(sim) == 1


def test_a_run_whose_own_token_is_one_too_many_takes_the_shared_one(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    """Two that began at once have logged in both; the array serves only so many."""
    sim.sessions.most = 1
    shared = token(sim)
    sim.sessions.serves(shared)
    cache = Cache()
    array = connect(lab, tokens=cache)
    sim.before("lssystem", lambda _: cache.write(shared))
    array.info()
    assert log_ins(sim) == 1
    assert sim.calls[-1] == ("POST", "/rest/v1/lssystem")


def test_twenty_populators_on_one_host_within_the_arrays_limits(
    lab: FlashSystemLab, sim: FlashSystemSimulator
) -> None:
    """Ten times as many calls a second as a real array takes, so that this is soon over."""
    sim.sessions.most, sim.sessions.log_ins.limit, sim.sessions.commands.limit = 4, 3, 100
    volumes = [lab.add_volume() for _ in range(20)]
    state, cache = lab.state(), Cache()

    def populate(volume: Volume) -> None:
        array = connect(lab, Clock(), tokens=cache)
        lun = array.find_lun(volume)
        array.mappings_of(lun)
        mapping = array.map(lun, ensure(array, FC))
        assert lab.san.seen_by([FC.name])[lun.device] == mapping.lun_id
        array.mappings_of(lun)
        unmap(array, lun)
        array.close()

    at_once(populate, volumes)
    assert lab.state() == state


# What the array answers


@pytest.mark.parametrize("status", [400, 409, 500])
@pytest.mark.usefixtures("esx")
def test_a_code_means_the_same_whatever_the_status(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, status: int
) -> None:
    """The Go driver looks for codes in a 409 only; others are errors of the server to it, or passing ones to HTTP."""
    clock = QuickClock()
    array = connect(lab, clock)
    mapping = array.map(lun, ensure(array, FC))
    sim.refuses_with = status
    sim.before("lsvdiskhostmap", lambda _: Reply(200, []))
    again = array.map(lun, Group("esx1", "esx1", (FC,)))
    assert (again.lun_id, again.ours) == (mapping.lun_id, False)
    assert clock.waited == 0


@pytest.mark.usefixtures("esx")
def test_a_code_of_a_warning_is_none_of_an_error(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    def warn(request: Request) -> Reply:
        sim.commands.mkvdiskhostmap(lun.id, request.body)
        return sim.refuse("CMMVC6372W", 500)

    sim.before("mkvdiskhostmap", warn)
    mapping = array.map(lun, ensure(array, FC))
    assert mapping.ours
    assert lab.san.seen_by([FC.name]) == {lun.device: mapping.lun_id}
    assert commands(sim).count(f"mkvdiskhostmap/{lun.id}") == 1


@pytest.mark.parametrize("answer", [b"", ""])
def test_commands_that_answer_nothing(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, answer: object
) -> None:
    sim.commands.quiet = answer
    state = lab.state()
    array.map(lun, ensure(array, FC))
    unmap(array, lun)
    assert lab.state() == state


def test_an_answer_of_204(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    state = lab.state()
    array.map(lun, ensure(array, FC))

    def done(request: Request) -> Reply:
        sim.remove_host(next(host for host in sim.hosts.values() if host.name == OWN))
        return Reply(204, b"")

    sim.before("rmhost", done)
    unmap(array, lun)
    assert lab.state() == state


@pytest.mark.parametrize("answer", [b"", {}, "", b"Command not found", [[]], {"id": "1"}])
def test_what_is_no_list_is_not_taken_for_an_empty_one(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, answer: object
) -> None:
    for command in ("lsvdiskhostmap", "lshostports"):
        sim.before(command, lambda _: Reply(200, answer))
    with pytest.raises(StorageError):
        array.mappings_of(lun)
    with pytest.raises(StorageError):
        array.plan_group(HOST, [FC])


# Finding the volume


def test_one_call_finds_it_by_a_filter_in_upper_case(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    array.info()
    volume = lab.add_volume()
    handle, asked = volume.handle.lower().replace("svc", "SVC"), requests(sim, "lsvdisk")
    sim.calls.clear()
    found = array.find_lun(replace(volume, handle=handle))
    uid = volume.handle.partition(";")[2]
    assert (found.id, found.name, found.device) == ("0", "csi_pvc-1", f"naa.{uid.lower()}")
    assert len(sim.calls) == 1
    assert asked[0].body == {"filtervalue": f"vdisk_UID={uid}", "bytes": True}


def test_a_handle_without_an_id_is_enough(lab: FlashSystemLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    uid = volume.handle.partition(";")[2]
    for handle in (f"SVC:{uid}", f"SVC:0000020421A0B2C3:0;{uid}"):
        assert array.find_lun(replace(volume, handle=handle, attributes={})).id == "0"


def test_a_uid_in_lower_case_is_the_same(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    uid = volume.handle.partition(";")[2].lower()
    row = {"id": "0", "name": "csi_pvc-1", "vdisk_UID": uid, "capacity": 1048576, "status": "online"}
    sim.before("lsvdisk", lambda _: Reply(200, [row]))
    assert array.find_lun(volume).device == f"naa.{uid}"


def test_id_and_name_are_those_of_the_volume(lab: FlashSystemLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    uid = volume.handle.partition(";")[2]
    renamed = replace(volume, attributes={"volume_name": "csi_pvc-2"})
    for other in (renamed, replace(volume, handle=f"SVC:1;{uid}")):
        with pytest.raises(StorageError, match="as the volume csi_pvc-1 under the id 0") as caught:
            array.find_lun(other)
        assert caught.value.hint


def test_two_volumes_of_one_uid_are_an_error(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    uid = volume.handle.partition(";")[2]
    row = {"id": "0", "name": "csi_pvc-1", "vdisk_UID": uid, "capacity": "1048576", "status": "online"}
    sim.before("lsvdisk", lambda _: Reply(200, [row, row | {"id": "1"}]))
    with pytest.raises(StorageError, match="has 2 volumes"):
        array.find_lun(volume)


def test_rows_that_the_filter_should_have_left_out_are_not_taken(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume, other = lab.add_volume(), lab.volume(lab.add_volume())
    sim.remove_volume(lab.volume(volume))
    row = {"id": "0", "name": "csi_pvc-1", "vdisk_UID": other.uid, "capacity": "1048576", "status": "online"}
    sim.before("lsvdisk", lambda _: Reply(200, [row]), times=2)
    with pytest.raises(StorageError, match="has no volume"):
        array.find_lun(volume)


def test_a_number_that_a_new_volume_has_got_does_not_lead_to_it(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    gone = lab.add_volume()
    lab.remove_volume(gone)
    assert lab.volume(lab.add_volume()).id == 0
    with pytest.raises(StorageError, match="has no volume"):
        array.find_lun(gone)


@pytest.mark.usefixtures("esx")
def test_a_number_that_a_new_volume_gets_meanwhile_does_not_either(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    lab.remove_volume(volume)
    lab.add_map(lab.add_volume(), "esx1")
    state = lab.state()
    for act in (
        array.mappings_of,
        lambda lun: array.map(lun, ensure(array, FC)),
        lambda lun: unmap(array, lun),
    ):
        with pytest.raises(StorageError, match="under the id 0 now"):
            act(lun)
    assert lab.state() == state


def test_a_volume_that_nvme_hosts_see_is_refused_by_that_reason(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    nvme = sim.add_host("worker-nvme", ["nqn.2014-08.org.nvmexpress:uuid:1"], "nvme")
    sim.map(lab.volume(volume), nvme)
    with pytest.raises(StorageError, match="by NVMe") as caught:
        array.find_lun(volume)
    assert "iSCSI or Fibre Channel" in caught.value.hint


def test_an_offline_volume_is_refused(lab: FlashSystemLab, array: StorageArray) -> None:
    volume = lab.add_volume()
    lab.volume(volume).status = "offline"
    with pytest.raises(StorageError, match="is offline"):
        array.find_lun(volume)


def test_a_protected_volume_is_refused_before_it_is_mapped(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    sim.protected = True
    with pytest.raises(StorageError, match="could not be unmapped") as caught:
        array.find_lun(lab.add_volume())
    assert "chmdiskgrp -vdiskprotectionenabled no" in caught.value.hint


def test_one_in_a_pool_without_protection_is_not(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    """The Go driver looks at the system's flag only."""
    sim.protected = True
    volume = lab.add_volume()
    lab.volume(volume).pool = sim.pools[1]
    assert array.find_lun(volume).id == "0"


# Host objects


@pytest.mark.parametrize("spelled", [WWPN, WWPN.lower(), "20:00:00:25:b5:aa:00:01"])
@pytest.mark.usefixtures("esx")
def test_spellings_of_a_port_are_one(sim: FlashSystemSimulator, array: StorageArray, spelled: str) -> None:
    row = {"host_id": "1", "host_name": "esx1", "WWPN": spelled, "iscsi_name": ""}
    sim.before("lshostports", lambda _: Reply(200, [row]))
    assert array.plan_group(HOST, [FC]).group == Group("esx1", "esx1", (FC,))


@pytest.mark.usefixtures("esx")
def test_the_administrators_host_is_used_as_it_is(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    state = lab.state()
    plan = array.plan_group(HOST, [FC, FC_2, fc("20000025b5aa0003")])
    assert (plan.group.id, plan.group.initiators, plan.missing) == ("esx1", (FC, FC_2), ())
    assert array.ensure_group(plan).id == "esx1"
    assert lab.state() == state


@pytest.mark.parametrize(
    ("initiators", "body"),
    [
        ((FC, FC_2), {"fcwwpn": f"{WWPN}:{WWPN_2}"}),
        ((IQN, IQN_2), {"iscsiname": f"{IQN.name},{IQN_2.name}"}),
    ],
)
def test_one_of_our_own_has_all_ports_of_one_kind(
    lab: FlashSystemLab,
    sim: FlashSystemSimulator,
    array: StorageArray,
    lun: Lun,
    initiators: tuple[Initiator, ...],
    body: dict[str, str],
) -> None:
    made, state = requests(sim, "mkhost"), lab.state()
    group = ensure(array, *initiators)
    name = f"xcopy-hostsystem-host-1234-{initiators[0].kind}"
    assert [request.body for request in made] == [
        {"name": name, "force": True, "protocol": "scsi", "type": "generic", **body}
    ]
    mapping = array.map(lun, group)
    assert (mapping.ours, mapping.host) == (True, HOST)
    (found,) = connect(lab).mappings_of(lun)
    assert (found.ours, found.host, found.initiators) == (True, HOST, frozenset(initiators))
    unmap(array, lun)
    assert lab.state() == state
    assert sim.calls[-1] == ("POST", f"/rest/v1/rmhost/{name}")


def test_what_a_dead_predecessor_made_is_ours_and_taken_away(
    lab: FlashSystemLab, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, IQN))
    other = connect(lab)
    assert [(mapping.ours, mapping.host) for mapping in other.mappings_of(lun)] == [(True, HOST)]
    for _ in range(2):
        unmap(other, lun)
        assert lab.state() == ([], [], [])


@pytest.mark.parametrize("name", ["xcopy-hostsystem-host-1234", "xcopy-hostsystem-host-1234-1732700000"])
def test_a_host_of_the_go_populator_is_used_and_tidied_up(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, name: str
) -> None:
    """It asks for the mappings and for the deletion in a way that the array does not know, and so leaves its hosts."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    sim.add_host(name, [WWPN])
    lab.add_map(volume, name)
    (before,) = array.mappings_of(lun)
    assert (before.ours, before.host) == (True, HOST)
    mapping = array.map(lun, ensure(array, FC, FC_2))
    assert (mapping.group.id, mapping.ours) == (name, True)
    assert list(lab.san.seen_by([FC_2.name])) == [lun.device]
    for _ in range(2):
        unmap(array, lun)
        assert lab.state() == ([], [], [])


def test_our_own_host_that_holds_other_ports_gets_ours(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    """The adapter was replaced since."""
    sim.add_host(OWN, [WWPN_2])
    assert ensure(array, FC).id == OWN
    assert sim.owner(WWPN) is sim.owner(WWPN_2)


def test_our_own_host_that_goes_before_it_is_completed_is_made_again(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    own = sim.add_host(OWN, [WWPN_2])
    plan = array.plan_group(HOST, [FC, FC_2])
    assert plan.missing == (FC,)
    sim.before("addhostport", lambda _: sim.remove_host(own))
    assert array.ensure_group(plan).initiators == (FC, FC_2)
    assert lab.state() == ([(OWN, "", WWPN, WWPN_2)], [], [])


@pytest.mark.parametrize("initiator", [FC, IQN])
def test_a_port_of_a_host_that_our_user_cannot_see_is_explained(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, initiator: Initiator
) -> None:
    sim.add_host("hidden", [initiator.name])
    sim.before("lshostports", lambda _: Reply(200, []), times=10)
    with pytest.raises(StorageError, match="None of the hosts that our user can see") as caught:
        ensure(array, initiator)
    assert "ownership group" in caught.value.hint


@pytest.mark.parametrize("refusal", [Reply(404, "Not Found"), None], ids=["404", "code"])
def test_without_lshostports_a_host_that_is_logged_in_is_found_by_that(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, esx: SimHost, refusal: Reply | None
) -> None:
    """No document of IBM's has that command; two others are in IBM's own CSI driver."""
    sim.commands.lists_ports = False
    for _ in range(20):
        sim.before("lshostports", lambda _: refusal)
    for name in (WWPN_2, IQN.name):
        sim.log_in(name)
    array.info()
    sim.calls.clear()
    assert array.plan_group(HOST, [FC_2, FC]).group == Group("esx1", "esx1", (FC_2, FC))
    assert commands(sim) == ["lshostports", "lsfabric", "lshost/esx1"]
    sim.calls.clear()
    assert array.plan_group(HOST, [IQN]).group.id == "esx1-iscsi"
    assert commands(sim) == [f"lshostiplogin/{IQN.name}", "lshost/esx1-iscsi"]


def test_any_iscsi_name_can_be_asked_for(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    sim.commands.lists_ports = False
    odd = iscsi("iqn.1998-01.com.vmware:esx?1#2%20")
    sim.add_host("esx1", [odd.name])
    sim.log_in(odd.name)
    assert array.plan_group(HOST, [odd]).group.id == "esx1"
    assert "lshost" not in commands(sim)


@pytest.mark.parametrize("knows_logins", [True, False])
@pytest.mark.usefixtures("esx")
def test_without_it_one_that_is_not_logged_in_is_looked_for_among_all(
    sim: FlashSystemSimulator, array: StorageArray, knows_logins: bool
) -> None:
    sim.commands.lists_ports, sim.commands.knows_logins = False, knows_logins
    assert array.plan_group(HOST, [FC]).group.id == "esx1"
    assert array.plan_group(HOST, [IQN]).group.id == "esx1-iscsi"
    assert array.plan_group(HOST, [fc("20000025b5aa0009")]).group.id == ""


@pytest.mark.parametrize(
    ("logged_in", "taken"),
    [([WWPN], (FC,)), ([IQN.name], (IQN,)), ([WWPN, IQN.name], (IQN,)), ([], (IQN,))],
)
@pytest.mark.parametrize("lists_ports", [True, False])
@pytest.mark.usefixtures("esx")
def test_the_kind_is_the_first_that_is_logged_in(
    sim: FlashSystemSimulator,
    array: StorageArray,
    lists_ports: bool,
    logged_in: list[str],
    taken: tuple[Initiator, ...],
) -> None:
    sim.commands.lists_ports = lists_ports
    for name in logged_in:
        sim.log_in(name)
    assert array.plan_group(HOST, [IQN, FC]).group.initiators == taken


def test_a_stranger_that_is_logged_in_by_fibre_channel_is_taken_first(
    sim: FlashSystemSimulator, array: StorageArray
) -> None:
    sim.log_in(WWPN)
    plan = array.plan_group(HOST, [IQN, FC])
    assert (plan.group.id, plan.group.name, plan.missing) == ("", OWN, (FC,))


def test_of_two_hosts_that_is_used_which_is_logged_in(sim: FlashSystemSimulator, array: StorageArray) -> None:
    """The Go driver takes the first."""
    sim.add_host("esx0", [WWPN])
    sim.add_host("esx1", [WWPN_2])
    sim.log_in(WWPN_2)
    assert array.plan_group(HOST, [FC, FC_2]).group == Group("esx1", "esx1", (FC_2,))


def test_a_look_that_fails_creates_nothing(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    """The Go driver goes on, and makes one host more."""
    sim.before("lshostports", lambda _: Reply(503), times=1000)
    with pytest.raises(StorageError):
        array.plan_group(HOST, [FC])
    assert lab.state() == ([], [], [])


@pytest.mark.parametrize("name", ["ESX host 1", "esx.1-a_b"])
def test_names_of_hosts_with_blanks(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, name: str
) -> None:
    sim.add_host(name, [WWPN])
    state = lab.state()
    assert array.map(lun, ensure(array, FC)).group.id == name
    assert connect(lab).mappings_of(lun)[0].initiators == {FC}
    unmap(array, lun)
    assert lab.state() == state


def test_a_hosts_number_that_another_gets_meanwhile_is_not_used(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC)
    sim.remove_host(sim.hosts[0])
    assert sim.add_host("worker-7", [WORKER]).id == 0
    mapping = array.map(lun, group)
    assert mapping.group.id == OWN
    assert lab.san.seen_by([WORKER.lower()]) == {}
    assert list(lab.san.seen_by([FC.name])) == [lun.device]


def test_a_host_of_the_administrators_that_is_gone_is_not_made_again(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, esx: SimHost
) -> None:
    group = ensure(array, FC)
    sim.remove_host(esx)
    state = lab.state()
    with pytest.raises(StorageError, match="no host esx1 any more"):
        array.map(lun, group)
    assert lab.state() == state


def test_our_own_host_stays_while_another_volume_is_mapped_to_it(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    group = ensure(array, FC)
    array.map(lun, group)
    other = array.find_lun(lab.add_volume())
    array.map(other, group)
    unmap(array, lun)
    assert [host.name for host in sim.hosts.values()] == [OWN]
    unmap(array, other)
    assert lab.state() == ([], [], [])


def test_our_own_host_to_which_nothing_was_mapped_is_deleted(
    lab: FlashSystemLab, array: StorageArray, lun: Lun
) -> None:
    ensure(array, FC)
    unmap(array, lun)
    assert lab.state() == ([], [], [])


def test_a_host_that_becomes_free_while_we_look_is_deleted_all_the_same(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    other = lab.add_volume()

    def take(_: Request) -> None:
        lab.add_map(other, OWN)

    def give_back(_: Request) -> None:
        lab.remove_map(other, OWN)

    sim.before("rmhost", take)
    sim.before(f"lshost/{OWN}", give_back)
    unmap(array, lun)
    assert lab.state() == ([], [], [])


# Host clusters


@pytest.fixture
def cluster(sim: FlashSystemSimulator, esx: SimHost) -> str:
    """A host cluster that the host is in."""
    sim.join(sim.add_cluster("vmware"), esx)
    return "vmware"


def test_what_the_hosts_cluster_sees_is_used_and_left(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, cluster: str
) -> None:
    volume = lab.add_volume()
    sim.map_to_cluster(lab.volume(volume), sim.clusters[0])
    lun, state = array.find_lun(volume), lab.state()
    (before,) = array.mappings_of(lun)
    assert (before.ours, before.host, before.initiators) == (False, None, frozenset({FC, FC_2}))
    assert cluster in before.group.name
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group, mapping.lun_id, mapping.ours) == (before.group, 0, False)
    for keep in ((before,), ()):
        unmap(array, lun, keep)
        assert lab.state() == state
    assert not any(command.startswith("rm") for command in commands(sim))


@pytest.mark.usefixtures("cluster")
def test_what_it_does_not_see_is_mapped_to_the_host_alone(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    neighbour = sim.add_host("esx5", ["20000025B5AA0005"])
    sim.join(sim.clusters[0], neighbour)
    sim.map_to_cluster(lab.volume(lab.add_volume()), sim.clusters[0])
    state = lab.state()
    assert array.map(lun, ensure(array, FC)).group.id == "esx1"
    assert lun.device not in lab.san.seen_by(["20000025b5aa0005"])
    unmap(array, lun)
    assert lab.state() == state


# Mapping


def test_it_is_mapped_once_under_an_id_of_its_own_whoever_else_sees_it(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, esx: SimHost
) -> None:
    volume = lab.add_volume()
    lab.add_map(volume, sim.add_host("worker-7", [WORKER]).name)
    sim.elsewhere = "CMMVC9375E"
    lun, made, group = array.find_lun(volume), requests(sim, "mkvdiskhostmap"), ensure(array, FC, FC_2)
    array.mappings_of(lun)
    sim.calls.clear()
    mapping = array.map(lun, group)
    assert commands(sim) == ["mkvdiskhostmap/0"]
    assert [request.body for request in made] == [{"host": "esx1", "scsi": mapping.lun_id, "force": True}]
    assert 1 <= (mapping.lun_id or 0) < 512
    assert mapping.ours


@pytest.mark.usefixtures("esx")
def test_a_mapping_that_somebody_makes_between_our_look_and_our_act_is_not_ours(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    sim.before("mkvdiskhostmap", lambda _: lab.add_map(volume, "esx1"))
    mapping = array.map(lun, ensure(array, FC))
    assert (mapping.group.id, mapping.lun_id, mapping.ours) == ("esx1", 0, False)


@pytest.mark.parametrize("lost", [Reply(503, b"upstream is gone"), Reply(500, b"{")])
@pytest.mark.usefixtures("esx")
def test_one_whose_answer_is_lost_is(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, lost: Reply
) -> None:
    def lose(request: Request) -> Reply:
        sim.map(sim.volumes[0], next(h for h in sim.hosts.values() if h.name == "esx1"), request.body["scsi"])
        return lost

    sim.before("mkvdiskhostmap", lose)
    assert array.map(lun, ensure(array, FC)).ours
    assert len(sim.maps) == 1


def test_one_whose_answer_never_comes_is_as_well(
    lab: FlashSystemLab, sim: FlashSystemSimulator, lun: Lun, esx: SimHost
) -> None:
    release = threading.Event()

    def hang(request: Request) -> Reply:
        sim.map(sim.volumes[0], esx, request.body["scsi"])
        release.wait(20)
        return Reply(200)

    sim.before("mkvdiskhostmap", hang)
    array = connect(lab, timeout=0.5)
    assert array.map(lun, ensure(array, FC)).ours
    assert len(sim.maps) == 1
    release.set()


def test_a_lun_id_in_use_is_passed_over(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, esx: SimHost
) -> None:
    """The Go driver takes the highest one and adds 1, as far as that goes."""
    first = array.map(lun, ensure(array, FC)).lun_id
    assert first is not None
    unmap(array, lun)
    other = lab.volume(lab.add_volume())
    sim.map(other, esx, first)
    sim.map(lab.volume(lab.add_volume()), esx, 2047)
    mapping = array.map(lun, ensure(array, FC))
    assert mapping.lun_id in {first + 1, 1}
    assert mapping.ours


def test_ids_above_the_usual_ones_are_used_last_and_none_that_hosts_do_not_see(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, esx: SimHost
) -> None:
    sim.most_mappings = 2048
    other = lab.volume(lab.add_volume())
    template = sim.map(other, esx, 0)
    sim.maps += [replace(template, scsi_id=number) for number in range(1, 512)]
    assert array.map(lun, ensure(array, FC)).lun_id == 512
    unmap(array, lun)
    sim.maps += [replace(template, scsi_id=number) for number in range(512, 1024)]
    with pytest.raises(StorageError, match="no LUN id below 1024 left for esx1") as caught:
        array.map(lun, ensure(array, FC))
    assert caught.value.hint


def test_a_host_with_as_many_mappings_as_there_can_be_is_explained(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, esx: SimHost
) -> None:
    template = sim.map(lab.volume(lab.add_volume()), esx, 600)
    sim.maps += [replace(template, scsi_id=number) for number in range(601, 1112)]
    with pytest.raises(StorageError) as caught:
        array.map(lun, ensure(array, FC))
    assert "has 512 mappings" in caught.value.hint


def test_a_lun_id_that_hosts_do_not_see_is_refused(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, esx: SimHost
) -> None:
    volume = lab.add_volume()
    sim.map(lab.volume(volume), esx, 1024)
    state = lab.state()
    with pytest.raises(StorageError, match="LUN id 1024 for esx1, which ESXi hosts do not see"):
        array.map(array.find_lun(volume), ensure(array, FC))
    assert lab.state() == state


# Unmapping


@pytest.mark.parametrize(
    "code", ["CMMVC5842E", "CMMVC5804E", "CMMVC5753E", "CMMVC5754E", "CMMVC8957E", "CMMVC5868E", "CMMVC9999E"]
)
@pytest.mark.parametrize("status", [409, 500])
@pytest.mark.usefixtures("esx")
def test_a_refusal_to_unmap_is_success_where_the_mapping_is_gone_and_else_an_error(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, code: str, status: int
) -> None:
    """To the Go driver it is always an error."""
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    sim.before("rmvdiskhostmap", lambda _: sim.refuse(code, status))
    with pytest.raises(StorageError, match=code):
        unmap(array, lun)
    assert len(sim.maps) == 1

    def gone(_: Request) -> Reply:
        lab.remove_map(volume, "esx1")
        return sim.refuse(code, status)

    sim.before("rmvdiskhostmap", gone)
    unmap(array, lun)
    assert sim.maps == []


@pytest.mark.usefixtures("esx")
def test_what_was_mapped_before_is_kept(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    """The Go driver takes it away."""
    volume = lab.add_volume()
    lab.add_map(volume, "esx1")
    lun, state = array.find_lun(volume), lab.state()
    before = array.mappings_of(lun)
    assert not array.map(lun, ensure(array, FC)).ours
    unmap(array, lun, before)
    assert lab.state() == state


@pytest.mark.usefixtures("esx")
def test_ours_is_taken_away_also_where_a_list_does_not_show_it(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    sim.before("lsvdiskhostmap", lambda _: Reply(200, []))
    unmap(array, lun)
    assert sim.maps == []


@pytest.mark.usefixtures("esx")
def test_a_volume_that_is_gone_has_nothing_to_unmap(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray
) -> None:
    volume = lab.add_volume()
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    lab.remove_volume(volume)
    for _ in range(2):
        unmap(array, lun)


@pytest.mark.usefixtures("esx")
def test_protection_that_was_turned_on_meanwhile_is_named(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun
) -> None:
    array.map(lun, ensure(array, FC))
    sim.protected = sim.volumes[0].busy = True
    with pytest.raises(StorageError, match="Volume protection is on"):
        unmap(array, lun)
    assert len(sim.maps) == 1


@pytest.mark.usefixtures("esx")
def test_the_calls_of_a_disk(lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray) -> None:
    array.info()
    volume = lab.add_volume()
    sim.log_in(WWPN)
    sim.calls.clear()
    lun = array.find_lun(volume)
    array.mappings_of(lun)
    mapping = array.map(lun, ensure(array, FC, FC_2, IQN))
    for _ in range(2):
        array.mappings_of(lun)
    unmap(array, lun)
    assert commands(sim) == [
        "lsvdisk",
        "lsvdiskhostmap/0",
        "lshostports",
        "lshost/esx1",
        "mkvdiskhostmap/0",
        "lsvdiskhostmap/0",
        "lsvdiskhostmap/0",
        "rmvdiskhostmap/0",
    ]
    assert mapping.ours


def test_an_answer_that_says_nothing_to_a_mapping_leaves_nothing(
    lab: FlashSystemLab, sim: FlashSystemSimulator, array: StorageArray, lun: Lun, esx: SimHost
) -> None:
    def nonsense(request: Request) -> Reply:
        sim.map(sim.volumes[0], esx, request.body["scsi"])
        return Reply(200, b"<html>")

    sim.before("mkvdiskhostmap", nonsense)
    with pytest.raises(Unanswered):
        array.map(lun, ensure(array, FC))
    unmap(array, lun)
    assert sim.maps == []
