"""Logging set-up: lines for people or JSON for machines, what the work is about on each, and no secrets.

`about` keeps the facts that every line names (phase, host, LUN, task). A record is one line, whatever is in its values;
traces appear at debug level only, indented below it. Secrets handed to `set_up` are blotted out of messages and values,
never out of names, times, levels and phases, so that a password that is an ordinary word destroys nothing:

- one of fewer than four characters is not looked for: it is in every other word, and blotting would only show it;
- one of fewer than twelve letters and digits counts where it stands alone, not inside a longer word;
- all others count wherever they stand, also encoded for URLs, JSON or base64.
"""

import base64
import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO
from urllib.parse import quote

BLOT = "[secret]"
SHORTEST_SECRET = 4
SHORTEST_ANYWHERE = 12
LEVELS = ("debug", "info", "warning", "error")
FORMS = ("lines", "json")
OUR_WORDS = {"phase", "failed"}
"""facts whose values are this program's own words"""
UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""what some programs take for the end of a line, and halves of characters, which cannot be written"""

_about: dict[str, str] = {}
_secrets = re.compile("(?!)")


def about(**facts: str) -> None:
    """Name these facts on every line from now on; an empty value drops one."""
    _about.update(facts)
    for name in [name for name, value in _about.items() if not value]:
        del _about[name]


def encodings(secret: str) -> set[str]:
    """Return the forms in which a secret could stand in a URL, a header or an escaped text."""
    raw = secret.encode(errors="surrogatepass")
    encoded = base64.b64encode(raw).decode().rstrip("=")
    return {secret, quote(raw, safe=""), json.dumps(secret)[1:-1], printable(secret), encoded}


def redact(text: str) -> str:
    """Return a message or a value without the secrets that `set_up` was given."""
    return _secrets.sub(BLOT, text)


def printable(text: str) -> str:
    """Return a text as it can stand in a line: control characters, and halves of characters, are escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Lines(logging.Formatter):
    """One line for people: time, level, message, then the facts as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished line, with a trace below it at debug level only."""
        facts = " ".join(f"{name}={quoted(value)}" for name, value in facts_of(record).items())
        message = redact(record.getMessage())
        line = printable(f"{moment(record)} {record.levelname:<7} {message}  {facts}".rstrip())
        return "\n    ".join((line, *map(printable, trace(self, record).splitlines())))


class Json(logging.Formatter):
    """One JSON object a line, the facts as fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished object."""
        fields = {"time": moment(record), "level": record.levelname.lower()}
        fields |= {"message": redact(record.getMessage()), **facts_of(record)}
        if text := trace(self, record):
            fields["trace"] = text
        line = json.dumps(fields, ensure_ascii=False)
        return UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def quoted(value: str) -> str:
    """Return a value as it can stand in a line of `name=value`."""
    return value if re.fullmatch(r'[^\s"]+', value) else json.dumps(value, ensure_ascii=False)


def moment(record: logging.LogRecord) -> str:
    """Return the record's time in UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def facts_of(record: logging.LogRecord) -> dict[str, str]:
    """Return what the line is about: the standing facts, and those handed over as `extra={"facts": …}`."""
    facts: dict[str, str] = _about | getattr(record, "facts", {})
    return {name: value if name in OUR_WORDS else redact(value) for name, value in facts.items()}


def trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the exception's trace where debugging is on."""
    if not record.exc_info or not logging.getLogger().isEnabledFor(logging.DEBUG):
        return ""
    return redact(formatter.formatException(record.exc_info))


class Output(logging.StreamHandler[TextIO]):
    """Writes to stderr what is at least of its level, and takes note of all."""

    def __init__(self, level: str, form: str) -> None:
        super().__init__(sys.stderr)
        self._lowest: int = getattr(logging, level.upper())
        self.setFormatter(Json() if form == "json" else Lines())

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through; a `task` handed over once is what all later lines are about, shown or not."""
        task = getattr(record, "facts", {}).get("task")
        if task:
            about(task=task)
        return record.levelno >= self._lowest


def set_up(level: str, form: str, secrets: Iterable[str]) -> None:
    """Send the program's log to stderr, about nothing yet; the libraries' own chatter only from warnings on.

    A level or form that does not exist is for the settings to refuse; until then `info` and `lines` serve.
    """
    global _secrets  # noqa: PLW0603 - one log a process
    _about.clear()
    _secrets = matcher(secrets)
    root = logging.getLogger()
    root.handlers[:] = [Output(level if level in LEVELS else "info", form)]
    root.setLevel(logging.DEBUG if level == "debug" else logging.INFO)
    for library in ("urllib3", "kubernetes", "requests"):
        logging.getLogger(library).setLevel(logging.WARNING)


def matcher(secrets: Iterable[str]) -> re.Pattern[str]:
    """Return what finds the secrets in a text, the longest first; see the module for which count where."""
    given = {form for secret in secrets for form in (secret, secret.strip("\r\n"))}
    forms = {form for secret in given if len(secret) >= SHORTEST_SECRET for form in encodings(secret)}
    return re.compile("|".join(map(_pattern, sorted(forms, key=len, reverse=True))) or "(?!)")


def _pattern(form: str) -> str:
    word = form.isalnum() and len(form) < SHORTEST_ANYWHERE
    return rf"(?<!\w){re.escape(form)}(?!\w)" if word else re.escape(form)
