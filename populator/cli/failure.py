"""How a command for people says that it failed: `error:` lines, one for each problem, then a `hint:`."""

import logging
from collections.abc import Sequence
from difflib import get_close_matches

import click

from populator.cli.help import UnknownCommand
from populator.errors import SettingsError
from populator.log import printable
from populator.report.outcome import explain, outcome_of

log = logging.getLogger(__name__)


def fail(error: Exception) -> int:
    """Say what went wrong and what to do next; return the exit code."""
    context = click.get_current_context(silent=True)
    if isinstance(error, SettingsError):
        complain(error.problems, see_help(context) if context else "")
    else:
        text, hint = explain(error)
        complain([text], hint)
    log.debug("the trace of it", exc_info=error)
    return outcome_of(error).exit_code


def refuse(error: click.UsageError) -> int:
    """Say what is wrong with a call; return the exit code."""
    complain([problem(error)], " ".join([*near(error), *([see_help(error.ctx)] if error.ctx else ())]))
    return error.exit_code


def complain(problems: Sequence[str], hint: str) -> None:
    """Print problems and the next step."""
    for text in problems:
        click.echo(f"error: {printable(text.strip())}", err=True)
    if hint:
        click.echo(f"hint: {printable(hint)}", err=True)


def problem(error: click.UsageError) -> str:
    """Return what is wrong, as a sentence that begins with the option where its value is wrong."""
    if isinstance(error, click.MissingParameter):
        return error.format_message()
    name = error.param_hint if isinstance(error, click.BadParameter) else None
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        name = error.param.opts[-1]
    text = f"{error.message.rstrip('.')}."
    return f"{name}: {text}" if name else text


def near(error: click.UsageError) -> list[str]:
    """Return the question whether another name was meant, where there is one like it."""
    names: Sequence[str] = ()
    if isinstance(error, UnknownCommand):
        names = get_close_matches(error.name, error.known)
    elif isinstance(error, click.NoSuchOption):
        names = error.possibilities or ()
    return [f"Did you mean {' or '.join(map(repr, names))}?"] if names else []


def see_help(context: click.Context) -> str:
    """Return where to read more about a command."""
    return f"See '{context.command_path} --help'."
