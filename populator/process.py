"""One process from start to exit code: signals, metrics page, the story, the last scrape, the termination message.

The metrics port answers before anything slow is imported: `wiring`, which brings in the clients of vCenter,
Kubernetes and the array, is imported in `attempt` and not above.
"""

import faulthandler
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from populator.clock import Clock
from populator.errors import Cancelled, SettingsError
from populator.report.page import Page
from populator.report.phase import Phase
from populator.report.run import Report
from populator.report.server import serve
from populator.settings.values import MetricsSettings, PageSettings, Settings
from vsphere.model import CloneMethod

log = logging.getLogger(__name__)

LAST_SCRAPE = 10.0
"""seconds, from the end of the copy, that the controller gets to see it; those who monitor get them from the end of the
undo, whose failures are for them"""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""as the kubelet sends it, and Ctrl-C"""
CUT_AGAIN = 0.5
"""seconds after which a call is cut once more, should a library have swallowed the first time"""
STUCK_AFTER = 29.0
"""seconds after a stop signal, within which all is to have ended; the kubelet kills a second later"""


def run(settings: Settings) -> int:
    """Populate the volume; return the process's exit code and never raise."""
    clock = Clock()
    listen_for_stop(clock, STUCK_AFTER)
    method = CloneMethod.SSH if settings.ssh else CloneMethod.VIB
    page = Page(settings.target.uid, settings.storage.vendor, method)
    source, array = settings.source, settings.storage.access.hostname
    page.run(settings.target.pvc, source.vm, str(source.vmdk), array)
    report = Report(page, clock)
    error: BaseException | None = None
    try:
        with shown(settings.metrics, report, clock):
            error = attempt(settings, clock, report)
            if error is not None:
                report.failed()
            report.ended(error)
    except OSError as taken:
        port = settings.metrics.port
        error = SettingsError([f"--http-endpoint: cannot listen on port {port}: {taken.strerror}."])
    return report.end(error, settings.termination_message)


def refuse(error: Exception, termination_message: Path, page: PageSettings | None = None) -> int:
    """Tell about a call that could not even begin, the controller too where it can be; return the exit code."""
    for problem in error.problems if isinstance(error, SettingsError) else ():
        log.error("%s", problem)
    clock = Clock()
    listen_for_stop(clock)
    if page is None:
        return Report(Page("", "", ""), clock).end(error, termination_message)
    report = Report(Page(page.uid, page.vendor, page.method), clock)
    try:
        with shown(page.place, report, clock):
            report.failed()
            report.ended(error)
    except OSError as taken:
        log.warning("the metrics page cannot be served: %s", taken.strerror)
    return report.end(error, termination_message)


@contextmanager
def shown(place: MetricsSettings, report: Report, clock: Clock) -> Iterator[None]:
    """Serve the metrics page until its readers have seen the end. Raises OSError when the port is taken."""
    with serve(place.host, place.port, place.path, report.page) as url:
        log.info("metrics page is up", extra={"facts": {"url": url}})
        yield
        wait_for_last_scrape(clock, report)


def attempt(settings: Settings, clock: Clock, report: Report) -> BaseException | None:
    """Run the story; return what ended it, if not its success."""
    try:
        from populator.stories.populate import populate  # noqa: PLC0415 - slow, see above
        from populator.wiring import RealParts  # noqa: PLC0415 - slow, see above

        with RealParts(settings, clock, report) as parts:
            populate(parts)
    except Exception as error:
        return error
    return None


def wait_for_last_scrape(clock: Clock, report: Report) -> None:
    """Stay until the controller has seen the end of the copy, and monitors that of the run; told to stop, do not."""
    if report.copy_ended is None:
        return
    report.phase(Phase.LAST_SCRAPE)
    page, copy_ended, run_ended = report.page, report.copy_ended, clock.now()

    def missed() -> bool:
        now = clock.now()
        by_controller = not page.scraped.is_set() and now < copy_ended + LAST_SCRAPE
        return by_controller or (page.monitors.expected() and now < run_ended + LAST_SCRAPE)

    try:
        while missed():
            clock.wait(0.05)
    except Cancelled:
        log.info("told to stop before all who read the metrics page had seen the end")


def listen_for_stop(clock: Clock, stuck_after: float | None = None) -> None:
    """Stop the clock on a stop signal, also one that was held back until now, and let it cut calls.

    Who is still at work so many seconds later says where: the stack of each thread goes to standard error.
    """
    clock.alarm = lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, CUT_AGAIN if seconds else 0.0)
    signal.signal(signal.SIGALRM, lambda *_: clock.cut())

    def stop(*_: object) -> None:
        if stuck_after and sys.__stderr__ and not clock.stopping():
            faulthandler.dump_traceback_later(stuck_after, file=sys.__stderr__)
        clock.stop()

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    let_signals_through()


def let_signals_through() -> None:
    """Hear the stop signals that were held back since the program's first line, and those to come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def ignore_stop() -> None:
    """Let the process end with its own code: a second SIGTERM while Python shuts down would replace it."""
    faulthandler.cancel_dump_traceback_later()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
