"""The command line: flags and environment in, exit code out. The only user of click, a module for each command.

Called with options alone, as Forklift does, it populates: problems are lines of the log and stand in the pod's
termination message. All other commands are for people, and say `error: …`. A command's module is imported when it is
called, since the populating one has no time to lose.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from populator import __version__, log, process, resolver
from populator.cli import failure
from populator.cli.flags import Option, add
from populator.cli.help import SETTINGS, Group, UnknownCommand
from populator.cli.log_flags import set_up_log
from populator.cli.populate import EXAMPLES, GROUPS, TERMINATION_MESSAGE, populate
from populator.errors import SettingsError
from populator.report.outcome import INTERRUPTED
from populator.storage.registry import VENDORS, Vendor

NAME = "populator"
COMPLETE = "_POPULATOR_COMPLETE"
"""variable by which a shell asks for completions"""

COMMANDS: dict[str, tuple[str, str]] = {
    "forecast": ("forecast", "Forecast how long copies will take, and what would help."),
    "preflight": ("preflight", "Look whether a populate would work, and touch nothing."),
    "top": ("top", "Show what all populates of a cluster do, live."),
    "leases": ("leases", "Show who holds the slots of which ESXi host."),
    "recover": ("recover", "Show what dead populators have left, and put it in order."),
    "vib": ("vib", "Build the hosts' VIB, and bring it onto ESXi hosts or off them."),
    "ssh-key": ("ssh_key", "Print the line that lets the populator into an ESXi host by SSH."),
    "completion": ("completion", "Print what makes a shell complete commands and options."),
}
"""name -> module below this package that has a click command `command`, and the line of help"""


class Program(Group):
    """Finds commands by the table above; lists them without importing them."""

    def is_for_people(self) -> bool:
        """Whether somebody reads what goes to stderr; a pod has no terminal, and its values may be in variables."""
        return sys.stderr.isatty()

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both ways to call the program."""
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS]")
        formatter.write_usage(ctx.command_path, "OPTIONS", prefix=" " * len("Usage: "))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command's module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}").command
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write commands and options, then what each vendor's arrays need."""
        super().format_options(ctx, formatter)
        with formatter.section("Vendors, what they let us in by, and their own variables"):
            formatter.write_dl([(name, in_words(VENDORS[name])) for name in sorted(VENDORS)])

    def lines(self) -> list[tuple[str, str]]:
        """Return the table, without importing the commands."""
        return [(name, text) for name, (_, text) in COMMANDS.items()]


def in_words(vendor: Vendor) -> str:
    """Return a row of the registry for people."""
    needed = (
        f"{option.variable}: {option.help.rstrip('.')}{' (required)' if option.required else ''}"
        for option in vendor.options
    )
    return "; ".join([vendor.product, vendor.credentials, *needed]) + "."


@click.group(NAME, cls=Program, invoke_without_command=True, context_settings=SETTINGS, examples=EXAMPLES)
@add(*GROUPS)
@click.version_option(__version__, prog_name=NAME, cls=Option, help="Show the version and exit.")
@click.pass_context
def cli(context: click.Context, /, **arguments: str | None) -> None:
    """Copy one vSphere disk onto the volume behind one PVC, by the storage array itself (SCSI XCOPY).

    Called with options alone it copies; Forklift does that, once for each disk. Every option that has a variable
    may be given by that. The commands are for people.
    """
    set_up_log(context)
    if context.invoked_subcommand is None:
        context.exit(populate(arguments))
    process.let_signals_through()


def main() -> NoReturn:
    """Run the program and exit with its code, whatever happens."""
    resolver.install()
    code = run(sys.argv[1:])
    process.ignore_stop()
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run the program with these arguments; return its exit code."""
    try:
        code = cli.main(list(words), prog_name=NAME, complete_var=COMPLETE, standalone_mode=False)
    except click.UsageError as error:
        return refuse(error, words)
    except click.Abort:
        return INTERRUPTED
    except Exception as error:
        return failure.fail(error)
    return int(code or 0)


def refuse(error: click.UsageError, words: Sequence[str]) -> int:
    """Refuse a wrong call; one that was to populate ends with a termination message, as with any other error."""
    if was_to_populate(error, words):
        log.set_up(os.environ.get("LOG_LEVEL", ""), os.environ.get("LOG_FORMAT", ""), ())
        flag = "--termination-message-path="
        file = next((word.removeprefix(flag) for word in words if word.startswith(flag)), TERMINATION_MESSAGE)
        return process.refuse(
            SettingsError([" ".join([failure.problem(error), *failure.near(error)])]), Path(file)
        )
    return failure.refuse(error)


def was_to_populate(error: click.UsageError, words: Sequence[str]) -> bool:
    """Whether a call has nothing but options of the program itself."""
    at_top = error.ctx is not None and error.ctx.command is cli
    return at_top and not isinstance(error, UnknownCommand) and not set(words) & COMMANDS.keys()
