"""Who may speak to a populator's pod and whom it may speak to, and who reads its metrics."""

import re

import yaml

from tests.contract.deploy.cluster import Json
from tests.lab.program import ROOT

DEPLOY = ROOT / "deploy"


def policy() -> Json:
    file = DEPLOY / "components/network-policy/network-policy.yaml"
    found: Json = yaml.safe_load(file.read_text())
    return found


def test_the_network_policy_has_each_port_that_the_arrays_pages_name() -> None:
    open_ports = {port["port"] for rule in policy()["spec"]["egress"] for port in rule["ports"]}
    assert {53, 5353, 443, 6443, 22} <= open_ports
    named: dict[int, set[str]] = {}
    for page in sorted((DEPLOY / "docs/arrays").glob("*.md")):
        for row in page.read_text().splitlines():
            if row.startswith(("| `STORAGE_HOSTNAME`", "| `STORAGE_PORT`")):
                for number in re.findall(r"\b\d{4,5}\b", row):
                    named.setdefault(int(number), set()).add(page.stem)
    assert set(named) == {7443, 8443, 8080, 23451}
    assert set(named) <= open_ports


def test_the_pod_monitor_reads_often_enough_and_finds_pods_by_a_label_that_all_have() -> None:
    spec = yaml.safe_load((DEPLOY / "components/pod-monitor/pod-monitor.yaml").read_text())["spec"]
    assert spec["selector"] == {"matchExpressions": [{"key": "pvcName", "operator": "Exists"}]}
    (endpoint,) = spec["podMetricsEndpoints"]
    assert int(endpoint["interval"].removesuffix("s")) <= 10
    assert (endpoint["port"], endpoint["scheme"]) == ("metrics", "https")


def test_the_populates_pod_is_found_by_both() -> None:
    template = yaml.safe_load((DEPLOY / "jobs/populate/job.yaml").read_text())["spec"]["template"]
    wanted = {term["key"] for term in policy()["spec"]["podSelector"]["matchExpressions"]}
    assert wanted == {"pvcName", "sourceHost"}
    assert wanted <= template["metadata"]["labels"].keys()
    (ports,) = [container["ports"] for container in template["spec"]["containers"]]
    assert ports == [{"name": "metrics", "containerPort": 8443}]
