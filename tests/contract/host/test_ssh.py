"""`vsphere.host.ssh` against a real OpenSSH server: what comes back, whom it trusts, and how failures are reported."""

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from populator.clock import Clock
from populator.errors import Cancelled
from tests.lab.esxi.sandbox import Sandbox
from tests.lab.esxi.sshd import Sshd, make_key
from tests.lab.waiting import wait_until
from vsphere.errors import HostKeyRefused, LoginRefused, Unreachable, Unreadable, VsphereError
from vsphere.host.ssh import LIMIT, Login, Ssh
from vsphere.host.ssh_keys import HostTrust, fingerprint, public_key

KINDS = {
    "rsa pem": ("-t", "rsa", "-b", "2048", "-m", "PEM"),
    "rsa pkcs8": ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
    "rsa openssh": ("-t", "rsa", "-b", "2048"),
    "ecdsa pem": ("-t", "ecdsa", "-m", "PEM"),
    "ed25519": ("-t", "ed25519"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(Sandbox(tmp_path_factory.mktemp("esxi"), {})) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder / kind, *options) for kind, options in KINDS.items()}


@pytest.fixture
def login(server: Sshd, keys: dict[str, Path]) -> Login:
    key = keys["ed25519"]
    server.authorize(key.with_name(f"{key.name}.pub").read_text().strip())
    return Login("esx-1.lab", "127.0.0.1", key.read_text(), server.port)


@pytest.fixture
def ssh(login: Login, server: Sshd) -> Iterator[Ssh]:
    with Ssh(login, HostTrust(), Clock(), 10.0) as connection:
        yield connection
    server.drop()


def blob(public: str) -> str:
    return fingerprint(base64.b64decode(public.split()[1]))


def test_a_command_answers_with_status_and_both_streams(ssh: Ssh) -> None:
    output = ssh.run("cat; echo wrong >&2; exit 3", b"told by stdin")
    assert (output.status, output.stdout, output.stderr) == (3, "told by stdin", "wrong\n")


def test_a_guard_is_asked_when_the_host_waits_for_the_command(ssh: Ssh, server: Sshd) -> None:
    accepted: list[int] = []
    ssh.run("touch /tmp/done", guard=lambda: accepted.append(ssh.handshakes))
    assert accepted == [1], "connected and logged in"


def test_a_guard_that_raises_keeps_the_command_from_being_sent(ssh: Ssh, server: Sshd) -> None:
    class Lost(Exception):
        pass

    def closed() -> None:
        raise Lost

    before = len(server.commands)
    with pytest.raises(Lost):
        ssh.run("touch /tmp/never", guard=closed)
    assert ssh.run("ls /tmp").stdout.split().count("never") == 0
    assert len(server.commands) == before + 1


def test_a_large_input_arrives_whole(ssh: Ssh) -> None:
    assert ssh.run("wc -c", bytes(5_000_000)).stdout.strip() == "5000000"


def test_a_command_that_wants_no_input_is_heard_all_the_same(ssh: Ssh) -> None:
    assert ssh.run("exec <&-; echo full >&2; exit 1", bytes(5_000_000)).stderr == "full\n"


def test_one_connection_serves_all_commands(ssh: Ssh, server: Sshd) -> None:
    before = server.handshakes
    for number in range(20):
        assert ssh.run(f"echo {number}").stdout == f"{number}\n"
    assert (ssh.handshakes, server.handshakes - before) == (1, 1)


def test_what_goes_on_in_the_background_holds_nothing_up(ssh: Ssh) -> None:
    assert ssh.run("sleep 60 & echo $!", seconds=8).status == 0
    assert ssh.connected  # else it was the timeout that ended it


def test_a_signal_is_no_exit_status(ssh: Ssh) -> None:
    assert ssh.run("kill -9 $$").status == -1


def test_output_without_end_is_cut(ssh: Ssh) -> None:
    with pytest.raises(Unreadable, match=str(LIMIT)):
        ssh.run("yes")
    assert ssh.run("echo well").stdout == "well\n"


def test_bytes_that_are_no_text_are_shown(ssh: Ssh) -> None:
    assert ssh.run(r"printf 'a\377b'").stdout == "a�b"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_is_taken(server: Sshd, login: Login, keys: dict[str, Path], kind: str) -> None:
    pem = keys[kind].read_text()
    server.authorize(public_key(pem))
    with Ssh(replace(login, private_key=pem), HostTrust(), Clock(), 10.0) as connection:
        assert connection.run("echo in").stdout == "in\n"


