"""What the story makes of mappings, and says of them to people."""

from dataclasses import replace

import pytest

from populator.errors import StorageError
from populator.storage.array import Group, Lun, Mapping
from populator.stories.hosts import hosts_left_by
from populator.stories.left import known
from populator.stories.xcopy import check_no_other_host_copies, in_words, seen_already
from populator.writer import Mapped
from vsphere.model import Adapter, EsxiHost, Initiator, InitiatorKind

CLIENT = Adapter("vmhba66", Initiator(InitiatorKind.SDC, "3f4b2c1d-0000-4000-8000-000000000001"))
LEFT, RIGHT = (
    Adapter(f"vmhba{number}", Initiator(InitiatorKind.FC, f"20000025b5aa000{number}")) for number in (1, 2)
)
HOST = EsxiHost("host-1", "esx-1", (LEFT, RIGHT), frozenset({LEFT.initiator, RIGHT.initiator}))
BY_LEFT, BY_RIGHT = (
    Mapping(Group(group, group), 7, ours=False, initiators=frozenset({adapter.initiator}))
    for group, adapter in (("CL1-A,1", LEFT), ("CL2-A,1", RIGHT))
)


@pytest.mark.parametrize(("lun_id", "said"), [(7, " as LUN id 7"), (0, " as LUN id 0"), (None, "")])
def test_a_lun_id_is_said_where_the_array_has_them(lun_id: int | None, said: str) -> None:
    mapping = Mapping(Group("1", "esx-1"), lun_id, ours=True)
    whole = f"{said} to group esx-1, for adapter vmhba66 (3f4b2c1d-0000-4000-8000-000000000001)"
    assert in_words(mapping, [CLIENT]) == whole


@pytest.mark.parametrize(
    ("id", "ids", "within"),
    [
        ("a", ["a"], True),
        ("a", ["b"], False),
        ("a", ["b", "c\na"], True),
        ("a\nb", ["b", "a"], True),
        ("a\nb", ["a"], False),
        ("a", ["ab"], False),
        ("", ["a"], False),
        ("", [""], False),
        ("a", [], False),
    ],
)
def test_a_group_may_be_a_part_of_others(id: str, ids: list[str], within: bool) -> None:  # noqa: A002
    assert Group(id, "esx-1").within(ids) is within


def test_of_a_dead_run_that_mapped_by_several_objects_each_mapping_is_known() -> None:
    """However far it came."""
    for found in ([BY_LEFT], [BY_RIGHT], [BY_LEFT, BY_RIGHT]):
        ours = known(found, Mapped("CL1-A,1\nCL2-A,1", "host-1"))
        assert {(mapping.ours, mapping.host) for mapping in ours} == {(True, "host-1")}
    assert not known([BY_LEFT], Mapped("CL2-A,1", "host-1"))[0].ours
    assert not known([BY_LEFT], None)[0].ours


def test_what_it_left_is_seen_by_the_adapters_of_all_of_it() -> None:
    """Each has dead paths to forget, once all of it is unmapped."""
    ours = known([BY_LEFT, BY_RIGHT], Mapped("CL1-A,1\nCL2-A,1", "host-1"))
    seen = seen_already(ours, HOST)
    assert seen
    assert seen.initiators == HOST.initiators
    assert seen_already([*ours, BY_LEFT], HOST) == BY_LEFT
    assert seen_already([], HOST) is None


OURS = Mapping(Group("1", "xcopy-host-2"), 7, ours=True, host="host-2")
THEIRS = Mapping(Group("2", "cluster"), 7, ours=False)
FOR_ALL = Mapping(Group("3", "xcopy-esxs"), 7, ours=True)
LUN = Lun("1", "lun", "naa.1", 1 << 20)


@pytest.mark.parametrize(
    ("before", "noted", "stays"),
    [
        ([], None, ("host-1", "host-2")),
        ([THEIRS], None, ("host-1", "host-2")),
        ([OURS], None, ("host-2",)),
        ([THEIRS], Mapped("", "host-2"), ("host-2",)),
        ([], Mapped("1", "host-2"), ("host-1", "host-2")),
        ([FOR_ALL], None, ("host-1",)),
        ([OURS], Mapped("", "host-1"), ("host-1",)),
        ([THEIRS], Mapped("", "host-9"), ("host-1",)),
    ],
)
def test_where_a_dead_run_may_have_left_its_copy_no_other_host_begins(
    before: list[Mapping], noted: Mapped | None, stays: tuple[str, ...]
) -> None:
    assert hosts_left_by(("host-1", "host-2"), before, noted) == stays


@pytest.mark.parametrize(
    ("before", "noted"),
    [([OURS], None), ([FOR_ALL], None), ([THEIRS], Mapped("", "host-9")), ([OURS], Mapped("", "host-1"))],
)
def test_and_where_it_is_not_ours_to_look_none_does(before: list[Mapping], noted: Mapped | None) -> None:
    before = [replace(mapping, initiators=frozenset({CLIENT.initiator})) for mapping in before]
    with pytest.raises(StorageError, match="copy may be running"):
        check_no_other_host_copies(LUN, before, noted, HOST)


def test_on_the_host_that_it_was_for_its_copy_can_be_looked_for() -> None:
    check_no_other_host_copies(LUN, [replace(OURS, host="host-1")], Mapped("", "host-1"), HOST)
    check_no_other_host_copies(LUN, [THEIRS], Mapped("gone", "host-9"), HOST)
