"""A host's SSH server: real OpenSSH inside the host's root, started for each connection by a listener of ours.

Started the way inetd does it, so that the listener can refuse, hang, or cut connections without a word, and count
them. `authorize` writes lines of /etc/ssh/keys-root/authorized_keys as on a real ESXi host; whoever logs in as root is
this process's own user, so that it works with and without privileges. Commands run by the host's shell.
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.esxi.sandbox import ORDINARY, Sandbox

KEYS = "/etc/ssh/keys-root/authorized_keys"
CONFIG = """\
HostKey /etc/ssh/ssh_host_key
AuthorizedKeysFile /etc/ssh/keys-%u/authorized_keys
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PidFile none
LogLevel VERBOSE
PrintMotd no
"""
SHELL = """\
#!/bin/sh
# The login shell of the lab: notes each command, and breaks the connection at one where a test wants it so.
# A forced command leaves what the client asked for in SSH_ORIGINAL_COMMAND.
# The PATH is a host's; sshd's own leads to the machine's programs.
export PATH=/bin
command=${SSH_ORIGINAL_COMMAND-$2}
printf '%s\n' "$command" >>/lab/commands
[ ! -e /lab/fault ] && exec /bin/sh "$@"
{ read -r kind number; IFS= read -r part; } </lab/fault
sent=$(wc -l </lab/commands)
case $command in
    *"$part"*) [ "${number:-$sent}" -eq "$sent" ] || exec /bin/sh "$@";;
    *) exec /bin/sh "$@";;
esac
rm /lab/fault
[ "$kind" = before ] || /bin/sh "$@" >/lab/lost 2>&1
[ "$kind" = hang ] && exec sleep 6
kill -9 $PPID
"""


class Sshd:
    """See the module. Listens from construction until closed; port 0 takes a free one."""

    def __init__(self, sandbox: Sandbox, address: str = "127.0.0.1", port: int = 0) -> None:
        self.sandbox, self.address = sandbox, address
        self.hanging = False
        """accept connections and say nothing"""
        self.accepted = 0
        """TCP connections"""
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._silent: list[socket.socket] = []
        self._log = sandbox.path("/lab/sshd.log")
        self._prepare()
        self._listen(port)

    def _prepare(self) -> None:
        etc = self.sandbox.path("/etc")
        (etc / "ssh/keys-root").mkdir(parents=True, exist_ok=True)
        self.limit_sessions(10)
        users = f"root:x:{ORDINARY}:{ORDINARY}:root:/:/lab/shell\n"
        (etc / "passwd").write_text(users)
        (etc / "group").write_text(f"root:x:{ORDINARY}:\n")
        self.sandbox.add_program("/lab/shell", SHELL)
        self._log.touch()
        self.change_host_key()
        self.authorize()

    def _listen(self, port: int) -> None:
        self._server = socket.create_server((self.address, port))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, args=(self._server,), name="sshd", daemon=True)
        self._thread.start()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self.accepted += 1
            if self.hanging:
                self._silent.append(connection)
                continue
            with connection, self._log.open("ab") as log:
                command = ["/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/sshd_config"]
                session = subprocess.Popen(
                    self.sandbox.command(command, ordinary=True),
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    stderr=log,
                    start_new_session=True,
                )
            self._sessions.append(session)

    def authorize(self, *lines: str) -> None:
        """Let only these lines be the host's authorized_keys."""
        self.sandbox.path(KEYS).write_text("".join(f"{line}\n" for line in lines))

    def change_host_key(self) -> None:
        """Be another host, for connections to come."""
        key = self.sandbox.path("/etc/ssh/ssh_host_key")
        key.unlink(missing_ok=True)
        make_key(key)

    def limit_sessions(self, number: int) -> None:
        """Allow so many channels in each connection to come; 10 is OpenSSH's default."""
        text = f"{CONFIG}MaxSessions {number}\n"
        self.sandbox.path("/etc/ssh/sshd_config").write_text(text)

    @property
    def host_key(self) -> str:
        """The public host key: type and base64."""
        return " ".join(self.sandbox.path("/etc/ssh/ssh_host_key.pub").read_text().split()[:2])

    @property
    def handshakes(self) -> int:
        """How many clients have logged in."""
        return self.log.count("Accepted publickey for root")

    @property
    def log(self) -> str:
        """What sshd has said."""
        return self._log.read_text(errors="replace")

    @property
    def commands(self) -> list[str]:
        """The commands that clients sent, in order."""
        file = self.sandbox.path("/lab/commands")
        return file.read_text(errors="surrogateescape").splitlines() if file.exists() else []

    def break_command(self, kind: str, part: str = "", number: int | None = None) -> None:
        """Let one command fail: the next one with this text in it, or the so manieth of all.

        `before`: the connection is cut before the command runs. `after`: it runs, and the connection is cut before a
        byte of its answer is sent. `hang`: it runs, and for 6 s nothing comes.
        """
        self.sandbox.path("/lab/fault").write_text(f"{kind} {number or ''}\n{part}\n")

    def drop(self) -> None:
        """Cut all connections."""
        self._signal(signal.SIGKILL)
        for connection in self._silent:
            connection.close()

    def freeze(self) -> None:
        """Let all connections hang, as a host does that has no time."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End `freeze`."""
        self._signal(signal.SIGCONT)

    def refuse(self) -> None:
        """Refuse connections to come."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def accept(self) -> None:
        """End `refuse`."""
        self._listen(self.port)

    def _signal(self, number: signal.Signals) -> None:
        for session in self._sessions:
            if session.poll() is None:
                os.killpg(session.pid, number)

    def close(self) -> None:
        """End the listener and all connections; what commands have left in the background goes on."""
        if self._thread.is_alive():
            self.refuse()
        self.drop()
        for session in self._sessions:
            session.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_key(file: Path, *options: str) -> Path:
    """Make a key pair with OpenSSH's own tool."""
    kind: Sequence[str] = options or ("-t", "ed25519")
    subprocess.run(
        ["ssh-keygen", "-q", "-N", "", "-C", "lab", *kind, "-f", str(file)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return file
