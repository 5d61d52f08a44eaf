"""What all populates do, told from what is to be seen of them: ours, the Go populator's, and nonsense."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lease.overview import Names, SlotState, SlotView, by_dates
from lease.record import AUTHOR, JOURNAL, OUTCOME, parse_record
from populator.plan.evidence import SHOWN_FOR, WAITS, VolumeNames, overview
from populator.plan.journal import MIB, WRITER, Journal
from populator.plan.progress import Overview, Populate, State
from populator.report.phase import Phase
from tests.lab.kube.forklift import populator
from tests.lab.lease.records import NOW, ago
from vsphere.model import CopyPhase

UID = "6f1c8a52-0d0e-4c6b-9a57-1f2f3a4b5c6d"
OTHER = "0b7e21c4-0d0e-4c6b-9a57-1f2f3a4b5c6d"
DISK = "[ds] vm/vm.vmdk"
JOB = Journal(
    pvc="vms/disk-1",
    pvc_uid=UID,
    volume="pv-1",
    disk=DISK,
    host="esx-1.lab",
    host_id="host-9",
    array="svm",
    size=400 * MIB,
)
CLONE = replace(JOB, phase="clone", percent=25, rate=10.0)
HOLDER = f"populate-{UID}_0a1b2c3d"


def view(
    name: str,
    journal: Journal | dict[str, Any] | str | None = None,
    outcome: dict[str, str] | None = None,
    state: SlotState | None = None,
    author: str | None = None,
    owner: str = "",
    **spec: Any,
) -> SlotView:
    """Return a Lease as it is seen, held and renewed just now unless something else is said."""
    holder = spec.setdefault("holderIdentity", HOLDER if journal is not None else "")
    spec = {"renewTime": ago(1), "acquireTime": ago(60), "leaseDurationSeconds": 10} | spec
    facts = journal.facts() if isinstance(journal, Journal) else journal
    annotations = {AUTHOR: holder if author is None else author}
    if facts is not None:
        annotations[JOURNAL] = facts if isinstance(facts, str) else json.dumps(facts)
    if outcome is not None:
        annotations[OUTCOME] = json.dumps(outcome)
    metadata: dict[str, Any] = {"name": name, "namespace": "vms", "annotations": annotations}
    if owner:
        metadata["ownerReferences"] = [{"kind": "PersistentVolumeClaim", "name": owner, "uid": UID}]
    record = parse_record({"metadata": metadata, "spec": spec})
    place = VolumeNames().parse(name) or Names().parse(name)
    assert place
    return SlotView(*place, state or by_dates(record, NOW), record)


def writer(*words: Any, uid: str = UID, **more: Any) -> SlotView:
    return view(WRITER.format(host=uid), *words, **more)


def slot(*words: Any, number: int = 0, **more: Any) -> SlotView:
    return view(f"esxi-lock-host-9-slot-{number}", *words, **more)


def look(
    writers: list[SlotView], slots: list[SlotView] | None = None, objects: list[Any] | None = None
) -> Overview:
    return overview(writers, slots or [], objects or [], NOW)


def only(*words: Any) -> Populate:
    (populate,) = look(*words).populates
    return populate


# --- a run of ours


def test_a_run_that_copies_shows_how_far_it_is_and_how_long_it_takes() -> None:
    seen = only([writer(CLONE)], [slot(CLONE)])
    assert (seen.state, seen.phase, seen.percent, seen.rate, seen.remaining) == (
        State.RUNNING,
        "clone",
        25,
        10.0,
        30.0,
    )
    assert (seen.namespace, seen.name, seen.uid, seen.disk) == ("vms", "disk-1", UID, DISK)
    assert (seen.host, seen.place, seen.slot) == ("host-9", "esx-1.lab", "esxi-lock-host-9-slot-0")


def test_either_lease_alone_is_enough() -> None:
    assert only([writer(CLONE)]) == replace(only([], [slot(CLONE)]), slot="")


def test_of_two_journals_the_one_that_is_further_counts() -> None:
    ahead = replace(CLONE, percent=50, rate=20.0)
    assert only([writer(CLONE)], [slot(ahead)]).percent == 50
    assert only([writer(ahead)], [slot(CLONE)]).percent == 50
    assert only([writer(ahead)], [slot(CLONE)]).remaining == 10.0


def test_a_copy_by_the_array_has_the_array_in_place_of_a_host() -> None:
    by_array = replace(CLONE, host="", host_id="")
    assert only([writer(by_array)]).place == "array svm"
    assert [host.place for host in look([writer(by_array)]).hosts] == ["array svm"]


@pytest.mark.parametrize("phase", [Phase.WAIT_FOR_SLOT, CopyPhase.WAIT_FOR_ROOM])
def test_who_waits_for_others_is_seen_to(phase: str) -> None:
    assert phase in WAITS
    assert only([writer(replace(JOB, phase=phase))]).state == State.WAITING


def test_who_is_done_stays_done_for_a_day() -> None:
    outcome = {"populated": "true", "by": HOLDER, "at": (NOW - timedelta(hours=1)).isoformat(), "disk": DISK}
    seen = only([writer(outcome=outcome, owner="disk-1")])
    assert (seen.state, seen.percent, seen.name, seen.disk) == (State.DONE, 100, "disk-1", DISK)
    assert seen.pod == f"populate-{UID}"
    old = outcome | {"at": (NOW - timedelta(seconds=SHOWN_FOR + 1)).isoformat()}
    assert (look([writer(outcome=old)]).populates, look([writer(outcome=old)]).older) == ((), 1)


def test_why_a_run_failed_is_told() -> None:
    outcome = {"failed": "The LUN is offline.", "by": HOLDER, "at": NOW.isoformat()}
    seen = only([writer(outcome=outcome)])
    assert (seen.state, seen.why) == (State.FAILED, "The LUN is offline.")
    assert only([writer(outcome={})]).why == "It ended without having filled the volume."


def test_a_refusal_of_the_array_is_no_failure_while_a_host_may_go_on() -> None:
    refused = {"refused": "It is mapped.", "at": NOW.isoformat()}
    assert only([writer(outcome=refused)]).state == State.RUNNING
    old = refused | {"at": (NOW - timedelta(hours=1)).isoformat()}
    assert only([writer(outcome=old)]).state == State.FAILED


def test_a_killed_run_failed_and_is_doubted_as_long_as_only_dates_say_so() -> None:
    dead = only([writer(CLONE, state=SlotState.EXPIRED)])
    assert (dead.state, dead.why) == (State.FAILED, "Its pod died or was cut off in phase 'clone'.")
    assert (dead.percent, dead.rate, dead.remaining) == (25, None, None)
    for lying in (ago(20), ago(7200), ago(-7200), "yesterday"):
        assert only([writer(CLONE, renewTime=lying)]).state == State.MAYBE_FAILED
    assert only([writer(CLONE, state=SlotState.HELD, renewTime=ago(7200))]).state == State.RUNNING


def test_what_was_left_is_told_while_the_lease_runs_out_and_after() -> None:
    left = replace(CLONE, left="The copy may be running.")
    for state in (SlotState.HELD, SlotState.EXPIRED):
        seen = only([writer(left, state=state)])
        assert (seen.state, seen.why) == (State.FAILED, "The copy may be running.")
    facts = left.facts() | {"failed": "The host is gone."}
    assert only([writer(facts, state=SlotState.EXPIRED)]).why == "The host is gone. The copy may be running."


def test_a_run_that_begins_again_has_not_failed() -> None:
    assert (
        only([writer(CLONE, outcome={"failed": "The LUN is offline.", "at": NOW.isoformat()})]).state
        == State.RUNNING
    )


# --- Forklift's objects, and other programs


def test_an_object_without_a_run_has_not_started() -> None:
    seen = only([], [], [populator("cr-1", "vms", DISK, ("disk-1", UID))])
    assert (seen.state, seen.phase, seen.name, seen.populator) == (
        State.WAITING,
        "not started",
        "disk-1",
        "cr-1",
    )


@pytest.mark.parametrize(
    ("status", "state", "percent"),
    [
        ({"progress": "0"}, State.RUNNING, 0),
        ({"progress": "42"}, State.RUNNING, 42),
        ({"progress": "42.7"}, State.RUNNING, 42),
        ({"progress": "100", "result": "success"}, State.DONE, 100),
        ({"progress": "12", "result": "failure"}, State.FAILED, 12),
        ({"progress": "x", "result": "y"}, State.WAITING, None),
    ],
)
def test_without_leases_the_status_tells(status: dict[str, str], state: State, percent: int | None) -> None:
    seen = only([], [], [populator("cr-1", "vms", DISK, None, **status)])
    assert (seen.state, seen.percent) == (state, percent)


@pytest.mark.parametrize("owner", [("disk-1", UID), ("disk-1", ""), None])
def test_object_and_run_are_one(owner: tuple[str, str] | None) -> None:
    wanted = populator("cr-1", "vms", DISK, owner, progress="20")
    seen = only([writer(CLONE)], [], [wanted])
    assert (seen.populator, seen.percent, seen.state) == ("cr-1", 25, State.RUNNING)


def test_the_same_disk_twice_is_not_guessed_at() -> None:
    twice = [populator(name, "vms", DISK) for name in ("cr-1", "cr-2")]
    assert len(look([writer(CLONE)], [], twice).populates) == 3
    beside = [populator("cr-1", "vms", DISK, ("disk-1", UID)), populator("cr-2", "vms", DISK)]
    assert [one.populator for one in look([writer(CLONE)], [], beside).populates] == ["cr-1", "cr-2"]
    elsewhere = populator("cr-1", "other", DISK)
    assert len(look([writer(CLONE)], [], [elsewhere]).populates) == 2


def test_the_object_settles_what_dates_leave_open() -> None:
    for result, state in (("success", State.DONE), ("failure", State.FAILED)):
        wanted = populator("cr-1", "vms", DISK, ("disk-1", UID), progress="9", result=result)
        assert only([writer(CLONE, renewTime=ago(30))], [], [wanted]).state == state
        assert only([writer(CLONE)], [], [wanted]).state == State.RUNNING, "it is of the run before"


def test_a_go_populator_is_known_by_its_pod_and_copies_on_when_its_slot_runs_out() -> None:
    go: dict[str, Any] = {"holderIdentity": f"populate-{OTHER}", "author": ""}
    seen = only([], [view("esxi-lock-hostsystem-host-9-slot-0", **go)])
    assert (seen.state, seen.uid, seen.host) == (State.RUNNING, OTHER, "host-9")
    gone = view("esxi-lock-hostsystem-host-9-slot-0", state=SlotState.EXPIRED, **go)
    wanted = populator("cr-1", "vms", DISK, ("disk-2", OTHER), progress="7")
    seen = only([], [gone], [wanted])
    assert (seen.state, seen.percent, seen.name) == (State.RUNNING, 7, "disk-2")


def test_a_journal_that_another_holder_left_tells_nothing() -> None:
    seen = only([], [slot(CLONE, holderIdentity=f"populate-{OTHER}", author=HOLDER)])
    assert (seen.uid, seen.percent) == (OTHER, None)


@pytest.mark.parametrize(
    "journal",
    [
        "", "{", "[]", "null", "7", '{"percent": 7}', '{"percent": "101", "rate": "-1", "size": "x"}',
        '{"pvc": "/", "phase": ""}', json.dumps({"percent": "9" * 5000, "phase": "x" * 5000, "disk": "\u202e\x1b[31m"}),
        json.dumps({"phase": "clone", "percent": "50", "rate": "0", "size": "0"}), '{"phase": "clo…"}',
    ],
)  # fmt: skip
def test_nonsense_is_survived(journal: str) -> None:
    seen = look([writer(journal)], [slot(journal)])
    assert [one.state for one in seen.populates] == [State.RUNNING]
    assert seen.populates[0].remaining is None
    assert seen.total.remaining is None


@pytest.mark.parametrize(
    "item",
    [
        None, 7, {}, {"metadata": None}, {"spec": [], "status": "x"}, {"metadata": {"ownerReferences": "x"}},
        {"metadata": {"ownerReferences": [None, {"kind": "PersistentVolumeClaim", "uid": 7}]}},
        {"metadata": {"name": ["x"]}, "spec": {"vmdkPath": 7}, "status": {"progress": {}, "result": 1}},
    ],
)  # fmt: skip
def test_objects_of_nonsense_are_survived(item: Any) -> None:
    assert [one.state for one in look([], [], [item]).populates] == [State.WAITING]


def test_other_leases_are_none_of_ours() -> None:
    assert VolumeNames().parse("controller-leader") is None
    assert look([], [slot(holderIdentity="maintenance")]).populates == ()
    assert [host.slots for host in look([], [slot(holderIdentity="maintenance")]).hosts] == [1]
    assert look([writer(acquireTime=None)]).populates == (), "made in advance, and never held"


# --- together


def test_rates_and_times_add_up() -> None:
    waiting = replace(JOB, phase=Phase.WAIT_FOR_SLOT, pvc="vms/disk-2", pvc_uid=OTHER)
    done = {"populated": "true", "at": NOW.isoformat()}
    seen = look([writer(CLONE), writer(waiting, uid=OTHER), writer(outcome=done, uid="third")], [slot(CLONE)])
    assert seen.total.states == {State.RUNNING: 1, State.WAITING: 1, State.DONE: 1}
    assert (seen.total.rate, seen.total.remaining, seen.total.at_least) == (10.0, 70.0, False)
    assert round(seen.total.percent) == 42
    (host,) = seen.hosts
    assert (host.place, host.slots, host.total.remaining) == ("esx-1.lab", 1, 70.0)
    more = look([writer(CLONE)], [], [populator("cr-2", "vms", "[ds] b/b.vmdk")]).total
    assert more.at_least, "nobody knows yet how large that one is"


def test_what_needs_attention_comes_first_and_hosts_are_in_their_order() -> None:
    running = [replace(CLONE, percent=percent) for percent in (10, 90)]
    failed = {"failed": "x", "at": NOW.isoformat()}
    seen = look([*(writer(one, uid=str(one.percent)) for one in running), writer(outcome=failed, uid="f")])
    assert [(one.state, one.percent) for one in seen.populates] == [
        (State.FAILED, None), (State.RUNNING, 90), (State.RUNNING, 10)
    ]  # fmt: skip
    hosts = [view(f"esxi-lock-host-{number}-slot-0", holderIdentity="x") for number in (10, 9)]
    assert [host.place for host in look([], hosts).hosts] == ["host-9", "host-10"]
