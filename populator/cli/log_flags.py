"""The log as the flags of a command say, and the secrets that it must not show."""

import logging
import os
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

import click
from click.core import ParameterSource

from populator import log
from populator.pem import decoded

KNOWN = {"log_level": log.LEVELS, "log_format": log.FORMS}


def set_up_log(context: click.Context) -> None:
    """Log as this command's flags say, else as the program's do, without the secrets of either.

    Raises `BadParameter` for a value that does not exist; that of a call which populates is for the settings to refuse.
    """
    level, form = (log_setting(context, name) for name in KNOWN)
    secrets = [str(value or "") for name, value in given(context) if name.endswith(("_password", "_token"))]
    log.set_up(level, form, [*secrets, *key_texts(os.environ), *proxy_passwords(os.environ)])


def be_quiet(context: click.Context) -> None:
    """Log nothing below a warning, unless somebody has asked for a level: for a command that shows a page."""
    place: click.Context | None = context
    while place:
        if place.get_parameter_source("log_level") is not ParameterSource.DEFAULT:
            return
        place = place.parent
    logging.getLogger().setLevel(logging.WARNING)


def log_setting(context: click.Context, name: str) -> str:
    """Return the value that stands nearest to the command."""
    place = context
    while place.parent and place.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        place = place.parent
    value = str(place.params[name])
    if context.parent and value not in KNOWN[name]:
        flag = f"--{name.replace('_', '-')}"
        raise click.BadParameter(f"{value!r} is none of {', '.join(KNOWN[name])}.", context, param_hint=flag)
    return value


def given(context: click.Context) -> Iterator[tuple[str, object]]:
    """Yield the parameters of a command and of those that it stands below."""
    place: click.Context | None = context
    while place:
        yield from place.params.items()
        place = place.parent


def proxy_passwords(environment: Mapping[str, str]) -> list[str]:
    """Return the passwords that stand in the URLs of proxies, as they are there and decoded."""
    urls = [value for name, value in environment.items() if name.lower().endswith("_proxy")]
    passwords = [url.partition("//")[2].rpartition("@")[0].partition(":")[2] for url in urls]
    return [*passwords, *map(unquote, passwords)]


def key_texts(environment: Mapping[str, str]) -> list[str]:
    """Return the SSH key in all forms in which it might be logged: as given, decoded, and each of its lines."""
    key = environment.get("SSH_PRIVATE_KEY", "")
    pem = decoded(key)
    return [key, pem, *(line for line in pem.splitlines() if line and not line.startswith("-----"))]
