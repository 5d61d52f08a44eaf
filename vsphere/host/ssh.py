"""Commands on one host over SSH: one connection for all of them, made again when it breaks.

With `ssh_keys` the door to paramiko, which is imported late. Promises that the host's key is checked before anything
is sent, that each command is sent once, with a timeout, and ends at once when we are told to stop, and that errors
tell whether the command may have run (`unclear`) and whether the same call may work a little later (`passing`).
"""

import logging
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Self

from vsphere.errors import LoginRefused, Setting, Unreachable, Unreadable, VsphereError
from vsphere.host.ssh_keys import HostTrust, load_private_key
from vsphere.ports import Clock, Guard

log = logging.getLogger(__name__)

DEFAULT_SECONDS = 30.0
LIMIT = 1 << 20
"""bytes of output that a command may have"""
SETTLE = 1.0
"""seconds without output after the command's end: what it left in the background may hold its output open for ever"""
KEEP_ALIVE = 30
"""seconds; so that nothing on the way forgets an idle connection"""
PATIENCE = 3600.0
"""for paramiko's own timeouts: ours come first, and are the same for all that it waits for"""
START_SSH = (
    "Start the host's SSH service (vSphere Client: Configure, Services, SSH), and open port {port} to it."
)
BUSY_SSH = "Look at the host's SSH service and load (/var/log/auth.log), then start the migration again."


@dataclass(frozen=True)
class Output:
    """What a command printed, and its exit status; -1 where a signal ended it."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Login:
    """Where to log in, and as whom."""

    host: str
    """the host's name, for people and for known_hosts"""
    address: str
    private_key: str = field(repr=False)
    """PEM"""
    port: int = 22
    user: str = "root"

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which known_hosts may have the host."""
        plain = (self.host, self.address)
        return plain if self.port == 22 else (*plain, *(f"[{name}]:{self.port}" for name in plain))


@cache
def paramiko() -> Any:
    """Import paramiko without its configuration files' task runner: 0.06 s and 17 MiB instead of 0.11 s and 22 MiB."""
    modules: dict[str, Any] = sys.modules
    hidden = "invoke" not in modules
    if hidden:
        modules["invoke"] = None
    try:
        import paramiko as library  # noqa: PLC0415 - late, see above
    finally:
        if hidden:
            modules.pop("invoke", None)
    # Our errors say what went wrong; paramiko's thread would log it once more, with a trace.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    return library


