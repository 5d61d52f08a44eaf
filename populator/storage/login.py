"""How arrays let us in: with credentials in each call, or by a session that begins, expires and ends."""

import base64
from collections.abc import Mapping
from typing import Protocol

from populator.storage.access import Access
from populator.storage.answer import NO_HEADERS, Answer
from populator.storage.failures import Refused


class Send(Protocol):
    """One call outside of any session, by the door that the log-in belongs to."""

    def __call__(
        self,
        method: str,
        path: str,
        act: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """Make it, and return its answer."""


class Login(Protocol):
    """A vendor's way of being let in. The HTTP door calls it, and nothing else does."""

    def begin(self, send: Send, /) -> Mapping[str, str]:
        """Log in, and return the headers of all calls from now on; called before the first one, and at a renewal.

        They are looked at for each call, so a log-in whose token changes with the answers may change them.
        """

    def expired(self, refusal: Refused, /) -> bool:
        """Return whether a call was refused because its session has expired; wrong credentials are no such case."""

    def end(self, send: Send, headers: Mapping[str, str], /) -> None:
        """Log out of the session of these headers."""


def basic(user: str, password: str) -> Mapping[str, str]:
    """Return the header of HTTP Basic."""
    pair = base64.b64encode(f"{user}:{password}".encode())
    return {"Authorization": f"Basic {pair.decode()}"}


class Basic:
    """HTTP Basic in each call: there is no session."""

    def __init__(self, access: Access) -> None:
        self._user, self._password = access.username, access.password

    def begin(self, _send: Send) -> Mapping[str, str]:
        """Return the one header that it takes; nothing is sent."""
        return basic(self._user, self._password)

    def expired(self, _refusal: Refused) -> bool:
        """Return that nothing can expire."""
        return False

    def end(self, _send: Send, _headers: Mapping[str, str]) -> None:
        """Do nothing: there is nothing to end."""
