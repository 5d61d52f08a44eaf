"""Logging set-up: lines for people or JSON for machines, what the work is about on each, and no secrets.

`about` keeps the facts that every line names (phase, host, LUN, task). Secrets handed to `set_up` are blotted
out of the finished line, also where they stand base64- or URL-encoded; traces appear at debug level only.
"""

import base64
import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

BLOT = "[secret]"
SHORTEST_SECRET = 4
"""characters; blotting out shorter ones would only garble the log"""

_about: dict[str, str] = {}
_secrets: list[str] = []


def about(**facts: str) -> None:
    """Name these facts on every line from now on; an empty value drops one."""
    _about.update(facts)
    for name in [name for name, value in _about.items() if not value]:
        del _about[name]


def encodings(secret: str) -> set[str]:
    """Return the forms in which a secret could stand in a URL, a header or an escaped text."""
    return {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode().rstrip("="),
    }


def redact(text: str) -> str:
    """Return the text without the secrets that `set_up` was given."""
    for form in _secrets:
        text = text.replace(form, BLOT)
    return text


class Lines(logging.Formatter):
    """One line for people: time, level, message, then the facts as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished line, with a trace below it at debug level only."""
        facts = " ".join(f"{name}={quoted(value)}" for name, value in facts_of(record).items())
        line = f"{moment(record)} {record.levelname:<7} {record.getMessage()}  {facts}".rstrip()
        return redact(line + trace(self, record))


class Json(logging.Formatter):
    """One JSON object a line, the facts as fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished object."""
        fields = {"time": moment(record), "level": record.levelname.lower(), "message": record.getMessage()}
        fields |= facts_of(record)
        if text := trace(self, record):
            fields["trace"] = text.strip()
        return redact(json.dumps(fields, ensure_ascii=False))


def quoted(value: str) -> str:
    """Return a value as it can stand in a line of `name=value`."""
    return json.dumps(value, ensure_ascii=False) if " " in value or not value else value


def moment(record: logging.LogRecord) -> str:
    """Return the record's time in UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def facts_of(record: logging.LogRecord) -> dict[str, str]:
    """Return what the line is about: the standing facts, and those handed over as `extra={"facts": …}`.

    A `task` handed over once is what all later lines are about.
    """
    facts: dict[str, str] = getattr(record, "facts", {})
    about(**{name: facts[name] for name in ("task",) if name in facts})
    return _about | facts


def trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the exception's trace where debugging is on."""
    if not record.exc_info or not logging.getLogger().isEnabledFor(logging.DEBUG):
        return ""
    return "\n" + formatter.formatException(record.exc_info)


def set_up(level: str, style: str, secrets: Iterable[str]) -> None:
    """Send the program's log to stderr, about nothing yet; the libraries' own chatter only from warnings on."""
    _about.clear()
    long_enough = (secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    forms = {form for secret in long_enough for form in encodings(secret)}
    _secrets[:] = sorted(forms, key=len, reverse=True)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if style == "json" else Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("urllib3", "kubernetes", "requests"):
        logging.getLogger(library).setLevel(max(root.level, logging.WARNING))
