"""What the simulated FlashArray refuses and how it counts, where Pure's own clients do not go."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.lab.arrays.pure.flasharray import Failure
from tests.lab.arrays.pure.lab import USERS
from tests.lab.arrays.pure.query import BadQuery, Filter, page
from tests.lab.arrays.pure.server import PureSimulator
from tests.lab.pki import Pki
from tests.lab.san import San

IQN = "iqn.1998-01.com.vmware:{}"
Ask = Callable[..., requests.Response]


@pytest.fixture
def sim(pki: Pki, tmp_path: Path) -> Iterator[PureSimulator]:
    with PureSimulator(San(tmp_path / "san"), pki.server_context("pure"), dict(USERS)) as running:
        for number in (1, 2):
            running.add_host(f"h{number}", iqns=[IQN.format(number)])
        yield running


@pytest.fixture
def ask(sim: PureSimulator, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.ca_file))
    url, token = f"https://{sim.address}/api/2.26/", {"api-token": USERS["admin"].token}
    session = requests.post(f"{url}login", headers=token, timeout=10).headers["x-auth-token"]

    def call(method: str, resource: str, body: Any = None, **query: str) -> requests.Response:
        headers = {"x-auth-token": session}
        return requests.request(method, url + resource, params=query, json=body, headers=headers, timeout=10)

    return call


def refused(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["errors"][0]["message"]


def test_names_may_be_in_the_body(sim: PureSimulator, ask: Ask) -> None:
    """As Forklift's populator sends them, and the array takes them."""
    volume = sim.add_volume("v", 512)
    reply = ask("POST", "connections", {"host_names": "h1", "volume_names": "v"})
    assert (reply.status_code, reply.json()["items"][0]["lun"]) == (200, 1)
    assert [(item.volume, item.host) for item in sim.connections] == [(volume, "h1")]


@pytest.mark.parametrize(
    ("method", "resource", "body", "query", "status"),
    [
        ("GET", "volumes", None, {"colour": "red"}, 400),
        ("GET", "volumes", None, {"filter": "colour='red'"}, 400),
        ("GET", "volumes", None, {"filter": "name="}, 400),
        ("GET", "volumes", None, {"filter": "name='v' or"}, 400),
        ("GET", "volumes", None, {"limit": "many"}, 400),
        ("GET", "volumes", None, {"continuation_token": "nonsense"}, 400),
        ("GET", "volumes", None, {"names": "v", "ids": "1"}, 400),
        ("GET", "fridges", None, {}, 404),
        ("PATCH", "hosts", {}, {"names": "h1"}, 405),
        ("POST", "connections", {}, {"host_names": "h1"}, 400),
        ("POST", "connections", {}, {"volume_names": "v"}, 400),
        ("POST", "connections", {}, {"volume_names": "v", "host_names": "h1", "host_group_names": "g"}, 400),
        ("POST", "connections", {"lun": "1"}, {"volume_names": "v", "host_names": "h1"}, 400),
        ("POST", "connections", {"lun": None}, {"volume_names": "v", "host_names": "h1"}, 400),
        ("POST", "connections", {"lun": 0}, {"volume_names": "v", "host_names": "h1"}, 400),
        ("POST", "connections", {"lun": 4096}, {"volume_names": "v", "host_names": "h1"}, 400),
        ("POST", "connections", {"colour": 1}, {"volume_names": "v", "host_names": "h1"}, 400),
        ("POST", "connections", {}, {"volume_names": "v,w", "host_names": "h1,h2"}, 400),
        ("DELETE", "connections", None, {"volume_names": "v", "host_names": "h1"}, 400),
        ("POST", "hosts", {"iqns": ["nonsense"]}, {"names": "h3"}, 400),
        ("POST", "hosts", {"iqns": [IQN.format(1)]}, {"names": "h3"}, 400),
        ("POST", "hosts", {"iqns": [IQN.format(3)], "nqns": ["nqn.2014-08.org:3"]}, {"names": "h3"}, 400),
        ("POST", "hosts", {}, {"names": "a b"}, 400),
    ],
)
def test_what_the_array_refuses(
    sim: PureSimulator, ask: Ask, method: str, resource: str, body: Any, query: dict[str, str], status: int
) -> None:
    sim.add_volume("v", 512)
    sim.add_volume("w", 512)
    assert refused(ask(method, resource, body, **query))[0] == status
    assert sim.connections == []
    assert set(sim.hosts) == {"h1", "h2"}


