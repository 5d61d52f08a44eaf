"""Requests that are late to leave: none of what is disruptive begins when the slot may be another's by then."""

import pytest

from tests.lab.faults import Call
from tests.lab.lab import Lab

DURATION = 4
"""seconds that a slot is good for"""
SLOW = 6.0
"""seconds that connecting, or logging in, takes"""


class Trouble:
    """From the first request of a step on the API server hangs for the host lease, and the way to vCenter is slow."""

    def __init__(self, lab: Lab, step: str, way: str) -> None:
        self._lab, self._step, self._way = lab, step, way
        self._rescanned = False
        self.began = False
        self.renewed = 0.0
        """when the slot was last renewed"""

    def __call__(self, call: Call) -> str | None:
        if not self.began and self._is_time(call):
            self.began = True
            if self._way == "connection":
                self._lab.ledger.slow_to_connect = {"vcenter": SLOW}
            else:
                self._lab.vcenter.expire_sessions()
        if "esxi-lock" in call.label and call.label.startswith("PUT"):
            if self.began:
                return "hang"
            self.renewed = call.at
        return f"pause {SLOW}" if self.began and call.label == "Login" else None

    def _is_time(self, call: Call) -> bool:
        self._rescanned = self._rescanned or "adapter.rescan" in call.label
        if self._way == "connection":  # the array is asked a last time, right before the copy is started
            return self._rescanned and call.service == "array"
        return self._step in call.label


@pytest.mark.any_kube
@pytest.mark.parametrize(
    ("step", "way"),
    [("adapter.rescan", "log-in"), ("vmkfstools.clone", "log-in"), ("vmkfstools.clone", "connection")],
)
def test_nothing_disruptive_begins_outside_of_its_slots_time(lab: Lab, step: str, way: str) -> None:
    target = lab.add_target()
    trouble = Trouble(lab, step, way)
    lab.ledger.reset(trouble)
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": str(DURATION)}) as program:
        assert program.wait() == 6, program.text()
    assert trouble.began
    assert program.message["reason"] == "LeaseError"
    assert "was not started" in program.message["text"]
    tidying = ("detach", "detached remove", "rescan delete")
    late = [
        operation.name
        for operation in lab.host.history
        if operation.name not in tidying and operation.start > trouble.renewed + DURATION
    ]
    assert late == []
    assert lab.host.clones_started[target.naa] == 0
    assert [left for left in lab.leftovers(target) if target.naa in left] == []
