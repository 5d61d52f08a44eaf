"""`populator top` as people call it: in a terminal and in a pipe, with few rights, and without an API server."""

import fcntl
import json
import os
import pty
import queue
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from lease.record import AUTHOR, HOST_LABEL, JOURNAL, micro_time
from populator.plan.journal import MIB, Journal
from tests.lab.faults import Ledger, proxy
from tests.lab.kube import Kube, Refused, path
from tests.lab.kube.forklift import populator, serve_populators, set_status
from tests.lab.program import ROOT

RBAC = "rbac.authorization.k8s.io"
PLURAL = "vspherexcopyvolumepopulators"
SOURCES = (("coordination.k8s.io", "leases"), ("forklift.konveyor.io", PLURAL))
ENTER, LEAVE, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@dataclass
class World:
    """A namespace with volumes and hosts' slots, and somebody with few rights."""

    kube: Kube
    namespace: str
    directory: Path
    port: int | None = None

    def viewer(
        self, *verbs: str, kinds: tuple[tuple[str, str], ...] = SOURCES, everywhere: bool = False
    ) -> Path:
        """Return the kubeconfig of somebody who may do these things, in the namespace or in all."""
        name = f"viewer-{self.namespace}"
        rules = [
            {"apiGroups": [group], "resources": [plural], "verbs": list(verbs)} for group, plural in kinds
        ]
        kind, place = ("ClusterRole", {}) if everywhere else ("Role", {"namespace": self.namespace})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        account = {"name": name, "namespace": self.namespace}
        for body in (
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
            {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name, **place}, "rules": rules},
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": f"{kind}Binding",
                "metadata": {"name": name, **place},
                "roleRef": {"kind": kind, "name": name, "apiGroup": RBAC},
                "subjects": [subject],
            },
        ):
            self.kube.admin.apply(body)
        token = self.kube.service_account_token(self.namespace, name)
        self._wait_until_granted(token, [plural for _, plural in kinds], everywhere=everywhere)
        return self.kube.kubeconfig(self.directory / "viewer", token=token, port=self.port)

    def _wait_until_granted(self, token: str, plurals: list[str], *, everywhere: bool) -> None:
        deadline, client = time.monotonic() + 10, self.kube.client(token)
        for plural in plurals:
            while True:
                try:
                    client.list(path(plural, None if everywhere else self.namespace))
                    break
                except Refused:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)

    def run(self, name: str, journal: Journal) -> str:
        """Put the Lease of a volume's writer there, renewed by nobody; return its path."""
        uid = str(uuid.uuid4())
        pvc = f"{self.namespace}/{name}"
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": f"xcopy-volume-{uid}",
                "labels": {HOST_LABEL: uid},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "uid": uid}
                ],
            },
            "spec": {"leaseDurationSeconds": 60},
        }
        self._hold(lease, Journal(**{**vars(journal), "pvc": pvc, "pvc_uid": uid}))
        self.kube.admin.create(path("leases", self.namespace), lease)
        return path("leases", self.namespace, f"xcopy-volume-{uid}")

    def renew(self, lease: str, **facts: Any) -> None:
        """Renew a Lease with more facts."""
        self.kube.admin.change(lease, lambda it: self._hold(it, facts))

    def _hold(self, lease: dict[str, Any], facts: Journal | dict[str, Any]) -> None:
        annotations = lease["metadata"].setdefault("annotations", {})
        known = facts.facts() if isinstance(facts, Journal) else json.loads(annotations[JOURNAL]) | facts
        annotations |= {JOURNAL: json.dumps(known), AUTHOR: "populate-a_0"}
        now = micro_time(datetime.now(UTC))
        lease["spec"] |= {
            "holderIdentity": "populate-a_0",
            "renewTime": now,
            "acquireTime": now,
        }

    def end(self, lease: str, **outcome: str) -> None:
        """Release a Lease with a word about how it ended."""

        def free(it: dict[str, Any]) -> None:
            del it["metadata"]["annotations"][JOURNAL]
            it["metadata"]["annotations"]["xcopy-populator/outcome"] = json.dumps(
                outcome | {"at": datetime.now(UTC).isoformat()}
            )
            it["spec"]["holderIdentity"] = ""

        self.kube.admin.change(lease, free)

    @property
    def admin(self) -> Path:
        return self.kube.kubeconfig(self.directory / "admin", port=self.port)

    def command(self, *words: str, kubeconfig: Path | None = None) -> list[str]:
        given = [f"--lease-namespace={self.namespace}", f"--kubeconfig={kubeconfig or self.admin}"]
        return [sys.executable, "-m", "populator", "top", *given, *words]

    def show(self, *words: str, kubeconfig: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command("--once", *words, kubeconfig=kubeconfig),
            cwd=ROOT, env={"LANG": "C.UTF-8"}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
def world(kube: Kube, tmp_path: Path) -> World:
    namespace = f"top-{uuid.uuid4().hex[:8]}"
    kube.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    serve_populators(kube.admin)
    return World(kube, namespace, tmp_path)


CLONE = Journal(phase="clone", percent=25, rate=10.0, size=400 * MIB, host="esx-1.lab", host_id="host-1")


# --- once


def test_who_may_only_list_sees_all_that_there_is(world: World) -> None:
    world.run("disk-1", CLONE)
    world.end(world.run("disk-2", CLONE), populated="true")
    world.kube.admin.create(
        path(PLURAL, world.namespace),
        populator("cr-3", world.namespace, "[ds] c/c.vmdk", ("disk-3", "uid-3")),
    )
    done = world.show("-n", world.namespace, "-o", "json", kubeconfig=world.viewer("list"))
    assert (done.returncode, done.stderr) == (0, "")
    items = {item["pvc"]: item for item in json.loads(done.stdout)["items"]}
    assert {name: item["state"] for name, item in items.items()} == {
        "disk-1": "running", "disk-2": "done", "disk-3": "waiting"
    }  # fmt: skip
    assert [items["disk-1"][name] for name in ("percent", "rate", "etaSeconds", "hostName")] == [
        25,
        10.0,
        30,
        "esx-1.lab",
    ]
    assert yaml.safe_load(world.show("-o", "yaml").stdout)["kind"] == "List", "of all namespaces"


def test_a_failure_is_told_by_the_exit_code(world: World) -> None:
    world.end(world.run("disk-1", CLONE), failed="The LUN is offline.")
    done = world.show("-n", world.namespace)
    assert done.returncode == 10
    assert done.stdout.splitlines()[1].startswith(f"failed   {world.namespace}/disk-1")
    assert "The LUN is offline." in done.stdout
    assert done.stderr == "1 failed.\n"


def test_what_may_not_be_read_is_named_and_the_rest_is_shown(world: World) -> None:
    world.run("disk-1", CLONE)
    viewer = world.viewer("list", kinds=SOURCES[:1])
    done = world.show("-n", world.namespace, kubeconfig=viewer)
    where = f"VSphereXcopyVolumePopulators in namespace {world.namespace}"
    assert done.stderr.splitlines()[0] == f"warning: {where}: you may not list them."
    assert (done.returncode, "disk-1" in done.stdout) == (0, True)
    done = world.show(kubeconfig=viewer)
    assert "warning: Volumes' Leases in all namespaces: you may not list them." in done.stderr
    assert done.returncode == 0


def test_nothing_that_can_be_read_is_an_error(world: World) -> None:
    done = world.show(kubeconfig=world.viewer("get", kinds=()))
    assert done.returncode == 6
    assert "forbids" in done.stderr
    assert "Traceback" not in done.stderr


# --- lines


class Lines:
    """`populator top` in a pipe."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.read: list[str] = []
        for stream in (process.stdout, process.stderr):
            threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.lines.put(line)

    def wait_for(self, *words: str, seconds: float = 60) -> str:
        """Return the next line with all these words."""
        deadline = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(deadline - time.monotonic(), 0))
            self.read.append(line)
            if all(word in line for word in words):
                return line


@contextmanager
def piped(world: World, *words: str, kubeconfig: Path | None = None) -> Iterator[Lines]:
    # As in a terminal; what a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        world.command("-n", world.namespace, *words, kubeconfig=kubeconfig),
        cwd=ROOT, env={**os.environ, "LANG": "C.UTF-8", "FORCE_COLOR": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Lines(process)
        finally:
            process.kill()


@pytest.mark.parametrize("verbs", [("list",), ("list", "watch")])
def test_in_a_pipe_each_change_is_a_line_whatever_the_rights(world: World, verbs: tuple[str, ...]) -> None:
    lease = world.run("disk-1", CLONE)
    with piped(world, kubeconfig=world.viewer(*verbs)) as top:
        first = top.wait_for("disk-1")
        assert re.fullmatch(
            rf"\S+Z  {world.namespace}/disk-1  running  esx-1.lab  clone  25 %  10 MiB/s  30s left\n", first
        )
        world.renew(lease, percent="26")
        world.renew(lease, percent="50")
        assert "50 %" in top.wait_for("disk-1"), "no line for a percent"
        world.end(lease, populated="true")
        assert "\x1b" not in top.wait_for("disk-1", "done", "100 %")
        wanted = populator("cr-3", world.namespace, "[ds] c/c.vmdk", ("disk-3", "uid-3"))
        world.kube.admin.create(path(PLURAL, world.namespace), wanted)
        top.wait_for("disk-3", "waiting", "not started")
        set_status(world.kube.admin, "cr-3", world.namespace, {"progress": "40", "result": "failure"})
        top.wait_for("disk-3", "failed")
        top.process.send_signal(signal.SIGINT)
        assert top.process.wait(10) == 130


def test_each_change_may_be_an_item(world: World) -> None:
    world.run("disk-1", CLONE)
    with piped(world, "-o", "yaml") as top:
        assert top.wait_for("---")
        assert top.wait_for("kind: Populate")


def test_an_api_server_that_goes_away_is_named_and_nobody_is_taken_for_dead(kube: Kube, world: World) -> None:
    ledger, away = Ledger(), threading.Event()
    contexts = kube.pki.server_context(f"proxy-{world.namespace}"), kube.client_context()
    lease = world.run("disk-1", CLONE)
    with proxy("kubernetes", ("127.0.0.1", kube.port), ledger, *contexts) as world.port:
        ledger.reset(lambda call: "before" if away.is_set() else None)
        with piped(world) as top:
            top.wait_for("disk-1", "running")
            world.kube.admin.change(lease, lambda it: it["spec"].update(leaseDurationSeconds=15))
            world.renew(lease, percent="50")
            top.wait_for("disk-1", "50 %")
            away.set()
            top.wait_for("warning: Volumes' Leases", "since")
            time.sleep(16)  # longer than its holder promised, and than the watch lasts that is open
            away.clear()
            top.wait_for("Volumes' Leases", "read again")
            world.renew(lease, percent="70")
            top.wait_for("disk-1", "running", "70 %")
            assert [line for line in top.read if "failed" in line] == []
            top.wait_for("disk-1", "failed")  # nobody renews it any more
            top.process.send_signal(signal.SIGINT)
            assert top.process.wait(20) == 130


# --- a terminal


class Terminal:
    """`populator top` in a terminal of its own."""

    def __init__(self, command: list[str], columns: int, lines: int, **environment: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._resize(0, columns, lines)
            variables = {
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "TERM": "xterm-256color",
            } | environment
            os.execve(command[0], command, variables)  # noqa: S606
        self.text = ""

    def _resize(self, descriptor: int, columns: int, lines: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """Change the size, as a window does, and forget what was shown."""
        self.read(0.0)
        self._resize(self._master, columns, lines)
        self.text = ""

    def read(self, seconds: float) -> bool:
        """Read what is there within a time; False at the end."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.text += piece.decode(errors="replace")
        return bool(piece)

    def wait_for(self, *words: str, seconds: float = 60) -> None:
        """Read until all these words have been shown."""
        deadline = time.monotonic() + seconds
        while not all(word in self.text for word in words):
            assert time.monotonic() < deadline, repr(self.text)
            assert self.read(0.5), repr(self.text)

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._master, key)

    def end(self, seconds: float = 20) -> int:
        """Read on to the end, and return the exit code."""
        deadline = time.monotonic() + seconds
        while self.read(0.5):
            assert time.monotonic() < deadline, repr(self.text)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it if it still runs."""
        os.close(self._master)


@contextmanager
def terminal(world: World, columns: int = 80, lines: int = 24, **environment: str) -> Iterator[Terminal]:
    shown = Terminal(world.command("-n", world.namespace), columns, lines, **environment)
    try:
        yield shown
    finally:
        shown.kill()


def drawn(text: str) -> list[str]:
    """Return the lines of what was drawn, without control codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()


