"""`populator vib`: build the hosts' package, and bring it onto hosts. Flags and environment as Forklift's installer."""

import os
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from populator import log, process
from populator.clock import Clock
from populator.errors import PopulatorError, SettingsError
from populator.fleet_settings import parse_fleet_settings
from populator.report import explain, outcome_of
from vsphere.errors import VsphereError
from vsphere.esxi import PLUGIN_XML, SCRIPT, VERSION, installer
from vsphere.esxi.vib import NAME, build_vib

if TYPE_CHECKING:
    from populator.fleet import Row

# Names, environment default, fixed default, help; as in `populate`, values stay text here.
OPTIONS: tuple[tuple[tuple[str, ...], str | None, str | None, str], ...] = (
    (("esxi-hosts", "hosts"), "ESXI_HOSTS", None, "Hosts, separated by commas; else all that vCenter has."),
    (("vsphere-hostname", "vcenter"), "GOVMOMI_HOSTNAME", None, "vCenter: host, host:port or URL."),
    (("vsphere-username",), "GOVMOMI_USERNAME", None, "vCenter user."),
    (("vsphere-password",), "GOVMOMI_PASSWORD", None, "Password; rather give it in the environment."),
    (("vsphere-insecure",), "GOVMOMI_INSECURE", "false", "Trust any certificate of vCenter."),
    (("datacenter",), None, None, "Only the hosts of this datacenter of vCenter."),
    (("ssh-key-file",), "SSH_KEY_FILE", None, "Private key that may log in to the hosts as root."),
    (("ssh-timeout-seconds",), "SSH_TIMEOUT_SECONDS", "30", "Time-out of connecting to a host."),
    (
        ("ssh-known-hosts",),
        "SSH_KNOWN_HOSTS",
        None,
        "Lines of a known_hosts file: the keys that hosts may show.",
    ),
    (("ssh-host-fingerprints",), "SSH_HOST_FINGERPRINTS", None, "SHA256:… of keys that hosts may show."),
    (("parallel",), None, "4", "Hosts at a time."),
)
INSTALLING: tuple[tuple[tuple[str, ...], str | None, str | None, str], ...] = (
    (("vib-path",), "VIB_PATH", None, "VIB to install; else the one that `vib build` writes."),
)
RESTARTING: tuple[tuple[tuple[str, ...], str | None, str | None, str], ...] = (
    (("restart-hostd",), "RESTART_HOSTD", "true", "Restart hostd where it has to load the plugin."),
)
BARE = {"vsphere-insecure", "restart-hostd"}
"""flags that Go's flag package takes alone, for true"""
ROOM, GAP, NARROWEST = 200, 2, 24


@click.group()
def command() -> None:
    """Build the VIB of the vmkfstools wrapper, and bring it onto ESXi hosts or off them."""


def flags(
    *tables: tuple[tuple[tuple[str, ...], str | None, str | None, str], ...],
) -> Callable[..., Callable[..., None]]:
    """Give a command the flags of the tables."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for names, variable, default, text in reversed([row for table in tables for row in table]):
            function = click.option(
                *(f"--{name}" for name in names),
                names[0].replace("-", "_"),
                envvar=variable,
                default=default,
                help=text,
                show_default=default is not None,
                show_envvar=True,
                is_flag=False,
                flag_value="true" if names[0] in BARE else None,
            )(function)
        return function

    return add


@command.command()
@click.option("--output", type=click.Path(path_type=Path), help=f"File to write; else {NAME}-{VERSION}.vib.")
@click.pass_context
def build(context: click.Context, output: Path | None) -> None:
    """Write the VIB: always the same bytes."""
    file = output or Path(f"{NAME}-{VERSION}.vib")
    try:
        write(file, build_vib(SCRIPT, PLUGIN_XML, VERSION))
    except (PopulatorError, VsphereError) as error:
        context.exit(fail(error))
    click.echo(file)


@command.command()
@flags(OPTIONS, INSTALLING, RESTARTING)
@click.option("--dry-run", is_flag=True, help="Look, and tell what would be done.")
@click.pass_context
def install(context: click.Context, /, dry_run: bool, **arguments: str | None) -> None:
    """Install or update the VIB on hosts, and make sure that the plugin can be called."""
    context.exit(visit(installer.install, arguments, dry_run=dry_run))


@command.command()
@flags(OPTIONS, INSTALLING)
@click.pass_context
def status(context: click.Context, /, **arguments: str | None) -> None:
    """Tell how hosts stand, and what installing would do; exit code 1 where that is not nothing."""
    context.exit(visit(installer.status, {**arguments, "restart_hostd": "true"}, dry_run=True))


@command.command()
@flags(OPTIONS, RESTARTING)
@click.option("--dry-run", is_flag=True, help="Look, and tell what would be done.")
@click.pass_context
def remove(context: click.Context, /, dry_run: bool, **arguments: str | None) -> None:
    """Take the VIB off hosts."""
    context.exit(visit(installer.remove, arguments, dry_run=dry_run))


def visit(story: installer.Story, arguments: dict[str, str | None], *, dry_run: bool) -> int:
    """Go through with a story on all hosts, print the table, and return the exit code."""
    by_name = {name.replace("_", "-"): value for name, value in arguments.items()}
    log.set_up("info", "lines", [by_name.get("vsphere-password") or ""])
    clock = Clock()
    process.listen_for_stop(clock)
    try:
        environment = {**os.environ, "GOVMOMI_INSECURE": by_name.get("vsphere-insecure") or ""}
        settings = parse_fleet_settings(by_name, environment, dry_run=dry_run)
        from populator import fleet  # noqa: PLC0415 - it brings in the clients, which `build` has no use for

        rows = fleet.visit_all(story, settings, clock)
    except (PopulatorError, VsphereError) as error:
        return fail(error)
    click.echo(table(rows))
    return 1 if any(row.outcome.failed for row in rows) else 0


def fail(error: PopulatorError | VsphereError) -> int:
    """Tell what keeps us from beginning; return the exit code."""
    text, hint = explain(error)
    click.echo(f"{text} {hint}".strip(), err=True)
    return outcome_of(error).exit_code


def table(rows: "Sequence[Row]") -> str:
    """Return the rows as a table that fits the terminal."""
    head = ("HOST", "BEFORE", "AFTER", "RESULT", "WHAT TO DO")
    lines = [head] + [
        (row.host, row.outcome.before, row.outcome.after, row.outcome.result, row.outcome.todo)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    room = shutil.get_terminal_size((ROOM, 0)).columns - sum(widths[:3]) - 4 * GAP
    for column in (3, 4):
        widths[column] = min(widths[column], max(room // 2, NARROWEST))
    return "\n".join(text for line in lines for text in folded(line, widths))


def folded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a line of the table, as many lines of text as its longest cell needs."""
    cells = [textwrap.wrap(text, width) or [""] for text, width in zip(line, widths, strict=True)]
    height = max(map(len, cells))
    filled = [cell + [""] * (height - len(cell)) for cell in cells]
    return [
        (" " * GAP).join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
        for texts in zip(*filled, strict=True)
    ]


def write(file: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as part:
            temporary = Path(part.name)
            try:
                part.write(data)
                part.flush()
                os.fsync(part.fileno())
                temporary.chmod(0o644)
                temporary.replace(file)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise SettingsError([f"--output: cannot write {file}: {error.strerror}."]) from error
