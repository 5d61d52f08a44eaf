"""How a run ended is published whatever it ended by, and the controller is waited for, it alone and not for long."""

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import pytest

from tests.lab.controller import MONITOR, PREFIX, scrape
from tests.lab.lab import Lab
from tests.lab.program import Program
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.any_kube
PROMETHEUS = "Prometheus/3.5.0"
NEVER = 3600.0
"""seconds between two scrapes of a controller that looks at a run's start only"""


def url_of(program: Program) -> str:
    return str(program.wait_for(lambda line: "url" in line)["url"])


@contextmanager
def read_by(
    program: Program, agent: str, headers: Mapping[str, str] = MappingProxyType({}), every: float = 0.1
) -> Iterator[list[str]]:
    """Read the page ten times a second, or less often, as whoever scrapes beside the controller."""
    url, ended, pages = url_of(program), threading.Event(), []

    def read() -> None:
        while not ended.wait(every):
            try:
                pages.append(scrape(url, agent=agent, headers=headers))
            except OSError:
                return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield pages
    finally:
        ended.set()
        thread.join()


def finished(pages: list[str]) -> list[str]:
    return [page for page in pages if f"{PREFIX}copy_duration_seconds{{" in page]


@pytest.mark.parametrize("agent", ["Prometheus/3.5.0", "curl/8.5.0", "vmagent"])
def test_nobody_but_the_controller_ends_the_wait(lab: Lab, agent: str) -> None:
    target = lab.add_target()
    with lab.program(target, scrape_interval=4.0) as program:
        with read_by(program, agent) as pages:
            assert program.wait() == 0, program.text()
        assert finished(pages), "the other one has read the end, too"
    assert (program.status.result, program.status.progress) == ("success", 100)


@pytest.mark.parametrize(("controller", "monitor"), [(0.2, 3.0), (3.0, 0.2)])
@pytest.mark.parametrize("fails", [False, True])
def test_controller_and_monitor_both_see_the_end_whichever_comes_first(
    lab: Lab, controller: float, monitor: float, fails: bool
) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 4.0
    if fails:
        lab.host.faults.fail_at = 50
    run = lab.program(target, scrape_interval=controller)
    with run as program, read_by(program, PROMETHEUS, MONITOR, monitor) as pages:
        assert program.wait() == (7 if fails else 0), program.text()
    assert program.status.result == ("failure" if fails else "success")
    assert f'{PREFIX}end_info{{owner_uid="{target.uid}",reason="' in pages[-1]


def test_what_was_left_behind_is_seen_by_a_monitor(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target, scrape_interval=0.2) as program, read_by(program, PROMETHEUS, MONITOR) as pages:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.openers[target.naa] = ("vmkfstools",)
        assert program.wait() == 8, program.text()
    (left,) = [line for line in pages[-1].splitlines() if line.startswith(f"{PREFIX}left_behind{{")]
    assert f'host="{lab.host.name}"' in left
    assert left.endswith(f" {len(program.message['left'])}")


def test_a_host_that_cannot_copy_is_named_by_the_end(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.plugin_installed = False
    with lab.program(target, scrape_interval=0.2) as program, read_by(program, PROMETHEUS, MONITOR) as pages:
        assert program.wait() == 5, program.text()
    (end,) = [line for line in pages[-1].splitlines() if line.startswith(f"{PREFIX}end_info{{")]
    assert 'reason="VsphereError",exit_code="5",' in end
    assert f'host="{lab.host.name}"' in end


def test_a_monitor_that_does_not_come_back_is_waited_for_ten_seconds_at_most_and_not_after_sigterm(
    lab: Lab,
) -> None:
    target = lab.add_target()
    with lab.program(target, scrape_interval=0.2) as program:
        scrape(url_of(program), agent=PROMETHEUS, headers=MONITOR)
        program.wait_for_phase("last scrape")
        assert program.controller
        wait_until(lambda: program.status.result == "success")
        began = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait() == 0, program.text()
        assert time.monotonic() - began < 5
    assert program.message["reason"] == "Succeeded"


@pytest.mark.parametrize("agent", ["Go-http-client/1.1", "Go-http-client/2.0"])
def test_the_controllers_scrape_ends_it_at_once(lab: Lab, agent: str) -> None:
    target = lab.add_target()
    with lab.program(target, scrape_interval=NEVER) as program, read_by(program, agent) as pages:
        assert program.wait() == 0, program.text()
    assert finished(pages)
    assert program.phases["last scrape"] < 8


def test_a_failure_before_the_copy_is_seen_by_the_controller(lab: Lab) -> None:
    lab.host.max_lun = 0
    lab.host.rescan_seconds = 0.5
    target = lab.add_target()
    with lab.program(target, scrape_interval=2.0) as program:
        assert program.wait() == 5, program.text()
    status = program.status
    assert (status.result, status.clone_method, status.storage_vendor) == ("failure", "vib", "ontap")
    assert (status.xcopy_used, status.storage_protocol) == (0, "iscsi")
    assert status.copy_duration is not None
    assert 2 < status.copy_duration < program.seconds, "since it began to populate"
    assert status.progress == 0


@pytest.mark.parametrize("wrong", ["source-vmdk", "storage-vendor-product", "owner-name"])
def test_wrong_settings_are_seen_by_the_controller(lab: Lab, wrong: str) -> None:
    target = lab.add_target()
    with lab.program(target, arguments={wrong: ""}, scrape_interval=2.0) as program:
        assert program.wait() == 2, program.text()
    assert program.message["reason"] == "InvalidSettings"
    assert (program.status.result, program.status.clone_method) == ("failure", "vib")


def test_wrong_settings_wait_for_nobody_longer_than_ten_seconds(lab: Lab) -> None:
    target = lab.add_target()
    wrong = lab.program(target, arguments={"owner-name": ""}, scrape_interval=math.inf)
    with wrong as program, read_by(program, "Prometheus/3.5.0"):
        assert program.wait() == 2, program.text()
    assert 10 <= program.seconds < 25


@pytest.mark.parametrize("wrong", ["owner-uid", "http-endpoint", "metrics-path"])
def test_without_what_the_page_needs_nobody_is_waited_for(lab: Lab, wrong: str) -> None:
    target = lab.add_target()
    with lab.program(target, arguments={wrong: "no such thing"}, scrape_interval=NEVER) as program:
        assert program.wait() == 2, program.text()
    assert program.controller is None
    assert program.message["reason"] == "InvalidSettings"


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.wrappers("busybox", "0.3.3")
def test_a_failed_copy_says_whether_the_array_copied(lab: Lab, used: bool) -> None:
    target = lab.add_target()
    lab.host.copies.xcopy = used
    lab.host.faults.fail_at = 50
    lab.host.copy_seconds = 1.0
    with lab.program(target) as program:
        assert program.wait() == 7, program.text()
    assert (program.status.result, program.status.xcopy_used) == ("failure", int(used))
    assert program.message["xcopy"].startswith("used" if used else "not used")


def test_a_copy_that_we_stopped_says_it_too(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, scrape_interval=NEVER) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        time.sleep(1.0)  # of copying
        program.signal(signal.SIGTERM)
        assert program.wait() == 9, program.text()
    assert program.message["xcopy"].startswith("used")


def test_sigterm_ends_the_wait_and_changes_nothing(lab: Lab) -> None:
    target = lab.add_target()
    with lab.program(target, scrape_interval=NEVER) as program:
        program.wait_for_phase("last scrape")
        began = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait() == 0, program.text()
        assert time.monotonic() - began < 5
    assert program.message["reason"] == "Succeeded"
    assert lab.copied(target)
