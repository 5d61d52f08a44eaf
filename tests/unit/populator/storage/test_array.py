"""By which mapping a group's initiators see a LUN."""

import pytest

from populator.storage.array import Group, Mapping, seen_by
from tests.lab.arrays import iscsi
from vsphere.model import Initiator

ONE, TWO = iscsi("iqn.1998-01.com.vmware:a"), iscsi("iqn.1998-01.com.vmware:b")
OWN = Group("own", "own", (ONE,))


def mapping(group: Group, *initiators: Initiator) -> Mapping:
    return Mapping(group, 7, ours=False, initiators=frozenset(initiators))


BY_OWN, BY_OTHER = mapping(OWN, ONE), mapping(Group("other", "other"), ONE, TWO)
OF_NOBODY, OF_STRANGER = mapping(OWN), mapping(Group("third", "third"), TWO)


@pytest.mark.parametrize(
    ("mappings", "found"),
    [
        ([], None),
        ([OF_STRANGER], None),
        ([OF_STRANGER, BY_OTHER], BY_OTHER),
        ([BY_OTHER, BY_OWN], BY_OWN),
        ([BY_OTHER, OF_NOBODY], OF_NOBODY),
    ],
)
def test_the_groups_own_mapping_comes_first_then_any_by_which_its_initiators_see_the_lun(
    mappings: list[Mapping], found: Mapping | None
) -> None:
    assert seen_by(OWN, mappings) is found
