"""The alerts of deploy/monitoring, judged by promtool: valid, firing when they should and silent when not."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.program import ROOT
from tests.monitoring.runs import MANIFEST, write_rules

TESTS = ROOT / "tests/monitoring/rules.test.yaml"
RUNBOOK = ROOT / "deploy/docs/monitoring.md"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(MANIFEST.read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: str | Path, folder: Path) -> str:
    run = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    return said


def test_promtool_finds_the_rules_valid(tmp_path: Path) -> None:
    assert f"{len(alerts())} rules found" in promtool(
        "check", "rules", write_rules(tmp_path), folder=tmp_path
    )


def test_each_alert_fires_and_stays_silent_as_promtool_says(tmp_path: Path) -> None:
    write_rules(tmp_path)
    shutil.copy(TESTS, tmp_path)
    assert "SUCCESS" in promtool("test", "rules", TESTS.name, folder=tmp_path)


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for each in yaml.safe_load(TESTS.read_text())["tests"]:
        for case in each.get("alert_rule_test", []):
            (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    names = {rule["alert"] for rule in alerts()}
    assert fires == names
    assert silent == names


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_tells_what_is_wrong_what_to_do_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    told = rule["annotations"]
    assert told["summary"].endswith(".")
    assert told["description"].endswith(".")
    page, _, anchor = told["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOK
    heads = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    labels = set(re.findall(r"\$labels\.(\w+)", " ".join(told.values())))
    assert labels <= set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
