"""A real Prometheus on loopback, which scrapes the populators it is told of, and evaluates rules.

It is Debian's (`tests/packages.sh`). What a PodMonitor would find is written into a file that it watches. It ends with
the context, and like the API server of the lab also where this process dies without a word.
"""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import yaml

from tests.lab.kube.real import KEEPER
from tests.lab.waiting import wait_until

INTERVAL = 1
"""seconds between two scrapes, and two evaluations of rules; a PodMonitor takes 5"""


@dataclass
class Prometheus:
    """One server; `rules` is a file of rules as it reads them."""

    folder: Path
    rules: Path
    url: str = ""
    _targets: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = self.folder / "prometheus.log"
        command = [
            "prometheus",
            f"--config.file={self.configuration()}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, "prometheus", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the test, which then ends us
            )
        try:
            self.url = f"http://{wait_until(self._listening)}"
            wait_until(lambda: "ready to receive web requests" in self._log.read_text())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._end()

    def configuration(self) -> Path:
        """Write what a PodMonitor with our settings comes to; return the file."""
        file = self.folder / "prometheus.yml"
        job = {
            "job_name": "populators",
            "scheme": "https",
            "tls_config": {"insecure_skip_verify": True},
            "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}],
        }
        seconds = f"{INTERVAL}s"
        scraping = {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": seconds}
        settings = {"global": scraping, "rule_files": [str(self.rules)], "scrape_configs": [job]}
        self._write_targets()
        file.write_text(yaml.safe_dump(settings))
        return file

    def follow(self, url: str, namespace: str, pod: str) -> None:
        """Scrape the page at that address from now on, as that pod's."""
        parts = urlsplit(url)
        labels = {"namespace": namespace, "pod": pod, "__metrics_path__": parts.path}
        self._targets.append({"targets": [parts.netloc], "labels": labels})
        self._write_targets()

    def over_time(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return each series of a query over a time, with all its values."""
        return self._result("query_range", query=expr, start=start, end=end, step=INTERVAL)

    def at(self, expr: str, moment: float) -> list[dict[str, Any]]:
        """Return each series of a query at a moment."""
        return self._result("query", query=expr, time=moment)

    def firing(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that fire by their names; one of several with a name."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}

    def _result(self, what: str, **parameters: object) -> list[dict[str, Any]]:
        return list(self._get(what, **parameters)["result"])

    def _get(self, what: str, **parameters: object) -> dict[str, Any]:
        with urlopen(f"{self.url}/api/v1/{what}?{urlencode(parameters)}", timeout=30) as answer:
            return dict(json.load(answer)["data"])

    def _listening(self) -> str:
        text = self._log.read_text()
        if self._process.poll() is not None:
            raise RuntimeError(f"prometheus has ended:\n{text}")
        found = re.search(r'msg="Listening on" address=(\S+)', text)
        return found[1] if found else ""

    def _write_targets(self) -> None:
        half = self.folder / "targets.json.half"
        half.write_text(json.dumps(self._targets))
        half.rename(self.folder / "targets.json")

    def _end(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=20)
