"""How PowerStore's REST API selects: columns, related rows, filters, order and pages of a collection.

As documented: `select` names columns, `*` all of them, `relation(…)` those of related rows; without it there is only
the id. A filter is `column=operator.value`, `or=(…)` and `and=(…)` nest, `->` and `->>` go into JSON. A page has 100
rows unless `limit` and `offset`, or the header `Range`, say otherwise, 2,000 at most; a part of a list is 206 with
`content-range`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.arrays.powerstore.cluster import BAD_VALUE, Failure
from tests.lab.arrays.rest import Reply, Request

Record = dict[str, Any]
CONTROL = {"select", "order", "limit", "offset"}
PAGE, MOST = 100, 2000
BAD_RANGE = "0xE04040010005"
COMPARED: dict[str, Callable[[int], bool]] = {
    "eq": lambda c: c == 0,
    "neq": lambda c: c != 0,
    "gt": lambda c: c > 0,
    "gte": lambda c: c >= 0,
    "lt": lambda c: c < 0,
    "lte": lambda c: c <= 0,
}


@dataclass(frozen=True)
class Resource:
    """A resource type; a row has all columns, and the rows that are related to it under `relations`."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterable[Record]]
    relations: Mapping[str, tuple[str, Callable[[Record], Any]]] = field(default_factory=dict)
    """the related resource, and what gives its row, rows or None"""


Resources = Mapping[str, Resource]


def answer(resources: Resources, resource: Resource, request: Request, most: int) -> Reply:
    """Return a page of a collection."""
    select = request.query.get("select", resource.columns[0])
    _check(resources, resource, select)
    _matches(resource, dict.fromkeys(resource.columns), request.query)  # it may name what is not there
    found = [row for row in resource.rows() if _matches(resource, row, request.query)]
    _order(resource, found, request.query.get("order", resource.columns[0]))
    first, last = _range(request, most)
    if first and first >= len(found):
        raise Failure(416, BAD_RANGE, f"The first of the rows, {first}, is behind the last one.")
    page = found[first : last + 1]
    body = [_shown(resources, resource, row, select) for row in page]
    if len(page) == len(found):
        return Reply(200, body)
    return Reply(206, body, {"content-range": f"{first}-{first + len(page) - 1}/{len(found)}"})


def instance(resources: Resources, resource: Resource, row: Record, request: Request) -> Reply:
    """Return one row."""
    select = request.query.get("select", resource.columns[0])
    _check(resources, resource, select)
    return Reply(200, _shown(resources, resource, row, select))


def _range(request: Request, most: int) -> tuple[int, int]:
    given = request.headers.get("range", "")
    try:
        if given:
            first, _, end = given.removeprefix("items=").partition("-")
            last = int(end) if end else int(first) + most - 1
            return int(first), min(last, int(first) + most - 1)
        first_row, limit = (
            int(request.query.get("offset", 0)),
            int(request.query.get("limit", min(PAGE, most))),
        )
    except ValueError as error:
        raise Failure(400, BAD_RANGE, "The range is not a number.") from error
    if first_row < 0 or not 1 <= limit <= MOST:
        raise Failure(400, BAD_RANGE, f"The limit must be between 1 and {MOST}.")
    return first_row, first_row + min(limit, most) - 1


def _order(resource: Resource, found: list[Record], order: str) -> None:
    for part in reversed(order.split(",")):
        name, _, direction = part.strip().partition(".")
        if name not in resource.columns:
            raise _unknown(resource, name)
        found.sort(key=lambda row, name=name: str(row[name] or "").lower(), reverse=direction == "desc")  # type: ignore[misc]


def _check(resources: Resources, resource: Resource, select: str) -> None:
    """Refuse what is no column and no relation."""
    for part in split(select):
        name, inner = _part(part)
        if inner and name in resource.relations:
            _check(resources, resources[resource.relations[name][0]], inner)
        elif inner or name not in {"*", *resource.columns}:
            raise _unknown(resource, name)


def _part(part: str) -> tuple[str, str]:
    name, _, inner = part.partition("(")
    return name.strip(), inner.rstrip().removesuffix(")")


def _shown(resources: Resources, resource: Resource, row: Record, select: str) -> Record:
    shown: Record = {}
    for part in split(select):
        name, inner = _part(part)
        if inner:
            target, find = resource.relations[name]
            related = find(row)
            if isinstance(related, list):
                shown[name] = [_shown(resources, resources[target], each, inner) for each in related]
            else:
                shown[name] = related and _shown(resources, resources[target], related, inner)
        else:
            shown |= {column: row[column] for column in resource.columns if name in {"*", column}}
    return shown


def split(text: str) -> Iterator[str]:
    """Yield the parts of a list between commas that are in no parentheses."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            yield part.strip()
            part = ""
        else:
            part += letter
    if depth:
        raise Failure(400, BAD_VALUE, f"The parentheses of {text} do not match.")
    if part.strip():
        yield part.strip()


def _matches(resource: Resource, row: Record, query: Mapping[str, str]) -> bool:
    conditions = ((name, value) for name, value in query.items() if name not in CONTROL)
    held = [_holds(resource, row, name.strip(), value) for name, value in conditions]
    return all(held)


def _holds(resource: Resource, row: Record, name: str, condition: str) -> bool:
    if name in {"or", "and"}:
        parts = [_nested(resource, row, part) for part in split(condition.strip()[1:-1])]
        return any(parts) if name == "or" else all(parts)
    operator, dot, value = condition.partition(".")
    if operator == "not" and dot:
        return not _holds(resource, row, name, value)
    return _compare(_value(resource, row, name), name, operator, value)


def _nested(resource: Resource, row: Record, part: str) -> bool:
    if match := re.fullmatch(r"(or|and)(\(.*\))", part):
        return _holds(resource, row, match[1], match[2])
    name, _, condition = part.partition(".")
    return _holds(resource, row, name, condition)


def _value(resource: Resource, row: Record, name: str) -> Any:
    column, *path = re.split(r"->>?", name)
    if column not in resource.columns:
        raise _unknown(resource, column)
    value = row[column]
    for step in path:
        try:
            value = value[int(step)] if step.isdecimal() else value[step]
        except (LookupError, TypeError):
            return None
    return value


def _compare(value: Any, name: str, operator: str, wanted: str) -> bool:
    if operator in COMPARED:
        fold = name == "name"  # "supports case-insensitive filtering"
        return value is not None and COMPARED[operator](_ordered(value, wanted, fold=fold))
    if operator == "ilike":
        pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
        return value is not None and re.fullmatch(pattern, str(value), re.IGNORECASE) is not None
    if operator == "in":
        return any(_compare(value, name, "eq", each) for each in split(wanted.strip()[1:-1]))
    if operator == "is":
        return value is {"null": None, "true": True, "false": False}.get(wanted, wanted)
    if operator == "cs":
        return set(wanted.strip("{}").split(",")) <= {str(each) for each in value or ()}
    raise Failure(400, BAD_VALUE, f"The operator {operator} of {name} is not known.")


def _ordered(value: Any, wanted: str, *, fold: bool) -> int:
    if isinstance(value, bool):
        mine, theirs = str(value).lower(), wanted.lower()
    elif isinstance(value, int):
        return (value > int(wanted)) - (value < int(wanted)) if wanted.lstrip("-").isdecimal() else 1
    else:
        mine, theirs = (str(value).lower(), wanted.lower()) if fold else (str(value), wanted)
    return (mine > theirs) - (mine < theirs)


def _unknown(resource: Resource, name: str) -> Failure:
    return Failure(400, "0xE04040010006", f"The resource {resource.name} has no {name!r}.")
