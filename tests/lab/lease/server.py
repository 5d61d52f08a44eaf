"""An API server that keeps Leases: compares and swaps, tells watches, and fails as told; and the way to it.

It stands where the library's REST client stands, below the lease's own door, so that door is the real one: statuses,
headers, bodies and broken connections are what it gets.
"""

import json
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lease.record import parse_record
from tests.lab.lease.faults import Fault, Faults
from tests.lab.lease.history import Called, Event, State, Written
from tests.lab.lease.time import Process, World, wake

Json = dict[str, Any]
KIND = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
NETWORK = 0.002, 0.010
"""seconds that a request takes each way"""


@dataclass(frozen=True)
class Answer:
    """What comes back for a request."""

    status: int
    body: Json
    headers: dict[str, str]


def status(code: int, reason: str, message: str, retry_after: str | None = None) -> Answer:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return Answer(code, body, {"Retry-After": retry_after} if retry_after else {})


class Server:
    """The Leases of one namespace, all their versions, and those who watch."""

    def __init__(self, world: World, history: list[Event], chance: random.Random) -> None:
        self.world = world
        self.history = history
        self.chance = chance
        self.versions: dict[str, list[Json | None]] = {}
        self.watches: list[Watching] = []
        self._version = 0

    def lease(self, name: str) -> Json | None:
        """Return a Lease as it is now."""
        return self.versions.get(name, [None])[-1]

    def get(self, name: str, behind: int = 0) -> Answer:
        """Read a Lease, or as it was some versions ago."""
        versions = self.versions.get(name, [None])
        lease = versions[max(len(versions) - 1 - behind, 0)]
        return Answer(200, lease, {}) if lease else status(404, "NotFound", f'leases "{name}" not found')

    def list(self, behind: int = 0) -> Answer:
        """Read all Leases, or as each was some versions ago."""
        answers = [self.get(name, behind) for name in self.versions]
        items = [answer.body for answer in answers if answer.status == 200]
        return Answer(200, {"kind": "LeaseList", "items": items}, {})

    def create(self, by: str, sent: float, lease: Json) -> Answer:
        name = lease["metadata"]["name"]
        if self.lease(name):
            return status(409, "AlreadyExists", f'leases "{name}" already exists')
        return self._store(by, sent, name, lease, 201)

    def replace(self, by: str, sent: float, name: str, lease: Json) -> Answer:
        now = self.lease(name)
        if now is None:
            return status(404, "NotFound", f'leases "{name}" not found')
        version = lease["metadata"].get("resourceVersion")
        if not version:  # as the strategy of Leases has it: no update without
            return status(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        if version != now["metadata"]["resourceVersion"]:
            return status(409, "Conflict", "the object has been modified")
        return self._store(by, sent, name, lease, 200)

    def put(self, by: str, name: str, lease: Json | None) -> None:
        """Write or delete whatever was there, as an admin may."""
        self._store(by, self.world.now, name, lease, 200)

    def _store(self, by: str, sent: float, name: str, lease: Json | None, code: int) -> Answer:
        self._version += 1
        before = self.lease(name)
        stored = json.loads(json.dumps({**KIND, **lease})) if lease else None
        if stored:
            stored["metadata"]["resourceVersion"] = str(self._version)
        self.versions.setdefault(name, [None]).append(stored)
        self.history.append(Written(self.world.now, name, by, sent, state(before), state(stored)))
        kind = "DELETED" if stored is None else "MODIFIED" if before else "ADDED"
        for watching in list(self.watches):
            watching.tell({"type": kind, "object": stored or before})
        return Answer(code, stored or {}, {})


def state(lease: Json | None) -> State | None:
    if lease is None:
        return None
    record = parse_record(lease)
    duration, transitions = (lease["spec"].get(name) for name in ("leaseDurationSeconds", "leaseTransitions"))
    return State(record.holder, duration, transitions, record.author, record.used)


class Line:
    """The way of one process to the server: what the door sees of the Kubernetes library."""

    def __init__(self, process: Process, server: Server, faults: Faults, who: Callable[[], str]) -> None:
        self.process = process
        self.server = server
        self.faults = faults
        self._who = who
        self.library = SimpleNamespace(broken=(OSError,), rest=lambda configuration: self)
        self.pool_manager = None
        """where the library keeps its connections, and the proxy that they go through: none"""

    def configuration(self) -> Any:
        return SimpleNamespace(host="https://api", get_api_key_with_prefix=lambda name: "Bearer token")

    def close(self) -> None:
        """Drop kept connections: there are none."""

    def request(self, verb: str, url: str, headers: Json, body: Any, _request_timeout: Any) -> Any:
        """Send a request; comes back with an answer, or raises what the network raises."""
        self.process.check_alive()
        parts, sent = urlsplit(url), self.server.world.now
        self.server.history.append(Called(sent, self._who()))
        fault = self.faults.of_call(verb, sent)
        if "watch=true" in parts.query and (
            fault is None or fault.kind not in {"refused", "untrusted", "hang", *REFUSALS}
        ):
            self._pass()
            return SimpleNamespace(response=Watching(self, parse_qs(parts.query), _request_timeout[1]))
        timeout = _request_timeout if isinstance(_request_timeout, float | int) else min(_request_timeout)
        limit = timeout / self.process.rate
        reply = self._exchange(verb, parts.path, json.loads(json.dumps(body)), sent, limit, fault)
        return SimpleNamespace(response=Reply(reply, fault is not None and fault.kind == "half"))

    def _pass(self) -> None:
        self.process.block(self.server.chance.uniform(*NETWORK))

    def _exchange(
        self, verb: str, path: str, body: Any, sent: float, limit: float, fault: Fault | None
    ) -> Answer:
        kind = fault.kind if fault else ""
        if kind == "refused":
            self._pass()
            raise ConnectionRefusedError(111, "Connection refused")
        if kind == "untrusted":
            self._pass()
            raise untrusted()
        if kind == "hang":
            self.process.block(limit)
            raise TimeoutError("timed out")
        if fault and kind in REFUSALS:
            self._pass()
            return status(*REFUSALS[kind])
        answers: list[Answer] = []
        arrived: list[Callable[[bool], None]] = []
        there = self.server.chance.uniform(*NETWORK) + (fault.seconds if fault and kind == "late" else 0)
        back = self.server.chance.uniform(*NETWORK) + (fault.seconds if fault and kind == "slow" else 0)

        def arrive() -> None:
            answers.append(self._serve(verb, path, body, sent, 2 if kind == "stale" else 0))
            if kind != "lost":
                self.server.world.after(back, lambda: wake(arrived))

        self.server.world.after(there, arrive)
        if not self.process.block(limit, arrived):
            raise TimeoutError("timed out")
        return answers[0]

    def _serve(self, verb: str, path: str, body: Any, sent: float, behind: int) -> Answer:
        name = path.rpartition("/")[2]
        if verb == "GET":
            return self.server.list(behind) if name == "leases" else self.server.get(name, behind)
        if body.get("kind") == "SelfSubjectRulesReview":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return Answer(201, {**body, "status": {"resourceRules": [everything]}}, {})
        if not body:  # what is sent to learn whether it is allowed
            return status(422, "Invalid", "name or generateName is required")
        who = self._author(body, self.server.lease(name))
        if verb == "POST":
            return self.server.create(who, sent, body)
        return self.server.replace(who, sent, name, body)

    def _author(self, body: Json, before: Json | None) -> str:
        """Return which of the holders in this process has sent that: a release may still be under way for one."""
        for lease in filter(None, (body, before)):
            holder = str(lease["spec"].get("holderIdentity") or "")
            if holder.startswith(self.process.name):
                return holder
        return self._who()


REFUSALS: dict[str, tuple[Any, ...]] = {
    "409": (409, "Conflict", "the object has been modified"),
    "429": (429, "TooManyRequests", "too many requests"),
    "429 with Retry-After": (429, "TooManyRequests", "too many requests", "2"),
    "500": (500, "InternalError", "etcdserver: leader changed"),
    "503": (503, "ServiceUnavailable", "apiserver not ready", "1"),
    "401": (401, "Unauthorized", "Unauthorized"),
    "403": (403, "Forbidden", 'leases is forbidden: User "populator" cannot do that'),
    "422": (422, "Invalid", "spec.holderIdentity: Invalid value"),
    "no namespace": (404, "NotFound", 'namespaces "n" not found'),
}


def untrusted() -> ssl.SSLCertVerificationError:
    """Return what TLS raises over a certificate that somebody else has signed."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "unable to get local issuer certificate"
    return error


class Reply:
    """One answer as the library's response."""

    def __init__(self, answer: Answer, half: bool) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._body = json.dumps(answer.body).encode()
        self._half = half

    def read(self) -> bytes:
        return self._body[: len(self._body) // 2] if self._half else self._body

    def close(self) -> None:
        """Nothing is kept."""


class Watching:
    """One watch, on both ends."""

    status = 200

    def __init__(self, line: Line, query: dict[str, list[str]], silence: float) -> None:
        self._line = line
        self._process = line.process
        self._world = line.server.world
        self._label, _, values = query["labelSelector"][0].partition(" in ")
        self._wanted = values.strip("()").split(",")
        self._silence = silence
        self._ends = self._world.now + float(query["timeoutSeconds"][0])
        self._data = b""
        self._over = False
        self._ready: list[Callable[[bool], None]] = []
        line.server.watches.append(self)
        for versions in line.server.versions.values():
            if versions[-1]:
                self.tell({"type": "ADDED", "object": versions[-1]})

    def tell(self, event: Json) -> None:
        """Send an event, if it is wanted and nothing goes wrong."""
        if event["object"]["metadata"].get("labels", {}).get(self._label) not in self._wanted:
            return
        fault = self._line.faults.of_watch(self._world.now)
        kind = fault.kind if fault else ""
        if kind in {"gap", "silent"}:
            return
        if kind == "bookmarks":
            event = {"type": "BOOKMARK", "object": {"kind": "Lease", "metadata": {"resourceVersion": "9"}}}
        if kind == "gone":
            event = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
        line = json.dumps(event).encode() + b"\n"
        self._world.after(
            self._line.server.chance.uniform(*NETWORK), lambda: self._arrive(line, kind == "close")
        )

    def read1(self, amount: int) -> bytes:
        """Wait for the next piece; nothing at the end, an error after a long silence."""
        if not self._data and not self._over:
            silence = self._silence / self._process.rate
            if not self._process.block(min(silence, self._ends - self._world.now), self._ready):
                if self._world.now >= self._ends - 1e-9:
                    return b""
                raise TimeoutError("timed out")
        self._process.check_alive()
        data, self._data = self._data, b""
        return data

    def shutdown(self) -> None:
        """End it, from another task."""
        self._over = True
        self._resume()

    def close(self) -> None:
        if self in self._line.server.watches:
            self._line.server.watches.remove(self)

    def _arrive(self, line: bytes, last: bool) -> None:
        if last:
            self._over = True
        else:
            self._data += line
        self._resume()

    def _resume(self) -> None:
        ready, self._ready = self._ready, []
        self._world.after(0, lambda: wake(ready))
