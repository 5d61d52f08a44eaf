"""A real Prometheus scrapes runs of the lab: the dashboard's queries find them, alerts fire, Forklift sees each end."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.lab import world
from tests.lab.lab import Lab
from tests.lab.program import ROOT
from tests.lab.prometheus import Prometheus
from tests.lab.tools import tool
from tests.monitoring.runs import DASHBOARD, POPULATOR, Night, panels, play, write_rules

CODES = {"first": 0, "second": 0, "slow": 0, "fails": 7, "leaves": 8}
NUMBERS = {"Succeeded": 3, "Failed": 2, "Without XCOPY": 1, "Left behind": 3}
"""on the dashboard, in the end"""


@pytest.mark.long
def test_prometheus_sees_what_dashboard_and_alerts_need_and_forklift_every_end(tmp_path: Path) -> None:
    """One test, since all of it is asked of the same runs, which take half a minute."""
    with Lab("simulated") as lab, Prometheus(tmp_path, write_rules(tmp_path)) as prometheus:
        night = play(lab, prometheus)
        forklift_has_seen_every_end(night)
        prometheus_has_seen_every_end(night)
        every_query_has_data(night)
        the_numbers_are_right(night)
        alerts_fire(night, lab.hosts[world.OTHER_HOST].name)


def forklift_has_seen_every_end(night: Night) -> None:
    for run in night.runs:
        assert run.program.code == CODES[run.name], run.program.text()
        result = "failure" if CODES[run.name] else "success"
        assert run.program.status.result == result, f"{run.name}: {run.program.status}"


def prometheus_has_seen_every_end(night: Night) -> None:
    ends = night.prometheus.at(f"last_over_time({POPULATOR}end_info[10m])", night.ended)
    codes = {end["metric"]["pod"]: int(end["metric"]["exit_code"]) for end in ends}
    assert codes == {f"populate-{name}": code for name, code in CODES.items()}


def every_query_has_data(night: Night) -> None:
    missing = [
        f"{panel['title']}: {query['expr']}"
        for panel in panels()
        for query in panel["targets"]
        if not any(
            not math.isnan(float(value)) for series in night.ask(query) for _, value in series["values"]
        )
    ]
    assert missing == []


def the_numbers_are_right(night: Night) -> None:
    shown = {}
    for panel in panels():
        if panel["title"] in NUMBERS and panel["type"] == "stat":
            [series] = night.ask(panel["targets"][0])
            shown[panel["title"]] = float(series["values"][-1][1])
    assert shown == NUMBERS


def alerts_fire(night: Night, host: str) -> None:
    firing = night.prometheus.firing()
    assert set(firing) == {"XcopyPopulatorXcopyNotUsed", "XcopyPopulatorLeftBehind"}
    assert firing["XcopyPopulatorXcopyNotUsed"]["labels"]["host"] == host
    summary = firing["XcopyPopulatorLeftBehind"]["annotations"]["summary"]
    assert summary.startswith(f"populate-leaves left 3 thing(s) behind on host {host} or array 127.0.0.1:")


def test_promtool_finds_the_configuration_valid(tmp_path: Path) -> None:
    """The lab's, which is what a PodMonitor comes to."""
    file = Prometheus(tmp_path, write_rules(tmp_path)).configuration()
    run = subprocess.run(
        ["promtool", "check", "config", file], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_dashboard_is_what_its_code_says() -> None:
    code = [sys.executable, str(ROOT / "deploy/monitoring/dashboard.py")]
    run = subprocess.run(code, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == DASHBOARD.read_text(), "run `make dashboard`"


def test_each_panel_says_what_it_shows_and_has_a_place_of_its_own() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all("$namespace" in query["expr"] for query in panel["targets"])
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels()
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_kustomize_takes_rules_and_dashboard() -> None:
    run = subprocess.run(
        [tool("kubectl"), "kustomize", ROOT / "deploy/monitoring"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    made = {found["kind"]: found for found in yaml.safe_load_all(run.stdout)}
    assert set(made) == {"PrometheusRule", "ConfigMap"}
    assert made["ConfigMap"]["metadata"]["labels"] == {"grafana_dashboard": "1"}
    (file,) = made["ConfigMap"]["data"].values()
    assert json.loads(file) == json.loads(DASHBOARD.read_text())
