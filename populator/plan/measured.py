"""What copies of earlier runs took, out of what is left of their pods; pure.

A populator that succeeds writes `bytes` and `seconds` of its copy into the pod's termination message, so
`oc get pods -n <target namespace> -o json` has them for as long as the pods are there. Termination messages alone,
one or several, each a JSON object, will do as well.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from populator.plan.forecast import MIB


@dataclass(frozen=True)
class Measured:
    """A copy that has been made."""

    bytes: int
    seconds: float


def rate_of(copies: list[Measured]) -> float:
    """Return the MiB per second of one copy, as such copies ran beside each other: a large one counts for more."""
    return sum(copy.bytes for copy in copies) / MIB / sum(copy.seconds for copy in copies)


def parse_measured(text: str) -> list[Measured]:
    """Read the copies in a file of either kind; raise ValueError where it is neither, or holds no copy."""
    copies = [copy for value in _values(text) for copy in _copies(value)]
    if not copies:
        raise ValueError("there is no termination message of a populator that succeeded in it")
    return copies


def _values(text: str) -> Iterator[Any]:
    """Yield the JSON values that stand one behind the other."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from error
        yield value
        rest = rest[end:].strip()


def _copies(value: Any) -> Iterator[Measured]:
    """Yield the copies anywhere in a value: a message is itself one, a pod has it as text in its status."""
    if isinstance(value, list):
        for each in value:
            yield from _copies(each)
    elif isinstance(value, dict):
        if copy := _copy(value):
            yield copy
            return
        for name, each in value.items():
            if name == "message" and isinstance(each, str) and each.startswith("{"):
                yield from _of_message(each)
            elif isinstance(each, dict | list):
                yield from _copies(each)


def _of_message(text: str) -> Iterator[Measured]:
    try:
        yield from _copies(json.loads(text))
    except ValueError:
        return  # another program's


def _copy(message: dict[str, Any]) -> Measured | None:
    try:
        copy = Measured(int(message["bytes"]), float(message["seconds"]))
    except (KeyError, TypeError, ValueError):
        return None
    return copy if copy.bytes > 0 and 0 < copy.seconds < math.inf else None
