"""The metrics page: what the controller's expressions read, what an independent parser reads, and the server."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from populator import log
from populator.clock import Clock
from populator.report.lease_metrics import PREFIX as LEASE_PREFIX
from populator.report.lease_metrics import LeaseMetrics
from populator.report.monitors import MOST, Monitors
from populator.report.page import Page, Result
from populator.report.server import CLIENT_SECONDS, serve
from tests.lab.controller import MONITOR, PREFIX, read_page, scrape
from tests.lab.waiting import wait_until

UID = "6f1c8a52-0d0e-4c6b-9a57-1f2f3a4b5c6d"


@pytest.fixture
def page() -> Page:
    return Page(UID, "ontap", "vib")


def filled(page: Page) -> Page:
    page.array("NetApp", "ONTAP", "", "9.15.1")
    page.vib("0.3.3")
    page.protocol = "iscsi"
    page.disk(64 * 2**30, 3 * 2**20)
    page.progress(42)
    page.pace(512 * 2**20, 90.4)
    page.xcopy(10_922, 3, 2**42)
    page.verification("equal", 66 * 2**20)
    page.run("disk-1", "vm-7", "[ds {one}] a/b.vmdk", "array.example:8443")
    page.uses_host("esx-1.example")
    page.moved(1234567890.5)
    page.finish(Result.SUCCESS, 1234567.8912, xcopy_used=True)
    page.end("Succeeded", 0, 0)
    return page


def test_the_controller_reads_every_value(page: Page) -> None:
    status = read_page(filled(page).render().text, UID)
    assert status.progress == 100
    assert status.xcopy_used == 1
    assert status.vib_version == "0.3.3"
    assert status.copy_duration == pytest.approx(1234567.891)
    assert (status.result, status.clone_method, status.storage_protocol) == ("success", "vib", "iscsi")
    assert (status.provisioned, status.allocated) == (64 * 2**30, 3 * 2**20)


def test_a_new_page_shows_nothing_but_no_progress(page: Page) -> None:
    status = read_page(page.render().text, UID)
    assert status.progress == 0
    assert status.copy_duration is None


def test_another_parser_finds_the_contracts_names_and_types(page: Page) -> None:
    families = {f.name: f for f in text_string_to_metric_families(filled(page).render().text)}
    # This parser calls every counter `…_total`; that ours does not is what the controller's expressions show.
    assert set(families) == {
        PREFIX + name
        for name in (
            "progress",
            "xcopy_used",
            "vib_version",
            "storage_array_info",
            "source_disk_bytes",
            "copy_duration_seconds",
            "xcopy_operations",
            "xcopy_bytes",
            "verification_info",
            "verified_bytes",
            "copy_rate_bytes_per_second",
            "run_info",
            "host_info",
            "end_info",
            "left_behind",
        )
    }
    operations = {one.labels["outcome"]: one.value for one in families[PREFIX + "xcopy_operations"].samples}
    assert operations == {"done": 10_922, "failed": 3}
    assert families[PREFIX + "xcopy_bytes"].samples[0].value == 2**42
    [verified] = families[PREFIX + "verification_info"].samples
    assert (verified.labels["outcome"], verified.value) == ("equal", 1)
    assert families[PREFIX + "verified_bytes"].samples[0].value == 66 * 2**20
    assert families[PREFIX + "progress"].type == "counter"
    info = families[PREFIX + "storage_array_info"].samples[0].labels
    assert info["storage_array_model"] == "n/a"


def test_what_monitoring_reads_names_run_host_and_end(page: Page) -> None:
    found = {f.name: f.samples for f in text_string_to_metric_families(filled(page).render().text)}
    (run,), (host,), (end,), (left,) = (
        found[PREFIX + name] for name in ("run_info", "host_info", "end_info", "left_behind")
    )
    place = {"storage_array": "array.example:8443"}
    what = {"pvc": "disk-1", "vm": "vm-7", "disk": "[ds (one)] a/b.vmdk", "storage_vendor": "ontap"}
    assert run.labels == {"owner_uid": UID, **what, **place}
    assert host.labels == {"owner_uid": UID, "host": "esx-1.example"}
    how = {"reason": "Succeeded", "exit_code": "0", "xcopy_used": "1", "verified": "equal"}
    by = {"host": "esx-1.example", "storage_vendor": "ontap", "clone_method": "vib", **place}
    assert end.labels == {"owner_uid": UID, **how, **by}
    assert left.labels == {"owner_uid": UID, "host": "esx-1.example", **place}
    assert (run.value, host.value, end.value, left.value) == (1, 1, 1, 0)


def test_the_moment_of_the_last_progress_is_there_while_a_copy_runs(page: Page) -> None:
    page.moved(1234567890.25)
    assert f'{PREFIX}progress_timestamp_seconds{{owner_uid="{UID}"}} 1234567890.250\n' in page.render().text
    page.moved(None)
    assert "progress_timestamp_seconds" not in page.render().text
    page.moved(1234567890.25)
    page.finish(Result.FAILURE, 1.0, xcopy_used=False)
    assert "progress_timestamp_seconds" not in page.render().text


def test_the_end_of_a_run_that_knew_nothing_yet_is_published_too(page: Page) -> None:
    page.end("InvalidSettings", 2, 0)
    (end,) = [f for f in text_string_to_metric_families(page.render().text) if f.name.endswith("end_info")]
    labels = end.samples[0].labels
    assert (labels["xcopy_used"], labels["verified"], labels["host"]) == ("0", "n/a", "")


def test_the_remaining_time_is_shown_while_there_is_any(page: Page) -> None:
    page.pace(512 * 2**20, 90.4)
    assert f'{PREFIX}copy_remaining_seconds{{owner_uid="{UID}"}} 90\n' in page.render().text
    page.finish(Result.FAILURE, 1.0, xcopy_used=False)
    assert "copy_remaining_seconds" not in page.render().text


def test_percent_never_falls(page: Page) -> None:
    for percent in (10, 60, 30):
        page.progress(percent)
    assert read_page(page.render().text, UID).progress == 60


def test_a_failed_copy_is_never_at_100(page: Page) -> None:
    page.progress(99)
    page.finish(Result.FAILURE, 1.0, xcopy_used=False)
    status = read_page(page.render().text, UID)
    assert (status.progress, status.result) == (99, "failure")


def test_no_label_can_end_the_controllers_match(page: Page) -> None:
    page.array('a"b\\c', "{x}\n", "", "")
    text = page.render().text
    assert all("}" not in line[: line.rindex("}")] for line in text.splitlines() if "{" in line)
    (family,) = [f for f in text_string_to_metric_families(text) if "array_info" in f.name]
    assert family.samples[0].labels["storage_array_vendor"] == 'a"b\\c'


def test_the_leases_own_metrics_stand_beside_the_contracts(page: Page) -> None:
    before = filled(page).render().text
    page.lease = lease = LeaseMetrics(UID, Clock())
    lease.waited(1.5)
    lease.waited(0.5)
    for seconds in (0.004, 0.02, 9.0):
        lease.renewed(seconds)
    lease.renew_failed()
    lease.took_over()
    lease.lost()
    lease.lost()
    lease.held(61.25)
    text = page.render().text
    assert text.startswith(before), "what the controller reads stays as it is, to the letter"
    assert read_page(text, UID) == read_page(before, UID)
    families = {f.name: f for f in text_string_to_metric_families(text) if f.name.startswith(LEASE_PREFIX)}
    values = {
        (sample.name.removeprefix(LEASE_PREFIX), sample.labels.get("le")): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert {sample.labels["owner_uid"] for family in families.values() for sample in family.samples} == {UID}
    assert {name.removeprefix(LEASE_PREFIX): family.type for name, family in families.items()} == {
        "waiting_seconds": "gauge",
        "renew_errors": "counter",
        "takeovers": "counter",
        "lost": "counter",
        "wait_seconds": "summary",
        "hold_seconds": "summary",
        "renew_duration_seconds": "histogram",
    }
    assert (values["wait_seconds_sum", None], values["wait_seconds_count", None]) == (2.0, 2)
    assert (values["hold_seconds_sum", None], values["hold_seconds_count", None]) == (61.25, 1)
    assert values["renew_duration_seconds_sum", None] == pytest.approx(9.024)
    buckets = [values["renew_duration_seconds_bucket", le] for le in ("0.005", "0.025", "5.0", "+Inf")]
    assert buckets == [1, 2, 2, 3]
    assert values["renew_duration_seconds_count", None] == 3
    counts = [values[name, None] for name in ("renew_errors_total", "takeovers_total", "lost_total")]
    assert counts == [1, 1, 2]


class Watch(Clock):
    """A clock that a test sets."""

    second = 0.0

    def now(self) -> float:
        return self.second


def test_a_wait_for_a_slot_shows_how_long_it_has_lasted_until_it_ends_however_it_does() -> None:
    clock = Watch()
    lease = LeaseMetrics(UID, clock)

    def shown() -> str:
        (line,) = [each for each in lease.lines() if each.startswith(f"{LEASE_PREFIX}waiting_seconds{{")]
        return line.split()[-1]

    clock.second = 10.0
    assert shown() == "0.000"
    with suppress(OSError), lease.waiting():
        clock.second = 4210.5
        assert shown() == "4200.500"
        raise OSError
    assert shown() == "0.000"


def test_every_series_of_the_lease_is_there_from_the_start() -> None:
    (*_, count) = LeaseMetrics(UID, Clock()).lines()
    assert count == f'{LEASE_PREFIX}renew_duration_seconds_count{{owner_uid="{UID}"}} 0'
    assert not [
        line for line in LeaseMetrics(UID, Clock()).lines() if line[0] != "#" and float(line.split()[-1])
    ]


@pytest.fixture
def url(page: Page) -> Iterator[str]:
    with serve("127.0.0.1", 0, "/metrics", page) as url:
        yield url


def test_it_is_served_over_tls(url: str, page: Page) -> None:
    assert "_progress" in scrape(url)
    assert not page.scraped.is_set()
    page.finish(Result.SUCCESS, 1, xcopy_used=False)
    scrape(url)
    assert page.scraped.wait(5)


def test_others_who_read_the_end_are_not_the_controller(url: str, page: Page) -> None:
    page.finish(Result.FAILURE, 1, xcopy_used=False)
    for agent in ("Prometheus/3.5.0", "curl/8.5.0", ""):
        assert 'result="failure"' in scrape(url, agent=agent)
    assert not page.scraped.is_set()
    scrape(url, agent="Go-http-client/2.0")
    assert page.scraped.wait(5)


def test_a_monitor_that_has_read_the_page_is_expected_until_it_has_read_the_end(url: str, page: Page) -> None:
    scrape(url, agent="Prometheus/2.42.0", headers=MONITOR)
    assert page.monitors.expected()
    page.finish(Result.SUCCESS, 1, xcopy_used=True)
    scrape(url, agent="Prometheus/2.42.0", headers=MONITOR)
    assert page.monitors.expected(), "the end of the copy is not that of the run"
    page.end("Succeeded", 0, 0)
    for other in ("Prometheus/3.5.0", "curl/8.5.0"):
        scrape(url, agent=other, headers=MONITOR)
    scrape(url, agent="Prometheus/2.42.0")
    assert page.monitors.expected(), "somebody else has read it"
    scrape(url, agent="Prometheus/2.42.0", headers=MONITOR)
    wait_until(lambda: not page.monitors.expected())
    assert not page.scraped.is_set()


def test_a_pair_of_monitors_is_expected_until_both_have_read_the_end(url: str, page: Page) -> None:
    for agent in ("Prometheus/2.42.0", "vm_promscrape"):
        scrape(url, agent=agent, headers=MONITOR)
    page.end("Succeeded", 0, 0)
    scrape(url, agent="vm_promscrape", headers=MONITOR)
    assert page.monitors.expected()
    scrape(url, agent="Prometheus/2.42.0", headers=MONITOR)
    wait_until(lambda: not page.monitors.expected())


def test_nobody_else_is_expected(url: str, page: Page) -> None:
    for agent in ("Go-http-client/1.1", "curl/8.5.0", "Prometheus/3.5.0", ""):
        scrape(url, agent=agent)
    assert not page.monitors.expected()
    page.end("Succeeded", 0, 0)
    scrape(url, agent="Prometheus/3.5.0", headers=MONITOR)
    assert not page.monitors.expected(), "it came once only, and has seen the end"


def test_an_agent_that_scrapes_with_gos_default_name_is_not_the_controller(url: str, page: Page) -> None:
    page.finish(Result.SUCCESS, 1, xcopy_used=True)
    scrape(url, agent="Go-http-client/2.0", headers=MONITOR)
    assert not page.scraped.is_set()


def test_readers_without_number_are_not_all_remembered() -> None:
    monitors = Monitors()
    for number in range(1000):
        monitors.served(f"10.0.0.{number}", "Prometheus/3.5.0", run_ended=False)
    for number in range(MOST):
        monitors.served(f"10.0.0.{number}", "Prometheus/3.5.0", run_ended=True)
    assert not monitors.expected()


def test_other_paths_and_methods_are_refused(url: str) -> None:
    parts = urlsplit(url)
    context = ssl._create_unverified_context()  # noqa: S323
    for method, path, status in (("GET", "/", 404), ("POST", "/metrics", 501)):
        connection = http.client.HTTPSConnection("127.0.0.1", parts.port or 0, context=context)
        connection.request(method, path)
        assert connection.getresponse().status == status
        connection.close()


def test_a_silent_client_holds_up_nobody(url: str) -> None:
    port = urlsplit(url).port or 0
    with socket.create_connection(("127.0.0.1", port)):
        began = time.monotonic()
        assert "_progress" in scrape(url)
        assert time.monotonic() - began < CLIENT_SECONDS / 2


def connect(url: str) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=10)
    return ssl._create_unverified_context().wrap_socket(plain)  # noqa: S323


def test_hundreds_of_silent_clients_take_few_threads_and_the_controller_is_served(url: str) -> None:
    before = threading.active_count()
    port = urlsplit(url).port or 0
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            assert threading.active_count() - before <= 40
        assert "_progress" in scrape(url, timeout=30)
        assert threading.active_count() - before <= 40


def test_a_client_that_trickles_its_request_has_an_end(page: Page) -> None:
    with serve("127.0.0.1", 0, "/metrics", page, seconds=0.5) as url:
        began = time.monotonic()  # the server counts from its accept, which may come before connect returns
        with connect(url) as client, pytest.raises(OSError, match=r".*"):
            while time.monotonic() - began < 20:
                client.sendall(b"x")
                time.sleep(0.02)
        assert 0.5 <= time.monotonic() - began < 20


def test_a_client_that_never_reads_has_an_end(page: Page) -> None:
    with serve("127.0.0.1", 0, "/metrics", page, seconds=0.5) as url:
        with connect(url) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
            before = threading.active_count()
            while threading.active_count() >= before:
                time.sleep(0.05)
        assert "_progress" in scrape(url)


def test_a_request_without_end_is_not_kept(url: str) -> None:
    with connect(url) as client:
        head = b"GET /metrics HTTP/1.1\r\n" + b"".join(
            b"X-%d: %s\r\n" % (n, b"x" * 60_000) for n in range(50)
        )
        with suppress(OSError):
            client.sendall(head + b"\r\n")
        with suppress(OSError):
            assert client.recv(1) == b""
    assert "_progress" in scrape(url)


def test_a_connection_serves_one_request(url: str) -> None:
    with connect(url) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


def test_a_password_that_is_a_word_of_the_page_changes_nothing_of_it(page: Page) -> None:
    before = filled(page).render().text
    try:
        log.set_up("info", "lines", ["progress", "ontap", "success", "owner_uid", "counter", "iscsi"])
        assert page.render().text == before
    finally:
        log.set_up("info", "lines", ())


def test_a_taken_port_is_an_error(url: str, page: Page) -> None:
    port, before = urlsplit(url).port or 0, threading.active_count()
    with pytest.raises(OSError, match="in use"), serve("127.0.0.1", port, "/metrics", page):
        pass
    assert threading.active_count() <= before


def test_one_ipv6_address_is_listened_at(page: Page) -> None:
    with serve("::1", 0, "/metrics", page) as url:
        assert url.startswith("https://[::1]:")
        assert "_progress" in scrape(url)


def test_all_interfaces_means_ipv4_too(page: Page) -> None:
    with serve("", 0, "/metrics", page) as url:
        assert "_progress" in scrape(f"https://127.0.0.1:{urlsplit(url).port}/metrics")
