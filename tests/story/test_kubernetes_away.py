"""The API server stops in the middle of a copy: connections are accepted, and nothing is ever answered."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.lab.kube.real import RealServer
from tests.lab.lab import Lab
from tests.lab.program import Program

pytestmark = pytest.mark.long
AWAY = 60.0
"""seconds; OpenShift asks of its own components to survive that long without an API server"""
END = 28.0
"""seconds from SIGTERM to the end of the process, at most"""


@pytest.fixture(scope="module")
def real_lab() -> Iterator[Lab]:
    with Lab("real") as lab:
        yield lab


def warnings_of(program: Program) -> list[str]:
    """Return what the program said of the lease being lost or in trouble."""
    return [str(line["message"]) for line in program.lines if line["level"] == "warning"]


def test_an_api_server_away_for_a_minute_of_the_copy_is_waited_for(real_lab: Lab) -> None:
    server, host = real_lab.kube.server, real_lab.host
    assert isinstance(server, RealServer)
    target = real_lab.add_target()
    host.copy_seconds = AWAY + 8
    with real_lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        with server.stopped():
            time.sleep(AWAY)
            assert host.running_copies == [target.naa]
        assert program.wait() == 0, program.text()
    assert real_lab.copied(target)
    assert real_lab.leftovers(target) == []
    assert host.clones_started[target.naa] == 1
    assert [said for said in warnings_of(program) if "Trying again" in said]
    assert not [said for said in warnings_of(program) if "going on without it" in said]


def test_one_that_never_comes_back_does_not_keep_it_from_tearing_down(real_lab: Lab) -> None:
    real_lab.tidy()
    server, host = real_lab.kube.server, real_lab.host
    assert isinstance(server, RealServer)
    target = real_lab.add_target()
    host.copy_seconds = 8.0
    environment: dict[str, str | None] = {"HOST_LEASE_DURATION_SECONDS": "5"}
    with real_lab.program(target, environment=environment) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        with server.stopped():
            assert program.wait() == 0, program.text()
    assert real_lab.copied(target)
    assert [left for left in real_lab.leftovers(target) if "is held by" not in left] == []
    said = warnings_of(program)
    assert [one for one in said if "is lost; going on without it, to tidy up" in one]
    assert [one for one in said if "expires by itself" in one]


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_sigterm_meanwhile_puts_everything_back_in_time(real_lab: Lab, scope: str) -> None:
    real_lab.tidy()
    server, host = real_lab.kube.server, real_lab.host
    assert isinstance(server, RealServer)
    target = real_lab.add_target()
    host.copy_seconds = AWAY
    with real_lab.program(target, environment={"HOST_LEASE_SCOPE": scope}) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        with server.stopped():
            time.sleep(6.0)  # a renewal hangs then
            program.signal(signal.SIGTERM)
            began = time.monotonic()
            assert program.wait(60) == 9, program.text()
            assert time.monotonic() - began <= END
    assert program.message["reason"] == "Cancelled"
    assert host.running_copies == []
    assert [left for left in real_lab.leftovers(target) if "is held by" not in left] == []
