"""How the slots of hosts are judged by what is seen of them, once and over time."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from lease.decision import Sighting
from lease.overview import Names, SlotState, by_change, by_dates, moment
from lease.record import GO_TEMPLATE
from lease.watch import SlotWatch
from populator.clock import Clock
from tests.lab.lease.records import NOW, ago, held, record


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
    assert by_change(sighting, 100.0 + unchanged, SlotState(dates), seen_to_change=seen_to_change) == state


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
    assert told(watch) == [("host-1", 0, "held")], "his clock is wrong, but he renews"
    clock.seconds = 6
    watch.hear(name, held(name, 99, 54, version="9"))
    assert told(watch) == []
    watch.hear(name, held(name, 99, 54, version="10", journal={"phase": "clone", "percent": "1"}))
    assert [slot.journal["phase"] for slot in watch.changed()] == ["clone"]
    watch.hear(name, held(name, 99, 51, version="10a", journal={"phase": "clone", "percent": "2"}))
    assert told(watch) == [], "progress alone is no news"
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
