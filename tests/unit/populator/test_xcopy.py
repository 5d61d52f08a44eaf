"""What the story says of a mapping, for people."""

import pytest

from populator.storage.array import Group, Mapping
from populator.stories.xcopy import in_words
from vsphere.model import Adapter, Initiator, InitiatorKind

CLIENT = Adapter("vmhba66", Initiator(InitiatorKind.SDC, "3f4b2c1d-0000-4000-8000-000000000001"))


@pytest.mark.parametrize(("lun_id", "said"), [(7, " as LUN id 7"), (0, " as LUN id 0"), (None, "")])
def test_a_lun_id_is_said_where_the_array_has_them(lun_id: int | None, said: str) -> None:
    mapping = Mapping(Group("1", "esx-1"), lun_id, ours=True)
    whole = f"{said} to group esx-1, for adapter vmhba66 (3f4b2c1d-0000-4000-8000-000000000001)"
    assert in_words(mapping, [CLIENT]) == whole
