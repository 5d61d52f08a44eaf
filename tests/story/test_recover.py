"""After the night: `populator recover` in the lab, after runs that were killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.lab.arrays import iscsi
from tests.lab.faults import Call
from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target
from tests.lab.program import ROOT
from tests.lab.waiting import wait_until
from tests.story.comparisons import be_slow
from vsphere.wrapper import key_line

SSH = "--esxi-clone-method=ssh"
SHORT = {"HOST_LEASE_DURATION_SECONDS": "3"}


class Killer:
    """A rule of the ledger: kills the program with the first call that has these words."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.pid = 0
        self.done = False

    def __call__(self, call: Call) -> str | None:
        if self.pid and not self.done and self.words in call.label:
            self.done = True
            os.kill(self.pid, signal.SIGKILL)
        return None


def killed(lab: Lab, words: str, **environment: str | None) -> Target:
    """Run a populator that is killed with a call, and return its volume."""
    target, killer = lab.add_target(), Killer(words)
    lab.ledger.reset(killer)
    with lab.program(target, environment={**SHORT, **environment}) as program:
        killer.pid = program.pid
        assert program.wait() == -signal.SIGKILL, program.text()
    assert killer.done
    lab.ledger.reset()
    return target


def recover(lab: Lab, *words: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command; return its exit code, its items, and what it said."""
    variables: Mapping[str, str] = {**lab.environment(), **SHORT, **environment, "HOSTNAME": "admin"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "populator",
            "recover",
            f"--storage-vendor-product={lab.array.vendor}",
            f"--namespaces={TARGET_NAMESPACE}",
            "--output=json",
            *words,
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    items = json.loads(done.stdout)["items"] if done.stdout else []
    return done.returncode, items, done.stderr


def when_expired(lab: Lab, *words: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
    """Look without changing anything, once both Leases of a killed run have expired."""
    code, items, said = recover(lab, *words, **environment)
    while not items or any("is at work" in what for what in found(items)):
        code, items, said = recover(lab, *words, **environment)
    return code, items, said


def found(items: list[dict[str, Any]]) -> set[str]:
    return {item["found"] for item in items}


def states(items: list[dict[str, Any]]) -> set[str]:
    return {item["state"] for item in items}


@pytest.mark.parametrize(
    "words",
    [
        "POST /api/protocols/san/igroups",
        "adapter.rescan",
        "taskGet",
        "device.set",
        "POST /api/protocols/san/lun-maps",
        "vmkfstools.verify",
    ],
)
def test_all_that_a_killed_run_has_left_is_shown_and_put_in_order(lab: Lab, words: str) -> None:
    state = lab.array.state()
    target = killed(lab, words)
    wait_until(lambda: not lab.host.running_copies)
    code, items, said = when_expired(lab)
    assert (code, states(items)) == (10, {"left"}), (items, said)
    assert {item["pvc"] for item in items} == {f"{TARGET_NAMESPACE}/{target.pvc}"}
    code, items, said = recover(lab, "--apply")
    assert (code, states(items)) == (0, {"mended"}), (items, said)
    assert lab.leftovers(target) == []
    assert lab.array.state() == state
    assert recover(lab, "--apply")[:2] == (0, [])


def test_a_comparison_that_a_killed_run_has_left_is_shown_and_ended(lab: Lab) -> None:
    target = lab.add_target()
    be_slow(lab.host)
    with lab.program(target, environment={**SHORT}) as program:
        wait_until(lambda: lab.host.readers(target.naa), 60)
        program.signal(signal.SIGKILL)
        program.wait()
    code, items, said = when_expired(lab)
    assert (code, states(items)) == (10, {"left"}), (items, said)
    assert f"A comparison of bytes reads device {target.naa}" in found(items)
    assert lab.host.readers(target.naa)
    code, items, said = recover(lab, "--apply")
    assert (code, states(items)) == (0, {"mended"}), (items, said)
    assert "ended" in {item["next"] for item in items}
    assert lab.leftovers(target) == []
    assert not lab.host.readers(target.naa)


def test_an_upload_that_a_killed_run_has_left_is_shown_and_removed(lab: Lab) -> None:
    ssh = lab.start_ssh()
    target = killed(lab, "PUT /folder/", **ssh)
    again = {name: value for name, value in ssh.items() if value is not None}
    halves = lab.leftovers(target)
    assert any(key_line.SCRIPT in half for half in halves)
    code, items, said = when_expired(lab, SSH, **again)
    assert (code, states(items)) == (10, {"left"}), (items, said)
    assert any("lies unfinished on the datastore" in what for what in found(items))
    assert lab.leftovers(target) == halves
    code, items, said = recover(lab, SSH, "--apply", **again)
    assert (code, states(items)) == (0, {"mended"}), (items, said)
    assert lab.leftovers(target) == []


def test_a_group_of_which_no_lease_speaks_is_shown_and_left(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment={**SHORT}) as program:
        wait_until(lambda: lab.host.running_copies, 60)
        assert recover(lab)[:2] == (0, []), "what a living run has made is its own"
        program.signal(signal.SIGTERM)
        assert program.wait() == 9, program.text()
    group = lab.array.add_group("xcopy-hostsystem-host-77-iscsi", [iscsi("iqn.1998-01.com.vmware:esx-77")])
    lab.array.add_group("xcopy-backup", [iscsi("iqn.1998-01.com.vmware:esx-78")])
    lab.array.add_map(lab.array.add_volume(), group)
    state = lab.array.state()
    for words in ((), ("--apply",)):
        code, [item], _ = recover(lab, *words)
        assert (code, item["state"], item["host"], item["pvc"]) == (10, "unknown", "host-77", None)
        assert item["found"].startswith(
            "Group xcopy-hostsystem-host-77-iscsi on the array shows /vol/trident_pvc"
        )
    assert lab.array.state() == state


def test_a_look_changes_nothing(lab: Lab) -> None:
    killed(lab, "device.set")
    when_expired(lab)
    lab.ledger.reset()
    before = (
        lab.array.state(),
        lab.kube.lease_holders(TARGET_NAMESPACE),
        lab.kube.lease_holders(LEASE_NAMESPACE),
    )
    code, items, _ = recover(lab)
    assert (code, states(items)) == (10, {"left"})
    assert (
        lab.array.state(),
        lab.kube.lease_holders(TARGET_NAMESPACE),
        lab.kube.lease_holders(LEASE_NAMESPACE),
    ) == before
    assert [
        call.label
        for call in lab.ledger.calls
        if call.service != "vcenter" and not call.label.startswith("GET ")
    ] == []
    esxcli = {call.label for call in lab.ledger.of("vcenter") if call.label.startswith("esxcli")}
    assert {label for label in esxcli if not label.endswith(("list", "taskList", "version"))} == set()


def test_a_copy_that_runs_is_not_touched_and_the_next_run_follows_it(lab: Lab) -> None:
    lab.host.copy_seconds = 90.0
    target = killed(lab, "taskGet")
    when_expired(lab)
    code, items, said = recover(lab, "--apply")
    assert (code, states(items)) == (10, {"kept"}), said
    (task,) = [
        item for item in items if "copies [ds one]" in item["found"] or "/vmfs/volumes/" in item["found"]
    ]
    assert "esxcli vmkfstools taskStop -i" in task["next"]
    assert lab.san.mappings(target.naa)
    assert lab.host.device_status(target.naa) == "on"
    assert lab.host.running_copies == [target.naa]
    with lab.program(target, environment={**SHORT}) as program:
        assert program.wait() == 0, program.text()
    assert lab.host.clones_started[target.naa] == 1
    assert lab.copied(target)
    assert [left for left in lab.leftovers(target) if "is held by" not in left] == []


def test_a_living_run_is_left_alone(lab: Lab) -> None:
    lab.host.copy_seconds = 20.0
    target = lab.add_target()
    with lab.program(target) as program:
        program.wait_for_phase("clone")
        assert recover(lab, "--apply")[:2] == (0, [])
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []


def test_an_array_that_is_away_is_said_and_nothing_is_lost(lab: Lab) -> None:
    target = killed(lab, "device.set")
    when_expired(lab)
    left = lab.leftovers(target)
    lab.ledger.reset(lambda call: "before" if call.service == "array" else None)
    code, items, said = recover(lab, "--apply", STORAGE_HTTP_TIMEOUT_SECONDS="2")
    assert (code, states(items)) == (10, {"unknown", "kept"}), said
    lab.ledger.reset()
    assert [each for each in lab.leftovers(target) if "is held by" not in each] == [
        each for each in left if "is held by" not in each
    ]
    wait_until(lambda: recover(lab, "--apply")[0] == 0)
    assert lab.leftovers(target) == []


def test_a_volume_of_another_vendor_is_named_and_left_alone(lab: Lab) -> None:
    target = killed(lab, "device.set")
    when_expired(lab)
    left = lab.leftovers(target)
    code, items, _ = recover(lab, "--storage-vendor-product=powerstore", "--apply")
    assert (code, states(items)) == (10, {"unknown", "kept"})
    assert {item["found"] for item in items if item["state"] == "unknown"} == {
        "The volume is on an array of vendor ontap"
    }
    assert lab.leftovers(target) == left


def test_a_volume_that_is_gone_leaves_a_device_that_may_be_anothers(lab: Lab) -> None:
    target = killed(lab, "taskClean")
    when_expired(lab)
    lab.kube.admin.delete(path("persistentvolumes", name=target.volume.name))
    code, items, _ = recover(lab, "--apply")
    assert (code, states(items)) == (10, {"kept"}), [item["found"] for item in items]
    assert any("no PersistentVolume leads to it" in item["found"] for item in items)
    assert lab.host.device_status(target.naa) == "on"


def test_settings_that_are_missing_are_all_named(lab: Lab) -> None:
    code, items, said = recover(lab, "--namespaces=NO,ok", GOVMOMI_PASSWORD="", STORAGE_PASSWORD="")
    assert (code, items) == (2, [])
    assert all(name in said for name in ("--namespaces: 'NO'", "--vsphere-password", "--storage-password"))
