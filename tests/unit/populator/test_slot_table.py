"""What `populator leases` prints, to the letter, and how it judges what it sees."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from lease.decision import Sighting
from lease.overview import Names, SlotView, by_change, by_dates, in_order, moment
from lease.record import GO_TEMPLATE, JOURNAL, Record, micro_time, parse_record
from populator.cli.output import Table, as_json, as_yaml, listed
from populator.cli.slot_table import COLUMNS, WIDE, Column, age, item, row
from populator.cli.slot_watch import SlotWatch
from populator.clock import Clock

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
WORK = {
    "volume": "pvc-6f1c8a52",
    "host": "esx-1.lab",
    "device": "naa.600a0980",
    "mapping": "xcopy-hostsystem-host-9-iscsi",
    "task": "t-1",
    "phase": "clone",
}


def ago(seconds: float) -> str:
    return micro_time(NOW - timedelta(seconds=seconds))


def record(name: str, *, version: str = "7", journal: Any = None, **spec: Any) -> Record:
    metadata = {"name": name, "resourceVersion": version}
    annotations = {JOURNAL: journal if isinstance(journal, str) else json.dumps(journal or {})}
    return parse_record({"metadata": {**metadata, "annotations": annotations}, "spec": spec})


def held(name: str, since: float, renewed: float, holder: str = "populate-1_0a1b2c3d", **more: Any) -> Record:
    spec = {"acquireTime": ago(since), "renewTime": ago(renewed), "leaseDurationSeconds": 10}
    return record(name, holderIdentity=holder, **{**spec, **more})


def views(*records: Record) -> list[SlotView]:
    names = Names()
    return in_order(
        [SlotView(*place, by_dates(r, NOW), r) for r in records if (place := names.parse(r.name))]
    )


def some() -> list[SlotView]:
    return views(
        record("esxi-lock-host-10-slot-0", holderIdentity="", renewTime=ago(4000), leaseDurationSeconds=1),
        held("esxi-lock-host-9-slot-0", 303, 2, journal=WORK),
        held("esxi-lock-host-9-slot-1", 90000, 75, holder="populate-2_ffffffff-3"),
        held("esxi-lock-hostsystem-host-9-slot-0", 700000, 86400, holder="go-pod"),
        record("controller-leader", holderIdentity="x"),
    )


class Slots:
    """A table of slots."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.columns, self.table = columns, Table([title for title, _ in columns])

    def lines(self, slots: list[SlotView]) -> list[str]:
        return self.table.lines(row(slot, self.columns, NOW) for slot in slots)


def test_the_table() -> None:
    assert (
        "\n".join(Slots(COLUMNS).lines(some()))
        == """\
HOST      SLOT   STATE      HOLDER       PHASE    VOLUME         HELD     RENEWED
host-9    0      held       populate-1   clone    pvc-6f1c8a52   5m3s     2s
host-9    0      stale      go-pod       <none>   <none>         8d       24h
host-9    1      expired?   populate-2   <none>   <none>         25h      75s
host-10   0      free       <none>       <none>   <none>         <none>   66m"""
    )


def test_the_wide_table() -> None:
    (line,) = Slots(WIDE).lines(some()[:1])[1:]
    assert line.split() == [
        "host-9", "0", "held", "populate-1", "clone", "pvc-6f1c8a52", "5m3s", "2s", "esx-1.lab", "naa.600a0980", "t-1",
        "xcopy-hostsystem-host-9-iscsi", "<none>", "esxi-lock-host-9-slot-0",
    ]  # fmt: skip


def test_rows_that_come_later_have_no_heading_and_no_narrower_columns() -> None:
    table = Slots(COLUMNS)
    first = table.lines(some())
    (later,) = table.lines(some()[:1])
    assert later == first[1]


def test_a_journal_cannot_break_a_line() -> None:
    (slot,) = views(held("esxi-lock-host-9-slot-0", 1, 1, journal={"volume": "a\nb\x1b[31m", "phase": "p"}))
    assert r"a b\x1b[31m" in Slots(COLUMNS).lines([slot])[1]


