"""How a PowerFlex gateway lets us in.

All versions know `/api/login`, whose token says who we are when the version is asked for. Gateways of the first kind
(3.x) go on with that token as a password of HTTP Basic. PowerFlex Manager's platform (from 4.0) has a log-in of its
own, whose session can be ended for certain; where it does not let us in by that, its bearer is the first token.
"""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.failures import Refused, passing
from populator.storage.login import Send, basic
from populator.storage.vendors.powerflex import names


class Session:
    """One session; `version` is the API's, once we are let in."""

    def __init__(self, access: Access) -> None:
        self._user, self._password = access.username, access.password
        self._accepted = False
        """whether the credentials were, when they were last sent"""
        self._refresh_token = ""
        """of the platform's own log-in"""
        self._outlived: list[str] = []
        """those of sessions that are still open, though their access token has expired"""
        self._leftover: list[Mapping[str, str]] = []
        """the headers of sessions that only led to another one, and could not be ended yet"""
        self.version = ""

    def begin(self, send: Send) -> Mapping[str, str]:
        """Log in by the way that the version of the API asks for."""
        if self._refresh_token:
            self._outlived.append(self._refresh_token)
        self._accepted, self._refresh_token = False, ""
        token = send("GET", "/api/login", "let us in", headers=basic(self._user, self._password)).string()
        self._accepted, first = True, basic("", token)
        self._leftover.append(first)
        try:
            version = send("GET", "/api/version", "tell the version of its API", headers=first).string()
            self.version = names.api_version(version)
            headers = self._begin_on_platform(send, token) if names.is_platform(self.version) else first
            if not self._refresh_token:
                self._leftover.remove(first)
        finally:
            self._end_leftover(send)
        self._end_outlived(send, headers)
        return headers

    def expired(self, refusal: Refused) -> bool:
        """Return whether a call was refused for its token: at the log-in it would be for the credentials."""
        return self._accepted and refusal.status == HTTPStatus.UNAUTHORIZED

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        """Log out by the way that we came."""
        if self._refresh_token:
            self._end_outlived(send, headers)
            self._end_on_platform(send, headers, self._refresh_token)
        else:
            self._leftover.append(headers)
        self._end_leftover(send)

    def _begin_on_platform(self, send: Send, token: str) -> Mapping[str, str]:
        """Log in once more; a refusal cannot be for the credentials, which were accepted a moment ago."""
        body = {"username": self._user, "password": self._password}
        try:
            answer = send("POST", "/rest/auth/login", "let us in", body=body)
        except Refused as refusal:
            if refusal.passing:
                raise
            return bearer(token)
        self._refresh_token = answer.text("refresh_token")
        return bearer(answer.text("access_token"))

    def _end_on_platform(self, send: Send, headers: Mapping[str, str], refresh_token: str) -> None:
        send(
            "POST", "/rest/auth/logout", "let us out", body={"refresh_token": refresh_token}, headers=headers
        )

    def _end_outlived(self, send: Send, headers: Mapping[str, str]) -> None:
        for token in list(self._outlived):
            if _over(partial(self._end_on_platform, send, headers, token)):
                self._outlived.remove(token)

    def _end_leftover(self, send: Send) -> None:
        for headers in list(self._leftover):
            if _over(partial(send, "GET", "/api/logout", "let us out", headers=headers)):
                self._leftover.remove(headers)


def _over(end: Callable[[], object]) -> bool:
    """Return whether a session has been ended; one that is refused without any hope has ended by itself."""
    try:
        end()
    except StorageError as error:
        return not passing(error)
    return True


def bearer(token: str) -> Mapping[str, str]:
    """Return the header of a bearer token."""
    return {"Authorization": f"Bearer {token}"}
