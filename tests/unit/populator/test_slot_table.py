"""What `populator leases` prints, to the letter."""

import json
from datetime import timedelta

import pytest
import yaml

from lease.overview import Names, SlotView, by_dates, in_order
from lease.record import Record
from populator.cli.output import Table, as_json, as_yaml, listed
from populator.cli.slot_table import COLUMNS, WIDE, Column, age, item, row
from tests.lab.lease.records import NOW, ago, held, record

WORK = {
    "volume": "pvc-6f1c8a52",
    "host": "esx-1.lab",
    "device": "naa.600a0980",
    "mapping": "xcopy-hostsystem-host-9-iscsi",
    "task": "t-1",
    "phase": "clone",
    "pvc": "vms/disk-1",
    "pvcUid": "6f1c8a52-0d0e",
    "vendor": "ontap",
    "array": "svm.lab:8443",
    "lunId": "0",
    "adapters": "vmhba64 vmhba65",
    "percent": "42",
    "rate": "57.6",
    "size": "1073741824",
}


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
HOST      SLOT   STATE      HOLDER       PHASE    PERCENT   RATE       ETA      VOLUME         HELD     RENEWED
host-9    0      held       populate-1   clone    42        58 MiB/s   10s      pvc-6f1c8a52   5m3s     2s
host-9    0      stale      go-pod       <none>   <none>    <none>     <none>   <none>         8d       24h
host-9    1      expired?   populate-2   <none>   <none>    <none>     <none>   <none>         25h      75s
host-10   0      free       <none>       <none>   <none>    <none>     <none>   <none>         <none>   66m"""
    )


def test_the_wide_table() -> None:
    (line,) = Slots(WIDE).lines(some()[:1])[1:]
    assert line.split() == [
        "host-9", "0", "held", "populate-1", "clone", "42", "58", "MiB/s", "10s",
        "pvc-6f1c8a52", "5m3s", "2s", "vms/disk-1", "esx-1.lab",
        "naa.600a0980", "t-1", "ontap/svm.lab:8443", "xcopy-hostsystem-host-9-iscsi", "0", "vmhba64,vmhba65",
        "<none>", "esxi-lock-host-9-slot-0",
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
        "percent": 42,
        "rate": 57.6,
        "etaSeconds": 10,
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
