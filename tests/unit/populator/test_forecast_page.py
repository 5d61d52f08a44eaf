"""A forecast in words and numbers."""

import json
import math
from dataclasses import replace

import pytest

from populator.cli.forecast_page import copying, held_up, in_units, item, lines, most_at_once, rows
from populator.plan.forecast import MIB, Conditions, Forecast, Passage, Plan, PlannedDisk, Rates
from populator.plan.forecast_advice import Advice
from populator.plan.forecast_bounds import Bound, Limit
from populator.report.pace import roughly
from populator.stories.forecast import Outlook
from vsphere.model import SurveyedDisk

GIB = 1024 * MIB


def passage(host: str, began: float, ended: float) -> Passage:
    disk = PlannedDisk(f"[ds] {host}/{began}.vmdk", 100 * GIB, host, "ds")
    return Passage(disk, host, 0.0, began - 1, began, ended, ended + 1)


PASSAGES = (
    passage("esx-10", 10, 20),
    passage("esx-9", 10, 30),
    passage("esx-9", 15, 40),
    passage("esx-9", 50, 3600),
)
FORECAST = Forecast(Plan(tuple(each.disk for each in PASSAGES)), PASSAGES)
OUTLOOK = Outlook(
    FORECAST,
    Bound(Limit.SLOTS, "esx-9", 3500),
    (Advice("spread over 2 hosts", 1800),),
    (SurveyedDisk("vm", "[nfs] a/a.vmdk", 1, "esx-9", "nfs", "it is on NFS"),),
)


def test_hosts_stand_in_the_order_that_people_count_in() -> None:
    assert list(rows(FORECAST)) == [
        ("esx-9", "3", "300 GiB", "60 min", "60 min", "2"),
        ("esx-10", "1", "100 GiB", "21 s", "10 s", "1"),
    ]


def test_what_matters_comes_first() -> None:
    assert list(lines(OUTLOOK))[:4] == [
        "4 disks, 400 GiB, by 2 hosts: done after 60 min",
        "bottleneck: the 2 slots of esx-9: 58 min by itself",
        "would help: spread over 2 hosts: 30 min instead of 60 min",
        "left out: [nfs] a/a.vmdk of vm: it is on NFS",
    ]


def test_copies_that_overlap_count_once_and_pauses_do_not() -> None:
    assert copying(PASSAGES[1:]) == 30 + 3550
    assert most_at_once(PASSAGES) == 3


@pytest.mark.parametrize("limit", Limit)
@pytest.mark.parametrize("subject", ["", "esx-1"])
def test_every_limit_has_words(limit: Limit, subject: str) -> None:
    assert "by itself" in held_up(Bound(limit, subject, 60), Conditions())


def test_scripts_get_numbers_and_null_for_what_is_no_limit() -> None:
    told = json.loads(json.dumps(item(OUTLOOK), allow_nan=False))
    assert told["assumptions"]["hostMiBPerSecond"] is None
    assert told["bottleneck"]["limit"] == "slots"
    assert told["makespanSeconds"] == 3601
    assert [host["doneSeconds"] for host in told["hosts"]] == [3601, 21]
    unlimited = replace(FORECAST.plan, conditions=Conditions(Rates(array=math.inf)))
    json.dumps(item(replace(OUTLOOK, forecast=replace(FORECAST, plan=unlimited))), allow_nan=False)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (35.4, "35 s"),
        (89, "89 s"),
        (600, "10 min"),
        (5400, "1.5 h"),
        (35_000, "9.7 h"),
        (525_000, "6.1 d"),
    ],
)
def test_spans_are_told_as_plans_need_them(seconds: float, words: str) -> None:
    assert roughly(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(MIB, "1 MiB"), (1536 * MIB, "1.5 GiB"), (40 * GIB, "40 GiB"), (5000 * 1024 * GIB, "4.9 PiB")],
)
def test_sizes_are_told_in_the_largest_unit(size: int, words: str) -> None:
    assert in_units(size) == words
