"""What the host lease costs and suffers, as metrics of our own beside the contract's on the same page.

Names begin with `xcopy_populator_host_lease_`, so none of them is met by an expression of Forklift's controller. Base
units and suffixes are Prometheus' conventions; every series is there from the start, so that rates begin at zero.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from populator.clock import Clock

PREFIX = "xcopy_populator_host_lease_"
RENEW_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""seconds; an update takes the API server some 5 ms, and a request is given up after 4 s at most"""

COUNTERS = {
    "renew_errors_total": "Renewals that failed and were tried again",
    "takeovers_total": "Slots taken over from a holder that had not released them",
    "lost_total": "Times a held slot was no longer certainly ours",
}
WAITING = "waiting_seconds"
RENEW = "renew_duration_seconds"
TIMES = {
    "wait_seconds": ("summary", "Time until a slot was had"),
    "hold_seconds": ("summary", "Time for which a slot was held"),
    RENEW: ("histogram", "Time that a renewal took on the Kubernetes API"),
}


class LeaseMetrics:
    """Counts what becomes of the lease (`lease.ports.Observer`); any thread may call any method."""

    def __init__(self, owner_uid: str, clock: Clock) -> None:
        self._clock = clock
        self._waiting_since: float | None = None
        self._label = f'owner_uid="{owner_uid}"'
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._sums = dict.fromkeys(TIMES, (0.0, 0))
        self._buckets = dict.fromkeys(RENEW_BUCKETS, 0)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Show how long the wait of this block has lasted."""
        self._waiting_since = self._clock.now()
        try:
            yield
        finally:
            self._waiting_since = None

    def waited(self, seconds: float) -> None:
        """Count a wait that ended with a slot."""
        self._add("wait_seconds", seconds)

    def renewed(self, seconds: float) -> None:
        """Count a renewal."""
        with self._lock:
            total, count = self._sums[RENEW]
            self._sums[RENEW] = total + seconds, count + 1
            for limit in RENEW_BUCKETS:
                self._buckets[limit] += seconds <= limit

    def renew_failed(self) -> None:
        """Count a renewal that failed."""
        self._count("renew_errors_total")

    def took_over(self) -> None:
        """Count a slot that had not been released."""
        self._count("takeovers_total")

    def lost(self) -> None:
        """Count a slot that is no longer certainly ours."""
        self._count("lost_total")

    def held(self, seconds: float) -> None:
        """Count a slot that was given back."""
        self._add("hold_seconds", seconds)

    def lines(self) -> list[str]:
        """Return the lines of the page, in the Prometheus text format."""
        with self._lock:
            counts, times, buckets = dict(self._counts), dict(self._sums), dict(self._buckets)
        since = self._waiting_since
        waiting = 0.0 if since is None else self._clock.now() - since
        found = [
            *_head(WAITING, "gauge", "Time that the wait for a slot has lasted so far; 0 outside of one")
        ]
        found.append(self._line(WAITING, f"{waiting:.3f}"))
        for name, text in COUNTERS.items():
            found += [*_head(name, "counter", text), self._line(name, str(counts[name]))]
        for name, (kind, text) in TIMES.items():
            found += _head(name, kind, text)
            seconds, count = times[name]
            if kind == "histogram":
                bounds = {str(limit): below for limit, below in buckets.items()} | {"+Inf": count}
                found += [self._line(f"{name}_bucket", str(n), f',le="{le}"') for le, n in bounds.items()]
            found.append(self._line(f"{name}_sum", f"{seconds:.6f}"))
            found.append(self._line(f"{name}_count", str(count)))
        return found

    def _add(self, name: str, seconds: float) -> None:
        with self._lock:
            total, count = self._sums[name]
            self._sums[name] = total + seconds, count + 1

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _line(self, name: str, value: str, more: str = "") -> str:
        return f"{PREFIX}{name}{{{self._label}{more}}} {value}"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]
