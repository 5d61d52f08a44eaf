"""Who is let in to a simulated PowerFlex gateway, by all three ways that clients use.

`GET /api/login` gives a token to any client. On 3.x it is the password of HTTP Basic, beside the user's name or none.
On the platform (4.0 and later) it is that, too, and a bearer token; and `POST /rest/auth/login` gives one of another
kind, with a second token by which its session is ended.
"""

import secrets
from dataclasses import dataclass

from tests.lab.arrays.rest import Reply, Request


@dataclass(frozen=True)
class User:
    password: str
    writes: bool = True
    """false: the role Monitor"""


@dataclass(frozen=True)
class Open:
    """A session."""

    user: str
    refresh: str = ""


class Sessions:
    """Open sessions by token. May be set at any time: `users`, `platform`, `own_login`."""

    def __init__(self, users: dict[str, User], *, platform: bool) -> None:
        self.users = users
        self.platform = platform
        """4.0 and later"""
        self.own_login = platform
        """whether `/rest/auth` is served"""
        self.open: dict[str, Open] = {}

    def expire(self) -> None:
        """End all of them, as time would."""
        self.open.clear()

    def expire_tokens(self) -> None:
        """Let all access tokens expire, as they do within minutes; sessions with a second token live on."""
        self.open = {secrets.token_urlsafe(24): item for item in self.open.values() if item.refresh}

    def answer(self, request: Request) -> Reply | None:
        """Answer a call that begins or ends a session; None for all others."""
        match request.method, request.path:
            case "GET", "/api/login":
                return self._begin(*(request.basic or ("", "")))
            case "GET", "/api/logout":
                return self._end(request)
            case method, path if path.startswith("/rest/auth/"):
                return self._own(method, path, request)
        return None

    def token(self, request: Request) -> str | None:
        """Return the token of the session that a call is made in."""
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return value if self.platform and value in self.open else None
        user, token = request.basic or ("", "")
        known = self.open.get(token)
        return token if known and not known.refresh and user in {"", known.user} else None

    def writes(self, token: str) -> bool:
        return self.users[self.open[token].user].writes

    def _lets_in(self, name: str, password: str) -> bool:
        return name in self.users and self.users[name].password == password

    def _begin(self, name: str, password: str) -> Reply:
        if not self._lets_in(name, password):
            return unauthorized()
        token = secrets.token_urlsafe(24)
        self.open[token] = Open(name)
        return Reply(200, token)

    def _end(self, request: Request) -> Reply:
        token = self.token(request)
        if token is None:
            return unauthorized()
        del self.open[token]
        return Reply(200, "")

    def _own(self, method: str, path: str, request: Request) -> Reply:
        """Serve the platform's own log-in."""
        body = request.body or {}
        if self.own_login and (method, path) == ("POST", "/rest/auth/login"):
            return self._begin_own(body.get("username", ""), body.get("password", ""))
        if self.own_login and (method, path) == ("POST", "/rest/auth/logout"):
            return self._end_own(request)
        return Reply(404, b"<html>HTTP Status 404</html>")

    def _begin_own(self, name: str, password: str) -> Reply:
        if not self._lets_in(name, password):
            return unauthorized()
        token, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.open[token] = Open(name, refresh)
        times = {"expires_in": 300, "refresh_expires_in": 1800, "token_type": "Bearer", "scope": "openid"}
        return Reply(200, {"access_token": token, "refresh_token": refresh, **times})

    def _end_own(self, request: Request) -> Reply:
        token = self.token(request)
        if token is None:
            return unauthorized()
        refresh = (request.body or {}).get("refresh_token", "")
        ended = next((key for key, item in self.open.items() if refresh and item.refresh == refresh), None)
        if ended is None:
            return Reply(400, {"message": "Invalid refresh token", "httpStatusCode": 400, "errorCode": 0})
        del self.open[ended]
        return Reply(204, b"")


def unauthorized() -> Reply:
    """Refuse a call, wrong credentials and expired tokens alike."""
    return Reply(401, {"message": "Unauthorized", "httpStatusCode": 401, "errorCode": 0})