def test_a_host_with_connections_cannot_be_deleted(sim: PureSimulator, ask: Ask) -> None:
    sim.connect(sim.add_volume("v", 512), "h1")
    assert refused(ask("DELETE", "hosts", names="h1")) == (400, "Host still has connections.")


def test_lun_ids_of_hosts_count_up_and_those_of_groups_down(sim: PureSimulator) -> None:
    volumes = [sim.add_volume(f"v{number}", 512) for number in range(260)]
    sim.join("g", "h1", "h2")
    assert [sim.connect(volume, "h1").lun for volume in volumes[:3]] == [1, 2, 3]
    shared = [sim.connect(volume, group="g").lun for volume in volumes[3:257]]
    assert (shared[0], shared[250], shared[251:]) == (254, 4, [255, 256, 257])
    assert sim.connect(volumes[0], "h2").lun == 1
    with pytest.raises(Failure, match="Connection already exists"):
        sim.connect(volumes[3], "h1")


def test_who_sees_what_follows_hosts_and_groups(sim: PureSimulator) -> None:
    volume = sim.add_volume("v", 512)
    sim.join("g", "h1")
    sim.connect(volume, group="g")
    assert sim.san.seers(volume.naa) == {IQN.format(1)}
    sim.join("g", "h2")
    assert sim.san.seers(volume.naa) == {IQN.format(1), IQN.format(2)}
    sim.set_initiators("h1", [IQN.format(9)], [])
    assert sim.san.seers(volume.naa) == {IQN.format(9), IQN.format(2)}
    sim.disconnect(volume, group="g")
    assert sim.san.seers(volume.naa) == frozenset()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name='*at'", ["cat", "bat"]),
        ("name='CAT'", []),
        ("not name='cat' and size>1", ["dog", "bat"]),
        ("name='dog' or name='cat' and size=1", ["cat", "dog"]),
        ("(name='dog' or name='cat') and size=1", ["cat"]),
        ("tags='a'", ["cat", "dog"]),
        ("wild", ["dog"]),
        ("wild='false'", ["cat", "bat"]),
        ("home.name!='yard'", ["cat", "bat"]),
        ("name='?at'", []),
    ],
)
def test_filters(text: str, names: list[str]) -> None:
    records = [
        {"name": "cat", "size": 1, "tags": ["a", "b"], "wild": False, "home": {"name": "house"}},
        {"name": "dog", "size": 3, "tags": ["a"], "wild": True, "home": {"name": "yard"}},
        {"name": "bat", "size": 2, "tags": [], "wild": False, "home": {}},
    ]
    test = Filter(text, tuple(records[0])).test
    assert [record["name"] for record in records if test(record)] == names


def test_a_continuation_token_belongs_to_its_query() -> None:
    records = [{"name": f"v{number}"} for number in range(5)]
    first = page(records, {"filter": "name='v*'", "limit": "2"}, ("name",), 100)
    assert (len(first["items"]), first["more_items_remaining"]) == (2, True)
    token = first["continuation_token"]
    rest = page(records, {"filter": "name='v*'", "limit": "9", "continuation_token": token}, ("name",), 100)
    assert ([record["name"] for record in rest["items"]], rest["continuation_token"]) == (
        ["v2", "v3", "v4"],
        None,
    )
    with pytest.raises(BadQuery):
        page(records, {"filter": "name='w*'", "continuation_token": token}, ("name",), 100)
