"""`populator vib`: build the hosts' package, and bring it onto hosts. Options and variables of Forklift's installer."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from populator import process
from populator.cli.failure import fail
from populator.cli.file import write_whole
from populator.cli.flags import LOG, VCENTER, Flag, FlagGroup, add, by_name, option
from populator.cli.help import Group
from populator.cli.output import Table, document, listed, output_option
from populator.clock import Clock
from populator.errors import Cancelled, PopulatorError
from populator.report.outcome import NEEDS_ATTENTION, SUCCESS, outcome_of
from populator.settings.fleet import parse_fleet_settings
from vsphere.errors import VsphereError
from vsphere.vib import installer
from vsphere.vib.build import NAME, build_vib
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION

log = logging.getLogger(__name__)

HOSTS = FlagGroup(
    "Hosts",
    (
        Flag(
            ("esxi-hosts", "hosts"),
            "HOST[:PORT],…",
            "Hosts to visit, instead of all that vCenter has.",
            "ESXI_HOSTS",
        ),
        Flag(("datacenter",), "NAME", "Only the hosts of this datacenter of vCenter."),
        Flag(("parallel",), "N", "Hosts at a time.", None, "4"),
        Flag(("ssh-key-file",), "FILE", "Private key with which root may log in.", "SSH_KEY_FILE"),
        Flag(
            ("ssh-timeout-seconds",),
            "SECONDS",
            "Timeout of connecting to a host.",
            "SSH_TIMEOUT_SECONDS",
            "30",
        ),
    ),
)
VIB_PATH = Flag(
    ("vib-path",), "FILE", "VIB to install, instead of the one that `vib build` writes.", "VIB_PATH"
)
RESTART = Flag(
    ("restart-hostd",), "", "Restart hostd where it has to load plugins again.", "RESTART_HOSTD", "true"
)
INSTALL_FLAGS = (HOSTS, VCENTER, FlagGroup("Package", (VIB_PATH, RESTART)))
STATUS_FLAGS = (HOSTS, VCENTER, FlagGroup("Package", (VIB_PATH,)))
REMOVE_FLAGS = (HOSTS, VCENTER, FlagGroup("Package", (RESTART,)))

KEYS = """
Host keys are checked against SSH_KNOWN_HOSTS (lines as ssh-keyscan prints them) or SSH_HOST_FINGERPRINTS (SHA256:…).
Without either, the key that a host shows first is trusted, and logged. SSH_PORT_NUMBER is the hosts' port, 22 by
default.
"""

dry_run_option = option("Package", "--dry-run", is_flag=True, help="Only say what would be done.")
format_option = output_option(help="table, json or yaml.")


@click.group(
    "vib",
    cls=Group,
    examples=(
        "populator vib build",
        "populator vib status --hosts=esx-1 --ssh-key-file=key",
    ),
)
@add(LOG)
def command(**_: str) -> None:
    """Build the VIB of the vmkfstools wrapper, and bring it onto ESXi hosts or off them."""


@command.command(
    examples=("populator vib build", "populator vib build --file=/tmp/wrapper.vib"),
)
@option(
    "Package",
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=f"{NAME}-{VERSION}.vib",
    show_default=True,
    help="File to write.",
)
@add(LOG)
@click.pass_context
def build(context: click.Context, /, file: Path, **_: str) -> None:
    """Write the VIB, the same bytes every time, and print the file's name."""
    try:
        write_whole(file, build_vib(SCRIPT, PLUGIN_XML, VERSION))
    except (PopulatorError, VsphereError) as error:
        context.exit(fail(error))
    click.echo(file)


@command.command(
    help="Install or update the VIB on hosts, and make sure that the plugin can be called.\n" + KEYS,
    examples=(
        "populator vib install --hosts=esx-1,esx-2 --ssh-key-file=key --dry-run",
        "populator vib install --vcenter=vc.example.com --ssh-key-file=key",
    ),
)
@add(*INSTALL_FLAGS)
@dry_run_option
@format_option
@add(LOG)
@click.pass_context
def install(context: click.Context, /, dry_run: bool, output: str, **arguments: str | None) -> None:
    """Install or update the VIB."""
    context.exit(visit(installer.install, arguments, output, dry_run=dry_run))


@command.command(
    help="Show the state of hosts, and what installing would do.\n"
    + KEYS
    + "\nExit code: 0 if installing would do nothing, 10 if it would do something, 5 if a host could not be asked.",
    examples=(
        "populator vib status --hosts=esx-1 --ssh-key-file=key",
        "populator vib status --vcenter=vc.example.com --ssh-key-file=key -o json",
    ),
)
@add(*STATUS_FLAGS)
@format_option
@add(LOG)
@click.pass_context
def status(context: click.Context, /, output: str, **arguments: str | None) -> None:
    """Show the state of hosts."""
    context.exit(
        visit(installer.status, {**arguments, RESTART.names[0]: RESTART.default}, output, dry_run=True)
    )


@command.command(
    help="Remove the VIB from hosts.\n" + KEYS,
    examples=(
        "populator vib remove --vcenter=vc.example.com --ssh-key-file=key",
        "populator vib remove --hosts=esx-1 --ssh-key-file=key --restart-hostd=false",
    ),
)
@add(*REMOVE_FLAGS)
@dry_run_option
@format_option
@add(LOG)
@click.pass_context
def remove(context: click.Context, /, dry_run: bool, output: str, **arguments: str | None) -> None:
    """Remove the VIB."""
    context.exit(visit(installer.remove, arguments, output, dry_run=dry_run))


def visit(story: installer.Story, arguments: dict[str, str | None], output: str, *, dry_run: bool) -> int:
    """Go through with a story on all hosts, print what came of it, and return the exit code."""
    clock = Clock()
    process.listen_for_stop(clock)
    try:
        settings = parse_fleet_settings(by_name(arguments), os.environ, dry_run=dry_run)
        for warning in settings.warnings:
            log.warning("%s", warning)
        # They bring in the clients, which `build` has no use for.
        from populator.stories import fleet  # noqa: PLC0415
        from populator.wiring_fleet import RealFleet  # noqa: PLC0415

        rows = fleet.visit_all(story, RealFleet(settings, clock))
    except (PopulatorError, VsphereError) as error:
        return fail(error)
    show(rows, output)
    outcomes = [outcome for _, outcome in rows]
    if fleet.NOT_BEGUN in outcomes:
        return outcome_of(Cancelled()).exit_code
    return exit_code(outcomes)


def show(rows: Sequence[tuple[str, installer.HostOutcome]], output: str) -> None:
    """Print what came of the hosts."""
    if output == "table":
        table = Table(("HOST", "BEFORE", "AFTER", "RESULT", "NEXT"), prose=2)
        table.print((host, end.before, end.after, end.result, end.todo) for host, end in rows)
    else:
        click.echo(document(listed(item(host, end) for host, end in rows), output))


def item(host: str, outcome: installer.HostOutcome) -> dict[str, Any]:
    """Return what came of a host as an item of a List."""
    return {
        "kind": "HostPackage",
        "host": host,
        "before": outcome.before,
        "after": outcome.after,
        "result": outcome.result,
        "next": outcome.todo or None,
        "failed": outcome.failed,
    }


def exit_code(outcomes: Sequence[installer.HostOutcome]) -> int:
    """Return the code for the hosts together: a failure of any counts more than what is left to do."""
    if any(outcome.failed for outcome in outcomes):
        return outcome_of(VsphereError("")).exit_code
    return NEEDS_ATTENTION if any(outcome.pending for outcome in outcomes) else SUCCESS.exit_code
