"""`populator top` beside runs of the lab: one that copies and is done, one that waits for a slot, one that dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from lease.record import HOST_LABEL, micro_time
from tests.lab.kube import path
from tests.lab.kube.forklift import populator, serve_populators, set_status
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target
from tests.lab.program import ROOT, Program

Item = dict[str, Any]
SHORT = {"HOST_LEASE_DURATION_SECONDS": "3"}
"""renewals each second, so that percent is fresh"""


class Top:
    """`populator top -o json` under way; what it printed so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.items: list[Item] = []

    def wait_for(self, wanted: Callable[[Item], bool]) -> Item:
        """Read items until one is as wanted."""
        assert self._process.stdout
        lines: list[str] = []
        for line in self._process.stdout:
            lines.append(line)
            if line == "}\n":
                item: Item = json.loads("".join(lines))
                lines = []
                self.items.append(item)
                if wanted(item):
                    return item
        raise AssertionError(f"it ended: {self.items}")

    def of(self, target: Target) -> list[Item]:
        """Return what was said of one volume."""
        return [item for item in self.items if item["uid"] == target.uid]


@contextmanager
def top(lab: Lab) -> Iterator[Top]:
    where = [
        f"--kubeconfig={lab.kube.kubeconfig(lab.directory / 'top')}",
        f"--lease-namespace={LEASE_NAMESPACE}",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "populator", "top", *where, "-o", "json"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Top(process)
        finally:
            process.kill()


def run(lab: Lab, target: Target, **environment: str | None) -> Program:
    pod = {"HOSTNAME": f"populate-{target.uid}"}
    return lab.program(target, environment={**SHORT, **pod, **environment}, scrape_interval=0.2)


def of(target: Target, state: str) -> Callable[[Item], bool]:
    return lambda item: (item["uid"], item["state"]) == (target.uid, state)


def occupy(lab: Lab) -> list[str]:
    """Take both slots of the host for long, and return them."""
    slots, now = [], micro_time(datetime.now(UTC))
    for number in range(2):
        name = f"esxi-lock-{lab.host.moid}-slot-{number}"
        spec = {
            "holderIdentity": "somebody",
            "leaseDurationSeconds": 3600,
            "acquireTime": now,
            "renewTime": now,
        }
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "labels": {HOST_LABEL: lab.host.moid}},
            "spec": spec,
        }
        lab.kube.admin.create(path("leases", LEASE_NAMESPACE), lease)
        slots.append(path("leases", LEASE_NAMESPACE, name))
    return slots


@pytest.mark.long
@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_a_run_is_seen_to_begin_to_copy_and_to_be_done(lab: Lab, scope: str) -> None:
    serve_populators(lab.kube.admin)
    target = lab.add_target()
    lab.host.copy_seconds = 12.0
    name = f"populator-{target.pvc}"
    disk = lab.arguments(target)["source-vmdk"]
    wanted = populator(name, TARGET_NAMESPACE, disk, (target.pvc, target.uid))
    lab.kube.admin.create(path("vspherexcopyvolumepopulators", TARGET_NAMESPACE), wanted)
    try:
        with top(lab) as seen:
            assert seen.wait_for(of(target, "waiting"))["phase"] == "not started"
            with run(lab, target, HOST_LEASE_SCOPE=scope) as program:
                done = seen.wait_for(of(target, "done"))
                assert program.wait() == 0, program.text()
            set_status(lab.kube.admin, name, TARGET_NAMESPACE, {"progress": "100", "result": "success"})
    finally:
        lab.kube.admin.delete(path("vspherexcopyvolumepopulators", TARGET_NAMESPACE, name))
    copying = [
        item for item in seen.of(target) if item["phase"] == "clone" and item["percent"]
    ]  # at 0 % there is no rate
    percents = [item["percent"] for item in copying]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 4, percents
    assert all(item["rate"] > 0 and item["etaSeconds"] >= 0 for item in copying)
    assert {item["host"] for item in copying} == {lab.host.moid}
    assert {item["hostName"] for item in copying} == {lab.host.name}
    assert (done["percent"], done["pvc"], done["populator"], done["disk"]) == (100, target.pvc, name, disk)
    assert [item["state"] for item in seen.of(target)].count("failed") == 0


def test_one_that_waits_for_a_slot_is_seen_to_and_goes_on(lab: Lab) -> None:
    target, slots = lab.add_target(), occupy(lab)
    with top(lab) as seen, run(lab, target) as program:
        waiting = seen.wait_for(of(target, "waiting"))
        assert waiting["phase"] == "wait for a slot of the host"
        assert (waiting["hostName"], waiting["lease"]) == (lab.host.name, None)
        for slot in slots:
            lab.kube.admin.change(slot, lambda lease: lease["spec"].update(holderIdentity=""))
        seen.wait_for(of(target, "done"))
        assert program.wait() == 0, program.text()


def test_one_that_is_killed_failed_and_where(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with top(lab) as seen, run(lab, target) as program:
        seen.wait_for(lambda item: item["uid"] == target.uid and item["phase"] == "clone")
        began = time.monotonic()
        program.signal(signal.SIGKILL)
        failed = seen.wait_for(of(target, "failed"))
        assert time.monotonic() - began < 20, "the duration, and a watch's end"
    assert failed["why"] == "Its pod died or was cut off in phase 'clone'."
    lab.host.wrapper.tasks.clear()


def test_one_that_failed_says_why(lab: Lab) -> None:
    target = lab.add_target()
    with top(lab) as seen, run(lab, target, STORAGE_PASSWORD="wrong") as program:
        failed = seen.wait_for(of(target, "failed"))
        assert program.wait() != 0
    assert failed["why"] == program.message["text"]
