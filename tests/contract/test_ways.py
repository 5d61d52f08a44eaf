"""Ways to vCenter, array and Kubernetes: IPv6, and proxies that the environment names, dead ones too."""

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lease.kube.api import ApiError
from populator.address import Address
from populator.errors import StorageError
from populator.proxy import find_proxy, parse_proxy
from tests.contract.doors import Door, make_doors
from tests.lab.arrays.rest import Reply, RestServer
from tests.lab.pki import Pki
from tests.lab.tunnel import ConnectProxy, Relay
from vsphere.errors import VsphereError

ANSWER = Reply(200, {"kind": "Status", "apiVersion": "v1"})
"""good enough for each door"""
BASIC = f"Basic {base64.b64encode(b'user:ge heim').decode()}"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def server(pki: Pki) -> Iterator[RestServer]:
    with RestServer("server", pki.server_context("server"), lambda _: ANSWER) as server:
        yield server


@pytest.fixture(params=["vcenter", "array", "kubernetes"])
def door(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    doors = make_doors(tmp_path, monkeypatch)
    return doors[["vcenter", "array", "kubernetes"].index(request.param)]


def refusal(door: Door, pki: Pki, host: str = "127.0.0.1", port: int = 1) -> str:
    try:
        door(host, port, pki.ca_pem)
    except (VsphereError, StorageError, ApiError) as error:
        said = f"{error.text} {error.hint}"
        assert "heim" not in said
        return said
    raise AssertionError("the door let us through")


def test_a_service_is_reached_and_verified_by_ipv6(door: Door, server: RestServer, pki: Pki) -> None:
    with Relay(("127.0.0.1", server.port)) as relay:
        door("::1", relay.port, pki.ca_pem)
        assert len(server.calls) == 1
        door("::1%1", relay.port, pki.ca_pem)  # the zone of loopback by its number
    assert len(server.calls) == 2


def test_an_ipv6_address_that_the_certificate_does_not_have_is_refused(
    door: Door, pki: Pki, tmp_path: Path
) -> None:
    cert = pki.issue("v4", "127.0.0.1", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert.cert_file, cert.key_file)
    with (
        RestServer("v4", context, lambda _: ANSWER) as server,
        Relay(("127.0.0.1", server.port)) as relay,
    ):
        assert "not trusted" in refusal(door, pki, "::1", relay.port)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_proxy_that_the_environment_names_is_used(
    door: Door, server: RestServer, pki: Pki, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with ConnectProxy(BASIC) as proxy, Relay(("127.0.0.1", server.port)) as relay:
        port = relay.port if host == "::1" else server.port
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:ge%20heim@127.0.0.1:{proxy.port}")
        door(host, port, pki.ca_pem)
        assert proxy.asked == [f"{'[::1]' if host == '::1' else host}:{port}"]
        assert len(server.calls) == 1
        monkeypatch.setenv("NO_PROXY", f"example.com,{host}")
        door(host, port, pki.ca_pem)
        assert len(proxy.asked) == 1
    assert len(server.calls) == 2


def test_a_dead_proxy_is_named(door: Door, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy() as proxy:
        port = proxy.port
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:ge%20heim@127.0.0.1:{port}")
    said = refusal(door, pki)
    assert f"through the proxy 127.0.0.1:{port}" in said
    assert "refuse" in said
    assert "HTTPS_PROXY" in said
    assert "NO_PROXY" in said
    monkeypatch.setenv("HTTPS_PROXY", "proxy.invalid:3128")
    said = refusal(door, pki)
    assert "through the proxy proxy.invalid:3128" in said


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "503 Overloaded"])
def test_a_proxy_that_lets_nobody_through_is_named(
    door: Door, pki: Pki, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    with ConnectProxy(status=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:ge%20heim@127.0.0.1:{proxy.port}")
        said = refusal(door, pki)
    assert f"proxy 127.0.0.1:{proxy.port}" in said
    assert status in said


def test_a_certificate_is_verified_through_a_proxy_too(
    door: Door, server: RestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert "not trusted" in refusal(door, Pki(tmp_path / "other"), "127.0.0.1", server.port)
        assert proxy.asked != []


@pytest.mark.parametrize(
    "proxy", ["socks5://h:1", "http://", "http://[::1", "ftp://h", "h:port", "http://u:heim\udce9@h"]
)
def test_a_proxy_that_cannot_be_used_is_an_error(
    door: Door, pki: Pki, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert "HTTPS_PROXY" in refusal(door, pki)


def test_the_rules_are_those_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "https://proxy.example")
    monkeypatch.setenv("no_proxy", "192.0.2.0/24,.example.com")
    assert find_proxy(Address("192.0.2.7", 443)) is None
    assert find_proxy(Address("vc.example.com")) is None
    found = find_proxy(Address("vc.example.org", 443))
    assert (str(found), found and found.scheme) == ("proxy.example:80", "https")
    assert parse_proxy("[::1]:3128").host == "::1"
    assert "heim" not in repr(parse_proxy("http://user:geheim@h"))
