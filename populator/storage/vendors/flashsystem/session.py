"""The way in: a token for user and password, which expires and cannot be given back.

The array serves few tokens at a time, and takes few log-ins (IBM's own description of the API: 4 tokens in use, 3
log-ins and 10 commands a second; beyond that it answers 429). So the runs with an array should share one token: where a
cache is handed in (`Access.tokens`), what it holds is used as it is, and a run logs in only if that was refused, and no
other run has put a newer one there meanwhile.
"""

import random
import re
from collections.abc import Mapping
from http import HTTPStatus

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.failures import CHECK_CREDENTIALS, Refused
from populator.storage.login import Send

API = "/rest/v1"
TOKEN = "X-Auth-Token"  # noqa: S105 - a header's name
EXPIRED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""of a call without a code of the array's; missing rights have one"""
SENDABLE = re.compile(r"[!-~]+")
"""what can be a token; a cache may hold anything"""
SHORTEST, LONGEST = 0.1, 1.0
"""seconds for which another run may be about to log in"""


class Session:
    """See the module."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._user, self._password, self._cache = access.username, access.password, access.tokens
        self._clock = clock
        self._token = ""
        """empty outside of a session"""

    def begin(self, send: Send) -> Mapping[str, str]:
        """Return the header of a token: the shared one, unless that is the one which was refused, or a new one."""
        refused, self._token = self._token, ""
        self._token = self._shared(refused) or self._log_in(send)
        return {TOKEN: self._token}

    def expired(self, refusal: Refused) -> bool:
        """Return whether another token may help: this one is not valid, or there are too many, and a shared one."""
        if not self._token or refusal.code:
            return False
        if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
            return self._newer(self._token) != ""
        return refusal.status in EXPIRED

    def end(self, _send: Send, _headers: Mapping[str, str]) -> None:
        """Do nothing: the API knows no log-out."""

    def _shared(self, refused: str) -> str:
        if self._cache is None:
            return ""
        if token := self._newer(refused):
            return token
        self._clock.wait(random.uniform(SHORTEST, LONGEST))  # noqa: S311 - no secret
        return self._newer(refused)

    def _newer(self, refused: str) -> str:
        """Return the token in the cache, empty where it is the one that was refused."""
        token = self._cache.read() if self._cache else ""
        return token if token != refused and SENDABLE.fullmatch(token) else ""

    def _log_in(self, send: Send) -> str:
        headers = {
            "Content-Type": "application/json",
            "X-Auth-Username": _in_header(self._user, "STORAGE_USERNAME"),
            "X-Auth-Password": _in_header(self._password, "STORAGE_PASSWORD"),
        }
        try:
            answer = send("POST", f"{API}/auth", f"accept the credentials of {self._user!r}", headers=headers)
        except Refused as refusal:
            if refusal.status in EXPIRED:
                refusal.hint = CHECK_CREDENTIALS
            elif refusal.status == HTTPStatus.NOT_FOUND:
                refusal.hint = "The array must have Storage Virtualize 8.4.2 or newer, at the port 7443."
            raise
        token = answer.text("token")
        if not SENDABLE.fullmatch(token):
            raise StorageError("FlashSystem let us in, but gave no token.", "Look at what is in between.")
        if self._cache is not None:
            self._cache.write(token)
        return token


def _in_header(text: str, variable: str) -> str:
    """Return a text as a header can hold it, in UTF-8; raise without naming it where it would be taken for another."""
    if text != text.strip() or not text.isprintable():
        raise StorageError(
            f"{variable} begins or ends with a blank, or has a line break in it: FlashSystem cannot be sent that.",
            "Correct it in the Secret.",
        )
    return text.encode().decode("latin-1")
