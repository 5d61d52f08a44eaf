"""The command line as a user meets it: the console script, help, and a call that cannot begin."""

import ast
import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from populator import __version__
from populator.cli import COMMANDS
from populator.report.outcome import (
    INTERRUPTED,
    NEEDS_ATTENTION,
    NOBODY_READS,
    NOT_READY,
    OUTCOMES,
    SUCCESS,
    UNEXPECTED,
    explain,
)
from populator.settings.names import NAMES
from tests.lab.esxi.sshd import make_key
from tests.lab.program import ROOT
from tests.unit.populator.face import commands, find_command, read_variables, sources
from vsphere.errors import Setting, VsphereError
from vsphere.wrapper import key_line
from vsphere.wrapper.files import SCRIPT


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "populator", *words],
        cwd=ROOT,
        env={"LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_and_help() -> None:
    assert run("--version").stdout == f"populator, version {__version__}\n"
    shown = run("--help").stdout
    for flag in ("--source-vm-id", "--storage-vendor-product", "GOVMOMI_HOSTNAME", "--http-endpoint"):
        assert flag in shown


def test_an_empty_call_names_all_that_is_missing(tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    done = run(f"--termination-message-path={message}")
    assert done.returncode == 2
    for name in (
        "--source-vm-id",
        "--source-vmdk",
        "--owner-uid",
        "--vsphere-password",
        "--storage-hostname",
    ):
        assert f"{name} is missing." in done.stderr
        assert f"{name} is missing." in message.read_text()
    assert "Traceback" not in done.stderr


def test_an_unknown_flag_is_named() -> None:
    done = run("--speed=warp")
    assert done.returncode == 2
    assert "--speed" in done.stderr
    assert "Traceback" not in done.stderr


def as_pid_1(message: Path, *words: str, **environment: str) -> int:
    """Call the program where a file of ours lies in the place of the pod's termination message."""
    bwrap = shutil.which("bwrap") or ""
    wrap = [bwrap, "--bind", "/", "/", "--dev", "/dev", "--bind", str(message), "/dev/termination-log"]
    command = [*wrap, sys.executable, "-m", "populator", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode


def test_only_a_call_that_was_to_populate_writes_the_termination_message(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text("as it was")
    for words in (
        ("leases", "--typo"),
        ("--typo", "leases"),
        ("vib", "install", "--typo"),
        ("lease",),
        ("vib", "instal"),
        ("ssh-key", "x"),
    ):
        assert as_pid_1(message, *words) == 2
        assert message.read_text() == "as it was", words
    assert as_pid_1(message, "--typo=x") == 2
    assert json.loads(message.read_text())["reason"] == "InvalidSettings"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({b"LOG_LEVEL": b"loud"}, "--log-level: 'loud' is none of debug, info, warning, error."),
        ({b"LOG_FORMAT": b"\xff"}, "--log-format: there are bytes in it that are not UTF-8."),
        (
            {b"GOVMOMI_PASSWORD": b"caf\xe9-geheim"},
            "--vsphere-password: there are bytes in it that are not UTF-8.",
        ),
        ({b"STORAGE_PASSWORD": b"\xff"}, "--storage-password: there are bytes in it that are not UTF-8."),
        ({b"SSH_PRIVATE_KEY": b"\xff", b"ESXI_CLONE_METHOD": b"ssh"}, "SSH_PRIVATE_KEY: there are bytes"),
        ({b"cacert": b"M\xfcller"}, "cacert: this holds no certificate in PEM"),
        (
            {b"HOST_LEASE_NAMESPACE": b"\x80"},
            "HOST_LEASE_NAMESPACE: there are bytes in it that are not UTF-8.",
        ),
        ({b"STORAGE_HTTP_TIMEOUT_SECONDS": b"9" * 5000}, "is not a whole number from 1 to 86400."),
        ({b"STORAGE_HTTP_TIMEOUT_SECONDS": b"999999999999"}, "is not a whole number from 1 to 86400."),
    ],
)
def test_whatever_bytes_are_in_the_environment_a_termination_message_is_written(
    tmp_path: Path, environment: dict[bytes, bytes], says: str
) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    done = subprocess.run(
        [sys.executable, "-m", "populator", f"--termination-message-path={message}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert says in json.loads(message.read_text())["text"]
    assert b"Traceback" not in done.stderr
    assert b"geheim" not in done.stderr


def test_a_typo_ends_with_a_message_in_the_file_that_the_call_names(tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    message.touch()
    assert run("--typo", f"--termination-message-path={message}").returncode == 2
    assert "--typo" in json.loads(message.read_text())["text"]


def words_of(file: Path) -> Iterator[str]:
    """Yield the texts of a module that people may be shown: all that are no docstrings."""
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def flags_of(*path: str) -> set[str]:
    return {flag for parameter in find_command(*path).params for flag in parameter.opts}


VISITS = (("vib", "install"), ("vib", "status"), ("vib", "remove"))
OF_OTHERS = {
    "lease/kube/errors.py": {"--raw", "--verb", "--resource", "--serviceaccount", "--user"},  # oc
    "populator/preflight/cluster.py": {"--watch"},  # populator leases
    "populator/preflight/host.py": {"--hosts", "--claimrule-class"},  # populator vib, esxcli
    "populator/stories/preflight_host.py": {"--enabled", "--server"},  # esxcli
    "populator/report/gantt.py": {
        "--back",
        "--text",
        "--soft",
        "--line",
        "--row",
        "--around",
        "--copy",
        "--hot",
    }
    | {"--hot-around", "--label"},  # CSS
    "vsphere/host/devices.py": {"--state"},  # esxcli
    "vsphere/vib/software.py": {"--help", "--force"},  # esxcli
    "vsphere/wrapper/by_ssh.py": {
        "--version",
        "--clone",
        "--verify",
        "--task-get",
        "--task-clean",
        "--task-stop",
        "--task-list",
    },
}
"""flags of other programs, by the module that names them"""


SHOWN_BY: dict[str, tuple[tuple[str, ...], ...]] = {
    "lease/": ((), ("leases",)),
    "populator/cli/file.py": (("vib", "build"),),
    "populator/cli/forecast.py": (("forecast",),),
    "populator/cli/output.py": (("leases",), *VISITS),
    "populator/cli/vib.py": (),  # the options themselves, and the examples
    "populator/log.py": ((), ("leases",), *VISITS),
    "populator/report/outcome.py": ((), ("leases",), *VISITS),
    "populator/settings/fleet.py": VISITS[:1],
    "populator/settings/recovery.py": (("recover",),),
    "populator/settings/preflight.py": (("preflight",),),
    "populator/settings/forecast.py": (("forecast",),),
    "populator/settings/vsphere.py": VISITS[:1],
    "populator/stories/fleet.py": VISITS[:1],
    "populator/wiring_fleet.py": VISITS[:1],
    **{f"populator/cli/{name.replace('-', '_')}.py": ((name,),) for name in COMMANDS if name != "vib"},
}
"""by module or folder: the commands whose errors may hold a text of it; of all others a call that is to populate"""


def commands_that_show(file: str) -> tuple[tuple[str, ...], ...]:
    return next((shown for place, shown in SHOWN_BY.items() if file.startswith(place)), ((),))


def test_every_flag_and_command_that_a_text_names_exists() -> None:
    flags = called_commands = 0
    for file in sources():
        name = file.relative_to(ROOT).as_posix()
        for text in words_of(file):
            for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - OF_OTHERS.get(name, set()):
                flags += 1
                for path in commands_that_show(name):
                    assert flag in flags_of(*path) | {"--help"}, f"{name}: {flag} of {path}"
            for called in re.findall(rf"populator ((?:{'|'.join(COMMANDS)})(?: (?!-)[a-z]+)?)", text):
                called_commands += 1
                name_of, *below = called.split()
                find_command(name_of, *(below if isinstance(find_command(name_of), click.Group) else ()))
    assert flags > 20
    assert called_commands > 5


FORKLIFTS = (
    "--source-vm-id=vm-1", "--source-vmdk=[ds] a/b.vmdk", "--target-namespace=n", "--owner-name=o", "--owner-uid=u",
    "--cr-name=c", "--cr-namespace=n", "--secret-name=s", "--storage-vendor-product=ontap", "--migration-host=host-1",
    "--pvc-size=1", "--storage-hostname=h", "--storage-username=u", "--storage-password=p", "--storage-token=t",
    "--storage-skip-ssl-verification=true", "--storage-http-timeout-seconds=1", "--vsphere-hostname=h",
    "--vsphere-username=u", "--vsphere-password=p", "--esxi-clone-method=ssh", "--kubeconfig=k", "--master=m",
    "--http-endpoint=:1", "--metrics-path=/m",
)  # fmt: skip
"""every argument of the contract, as its controller or the Go populator's users write them"""


def test_forklifts_arguments_arrive_to_the_letter() -> None:
    values = values_of(*FORKLIFTS)
    for word in FORKLIFTS:
        name, _, value = word.removeprefix("--").partition("=")
        assert values[name.replace("-", "_")] == value
    spaced = values_of(*(part for word in FORKLIFTS for part in word.split("=", 1) if "-ssl-" not in word))
    assert {**spaced, "storage_skip_ssl_verification": "true"} == values


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), "false"),
        (("--storage-skip-ssl-verification",), "true"),
        (("--storage-skip-ssl-verification=false",), "false"),
        (("--storage-skip-ssl-verification=maybe",), "maybe"),  # for the settings to refuse
        (("--storage-skip-ssl-verification", "--pvc-size=1"), "true"),
        (("--storage-skip-ssl-verification", "leases"), "true"),
    ],
)
def test_a_switch_stands_alone_as_in_go_and_its_value_is_never_the_next_word(
    words: tuple[str, ...], value: str
) -> None:
    assert values_of(*words)["storage_skip_ssl_verification"] == value


def values_of(*words: str) -> dict[str, str | None]:
    """Return the values that the program reads from these arguments."""
    return find_command().make_context("populator", list(words)).params


CALLED = re.compile(rf"populator (?:{'|'.join(COMMANDS)})")


def test_vsphere_and_lease_name_nothing_of_the_program_around_them() -> None:
    """They could be used by another; what a hint is about they say by a `Setting`."""
    flags = {flag for path, _ in commands() for flag in flags_of(*path) if flag.startswith("--")}
    variables = read_variables() - {"HOSTNAME"}
    for file in sources():
        name = file.relative_to(ROOT).as_posix()
        if name.startswith("populator/"):
            continue
        for text in words_of(file):
            words = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+|[A-Za-z_]+", text)) - OF_OTHERS.get(name, set())
            assert not words & (flags | variables), f"{name}: {text!r}"
            assert not CALLED.search(text), f"{name}: {text!r}"


def test_every_setting_that_a_hint_is_about_has_a_name() -> None:
    assert NAMES.keys() == set(Setting)
    assert explain(VsphereError("No.", "Correct it.", Setting.VCENTER_CA))[1].startswith(
        "Correct it. The bundle is"
    )
    assert explain(VsphereError("No.", "Correct it."))[1] == "Correct it."


def test_every_command_has_two_examples_that_can_be_called() -> None:
    for path, command in commands():
        assert len(getattr(command, "examples", ())) == 2, path
        for example in command.examples:  # type: ignore[attr-defined]
            assert max(map(len, example.splitlines())) <= 78 - 2, "it fits a narrow terminal"
            words = shlex.split(
                example.replace("\\\n", " ").replace('eval "$(', "").replace('bash)"', "bash")
            )
            words = words[: next((n for n, word in enumerate(words) if word.startswith(">")), None)]
            context: click.Context | None = None
            while words:
                target = context.command if context else find_command()
                if context:
                    assert isinstance(target, click.Group)
                    name, below, words = target.resolve_command(context, words)
                    assert below
                    context = below.make_context(name, words, parent=context)
                else:
                    context = target.make_context(words[0], words[1:])
                words = [*context._protected_args, *context.args]


def test_every_command_takes_the_flags_of_the_log() -> None:
    for path, _ in commands():
        assert {"--log-level", "--log-format"} <= flags_of(*path), path


@pytest.mark.parametrize("words", [("--log-level=debug", "ssh-key"), ("ssh-key", "--log-level=debug")])
def test_the_log_goes_by_the_flag_wherever_it_stands(words: tuple[str, ...]) -> None:
    nonsense = base64.b64encode(b"nonsense").decode()
    assert "DEBUG" in run(*words, SSH_PRIVATE_KEY=nonsense, LOG_LEVEL="error").stderr
    assert "DEBUG" not in run("ssh-key", SSH_PRIVATE_KEY=nonsense).stderr


def at_a_terminal(*words: str) -> tuple[int, str]:
    """Run the program with a terminal of 80 columns behind stdout and stderr; return exit code and output."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "populator", *words],
        cwd=ROOT,
        env={"LANG": "C.UTF-8"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    shown = b""
    with suppress(OSError):  # Linux has an error for the end of a terminal
        while part := os.read(outer, 65536):
            shown += part
    os.close(outer)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def test_a_person_who_gives_nothing_is_shown_help() -> None:
    code, shown = at_a_terminal()
    assert code == 2
    assert shown == run("--help", COLUMNS="80").stdout
    code, shown = at_a_terminal("--log-level=info")
    assert (code, "--source-vm-id is missing." in shown) == (2, True), "a call that was to populate"


def test_output_that_nobody_reads_ends_the_command_quietly() -> None:
    """As `populator completion bash | head -1` does."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "populator", "completion", "bash"]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """As bash asks, by the function that it is given."""
    script = run("completion", "bash").stdout
    (tmp_path / "populator").write_text(f'#!/bin/sh\nexec {sys.executable} -m populator "$@"\n')
    (tmp_path / "populator").chmod(0o755)
    ask = """
        COMP_WORDS=($1); COMP_CWORD=$2; _populator_completion populator; echo "${COMPREPLY[*]}"
    """
    for line, number, expected in (
        ("populator vib ins", 2, "install"),
        ("populator leases --wat", 2, "--watch"),
        ("populator --storage-t", 1, "--storage-token"),
        ("populator completion f", 2, "fish"),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{ask}", "bash", line, str(number)],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.split() == [expected], done.stderr


def test_the_readme_explains_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    explained = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    families = {SUCCESS, UNEXPECTED, *(outcome for _, outcome in OUTCOMES)}
    assert explained == sorted(
        {*(outcome.exit_code for outcome in families), NEEDS_ATTENTION, NOT_READY, INTERRUPTED, NOBODY_READS}
    )
    for outcome in families:
        assert f"| {outcome.exit_code} | {outcome.reason} |" in text


def test_no_message_file_is_made_where_no_kubelet_made_one(tmp_path: Path) -> None:
    run(f"--termination-message-path={tmp_path / 'none'}")
    assert not list(tmp_path.iterdir())


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3a populator"


def test_the_key_line_is_printed_from_either_key(tmp_path: Path) -> None:
    encoded = base64.b64encode(f"{KEY}\n".encode()).decode()
    for given in (KEY, encoded):
        assert run("ssh-key", SSH_PUBLIC_KEY=given).stdout == f"{key_line.compatible(KEY)}\n"
    private = make_key(tmp_path / "key", "-t", "rsa", "-b", "2048", "-m", "PEM").read_bytes()
    public = (tmp_path / "key.pub").read_text().rpartition(" ")[0]
    done = run("ssh-key", SSH_PRIVATE_KEY=base64.b64encode(private).decode())
    assert (done.returncode, done.stdout) == (0, f"{key_line.compatible(public)}\n")


def test_the_hardened_line_pins_this_programs_script() -> None:
    words = ["ssh-key", "--hardened", "--datastore", "ds one", "--datastore", "o'brien"]
    done = run(*words, SSH_PUBLIC_KEY=KEY)
    assert done.stdout == f"{key_line.hardened(KEY, SCRIPT, ['ds one', 'o' + chr(39) + 'brien'])}\n"
    assert hashlib.sha256(SCRIPT).hexdigest() in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "There is no key"),
        (("--public-key", "nonsense"), "neither a public key"),
        (("--public-key", KEY, "--datastore", "ds"), "it needs --hardened"),
        (("--public-key", KEY, "--hardened", "--datastore", "a/b"), "no datastore's name"),
        (("--private-key", "secret"), "No such option"),
    ],
)
def test_a_key_line_that_cannot_be_made_is_an_error(words: tuple[str, ...], says: str) -> None:
    done = run("ssh-key", *words)
    assert done.returncode != 0
    assert done.stdout == ""
    assert says in done.stderr


def test_a_private_key_that_cannot_be_read_is_not_shown() -> None:
    done = run("ssh-key", SSH_PRIVATE_KEY="nonsense of a key")
    assert done.returncode != 0
    assert "cannot be read" in done.stderr
    assert "nonsense" not in done.stderr + done.stdout


LATE_SIGTERM = """
import os, signal, sys
from populator.cli import main

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGTERM):
        kill(me, number)

sys.modules["late"] = Late()  # dropped when Python has put the handlers of signals away
sys.argv = ["populator", "--version"]
main()
"""


def test_a_sigterm_while_python_shuts_down_does_not_change_the_exit_code() -> None:
    done = subprocess.run([sys.executable, "-c", LATE_SIGTERM], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
