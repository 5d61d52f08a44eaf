"""`populator vib`: build the hosts' package, and bring it onto hosts. Flags and environment as Forklift's installer."""

import logging
import os
from pathlib import Path

import click

from populator import process
from populator.cli.failure import fail
from populator.cli.file import write_whole
from populator.cli.flags import Flag, add
from populator.cli.log_flags import set_up_log
from populator.cli.output import draw
from populator.clock import Clock
from populator.errors import PopulatorError
from populator.settings.fleet import parse_fleet_settings
from vsphere.errors import VsphereError
from vsphere.vib import installer
from vsphere.vib.build import NAME, build_vib
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION

log = logging.getLogger(__name__)

COMMON: tuple[Flag, ...] = (
    Flag(
        ("esxi-hosts", "hosts"), "ESXI_HOSTS", None, "Hosts, separated by commas; else all that vCenter has."
    ),
    Flag(("vsphere-hostname", "vcenter"), "GOVMOMI_HOSTNAME", None, "vCenter: host, host:port or URL."),
    Flag(("vsphere-username",), "GOVMOMI_USERNAME", None, "vCenter user."),
    Flag(("vsphere-password",), "GOVMOMI_PASSWORD", None, "Password; rather give it in the environment."),
    Flag(("vsphere-insecure",), "GOVMOMI_INSECURE", "false", "Trust any certificate of vCenter.", bare=True),
    Flag(("datacenter",), None, None, "Only the hosts of this datacenter of vCenter."),
    Flag(("ssh-key-file",), "SSH_KEY_FILE", None, "Private key that may log in to the hosts as root."),
    Flag(("ssh-timeout-seconds",), "SSH_TIMEOUT_SECONDS", "30", "Time-out of connecting to a host."),
    Flag(("parallel",), None, "4", "Hosts at a time."),
)
VIB_PATH = Flag(("vib-path",), "VIB_PATH", None, "VIB to install; else the one that `vib build` writes.")
RESTART = Flag(
    ("restart-hostd",),
    "RESTART_HOSTD",
    "true",
    "Restart hostd where it has to load plugins anew.",
    bare=True,
)


@click.group()
def command() -> None:
    """Build the VIB of the vmkfstools wrapper, and bring it onto ESXi hosts or off them.

    Hosts are visited whose SSH key is in SSH_KNOWN_HOSTS (lines as ssh-keyscan prints them) or SSH_HOST_FINGERPRINTS
    (SHA256:…). Without either, the key that a host shows first is trusted, and logged. SSH_PORT_NUMBER is 22.
    """


@command.command()
@click.option("--output", type=click.Path(path_type=Path), help=f"File to write; else {NAME}-{VERSION}.vib.")
@click.pass_context
def build(context: click.Context, output: Path | None) -> None:
    """Write the VIB: always the same bytes."""
    file = output or Path(f"{NAME}-{VERSION}.vib")
    try:
        write_whole(file, build_vib(SCRIPT, PLUGIN_XML, VERSION))
    except (PopulatorError, VsphereError) as error:
        context.exit(fail(error))
    click.echo(file)


@command.command()
@add((*COMMON, VIB_PATH, RESTART))
@click.option("--dry-run", is_flag=True, help="Look, and tell what would be done.")
@click.pass_context
def install(context: click.Context, /, dry_run: bool, **arguments: str | None) -> None:
    """Install or update the VIB on hosts, and make sure that the plugin can be called."""
    context.exit(visit(installer.install, arguments, dry_run=dry_run))


@command.command()
@add((*COMMON, VIB_PATH))
@click.pass_context
def status(context: click.Context, /, **arguments: str | None) -> None:
    """Tell how hosts stand, and what installing would do; exit code 1 where that is not nothing."""
    context.exit(visit(installer.status, {**arguments, "restart_hostd": "true"}, dry_run=True))


@command.command()
@add((*COMMON, RESTART))
@click.option("--dry-run", is_flag=True, help="Look, and tell what would be done.")
@click.pass_context
def remove(context: click.Context, /, dry_run: bool, **arguments: str | None) -> None:
    """Take the VIB off hosts."""
    context.exit(visit(installer.remove, arguments, dry_run=dry_run))


def visit(story: installer.Story, arguments: dict[str, str | None], *, dry_run: bool) -> int:
    """Go through with a story on all hosts, print the table, and return the exit code."""
    by_name = {name.replace("_", "-"): value for name, value in arguments.items()}
    set_up_log(click.get_current_context(), [by_name.get("vsphere-password") or ""])
    clock = Clock()
    process.listen_for_stop(clock)
    given = {
        "GOVMOMI_INSECURE": by_name.get("vsphere-insecure") or "",
        "SSH_TIMEOUT_SECONDS": by_name.get("ssh-timeout-seconds") or "",
    }
    try:
        settings = parse_fleet_settings(by_name, {**os.environ, **given}, dry_run=dry_run)
        for warning in settings.warnings:
            log.warning("%s", warning)
        from populator.stories import fleet  # noqa: PLC0415 - it brings in the clients, which `build` has no use for

        rows = fleet.visit_all(story, settings, clock)
    except (PopulatorError, VsphereError) as error:
        return fail(error)
    head = ("HOST", "BEFORE", "AFTER", "RESULT", "WHAT TO DO")
    click.echo(draw([head, *((host, one.before, one.after, one.result, one.todo) for host, one in rows)]))
    return 1 if any(outcome.failed for _, outcome in rows) else 0
