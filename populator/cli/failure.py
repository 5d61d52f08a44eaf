"""How a command for people says that it failed."""

import logging

import click

from populator.log import printable
from populator.report.outcome import explain, outcome_of

log = logging.getLogger(__name__)


def fail(error: Exception) -> int:
    """Say what went wrong and what to do next; return the exit code."""
    click.echo(printable(" ".join(explain(error)).strip()), err=True)
    log.debug("the trace of it", exc_info=error)
    return outcome_of(error).exit_code