class Ssh:
    """A host's SSH; connects with the first command. As a context manager it hangs up at the end."""

    def __init__(
        self, login: Login, trust: HostTrust, clock: Clock, seconds: float = DEFAULT_SECONDS
    ) -> None:
        """`seconds` is the timeout of connecting, and of a command that is given none of its own."""
        self.login = login
        self.handshakes = 0
        """connections made so far"""
        self._trust = trust
        self._clock = clock
        self.seconds = seconds
        self._transport: Any = None

    def __enter__(self) -> Self:
        """Begin without a connection."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, command: str, stdin: bytes = b"", seconds: float | None = None, guard: Guard | None = None
    ) -> Output:
        """Run a command once, whatever its exit status; raise `VsphereError` where there is no answer."""
        try:
            with self._clock.blocking():
                if not self.connected:
                    self._transport = self._connect(self._clock.limit(self.seconds))
                return self._run(command, stdin, self._clock.limit(seconds or self.seconds), guard)
        except Refused:
            raise
        except TimeoutError as error:  # by the clock, just where nothing waited for the host
            self.close()
            raise self._late(error) from error
        except BaseException:
            self.close()  # whatever is under way in it
            raise

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._transport is not None and bool(self._transport.is_active())

    def close(self) -> None:
        """Hang up; never raises, and the next command connects again."""
        transport, self._transport = self._transport, None
        if transport is not None:
            with suppress(OSError, EOFError):
                transport.close()

    def _connect(self, seconds: float) -> Any:
        login, library = self.login, paramiko()
        key = load_private_key(login.private_key)
        transport = library.Transport(self._dial(seconds))
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = PATIENCE
        options = transport.get_security_options()
        options.key_types = self._trust.order(login.names, options.key_types)
        try:
            with cut_off(transport, seconds) as late:
                self._shake_hands(transport, key, seconds, late)
        except BaseException:
            transport.close()
            raise
        transport.set_keepalive(KEEP_ALIVE)
        self.handshakes += 1
        log.debug("SSH connection %d to %s", self.handshakes, login.host)
        return transport

    def _dial(self, seconds: float) -> socket.socket:
        login, hint = self.login, START_SSH.format(port=self.login.port)
        try:
            return socket.create_connection((login.address, login.port), seconds)
        except ConnectionRefusedError as error:
            text = f"Host {login.host} refuses SSH connections ({login.address}, port {login.port})."
            raise Unreachable(text, hint, sent=False) from error
        except TimeoutError as error:
            raise self._silent(error, seconds) from error
        except OSError as error:
            text = f"There is no SSH connection to host {login.host} ({login.address}): {error.strerror or error}."
            raise Unreachable(text, hint, sent=False) from error

    def _shake_hands(self, transport: Any, key: Any, seconds: float, late: threading.Event) -> None:
        """Agree on encryption, check who it is, and log in."""
        login, library = self.login, paramiko()
        try:
            transport.start_client(timeout=PATIENCE)
            self._trust.check(login.names, transport.get_remote_server_key())
            transport.auth_publickey(login.user, key)
            if not transport.is_authenticated():  # the host wants something else on top of the key
                raise library.AuthenticationException
        except library.ssh_exception.IncompatiblePeer as error:
            raise VsphereError(
                f"Host {login.host} has no SSH algorithm in common with us: {error}.",
                "Update the host: see Ciphers, MACs and KexAlgorithms in its /etc/ssh/sshd_config.",
            ) from error
        except (library.SSHException, OSError, EOFError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise self._silent(error, seconds) from error
            if isinstance(error, library.AuthenticationException) and transport.is_active():
                raise LoginRefused(
                    f"Host {login.host} does not accept our SSH key for {login.user}.",
                    "Put the key's public half into the host's /etc/ssh/keys-root/authorized_keys.",
                    Setting.KEY_LINE,
                ) from error
            text = f"Host {login.host} broke off the SSH connection before it was made ({describe(error)})."
            raise Unreachable(text, START_SSH.format(port=login.port), sent=False) from error

    def _silent(self, error: BaseException, seconds: float) -> Unreachable:
        cut = isinstance(error, TimeoutError) and "timed out" not in str(error)
        why = f": {error}" if cut else f" within {seconds:.0f} s"
        return Unreachable(
            f"Host {self.login.host} did not answer over SSH{why} ({self.login.address}).",
            START_SSH.format(port=self.login.port),
            sent=False,
        )

    def _late(self, error: TimeoutError, *, sent: bool = True) -> Unreachable:
        text = f"A command on host {self.login.host} did not end ({describe(error)})."
        return Unreachable(text, "Check that the host is up.", sent=sent)

    def _run(self, command: str, stdin: bytes, seconds: float, guard: Guard | None) -> Output:
        library, host, transport = paramiko(), self.login.host, self._transport
        sent = refusable = False
        with cut_off(transport, seconds) as late:
            try:
                # The host confirms the channel: nothing is sent into a connection that is dead without our knowing.
                channel = transport.open_session(timeout=PATIENCE)
                if guard:
                    guard()
                sent = refusable = True
                channel.exec_command(command)
                refusable = False
                _feed(channel, stdin)
                output = _collect(channel)
                if output.status == -1 and not transport.is_active():
                    raise EOFError
            except library.ChannelException as error:
                raise Refused(
                    f"Host {host} opens no further channel in its SSH connection.", BUSY_SSH
                ) from error
            except (library.SSHException, OSError, EOFError) as error:
                if late.is_set():
                    text = f"A command on host {host} did not end within {seconds:.0f} s."
                elif isinstance(error, TimeoutError):
                    raise self._late(error, sent=sent) from error
                elif refusable and transport.is_active():
                    raise Refused(f"Host {host} refuses to run commands over SSH.", BUSY_SSH) from error
                else:
                    text = f"Host {host} broke off the SSH connection ({describe(error)})."
                raise Unreachable(text, "Check that the host is up.", sent=sent) from error
        return output


class Refused(VsphereError):
    """The host refused a channel or a command in a connection that is well; nothing was done."""

    passing = True


def _feed(channel: Any, data: bytes) -> None:
    """Send what the command reads; one that does not read it all says why in its output."""
    with suppress(OSError):
        channel.sendall(data)
        channel.shutdown_write()


def _collect(channel: Any) -> Output:
    """Read to the command's end."""
    out, err = bytearray(), bytearray()
    ended = False
    while not ended:
        ended = channel.eof_received or channel.closed
        quiet = not ended and not select.select([channel], [], [], SETTLE)[0]
        while channel.recv_ready():
            out += channel.recv(1 << 16)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(1 << 16)
        if len(out) + len(err) > LIMIT:
            raise Unreadable(
                f"A command over SSH printed more than {LIMIT} bytes.",
                "See what /etc/ssh/keys-root/authorized_keys runs.",
            )
        ended = ended or (quiet and channel.exit_status_ready())
    status = channel.recv_exit_status()
    channel.close()
    return Output(status, out.decode(errors="replace"), err.decode(errors="replace"))


@contextmanager
def cut_off(transport: Any, seconds: float) -> Iterator[threading.Event]:
    """Hang up after so many seconds, which ends all that waits for the host; the event says that it did."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        transport.close()

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def describe(error: BaseException) -> str:
    """Return an exception of the connection in a few words."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
