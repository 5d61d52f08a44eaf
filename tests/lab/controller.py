"""Forklift's populator controller, as far as a populator meets it: scrapes, expressions, conclusions.

The expressions are those of the contract, to the letter. `Controller.watch` scrapes once at the start and then every
five seconds (`interval`), as measured on the real one, without verifying the certificate.
"""

import contextlib
import http.client
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlsplit

PREFIX = "vsphere_xcopy_volume_populator_"
NUMBERS = {
    "progress": r"(\d+\.?\d*)",
    "xcopy_used": r"(\d+)",
    "vib_version": r"(\d+)",
    "copy_duration_seconds": r"([0-9.]+)",
}


@dataclass(frozen=True)
class Status:
    """What the controller would write into the populator object's status."""

    progress: float | None = None
    xcopy_used: int | None = None
    vib_version: str | None = None
    copy_duration: float | None = None
    result: str | None = None
    clone_method: str | None = None
    storage_protocol: str | None = None
    storage_vendor: str | None = None
    provisioned: float | None = None
    allocated: float | None = None


def line(page: str, metric: str, uid: str, number: str) -> re.Match[str] | None:
    """Find a metric of one PVC as the controller does."""
    return re.search(rf'{PREFIX}{metric}\{{[^}}]*owner_uid="{uid}"[^}}]*\}} {number}', page)


def label(match: re.Match[str] | None, name: str) -> str | None:
    """Return a label's value out of a matched line, unescaped as the controller takes it."""
    found = re.search(rf'{name}="([^"]*)"', match[0]) if match else None
    return found[1] if found else None


def read_page(page: str, uid: str) -> Status:
    """Read a page with the contract's expressions."""
    found = {metric: line(page, metric, uid, number) for metric, number in NUMBERS.items()}
    sizes = {
        kind: re.search(
            rf'{PREFIX}source_disk_bytes\{{[^}}]*owner_uid="{uid}"[^}}]*type="{kind}"[^}}]*\}} ([0-9.e+]+)',
            page,
        )
        for kind in ("provisioned", "datastore_allocated")
    }

    def value(match: re.Match[str] | None) -> float | None:
        return float(match[1]) if match else None

    used, duration = value(found["xcopy_used"]), found["copy_duration_seconds"]
    return Status(
        progress=value(found["progress"]),
        xcopy_used=None if used is None else int(used),
        vib_version=label(found["vib_version"], "version"),
        copy_duration=value(duration),
        result=label(duration, "result"),
        clone_method=label(duration, "clone_method"),
        storage_protocol=label(duration, "storage_protocol"),
        storage_vendor=label(duration, "storage_vendor"),
        provisioned=value(sizes["provisioned"]),
        allocated=value(sizes["datastore_allocated"]),
    )


MONITOR = {"X-Prometheus-Scrape-Timeout-Seconds": "5"}
"""what Prometheus and its like have in each request"""


def scrape(
    url: str,
    timeout: float = 5.0,
    agent: str = "Go-http-client/1.1",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Fetch the page once, verifying nothing, as the controller does; `agent` is what it calls itself."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "",
        parts.port or 443,
        timeout=timeout,
        context=ssl._create_unverified_context(),  # noqa: S323
    )
    try:
        connection.request("GET", parts.path, headers={"User-Agent": agent, **headers})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@dataclass
class Controller:
    """Scrapes one populator until told to stop, and keeps what it saw."""

    url: str
    uid: str
    interval: float = 5.0
    seen: list[Status] = field(default_factory=list)
    page: str = ""
    """the last one, as it came"""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self) -> None:
        """Begin to scrape: at once, then in intervals."""
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    @property
    def last(self) -> Status:
        """Return the newest status."""
        return self.seen[-1] if self.seen else Status()

    def _run(self) -> None:
        while True:
            # The pod may be gone: the controller tries again too.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.page = scrape(self.url)
                self.seen.append(read_page(self.page, self.uid))
            if self._stop.wait(self.interval):
                return
