"""The main job on a FlashArray, with what is its own: user and password, pods and realms, imported volumes."""

import json

import pytest

from tests.lab import world
from tests.lab.arrays import lab_of
from tests.lab.arrays.pure.lab import USERS, PureLab
from tests.lab.lab import Lab, Target

BY_PASSWORD: dict[str, str | None] = {
    "STORAGE_TOKEN": None,
    "STORAGE_USERNAME": "admin",
    "STORAGE_PASSWORD": USERS["admin"].password,
}
pytestmark = pytest.mark.arrays("pureFlashArray")


@pytest.fixture
def array(lab: Lab) -> PureLab:
    return lab_of(PureLab, lab.array)


def populate(
    lab: Lab,
    target: Target,
    environment: dict[str, str | None] | None = None,
    disk: str = world.PLAIN_DISK,
    vm: str = world.PLAIN_VM,
) -> str:
    """Run the program, expect that all went well in every respect, and return the protocol."""
    with lab.program(target, environment=environment, disk=disk, vm=vm) as program:
        code = program.wait()
    assert code == 0, program.text()
    assert lab.copied(target, disk)
    assert lab.leftovers(target) == []
    assert lab.array.sessions == 0
    assert (program.status.storage_vendor, program.status.result) == ("pureFlashArray", "success")
    for secret in (USERS["admin"].password, USERS["admin"].token):
        assert secret not in program.text() + json.dumps(program.message)
    return str(program.status.storage_protocol)


def test_user_and_password_do_as_well(lab: Lab) -> None:
    assert populate(lab, lab.add_target(), BY_PASSWORD) == "iscsi"
    assert populate(lab, lab.add_target(), BY_PASSWORD, world.FC_DISK, world.FC_VM) == "fc"


def test_volumes_in_pods_and_realms(lab: Lab, array: PureLab) -> None:
    targets = [lab.add_target() for _ in range(3)]
    assert {array.volume(target.volume).name.count("::") for target in targets} == {0, 1, 2}
    for target in targets:
        populate(lab, target)


def test_an_imported_volume_is_known_by_the_claims_annotation(lab: Lab, array: PureLab) -> None:
    target = lab.add_target(annotations={"portworx.io/pure-volume-name": "pod-1::db01"})
    array.volume(target.volume).name = "pod-1::db01"
    populate(lab, target)
