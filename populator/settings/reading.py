"""Single values out of arguments and environment: text, secrets, numbers, addresses. Every problem is gathered.

Nothing else reads what the program was told, so that this alone decides what counts as given: bytes that are not
UTF-8 are refused, and line ends around a value are cut, as `echo … | base64` leaves one in a Secret.
"""

import re
from collections.abc import Collection, Mapping

from populator import pem
from populator.address import Address, parse_address

TRUE, FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}
LONGEST_TIMEOUT = 86_400
"""seconds; the sockets' own limit lies beyond"""
LARGEST = 2**63 - 1
LONGEST_SHOWN = 100
"""characters of a value in an error; more would keep others out of the termination message"""


def short(value: str) -> str:
    """Return a value as an error shows it: in quotes, and no more than tells which it is."""
    shown = repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


class Reader:
    """Reads one value after the other, and gathers the problems; a wrong value reads as an empty one, or as 0."""

    def __init__(self, arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> None:
        self._arguments, self._environment = arguments, environment
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def text(self, name: str) -> str:
        """Read an argument that may be missing."""
        return self._whole(f"--{name}", self._arguments.get(name)).strip()

    def variable(self, name: str, default: str = "") -> str:
        """Read an environment variable that may be missing or empty."""
        return self._whole(name, self._environment.get(name)).strip() or default

    def required(self, name: str) -> str:
        """Read an argument that may not be missing; only line ends are cut, since names may begin with a blank."""
        self._not_missing(name)
        return self._whole(f"--{name}", self._arguments.get(name)).strip("\r\n")

    def password(self, name: str) -> str:
        """Read a password that may be missing, as it is but for one line end behind it, which none can end in."""
        value = self._whole(f"--{name}", self._arguments.get(name))
        cut = re.sub(r"\r?\n\Z", "", value)
        if cut != value:
            self.warnings.append(f"--{name}: the line end behind the password does not count.")
        return cut

    def required_password(self, name: str) -> str:
        """Read a password that may not be missing."""
        self._not_missing(name)
        return self.password(name)

    def matching(self, name: str, pattern: str, kind: str) -> str:
        """Read an argument that may not be missing, and is nothing else than such a kind of name."""
        value = self.required(name).strip()
        if value and not re.fullmatch(pattern, value):
            self.problems.append(f"--{name}: {short(value)} is not {kind}.")
        return value

    def choice(self, name: str, known: Collection[str]) -> str:
        """Read an argument that may be missing, and is else one of a few."""
        value = self.text(name)
        if value and value not in known:
            self.problems.append(f"--{name}: {short(value)} is none of {', '.join(known)}.")
        return value

    def number(self, shown: str, value: str, most: int) -> int:
        """Return a whole number of at least 1."""
        if re.fullmatch(r"[0-9]{1,20}", value) and 1 <= int(value) <= most:
            return int(value)
        bounds = "of at least 1" if most == LARGEST else f"from 1 to {most}"
        self.problems.append(f"{shown}: {short(value)} is not a whole number {bounds}.")
        return 0

    def flag(self, shown: str, value: str) -> bool:
        """Return true or false."""
        if value.lower() not in TRUE | FALSE:
            self.problems.append(f"{shown}: {short(value)} is neither true nor false.")
        return value.lower() in TRUE

    def address(self, name: str, value: str) -> Address:
        """Return an address, an empty one where it is none; a URL's user name may be followed by a password."""
        if not value.strip():
            return Address("")
        try:
            return parse_address(value)
        except ValueError as error:
            self.problems.append(f"--{name}: {'this' if '@' in value else short(value)} {error}.")
            return Address("")

    def certificates(self, name: str) -> str:
        """Read an environment variable that may hold a PEM bundle."""
        try:
            return pem.certificates(self._environment.get(name, ""))
        except ValueError as error:
            self.problems.append(f"{name}: this {error}.")
            return ""

    def _whole(self, shown: str, value: str | None) -> str:
        """Return a value, unless there are bytes in it that are no text."""
        try:
            (value or "").encode()
        except UnicodeEncodeError:
            self.problems.append(f"{shown}: there are bytes in it that are not UTF-8.")
            return ""
        return value or ""

    def _not_missing(self, name: str) -> None:
        if not (self._arguments.get(name) or "").strip():
            self.problems.append(f"--{name} is missing.")
