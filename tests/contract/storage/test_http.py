"""The HTTP door with a log-in that is a session, as half of the vendors have it; answers as lists, and headers."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from populator.clock import Clock
from populator.errors import Cancelled, StorageError
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused, Unanswered
from populator.storage.http import Http
from populator.storage.login import Send
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.pki import Pki

TOKEN = "X-Token"
EXPIRED = "7"
PASSWORD = "secret"


@dataclass
class Sessions:
    """An array that gives a token for the password, in a header, and knows it until it expires."""

    alive: set[str] = field(default_factory=set)
    given: int = 0

    def respond(self, request: Request) -> Reply:
        token = request.headers.get(TOKEN.lower(), "")
        if (request.method, request.path) == ("POST", "/sessions"):
            if request.body != {"password": PASSWORD}:
                return Reply(401, {"code": "5"})
            self.given += 1
            self.alive.add(f"token-{self.given}")
            return Reply(200, {}, {TOKEN: f"token-{self.given}"})
        if token not in self.alive:
            return Reply(403, {"code": EXPIRED, "message": "session expired"})
        if request.method == "DELETE":
            self.alive.discard(token)
            return Reply(204, b"")
        if request.path == "/rows":
            return Reply(200, [{"id": "1"}, {"id": "2"}])
        return Reply(200, {"asked": request.body}, {"Content-Range": "0-1/2"})


class Session:
    """The way in."""

    def __init__(self, access: Access) -> None:
        self._password = access.password

    def begin(self, send: Send) -> Mapping[str, str]:
        answer = send("POST", "/sessions", "let us in", body={"password": self._password})
        return {TOKEN: answer.headers[TOKEN]}

    def expired(self, refusal: Refused) -> bool:
        return refusal.code == EXPIRED

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        send("DELETE", "/sessions", "let us out", headers=headers)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def server(sessions: Sessions, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki.ca_file))
    with RestServer("sessions", pki.server_context("sessions"), sessions.respond) as running:
        yield running


def door(server: RestServer, password: str = PASSWORD) -> Http:
    reach = Access(f"127.0.0.1:{server.port}", "admin", password)
    return Http(reach, Clock(), "toy", explain, Session(reach))


def explain(body: Answer) -> tuple[str, str]:
    return body.optional("code"), body.optional("message")


@pytest.fixture
def http(server: RestServer) -> Iterator[Http]:
    opened = door(server)
    yield opened
    opened.close()


def test_the_first_call_logs_in_and_the_others_use_the_session(http: Http, server: RestServer) -> None:
    assert server.calls == []
    for _ in range(3):
        http.call("GET", "/thing", "answer")
    assert server.calls == [("POST", "/sessions"), *[("GET", "/thing")] * 3]


def test_a_vendor_may_log_in_before_its_first_call(http: Http, server: RestServer) -> None:
    for _ in range(2):
        http.let_in()
    http.call("GET", "/thing", "answer")
    assert server.calls == [("POST", "/sessions"), ("GET", "/thing")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_expired_session_is_renewed_once_and_the_call_made_again_whole(
    http: Http, server: RestServer, sessions: Sessions, method: str
) -> None:
    http.call("GET", "/thing", "answer")
    sessions.alive.clear()
    server.calls.clear()
    assert http.call(method, "/thing", "answer", body={"a": 1}).find("asked") == {"a": 1}
    assert server.calls == [(method, "/thing"), ("POST", "/sessions"), (method, "/thing")]


def test_a_session_that_expires_at_once_is_not_renewed_for_ever(
    http: Http, server: RestServer, sessions: Sessions
) -> None:
    server.before("GET", "/thing", lambda _: sessions.alive.clear(), times=10)
    with pytest.raises(Refused, match=r"session expired.*code 7"):
        http.call("GET", "/thing", "answer")
    assert server.calls == [("POST", "/sessions"), ("GET", "/thing")] * 2


def test_wrong_credentials_are_tried_once(server: RestServer) -> None:
    """Each wrong try counts towards locking the account."""
    with pytest.raises(Refused, match="does not accept the credentials of 'admin'"):
        door(server, "wrong").call("GET", "/thing", "answer")
    assert server.calls == [("POST", "/sessions")]


def test_credentials_of_the_users_netrc_are_left_alone(
    http: Http, server: RestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests would send them to the array in place of ours."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    asked: list[Request] = []
    server.before("GET", "/thing", asked.append)
    http.call("GET", "/thing", "answer")
    assert [request.basic for request in asked] == [None]


def test_a_token_that_is_not_accepted_is_named_as_one(server: RestServer) -> None:
    reach = Access(f"127.0.0.1:{server.port}", token="geheim")
    with pytest.raises(Refused, match="credentials in STORAGE_TOKEN") as caught:
        Http(reach, Clock(), "toy", explain, Session(reach)).call("GET", "/thing", "answer")
    assert "STORAGE_TOKEN" in caught.value.hint


def test_close_logs_out_and_never_raises(server: RestServer, sessions: Sessions) -> None:
    unused, used, lost = door(server), door(server), door(server)
    unused.close()
    assert server.calls == []
    for opened in (used, lost):
        opened.call("GET", "/thing", "answer")
    used.close()
    assert sessions.alive == {"token-2"}
    server.before("DELETE", "/sessions", lambda _: Reply(500, b"on fire"))
    lost.close()


def test_the_session_ends_though_we_were_told_to_stop(server: RestServer, sessions: Sessions) -> None:
    clock = Clock()
    reach = Access(f"127.0.0.1:{server.port}", "admin", PASSWORD)
    http = Http(reach, clock, "toy", explain, Session(reach))
    http.call("GET", "/thing", "answer")
    clock.stop()
    http.close()
    assert sessions.alive == set()


@pytest.mark.parametrize(("method", "reads"), [("GET", False), ("POST", True), ("POST", False)])
def test_a_stop_breaks_off_what_only_reads(server: RestServer, method: str, reads: bool) -> None:
    """Whatever its method; what may change something comes to its end first."""
    clock, release, ended = Clock(), threading.Event(), threading.Event()
    reach = Access(f"127.0.0.1:{server.port}", "admin", PASSWORD)
    http = Http(reach, clock, "toy", explain, Session(reach))
    http.call("GET", "/thing", "answer")

    def hang(_: Request) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        release.wait(1)
        ended.set()

    server.before(method, "/thing", hang)
    previous = signal.signal(signal.SIGUSR1, lambda *_: clock.stop())
    try:
        with pytest.raises(Cancelled):
            http.call(method, "/thing", "answer", reads=reads)
            clock.check()
        assert ended.is_set() is (method == "POST" and not reads)
    finally:
        signal.signal(signal.SIGUSR1, previous)
        release.set()


def test_a_log_in_under_way_is_finished_so_that_its_session_can_be_ended(
    server: RestServer, sessions: Sessions
) -> None:
    """Also where a session begins by a GET, as with some arrays."""

    class ByGet(Session):
        def begin(self, send: Send) -> Mapping[str, str]:
            send("GET", "/rows", "let us in", headers=super().begin(send))
            return super().begin(send)

    clock = Clock()
    reach = Access(f"127.0.0.1:{server.port}", "admin", PASSWORD)
    http = Http(reach, clock, "toy", explain, ByGet(reach))
    server.before("GET", "/rows", lambda _: os.kill(os.getpid(), signal.SIGUSR1))
    previous = signal.signal(signal.SIGUSR1, lambda *_: clock.stop())
    try:
        with pytest.raises(Cancelled):
            http.call("GET", "/thing", "answer")
    finally:
        signal.signal(signal.SIGUSR1, previous)
    http.close()
    assert server.calls == [
        ("POST", "/sessions"),
        ("GET", "/rows"),
        ("POST", "/sessions"),
        ("DELETE", "/sessions"),
    ]


def test_an_answer_may_be_a_text(server: RestServer, http: Http) -> None:
    for said in ("token", "", {"a": None}):
        server.before("GET", "/thing", lambda _, said=said: Reply(200, said))  # type: ignore[misc]
    assert http.call("GET", "/thing", "answer").string() == "token"
    for _ in range(2):
        with pytest.raises(StorageError, match="something else than a JSON text"):
            http.call("GET", "/thing", "answer").string()


def test_null_and_absent_can_be_told_apart() -> None:
    answer = Answer({"a": None}, "toy")
    assert (answer.has("a"), answer.has("b"), Answer([], "toy").has("a")) == (True, False, False)


def test_an_answer_may_be_a_list(http: Http) -> None:
    assert [row.text("id") for row in http.call("GET", "/rows", "list").rows()] == ["1", "2"]
    with pytest.raises(StorageError, match="something else than a JSON object"):
        http.call("GET", "/rows", "list").optional("id")
    with pytest.raises(StorageError, match="something else than a JSON list"):
        http.call("GET", "/thing", "answer").rows()


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7),
        ({"RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "7", "RateLimit-Reset": "9"}, 7),
        ({}, 0),
    ],
)
def test_an_array_says_for_how_long_it_wants_to_be_left_alone(
    http: Http, server: RestServer, headers: dict[str, str], pause: float
) -> None:
    server.before("GET", "/thing", lambda _: Reply(429, {"message": "too many"}, headers))
    with pytest.raises(Refused) as caught:
        http.call("GET", "/thing", "answer")
    assert caught.value.retry_after == pause


def test_the_headers_of_an_answer_can_be_read(http: Http) -> None:
    assert http.call("GET", "/thing", "answer").headers["content-range"] == "0-1/2"


def test_an_answer_without_a_token_is_no_session(server: RestServer) -> None:
    server.before("POST", "/sessions", lambda _: Reply(200, b"<html>"))
    with pytest.raises(Unanswered, match="did not answer in JSON"):
        door(server).call("GET", "/thing", "answer")


def test_cookies_are_not_sent_but_by_the_log_in(server: RestServer) -> None:
    """A renewal would carry the cookie of the session before it."""
    seen: list[str | None] = []

    def look(request: Request) -> Reply:
        seen.append(request.headers.get("cookie"))
        return Reply(200, {}, {"Set-Cookie": "session=1; Path=/; Secure"})

    server.before("GET", "/things", look, times=2)
    http = door(server)
    for _ in range(2):
        http.call("GET", "/things", "look")
    assert seen == [None, None]
