"""How ONTAP's REST API selects: query operators, fields, order and pages of a collection.

As documented: `*` matches anything, `|` is or, `!` not, `a..b`, `<`, `>`, `<=`, `>=` compare, double quotes take
the rest literally; `fields` names properties, `*` all but the expensive ones, `**` all.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

Record = dict[str, Any]
CONTROL = {"fields", "max_records", "return_records", "return_timeout", "order_by", "ignore_unknown_fields"}
ALTERNATIVE = re.compile(r'"[^"]*"|[^|"]+')


class BadQuery(Exception):
    """The query names what is not there; with ONTAP's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Collection:
    """What a list endpoint gives."""

    path: str
    records: Callable[[], Iterable[Record]]
    keys: tuple[str, ...] = ("uuid",)
    default: tuple[str, ...] = ("uuid", "name")
    expensive: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    """all top-level properties"""

    def key(self, record: Record) -> str:
        """Return a record's place in URLs."""
        return "/".join(str(next(values(record, key))) for key in self.keys)


def values(item: Any, name: str) -> Iterator[Any]:
    """Yield the values of a dotted property; lists are looked through."""
    if isinstance(item, list):
        for each in item:
            yield from values(each, name)
        return
    if not name:
        if item is not None:
            yield item
        return
    head, _, rest = name.partition(".")
    if isinstance(item, dict) and head in item:
        yield from values(item[head], rest)


def matches(record: Record, name: str, query: str) -> bool:
    """Return whether a property fits a query."""
    found = [shown(value) for value in values(record, name)]
    if query.startswith("!"):
        return not any(fits(value, query[1:]) for value in found)
    return any(fits(value, part) for part in ALTERNATIVE.findall(query) for value in found)


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def fits(value: str, query: str) -> bool:
    """Return whether a value fits one alternative."""
    query = query.strip()
    if len(query) >= 2 and query[0] == query[-1] == '"':
        return value == query[1:-1]
    if match := re.fullmatch(r"(<=|>=|<|>)(\d+)", query):
        number, bound = int(value), int(match[2])
        return {"<=": number <= bound, ">=": number >= bound, "<": number < bound, ">": number > bound}[
            match[1]
        ]
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", query):
        return int(match[1]) <= int(value) <= int(match[2])
    return re.fullmatch(".*".join(re.escape(part) for part in query.split("*")), value, re.DOTALL) is not None


def project(record: Record, names: Iterable[str]) -> Record:
    """Return the record with just the named properties."""
    picked: Record = {}
    for name in names:
        merge(picked, cut(record, name.split(".")))
    return picked


def cut(item: Any, path: list[str]) -> Any:
    if isinstance(item, list):
        return [cut(each, path) for each in item]
    if not path or path == ["*"]:
        return item
    if isinstance(item, dict) and path[0] in item:
        return {path[0]: cut(item[path[0]], path[1:])}
    return {}


def merge(target: Record, more: Record) -> None:
    for name, value in more.items():
        old = target.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            for mine, theirs in zip(old, value, strict=True):
                if isinstance(mine, dict):
                    merge(mine, theirs)
        else:
            target[name] = json.loads(json.dumps(value))


def wanted(collection: Collection, query: dict[str, str], *, single: bool) -> list[str]:
    """Return the names of the properties to give."""
    asked = [name for name in query.get("fields", "").split(",") if name]
    asked = [name.replace("-", "_") for name in asked]  # ONTAP takes both spellings
    for name in asked:
        if name not in {"*", "**"} and name.split(".")[0] not in collection.known:
            raise BadQuery("262197", f'The value "{name}" is invalid for field "fields" (<field,...>)')
    names = [*collection.keys, *collection.default]
    cheap = [name for name in collection.known if name not in collection.expensive]
    if single and not asked:
        names += cheap
    for name in asked:
        names += {"*": cheap, "**": list(collection.known)}.get(name, [name])
    return names + [name.replace("-", "_") for name in query if is_filter(name)]


def is_filter(name: str) -> bool:
    return name not in CONTROL and not name.startswith("start.")


def select(collection: Collection, query: dict[str, str], page_size: int) -> Record:
    """Return one page of a collection."""
    filters = {name.replace("-", "_"): value for name, value in query.items() if is_filter(name)}
    for name in filters:
        if name.split(".")[0] not in collection.known:
            raise BadQuery("262179", f'Unexpected argument "{name}".')
    found = [r for r in collection.records() if all(matches(r, n, v) for n, v in filters.items())]
    found.sort(key=collection.key)
    for order in reversed([part for part in query.get("order_by", "").split(",") if part]):
        name, _, direction = order.strip().partition(" ")
        found.sort(key=lambda r, name=name: [shown(v) for v in values(r, name)], reverse=direction == "desc")  # type: ignore[misc]
    if query.get("return_records") == "false":
        return {"num_records": len(found)}
    start = after(collection, found, query)
    size = int(query.get("max_records") or page_size)
    page, rest = found[start : start + size], found[start + size :]
    names = wanted(collection, query, single=False)
    links: Record = {"self": {"href": f"/api{collection.path}?{urlencode(query)}"}}
    if rest:
        more = {**query, "start.key": collection.key(page[-1]), "start.index": str(start + size)}
        links["next"] = {"href": f"/api{collection.path}?{urlencode(more, quote_via=quote)}"}
    records = [linked(collection, record, project(record, names)) for record in page]
    return {"records": records, "num_records": len(records), "_links": links}


def after(collection: Collection, found: list[Record], query: dict[str, str]) -> int:
    """Return where a page begins: after the last record sent, wherever that now is."""
    last = query.get("start.key")
    if last is None:
        return 0
    keys = [collection.key(record) for record in found]
    return keys.index(last) + 1 if last in keys else min(int(query["start.index"]), len(found))


def linked(collection: Collection, record: Record, shape: Record) -> Record:
    """Return a record with its link."""
    return {**shape, "_links": {"self": {"href": f"/api{collection.path}/{collection.key(record)}"}}}


def without_links(item: Any, *, top: bool = True) -> Any:
    """Return an answer as for `Accept: application/json`: no links but that to the next page."""
    if isinstance(item, list):
        return [without_links(each, top=False) for each in item]
    if not isinstance(item, dict):
        return item
    plain = {name: without_links(value, top=False) for name, value in item.items() if name != "_links"}
    onward = item.get("_links", {}).get("next") if top else None
    return {**plain, "_links": {"next": onward}} if onward else plain
