"""SOAP to vCenter: pyVmomi, imported lean, with a timeout for each call and errors that say what was sent.

The door to pyVmomi, which is imported late: without bytecode that takes a quarter of a second. It promises that
a failed connection (nothing was sent) and a lost answer (something may have been done) are distinguished, that no
stale pooled connection makes the one look like the other, and that TLS is verified for every host name.
"""

import ctypes
import gc
import re
import select
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from typing import Any, TypeVar
from xml.parsers.expat import ExpatError

from vsphere.errors import Setting, Unreachable, VsphereError
from vsphere.ports import Guard

API_VERSION = "vim.version.version11"
"""vSphere 6.5: old enough for every vCenter that can still be met, new enough for all that is read here"""
UNUSED_TYPES = ("eam", "pbm", "sms", "vslm", "vsanhealth")
"""type sets of other products; pyVmomi's own loader tolerates that they cannot be imported"""
LARGEST_FILE = 1 << 20
"""bytes that are read of a datastore's file: all that is read here are scripts"""
UNREADABLE = (ExpatError, LookupError, TypeError, AttributeError, ValueError)
"""what pyVmomi raises on an answer that is cut off, or not of the form that its types say"""
TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (.*)")
"""what http.client says of a proxy's answer"""
Result = TypeVar("Result")
Blocking = Callable[[], AbstractContextManager[None]]
"""wraps what may have to be broken off; in it a TimeoutError may come up at any time"""


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that tunnels to vCenter."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """what it is to be sent, such as credentials"""

    def __str__(self) -> str:
        """Return the proxy as people know it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NotSent(Exception):
    """No connection could be made: the request never left."""


@cache
def pyvmomi() -> Any:
    """Import pyVmomi without what is never used here, and give back the memory that its import took.

    Measured with 9.1 and compiled bytecode: 0.03 s and 5 MiB instead of 0.18 s and 35 MiB. Where Python has to
    compile it first (0.27 s, 70 MiB), trimming gives 55 MiB back.
    """
    modules: dict[str, Any] = sys.modules
    hidden = [name for part in UNUSED_TYPES if (name := f"pyVmomi._typeinfo_{part}") not in modules]
    modules.update(dict.fromkeys(hidden))
    try:
        import pyVmomi  # noqa: PLC0415 - late, see above
    finally:
        for name in hidden:
            del modules[name]
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other systems do without
    if trim:
        trim(0)
    return pyVmomi


def tls_context(ca_pem: str = "", *, insecure: bool = False) -> ssl.SSLContext:
    """Return a context that trusts the system's store, or instead just the PEM bundle given."""
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except (ssl.SSLError, ValueError) as error:
        raise VsphereError(
            "The CA bundle for vCenter is not valid PEM.",
            "Give blocks that begin with -----BEGIN CERTIFICATE-----.",
            Setting.VCENTER_CA,
        ) from error
    # vCenter's own CA issues certificates that lack what Python 3.13 began to insist on; and people put the
    # server's certificate itself into the bundle, which Go's populator accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Connection(HTTPSConnection):
    """A connection to vCenter, through the proxy if there is one; certificates know no zone of an IPv6 address."""

    def __init__(
        self, proxy: Proxy | None, host: str, port: int, *, context: ssl.SSLContext, timeout: float
    ) -> None:
        place = (proxy.host, proxy.port) if proxy else (host, port)
        super().__init__(*place, timeout=timeout, context=context)
        self._name, self._tls = host.strip("[]").partition("%")[0], context
        if proxy:
            # Python 3.11 asks a proxy for an IPv6 address as it is given, later ones in brackets.
            self.set_tunnel(f"[{self._name}]" if ":" in host else host, port, dict(proxy.headers))

    def connect(self) -> None:
        """Connect, and verify that it is vCenter."""
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


@cache
def stub_class() -> Any:
    """Return pyVmomi's SOAP adapter with a timeout for each call, `seconds`, and a count of calls."""

    class Stub(pyvmomi().SoapStubAdapter):  # type: ignore[misc] # a class of an untyped library
        seconds = 30.0
        calls = 0
        guard: Guard | None = None

        def InvokeMethod(self, *args: Any, **options: Any) -> Any:  # noqa: N802 - pyVmomi's name
            self.calls += 1
            return super().InvokeMethod(*args, **options)

        def GetConnection(self) -> Any:  # noqa: N802 - pyVmomi's name
            self.schemeArgs["timeout"] = self.seconds
            while self.pool and not is_idle(self.pool[0][0]):
                self.pool.pop(0)[0].close()
            try:
                connection = super().GetConnection()
                connection.sock.settimeout(self.seconds)
            except (OSError, HTTPException) as error:
                raise NotSent from error
            if guard := self.guard:
                try:
                    guard()
                except BaseException:
                    connection.close()
                    raise
            return connection

    return Stub


