"""The report: 100 % only at the verified end, one exit code a family, and a termination message that fits."""

import json
from pathlib import Path

import pytest

from lease.errors import LeaseError, LeaseLost
from populator import errors
from populator.clock import Clock
from populator.metrics import Page
from populator.pace import MIB
from populator.report import MESSAGE_LIMIT, Report, outcome_of
from vsphere.answers import Xcopy
from vsphere.errors import CloneFailed, CopyMayBeRunning, LoginRefused, VsphereError
from vsphere.host import SourceDisk
from vsphere.result import CopyResult


@pytest.fixture
def report() -> Report:
    return Report(Page("uid", "ontap", "vib"), Clock())


def test_percent_alone_never_says_that_all_bytes_are_there(report: Report) -> None:
    report.percent(100)
    assert report.page.percent == 99
    with report.copying() as copy:
        copy.result = CopyResult("task", xcopy_used=True)
    assert report.page.percent == 100
    assert 'xcopy_used="1"' in report.page.render()[0]


def test_whether_the_array_copied_is_in_log_page_and_termination_message(
    report: Report, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    with report.copying() as copy:
        copy.result = CopyResult("task", xcopy_used=False, xcopy=Xcopy(0, 4, 0), fallback="no VAAI plugin")
    report.end(None, file)
    verdict = "not used: the host moved the bytes, because: no VAAI plugin"
    assert json.loads(file.read_text())["xcopy"] == verdict
    assert [line for line in caplog.records if verdict in line.getMessage() and line.levelname == "WARNING"]
    assert 'outcome="failed"} 4' in report.page.render()[0]


def test_rate_and_remaining_time_of_a_running_copy_are_on_the_page(report: Report) -> None:
    report.uses("iscsi", SourceDisk("[ds] a/b.vmdk", 100 * MIB, None, "vmdk"))
    with report.copying() as copy:
        report.percent(50)
        running = report.page.render()[0]
        copy.result = CopyResult("task", xcopy_used=True)
    assert "copy_rate_bytes_per_second{" in running
    assert "copy_remaining_seconds{" in running


def test_a_copy_that_failed_is_published_as_such(report: Report) -> None:
    with pytest.raises(CloneFailed), report.copying():
        raise CloneFailed("no")
    assert 'result="failure"' in report.page.render()[0]
    assert report.copy_ended is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (ValueError("x"), 1),
        (errors.SettingsError(["x"]), 2),
        (errors.VolumeError("x"), 3),
        (errors.StorageError("x"), 4),
        (VsphereError("x"), 5),
        (LoginRefused("x"), 5),
        (LeaseError("x", "y"), 6),
        (LeaseLost("x", "y"), 6),
        (CloneFailed("x"), 7),
        (CopyMayBeRunning("x"), 8),
        (errors.Cancelled(), 9),
    ],
)
def test_each_family_has_its_exit_code(error: BaseException | None, code: int) -> None:
    assert outcome_of(error).exit_code == code


def test_a_message_that_would_not_fit_is_cut_and_still_json(report: Report, tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    assert report.end(VsphereError("ö" * 10_000, "hint"), file) == 5
    assert len(file.read_bytes()) <= MESSAGE_LIMIT
    assert json.loads(file.read_text())["reason"] == "VsphereError"


def test_a_full_disk_does_not_change_the_exit_code(report: Report) -> None:
    assert report.end(None, Path("/dev/full")) == 0
