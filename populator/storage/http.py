"""The HTTP door to storage arrays: TLS, time-outs, size cap, and errors in the user's words.

The only user of requests. Makes each call once: what may be repeated is the driver's to know (see `retry`).
A call that may change something is not broken off at once by SIGTERM: it could be done all the same, behind the
undo. Every failure is a `StorageError`, either `Refused` (the array answered, and said no) or `Unanswered` (nobody
knows whether it did what was asked); `passing` says whether time may heal it. Redirects are not followed, since
they would carry the credentials elsewhere.
"""

import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from populator.address import Address, parse_address
from populator.clock import Clock
from populator.errors import StorageError
from populator.proxy import Proxy, find_proxy
from populator.storage.access import Access
from populator.storage.answer import Answer

LARGEST_ANSWER = 16 * 1024 * 1024
MOST_PAGES = 1000
PASSING = {HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= 500)}
Explain = Callable[[Answer], tuple[str, str]]
"""the vendor's reading of an error's body: its code and its message, empty where there is none"""


class Refused(StorageError):
    """The array answered with an error."""

    def __init__(self, text: str, hint: str, status: int, code: str, retry_after: float = 0.0) -> None:
        super().__init__(text, hint)
        self.status = status
        self.code = code
        """the vendor's own error code, empty where it gave none"""
        self.passing = status in PASSING
        self.retry_after = retry_after
        """seconds for which the array asks to be left alone"""


class Unanswered(StorageError):
    """No usable answer came; a write may or may not have happened."""

    def __init__(self, text: str, hint: str = "", *, passing: bool = True) -> None:
        super().__init__(text, hint)
        self.passing = passing


def passing(error: BaseException) -> bool:
    """Return whether the same call may fare better in a moment."""
    return isinstance(error, Refused | Unanswered) and error.passing


def origin(hostname: str) -> str:
    """Return `https://host[:port]` of a host, a host:port or a URL; whatever else a URL holds is dropped."""
    return f"https://{read_address(hostname)}"


def read_address(hostname: str) -> Address:
    """Return the array's address."""
    try:
        return parse_address(hostname)
    except ValueError as error:
        raise StorageError(
            "STORAGE_HOSTNAME is not the name of a host.", "Give it as host, host:port or https://host."
        ) from error


def proxy_to(hostname: str) -> Proxy | None:
    """Return the proxy on the way to the array, by which requests will go of itself."""
    try:
        return find_proxy(read_address(hostname))
    except ValueError as error:
        raise StorageError(str(error), "Correct it, or name the array in NO_PROXY.") from error


