"""Filters, order, fields and pages of an InfiniBox's lists."""

from collections.abc import Callable, Mapping
from typing import Any

Record = dict[str, Any]
COMMON = frozenset({"page", "page_size", "sort", "fields"})
DEFAULT_PAGE, LARGEST_PAGE = 50, 1000


class BadQuery(Exception):
    """The array does not understand the query."""


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


OPERATORS: Mapping[str, Callable[[Any, str], bool]] = {
    "eq": lambda value, wanted: text(value) == wanted,
    "ne": lambda value, wanted: text(value) != wanted,
    "like": lambda value, wanted: wanted.lower() in text(value).lower(),
    "in": lambda value, wanted: text(value) in wanted.strip("()").split(","),
    "gt": lambda value, wanted: int(value) > int(wanted),
    "lt": lambda value, wanted: int(value) < int(wanted),
}


def page(
    records: list[Record], query: dict[str, str], filters: frozenset[str], smallest: int | None
) -> Record:
    """Return the page of a list that a query asks for; `smallest` is what the array is set to give at most."""
    for name, value in query.items():
        if name in COMMON:
            continue
        if name not in filters:
            raise BadQuery(f"The field {name} cannot be filtered by")
        records = [record for record in records if matches(record[name], value)]
    records = ordered(records, query.get("sort", ""))
    number, size = count(query, "page", 1), count(query, "page_size", DEFAULT_PAGE)
    if size > LARGEST_PAGE:
        raise BadQuery(f"page_size is more than {LARGEST_PAGE}")
    size = min(size, smallest or size)
    total = -(-len(records) // size)
    if number > max(total, 1):
        raise BadQuery(f"page {number} is out of range")
    shown = records[(number - 1) * size : number * size]
    metadata = {
        "ready": True,
        "number_of_objects": len(records),
        "page_size": size,
        "pages_total": total,
        "page": number,
    }
    return {"result": [plucked(record, query) for record in shown], "error": None, "metadata": metadata}


def count(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal() or not int(value):
        raise BadQuery(f"{name} is no number")
    return int(value)


def matches(value: Any, condition: str) -> bool:
    operator, colon, wanted = condition.partition(":")
    if not colon or operator not in OPERATORS:
        operator, wanted = "eq", condition
    return OPERATORS[operator](value, wanted)


def ordered(records: list[Record], names: str) -> list[Record]:
    for name in reversed([name for name in names.split(",") if name]):
        records = sorted(records, key=lambda record: record[name.lstrip("-")], reverse=name.startswith("-"))
    return records


def plucked(record: Record, query: dict[str, str]) -> Record:
    """Return the fields that were asked for; those that there are not, the array leaves out."""
    wanted = [name for name in query.get("fields", "").split(",") if name]
    return {name: value for name, value in record.items() if not wanted or name in wanted}
