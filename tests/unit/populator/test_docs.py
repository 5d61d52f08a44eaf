"""What the docs list is what the code has: each variable, and each metric with its type and labels."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from populator.cli import COMPLETE
from populator.clock import Clock
from populator.report import lease_metrics, page
from populator.report.lease_metrics import LeaseMetrics
from populator.report.outcome import OUTCOMES
from populator.report.page import Page, Result
from populator.storage.registry import VENDORS
from tests.lab.program import ROOT
from tests.unit.populator import hints
from tests.unit.populator.face import options, read_variables, variables_read_elsewhere
from vsphere.model import DiskKind, InitiatorKind

DOCS = ROOT / "deploy/docs"
BY_LIBRARIES = {"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
"""variables that requests reads, and by its rules all other parts"""

WITHOUT_A_HINT = {
    # how a copy ended is said by who waits for it
    "LeaseLost(No slot of … was waited for yet, so the step … was not started.)",
    "NotStarted(Task …, which wrote to the device, has just ended.)",
    "NotStarted(The process was told to stop before the copy was started.)",
    "VsphereError(the comparison has not got on for … s)",
    "VsphereError(the host could not end the copy (…))",
    # the array's own words say why
    "Refused(… failed to …: … (job …, …).)",
    "Refused(… refused to …: ….)",
}
"""errors that are handed on within a larger one, or have no words but another's"""


def rows(name: str) -> Iterator[list[str]]:
    """Yield the cells of a page's tables, without their heads."""
    for line in (DOCS / name).read_text().splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_settings_are_all_there_and_each_once() -> None:
    documented = [row[0].strip("`") for row in rows("settings.md")]
    assert sorted(documented) == sorted(read_variables() | variables_read_elsewhere() | BY_LIBRARIES)
    assert COMPLETE not in documented, "between the program and a shell"


def test_variables_stand_beside_their_options_and_defaults() -> None:
    documented = {row[0].strip("`"): row for row in rows("settings.md")}
    by_option = {str(option.envvar): option for option in options() if option.envvar}
    for variable, (_, option, default, _) in documented.items():
        if variable not in by_option:
            assert option == "", variable
            continue
        found = by_option[variable]
        assert option.strip("`") in found.opts, variable
        if isinstance(found.default, str):
            assert default == f"`{found.default}`"


def full_page() -> str:
    """Return a page that shows everything."""
    full = Page("uid", "ontap", "vib")
    full.run("disk-1", "vm-1", "[ds] a/b.vmdk", "array.example")
    full.uses_host("esx-1")
    full.lease = LeaseMetrics("uid", Clock())
    full.array("NetApp", "ONTAP", "", "9.15.1")
    full.vib("0.4.3")
    full.protocol = "iscsi"
    full.disk(2, 1)
    full.xcopy(2, 1, 3)
    full.verification("equal", 4)
    full.moved(1.0)
    full.pace(1, 1)
    shown = full.render().text
    full.finish(Result.SUCCESS, 1, xcopy_used=True)
    full.end("Succeeded", 0, 0)
    return shown + full.render().text


def test_the_metrics_are_all_there_with_type_and_labels() -> None:
    shown = full_page()
    families = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", shown, re.MULTILINE):
        samples = re.findall(rf"^{name}(?:_bucket|_sum|_count)?{{(.*)}} ", shown, re.MULTILINE)
        families[name] = (kind, set(re.findall(r"(\w+)=", " ".join(samples))))
    documented = {}
    for name, kind, labels, _ in rows("metrics.md"):
        prefix = page.PREFIX if name.strip("`") in page.HELP else lease_metrics.PREFIX
        documented[prefix + name.strip("`")] = (kind, set(re.findall(r"`(\w+)`", labels)))
    assert documented == families


@pytest.mark.parametrize("name", ["settings.md", "metrics.md", "monitoring.md"])
def test_the_readme_leads_there(name: str) -> None:
    assert f"(deploy/docs/{name})" in (ROOT / "README.md").read_text()


KINDS = {InitiatorKind.FC: "FC", InitiatorKind.ISCSI: "iSCSI", InitiatorKind.SDC: "SDC"}


def arrays_in(page: Path) -> list[list[str]]:
    """Return the cells of a page's table of arrays, links as they are from the page."""
    lines = page.read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")]


def test_the_table_of_arrays_says_what_the_registry_does() -> None:
    table = {row[1].strip("`"): row for row in arrays_in(ROOT / "README.md") if len(row) == 7}
    assert set(table) == set(VENDORS)
    for name, vendor in VENDORS.items():
        _, _, seen_by, *by_whom, judges = table[name]
        assert seen_by == ", ".join(KINDS[kind] for kind in KINDS if kind in vendor.initiators), name
        wanted = [
            "array" if kind in vendor.copies else "host"
            for kind in (DiskKind.VMDK, DiskKind.VVOL, DiskKind.RDM)
        ]
        assert by_whom == wanted, name
        assert judges, name


def test_the_table_of_arrays_is_the_same_in_both_places_and_leads_to_a_page_for_each() -> None:
    own = arrays_in(DOCS / "arrays/README.md")
    here = [
        [row[0].replace("(deploy/docs/arrays/", "("), *row[1:]]
        for row in arrays_in(ROOT / "README.md")
        if len(row) == 7
    ]
    assert own == here
    for row in own:
        assert (DOCS / "arrays" / row[0].partition("](")[2].partition(")")[0]).is_file(), row[0]


def entries() -> list[str]:
    """Return the hints that the page for troubles has."""
    lines = (DOCS / "troubleshooting.md").read_text().splitlines()
    return [entry[2].strip() for line in lines if (entry := re.fullmatch(r"- (`+)(.+)\1", line))]


def test_each_hint_has_its_entry_and_each_entry_its_hint() -> None:
    given, documented = hints.hints(), entries()
    assert {hint: place for hint, place in given.items() if hint not in documented} == {}
    assert set(documented) - set(given) == set()
    assert len(documented) == len(set(documented)), "once each: who searches for it finds one place"


def test_an_error_without_a_hint_is_one_that_nobody_is_shown_alone() -> None:
    assert {f"{name}({text})" for name, text in hints.without()} == WITHOUT_A_HINT


def test_the_page_for_troubles_has_every_exit_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    for _, outcome in OUTCOMES:
        assert f"## Code {outcome.exit_code}: {outcome.reason}\n" in page
        anchor = f"#code-{outcome.exit_code}-{outcome.reason.lower()}"
        assert f"| {outcome.exit_code} | {outcome.reason} | [below]({anchor})" in page
