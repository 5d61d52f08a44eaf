"""How commands show what they can do: options in groups, then examples, as wide as the terminal is."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from populator.cli.flags import Option, switches
from populator.cli.log_flags import set_up_log
from populator.report.outcome import BAD_CALL, NOBODY_READS

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 200}
"""of a context; a line of prose wider than that cannot be read"""


class UnknownCommand(click.UsageError):
    """A word that is no command; `known` are those that there are."""

    def __init__(self, name: str, known: Sequence[str], context: click.Context) -> None:
        super().__init__(f"No such command {name!r}.", context)
        self.name, self.known = name, known


class Helped(click.Command):
    """A command with options in groups and with examples."""

    def __init__(self, *words: Any, examples: Sequence[str] = (), **more: Any) -> None:
        more.setdefault("context_settings", SETTINGS)
        super().__init__(*words, **more)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read a switch that stands alone as Go's flag package does: its value is never the next word."""
        alone = switches(self.params)
        end = args.index("--") if "--" in args else len(args)
        words = [f"{word}=true" if word in alone else word for word in args[:end]]
        try:
            return super().parse_args(ctx, words + args[end:])
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser does not say whose option lacks its value
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                title = parameter.group if isinstance(parameter, Option) else "Other"
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples as they are."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    for line in example.splitlines():
                        formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Command(Helped):
    """A command for people; its log goes by its own flags."""

    def invoke(self, ctx: click.Context) -> Any:
        """Set up the log, then run, for as long as somebody reads."""
        set_up_log(ctx)
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # Python writes what is left at its end
            ctx.exit(NOBODY_READS)


class Group(Helped, click.Group):
    """A command that others stand below; help names them first, in the order in which they were added."""

    command_class = Command

    def __init__(self, *words: Any, **more: Any) -> None:
        more |= {"options_metavar": None, "subcommand_metavar": "COMMAND [OPTIONS]"}
        super().__init__(*words, no_args_is_help=False, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show help where nothing at all is given, and end as for any call that is not complete."""
        if not args and not ctx.resilient_parsing and self.is_for_people():
            click.echo(ctx.get_help(), err=True)
            ctx.exit(BAD_CALL)
        return super().parse_args(ctx, args)

    def is_for_people(self) -> bool:
        """Whether a call with nothing at all comes from a person."""
        return True

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in their order."""
        return list(self.commands)

    def lines(self) -> list[tuple[str, str]]:
        """Return the names, each with what the command does."""
        return [(name, command.get_short_help_str(200)) for name, command in self.commands.items()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        with formatter.section("Commands"):
            formatter.write_dl(self.lines())
        Helped.format_options(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names."""
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise UnknownCommand(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)
