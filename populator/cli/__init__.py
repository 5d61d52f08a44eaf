"""The command line: flags and environment in, exit code out. The only user of click, a module for each command.

Called with flags alone, as Forklift does, it populates. A command's module is imported when it is called, since the
populating one has no time to lose.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from populator import __version__, log, process, resolver
from populator.cli.failure import fail
from populator.cli.flags import add
from populator.cli.log_flags import set_up_log
from populator.cli.populate import FLAGS, TERMINATION_MESSAGE, populate
from populator.errors import SettingsError

INTERRUPTED = 130

COMMANDS: dict[str, tuple[str, str]] = {
    "vib": ("vib", "Build the hosts' VIB, and bring it onto ESXi hosts or off them."),
    "ssh-key": ("ssh_key", "Print the line that lets the populator into an ESXi host by SSH."),
    "leases": ("leases", "Show who holds the slots of which ESXi host."),
}
"""name -> module below this package that has a click command `command`, and the line of help"""


class Commands(click.Group):
    """Finds commands by the table above; lists them without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command's module."""
        if cmd_name not in COMMANDS:
            raise click.UsageError(f"No such command {cmd_name!r}; there are {', '.join(COMMANDS)}.")
        command: click.Command = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table into the help."""
        if COMMANDS:
            with formatter.section("Commands"):
                formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND]",
)
@click.version_option(__version__, prog_name="populator")
@add(FLAGS)
@click.pass_context
def cli(context: click.Context, /, **arguments: str | None) -> None:
    """Copy one vSphere disk onto the LUN behind one PVC, by the storage array (SCSI XCOPY).

    Started by Forklift, once per disk; every flag with an environment variable may be given there instead.
    The commands are for people.
    """
    set_up_log(context)
    if context.invoked_subcommand is None:
        context.exit(populate(arguments))
    process.let_signals_through()


def main() -> NoReturn:
    """Run the program and exit with its code, whatever happens."""
    resolver.install()
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        code = refuse(error, sys.argv[1:])
    except click.Abort:
        code = INTERRUPTED
    except Exception as error:
        code = fail(error)
    process.ignore_stop()
    sys.exit(code)


def refuse(error: click.ClickException, words: Sequence[str]) -> int:
    """Tell about a wrong call; one that was to populate ends with a termination message, as with any other error."""
    if not (isinstance(error, click.UsageError) and error.ctx and error.ctx.command is cli):
        error.show()
        return error.exit_code
    log.set_up(os.environ.get("LOG_LEVEL", ""), os.environ.get("LOG_FORMAT", ""), ())
    flag = "--termination-message-path="
    file = next((word.removeprefix(flag) for word in words if word.startswith(flag)), TERMINATION_MESSAGE)
    return process.refuse(SettingsError([error.format_message()]), Path(file))
