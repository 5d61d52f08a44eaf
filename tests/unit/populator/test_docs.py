"""What the docs list is what the code has: each variable, and each metric with its type and labels."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from populator.cli import COMPLETE, cli
from populator.clock import Clock
from populator.report import lease_metrics, page
from populator.report.lease_metrics import LeaseMetrics
from populator.report.outcome import OUTCOMES
from populator.report.page import Page, Result
from populator.storage.registry import VENDORS
from tests.lab.program import ROOT
from tests.unit.populator import fences, hints
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

READ = {"populator", "make", "export"}
"""commands that are read here, or have nothing to be run"""
RUN_ELSEWHERE = {"install.md"}
"""pages whose commands a test of their own runs, but for blocks that begin with `# needs`: tests/contract/deploy"""
FROM_THE_SECRET = {
    "GOVMOMI_HOSTNAME": "vcenter.example.com",
    "GOVMOMI_USERNAME": "root",
    "GOVMOMI_PASSWORD": "pass",
    "STORAGE_VENDOR": "ontap",
    "STORAGE_HOSTNAME": "svm.example.com",
    "STORAGE_USERNAME": "admin",
    "STORAGE_PASSWORD": "pass",
    "SSH_PUBLIC_KEY": "ssh-rsa AAAA",
}


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


def entries() -> list[tuple[str, int]]:
    """Return the hints that the page for troubles has, with the exit code that they stand under."""
    found, code = [], 0
    for line in (DOCS / "troubleshooting.md").read_text().splitlines():
        if heading := re.match(r"## Code (\d+)", line):
            code = int(heading[1])
        elif entry := re.fullmatch(r"- (`+)(.+)\1", line):
            found.append((entry[2].strip(), code))
    return found


def test_each_hint_has_its_entry_and_each_entry_its_hint() -> None:
    given, documented = hints.hints(), [hint for hint, _ in entries()]
    assert set(given) - set(documented) == set()
    assert set(documented) - set(given) == set()
    assert len(documented) == len(set(documented)), "once each: who searches for it finds one place"


def test_a_hint_stands_under_an_exit_code_of_its_errors() -> None:
    given = hints.hints()
    assert [
        (hint, code, given[hint]) for hint, code in entries() if code not in (given[hint] or {code})
    ] == []


def test_an_error_without_a_hint_is_one_that_nobody_is_shown_alone() -> None:
    assert {f"{name}({text})" for name, text in hints.without()} == WITHOUT_A_HINT


def test_the_page_for_troubles_has_every_exit_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    for _, outcome in OUTCOMES:
        assert f"## Code {outcome.exit_code}: {outcome.reason}\n" in page
        anchor = f"#code-{outcome.exit_code}-{outcome.reason.lower()}"
        assert f"| {outcome.exit_code} | {outcome.reason} | [below]({anchor})" in page


@pytest.mark.parametrize("block", fences.blocks(), ids=lambda block: block.place)
def test_a_block_says_what_it_is(block: fences.Block) -> None:
    assert block.kind in (*fences.SHELL, *fences.OTHERS), "the words behind a fence: see CONTRIBUTING.md"
    if block.kind == "sh" and block.page.name not in RUN_ELSEWHERE:
        assert {words[0] for words in block.commands()} <= READ, "run it in the lab, or mark what it needs"


COMMANDS = [
    (block.place, words)
    for block in fences.blocks()
    if block.kind in fences.SHELL
    for words in block.commands()
]
CALLS = [(place, words) for place, words in COMMANDS if words[0] == "populator"]
MENTIONED = [
    (str(page.relative_to(ROOT)), words)
    for page in fences.PAGES
    for span in re.findall(r"(?<!`)`(populator [^`\n]*)`", page.read_text())
    for words in fences.simple_commands(span)
    if words[0] == "populator"
]
"""calls in the text, where what a call has to have may be left out"""


@pytest.mark.parametrize(
    ("place", "words"), [*CALLS, *MENTIONED], ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_call_of_the_program_is_one_that_it_takes(
    place: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Parsed by the real commands with the environment that a pod has; values are checked by click's types."""
    monkeypatch.chdir(tmp_path)
    for variable, value in FROM_THE_SECRET.items():
        monkeypatch.setenv(variable, value)
    for word in words:
        name = word.rpartition("=")[2]
        if re.fullmatch(r"[\w.-]+", name):
            (tmp_path / name).write_text("")
    path: list[str] = []
    command: click.Command = cli
    while isinstance(command, click.Group) and len(words) > len(path) + 1:
        inner = command.get_command(click.Context(command), words[len(path) + 1])
        if inner is None:
            break
        path.append(words[len(path) + 1])
        command = inner
    if command is not cli and isinstance(command, click.Group) and len(words) == len(path) + 1:
        return  # a name for several
    try:
        command.make_context(" ".join(["populator", *path]), words[len(path) + 1 :])
    except click.exceptions.Exit as ended:
        if ended.exit_code:
            pytest.fail(f"{place}: {shlex.join(words)} ends with {ended.exit_code}")
    except click.MissingParameter as error:
        if (place, words) not in MENTIONED:
            pytest.fail(f"{place}: {shlex.join(words)}: {error.format_message()}")
    except click.UsageError as error:
        pytest.fail(f"{place}: {shlex.join(words)}: {error.format_message()}")


MAKES = [
    (place, word) for place, words in COMMANDS if words[0] == "make" for word in words[1:] if "=" not in word
]


@pytest.mark.parametrize(("place", "target"), MAKES)
def test_a_target_of_make_is_there(place: str, target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), place


def test_the_architecture_names_the_packages_that_there_are() -> None:
    page = (DOCS / "architecture.md").read_text()
    packages = {
        str(file.parent.relative_to(ROOT))
        for top in ("populator", "vsphere", "lease")
        for file in (ROOT / top).rglob("__init__.py")
        if len(file.relative_to(ROOT).parts) <= 3
    }
    own_files = {"populator", "vsphere", "vsphere/wrapper/files"}
    assert set(re.findall(r"^\| `([\w/]+)` \|", page, re.MULTILINE)) == packages - own_files
    for path in re.findall(r"`((?:populator|vsphere|lease|tests)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path
    drawn = re.findall(r"subgraph (\w+)\[.(\w+).\]\n(.*?)\n    end", page, re.DOTALL)
    assert [name for _, name, _ in drawn] == ["populator", "vsphere", "lease"]
    for _, top, inside in drawn:
        for node in re.findall(r"\b([a-z]\w+)\b", re.sub(r'\["[^"]*"\]', "", inside)):
            assert (ROOT / top / node).is_dir() or (ROOT / top / f"{node}.py").is_file(), f"{top}/{node}"


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", fences.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(outside_fences(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(to), f"{page.name}: {link}"


def test_each_page_is_reached_from_the_readme() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in (ROOT / "README.md", DOCS / "arrays/README.md")
        for link in LINK.findall(outside_fences(page))
    }
    assert {page for page in fences.PAGES if page.parent != ROOT} - {DOCS / "arrays/README.md"} <= linked


def outside_fences(page: Path) -> str:
    """Return a page without its fenced blocks and spans of code."""
    return re.sub(r"^ *```.*?^ *```$|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