def test_json_and_yaml_are_a_list_of_the_same_items() -> None:
    value = listed(item(slot, "openshift-mtv") for slot in some())
    assert json.loads(as_json(value)) == yaml.safe_load(as_yaml(value)) == value
    assert (value["kind"], value["apiVersion"], len(value["items"])) == ("List", "v1", 4)
    assert value["items"][0] == {
        "kind": "HostSlot",
        "namespace": "openshift-mtv",
        "lease": "esxi-lock-host-9-slot-0",
        "host": "host-9",
        "slot": 0,
        "state": "held",
        "holder": "populate-1_0a1b2c3d",
        "pod": "populate-1",
        "heldSince": ago(303),
        "renewTime": ago(2),
        "durationSeconds": 10,
        "transitions": 0,
        "journal": WORK,
    }
    free = item(some()[-1], "openshift-mtv")
    assert (free["holder"], free["pod"], free["heldSince"], free["journal"]) == (None, None, None, {})


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (303, "5m3s"), (599, "9m59s"),
        (600, "10m"), (10799, "179m"), (10800, "3h"), (11000, "3h3m"), (28800, "8h"), (172799, "47h"),
        (172800, "2d"), (180000, "2d2h"), (691200, "8d"), (90000000, "1041d"),
    ],
)  # fmt: skip
def test_ages_are_told_as_oc_tells_them(seconds: int, shown: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == shown


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        ({"holderIdentity": "a", "renewTime": ago(10), "leaseDurationSeconds": 10}, "held"),
        ({"holderIdentity": "a", "renewTime": ago(10.1), "leaseDurationSeconds": 10}, "expired?"),
        ({"holderIdentity": "a", "renewTime": ago(3700), "leaseDurationSeconds": 10}, "stale"),
        ({"holderIdentity": "a", "renewTime": ago(-30), "leaseDurationSeconds": 10}, "held"),
        ({"holderIdentity": "a", "renewTime": ago(-90000), "leaseDurationSeconds": 10}, "stale"),
        ({"holderIdentity": "a", "renewTime": "yesterday", "leaseDurationSeconds": 10}, "stale"),
        ({"holderIdentity": "a", "leaseDurationSeconds": 10}, "stale"),
        ({"holderIdentity": "a", "renewTime": ago(1), "leaseDurationSeconds": 0}, "stale"),
        ({"holderIdentity": "", "renewTime": ago(9999), "leaseDurationSeconds": 1}, "free"),
        ({}, "free"),
    ],
)
def test_a_single_look_judges_by_the_dates(spec: dict[str, Any], state: str) -> None:
    assert by_dates(record("a", **spec), NOW) == state


@pytest.mark.parametrize(
    ("unchanged", "dates", "seen_to_change", "state"),
    [
        (9.0, "held", False, "held"),
        (9.0, "expired?", False, "expired?"),
        (9.0, "expired?", True, "held"),
        (9.0, "stale", True, "held"),
        (10.1, "held", True, "expired"),
        (10.1, "expired?", False, "expired"),
        (10.1, "stale", False, "stale"),
    ],
)
def test_who_watches_judges_by_what_changes(
    unchanged: float, dates: str, seen_to_change: bool, state: str
) -> None:
    sighting = Sighting(held("a", 99, 5), 100.0)
    assert by_change(sighting, 100.0 + unchanged, dates, seen_to_change=seen_to_change) == state


@pytest.mark.parametrize(
    ("template", "name", "place"),
    [
        ("esxi-lock-{host}-slot-{slot}", "esxi-lock-host-12-slot-1", ("host-12", 1)),
        ("esxi-lock-{host}-slot-{slot}", "esxi-lock-hostsystem-host-12-slot-1", ("host-12", 1)),
        (GO_TEMPLATE, "esxi-lock-host-12-slot-1", ("host-12", 1)),
        ("{slot}.{host}.mine", "1.host-12.mine", ("host-12", 1)),
        ("{host}-{slot:02d}-{host}", "host-12-01-host-12", ("host-12", 1)),
        ("{host}-{slot}-{host}", "host-12-1-host-13", None),
        (GO_TEMPLATE, "esxi-lock-host-12-slot-x", None),
        (GO_TEMPLATE, "leader", None),
        (GO_TEMPLATE, "xcopy-volume-0b7e21c4-1111-4222-8333-000000000001", None),
    ],
)
def test_names_are_recognised(template: str, name: str, place: tuple[str, int] | None) -> None:
    assert Names(template).parse(name) == place


def test_dates_without_a_zone_are_utc() -> None:
    assert moment("2026-11-25T12:00:00") == NOW
    assert moment("never") is moment(None) is None


class Hands(Clock):
    """A clock turned by hand."""

    seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


def told(watch: SlotWatch) -> list[tuple[str, int, str]]:
    return [(slot.host, slot.number, slot.state) for slot in watch.changed()]


def test_a_watch_tells_what_changes_and_no_renewals() -> None:
    clock, name = Hands(), "esxi-lock-host-1-slot-0"
    watch = SlotWatch(Names(), clock)
    watch.hear_all([held(name, 99, 60), record("leader", holderIdentity="x")])
    assert told(watch) == [("host-1", 0, "expired?")]
    clock.seconds = 3
    watch.hear(name, held(name, 99, 57, version="8"))
    assert told(watch) == [("host-1", 0, "held")], "its clock is wrong, but it renews"
    clock.seconds = 6
    watch.hear(name, held(name, 99, 54, version="9"))
    assert told(watch) == []
    watch.hear(name, held(name, 99, 54, version="10", journal=WORK))
    assert [slot.journal["phase"] for slot in watch.changed()] == ["clone"]
    clock.seconds = 16.5
    assert told(watch) == [("host-1", 0, "expired")]
    assert told(watch) == []
    watch.hear(name, record(name, version="11", holderIdentity=""))
    assert told(watch) == [("host-1", 0, "free")]
    watch.hear_all([])
    assert told(watch) == [("host-1", 0, "gone")]
    assert told(watch) == []
    watch.hear_all([held(name, 1, -16.5, version="12")])
    assert told(watch) == [("host-1", 0, "held")]
