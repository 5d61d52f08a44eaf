"""What a preflight is told: a populate's call, or several VMs, and every problem at once."""

from pathlib import Path

import pytest

from populator.errors import SettingsError
from populator.settings.preflight import parse_preflight, read_plan
from tests.unit.populator.test_settings import ARGUMENTS

COMMON = {
    **{
        name: value for name, value in ARGUMENTS.items() if not name.startswith(("source", "owner", "target"))
    },
    "parallel": "4",
}


def test_the_call_of_a_populate_is_one_disk_and_its_volume() -> None:
    settings = parse_preflight({**ARGUMENTS, "parallel": "4"}, (), "", {})
    assert settings.vms == ("vm-62",)
    assert str(settings.vmdk) == ARGUMENTS["source-vmdk"]
    assert settings.target is not None
    assert (settings.target.pvc, settings.namespace) == ("disk-1", "vms")


def test_several_vms_have_all_their_disks_and_no_volumes_yet(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text("vm-2\nvm-1  # twice\n")
    settings = parse_preflight(COMMON, ("vm-1", "a vm"), str(plan), {})
    assert settings.vms == ("vm-1", "a vm", "vm-2")
    assert (settings.vmdk, settings.target, settings.namespace) == (None, None, "")


@pytest.mark.parametrize(
    ("text", "vms"),
    [
        ("a vm\n\n# none\n/dc/vm/b#1\n", ["a vm", "/dc/vm/b#1"]),
        ("- a\n", ["- a"]),
        ("kind: Plan\nspec:\n  vms:\n  - id: vm-1\n    name: a\n  - name: b\n", ["vm-1", "b"]),
        ('{"spec": {"vms": [{"id": "vm-1"}]}}', ["vm-1"]),
        ("", []),
    ],
)
def test_a_plan_is_lines_or_forklifts(text: str, vms: list[str]) -> None:
    assert read_plan(text) == vms


@pytest.mark.parametrize(
    ("changes", "vms", "plan", "named"),
    [
        ({"source-vm-id": "vm-1"}, ("vm-2",), "", "--source-vm-id"),
        ({"owner-uid": "u"}, ("vm-2",), "", "--owner-uid"),
        ({"parallel": "0"}, ("vm-2",), "", "--parallel"),
        ({"target-namespace": "A B"}, ("vm-2",), "", "--target-namespace"),
        ({"storage-vendor-product": "x"}, ("vm-2",), "", "--storage-vendor-product"),
        ({}, (), "/none", "--plan: cannot read /none"),
        ({}, (), "/dev/null", "--plan: there is no VM in it"),
        ({"parallel": "many"}, (), "", "--source-vm-id is missing"),
    ],
)
def test_every_problem_is_named(changes: dict[str, str], vms: tuple[str, ...], plan: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_preflight({**COMMON, **changes}, vms, plan, {})
    assert any(named in problem for problem in caught.value.problems), caught.value.problems
