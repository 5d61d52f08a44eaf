"""The XML of esxcli answers as hostd sends it through vCenter, and of arguments as clients send them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

Row = Mapping[str, str | Iterable[str]]
NAMESPACES = (
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="urn:vim25" versionId="5.0"'
)
_TAG = re.compile(r"\{.*\}")


class EsxcliFault(Exception):
    """An esxcli call that hostd answers with a fault."""

    def __init__(self, message: str, kind: str, errors: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message, self.kind, self.errors = message, kind, tuple(errors)

    def answer(self) -> dict[str, object]:
        """Return the fault as the bridge carries it."""
        inner = "".join(f"<errMsg>{escape(error)}</errMsg>" for error in self.errors)
        detail = f'<obj {NAMESPACES} xsi:type="{self.kind}">{inner}</obj>'
        return {"fault": {"faultMsg": self.message, "faultDetail": detail}}


def not_found() -> EsxcliFault:
    """Return the fault of a namespace or command that hostd does not know."""
    return EsxcliFault("The object or item referred to could not be found.", "NotFound")


def failed(*errors: str) -> EsxcliFault:
    """Return the fault of a command that ran and failed."""
    return EsxcliFault("EsxCLI.CLIFault.summary", "VimEsxCLICLIFault", errors)


def bad_argument(name: str) -> EsxcliFault:
    """Return the fault of an argument that is not XML, or not one the command has."""
    return EsxcliFault(f"A specified parameter was not correct: {name}", "InvalidArgument")


@dataclass(frozen=True)
class Rows:
    """A list of structures of one type."""

    kind: str
    rows: Iterable[Row]

    def xml(self, prefix: str) -> str:
        """Return an ArrayOfDataObject."""
        objects = "".join(
            f'<DataObject xsi:type="{prefix}{self.kind}">{fields(row)}</DataObject>' for row in self.rows
        )
        return f'<obj {NAMESPACES} xsi:type="ArrayOfDataObject">{objects}</obj>'


@dataclass(frozen=True)
class Structure:
    """One structure."""

    kind: str
    row: Row

    def xml(self, prefix: str) -> str:
        """Return a single data object."""
        return f'<obj {NAMESPACES} xsi:type="{prefix}{self.kind}">{fields(self.row)}</obj>'


@dataclass(frozen=True)
class Done:
    """The answer of a command that has nothing to say."""

    def xml(self, _prefix: str) -> str:
        """Return the boolean true."""
        return f'<obj {NAMESPACES} xsi:type="xsd:boolean">true</obj>'


Result = Rows | Structure | Done


def fields(row: Row) -> str:
    """Return a row's fields as elements; a list of values repeats the element."""
    pairs = [
        (name, value)
        for name, values in row.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in pairs)


def parse_arguments(arguments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return name -> value; of an argument given twice the last counts. Raises for what is not XML."""
    found = {}
    for argument in arguments:
        try:
            tree = ElementTree.fromstring(f"<arguments>{argument['val']}</arguments>")  # noqa: S314 - loopback
        except ElementTree.ParseError:
            raise bad_argument(argument["name"]) from None
        for element in tree:
            found[_TAG.sub("", element.tag)] = element.text or ""
    return found
