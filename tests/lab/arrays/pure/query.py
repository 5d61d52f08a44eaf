"""Filters, names and pages of a FlashArray's lists."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

Record = dict[str, Any]
Test = Callable[[Record], bool]
TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>-?\d+)|(?P<operator><=|>=|!=|=|<|>)|(?P<sign>[(),])"
    r"|(?P<word>[A-Za-z_][\w.]*))"
)
COMMON = frozenset({"filter", "limit", "continuation_token", "offset", "total_item_count", "sort"})


class BadQuery(Exception):
    """The array does not understand the query."""


class Filter:
    """`name='*cat*' and (destroyed='false' or iqns='…')`; field names are those of `fields`.

    A bare field is true where its value is; a list matches where one of its items does; text is compared letter by
    letter.
    """

    def __init__(self, text: str, fields: Sequence[str]) -> None:
        self._fields = fields
        self._tokens = list(self._split(text))
        self.test = self._any()
        if self._tokens:
            raise BadQuery(f"unexpected {self._tokens[0][1]!r}")

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str]]:
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None:
                raise BadQuery(f"unexpected {text[at:]!r}")
            at = match.end()
            yield match.lastgroup or "", match[match.lastgroup or ""]

    def _next(self, *wanted: str) -> str:
        if self._tokens and (self._tokens[0][1] in wanted or self._tokens[0][0] in wanted):
            return self._tokens.pop(0)[1]
        raise BadQuery(f"{' or '.join(wanted)} is missing")

    def _is(self, *wanted: str) -> bool:
        return bool(self._tokens) and (self._tokens[0][1] in wanted or self._tokens[0][0] in wanted)

    def _any(self) -> Test:
        tests = [self._all()]
        while self._is("or"):
            self._next("or")
            tests.append(self._all())
        return lambda record: any(test(record) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._is("and"):
            self._next("and")
            tests.append(self._one())
        return lambda record: all(test(record) for test in tests)

    def _one(self) -> Test:
        if self._is("not"):
            self._next("not")
            inner = self._one()
            return lambda record: not inner(record)
        if self._is("("):
            self._next("(")
            test = self._any()
            self._next(")")
            return test
        field = self._next("word")
        if field.split(".")[0] not in self._fields:
            raise BadQuery(f"there is no field {field!r}")
        if not self._is("operator"):
            return lambda record: bool(value_of(record, field))
        operator, value = self._next("operator"), self._next("text", "number", "word")
        return lambda record: compare(value_of(record, field), operator, value.strip("'\""))


def value_of(record: Record, field: str) -> Any:
    value: Any = record
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def compare(value: Any, operator: str, wanted: str) -> bool:
    if isinstance(value, list):
        return any(compare(item, operator, wanted) for item in value)
    if operator in {"=", "!="}:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        pattern = re.sub(r"[\[?]", lambda match: f"[{match[0]}]", wanted)
        return fnmatchcase(text, pattern) == (operator == "=")
    try:
        left, right = int(value), int(wanted)
    except (TypeError, ValueError):
        return False
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator]


def page(records: list[Record], query: dict[str, str], fields: Sequence[str], largest: int) -> Record:
    """Return the page of a list that a query asks for."""
    if "filter" in query:
        test = Filter(query["filter"], fields).test
        records = [record for record in records if test(record)]
    total = len(records) if query.get("total_item_count") == "true" else None
    start, limit = int(query.get("offset", 0)), largest
    if "limit" in query:
        if not query["limit"].isdecimal():
            raise BadQuery("limit is no number")
        limit = min(int(query["limit"]), largest)
    if token := query.get("continuation_token"):
        start = read_token(token, query)
    shown = records[start : start + limit]
    more = start + limit < len(records)
    following = make_token(start + limit, query) if more else None
    return {
        "continuation_token": following,
        "items": shown,
        "more_items_remaining": more,
        "total_item_count": total,
    }


def make_token(start: int, query: dict[str, str]) -> str:
    return base64.b64encode(f"{start}|{query.get('filter', '')}".encode()).decode()


def read_token(token: str, query: dict[str, str]) -> int:
    """Return where a page begins; a token belongs to its query."""
    try:
        start, _, asked = base64.b64decode(token).decode().partition("|")
        if asked == query.get("filter", ""):
            return int(start)
    except ValueError:
        pass
    raise BadQuery("the continuation token is not valid")
