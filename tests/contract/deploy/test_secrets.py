"""The Secrets: every key that a pod knows and no other, with values that are read without a complaint."""

import re

import pytest
import yaml

from populator.settings.parse import parse_settings
from populator.storage.registry import VENDORS
from tests.contract.deploy.cluster import Cluster
from tests.lab.program import ROOT
from tests.unit.populator.face import CALL, read_variables, variables_read_elsewhere

DEPLOY = ROOT / "deploy"
COMMENTED = re.compile(r"^  # ((?:[A-Z]+(?:_[A-Z]+)+|cacert): .*)$", re.MULTILINE)
"""a key with its default"""
NOT_OF_PODS = {
    *("HOSTNAME", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"),  # where it runs
    *("ESXI_HOSTS", "RESTART_HOSTD", "SSH_KEY_FILE", "SSH_PUBLIC_KEY", "VIB_PATH"),  # `vib` and `ssh-key`
    "MAX_POPULATOR_INFLIGHT",  # `forecast`
    "REQUESTS_CA_BUNDLE",  # names a file
}
"""settings that are no keys of a Secret"""


def keys_of(file: str) -> dict[str, str]:
    """Return a Secret's keys, those that are commented out, too."""
    text = (DEPLOY / "secrets" / file).read_text()
    found: dict[str, str] = yaml.safe_load(COMMENTED.sub(r"  \1", text))["stringData"]
    return found


def test_each_setting_of_a_pod_is_a_key_of_one_secret() -> None:
    storage, vsphere = keys_of("storage.yaml"), keys_of("vsphere.yaml")
    assert not storage.keys() & vsphere.keys()
    every = read_variables() | variables_read_elsewhere() | {"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    of_pods = every - NOT_OF_PODS - {"_POPULATOR_COMPLETE"}
    assert sorted(storage.keys() | vsphere.keys()) == sorted(of_pods)
    for name, vendor in VENDORS.items():
        assert {option.variable for option in vendor.options} <= storage.keys(), name


@pytest.mark.parametrize("commented", [False, True], ids=["as it is", "every key"])
def test_the_secrets_values_are_read_without_a_complaint(commented: bool) -> None:
    given: dict[str, str] = {}
    for file in ("storage.yaml", "vsphere.yaml"):
        text = (DEPLOY / "secrets" / file).read_text()
        given |= keys_of(file) if commented else yaml.safe_load(text)["stringData"]
    assert all(isinstance(value, str) for value in given.values())
    call = {key: value for key, value in CALL.items() if not key.startswith(("storage", "vsphere", "esxi"))}
    by_option = {
        "storage-vendor-product": "STORAGE_VENDOR",
        "vsphere-hostname": "GOVMOMI_HOSTNAME",
        "vsphere-username": "GOVMOMI_USERNAME",
        "vsphere-password": "GOVMOMI_PASSWORD",
        "storage-hostname": "STORAGE_HOSTNAME",
        "storage-username": "STORAGE_USERNAME",
        "storage-password": "STORAGE_PASSWORD",
        "copy-hosts": "COPY_HOSTS",
        "verify-samples": "VERIFY_SAMPLES",
    }
    call |= {option: given[variable] for option, variable in by_option.items() if variable in given}
    settings = parse_settings(call | {"storage-http-timeout-seconds": "30"}, given)
    assert settings.storage.vendor == "ontap"


def test_the_secrets_are_accepted(cluster: Cluster) -> None:
    for file in ("storage.yaml", "vsphere.yaml"):
        where = cluster.copy / "secrets" / file
        where.write_text(COMMENTED.sub(r"  \1", where.read_text()))
        cluster.kubectl("apply", "-n", "vms", "-f", str(where), "--dry-run=server")
