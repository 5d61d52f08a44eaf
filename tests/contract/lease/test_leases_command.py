"""`populator leases` as people call it, against a Kubernetes API with real holders."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from lease.record import micro_time
from tests.lab.kube import Kube, Refused, path
from tests.lab.program import ROOT

RBAC = "rbac.authorization.k8s.io"
DURATION = 3


@dataclass
class World:
    """A namespace of leases, an administrator, and a user with the rights that it is granted."""

    kube: Kube
    namespace: str
    directory: Path

    def viewer(self, *verbs: str) -> Path:
        """Return the kubeconfig of somebody who may do these things with leases, and nothing else."""
        metadata = {"name": "viewer", "namespace": self.namespace}
        rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": list(verbs)}
        role = {"kind": "Role", "name": "viewer", "apiGroup": RBAC}
        subject = {"kind": "ServiceAccount", **metadata}
        for body in (
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": role,
                "subjects": [subject],
            },
        ):
            self.kube.admin.apply(body)
        token = self.kube.service_account_token(self.namespace, "viewer")
        self._wait_until_granted(token, verbs)
        return self.kube.kubeconfig(self.directory / "viewer", token=token)

    def _wait_until_granted(self, token: str, verbs: tuple[str, ...]) -> None:
        deadline = time.monotonic() + 10
        while "list" in verbs:
            try:
                self.kube.client(token).list(path("leases", self.namespace))
            except Refused:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    @property
    def admin(self) -> Path:
        return self.kube.kubeconfig(self.directory / "admin")

    def record(self, name: str, **spec: Any) -> None:
        """Put a record there that nobody keeps."""
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        self.kube.admin.create(path("leases", self.namespace), lease | {"spec": spec})

    def command(self, *words: str, kubeconfig: Path | None = None) -> list[str]:
        where = f"--kubeconfig={kubeconfig or self.admin}"
        return [sys.executable, "-m", "populator", "leases", "-n", self.namespace, where, *words]

    def show(self, *words: str, kubeconfig: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words, kubeconfig=kubeconfig),
            cwd=ROOT, env={"LANG": "C.UTF-8"}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    @contextmanager
    def holder(self, identity: str, host: str = "host-1") -> Iterator["subprocess.Popen[str]"]:
        """Run a process that holds slot 0 of a host; given when it has it."""
        command = [sys.executable, "-m", "tests.contract.lease.holder", str(self.admin), self.namespace]
        with subprocess.Popen(
            [*command, identity, str(DURATION), host],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout
                states = [json.loads(process.stdout.readline())["state"] for _ in range(2)]
                assert states == ["waiting", "held"]
                yield process
            finally:
                process.kill()


@pytest.fixture
def world(kube: Kube, tmp_path: Path) -> World:
    namespace = f"leases-{uuid.uuid4().hex[:8]}"
    kube.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    return World(kube, namespace, tmp_path)


class Watching:
    """`populator leases --watch` under way."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)

    def next(self, seconds: float = 20) -> list[str]:
        """Return the words of the next line."""
        return self.lines.get(timeout=seconds).split()

    def skip_to(self, *words: str) -> None:
        """Read on to a line that begins with these words; where the watch was cut off, others may come late."""
        while tuple(self.next()[: len(words)]) != words:
            pass


@contextmanager
def watching(world: World, *words: str) -> Iterator[Watching]:
    # As in a terminal; what a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        world.command("-w", *words),
        cwd=ROOT, env={**os.environ, "LANG": "C.UTF-8"}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Watching(process)
        finally:
            process.kill()


