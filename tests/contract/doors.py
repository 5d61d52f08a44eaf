"""The three doors to remote services, each as a call that makes one request: by host, port and CA bundle."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lease.kube.api import Api
from populator.address import Address
from populator.clock import Clock
from populator.reach import reach_vcenter
from populator.settings.values import VsphereSettings
from populator.storage.access import Access
from populator.storage.http import Http
from populator.storage.login import Basic

Door = Callable[[str, int, str], None]


def vcenter(host: str, port: int, ca_pem: str) -> None:
    site = VsphereSettings(host, port, "u", "p", ca_pem, insecure=False)
    session = reach_vcenter(site, Clock())
    session._soap.fetch("GET", "/", b"", 10)


def make_doors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Door]:
    """Return the doors; files that the others need lie in the folder."""
    bundle = folder / "bundle.pem"

    def array(host: str, port: int, ca_pem: str) -> None:
        bundle.write_text(ca_pem)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        access = Access(str(Address(host, port)))
        http = Http(access, Clock(), "test", lambda _: ("", ""), Basic(access))
        try:
            http.call("GET", "/", "answer")
        finally:
            http.close()

    def kubernetes(host: str, port: int, ca_pem: str) -> None:
        bundle.write_text(ca_pem)
        cluster = {"server": f"https://{Address(host, port)}", "certificate-authority": str(bundle)}
        config = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        file = folder / "kubeconfig"
        file.write_text(json.dumps(config))
        Api.connect(str(file)).get("/")

    return [vcenter, array, kubernetes]
