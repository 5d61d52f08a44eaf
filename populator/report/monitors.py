"""Those who monitor populators: they read the page again and again, and say in each request that they are scraping.

Prometheus does, and so do the agents that scrape for it; curl, a browser and Forklift's controller do not. The process
stays a little for the monitors it knows, so that they too see how the run ended.
"""

import threading

HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
"""of Prometheus' own scrapes and those of its agents"""
MOST = 8
"""monitors that are waited for; a pair that watches all pods twice is usual"""


class Monitors:
    """Knows who will come back for the end; any thread may call any method."""

    def __init__(self) -> None:
        self._expected: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def served(self, address: str, agent: str, *, run_ended: bool) -> None:
        """Note that a page went out to a monitor, and whether it showed the end of the run."""
        with self._lock:
            if run_ended:
                self._expected.discard((address, agent))
            elif len(self._expected) < MOST:
                self._expected.add((address, agent))

    def expected(self) -> bool:
        """Return whether some monitor has read the page, but not yet the end."""
        with self._lock:
            return bool(self._expected)
