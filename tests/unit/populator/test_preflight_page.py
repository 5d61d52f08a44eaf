"""The page of a preflight, to the letter."""

import json

import pytest

from populator.cli.output import document
from populator.cli.preflight_page import as_document, as_text
from populator.clock import Clock
from populator.errors import StorageError
from populator.preflight.line import (
    Line,
    Mark,
    Section,
    Sheet,
    Verdict,
    failed,
    not_checked,
    passed,
    unknown,
    verdict,
    warning,
)

SECTIONS = [
    Section("Kubernetes", (passed("API server", "https://api:6443 answers"),)),
    Section(
        "Disk [ds one] a/b.vmdk",
        (
            warning("chain", "3 links, of snapshots", "govc snapshot.remove -vm.path 'a' '*'"),
            not_checked("PVC", "no claim is named"),
            not_checked("LUN", "no claim is named"),
            not_checked("clones", "only the host's shell can count them", "vsish -e get /storage"),
        ),
    ),
    Section(
        "Host esx-1",
        (
            failed(
                "VAAI",
                "naa.1: clone unsupported, and so the host would move all bytes by itself",
                "esxcli x -d naa.1",
            ),
        ),
    ),
]
PAGE = """\
not ready: 6 checks, 1 failed, 1 with a warning, 3 not checked

Kubernetes
  ✓ API server   https://api:6443 answers

Disk [ds one] a/b.vmdk
  ! chain        3 links, of snapshots
                 > govc snapshot.remove -vm.path 'a' '*'
  - not checked  PVC, LUN: no claim is named
  - clones       only the host's shell can count them
                 > vsish -e get /storage

Host esx-1
  ✗ VAAI         naa.1: clone unsupported, and so the host
                 would move all bytes by itself
                 > esxcli x -d naa.1"""


def test_people_read_one_word_first_then_each_line_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert as_text(SECTIONS) == PAGE


def test_scripts_read_every_check() -> None:
    page = json.loads(document(as_document(SECTIONS), "json"))
    assert (page["kind"], page["verdict"]) == ("Preflight", "not ready")
    assert page["counts"] == {"passed": 1, "warning": 1, "failed": 1, "not checked": 3}
    [disk] = [section for section in page["sections"] if section["title"].startswith("Disk")]
    assert [line["check"] for line in disk["lines"]] == ["chain", "PVC", "LUN", "clones"]
    assert disk["lines"][1] == {
        "mark": "not checked",
        "check": "PVC",
        "text": "no claim is named",
        "mend": None,
    }


def test_what_others_name_themselves_cannot_move_the_terminal() -> None:
    page = as_text([Section("VM \x1b[2J", (passed("VM", "a\nb\x1b[1m"),))])
    assert "\x1b" not in page


@pytest.mark.parametrize(
    ("marks", "word"),
    [
        ([], Verdict.READY),
        ([Mark.PASSED, Mark.NOT_CHECKED], Verdict.READY),
        ([Mark.PASSED, Mark.WARNING], Verdict.WARNINGS),
        ([Mark.WARNING, Mark.FAILED], Verdict.NOT_READY),
    ],
)
def test_the_worst_line_decides(marks: list[Mark], word: Verdict) -> None:
    assert verdict([Section("a", tuple(Line(mark, "c", "t") for mark in marks))]) is word


def refuse() -> str:
    raise StorageError("The array refuses.", "Let us in.")


def test_a_look_that_fails_is_a_line_and_stops_no_other() -> None:
    sheet = Sheet("a", Clock())
    assert sheet.ask("one", refuse) is None
    assert sheet.ask("two", refuse, otherwise=unknown) is None
    assert sheet.ask("three", lambda: 3, lambda found: [passed("three", str(found))]) == 3
    sheet.skip("so it is", "four")
    assert sheet.section.lines == (
        failed("one", "The array refuses.", "Let us in."),
        not_checked("two", "The array refuses.", "Let us in."),
        passed("three", "3"),
        not_checked("four", "so it is"),
    )


def test_a_look_has_its_time_and_no_more() -> None:
    clock = Clock()
    sheet = Sheet("a", clock)
    assert sheet.ask("left", clock.left) == pytest.approx(8.0, abs=1.0)
    assert clock.left() == float("inf")