@pytest.mark.parametrize(
    "pem", ["", "nonsense", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"]
)
def test_a_key_that_cannot_be_read_is_not_quoted(login: Login, pem: str) -> None:
    with pytest.raises(VsphereError, match="cannot be read") as caught:
        Ssh(replace(login, private_key=pem), HostTrust(), Clock()).run("true")
    assert "AAAA" not in str(caught.value)
    assert not caught.value.unclear


def test_a_key_that_the_host_does_not_know_is_refused(login: Login, keys: dict[str, Path]) -> None:
    stranger = replace(login, private_key=keys["ecdsa pem"].read_text())
    with pytest.raises(LoginRefused, match="does not accept") as caught:
        Ssh(stranger, HostTrust(), Clock(), 10.0).run("true")
    assert (caught.value.unclear, caught.value.passing) == (False, False)
    assert "PRIVATE" not in repr(stranger)


# --- whom it trusts -------------------------------------------------------------------------------------------------


def test_the_first_key_seen_is_told_and_must_stay(
    ssh: Ssh, server: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        ssh.run("true")
        ssh.close()
        ssh.run("true")
    assert caplog.text.count(blob(server.host_key)) == 1
    server.change_host_key()
    ssh.run("echo the open connection is the old one's")
    ssh.close()
    before = len(server.commands)
    with pytest.raises(HostKeyRefused, match="another SSH key") as caught:
        ssh.run("echo never")
    assert blob(server.host_key) in caught.value.text
    assert (caught.value.unclear, caught.value.passing) == (False, False)
    assert len(server.commands) == before


def expectations(server: Sshd) -> dict[str, HostTrust]:
    key, port = server.host_key, server.port
    hashed = paramiko.HostKeys.hash_host(f"[127.0.0.1]:{port}")
    return {
        "fingerprint": HostTrust(fingerprints=frozenset({"SHA256:other", blob(key)})),
        "address": HostTrust(known_hosts=f"# of the lab\n\n[127.0.0.1]:{port} {key} comment\n"),
        "name": HostTrust(known_hosts=f"other,esx-1.lab\t{key}"),
        "hashed": HostTrust(known_hosts=f"{hashed} {key}"),
    }


@pytest.mark.parametrize("form", ["fingerprint", "address", "name", "hashed"])
def test_a_key_that_was_told_is_trusted_and_no_other(server: Sshd, login: Login, form: str) -> None:
    trust = expectations(server)[form]
    with Ssh(login, trust, Clock(), 10.0) as connection:
        assert connection.run("echo in").stdout == "in\n"
    server.change_host_key()
    with pytest.raises(HostKeyRefused, match="not the expected one"):
        Ssh(login, trust, Clock(), 10.0).run("echo never")


def test_a_host_that_known_hosts_does_not_have_is_refused(server: Sshd, login: Login) -> None:
    trust = HostTrust(known_hosts=f"esx-2.lab {server.host_key}")
    with pytest.raises(HostKeyRefused, match="SHA256:"):
        Ssh(login, trust, Clock(), 10.0).run("echo never")


@pytest.mark.parametrize(
    "line", ["esx-1.lab", "esx-1.lab ssh-ed25519 ???", "@revoked esx-1.lab ssh-rsa AAAA"]
)
def test_a_line_that_cannot_be_used_is_said_so(login: Login, line: str) -> None:
    with pytest.raises(VsphereError, match="cannot be used"):
        Ssh(login, HostTrust(known_hosts=line), Clock(), 10.0).run("echo never")


# --- what fails -----------------------------------------------------------------------------------------------------


def test_a_host_that_refuses(login: Login, ssh: Ssh, server: Sshd) -> None:
    server.refuse()
    try:
        with pytest.raises(Unreachable, match="refuses SSH connections") as caught:
            ssh.run("true")
        assert (caught.value.unclear, caught.value.passing) == (False, True)
        assert str(login.port) in caught.value.hint
    finally:
        server.accept()
    assert ssh.run("echo back").stdout == "back\n"


def test_a_host_that_says_nothing(login: Login, server: Sshd) -> None:
    server.hanging = True
    try:
        with pytest.raises(Unreachable, match="did not answer over SSH within 1 s") as caught:
            Ssh(login, HostTrust(), Clock(), 1.0).run("true")
        assert (caught.value.unclear, caught.value.passing) == (False, True)
    finally:
        server.hanging = False


def test_a_port_that_is_something_else(login: Login) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def hang_up() -> None:
            connection, _ = other.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unreachable, match="broke off the SSH connection before it was made") as caught:
            Ssh(replace(login, port=port), HostTrust(), Clock(), 10.0).run("true")
        thread.join()
    assert not caught.value.unclear


def test_a_name_that_leads_nowhere(login: Login) -> None:
    with pytest.raises(Unreachable, match="no SSH connection") as caught:
        Ssh(replace(login, address="nowhere.invalid"), HostTrust(), Clock(), 10.0).run("true")
    assert not caught.value.unclear


def test_a_command_that_takes_too_long_may_have_run(ssh: Ssh) -> None:
    with pytest.raises(Unreachable, match="did not end within 1 s") as caught:
        ssh.run("sleep 30", seconds=1.0)
    assert (caught.value.unclear, caught.value.passing) == (True, True)
    assert ssh.run("echo well").stdout == "well\n"


def test_a_connection_lost_in_mid_command_may_have_run_it(ssh: Ssh, server: Sshd) -> None:
    server.break_command("after", "touch")
    with pytest.raises(Unreachable, match="broke off the SSH connection") as caught:
        ssh.run("touch /tmp/done")
    assert (caught.value.unclear, caught.value.passing) == (True, True)
    assert server.sandbox.path("/tmp/done").exists()
    assert ssh.run("echo well").stdout == "well\n"
    assert ssh.handshakes == 2


def test_a_connection_lost_between_commands_is_made_again(ssh: Ssh, server: Sshd) -> None:
    ssh.run("true")
    server.drop()
    wait_until(lambda: not ssh.connected)
    assert ssh.run("echo well").stdout == "well\n"
    assert ssh.handshakes == 2


def test_nothing_is_sent_into_a_connection_that_hangs(ssh: Ssh, server: Sshd) -> None:
    ssh.run("true")
    before = len(server.commands)
    server.freeze()
    with pytest.raises(Unreachable) as caught:
        ssh.run("touch /tmp/never", seconds=1.0)
    server.thaw()
    assert (caught.value.unclear, caught.value.passing) == (False, True)
    assert ssh.run("echo well").stdout == "well\n"
    assert len(server.commands) == before + 1


def test_a_host_without_a_shell_refuses_commands(ssh: Ssh, server: Sshd) -> None:
    server.limit_sessions(0)
    try:
        with pytest.raises(VsphereError, match="no further channel") as caught:
            ssh.run("true")
        assert (caught.value.unclear, caught.value.passing) == (False, True)
    finally:
        server.limit_sessions(10)


# --- told to stop ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stopping() -> Iterator[Clock]:
    clock = Clock()
    before = signal.signal(signal.SIGTERM, lambda *_: clock.stop())
    yield clock
    signal.signal(signal.SIGTERM, before)


def term_when(happens: Callable[[], bool]) -> threading.Thread:
    def wait() -> None:
        wait_until(happens)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_stop_breaks_off_a_command(login: Login, server: Sshd, stopping: Clock) -> None:
    began = time.monotonic()
    thread = term_when(lambda: "sleep 61" in server.commands)
    with Ssh(login, HostTrust(), stopping, 50.0) as connection, pytest.raises(Cancelled):
        connection.run("sleep 61")
    thread.join()
    assert time.monotonic() - began < 40


def test_a_stop_breaks_off_connecting(login: Login, server: Sshd, stopping: Clock) -> None:
    server.hanging, before = True, server.accepted
    try:
        thread = term_when(lambda: server.accepted > before)
        with Ssh(login, HostTrust(), stopping, 50.0) as connection, pytest.raises(Cancelled):
            connection.run("true")
        thread.join()
    finally:
        server.hanging = False


def test_within_a_grace_commands_still_run(login: Login, stopping: Clock) -> None:
    stopping.stop()
    with Ssh(login, HostTrust(), stopping, 50.0) as connection, stopping.grace(20):
        assert connection.run("echo still").stdout == "still\n"
    with Ssh(login, HostTrust(), stopping, 50.0) as connection, stopping.grace(1), pytest.raises(Unreachable):
        connection.run("sleep 30")
