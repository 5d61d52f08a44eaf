"""Preflights in the lab, made by the program's own parts in this process with the environment that a pod would have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from lease.record import leases_path
from populator.preflight.line import Line, Mark, Section
from populator.settings.preflight import parse_preflight
from populator.settings.values import PreflightSettings
from populator.stories.preflight import preflight
from populator.wiring_preflight import RealLooksParts
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target

DEFAULTS = {
    "parallel": "4",
    "storage-skip-ssl-verification": "false",
    "storage-http-timeout-seconds": "30",
    "vsphere-insecure": "false",
    "metrics-path": "/metrics",
}
BY_VARIABLE = {
    "vsphere-hostname": "GOVMOMI_HOSTNAME",
    "vsphere-username": "GOVMOMI_USERNAME",
    "vsphere-password": "GOVMOMI_PASSWORD",
    "vsphere-insecure": "GOVMOMI_INSECURE",
    "storage-hostname": "STORAGE_HOSTNAME",
    "storage-username": "STORAGE_USERNAME",
    "storage-password": "STORAGE_PASSWORD",
    "storage-token": "STORAGE_TOKEN",
    "esxi-clone-method": "ESXI_CLONE_METHOD",
    "kubeconfig": "KUBECONFIG",
    "copy-hosts": "COPY_HOSTS",
}
READING = re.compile(
    r"(GET|POST /apis/auth(orization|entication)\.k8s\.io/v1/selfsubject\w+) ?.*|Login|Logout|Retrieve\w+|CurrentTime|"
    r"QueryDateTime|HasPrivilegeOnEntities|CreateContainerView|DestroyView|esxcli \S+\.(get|list|version)"
)
"""the calls that change nothing: sessions, reviews and views come and go"""


@dataclass
class Preflight:
    """Looks in one lab, as often as is asked for; `environment` goes over the pod's."""

    lab: Lab
    monkeypatch: pytest.MonkeyPatch

    def settings(
        self,
        target: Target | None = None,
        *vms: str,
        environment: dict[str, str | None] | None = None,
        **source: str,
    ) -> PreflightSettings:
        given = {
            key: value
            for key, value in (self.lab.environment() | (environment or {})).items()
            if value is not None
        }
        self.monkeypatch.setenv("REQUESTS_CA_BUNDLE", given["REQUESTS_CA_BUNDLE"])
        arguments: dict[str, str | None] = {**DEFAULTS, "storage-vendor-product": self.lab.array.vendor}
        arguments |= {name: given[key] for name, key in BY_VARIABLE.items() if key in given}
        if target is not None:
            arguments |= self.lab.arguments(target, **source)
        return parse_preflight(arguments, vms, "", given)

    def look(self, *what: Any, **how: Any) -> list[Section]:
        return preflight(RealLooksParts(self.settings(*what, **how)))


def lines_of(sections: Sequence[Section], *marks: Mark) -> list[Line]:
    return [line for section in sections for line in section.lines if not marks or line.mark in marks]


def shown(sections: Sequence[Section]) -> str:
    return "\n".join(
        f"{line.mark:<12} {line.check:<16} {line.text} > {line.mend}" for line in lines_of(sections)
    )


def changing(lab: Lab) -> set[str]:
    """Return the calls of which it is not known that they change nothing."""
    return {call.label for call in lab.ledger.calls if not READING.fullmatch(call.label)}


def state(lab: Lab) -> object:
    """Return all that a run could leave behind: on the array, on the hosts, on datastores, in the cluster."""
    leases = [
        lab.kube.admin.list(leases_path(namespace)) for namespace in (LEASE_NAMESPACE, TARGET_NAMESPACE)
    ]
    hosts = [(list(host.stack.devices), host.detached, host.history) for host in lab.hosts.values()]
    files = sorted(
        str(file) for file in (lab.directory / "datastores").rglob("*") if file.name != "vmware.log"
    )
    return lab.array.state(), hosts, files, leases