@pytest.mark.parametrize("ending", ["Ctrl-C", "SIGTERM"])
def test_in_a_terminal_the_picture_is_drawn_until_ctrl_c_and_the_screen_restored(
    world: World, ending: str
) -> None:
    lease = world.run("disk-1", CLONE)
    with terminal(world) as shown:
        shown.wait_for(ENTER, "1 populate: 1 running", "disk-1", "25 %", "10 MiB/s")
        world.renew(lease, percent="75")
        shown.wait_for(" 75 %", "10s")
        world.end(lease, populated="true")
        shown.wait_for("1 populate: 1 done")
        shown.press(b"\x03") if ending == "Ctrl-C" else os.kill(shown.pid, signal.SIGTERM)
        assert shown.end() == 130
    assert LEAVE in shown.text
    assert SHOW_CURSOR in shown.text
    assert shown.text.rindex(LEAVE) > shown.text.rindex("populate")
    assert "Traceback" not in shown.text


def test_the_picture_follows_the_size_of_the_terminal(world: World) -> None:
    for number in range(30):
        world.run(f"disk-{number}", CLONE)
    with terminal(world) as shown:
        shown.wait_for("30 populates", "more: ")
        shown.resize(40, 12)
        shown.wait_for("30 populates", "more: ")
        assert max(map(len, drawn(shown.text)[1:])) <= 80
        shown.resize(160, 60)
        shown.wait_for("30 populates", "disk-29", "  clone")
        shown.press(b"\x03")
        assert shown.end() == 130


def test_a_terminal_that_cannot_place_the_cursor_gets_lines(world: World) -> None:
    world.run("disk-1", CLONE)
    with terminal(world, TERM="dumb") as shown:
        shown.wait_for("disk-1  running")
        shown.press(b"\x03")
        assert shown.end() == 130
    assert "\x1b" not in shown.text
