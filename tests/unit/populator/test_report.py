"""The report: 100 % only at the verified end, one exit code a family, and a termination message that fits."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lease.errors import LeaseError, LeaseLost
from populator import errors, log
from populator.clock import Clock
from populator.plan.journal import MIB
from populator.report.message import MESSAGE_LIMIT, fitting, size
from populator.report.outcome import outcome_of
from populator.report.page import PREFIX, Page
from populator.report.phase import Phase
from populator.report.run import Report
from vsphere.errors import CloneFailed, CopyMayBeRunning, LoginRefused, VsphereError
from vsphere.model import CopyPhase, CopyResult, DiskKind, Link, Proof, SourceDisk, Xcopy


@pytest.fixture
def report() -> Report:
    return Report(Page("uid", "ontap", "vib"), Clock())


def test_percent_alone_never_says_that_all_bytes_are_there(report: Report) -> None:
    report.percent(100)
    assert report.page.percent == 99
    with report.copying() as copy:
        copy.result = CopyResult("task", xcopy_used=True)
    assert report.page.percent == 100
    assert 'xcopy_used="1"' in report.page.render().text


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
    assert 'outcome="failed"} 4' in report.page.render().text


LINK = Link("[ds] a/b.vmdk", "datastore-1", DiskKind.VMDK, "", encrypted=False, extents=None)
DISK = SourceDisk((LINK,), 100 * MIB, "vm-1", "host-1", ())


@pytest.mark.parametrize(("error", "told"), [(None, True), (CloneFailed("It failed."), False)])
def test_what_a_copy_took_is_in_the_termination_message_of_a_run_that_succeeded(
    report: Report, tmp_path: Path, error: Exception | None, told: bool
) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    report.uses("iscsi", DISK)
    with report.copying() as copy:
        copy.result = CopyResult("task", xcopy_used=True)
    report.end(error, file)
    message = json.loads(file.read_text())
    assert (message.get("bytes") == str(100 * MIB)) is told
    assert ("seconds" in message) is told


def test_rate_and_remaining_time_of_a_running_copy_are_on_the_page(report: Report) -> None:
    report.uses("iscsi", DISK)
    with report.copying() as copy:
        report.percent(50)
        running = report.page.render().text
        copy.result = CopyResult("task", xcopy_used=True)
    assert "copy_rate_bytes_per_second{" in running
    assert "copy_remaining_seconds{" in running


class Minutes(Clock):
    """A minute later at each look."""

    minutes = 0

    def now(self) -> float:
        self.minutes += 1
        return 60.0 * self.minutes


def moved(report: Report) -> float | None:
    """Return when the page says that the copy last got further."""
    lines = report.page.render().text.splitlines()
    found = [line for line in lines if line.startswith(f"{PREFIX}progress_timestamp_seconds{{")]
    return float(found[0].split()[-1]) if found else None


class Dated(Clock):
    """A wall clock that a test sets."""

    second = 0

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.second, UTC)


def test_the_time_of_the_last_progress_is_that_of_a_copy_and_of_nothing_else() -> None:
    clock = Dated()
    report = Report(Page("uid", "ontap", "vib"), clock)
    report.phase(Phase.WAIT_FOR_SLOT)
    assert moved(report) is None
    clock.second = 100
    report.phase(CopyPhase.CLONE)
    assert moved(report) == 100
    clock.second = 200
    report.percent(0)
    assert moved(report) == 100, "nothing was gained"
    report.percent(1)
    assert moved(report) == 200
    for other in (CopyPhase.WAIT_FOR_ROOM, CopyPhase.VERIFY):
        report.phase(other)
        assert moved(report) is None, other
        report.phase(CopyPhase.CLONE)
        assert moved(report) == 200


def test_what_the_comparison_takes_is_not_the_copys_time() -> None:
    report = Report(Page("uid", "ontap", "vib"), Minutes())
    with report.copying() as copy:
        copy.result = CopyResult("task", xcopy_used=True)
        report.phase(CopyPhase.VERIFY)
        for _ in range(50):
            report.percent(99)
    [line] = [each for each in report.page.render().text.splitlines() if "duration_seconds{" in each]
    assert float(line.split()[-1]) == 60


@pytest.mark.parametrize(
    ("proof", "said", "level"),
    [
        (Proof(equal=7, samples="all"), "equal: all 7 bytes", "INFO"),
        (Proof(offset=3), "different at byte 3", "ERROR"),
        (Proof(reason="busy"), "not verified: busy", "WARNING"),
    ],
)
def test_whether_the_bytes_are_the_same_is_in_log_page_and_termination_message(
    report: Report, tmp_path: Path, caplog: pytest.LogCaptureFixture, proof: Proof, said: str, level: str
) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "termination-log"
    file.touch()
    report.verified(proof)
    report.end(None, file)
    assert json.loads(file.read_text())["verified"] == said
    assert [line for line in caplog.records if said in line.getMessage() and line.levelname == level]
    page = report.page.render().text
    assert f'verification_info{{owner_uid="uid",outcome="{proof.outcome}"}} 1' in page
    assert ("verified_bytes{" in page) == (proof.equal is not None)


def test_a_copy_that_failed_is_published_as_such(report: Report) -> None:
    with pytest.raises(CloneFailed), report.copying():
        raise CloneFailed("no")
    assert 'result="failure"' in report.page.render().text
    assert report.copy_ended is not None


def test_a_failure_before_the_copy_is_published_once(report: Report) -> None:
    report.failed()
    ended = report.copy_ended
    report.failed()
    assert report.copy_ended == ended is not None
    assert 'result="failure"' in report.page.render().text
    assert 'xcopy_used="0"' in report.page.render().text


def test_what_a_failed_copy_did_is_published_also_where_being_stopped_is_its_end(report: Report) -> None:
    with pytest.raises(errors.Cancelled), report.copying():
        try:
            raise CloneFailed("stopped", result=CopyResult("task", xcopy_used=True, xcopy=Xcopy(7, 0, 0)))
        except CloneFailed:
            raise errors.Cancelled from None
    assert 'xcopy_used="1"' in report.page.render().text
    assert report.xcopy == "used: 7 operations by the array"


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
    report.phase(CopyPhase.CLONE)
    report.left("detach the device", "a copy may still be writing to the LUN")
    report.undo_failed("restore the mapping", VsphereError("no answer"))
    assert report.end(VsphereError("ö" * 10_000, "Do this. " * 1000), file) == 5
    assert len(file.read_bytes()) <= MESSAGE_LIMIT
    message = json.loads(file.read_text())
    assert (message["phase"], message["reason"]) == ("clone", "VsphereError")
    assert message["left"] == ["detach the device"]
    assert message["undoFailures"] == ["restore the mapping: no answer"]
    assert message["text"].startswith("ööö")
    assert message["hint"].startswith("Do this. Do this.")


def test_a_message_that_just_fits_is_whole() -> None:
    message = {"reason": "VsphereError", "text": ""}
    room = MESSAGE_LIMIT - size({**message, "text": ""})
    assert json.loads(fitting({**message, "text": "x" * room}))["text"] == "x" * room
    longer = fitting({**message, "text": "x" * (room + 1)})
    assert (len(longer), json.loads(longer)["text"][-2:]) == (MESSAGE_LIMIT, "x…")


def test_what_is_left_is_the_last_to_go() -> None:
    left = [f"step {number} of the undo, with much to say about {'it ' * 20}" for number in range(60)]
    told = json.loads(fitting({"text": "t" * 9000, "hint": "h" * 9000, "undoFailures": left, "left": left}))
    assert told["left"][:8] == left[:8]
    assert told["left"][-1] == f"… and {60 - len(told['left']) + 1} more"
    assert told["undoFailures"][0] == left[0]
    assert len(told["text"]) > 400
    assert len(told["hint"]) > 100


@pytest.mark.parametrize(
    "text", ["\x00" * 5000, "\udc80" * 5000, '"\\' * 5000, "\U0001f600" * 5000, "\ud83d\ude00"]
)
def test_bytes_are_counted_as_they_are_written(text: str) -> None:
    everywhere = {"phase": "p", "reason": "r", "text": text, "hint": text, "xcopy": text}
    written = fitting({**everywhere, "undoFailures": [text] * 30, "left": [text, text]})
    assert len(written) <= MESSAGE_LIMIT
    assert len(json.loads(written.decode())["left"]) == 2


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["phase", "reason"]), st.text(max_size=60)),
    st.dictionaries(
        st.sampled_from(["text", "hint", "xcopy"]), st.text(alphabet=st.characters()).map(lambda s: s * 300)
    ),
    st.dictionaries(
        st.sampled_from(["left", "undoFailures"]),
        st.lists(st.text(alphabet=st.characters()).map(lambda s: s * 40)),
    ),
)
def test_any_message_fits_and_can_be_read(
    ours: dict[str, str], texts: dict[str, str], lists: dict[str, list[str]]
) -> None:
    written = fitting({**ours, **texts, **lists})
    assert len(written) <= MESSAGE_LIMIT
    assert {name: value for name, value in json.loads(written.decode()).items() if name in ours} == {
        name: value for name, value in ours.items() if value
    }


def test_a_password_that_is_an_ordinary_word_hides_no_field(report: Report, tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    try:
        log.set_up("info", "lines", ["text", "reason", "VsphereError", "clone", "end", "hint"])
        report.phase(CopyPhase.CLONE)
        report.end(VsphereError("sent text", "no hint"), file)
    finally:
        log.set_up("info", "lines", ())
    assert json.loads(file.read_text()) == {
        "phase": "clone",
        "reason": "VsphereError",
        "text": f"sent {log.BLOT}",
        "hint": f"no {log.BLOT}",
    }


def test_a_secret_at_the_cut_does_not_show_in_part() -> None:
    try:
        log.set_up("info", "lines", ["geheim-und-lang-genug"])
        for before in range(3960, 4090):
            assert b"gehe" not in fitting({"text": "x" * before + "geheim-und-lang-genug" * 20})
    finally:
        log.set_up("info", "lines", ())


def test_a_full_disk_does_not_change_the_exit_code(report: Report) -> None:
    assert report.end(None, Path("/dev/full")) == 0
