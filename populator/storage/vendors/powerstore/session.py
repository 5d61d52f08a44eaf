"""How PowerStore lets us in: credentials once, then the cookie of a session, and a token that changes with the answers.

The cookie alone would do for reading; what changes something needs the token, too (Dell's developer guide). That is
how Dell's own Python client works; with credentials in each call the array would begin a session for each.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.failures import Refused
from populator.storage.login import Basic, Send

TOKEN = "DELL-EMC-TOKEN"  # noqa: S105 - a header's name
COOKIE = re.compile(r"auth_cookie=[^;,\s]+")
LOGIN, LOGOUT = "/api/rest/login_session", "/api/rest/logout"
EXPIRED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""what the end of a session looks like, by release; missing rights are FORBIDDEN, too"""


class Session:
    """A session of the management API."""

    def __init__(self, access: Access) -> None:
        self._basic = Basic(access)
        self._headers: dict[str, str] = {}

    def begin(self, send: Send) -> Mapping[str, str]:
        """Log in; at a renewal the session before is ended, as it may be alive: see `EXPIRED`."""
        old, self._headers = self._headers, {}
        if old:
            with suppress(StorageError):
                self.end(send, old)
        query = {"select": "id,is_password_change_required"}
        answer = send("GET", LOGIN, "let us in", query, headers=self._basic.begin(send))
        headers: dict[str, str] = {}
        _read(answer.headers, headers)
        if len(headers) < 2:
            raise StorageError("PowerStore let us in, but began no session.", "Look at what is in between.")
        if any(row.find("is_password_change_required") for row in answer.rows()):
            with suppress(StorageError):
                self.end(send, headers)
            raise StorageError(
                "PowerStore wants the user's password to be changed first.",
                "Change it in PowerStore Manager, and in the Secret.",
            )
        self._headers = headers
        return headers

    def note(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer says of the session: the token of the next call."""
        _read(headers, self._headers)

    def expired(self, refusal: Refused) -> bool:
        """Return whether the session has ended, as far as that can be known."""
        return bool(self._headers) and refusal.status in EXPIRED

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        """Log out."""
        send("POST", LOGOUT, "let us out", headers=headers)


def _read(given: Mapping[str, str], into: dict[str, str]) -> None:
    if token := given.get(TOKEN):
        into[TOKEN] = token
    if cookie := COOKIE.search(given.get("Set-Cookie", "")):
        into["Cookie"] = cookie[0]
