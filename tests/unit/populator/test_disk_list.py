import pytest

from populator.plan.disk_list import MOST_PROBLEMS, BadList, parse_disks, parse_size
from populator.plan.forecast import PlannedDisk

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("40GiB", 40 * GIB), ("40Gi", 40 * GIB), ("40 gib", 40 * GIB), ("40GB", 40 * 10**9), ("1.5 TiB", 1536 * GIB),
        ("512", 512), ("512 B", 512), ("0.0001KiB", 1),
    ],
)  # fmt: skip
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1GiB", "0", "0GiB", "1e9", "nan", "40GiBs", "2000000TiB", "1,5GiB", "1.5"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_a_unit_with_two_meanings_is_asked_about() -> None:
    with pytest.raises(ValueError, match="40GiB or 40GB"):
        parse_size("40G")


def test_columns_stand_in_any_order_and_others_do_not_matter() -> None:
    listed = parse_disks("Datastore,owner,SIZE,host,name\nds,me,1GiB,esx-1,a\nds,you,2GiB,esx-2,\n")
    assert listed.disks == (
        PlannedDisk("a", GIB, "esx-1", "ds"),
        PlannedDisk("line 3", 2 * GIB, "esx-2", "ds"),
    )
    assert listed.mounted == {"ds": {"esx-1", "esx-2"}}


def test_spreadsheets_ways_are_read() -> None:
    head = "\ufeffname;size;host;datastore;also_mounted_on"
    lines = ("# a note", "", '"a; b";40 GiB;esx-1;ds;esx-2  esx-3', ";;;;", "")
    listed = parse_disks("\r\n".join((head, *lines)))
    assert [disk.name for disk in listed.disks] == ["a; b"]
    assert listed.mounted == {"ds": {"esx-1", "esx-2", "esx-3"}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no line"),
        ("size,host\n1GiB,a\n", "Line 1 must name each of these columns once: datastore"),
        ("size,size,host,datastore\n", "once: size"),
        ("size,host,datastore\n", "no disk"),
        ("size,host,datastore\n1GiB,a,b\nmany,a,b\n", "Line 3: 'many' is no size"),
        ("size,host,datastore\n\n1GiB,a\n", "Line 3: it has 2 cells, and the first line 3 columns"),
        ("size,host,datastore\n1GiB,,\n", "Line 2: host, datastore are empty"),
        ('size,host,datastore\n1GiB,"a,b\n', "Line 2: "),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(BadList) as caught:
        parse_disks(text)
    assert problem in str(caught.value)


def test_many_wrong_lines_are_counted() -> None:
    with pytest.raises(BadList) as caught:
        parse_disks("size,host,datastore\n" + "x,a,b\n" * 50)
    assert len(caught.value.problems) == MOST_PROBLEMS + 1
    assert caught.value.problems[-1] == "… and 30 more lines are wrong."
