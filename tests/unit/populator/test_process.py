"""The frame around a run: the last scrape, a port that is taken, a call that could not begin."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from populator import process
from populator.clock import Clock
from populator.errors import SettingsError
from populator.process import LAST_SCRAPE, STOP_SIGNALS, refuse, wait_for_last_scrape
from populator.report.page import Page
from populator.report.run import Report
from populator.settings.values import MetricsSettings, PageSettings
from tests.unit.populator.test_settings import parse

PROMETHEUS = ("10.0.0.1", "Prometheus/3.5.0")


class Virtual(Clock):
    """A clock whose waits pass at once; somebody reads the page at a moment, or SIGTERM comes."""

    seconds = 100.0

    def __init__(
        self,
        page: Page,
        scraped: float | None = None,
        stopped: float | None = None,
        monitored: float | None = None,
    ) -> None:
        super().__init__()
        self._page, self._scraped, self._stopped, self._monitored = page, scraped, stopped, monitored

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        if self._scraped is not None and self.seconds >= self._scraped:
            self._page.scraped.set()
        if self._monitored is not None and self.seconds >= self._monitored:
            self._page.monitors.served(*PROMETHEUS, run_ended=True)
        if self._stopped is not None and self.seconds >= self._stopped:
            self.stop()
        self.check()


def waited(
    *,
    ended: bool = True,
    scraped: float | None = None,
    stopped: float | None = None,
    known: bool = False,
    monitored: float | None = None,
    undo: float = 0.0,
) -> float:
    """Return for how long the process stays after the end of its work; `undo` is what that took after the copy.

    `known` says whether a monitor has read the page before.
    """
    page = Page("uid", "ontap", "vib")
    clock = Virtual(page, scraped, stopped, monitored)
    report = Report(page, clock)
    if known:
        page.monitors.served(*PROMETHEUS, run_ended=False)
    if ended:
        report.failed()
    clock.seconds += undo
    wait_for_last_scrape(clock, report)
    return clock.now() - 100.0 - undo


def test_the_process_stays_until_the_end_of_the_copy_was_seen() -> None:
    assert waited(scraped=103.0) == pytest.approx(3.0, abs=0.1)


def test_it_does_not_stay_for_ever() -> None:
    assert waited() == pytest.approx(LAST_SCRAPE, abs=0.1)


@pytest.mark.parametrize(
    ("controller", "monitor", "stays"),
    [
        (1.0, 4.0, 4.0),
        (4.0, 1.0, 4.0),
        (0.0, None, LAST_SCRAPE),
        (None, 1.0, LAST_SCRAPE),
        (None, None, LAST_SCRAPE),
    ],
)
def test_it_stays_for_controller_and_monitor_whichever_comes_first_and_ten_seconds_at_most(
    controller: float | None, monitor: float | None, stays: float
) -> None:
    moments = [None if moment is None else 100.0 + moment for moment in (controller, monitor)]
    assert waited(known=True, scraped=moments[0], monitored=moments[1]) == pytest.approx(stays, abs=0.1)


def test_where_nobody_monitors_the_controller_alone_is_waited_for() -> None:
    assert waited(scraped=101.0) == pytest.approx(1.0, abs=0.1)


def test_a_monitor_is_waited_for_after_a_long_undo_which_the_controller_has_seen() -> None:
    assert waited(undo=60.0) == 0.0
    assert waited(undo=60.0, known=True, monitored=163.0) == pytest.approx(3.0, abs=0.1)
    assert waited(undo=60.0, known=True) == pytest.approx(LAST_SCRAPE, abs=0.1)


def test_told_to_stop_it_does_not_stay_for_a_monitor_either() -> None:
    assert waited(known=True, scraped=100.5, stopped=101.0) == pytest.approx(1.0, abs=0.1)


def test_told_to_stop_it_does_not_stay_and_raises_nothing() -> None:
    assert waited(stopped=101.0) == pytest.approx(1.0, abs=0.1)


def test_without_an_end_there_is_nothing_to_be_seen() -> None:
    assert waited(ended=False) == 0.0


@pytest.fixture
def signals() -> Iterator[None]:
    """Put the handlers back that the process sets."""
    before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGALRM)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.usefixtures("signals")
def test_a_port_that_is_taken_is_a_setting_to_correct(tmp_path: Path, taken: int) -> None:
    message = tmp_path / "message"
    message.touch()
    settings = parse(http_endpoint=f"127.0.0.1:{taken}", termination_message_path=str(message))
    assert process.run(settings) == 2
    told = json.loads(message.read_text())
    assert told["reason"] == "InvalidSettings"
    assert f"--http-endpoint: cannot listen on port {taken}: Address already in use." in told["text"]


@pytest.mark.usefixtures("signals")
def test_a_call_that_could_not_begin_is_refused_all_the_same_where_the_page_cannot_be_shown(
    tmp_path: Path, taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    message = tmp_path / "message"
    message.touch()
    page = PageSettings("uid", "ontap", "vib", MetricsSettings("127.0.0.1", taken, "/metrics"))
    assert refuse(SettingsError(["--owner-uid is missing.", "--cr-name is too."]), message, page) == 2
    assert json.loads(message.read_text())["text"] == "--owner-uid is missing. --cr-name is too."
    assert [record.message for record in caplog.records][:2] == [
        "--owner-uid is missing.",
        "--cr-name is too.",
    ]
    assert "the metrics page cannot be served: Address already in use" in caplog.text


@pytest.mark.usefixtures("signals")
def test_what_is_not_known_of_the_page_keeps_nobody_waiting(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.touch()
    assert refuse(ValueError("who knows"), message) == 1
    assert json.loads(message.read_text())["reason"] == "UnexpectedError"


@pytest.mark.parametrize("ends", [False, True])
def test_a_run_that_is_still_at_work_long_after_the_signal_says_where(ends: bool) -> None:
    script = f"""
import os, signal, time
from populator import process
from populator.clock import Clock
process.listen_for_stop(Clock(), 0.2)
os.kill(os.getpid(), signal.SIGTERM)
if {ends}:
    process.ignore_stop()
time.sleep(1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ("most recent call first" in done.stderr) is not ends
