"""The flags of the log, which count for all commands, and the secrets that it must not show."""

import os
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import click

from populator import log
from populator.cli.flags import Flag
from populator.pem import decoded

LOG_FLAGS = (
    Flag(("log-level",), "LOG_LEVEL", "info", "debug, info, warning or error; debug adds traces."),
    Flag(("log-format",), "LOG_FORMAT", "lines", "lines or json."),
)


def set_up_log(context: click.Context, secrets: Iterable[str] = ()) -> None:
    """Begin to log as the program's flags say, without their secrets and these."""
    given = context.find_root().params
    ours = [str(value or "") for name, value in given.items() if name.endswith(("_password", "_token"))]
    others = [*secrets, *key_texts(os.environ), *proxy_passwords(os.environ)]
    log.set_up(given["log_level"], given["log_format"], [*ours, *others])


def proxy_passwords(environment: Mapping[str, str]) -> list[str]:
    """Return the passwords that stand in the URLs of proxies, as they are there and decoded."""
    urls = [value for name, value in environment.items() if name.lower().endswith("_proxy")]
    given = [url.partition("//")[2].rpartition("@")[0].partition(":")[2] for url in urls]
    return [*given, *map(unquote, given)]


def key_texts(environment: Mapping[str, str]) -> list[str]:
    """Return the SSH key in all forms in which it might be logged: as given, decoded, and each of its lines."""
    given = environment.get("SSH_PRIVATE_KEY", "")
    pem = decoded(given)
    return [given, pem, *(line for line in pem.splitlines() if line and not line.startswith("-----"))]
