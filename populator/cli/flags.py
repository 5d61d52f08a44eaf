"""Flags as rows of a table; their values stay text, since `settings` checks all of them at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Flag:
    """One flag; `names` without dashes, the first one is its parameter's."""

    names: tuple[str, ...]
    variable: str | None
    """environment variable that it may be given by"""
    default: str | None
    help: str
    bare: bool = False
    """Go's flag package takes it alone, for true"""


def add(flags: Sequence[Flag]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these flags, in their order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for flag in reversed(flags):
            command = click.option(
                *(f"--{name}" for name in flag.names),
                flag.names[0].replace("-", "_"),
                envvar=flag.variable,
                default=flag.default,
                help=flag.help,
                show_default=flag.default is not None,
                show_envvar=True,
                is_flag=False,
                flag_value="true" if flag.bare else None,
            )(command)
        return command

    return decorate
