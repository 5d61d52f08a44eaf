"""The HTTP door to storage arrays: TLS, log-in, timeouts, size cap, and errors in the user's words.

With `tls` and `failures` the only user of requests. Makes each call once: what may be repeated is the driver's to know
(see `retry`); only where the session has expired is the same call made again, after one new log-in. A call that may
change something is not broken off at once by SIGTERM: it could be done all the same, behind the undo. Redirects are not
followed, since they would carry the credentials elsewhere.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3

from populator.clock import Clock
from populator.errors import StorageError
from populator.proxy import Proxy, find_proxy
from populator.storage.access import Access
from populator.storage.address import origin, read_address
from populator.storage.answer import NO_HEADERS, ODD, WRONG_ARRAY, Answer
from populator.storage.failures import CHECK_CREDENTIALS, Refused, Unanswered, translate
from populator.storage.login import Login
from populator.storage.tls import Adapter, tls_context

LARGEST_ANSWER = 16 * 1024 * 1024
MOST_PAGES = 1000
LOG_OUT_UNTIL, LOG_OUT_SECONDS = 25.0, 5.0
"""seconds after we were told to stop, and for the call itself"""
Explain = Callable[[Answer], tuple[str, str]]
"""the vendor's reading of an error's body: its code and its message, empty where there is none"""


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def proxy_to(hostname: str) -> Proxy | None:
    """Return the proxy on the way to the array, by which requests will go of itself."""
    try:
        return find_proxy(read_address(hostname))
    except ValueError as error:
        raise StorageError(str(error), "Correct it, or name the array in NO_PROXY.") from error


class Http:
    """The calls to one array, by HTTPS and JSON."""

    def __init__(self, access: Access, clock: Clock, product: str, explain: Explain, login: Login) -> None:
        self.origin = origin(access.hostname)
        self.name = f"The {product} array {self.origin.removeprefix('https://')!r}"
        self._access = access
        self._proxy = proxy_to(access.hostname)
        self._clock = clock
        self._explain = explain
        self._login = login
        self._let_in_by: Mapping[str, str] | None = None
        """the headers of the session; None outside of one"""
        self._session = requests.Session()
        # The cookies of a session are in the headers of its log-in.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.auth = _leave  # else requests would look for credentials in the user's ~/.netrc
        self._session.mount("https://", Adapter(tls_context(verify=access.verify)))
        self._session.headers["Accept"] = "application/json"
        if not access.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def call(
        self,
        method: str,
        path: str,
        act: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        reads: bool = False,
        at_least: float = 0.0,
    ) -> Answer:
        """Make one call and return its answer; `act` completes "the array refused to …" in errors.

        `reads` says of a call that is no GET that it changes nothing all the same. It gets `at_least` so many seconds,
        where it is known to take longer than others.
        """
        try:
            return self._once(method, path, act, query, body, self._let_in(), reads=reads, at_least=at_least)
        except Refused as refusal:
            if not self._login.expired(refusal):
                raise
        self._let_in_by = None
        return self._once(method, path, act, query, body, self._let_in(), reads=reads, at_least=at_least)

    def pages(
        self, path: str, act: str, query: Mapping[str, str], next_path: Callable[[Answer], str]
    ) -> Iterator[Answer]:
        """Yield a list's pages; `next_path` reads where the next one is, empty at the end."""
        more: Mapping[str, str] | None = query
        for _ in range(MOST_PAGES):
            page = self.call("GET", path, act, more)
            yield page
            path, more = next_path(page), None
            if not path:
                return
            if not path.startswith("/"):
                raise StorageError(
                    f"{self.name} sends us to another address for the rest of a list.", WRONG_ARRAY
                )
        raise StorageError(f"{self.name} gives a list of more than {MOST_PAGES} pages.", ODD)

    def let_in(self) -> None:
        """Log in where that is not done, for a vendor whose paths depend on what the log-in learns."""
        self._let_in()

    def close(self) -> None:
        """Log out, as far as that is possible, and drop the connections; never raises."""
        if self._let_in_by is not None:
            with suppress(StorageError), self._clock.grace(LOG_OUT_UNTIL, LOG_OUT_SECONDS):
                self._login.end(self._once, self._let_in_by)
        self._let_in_by = None
        self._session.close()

    def _let_in(self) -> Mapping[str, str]:
        """Return the headers of the session, begun where there is none; a stop signal lets a log-in come to its end.

        Whatever the method of its calls: broken off, it could leave a session that nobody ends.
        """
        if self._let_in_by is None:
            with self._clock.finishing():
                self._let_in_by = self._login.begin(self._once)
        return self._let_in_by

    def _once(
        self,
        method: str,
        path: str,
        act: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        reads: bool = False,
        at_least: float = 0.0,
    ) -> Answer:
        """Make one call with these headers, in a session or not."""
        with nullcontext() if method == "GET" or reads else self._clock.finishing():
            try:
                with self._clock.blocking():
                    reply = self._send(method, path, query, body, headers, at_least)
            except (requests.RequestException, TimeoutError) as error:
                raise translate(error, self.name, act, self._proxy) from error
        if reply.status >= 300:
            raise self._refusal(reply, act)
        return self._decode(reply, act)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        headers: Mapping[str, str],
        at_least: float,
    ) -> Reply:
        limit = self._clock.limit(max(self._access.timeout, at_least))
        answer = self._session.request(
            method,
            self.origin + path,
            params=query,
            json=body,
            headers=headers,
            timeout=limit,
            verify=self._access.verify,
            allow_redirects=False,
            stream=True,
        )
        with answer:
            return Reply(answer.status_code, answer.headers, self._read(answer, self._clock.now() + limit))

    def _read(self, answer: requests.Response, end: float) -> bytes:
        """Return the body; requests' own timeout is one for each read, so a trickle would never end."""
        raw = bytearray()
        for chunk in answer.iter_content(64 * 1024):
            raw += chunk
            if len(raw) > LARGEST_ANSWER:
                raise Unanswered(
                    f"{self.name} answered with more than {LARGEST_ANSWER} bytes.", ODD, passing=False
                )
            if self._clock.now() > end:
                raise requests.ReadTimeout
        return bytes(raw)

    def _decode(self, reply: Reply, act: str) -> Answer:
        try:
            return Answer(json.loads(reply.body or b"{}"), self.name, reply.headers)
        except ValueError as error:
            raise Unanswered(
                f"{self.name} was asked to {act} and did not answer in JSON.",
                "Check that STORAGE_HOSTNAME is the address of the array's management API.",
                passing=False,
            ) from error

    def _seconds(self, retry_after: str) -> float:
        """Read Retry-After, seconds or a date; what is neither asks for nothing."""
        if retry_after.isdecimal():
            return float(retry_after)
        try:
            return (parsedate_to_datetime(retry_after) - self._clock.utc()).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a time zone
            return 0.0

    def _refusal(self, reply: Reply, act: str) -> Refused:
        status = reply.status
        try:
            code, message = self._explain(Answer(json.loads(reply.body), self.name))
        except (ValueError, StorageError):
            code, message = "", ""  # an error page of a proxy, or none at all
        why = message.rstrip(".") or "no reason given"
        number = f"HTTP {status}, code {code}" if code else f"HTTP {status}"
        text, hint = f"{self.name} refused to {act}: {why} ({number}).", ""
        by_token = bool(self._access.token) and not self._access.username
        if status == HTTPStatus.UNAUTHORIZED:
            whose = "in STORAGE_TOKEN" if by_token else f"of {self._access.username!r}"
            text = f"{self.name} does not accept the credentials {whose} ({number})."
            hint = "Check STORAGE_TOKEN in the Secret." if by_token else CHECK_CREDENTIALS
        elif status == HTTPStatus.FORBIDDEN:
            hint = f"Give the user of STORAGE_{'TOKEN' if by_token else 'USERNAME'} a role that allows this."
        pause = reply.headers.get("Retry-After") or reply.headers.get("RateLimit-Reset", "")
        return Refused(text, hint, status, code, self._seconds(pause))


def _leave(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