def test_who_may_only_list_sees_holders_host_by_host(world: World) -> None:
    viewer = world.viewer("list")
    with world.holder("populate-a_00000001"), world.holder("populate-b_00000002", "host-2"):
        done = world.show(kubeconfig=viewer)
        assert (done.returncode, done.stderr) == (0, "")
        heading, *rows = [line.split() for line in done.stdout.splitlines()]
        assert heading == [
            "HOST",
            "SLOT",
            "STATE",
            "HOLDER",
            "PHASE",
            "PERCENT",
            "RATE",
            "ETA",
            "VOLUME",
            "HELD",
            "RENEWED",
        ]
        assert [row[:4] for row in rows] == [
            ["host-1", "0", "held", "populate-a"],
            ["host-2", "0", "held", "populate-b"],
        ]
        (item,) = json.loads(world.show("-o", "json", kubeconfig=viewer).stdout)["items"][:1]
        assert item["holder"] == "populate-a_00000001"
        wide = yaml.safe_load(world.show("-o", "yaml").stdout)
        assert wide["kind"] == "List"


def test_the_exit_code_tells_of_slots_that_ran_out(world: World) -> None:
    past = micro_time(datetime.now(UTC) - timedelta(seconds=60))
    world.record("esxi-lock-host-1-slot-0", holderIdentity="")
    assert world.show().returncode == 0
    dead = {"holderIdentity": "go-pod", "renewTime": past, "leaseDurationSeconds": 10}
    world.record("esxi-lock-hostsystem-host-1-slot-1", **dead)
    done = world.show("-o", "wide")
    assert done.returncode == 10
    assert done.stdout.splitlines()[2].split()[:4] == ["host-1", "1", "expired?", "go-pod"]
    assert done.stdout.splitlines()[2].endswith("esxi-lock-hostsystem-host-1-slot-1")


def test_no_slots_are_no_trouble(world: World) -> None:
    done = world.show()
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"No host leases found in {world.namespace} namespace.\n"
    assert json.loads(world.show("-o", "json").stdout)["items"] == []


def test_names_of_another_template_are_recognised(world: World) -> None:
    world.record("slot-1-of-host-7", holderIdentity="")
    assert "host-7" not in world.show().stdout
    assert "host-7" in world.show("--template", "slot-{slot}-of-{host}").stdout


@pytest.mark.parametrize(
    ("verbs", "words", "wanted"), [(("get",), (), "list"), (("list",), ("-w",), "list,watch")]
)
def test_a_missing_right_is_named_with_the_command_that_grants_it(
    world: World, verbs: tuple[str, ...], words: tuple[str, ...], wanted: str
) -> None:
    done = world.show(*words, kubeconfig=world.viewer(*verbs))
    assert done.returncode == 6
    assert "forbids" in done.stderr
    assert f"--verb={wanted} --resource=leases.coordination.k8s.io -n {world.namespace}" in done.stderr
    assert f"--serviceaccount={world.namespace}:viewer" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_that_cannot_be_reached_and_a_wrong_call_are_told_apart(world: World) -> None:
    assert world.show("--master", "https://127.0.0.1:1").returncode == 6
    wrong = world.show("--template", "no-slot-{host}")
    assert wrong.returncode == 2
    assert "--template" in wrong.stderr


def test_a_watch_tells_of_holders_that_come_die_and_go_and_ends_by_ctrl_c(world: World) -> None:
    with watching(world) as watch:
        with world.holder("populate-a_00000001") as holder:
            assert watch.next()[:2] == ["HOST", "SLOT"]
            assert watch.next()[:4] == ["host-1", "0", "held", "populate-a"]
            assert watch.next()[:4] == ["host-1", "0", "held", "populate-a"], "its journal, with the renewal"
            world.kube.server.forget_history()  # and on a real server, all connections break
            holder.kill()
            watch.skip_to("host-1", "0", "expired", "populate-a")
        with world.holder("populate-b_00000002") as holder:
            watch.skip_to("host-1", "0", "held", "populate-b")
            assert holder.stdin
            assert watch.next()[:4] == ["host-1", "0", "held", "populate-b"]
            holder.stdin.write("end\n")
            holder.stdin.close()
            assert watch.next()[:4] == ["host-1", "0", "free", "<none>"]
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(10) == 130


def test_a_watch_in_json_gives_one_item_after_the_other(world: World) -> None:
    world.record("esxi-lock-host-1-slot-0", holderIdentity="")
    with watching(world, "-o", "yaml") as watch:
        assert watch.next() == ["---"]
        assert watch.next() == ["kind:", "HostSlot"]
