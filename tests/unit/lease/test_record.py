"""Lease objects: what is read from them whatever is in them, and what is written back."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from lease.decision import check_settings
from lease.record import (
    AUTHOR,
    GO_TEMPLATE,
    HOST_LABEL,
    JOURNAL,
    JOURNAL_BYTES,
    SPREAD,
    TEMPLATE,
    Notes,
    free_lease,
    held_lease,
    micro_time,
    parse_record,
    slot_names,
    unused_lease,
)

NOW = datetime(2026, 11, 24, 4, 5, 6, 7, tzinfo=UTC)


def lease(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "resourceVersion": "7"}, "spec": spec}


def write(record: Any, holder: str = "pod-1/uid") -> dict[str, Any]:
    return held_lease(record, "a", "host-1", holder=holder, duration=10, now=NOW, journal="{}")


def test_names_are_those_people_grep_for() -> None:
    assert slot_names(TEMPLATE, "host-1234", 2) == [
        "esxi-lock-host-1234-slot-0",
        "esxi-lock-host-1234-slot-1",
    ]


def test_the_go_populators_names_can_be_had() -> None:
    names = slot_names(GO_TEMPLATE, "host-1234", 2)
    assert names[0] == "esxi-lock-hostsystem-host-1234-slot-0"


@pytest.mark.parametrize(
    "template", ["{", "{nobody}", "{0}", "{host.x}", "Lock-{host}-{slot}", "", "a" * 300]
)
def test_a_template_that_makes_no_names_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"template|name"):
        slot_names(template, "host-1", 2)


def test_settings_that_work_have_no_problems() -> None:
    assert check_settings(10, 2, TEMPLATE, "copy") == {}
    assert check_settings(10, 2, GO_TEMPLATE, "rescan") == {}


@pytest.mark.parametrize(
    ("duration", "slots", "template", "scope", "word"),
    [
        (0, 2, TEMPLATE, "copy", "duration"),
        (-5, 2, TEMPLATE, "copy", "duration"),
        (2, 2, TEMPLATE, "copy", "renewed"),
        (10**9, 2, TEMPLATE, "copy", "duration"),
        (10, 0, TEMPLATE, "copy", "slots"),
        (10, 2, "esxi-{host}", "copy", "{slot}"),
        (10, 2, "esxi-{slot}", "copy", "{host}"),
        (10, 2, "Esxi {host} {slot}", "copy", "template"),
        (10, 2, TEMPLATE, "clone", "copy or rescan"),
        (4, 2, GO_TEMPLATE, "rescan", "Go populator"),
    ],
)
def test_settings_that_cannot_work_are_named(
    duration: int, slots: int, template: str, scope: str, word: str
) -> None:
    (problem,) = check_settings(duration, slots, template, scope).values()
    assert word in problem


def test_a_record_is_read() -> None:
    record = parse_record(
        {
            "metadata": {"name": "a", "resourceVersion": "7", "annotations": {JOURNAL: '{"task": "t1"}'}},
            "spec": {
                "holderIdentity": "pod",
                "leaseDurationSeconds": 10,
                "renewTime": "2026-11-24T04:05:06.000007Z",
                "leaseTransitions": 3,
            },
        }
    )
    assert (record.holder, record.duration, record.transitions, record.version) == ("pod", 10, 3, "7")
    assert record.journal == {"task": "t1"}


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        {},
        {"metadata": None, "spec": None},
        {"metadata": [], "spec": "x"},
        {"metadata": {"annotations": {JOURNAL: "{"}}, "spec": {"holderIdentity": None}},
        {"metadata": {"annotations": {JOURNAL: "[" * 100_000}}},
        {"metadata": {"annotations": {JOURNAL: None}}, "spec": {"leaseDurationSeconds": True}},
    ],
)
def test_nonsense_is_read_as_a_free_slot(nonsense: Any) -> None:
    record = parse_record(nonsense)
    assert record.holder == ""
    assert record.duration is None


def test_the_spread_of_the_waiters_outlasts_holders() -> None:
    claimed = held_lease(
        None, "a", "host-1", holder="pod-1", duration=10, now=NOW, journal="{}", spread=1.23456
    )
    assert parse_record(claimed).spread == 1.235
    renewed = write(parse_record(claimed), "pod-1")
    freed = free_lease(parse_record(renewed), 10, NOW)
    taken = write(parse_record(freed), "pod-2")
    assert parse_record(renewed).spread == parse_record(freed).spread == parse_record(taken).spread == 1.235


@pytest.mark.parametrize("spread", [None, "", "x", "nan", "inf", "-inf", 3, [], {"a": 1}])
def test_a_spread_that_is_none_is_read_as_none(spread: Any) -> None:
    assert parse_record({"metadata": {"annotations": {SPREAD: spread}}}).spread is None


@pytest.mark.parametrize("duration", [None, 0, -1, "10", 1.5, True])
def test_a_duration_that_is_none_is_read_as_none(duration: Any) -> None:
    assert parse_record(lease(holderIdentity="x", leaseDurationSeconds=duration)).duration is None


def test_taking_a_slot_counts_and_dates_the_change_of_holder() -> None:
    before = parse_record(
        lease(holderIdentity="other", leaseTransitions=3, acquireTime="2020-01-01T00:00:00.000000Z")
    )
    spec = write(before)["spec"]
    assert spec["leaseTransitions"] == 4
    assert spec["acquireTime"] == spec["renewTime"] == "2026-11-24T04:05:06.000007Z"


def test_renewing_keeps_acquire_time_and_count() -> None:
    before = parse_record(
        lease(holderIdentity="pod-1/uid", leaseTransitions=3, acquireTime="2020-01-01T00:00:00.000000Z")
    )
    spec = write(before)["spec"]
    assert spec["leaseTransitions"] == 3
    assert spec["acquireTime"] == "2020-01-01T00:00:00.000000Z"


def test_a_count_at_its_end_is_not_counted_further() -> None:
    before = parse_record(lease(holderIdentity="other", leaseTransitions=2**31 - 1))
    assert write(before)["spec"]["leaseTransitions"] == 2**31 - 1


def test_what_others_put_into_a_lease_stays() -> None:
    theirs: dict[str, Any] = {
        "metadata": {
            "name": "a",
            "resourceVersion": "7",
            "uid": "u",
            "labels": {"x": "y"},
            "annotations": {"z": "1"},
            "managedFields": [{}],
        },
        "spec": {"holderIdentity": "", "strategy": "OldestEmulationVersion"},
    }
    ours = write(parse_record(theirs))
    assert ours["metadata"] == {
        "name": "a",
        "resourceVersion": "7",
        "uid": "u",
        "labels": {"x": "y", HOST_LABEL: "host-1"},
        "annotations": {"z": "1", JOURNAL: "{}", AUTHOR: "pod-1/uid"},
    }
    assert ours["spec"]["strategy"] == "OldestEmulationVersion"
    assert "managedFields" in theirs["metadata"], "what was read is left as it was"


@pytest.mark.parametrize("duration", [5, 10, 3600])
def test_release_empties_holder_and_journal_and_keeps_the_duration(duration: int) -> None:
    held = held_lease(None, "a", "host-1", holder="pod-1", duration=duration, now=NOW, journal="{}")
    freed = free_lease(parse_record(held), duration, NOW)
    assert freed["spec"]["holderIdentity"] == ""
    assert freed["spec"]["leaseDurationSeconds"] == duration
    assert not {JOURNAL, AUTHOR} & freed["metadata"]["annotations"].keys()
    assert freed["metadata"]["labels"] == {HOST_LABEL: "host-1"}


def test_what_is_free_is_so_by_its_dates_as_well_on_a_clock_some_seconds_behind() -> None:
    freed = free_lease(parse_record(write(None)), 10, NOW)
    for lease in (freed, unused_lease("a", "host-1", 10, NOW)):
        renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
        ends = renewed + timedelta(seconds=lease["spec"]["leaseDurationSeconds"])
        assert ends == NOW - timedelta(seconds=5)


def test_a_slot_made_in_advance_is_free_carries_the_duration_and_was_never_used() -> None:
    made = unused_lease("a", "host-1", 10, NOW)
    record = parse_record(made)
    assert (record.holder, record.duration, record.used, record.transitions) == ("", 10, False, 0)
    assert made["metadata"]["labels"] == {HOST_LABEL: "host-1"}
    assert parse_record(write(record)).used
    assert parse_record(free_lease(parse_record(write(record)), 10, NOW)).used


def test_a_holder_signs_what_it_writes_and_another_program_does_not() -> None:
    ours = write(None, "pod-1")
    assert parse_record(ours).author == "pod-1"
    theirs = {**ours, "spec": {**ours["spec"], "holderIdentity": "go-pod"}}
    assert parse_record(theirs).author == "pod-1"
    assert parse_record(write(parse_record(theirs), "pod-2")).author == "pod-2"


def test_micro_time_is_utc_with_six_decimals() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert micro_time(moment) == "2025-12-31T23:00:00.000000Z"


@pytest.mark.parametrize(
    "facts",
    [
        {"error": "ü" * 100_000, "task": "t-1"},
        {f"fact-{n}": "x" * 30 for n in range(500)},
        {"device": "naa.1", "left": '"' * 5000},
    ],
)
def test_a_journal_never_outgrows_its_annotation(facts: dict[str, str]) -> None:
    text = Notes("me", facts).text()
    assert len(text.encode()) <= JOURNAL_BYTES
    kept: dict[str, str] = json.loads(text)
    short = {"task": "t-1", "device": "naa.1", "fact-499": "x" * 30}
    assert any(kept.get(name) == fact for name, fact in short.items())
