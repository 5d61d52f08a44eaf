"""The WSAPI's queries, as far as clients use them: `"name EQ x"`, `"wwn==X"`, `"FCPaths[wwn==A OR wwn==B] OR …"`."""

import re
from collections.abc import Sequence
from typing import Any

TEST = re.compile(r"(\w+)\s*(?:==|\bEQ\b)\s*'?([^\s'\[\]\"]+)'?")
NESTED = re.compile(r"(FCPaths|iSCSIPaths)\[([^\[\]]*)\]")
FIELDS = {"FCPaths": "wwn", "iSCSIPaths": "name"}


class BadQuery(Exception):
    """What the array calls an invalid query string."""


def select(
    records: Sequence[dict[str, Any]], query: str | None, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the records that a query is true of; all without one. `fields` are those it may name."""
    if query is None:
        return list(records)
    if len(query) < 2 or (query[0], query[-1]) != ('"', '"'):
        raise BadQuery("it must stand in quotes")
    tests = list(parse(query[1:-1].strip(), fields))
    return [record for record in records if any(holds(record, *test) for test in tests)]


def parse(text: str, fields: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return list, field and value of each alternative; the list is empty for a field of the record itself."""
    found = []
    for paths, inner in NESTED.findall(text):
        found += [(paths, *test) for test in alternatives(inner, [FIELDS[paths]])]
    rest = NESTED.sub("", text)
    outer = [part for part in re.split(r"\s+OR\s+|^OR\s+|\s+OR$|^OR$", rest.strip()) if part.strip()]
    found += [("", *test) for part in outer for test in alternatives(part, fields)]
    if not found:
        raise BadQuery("it asks for nothing")
    return found


def alternatives(text: str, fields: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for part in re.split(r"\s+OR\s+", text.strip()):
        match = TEST.fullmatch(part.strip())
        if not match or match[1] not in fields:
            raise BadQuery(part)
        found.append((match[1], match[2]))
    return found


def holds(record: dict[str, Any], paths: str, field: str, value: str) -> bool:
    rows = record.get(paths, []) if paths else [record]
    same = str.upper if field == "wwn" else str
    return any(same(str(row.get(field, ""))) == same(value) for row in rows)
