"""Flags as rows of a table, in groups as help shows them; those that several commands take stand here.

Their values stay text, since `settings` checks all of them at once and names every problem.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Flag:
    """A flag with a value; `names` without dashes, the first is its parameter's."""

    names: tuple[str, ...]
    metavar: str
    """what its value is; empty for a switch, whose value is true or false, and which Go's callers give alone"""
    help: str
    variable: str | None = None
    """environment variable that it may be given by"""
    default: str | None = None
    needed: bool = False
    """whether nothing works without it; `settings` says so where it is missing, help beforehand"""


@dataclass(frozen=True)
class FlagGroup:
    """Flags that help shows together."""

    title: str
    flags: tuple[Flag, ...]


class Option(click.Option):
    """An option that knows its group in help, whether it is a switch, and whether it is needed."""

    def __init__(
        self, *words: Any, group: str = "Other", switch: bool = False, needed: bool = False, **more: Any
    ) -> None:
        super().__init__(*words, **more)
        self.group, self.switch, self.needed = group, switch, needed

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in brackets behind the text."""
        extra = super().get_help_extra(ctx)
        if self.needed:
            extra["required"] = "required"
        return extra

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the two columns of help; a switch that is on by default shows how to turn it off."""
        record = super().get_help_record(ctx)
        if record is None or not self.switch:
            return record
        return ", ".join(self.opts) + ("[=false]" if self.default == "true" else ""), record[1]


class Choice(click.Choice[str]):
    """A closed set of values, refused in the words of `settings`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value."""
        if value not in self.choices:
            self.fail(f"{value!r} is none of {', '.join(self.choices)}.", param, ctx)
        return str(value)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """Add nothing: the metavar names the values."""
        return ""


def option(group: str, *words: str, **more: Any) -> Decorator:
    """Give a command an option whose value click reads."""
    return click.option(*words, cls=Option, group=group, **more)


def add(*groups: FlagGroup) -> Decorator:
    """Give a command these flags, in their order."""
    rows = [(group.title, flag) for group in groups for flag in group.flags]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for title, flag in reversed(rows):
            command = _option(title, flag)(command)
        return command

    return decorate


def _option(title: str, flag: Flag) -> Decorator:
    return option(
        title,
        *(f"--{name}" for name in flag.names),
        flag.names[0].replace("-", "_"),
        envvar=flag.variable,
        default=flag.default,
        help=flag.help,
        metavar=flag.metavar or None,
        show_default=flag.default is not None and (flag.metavar != "" or flag.default == "true"),
        show_envvar=True,
        switch=not flag.metavar,
        needed=flag.needed,
    )


def by_name(values: dict[str, str | None]) -> dict[str, str | None]:
    """Return the values by the names that `settings` knows them by."""
    return {name.replace("_", "-"): value for name, value in values.items()}


def switches(parameters: Sequence[click.Parameter]) -> set[str]:
    """Return the options that may stand alone for true."""
    return {
        word
        for parameter in parameters
        if isinstance(parameter, Option) and parameter.switch
        for word in parameter.opts
    }


VCENTER = FlagGroup(
    "vSphere",
    (
        Flag(
            ("vsphere-hostname", "vcenter"),
            "HOST[:PORT]",
            "vCenter; a URL will do.",
            "GOVMOMI_HOSTNAME",
            needed=True,
        ),
        Flag(("vsphere-username",), "NAME", "vCenter user.", "GOVMOMI_USERNAME", needed=True),
        Flag(
            ("vsphere-password",),
            "PASSWORD",
            "vCenter password; better given by the variable.",
            "GOVMOMI_PASSWORD",
            needed=True,
        ),
        Flag(("vsphere-insecure",), "", "Accept any certificate of vCenter.", "GOVMOMI_INSECURE", "false"),
    ),
)

KUBERNETES = FlagGroup(
    "Kubernetes",
    (
        Flag(
            ("kubeconfig",), "FILE", "Kubeconfig; without it, a pod uses its service account.", "KUBECONFIG"
        ),
        Flag(("master",), "URL", "API server, instead of the kubeconfig's."),
    ),
)

LOG = FlagGroup(
    "Other",
    (
        Flag(
            ("log-level",),
            "LEVEL",
            "debug, info, warning or error; debug adds traces.",
            "LOG_LEVEL",
            "info",
        ),
        Flag(("log-format",), "FORMAT", "lines or json.", "LOG_FORMAT", "lines"),
    ),
)
