"""What the simulated VSP refuses, and how its sessions and jobs go, where Hitachi's own clients do not look."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.lab.arrays.vantara.lab import DATASTORE, PASSWORD, READER, USER, VantaraLab
from tests.lab.arrays.vantara.server import VantaraSimulator
from tests.lab.arrays.vantara.system import Failure, SimPath
from tests.lab.pki import Pki
from tests.lab.san import San

WWN, IQN = "20000025b5aa0001", "iqn.1998-01.com.vmware:esx-1"
LUN = {"portId": "CL1-A", "hostGroupNumber": 1, "ldevId": DATASTORE}
Ask = Callable[..., requests.Response]


@pytest.fixture
def sim(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VantaraSimulator]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.ca_file))
    with VantaraLab(pki, San(tmp_path / "san")) as lab:
        lab.simulator.add_group("CL1-A", "esx1", [WWN])
        yield lab.simulator


@pytest.fixture
def ask(sim: VantaraSimulator) -> Ask:
    return log_in(sim, USER)


def log_in(sim: VantaraSimulator, user: str) -> Ask:
    """Return what makes calls in a session, with and without the array in their path."""
    url = f"https://{sim.address}{sim.base}/"
    answer = requests.post(f"{url}sessions", auth=(user, PASSWORD), json={}, timeout=10)
    session = {"Authorization": f"Session {answer.json().get('token')}"}

    def call(
        method: str, what: str, body: Any = None, *, wait: int = 0, bare: bool = False, **query: str
    ) -> Any:
        headers = session | (
            {"Response-Job-Status": "Completed;", "Response-Max-Wait": str(wait)} if wait else {}
        )
        where = url.replace(f"/storages/{sim.device_id}", "") if bare else url
        return requests.request(method, where + what, params=query, json=body, headers=headers, timeout=10)

    return call


@pytest.mark.parametrize(
    ("method", "what", "body", "query", "status"),
    [
        ("GET", "fridges", None, {}, 404),
        ("PUT", "luns", {}, {}, 404),
        ("GET", "ldevs", None, {"colour": "red"}, 400),
        ("GET", "ldevs", None, {"count": "0"}, 400),
        ("GET", "ldevs", None, {"count": "many"}, 400),
        ("GET", "ldevs", None, {"ldevOption": "red"}, 400),
        ("GET", "ldevs/many", None, {}, 400),
        ("GET", "ldevs/7", None, {"colour": "red"}, 400),
        ("GET", "ports", None, {"portType": "NVME"}, 400),
        ("GET", "ports/CL9-Z", None, {}, 404),
        ("GET", "host-groups/CL1-A,9", None, {}, 404),
        ("GET", "host-wwns", None, {"portId": "CL1-A"}, 400),
        ("GET", "host-wwns", None, {"portId": "CL9-Z", "hostGroupNumber": "1"}, 404),
        ("GET", "host-iscsis", None, {"portId": "CL1-A", "hostGroupNumber": "1"}, 400),
        ("GET", "luns", None, {"portId": "CL1-A"}, 400),
        ("GET", "luns/CL1-A,1,5", None, {}, 404),
        ("GET", "jobs/99", None, {}, 404),
        ("GET", "sessions/99", None, {}, 404),
        ("POST", "luns", {"portId": "CL1-A", "hostGroupNumber": 1}, {}, 400),
        ("POST", "luns", LUN | {"colour": "red"}, {}, 400),
        ("POST", "luns", LUN | {"lun": "many"}, {}, 400),
        ("POST", "luns", LUN | {"lun": True}, {}, 400),
        ("POST", "luns", LUN | {"hostGroupNumber": 9}, {}, 404),
        ("DELETE", "luns/CL1-A,1", None, {}, 400),
        ("DELETE", "luns/CL1-A,1,one", None, {}, 400),
    ],
)
def test_what_makes_no_sense_is_refused(
    sim: VantaraSimulator, ask: Ask, method: str, what: str, body: Any, query: dict[str, str], status: int
) -> None:
    reply = ask(method, what, body, **query)
    assert (reply.status_code, reply.json()["messageId"][:5]) == (
        status,
        "KART3" if status == 404 else "KART4",
    )
    assert len(sim.paths) == 1


def test_numbers_may_be_texts(sim: VantaraSimulator, ask: Ask) -> None:
    """As Forklift's populator sends them."""
    reply = ask("POST", "luns", LUN | {"ldevId": str(DATASTORE), "lun": "5"}, wait=5, bare=True)
    assert (reply.status_code, reply.json()["state"]) == (202, "Succeeded")
    assert sim.paths[-1] == SimPath(DATASTORE, "CL1-A,1", 5)


def test_a_job_goes_on_by_itself_and_is_waited_for_where_that_is_asked_for(
    sim: VantaraSimulator, ask: Ask
) -> None:
    first = ask("POST", "luns", LUN).json()
    assert (first["status"], first["state"], "affectedResources" in first) == (
        "Initializing",
        "Queued",
        False,
    )
    assert len(sim.paths) == 2
    shown = ask("GET", f"jobs/{first['jobId']}").json()
    assert (shown["status"], shown["state"]) == ("Completed", "Succeeded")
    assert shown["affectedResources"][0].endswith("/luns/CL1-A,1,0")
    sim.looks = 1
    second = ask("DELETE", "luns/CL1-A,1,0", wait=5).json()
    states = [ask("GET", f"jobs/{second['jobId']}").json()["status"] for _ in range(2)]
    assert (second["status"], states) == ("Initializing", ["Running", "Completed"])
    assert len(sim.paths) == 1


def test_who_may_only_view_changes_nothing(sim: VantaraSimulator) -> None:
    reader = log_in(sim, READER)
    assert reader("GET", "ldevs/7").status_code == 200
    assert reader("POST", "luns", LUN).status_code == 403
    assert len(sim.paths) == 1


def test_sessions_are_few_and_forgotten_when_idle(sim: VantaraSimulator, ask: Ask) -> None:
    assert requests.get(f"https://{sim.address}{sim.base}/ldevs/7", timeout=10).status_code == 401
    url = f"https://{sim.address}{sim.base}/sessions"
    sim.most_sessions = 1
    assert requests.post(url, auth=(USER, PASSWORD), json={}, timeout=10).status_code == 503
    assert ask("GET", "ldevs/7").status_code == 200
    sim.idle_seconds = 0.0
    assert ask("GET", "ldevs/7").status_code == 401
    assert sim.sessions == {}


def test_an_initiator_is_in_one_host_group_of_a_port(sim: VantaraSimulator) -> None:
    with pytest.raises(Failure, match=r"registered in CL1-A,1"):
        sim.add_group("CL1-A", "another", [WWN])
    sim.add_group("CL2-A", "another", [WWN])
    for port, initiator in (("CL5-A", WWN), ("CL1-A", IQN)):
        with pytest.raises(Failure, match="cannot be registered"):
            sim.add_group(port, "odd", [initiator])


def test_names_are_those_of_hitachis_own_formula(sim: VantaraSimulator) -> None:
    """As its Ansible modules compute them for a VSP E with a port 50060e8008753401."""
    sim.wwn, sim.serial = 0x08753400, 715010
    assert sim.naa(171) == "60060e800875340050703aa2000000ab"
