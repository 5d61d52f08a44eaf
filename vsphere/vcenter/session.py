"""One session with vCenter: log-in, timeouts, one re-login when it has expired, log-out.

Promises that a call whose session has expired is made again after a new log-in (vCenter refused it, so nothing
was done), that every call has a timeout and ends at once when we are told to stop (the log-in, and calls that change
something, get a few seconds to end), and that errors come as `VsphereError` without secrets. Holds no thread that keeps
the session alive: polls do that, and whoever waits longer than vCenter's idle timeout (30 min) for a lease pays one
log-in afterwards.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

from vsphere.errors import LoginRefused, Setting, Unreachable, VcenterFault, VsphereError, is_passing
from vsphere.ports import Clock, Guard, Retry
from vsphere.vcenter.soap import Proxy, Soap, pyvmomi, tls_context

log = logging.getLogger(__name__)
Result = TypeVar("Result")

DEFAULT_SECONDS = 30.0
"""timeout of a call"""
LOG_OUT_UNTIL = 25.0
"""seconds after we were told to stop; a session that is left would use up one of vCenter's few for half an hour"""
HINTS = {
    "NoPermission": "Give the vCenter user the privileges that the documentation lists (Global.Settings and "
    "Host.Config.Storage on the host, System.Read everywhere).",
    "ManagedObjectNotFound": "The object was removed or vCenter was reinstalled; refresh the provider's inventory.",
    "HostNotConnected": "Reconnect the host in vCenter.",
    "HostCommunication": "Check that the host and its management agents (hostd, vpxa) are up.",
}


