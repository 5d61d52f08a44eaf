"""The lab's servers take request bodies in chunks, as other people's clients send them."""

import http.client
import json
import socket
import tempfile
from base64 import b64encode
from pathlib import Path

import pytest

from tests.lab.arrays.ontap.server import OntapSimulator
from tests.lab.esxi import EsxcliServer
from tests.lab.faults import Ledger, proxy
from tests.lab.kube import start_kube
from tests.lab.pki import Pki
from tests.lab.san import San

GROUPS = "/api/protocols/san/igroups"
ONTAP = {"Authorization": f"Basic {b64encode(b'admin:ontap-secret').decode()}"}


def chunked(body: object) -> bytes:
    """Return a body in two chunks, one with an extension, and a trailer behind them."""
    raw = json.dumps(body).encode()
    head, tail = raw[:7], raw[7:]
    return b"%x;note=1\r\n%s\r\n%X\r\n%s\r\n0\r\nChecked: no\r\n\r\n" % (len(head), head, len(tail), tail)


def post(
    connection: http.client.HTTPConnection, path: str, body: object, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Post a chunked body and return status and answer; the connection can be used again."""
    connection.putrequest("POST", path)
    for name, value in {"Transfer-Encoding": "chunked", **(headers or {})}.items():
        connection.putheader(name, value)
    connection.endheaders(chunked(body))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("proxied", [False, True])
def test_the_array_and_the_proxies(pki: Pki, tmp_path: Path, proxied: bool) -> None:
    ledger = Ledger()
    with OntapSimulator(San(tmp_path), pki.server_context("ontap")) as array:
        contexts = pki.server_context("proxy"), pki.client_context()
        with proxy("array", ("127.0.0.1", array.port), ledger, *contexts) as proxy_port:
            port = proxy_port if proxied else array.port
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=pki.client_context())
            for name in ("one", "two"):
                group = {"svm": {"name": "svm1"}, "name": name, "os_type": "vmware"}
                assert post(connection, GROUPS, group, ONTAP)[0] == 201
            connection.close()
        assert sorted(group.name for group in array.groups.values()) == ["one", "two"]
    assert len(ledger.calls) == (2 if proxied else 0)


def test_the_kubernetes_api(pki: Pki, tmp_path: Path) -> None:
    with start_kube("simulated", tmp_path, pki) as kube:
        connection = http.client.HTTPSConnection("127.0.0.1", kube.port, context=pki.client_context())
        headers = {
            "Authorization": f"Bearer {kube.server.admin_token}",
            "Content-Type": "application/json",
        }
        for name in ("one", "two"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            assert post(connection, "/api/v1/namespaces", namespace, headers)[0] == 201
        connection.close()


def test_the_hosts() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "esxcli.sock"
        server = EsxcliServer(path)
        try:
            connection = http.client.HTTPConnection("vcenter")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(path))
            for _ in range(2):
                assert post(connection, "/execute", {"host": "host-7"}) == (
                    404,
                    '{"error": "no such host: host-7"}',
                )
            connection.close()
        finally:
            server.close()
