"""Reading JSON answers of an array: a field by its dotted name, of the type we count on, or a clear error."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from populator.errors import StorageError

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

WRONG_ARRAY = "Check that STORAGE_HOSTNAME and the storage vendor name the same array."
ODD = "Start the migration again. If that ends in the same way, report it with the array's version."
"""the hint for an answer that the vendor's API does not give by its description"""


class Answer:
    """One JSON answer, or an object in it; `source` names the array in errors."""

    def __init__(self, value: object, source: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._value = value
        self._source = source
        self.headers = headers
        """of the HTTP answer, whatever the case of their names; an object in it has none"""

    def rows(self) -> list["Answer"]:
        """Return the objects of an answer that is a list."""
        if not isinstance(self._value, list):
            raise StorageError(f"{self._source} answered with something else than a JSON list.", WRONG_ARRAY)
        return [Answer(item, self._source) for item in self._value]

    def string(self) -> str:
        """Return an answer that is nothing but a text."""
        if not isinstance(self._value, str) or not self._value:
            raise StorageError(f"{self._source} answered with something else than a JSON text.", WRONG_ARRAY)
        return self._value

    def has(self, name: str) -> bool:
        """Return whether an object has a field, be it null."""
        return isinstance(self._value, dict) and name in self._value

    def text(self, name: str) -> str:
        """Return a field that must be there."""
        value = self.find(name)
        if not isinstance(value, str):
            raise self._odd(name, "text")
        return value

    def number(self, name: str) -> int:
        """Return a field that must be there as a whole number."""
        value = self.find(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._odd(name, "a number")
        return value

    def number_if_any(self, name: str) -> int | None:
        """Return a field as a whole number, `None` where there is none."""
        return None if self.find(name) is None else self.number(name)

    def optional(self, name: str, default: str = "") -> str:
        """Return a field as text, or the default where there is none."""
        value = self.find(name)
        return default if value is None else str(value)

    def objects(self, name: str) -> list["Answer"]:
        """Return a list of objects; empty where there is none."""
        return [Answer(item, self._source) for item in self._list(name)]

    def records(self, name: str) -> list["Answer"]:
        """Return a list of objects that must be there, empty or not: an answer without it is none."""
        if self.find(name) is None:
            raise self._odd(name, "a list")
        return self.objects(name)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; empty where there is none."""
        return [str(item) for item in self._list(name)]

    def find(self, name: str) -> Any:
        """Return a field's value as it is, `None` where there is none."""
        value: Any = self._value
        if not isinstance(value, dict):
            raise StorageError(
                f"{self._source} answered with something else than a JSON object.", WRONG_ARRAY
            )
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def _list(self, name: str) -> list[Any]:
        value = self.find(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._odd(name, "a list")
        return value

    def _odd(self, name: str, wanted: str) -> StorageError:
        return StorageError(
            f"{self._source} answered without {wanted} in the field {name!r}.",
            WRONG_ARRAY,
        )
