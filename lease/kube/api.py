"""The only door to Kubernetes: JSON by path, a timeout for each request, no hidden repetition.

The `kubernetes` package gives the ways to a cluster (service account or kubeconfig), the TLS set-up and the proxies
(see `library`). Its models and typed APIs are left out: we read a few fields of a few objects.

A request is sent once. What is repeated, and when, is decided by the callers, because a lease counts its time from
just before the request that succeeded. One exception: refused credentials (401), where others lie in the file by
now because tokens rotate, are replaced and the request is sent again; a refused request has done nothing.
"""

import json
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from lease.kube.errors import BELIEVED_AFTER, BELIEVED_FROM_STARTING, ApiError
from lease.kube.library import Way

__all__ = ["Api", "ApiError", "Json", "Watch"]

Json = dict[str, Any]

READY_PATH = "/readyz"
"""tells whether the server has read all that it judges by; unlike other paths it is open to all who have logged in"""
READY_SECONDS = 2.0
"""for its answer"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Request:
    verb: str
    path: str
    timeout: float | tuple[float, float]
    params: dict[str, str] = field(default_factory=dict)
    body: Json | None = None

    @property
    def words(self) -> str:
        return f"{'WATCH' if 'watch' in self.params else self.verb} {self.path}"


class Api:
    """Read, write and watch objects of one cluster; may be used by several threads at once."""

    def __init__(self, way: Way, timeout: float) -> None:
        self._way = way
        self._timeout = timeout
        self._broken = way.library.broken
        self._garbled: tuple[type[Exception], ...] = (*self._broken, ValueError)
        self._use(way.configuration())

    @classmethod
    def connect(
        cls, kubeconfig: str | None = None, master: str | None = None, timeout: float = 10.0
    ) -> "Api":
        """Prepare the way to a cluster; nothing is sent yet.

        With neither a kubeconfig nor a master: the pod's service account, or outside of a pod the kubeconfig
        that kubectl would take. `master` replaces the server's address. `timeout`, in seconds, is for
        connecting and for each silence in an answer. Raises ApiError when no way is found.
        """
        return cls(Way(kubeconfig, master), timeout)

    @property
    def address(self) -> str:
        """The server's, as a URL."""
        return self._host

    def get(self, path: str, timeout: float | None = None, **params: str) -> Json:
        """Read one object, or with a collection's path a list."""
        return self._call(_Request("GET", path, timeout or self._timeout, params))

    def get_dated(self, path: str) -> tuple[Json, datetime | None]:
        """Read one object; return it with the moment, to the second, at which the server answered by its own clock."""
        request = _Request("GET", path, self._timeout)
        response = self._open(request)
        return self._read(request, response), _date(response.headers.get("Date"))

    def create(self, path: str, body: Json, timeout: float | None = None) -> Json:
        """Create an object in the collection of that path, and return it as stored."""
        return self._call(_Request("POST", path, timeout or self._timeout, body=body))

    def replace(self, path: str, body: Json, timeout: float | None = None) -> Json:
        """Replace an object, and return it as stored; 409 unless the body's resourceVersion is the stored one."""
        return self._call(_Request("PUT", path, timeout or self._timeout, body=body))

    def watch(self, path: str, silence: float, **params: str) -> "Watch":
        """Watch a collection; breaks off after `silence` seconds without a word, whatever the reason."""
        request = _Request("GET", path, (self._timeout, silence), {"watch": "true", **params})
        response = self._open(request)
        return Watch(response, lambda error: self._no_answer(request, error), self._garbled)

    def _call(self, request: _Request) -> Json:
        return self._read(request, self._open(request))

    def _read(self, request: _Request, response: Any) -> Json:
        try:
            answer = json.loads(response.read())
        except self._garbled as error:
            raise self._no_answer(request, error) from error
        if not isinstance(answer, dict) or not answer:
            raise self._no_answer(request, ValueError("the answer is not a JSON object, or an empty one"))
        return answer

    def _open(self, request: _Request) -> Any:
        """Send a request and return the response of its success, the body still unread."""
        used = self._authorization
        response = self._send(request)
        if response.status == 401 and self._credentials_changed(used):
            response.close()
            response = self._send(request)
        log.debug("%s: %s", request.words, response.status)
        if response.status not in {200, 201}:
            raise self._refusal(request, response)
        return response

    def _send(self, request: _Request) -> Any:
        headers = {"Accept": "application/json", "User-Agent": "xcopy-populator"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if self._authorization:
            headers["Authorization"] = self._authorization
        url = self._host + request.path + ("?" + urlencode(request.params) if request.params else "")
        try:
            answer = self._rest.request(
                request.verb, url, headers, request.body, _request_timeout=request.timeout
            )
        except self._broken as error:
            raise self._no_answer(request, error) from error
        return answer.response

    def _use(self, configuration: Any) -> None:
        self._host: str = configuration.host
        self._authorization = _authorization(configuration)
        self._rest = self._way.library.rest(configuration)

    def _credentials_changed(self, used: str | None) -> bool:
        """Read the credentials again, and say whether they are others than those just refused."""
        configuration = self._way.configuration()
        if _authorization(configuration) == used:
            return False
        log.info("The credentials for the Kubernetes API have changed; going on with the new ones.")
        self._use(configuration)
        return True

    def _no_answer(self, request: _Request, error: Exception) -> ApiError:
        """Translate a failure below HTTP; other connections kept open may be dead as well, so drop them."""
        self._rest.close()
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return ApiError(
                request.words, self._host, reason="Untrusted", message=root.verify_message.rstrip(".")
            )
        message = getattr(root, "strerror", None) or str(root) or type(root).__name__
        message = "timed out" if "timed out" in message else message.rstrip(".")
        proxy = getattr(self._rest.pool_manager, "proxy", None)
        if proxy:
            message += f", through the proxy {proxy.host}:{proxy.port} (HTTPS_PROXY, where NO_PROXY names no exception)"
        return ApiError(request.words, self._host, reason="Unreachable", message=message)

    def _refusal(self, request: _Request, response: Any) -> ApiError:
        """Translate an answer that is not a success; what a proxy says in HTML is not shown."""
        try:
            status = json.loads(response.read())
        except self._garbled:
            status = None
        retry_after = response.headers.get("Retry-After")
        doubt = BELIEVED_FROM_STARTING if response.status == 403 and self._starts() else BELIEVED_AFTER
        return _refused(request.words, self._host, status, (response.status, retry_after), doubt)

    def _starts(self) -> bool:
        """Whether the server does not say that it is ready."""
        with suppress(ApiError, *self._garbled):
            response = self._send(_Request("GET", READY_PATH, READY_SECONDS))
            response.read()
            return response.status not in {200, 404}
        return True


class Watch:
    """The events of one watch, oldest first; to be closed by the thread that reads it, or stopped by any."""

    def __init__(
        self, response: Any, no_answer: Callable[[Exception], ApiError], garbled: tuple[type[Exception], ...]
    ) -> None:
        self._response = response
        self._no_answer = no_answer
        self._garbled = garbled
        self._stopped = False

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the watch and give its connection back."""
        self._response.close()

    def __iter__(self) -> Iterator[Json]:
        """Yield events until the server ends the watch, or we do; raises ApiError when it breaks off."""
        rest = b""
        try:
            while piece := self._response.read1(1 << 16):
                *lines, rest = (rest + piece).split(b"\n")
                yield from map(_event, filter(None, lines))
        except self._garbled as error:
            if not self._stopped:
                raise self._no_answer(error) from error

    def stop(self) -> None:
        """End the watch, also while another thread waits for its next event."""
        self._stopped = True
        with suppress(ValueError, RuntimeError, OSError):  # it has ended by itself
            self._response.shutdown()


def _date(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header or "")
    except ValueError:
        return None


def _event(line: bytes) -> Json:
    event = json.loads(line)
    if not isinstance(event, dict):
        raise ValueError("a watch event is not a JSON object")  # noqa: TRY004 - not valid JSON is the same
    if event.get("type") == "ERROR":
        raise _refused("WATCH", "", event.get("object"), (500, None))
    return event


def _refused(
    words: str, server: str, status: Any, answer: tuple[int, str | None], doubt: float = BELIEVED_AFTER
) -> ApiError:
    """Make an error of a Status object and of HTTP's status and Retry-After (Kubernetes sends seconds there)."""
    status = status if isinstance(status, dict) else {}
    details = status.get("details")
    seconds = answer[1] or str(details.get("retryAfterSeconds") if isinstance(details, dict) else "")
    return ApiError(
        words,
        server,
        status=int(status.get("code") or answer[0]),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or "no explanation was given"),
        retry_after=float(seconds) if seconds.isdigit() else None,
        believed_after=doubt,
    )


def _authorization(configuration: Any) -> str | None:
    key = configuration.get_api_key_with_prefix("BearerToken")
    return key.strip() if isinstance(key, str) else None  # a file may end in a newline, a header may not


def _root(error: BaseException) -> BaseException:
    """Return the first cause of a chain; urllib3 keeps that of a TLS failure among the arguments."""
    while True:
        inner = error.__cause__ or error.__context__ or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            return error
        error = inner
