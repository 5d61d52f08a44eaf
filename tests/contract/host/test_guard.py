"""What is disruptive leaves in the moment in which its guard is asked: connected and logged in before, never later."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from populator.clock import Clock
from populator.reach import repeat
from tests.lab.faults import Call, Ledger, proxy
from tests.lab.lab import VCENTER_PASSWORD, VCENTER_USER, Lab
from vsphere.host.esxcli import Esxcli
from vsphere.vcenter.session import Session

SLOW = 1.5
"""seconds that connecting, or logging in, takes"""


class Lost(Exception):
    """The slot was lost."""


class Gate:
    """A guard that notes when it was asked, and closes at some time."""

    def __init__(self, closes_after: float = float("inf")) -> None:
        self.asked: list[float] = []
        self._closes = time.monotonic() + closes_after

    def __call__(self) -> None:
        now = time.monotonic()
        self.asked.append(now)
        if now > self._closes:
            raise Lost


def is_rescan(call: Call) -> bool:
    return call.label.endswith("adapter.rescan")


@contextmanager
def esxcli(lab: Lab, port: int) -> Iterator[Esxcli]:
    """Give the esxcli of the lab's host, logged in at this port and ready."""
    clock = Clock()
    credentials = VCENTER_USER, VCENTER_PASSWORD
    with Session(
        "127.0.0.1", port, *credentials, clock=clock, retry=repeat(clock), ca_pem=lab.pki.ca_pem
    ) as session:
        host = Esxcli(session, lab.host.moid)
        host.ask("storage core adapter list")
        yield host


@pytest.fixture
def host(lab: Lab) -> Iterator[Esxcli]:
    with esxcli(lab, lab.vcenter_port) as host:
        yield host


def rescan(host: Esxcli, gate: Gate, *, fresh: bool = True) -> Any:
    return host.run("storage core adapter rescan", fresh=fresh, guard=gate, type="add", all="1")


@pytest.mark.any_kube
def test_the_guard_is_asked_right_before_the_request(lab: Lab, host: Esxcli) -> None:
    gate = Gate()
    rescan(host, gate)
    (call,) = filter(is_rescan, lab.ledger.calls)
    assert 0 <= call.at - gate.asked[-1] < 1


@pytest.mark.any_kube
def test_a_slow_log_in_is_over_before_the_guard_is_asked(lab: Lab, host: Esxcli) -> None:
    """The session has expired, the log-in takes its time, and the slot is lost meanwhile: nothing is sent again."""
    lab.vcenter.expire_sessions()
    lab.ledger.reset(lambda call: f"pause {SLOW}" if call.label == "Login" else None)
    gate = Gate(closes_after=SLOW / 2)
    with pytest.raises(Lost):
        rescan(host, gate)
    assert len(gate.asked) == 2, "before the request that was refused, and before the next one"
    assert lab.host.history == []


@pytest.mark.any_kube
def test_what_is_made_again_is_guarded_again(lab: Lab, host: Esxcli) -> None:
    lab.ledger.reset(lambda call: "5xx" if is_rescan(call) and len(gate.asked) < 3 else None)
    gate = Gate()
    host.ask("storage core adapter rescan", guard=gate, type="add", all="1")
    assert len(gate.asked) == len(list(filter(is_rescan, lab.ledger.calls))) == 3


@pytest.mark.any_kube
def test_a_slow_connection_is_there_before_the_guard_is_asked(lab: Lab) -> None:
    """A host whose packets are held back for a while: the guard is asked when they come through."""
    ledger = Ledger()
    contexts = lab.pki.server_context("slow-proxy"), lab.pki.client_context()
    with proxy("slow", ("127.0.0.1", lab.vcenter_port), ledger, *contexts) as port, esxcli(lab, port) as host:
        ledger.slow_to_connect = {"slow": SLOW}
        gate = Gate(closes_after=SLOW / 2)
        with pytest.raises(Lost):
            rescan(host, gate)
        ledger.slow_to_connect = {}
    assert lab.host.history == []
