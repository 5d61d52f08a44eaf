"""TLS at the three doors: the same rule for vCenter, array and Kubernetes, in the oldest Python and the newest.

Since 3.13 Python, and urllib3 with it, demands key identifiers of certificates, which companies' own CAs leave out.
`newest` makes the two as strict in an older Python: they are not ours.
"""

import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3.util.ssl_

from lease.kube.api import ApiError
from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.http import Http
from populator.storage.login import Basic
from tests.contract.doors import Door, make_doors
from tests.lab.arrays.rest import Reply, RestServer
from tests.lab.pki import Pki
from vsphere.errors import VsphereError

ANSWER = Reply(200, {"kind": "Status", "apiVersion": "v1"})
"""good enough for each door"""
STRICT = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT


@pytest.fixture(autouse=True, params=["as it is", "newest"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "as it is" or sys.version_info >= (3, 13):
        return
    lenient = ssl.create_default_context

    def strict(*args: object, **options: object) -> ssl.SSLContext:
        context = lenient(*args, **options)  # type: ignore[arg-type]
        context.verify_flags |= STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    monkeypatch.setattr(urllib3.util.ssl_, "sys", SimpleNamespace(version_info=(3, 13)))


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Door]:
    return make_doors(tmp_path, monkeypatch)


@pytest.fixture
def old_pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki", key_ids=False)


@pytest.fixture
def server(old_pki: Pki) -> Iterator[RestServer]:
    with RestServer("server", old_pki.server_context("server"), lambda _: ANSWER) as server:
        yield server


def test_certificates_without_key_identifiers_are_trusted_at_every_door(
    doors: list[Door], server: RestServer, old_pki: Pki
) -> None:
    for door in doors:
        door("127.0.0.1", server.port, old_pki.ca_pem)
    strict = ssl.create_default_context(cadata=old_pki.ca_pem)
    strict.verify_flags |= STRICT
    with (
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Authority Key Identifier"),
    ):
        strict.wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_servers_own_certificate_in_the_bundle_is_enough(doors: list[Door], old_pki: Pki) -> None:
    cert = old_pki.issue("own")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert.cert_file, cert.key_file)
    with RestServer("own", context, lambda _: ANSWER) as server:
        for door in doors:
            door("127.0.0.1", server.port, cert.cert_file.read_text())


def test_another_ca_and_another_name_are_still_refused(
    doors: list[Door], tmp_path: Path, old_pki: Pki
) -> None:
    other = Pki(tmp_path / "other", key_ids=False)
    cert = old_pki.issue("elsewhere", "elsewhere.example")
    elsewhere = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    elsewhere.load_cert_chain(cert.cert_file, cert.key_file)
    for context in (other.server_context("other"), elsewhere):
        with RestServer("stranger", context, lambda _: ANSWER) as server:
            for door in doors:
                with pytest.raises((VsphereError, StorageError, ApiError), match="not trusted"):
                    door("127.0.0.1", server.port, old_pki.ca_pem)


def http(access: Access) -> Http:
    return Http(access, Clock(), "test", lambda _: ("", ""), Basic(access))


def test_a_bundle_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for file in ("/nowhere.pem", str(tmp_path / "empty"), "/etc/hostname"):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", file)
        with pytest.raises(StorageError, match="REQUESTS_CA_BUNDLE names"):
            http(Access("127.0.0.1:1"))


def test_the_arrays_certificate_is_verified_with_the_systems_store(
    monkeypatch: pytest.MonkeyPatch, server: RestServer, old_pki: Pki
) -> None:
    """Whose place SSL_CERT_FILE tells OpenSSL; the bundle that comes with requests does not count."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(old_pki.ca_file))
    http(Access(f"127.0.0.1:{server.port}")).call("GET", "/", "answer")