def tls_context(*, verify: bool) -> ssl.SSLContext:
    """Return a context that trusts the system's store (SSL_CERT_FILE names another), or REQUESTS_CA_BUNDLE alone."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(
            cafile=None if bundle and Path(bundle).is_dir() else bundle,
            capath=bundle if bundle and Path(bundle).is_dir() else None,
        )
    except OSError as error:  # ssl's own errors are of this kind
        raise StorageError(
            f"REQUESTS_CA_BUNDLE names {bundle!r}, which is no bundle of PEM certificates that can be read.",
            "Correct or remove it.",
        ) from error
    # As at the other doors: companies' own CAs leave out the key identifiers that Python 3.13 began to insist on, and
    # people put the server's certificate itself into the bundle.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Adapter(requests.adapters.HTTPAdapter):
    """Verifies by a context of ours alone, where requests would take a bundle of its own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Let connections to the array use the context."""
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Let connections through a proxy use it, too."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)

    def build_connection_pool_key_attributes(self, *args: Any, **options: Any) -> Any:
        """Put an IPv6 address back into the brackets of which requests has taken it: urllib3 looks there for a zone."""
        parts, pool = super().build_connection_pool_key_attributes(*args, **options)
        host = str(parts["host"])
        return {**parts, "host": f"[{host}]" if ":" in host else host}, pool

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:  # noqa: ARG002 - requests' own
        """Leave the store as it is."""
        conn.cert_reqs = self._context.verify_mode


class Http:
    """A session with one array, by HTTPS and JSON."""

    def __init__(self, access: Access, clock: Clock, product: str, explain: Explain) -> None:
        self.origin = origin(access.hostname)
        self.name = f"The {product} array {self.origin.removeprefix('https://')!r}"
        self._access = access
        self._proxy = proxy_to(access.hostname)
        self._clock = clock
        self._explain = explain
        self._session = requests.Session()
        self._session.auth = HTTPBasicAuth(access.username.encode(), access.password.encode())
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
    ) -> Answer:
        """Make one call and return its answer; `act` completes "the array refused to …" in errors."""
        with nullcontext() if method == "GET" else self._clock.finishing():
            try:
                with self._clock.blocking():
                    status, raw, retry_after = self._send(method, path, query, body)
            except (requests.RequestException, TimeoutError) as error:
                raise self._translate(error, act) from error
        if status >= 300:
            raise self._refusal(status, raw, act, self._seconds(retry_after))
        return self._decode(raw, act)

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
                raise StorageError(f"{self.name} sends us to another address for the rest of a list.")
        raise StorageError(f"{self.name} gives a list of more than {MOST_PAGES} pages.")

    def close(self) -> None:
        """Drop the connections; never raises."""
        self._session.close()

    def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: object
    ) -> tuple[int, bytes, str]:
        limit = self._clock.limit(self._access.timeout)
        answer = self._session.request(
            method,
            self.origin + path,
            params=query,
            json=body,
            timeout=limit,
            verify=self._access.verify,
            allow_redirects=False,
            stream=True,
        )
        with answer:
            raw = self._read(answer, self._clock.now() + limit)
            return answer.status_code, raw, answer.headers.get("Retry-After", "")

    def _read(self, answer: requests.Response, end: float) -> bytes:
        """Return the body; requests' own time-out is one for each read, so a trickle would never end."""
        raw = bytearray()
        for chunk in answer.iter_content(64 * 1024):
            raw += chunk
            if len(raw) > LARGEST_ANSWER:
                raise Unanswered(
                    f"{self.name} answered with more than {LARGEST_ANSWER} bytes.", passing=False
                )
            if self._clock.now() > end:
                raise requests.ReadTimeout
        return bytes(raw)

    def _decode(self, raw: bytes, act: str) -> Answer:
        try:
            return Answer(json.loads(raw or b"{}"), self.name)
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

    def _refusal(self, status: int, raw: bytes, act: str, retry_after: float) -> Refused:
        try:
            code, message = self._explain(Answer(json.loads(raw), self.name))
        except (ValueError, StorageError):
            code, message = "", ""  # an error page of a proxy, or none at all
        why = message.rstrip(".") or "no reason given"
        number = f"HTTP {status}, code {code}" if code else f"HTTP {status}"
        text = f"{self.name} refused to {act}: {why} ({number})."
        if status == HTTPStatus.UNAUTHORIZED:
            text = f"{self.name} does not accept the credentials of {self._access.username!r} ({number})."
        return Refused(text, HINTS.get(status, ""), status, code, retry_after)

    def _translate(self, error: requests.RequestException | TimeoutError, act: str) -> Unanswered:
        causes = list(chain(error))
        if self._proxy and any(isinstance(cause, requests.exceptions.ProxyError) for cause in causes):
            return self._proxy_failed(self._proxy, causes, act)
        for kind, words in CAUSES:
            found = next((cause for cause in causes if isinstance(cause, kind)), None)
            if found is not None:
                text, hint, heals = words(found)
                way = f", reached through the proxy {self._proxy}," if self._proxy else ""
                return Unanswered(f"{self.name}{way} {text} (asked to {act}).", hint, passing=heals)
        return Unanswered(f"{self.name} could not be asked to {act}: {type(error).__name__}.")

    def _proxy_failed(self, proxy: Proxy, causes: list[BaseException], act: str) -> Unanswered:
        """Put into words that the proxy is not there, or does not let us through."""
        refusal = next((found[1] for cause in causes if (found := TUNNEL_REFUSED.search(str(cause)))), "")
        kinds = (words for kind, words in NO_PROXY_THERE if any(isinstance(cause, kind) for cause in causes))
        why = refusal or next(kinds, "it broke off the connection")
        text = f"{self.name} cannot be asked to {act} through the proxy {proxy}: {why}."
        return Unanswered(text, CHECK_PROXY, passing=not refusal or refusal.startswith("5"))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it wraps; urllib3 keeps causes in `reason` and in its arguments too."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]


def _untrusted(error: Any) -> tuple[str, str, bool]:
    why = getattr(error, "verify_message", "") or "verification failed"
    return (
        f"shows a certificate that is not trusted: {why}",
        TRUST,
        False,
    )


TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (.*)")
"""what http.client says of a proxy's answer"""
NO_PROXY_THERE: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the proxy's name cannot be resolved"),
    (ConnectionRefusedError, "the proxy refuses connections"),
    (TimeoutError, "the proxy did not answer in time"),
)
CHECK_PROXY = "Correct HTTPS_PROXY, or name the array in NO_PROXY if no proxy is needed on the way to it."
TRUST = (
    "Trust its CA (a PEM file named by SSL_CERT_FILE or REQUESTS_CA_BUNDLE), use the name that the certificate is "
    "for, or set STORAGE_SKIP_SSL_VERIFICATION=true."
)
REACH = "Check STORAGE_HOSTNAME, and that the pod's network reaches the array's management address."
HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Check STORAGE_USERNAME and STORAGE_PASSWORD in the Secret.",
    HTTPStatus.FORBIDDEN: "Give the user of STORAGE_USERNAME a role that allows this.",
}
CAUSES: list[tuple[type[BaseException], Callable[[Any], tuple[str, str, bool]]]] = [
    (ssl.SSLCertVerificationError, _untrusted),
    (ssl.SSLEOFError, lambda _: ("broke off the connection", REACH, True)),
    (
        ssl.SSLError,
        lambda e: (f"does not speak TLS as we do: {e.reason or 'handshake failed'}", REACH, False),
    ),
    (socket.gaierror, lambda _: ("has a name that cannot be resolved", REACH, True)),
    (ConnectionRefusedError, lambda _: ("refuses connections", REACH, True)),
    (requests.ConnectTimeout, lambda _: ("cannot be reached: no answer to a connection", REACH, True)),
    (requests.Timeout, lambda _: ("did not answer in time", "Look at the array's load and health.", True)),
    (TimeoutError, lambda _: ("did not answer in time", "Look at the array's load and health.", True)),
    (requests.ConnectionError, lambda _: ("broke off the connection", REACH, True)),
    (requests.exceptions.ChunkedEncodingError, lambda _: ("broke off in mid-answer", REACH, True)),
]
"""the first kind found among the causes decides: its words, the hint, and whether it may pass"""
