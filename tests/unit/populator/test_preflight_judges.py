"""What is said of what was seen: the cases that the lab does not show."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from lease.kube.review import Right, grants
from populator.preflight.cluster import judge_clock, judge_namespace, judge_rights, needed_rights
from populator.preflight.host import judge_claim_rule, judge_paths, judge_settings, judge_vaai, judge_wrapper
from populator.preflight.line import Line, Mark
from populator.preflight.target import judge_mappings, judge_plan, mark_of_source
from populator.preflight.vcenter import in_units, judge_certificate, judge_privileges, judge_vm, of_host
from populator.storage.array import Group, GroupPlan, Lun, Mapping
from populator.storage.identity import OutOfSight, not_here
from vsphere.host.offload import Vaai
from vsphere.model import Initiator, InitiatorKind
from vsphere.vcenter.seen import SeenDevice, SeenVm
from vsphere.wrapper.contract import Version

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LUN = Lun("1", "lun", "naa.600a098000000000000000000000000a", 10)
IQN = Initiator(InitiatorKind.ISCSI, "iqn.1998-01.com.vmware:a")


def marks(lines: Sequence[Line]) -> list[Mark]:
    return [line.mark for line in lines]


@pytest.mark.parametrize(
    ("ahead", "mark"),
    [(0, Mark.PASSED), (5, Mark.PASSED), (-5, Mark.PASSED), (6, Mark.WARNING), (-3600, Mark.WARNING)],
)
def test_clocks(ahead: float, mark: Mark) -> None:
    [line] = judge_clock("its clock", NOW + timedelta(seconds=ahead), NOW, "mend")
    assert line.mark is mark
    assert line.mend == ("mend" if mark is Mark.WARNING else "")


def test_a_clock_that_is_not_told_is_not_checked() -> None:
    assert marks(judge_clock("its clock", None, NOW, "mend")) == [Mark.NOT_CHECKED]


def test_a_certificate_is_warned_of_a_month_before_its_end() -> None:
    assert marks(judge_certificate(NOW + timedelta(days=31), NOW)) == [Mark.PASSED]
    [line] = judge_certificate(NOW + timedelta(days=29), NOW)
    assert (line.mark, line.text) == (Mark.WARNING, "trusted, but expires 2026-12-27")
    assert marks(judge_certificate(None, NOW)) == [Mark.WARNING]


def test_rights_are_granted_by_one_command_for_each_resource_and_place() -> None:
    rights = needed_rights("vms", "leases", tokens=True)
    assert len(rights) == 15
    lines = judge_rights(dict.fromkeys(rights, False), "system:serviceaccount:vms:populator")
    assert [line.mark for line in lines] == [Mark.FAILED] * 4 + [Mark.WARNING]
    assert all("--serviceaccount=vms:populator" in line.mend for line in lines)
    assert "--user=jane" in grants("jane", [Right("get", "persistentvolumes")])[0]
    assert "NAMESPACE:populator" in grants("", [Right("get", "persistentvolumes")])[0]


def test_a_namespace_that_may_not_be_read_is_not_checked() -> None:
    assert marks(judge_namespace("n", exists=None)) == [Mark.NOT_CHECKED]
    assert marks(judge_namespace("n", exists=False)) == [Mark.FAILED]


def test_powerflex_takes_one_privilege_more() -> None:
    plain, sdc = of_host(frozenset({InitiatorKind.FC})), of_host(frozenset({InitiatorKind.SDC}))
    assert set(sdc.all) - set(plain.all) == {"Host.Config.Settings"}
    [line] = judge_privileges("a", sdc, ["Host.Config.Settings"])
    assert (line.mark, "Host.Config.Settings" in line.mend) == (Mark.FAILED, True)


def test_a_vm_without_a_disk_in_a_file_is_none_to_copy() -> None:
    assert marks(judge_vm(SeenVm("vm-1", "a", "", ()))) == [Mark.FAILED]


@pytest.mark.parametrize(
    ("paths", "mark"),
    [
        (("active", "standby"), Mark.PASSED),
        (("active", "dead"), Mark.WARNING),
        (("dead", "disabled"), Mark.FAILED),
        ((), Mark.FAILED),
    ],
)
def test_paths(paths: tuple[str, ...], mark: Mark) -> None:
    [line] = judge_paths(SeenDevice("naa.1", "A", "B", paths))
    assert line.mark is mark
    assert (mark is Mark.PASSED) == (line.mend == "")


@pytest.mark.parametrize(
    ("rule", "mark"),
    [
        ("vendor=NETAPP model=*", Mark.PASSED),
        ("vendor=* model=*", Mark.PASSED),
        ("vendor=NETAPP", Mark.PASSED),
        ("vendor=NETAPPLE model=*", Mark.FAILED),
        ("", Mark.FAILED),
    ],
)
def test_claim_rules(rule: str, mark: Mark) -> None:
    assert marks(judge_claim_rule(SeenDevice("naa.1", "NETAPP", "", ()), [rule])) == [mark]


def test_a_vendor_of_two_words_is_found_whole() -> None:
    assert marks(judge_claim_rule(SeenDevice("a", "IBM 2145", "", ()), ["vendor=IBM 2145 model=*"])) == [
        Mark.PASSED
    ]


def test_a_status_that_is_not_known_yet_is_no_support() -> None:
    assert marks(judge_vaai(Vaai("naa.1", "VMW_VAAIP_T10", "unknown"))) == [Mark.FAILED]


def test_settings_that_could_not_be_read_are_not_judged() -> None:
    assert judge_settings({}) == []


def test_an_old_wrapper_is_said_to_lack_the_stop() -> None:
    [line] = judge_wrapper(Version(), "0.4.2")
    assert (line.mark, "cannot stop a copy" in line.text) == (Mark.WARNING, True)
    assert marks(judge_wrapper(Version("0.10.0"), "0.4.2")) == [Mark.PASSED]


def test_a_source_that_may_be_out_of_our_users_sight_is_warned_of() -> None:
    assert mark_of_source(not_here("The array", "naa.6", OutOfSight)) is Mark.WARNING
    assert mark_of_source(not_here("The array", "naa.6")) is Mark.FAILED


def test_a_mapping_of_an_earlier_run_is_warned_of() -> None:
    group = Group("g", "xcopy-hostsystem-host-1-iscsi")
    assert marks(judge_mappings([Mapping(group, 1, ours=True, host="host-1")])) == [Mark.WARNING]
    assert marks(judge_mappings([Mapping(group, 1, ours=False)])) == [Mark.PASSED]


def test_a_group_is_said_to_be_there_to_be_completed_or_to_be_made() -> None:
    there = Group("1", "g", (IQN,))
    texts = [
        judge_plan(plan)[0].text
        for plan in (GroupPlan(there), GroupPlan(there, (IQN,)), GroupPlan(Group("", "g", (IQN,)), (IQN,)))
    ]
    assert ["has" in texts[0], "to be added" in texts[1], "will be made" in texts[2]] == [True] * 3


@pytest.mark.parametrize(
    ("size", "words"),
    [(512, "512 bytes"), (8 << 20, "8 MiB"), (100 << 30, "100 GiB"), (3 << 39, "1.5 TiB")],
)
def test_sizes(size: int, words: str) -> None:
    assert in_units(size) == words
