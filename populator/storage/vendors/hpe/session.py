"""The way in to the WSAPI: a session key for user and password.

An array has few sessions (24 or 36 on small ones), and keeps one that nobody uses for 15 minutes.
"""

from collections.abc import Mapping

from populator import retry
from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.failures import CHECK_CREDENTIALS, Refused, passing
from populator.storage.login import Send

CREDENTIALS = "/api/v1/credentials"
HEADER = "X-HP3PAR-WSAPI-SessionKey"
WRONG_PASSWORD, EXPIRED, IN_USE = "5", "6", "34"
LOG_OUT = retry.Policy("log-out", deadline=3)
TAKEN = "If this goes on, all sessions of its WSAPI may be taken: see `showwsapisession` on the array."


class Session:
    """See the module."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._user, self._password, self._clock = access.username, access.password, clock

    def begin(self, send: Send) -> Mapping[str, str]:
        """Log in; that all sessions are taken is an error that may pass."""
        body = {"user": self._user, "password": self._password}
        try:
            answer = send("POST", CREDENTIALS, f"accept the credentials of {self._user!r}", body=body)
        except Refused as refusal:
            refusal.passing |= _in_use(refusal)
            refusal.hint = _hint(refusal)
            raise
        return {HEADER: answer.text("key")}

    def expired(self, refusal: Refused) -> bool:
        """Return whether the key is not valid any more; wrong credentials and missing rights have other codes."""
        return refusal.status == 401 or (refusal.status == 403 and refusal.code == EXPIRED)

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        """Delete the key; again where that failed: the array may be busy with a call that we gave up waiting for."""

        def delete() -> None:
            send("DELETE", f"{CREDENTIALS}/{headers[HEADER]}", "log us out", headers=headers)

        LOG_OUT.run(delete, lambda error: passing(error) or _in_use(error), self._clock)


def _in_use(error: BaseException) -> bool:
    return isinstance(error, Refused) and error.code == IN_USE


def _hint(refusal: Refused) -> str:
    if refusal.passing:
        return TAKEN
    if refusal.code == WRONG_PASSWORD:
        return CHECK_CREDENTIALS
    if refusal.status == 404:
        return "The array must serve version 1 of the WSAPI (`startwsapi`), at the port in STORAGE_HOSTNAME."
    return refusal.hint
