"""A real etcd and kube-apiserver on 127.0.0.1, with RBAC on, and nothing else: no controllers run.

Their ports are reserved by sockets of ours for as long as the server lives, so nobody can take them in between or
during a restart. They end with the context; when this process dies without a word, a shell that waits on a pipe of
ours ends them.
"""

import http.client
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.lab.pki import Pki
from tests.lab.tools import tool

READY_SECONDS = 60.0
ISSUER = "https://kubernetes.default.svc"
KEEPER = """exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ read -r _ <&3; kill -KILL "$child"; } 2>/dev/null &
exec 3<&-
wait "$child"
kill "$!" 2>/dev/null
"""
"""ends a command when our end of the pipe closes, and itself when the command ends; its state is thrown away anyway"""


class RealServer:
    """Runs both until closed; `admission` names plugins that a plain server does not run, as OpenShift's does."""

    def __init__(self, directory: Path, pki: Pki, admission: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._ports = [_reserve(), _reserve()]
        etcd_port, port = (held.getsockname()[1] for held in self._ports)
        self.url = f"https://127.0.0.1:{port}"
        self.admin_token = secrets.token_urlsafe(16)
        self._etcd = f"http://127.0.0.1:{etcd_port}"
        self._command = self._api_command(port, pki)
        if admission:
            self._command.append(f"--enable-admission-plugins={admission}")
        self._context = pki.client_context()
        self._running: list[subprocess.Popen[bytes]] = []
        try:
            self._start("etcd", self._etcd_command())
            self._start("kube-apiserver", self._command)
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def forget_history(self) -> None:
        """Make every resourceVersion seen so far too old to watch from: restart with an empty watch cache.

        Takes about two seconds, and breaks all connections.
        """
        _end(self._running.pop())
        self._start("kube-apiserver", self._command)
        self._wait_until_ready()

    def etcd_stopped(self) -> AbstractContextManager[None]:
        """Let etcd not run for a while, as on a starved machine: the API server waits for it."""
        return _stopped(self._running[0])

    def stopped(self) -> AbstractContextManager[None]:
        """Let the API server not run for a while: connections to it are accepted and never answered."""
        return _stopped(self._running[1])

    @contextmanager
    def etcd_killed(self) -> Iterator[None]:
        """Let etcd be dead for a while; it keeps what was written."""
        _end(self._running[0])
        try:
            yield
        finally:
            api = self._running.pop()
            self._running.pop()
            self._start("etcd", self._etcd_command())
            self._running.append(api)
            self._wait_until_ready()

    def close(self) -> None:
        """End both, and give their ports back."""
        while self._running:
            _end(self._running.pop())
        for held in self._ports:
            held.close()

    def _etcd_command(self) -> list[str]:
        return [
            str(tool("etcd")),
            "--unsafe-no-fsync",
            "--socket-reuse-port",
            f"--data-dir={self._directory / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            "--listen-peer-urls=http://127.0.0.1:0",
        ]

    def _api_command(self, port: int, pki: Pki) -> list[str]:
        served = pki.issue("kube-apiserver")
        key, tokens = self._secret("sa.key", _rsa_key()), f'{self.admin_token},admin,1,"system:masters"\n'
        # No StorageObjectInUseProtection: its finalizers wait for a controller that does not run.
        off = "ServiceAccount,StorageObjectInUseProtection"
        return [
            str(tool("kube-apiserver")),
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--permit-port-sharing",
            f"--cert-dir={self._directory / 'certs'}",
            f"--tls-cert-file={served.cert_file}",
            f"--tls-private-key-file={served.key_file}",
            f"--token-auth-file={self._secret('tokens.csv', tokens)}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--disable-admission-plugins={off}",
            "--profiling=false",
        ]

    def _secret(self, name: str, text: str) -> Path:
        file = self._directory / name
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def _start(self, name: str, command: list[str]) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", KEEPER, name, *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self._directory,
                    start_new_session=True,  # Ctrl-C is for the test, which then ends us
                )
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            if time.monotonic() > deadline or any(one.poll() is not None for one in self._running):
                last = "\n".join((self._directory / "kube-apiserver.log").read_text().splitlines()[-5:])
                raise RuntimeError(f"kube-apiserver is not ready; logs in {self._directory}:\n{last}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        host = self.url.removeprefix("https://")
        connection = http.client.HTTPSConnection(host, context=self._context, timeout=5)
        try:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self.admin_token}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException, ssl.SSLError):
            return False
        finally:
            connection.close()


def _reserve() -> socket.socket:
    """Return a socket bound to a free port, which a server that allows sharing can still listen on."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


@contextmanager
def _stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.wait(timeout=20)


def _rsa_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL)
    return key.private_bytes(*plain, serialization.NoEncryption()).decode()
