"""Being let in by a FlashArray: a session of REST 2 for an API token, which REST 1 gives for user and password."""

from collections.abc import Mapping
from http import HTTPStatus

from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused
from populator.storage.login import Send
from populator.storage.vendors.pure.names import newest

TOKEN, SESSION = "api-token", "x-auth-token"
NO_CREDENTIALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""by which REST 1 refuses user and password"""


class Session:
    """A `Login`; the array ends one after 30 idle minutes, unless its administrator chose otherwise."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.version = ""
        """of REST 2, the newest that the array has; empty before the log-in"""

    def begin(self, send: Send) -> Mapping[str, str]:
        """Choose the version, and get a session for the token."""
        versions = send("GET", "/api/api_version", "list its REST versions").texts("version")
        self.version = newest(versions, 2)
        if not self.version:
            raise StorageError(
                f"The array at {self._access.hostname} has no REST 2 API; it lists {', '.join(versions) or 'none'}.",
                "Check that STORAGE_HOSTNAME names a FlashArray with Purity 6.0 or later.",
            )
        token = self._access.token or self._exchange(send, newest(versions, 1))
        answer = send("POST", f"/api/{self.version}/login", "let us in", headers={TOKEN: token})
        if not answer.headers.get(SESSION):
            raise StorageError(
                f"The array at {self._access.hostname} let us in without a session: no {SESSION} in its answer.",
                "Look whether a proxy in between takes headers away.",
            )
        return {SESSION: answer.headers[SESSION]}

    def expired(self, refusal: Refused) -> bool:
        """Return whether a call outside of the log-in was refused as one of nobody."""
        return refusal.status == HTTPStatus.UNAUTHORIZED

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        """End the session."""
        send("POST", f"/api/{self.version}/logout", "let us out", headers=headers)

    def _exchange(self, send: Send, version: str) -> str:
        """Return the user's API token, which the array makes where the user has none."""
        access, hint = self._access, "Create an API token for the user, and set STORAGE_TOKEN in the Secret."
        if not version:
            raise StorageError(
                f"The array at {access.hostname} takes no user and password: it has no REST 1 API any more.",
                hint,
            )
        body = {"username": access.username, "password": access.password}
        try:
            answer = send("POST", f"/api/{version}/auth/apitoken", "give us an API token", body=body)
        except Refused as error:
            if error.status not in NO_CREDENTIALS:
                raise
            raise StorageError(
                f"The array at {access.hostname} does not accept the credentials of {access.username!r}: {error.text}",
                "Check STORAGE_USERNAME and STORAGE_PASSWORD in the Secret, or set STORAGE_TOKEN.",
            ) from error
        return answer.text("api_token")


def explain(body: Answer) -> tuple[str, str]:
    """Return what an error says; REST 2 has no codes, REST 1 answers with a list, and the gateway with a message."""
    try:
        errors = body.rows()
    except StorageError:
        errors = body.objects("errors") or [body]
    return "", "; ".join(filter(None, map(sentence, errors)))


def sentence(error: Answer) -> str:
    """Return one error's message, and the name of the object that it is about."""
    message = (error.optional("message") or error.optional("msg")).rstrip(".")
    about = error.optional("context") or error.optional("ctx")
    return f"{message} ({about})" if message and about else message
