"""The door to Kubernetes against an HTTP server that keeps objects: what is sent, and what each answer becomes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lease.kube.api import Api, ApiError

LEASES = "/apis/coordination.k8s.io/v1/namespaces/n/leases"
HTML = b"<html>502 from some proxy, with its secrets</html>"


@dataclass
class Service:
    """What the server has, and how it behaves."""

    token: str = "t-1"
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    """by path, in place of what it has"""
    cut: bool = False
    """whether it hangs up in the middle of each answer"""
    pieces: list[bytes] = field(default_factory=list)
    """of a watch"""
    hold: threading.Event = field(default_factory=threading.Event)
    """until when a watch stays open after its last piece"""
    calls: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    service: Service
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        service = self.service
        service.calls.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers["Authorization"] != f"Bearer {service.token}":
            self._send(401, {}, json.dumps(status(401, "Unauthorized", "Unauthorized")).encode())
        elif "watch=true" in self.path:
            self._watch()
        elif path in service.answers:
            self._send(*service.answers[path])
        elif self.command == "GET" and path not in service.objects:
            self._send(404, {}, json.dumps(status(404, "NotFound", f"{path} not found")).encode())
        else:
            if self.command != "GET":
                name = json.loads(body)["metadata"]["name"]
                path = path if self.command == "PUT" else f"{path}/{name}"
                service.objects[path] = json.loads(body)
            self._send(200, {}, json.dumps(service.objects[path]).encode())

    def _send(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.service.cut else body)
        self.close_connection = self.service.cut

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in self.service.pieces:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.02)
        self.service.hold.wait(10)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}


def event(kind: str, /, **thing: Any) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    service.hold.set()
    yield service
    service.hold.set()


@contextmanager
def api_of(service: Service, folder: Path, timeout: float = 5.0) -> Iterator[Api]:
    handler = type("Bound", (Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        (folder / "token").write_text("t-1\n")
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {"tokenFile": str(folder / "token")}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        yield Api.connect(str(folder / "kubeconfig"), timeout=timeout)
        service.hold.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def api(service: Service, tmp_path: Path) -> Iterator[Api]:
    with api_of(service, tmp_path) as api:
        yield api


def fails(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def test_objects_are_made_read_and_replaced_by_path(api: Api, service: Service) -> None:
    made = api.create(LEASES, {"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert api.get(f"{LEASES}/a") == made
    assert api.replace(f"{LEASES}/a", {**made, "spec": {"x": 2}})["spec"] == {"x": 2}
    api.get(f"{LEASES}/a", limit="1", labelSelector="host=host-1")
    assert service.calls[-1] == f"GET {LEASES}/a?limit=1&labelSelector=host%3Dhost-1"


def test_credentials_that_were_rotated_are_read_anew_and_the_request_is_sent_again(
    api: Api, service: Service, tmp_path: Path
) -> None:
    service.objects[f"{LEASES}/a"] = {"metadata": {"name": "a"}}
    api.get(f"{LEASES}/a")
    service.token = "t-2"
    assert fails(lambda: api.get(f"{LEASES}/a")).status == 401
    assert len(service.calls) == 2, "with the same credentials it would be refused again"
    (tmp_path / "token").write_text("t-2")
    assert api.get(f"{LEASES}/a")
    assert len(service.calls) == 4
    assert api.get(f"{LEASES}/a")
    assert len(service.calls) == 5, "the new ones stay"


def test_a_refusal_is_told_in_kubernetes_own_words(api: Api, service: Service) -> None:
    refusal = status(403, "Forbidden", 'leases is forbidden: User "populator" cannot do that')
    service.answers[LEASES] = 403, {}, json.dumps(refusal).encode()
    error = fails(lambda: api.create(LEASES, {"metadata": {"name": "a"}}))
    assert (error.status, error.reason, error.forbidden, error.final) == (403, "Forbidden", True, True)
    assert error.request == f"POST {LEASES}"


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [({"Retry-After": "7"}, {}, 7.0), ({}, {"retryAfterSeconds": 3}, 3.0), ({}, {}, None)],
)
def test_a_server_that_asks_to_be_left_alone_is_understood(
    api: Api, service: Service, headers: dict[str, str], details: dict[str, int], seconds: float | None
) -> None:
    body = json.dumps(status(429, "TooManyRequests", "slow down", **details)).encode()
    service.answers[LEASES] = 429, headers, body
    error = fails(lambda: api.get(LEASES))
    assert (error.status, error.retry_after, error.final) == (429, seconds, False)


def test_what_a_proxy_says_in_html_is_not_shown(api: Api, service: Service) -> None:
    service.answers[LEASES] = 502, {"Content-Type": "text/html"}, HTML
    error = fails(lambda: api.get(LEASES))
    assert error.status == 502
    assert "secrets" not in f"{error.text} {error.hint}"


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"null", HTML])
def test_a_success_that_holds_no_object_is_no_answer(api: Api, service: Service, body: bytes) -> None:
    service.answers[LEASES] = 200, {}, body
    error = fails(lambda: api.get(LEASES))
    assert (error.status, error.reason) == (None, "Unreachable"), "a write may have been done all the same"


def test_an_answer_that_is_cut_is_no_answer_and_the_next_call_works(api: Api, service: Service) -> None:
    service.cut = True
    error = fails(lambda: api.create(LEASES, {"metadata": {"name": "a"}}))
    assert (error.status, error.reason) == (None, "Unreachable")
    service.cut = False
    assert api.get(f"{LEASES}/a")["metadata"] == {"name": "a"}, "it was done"


def test_events_are_put_together_from_whatever_pieces_come(api: Api, service: Service) -> None:
    first, second = event("ADDED", metadata={"name": "a"}), event("MODIFIED", metadata={"name": "ü"})
    whole = first + b"\n" + second
    service.pieces = [whole[:7], whole[7 : len(first) + 3], whole[len(first) + 3 :]]
    with api.watch(LEASES, 5.0, timeoutSeconds="300") as watch:
        seen = [(one["type"], one["object"]["metadata"]["name"]) for one in watch]
    assert seen == [("ADDED", "a"), ("MODIFIED", "ü")]
    assert service.calls == [f"GET {LEASES}?watch=true&timeoutSeconds=300"]


def test_an_error_within_a_watch_is_raised_as_a_refusal(api: Api, service: Service) -> None:
    service.pieces = [event("ADDED", metadata={}), event("ERROR", **status(410, "Expired", "too old"))]
    with api.watch(LEASES, 5.0) as watch:
        events = iter(watch)
        assert next(events)["type"] == "ADDED"
        error = fails(lambda: next(events))
    assert (error.status, error.reason, error.request) == (410, "Expired", "WATCH")


def test_a_watch_that_falls_silent_breaks_off(api: Api, service: Service) -> None:
    service.hold.clear()
    service.pieces = [event("ADDED", metadata={})]
    with api.watch(LEASES, 0.3) as watch:
        error = fails(lambda: list(watch))
    assert error.reason == "Unreachable"
    assert "timed out" in error.text


def test_a_watch_is_ended_by_another_thread_without_an_error(api: Api, service: Service) -> None:
    service.hold.clear()
    service.pieces = [event("ADDED", metadata={})]
    with api.watch(LEASES, 30.0) as watch:
        events = iter(watch)
        next(events)
        threading.Timer(0.1, watch.stop).start()
        assert list(events) == []


def test_nobody_there_is_told_with_the_address(tmp_path: Path) -> None:
    with api_of(Service(), tmp_path) as api:
        pass
    error = fails(lambda: api.get(LEASES))
    assert (error.status, error.reason, error.final) == (None, "Unreachable", False)
    assert "http://127.0.0.1:" in error.text