class Session:
    """A vCenter session; as a context manager it logs out at the end, also one that has died."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        *,
        clock: Clock,
        retry: Retry,
        ca_pem: str = "",
        insecure: bool = False,
        proxy: Proxy | None = None,
    ) -> None:
        self.host = host
        self._credentials = (user, password)
        self._clock = clock
        self._retry = retry
        self._soap = Soap(host, port, tls_context(ca_pem, insecure=insecure), proxy)
        self._content: Any = None
        self._key = ""

    def __repr__(self) -> str:
        """Return the host, never the credentials."""
        return f"Session({self.host!r})"

    def __enter__(self) -> Self:
        """Begin without a call; `login` makes the first."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def vim(self) -> Any:
        """The types of vSphere, imported at the first use."""
        return pyvmomi().vim

    @property
    def content(self) -> Any:
        """The service content: property collector, search index, and so on."""
        if self._content is None:
            self.login()
        return self._content

    @property
    def key(self) -> str:
        """What vCenter knows this session by."""
        if not self._key:
            self.login()
        return self._key

    def certificate_ends(self, seconds: float = DEFAULT_SECONDS) -> datetime | None:
        """Return when vCenter's certificate expires, over a connection of its own; None where it is not verified."""
        ends = self._soap.certificate_ends(self._clock.limit(seconds), self._clock.blocking)
        return datetime.fromtimestamp(ends, UTC) if ends is not None else None

    @property
    def calls(self) -> int:
        """SOAP calls made so far."""
        return int(self._soap.stub.calls)

    def login(self) -> None:
        """Log in; repeatable. Raises `LoginRefused`, or `VsphereError` where vCenter is not to be had."""
        self._retry(self._login, is_passing)

    def close(self) -> None:
        """Log out, as far as that is possible."""
        if self._content is not None:
            with suppress(VsphereError), self._clock.grace(LOG_OUT_UNTIL):
                self._once(self._content.sessionManager.Logout, 5.0)
        log.debug("vCenter session ends after %d calls", self.calls)
        self._content = None
        self._soap.forget_session()
        self._soap.renew()

    def reference(self, kind: str, moid: str) -> Any:
        """Return a managed object by its type (`HostSystem`) and id, without a call."""
        return getattr(self.vim, kind)(moid, self._soap.stub)

    def invoke(self, target: Any, method: Any, *arguments: Any) -> Any:
        """Invoke a method, given by its type information, of a managed object; to be used within `read` or `call`."""
        return self._soap.stub.InvokeMethod(target, method, arguments)

    def read(
        self, act: Callable[[], Result], seconds: float = DEFAULT_SECONDS, guard: Guard | None = None
    ) -> Result:
        """Make a call that may be made twice; made again while vCenter or the host is away for a moment."""
        return self._retry(lambda: self.call(act, seconds, guard=guard), is_passing)

    def call(
        self,
        act: Callable[[], Result],
        seconds: float = DEFAULT_SECONDS,
        *,
        fresh: bool = False,
        guard: Guard | None = None,
    ) -> Result:
        """Make a call once; see `VsphereError` for what its errors say.

        `fresh` makes it over a new connection, so that it cannot be lost in one that vCenter was closing. The `guard`
        is asked when all that takes time is done, each time that the request is about to leave.
        """
        if fresh:
            self._soap.renew()
        try:
            return self._once(act, seconds, guard)
        except VcenterFault as fault:
            if fault.name != "NotAuthenticated":
                raise
        log.info("the vCenter session has expired; logging in again")
        self._relogin()
        return self._once(act, seconds, guard)

    def finishing(self) -> AbstractContextManager[None]:
        """Wrap calls that should not be broken off half-way; see `Clock`."""
        return self._clock.finishing()

    def repeat(self, act: Callable[[], Result]) -> Result:
        """Do what may be done several times, again while vCenter or the host is away for a moment."""
        return self._retry(act, is_passing)

    def fetch(
        self, method: str, target: str, body: bytes = b"", seconds: float = DEFAULT_SECONDS
    ) -> tuple[int, bytes]:
        """Make a plain HTTPS request that may be repeated, as to files of datastores; return status and content."""
        if self._content is None:
            self.login()

        def once() -> tuple[int, bytes]:
            with nullcontext() if method == "GET" else self.finishing():
                status, content = self._soap.fetch(
                    method, target, body, self._clock.limit(seconds), self._clock.blocking
                )
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                text = f"vCenter {self.host} answers a request for a file with HTTP {status}."
                raise Unreachable(
                    text, "Check vCenter's services, and the datastore's free space.", sent=True
                )
            return status, content

        status, content = self._retry(once, is_passing)
        if status == HTTPStatus.UNAUTHORIZED:  # the session has expired, or the user lacks a privilege
            self._relogin()
            status, content = self._retry(once, is_passing)
        return status, content

    def _relogin(self) -> None:
        """Log in where a call was refused; whatever happens here, that call was not carried out."""
        self._soap.forget_session()
        try:
            self._login()
        except Unreachable as error:
            raise Unreachable(error.text, error.hint, error.setting, sent=False) from error

    def _login(self) -> None:
        if self._content is None:
            instance = self.reference("ServiceInstance", "ServiceInstance")
            content = self._once(instance.RetrieveContent)
        else:
            content = self._content
        user, password = self._credentials
        self._soap.forget_session()  # of a log-in whose answer was lost: vCenter refuses a second one in its session
        with self.finishing():  # else vCenter may open a session whose cookie we never see
            session = self._once(lambda: content.sessionManager.Login(user, password, None))
            self._content, self._key = content, str(getattr(session, "key", ""))

    def _once(
        self, act: Callable[[], Result], seconds: float = DEFAULT_SECONDS, guard: Guard | None = None
    ) -> Result:
        try:
            return self._soap.call(act, self._clock.limit(seconds), self._clock.blocking, guard)
        except pyvmomi().vmodl.MethodFault as fault:
            raise self._explain(fault) from fault

    def _explain(self, fault: Any) -> VsphereError:
        """Translate a fault of vCenter."""
        name = type(fault).__name__.rpartition(".")[2]
        if name in {"InvalidLogin", "PasswordExpired"}:
            return LoginRefused(
                f"vCenter {self.host} refuses the user name or the password.",
                "Correct user name and password.",
                Setting.VCENTER_LOGIN,
            )
        message = " ".join(str(getattr(fault, "msg", "") or "").split())
        detail = f": {message}" if message else "."
        hint = HINTS.get(name, "")
        if privilege := getattr(fault, "privilegeId", None):
            where = f" on {fault.object._GetMoId()}" if fault.object is not None else ""
            hint = f"Give the vCenter user the privilege {privilege}{where}."
        return VcenterFault(name, f"vCenter {self.host} answers {name}{detail}", hint)
