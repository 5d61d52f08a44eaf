"""What is left of REST 1 on a FlashArray: an API token for user and password, and sessions by cookie."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.lab.arrays.rest import Reply, Request


@dataclass(frozen=True)
class User:
    """Who may log in, and by what."""

    password: str
    token: str
    may_write: bool = True


class Owner(Protocol):
    """The array."""

    id: str
    purity: str
    users: dict[str, User]

    def owner_of(self, token: str | None) -> str: ...


class RestOne:
    """See the module."""

    def __init__(self, array: Owner) -> None:
        self._array = array
        self.sessions: dict[str, str] = {}
        """the user's name by cookie"""

    def answer(self, request: Request, resource: str) -> Reply:
        """Answer; errors are a list."""
        open_to_all: dict[tuple[str, str], Callable[[dict[str, Any]], Reply]] = {
            ("POST", "auth/apitoken"): self._give_token,
            ("POST", "auth/session"): self._let_in,
        }
        wanted = request.method, resource
        if wanted in open_to_all:
            return open_to_all[wanted](request.body or {})
        cookie = request.headers.get("cookie", "").partition("session=")[2].partition(";")[0]
        if cookie not in self.sessions:
            return refusal(401, 8, "unauthorized")
        if wanted == ("DELETE", "auth/session"):
            return Reply(200, {"username": self.sessions.pop(cookie)})
        if wanted == ("GET", "array"):
            body = {"array_name": "lab", "id": self._array.id, "version": self._array.purity}
            return Reply(200, body, bearing(cookie))
        return refusal(404, 9, "not found")

    def _give_token(self, body: dict[str, Any]) -> Reply:
        user = self._array.users.get(body.get("username", ""))
        if user is None or user.password != body.get("password"):
            return refusal(400, 7, "invalid credentials")
        return Reply(200, {"api_token": user.token})

    def _let_in(self, body: dict[str, Any]) -> Reply:
        name = self._array.owner_of(body.get("api_token"))
        if not name:
            return refusal(400, 7, "invalid credentials")
        cookie = secrets.token_hex(16)
        self.sessions[cookie] = name
        return Reply(200, {"username": name}, bearing(cookie))


def bearing(cookie: str) -> dict[str, str]:
    """Return the header by which each answer renews the session: Pure's client forgets a cookie that is not renewed."""
    return {"Set-Cookie": f"session={cookie}; Path=/; Secure; HttpOnly"}


def refusal(status: int, code: int, message: str) -> Reply:
    return Reply(status, [{"code": code, "ctx": "", "msg": message}])
