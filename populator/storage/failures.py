"""What may go wrong between us and an array's management API, in the user's words.

Every failure is a `StorageError`, either `Refused` (the array answered, and said no) or `Unanswered` (nobody knows
whether it did what was asked); `passing` says whether time may heal it.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import requests

from populator.errors import StorageError
from populator.proxy import Proxy

LISTED, UNLISTED = "lists it all the same", "does not list it"
"""how an array contradicts itself about what it says to be gone, or to have made"""
DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
PASSING = {HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= 500)}


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


def beyond_us(error: BaseException) -> bool:
    """Return whether asking in another way is of no use: time may heal it, or it is the user's rights."""
    return passing(error) or (isinstance(error, Refused) and error.status in DENIED)


def may_be_done(error: Refused | Unanswered) -> bool:
    """Return whether a write that ended with this error may have been done, or may be in a moment."""
    return isinstance(error, Unanswered) or error.passing


def contradiction(name: str, claim: str, fact: str, where: str = "on the array") -> Unanswered:
    """Return the error for an array of that name that says one thing, and shows another."""
    return Unanswered(
        f"{name} says that {claim}, and {fact}.",
        f"Look at it {where}, and remove what is left of this run there.",
    )


def translate(error: BaseException, name: str, act: str, proxy: Proxy | None) -> Unanswered:
    """Return in the user's words what requests or a timeout says of a call to the array of that name."""
    causes = list(chain(error))
    if proxy and any(isinstance(cause, requests.exceptions.ProxyError) for cause in causes):
        return _proxy_failed(proxy, causes, name, act)
    for kind, words in CAUSES:
        cause = next((each for each in causes if isinstance(each, kind)), None)
        if cause is not None:
            text, hint, heals = words(cause)
            way = f", reached through the proxy {proxy}," if proxy else ""
            return Unanswered(f"{name}{way} {text} (asked to {act}).", hint, passing=heals)
    return Unanswered(f"{name} could not be asked to {act}: {type(error).__name__}.", REACH)


def _proxy_failed(proxy: Proxy, causes: list[BaseException], name: str, act: str) -> Unanswered:
    """Put into words that the proxy is not there, or does not let us through."""
    refusal = next((match[1] for cause in causes if (match := TUNNEL_REFUSED.search(str(cause)))), "")
    kinds = (words for kind, words in NO_PROXY_THERE if any(isinstance(cause, kind) for cause in causes))
    why = refusal or next(kinds, "it broke off the connection")
    text = f"{name} cannot be asked to {act} through the proxy {proxy}: {why}."
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
CHECK_CREDENTIALS = "Check STORAGE_USERNAME and STORAGE_PASSWORD in the Secret."
REACH = "Check STORAGE_HOSTNAME, and that the pod's network reaches the array's management address."
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