def is_idle(connection: Any) -> bool:
    """Return whether a pooled connection is open and silent; a readable one was closed by the server."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


class Soap:
    """Calls to one vCenter, whose transport errors are `Unreachable` (or certificate trouble)."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, proxy: Proxy | None = None) -> None:
        self.name = host
        self.port = port
        self._context = context
        self._proxy = proxy
        # A pooled connection unused for longer is replaced: proxies before vCenter drop idle ones silently.
        self.stub = stub_class()(
            host, port, version=API_VERSION, sslContext=context, connectionPoolTimeout=20
        )
        self.stub.scheme = partial(Connection, proxy)

    def call(
        self,
        act: Callable[[], Result],
        seconds: float,
        blocking: Blocking = nullcontext,
        guard: Guard | None = None,
    ) -> Result:
        """Run one call with its timeout; faults of vCenter come through as pyVmomi's exceptions."""
        self.stub.seconds, self.stub.guard = seconds, guard
        try:
            with blocking():
                return act()
        except NotSent as error:
            cause = error.__cause__ or error
            raise self._not_sent(cause) from cause
        except pyvmomi().vmodl.MethodFault:
            raise
        except TimeoutError as error:
            why = f"within {seconds:.0f} s" if "timed out" in str(error) else f"({error})"
            raise self._lost(f"did not answer {why}") from error
        except (OSError, HTTPException) as error:
            raise self._lost(f"broke off a call ({describe(error)})") from error
        except UNREADABLE as error:
            raise self._lost(f"gave an answer that cannot be read ({describe(error)})") from error
        finally:
            self.stub.guard = None

    def fetch(
        self, method: str, target: str, body: bytes, seconds: float, blocking: Blocking = nullcontext
    ) -> tuple[int, bytes]:
        """Make a plain request in the session, over a connection of its own; return HTTP status and content."""
        connection = Connection(self._proxy, self.name, self.port, timeout=seconds, context=self._context)

        def act() -> tuple[int, bytes]:
            try:
                connection.connect()
            except OSError as error:
                raise NotSent from error
            connection.request(method, target, body, {"Cookie": self.stub.cookie or ""})
            answer = connection.getresponse()
            content = answer.read(LARGEST_FILE)
            # Read with a limit, a short answer is no error to http.client.
            if answer.length and len(content) < LARGEST_FILE:
                raise IncompleteRead(content, answer.length)
            return answer.status, content

        try:
            return self.call(act, seconds, blocking)
        finally:
            connection.close()

    def certificate_ends(self, seconds: float, blocking: Blocking = nullcontext) -> float | None:
        """Return when vCenter's certificate expires, in seconds since 1970; None where it is not verified."""
        connection = Connection(self._proxy, self.name, self.port, timeout=seconds, context=self._context)

        def act() -> dict[str, Any]:
            try:
                connection.connect()
            except OSError as error:
                raise NotSent from error
            return connection.sock.getpeercert() or {}

        try:
            ends = self.call(act, seconds, blocking).get("notAfter")
        finally:
            connection.close()
        return ssl.cert_time_to_seconds(ends) if ends else None

    def renew(self) -> None:
        """Drop all connections, so that the next call has a fresh one."""
        self.stub.DropConnections()

    def forget_session(self) -> None:
        """Drop the session's cookie, so that the next call comes as a stranger."""
        self.stub.SetSessionId(None)

    def _lost(self, what: str) -> Unreachable:
        return Unreachable(
            f"vCenter {self.name} {what}.",
            "Check that vCenter is up and reachable from the cluster.",
            sent=True,
        )

    def _not_sent(self, error: BaseException) -> VsphereError:
        """Put into words why there is no connection."""
        where, setting = f"vCenter {self.name}", Setting.VCENTER_ADDRESS
        if isinstance(error, ssl.SSLCertVerificationError):
            return VsphereError(
                f"The certificate of {where} is not trusted: {error.verify_message}",
                "Put the CA that signed it into the CA bundle for vCenter.",
                Setting.VCENTER_CA,
            )
        if self._proxy:
            return self._proxy_failed(self._proxy, error)
        if isinstance(error, socket.gaierror):
            text = f"The host name of {where} cannot be resolved."
            hint = "Check the address of vCenter, and the DNS."
            return (
                Unreachable(text, hint, setting, sent=False)
                if error.errno == socket.EAI_AGAIN
                else VsphereError(text, hint, setting)
            )
        hint = f"Check its address, that vCenter is up, and that port {self.port} can be reached from here."
        if isinstance(error, ConnectionRefusedError):
            return Unreachable(f"{where} refuses connections on port {self.port}.", hint, setting, sent=False)
        return Unreachable(
            f"There is no connection to {where}: {describe(error)}.", hint, setting, sent=False
        )

    def _proxy_failed(self, proxy: Proxy, error: BaseException) -> VsphereError:
        """Put into words why there is no connection through the proxy."""
        hint = f"Correct HTTPS_PROXY, or name {self.name} in NO_PROXY if no proxy is needed on the way to it."
        refusal = TUNNEL_REFUSED.search(str(error))
        if refusal:
            text = f"The proxy {proxy} does not let us through to vCenter {self.name}: {refusal[1]}."
            passing = refusal[1].startswith("5")
            return Unreachable(text, hint, sent=False) if passing else VsphereError(text, hint)
        why = describe(error)
        if isinstance(error, socket.gaierror):
            why = "the proxy's name cannot be resolved"
        elif isinstance(error, ConnectionRefusedError):
            why = "the proxy refuses connections"
        text = f"There is no connection to vCenter {self.name} through the proxy {proxy}: {why}."
        return Unreachable(text, hint, sent=False)


def describe(error: BaseException) -> str:
    """Return an exception of the network in a few words."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
