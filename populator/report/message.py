"""The pod's termination message: JSON in UTF-8 that fits into what the kubelet keeps, and holds no secret.

What was left behind is the last to go, since nothing else says it once the pod is gone: where all is too much, fields
are shortened in the order of `SHORTENED`, each as far as it has to be. Phase and reason, words of this program, stay.
"""

import json
import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from populator.log import redact

logger = logging.getLogger(__name__)

MESSAGE_LIMIT = 4096
"""bytes"""
OUR_WORDS = {"phase", "reason"}
SHORTENED = {
    "xcopy": 0,
    "verified": 0,
    "hostsLeft": 200,
    "hint": 200,
    "text": 500,
    "undoFailures": 400,
    "left": 0,
}
"""bytes that each field keeps while there is one behind it that can be shortened"""
LONGEST_ENTRY = 240
"""bytes of an entry, in a list that has to be shortened"""
Value: TypeAlias = str | Sequence[str]


def write_message(file: Path, message: Mapping[str, Value]) -> None:
    """Write the message, if there is a kubelet to read it (it makes the file beforehand)."""
    if not file.exists():
        return
    try:
        file.write_bytes(fitting(message))
    except OSError as error:
        logger.warning("cannot write the termination message to %s: %s", file, error)


def fitting(message: Mapping[str, Value]) -> bytes:
    """Return the message as JSON of at most `MESSAGE_LIMIT` bytes, counted as they are written."""
    whole = {name: _clean(name, value) for name, value in message.items() if value}
    for name, kept in SHORTENED.items():
        excess = size(whole) - MESSAGE_LIMIT
        if name in whole and excess > 0:
            whole[name] = _shortened(whole[name], max(size(whole[name]) - excess, kept))
    return _json({name: value for name, value in whole.items() if value})


def size(value: object) -> int:
    """Return how many bytes a value has as JSON."""
    return len(_json(value))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _clean(name: str, value: Value) -> Value:
    """Return a value without secrets and halves of characters."""
    if not isinstance(value, str):
        return [str(_clean(name, entry)) for entry in value]
    shown = value if name in OUR_WORDS else redact(value)
    return shown.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shortened(value: Value, most: int) -> Value:
    return _cut(value, most) if isinstance(value, str) else _fewer(value, most)


def _cut(text: str, most: int) -> str:
    """Return as much of the beginning as fits."""
    lengths = range(len(text) + 1)
    fitting = bisect_right(lengths, most, key=lambda length: size(text[:length] + "…"))
    return text[: fitting - 1] + "…" if fitting else ""


def _fewer(entries: Sequence[str], most: int) -> Sequence[str]:
    """Return as many entries from the first on as fit, and how many are missing."""
    short = [entry if size(entry) <= LONGEST_ENTRY else _cut(entry, LONGEST_ENTRY) for entry in entries]

    def first(number: int) -> list[str]:
        missing = len(short) - number
        return [*short[:number], *([f"… and {missing} more"] if missing else [])]

    fitting = [number for number in range(len(short) + 1) if size(first(number)) <= most]
    return first(fitting[-1]) if fitting else []
