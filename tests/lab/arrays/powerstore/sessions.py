"""How the simulated PowerStore lets clients in: by HTTP Basic, by the cookie of a session, or by both.

A query by Basic alone begins a session: its reply has the cookie and a CSRF token (`DELL-EMC-TOKEN`), and so has each
later reply of that session. The token stays the same, since Dell's Python client sends the first one for ever; where it
is `rotating`, each is good until the next. Whoever sends the cookie has to send the token with what changes something;
whoever sends neither, Basic alone, need not (Cinder's way), unless `strict`.
"""

import re
import secrets
from dataclasses import dataclass, field

from tests.lab.arrays.powerstore.cluster import Failure
from tests.lab.arrays.rest import Request

NOT_AUTHENTICATED, FORBIDDEN, EXPIRED, TOO_MANY = (
    "0xE09040040001",
    "0xE09040030001",
    "0xE09040030002",
    "0xE09050030001",
)
ADMINISTRATOR, OPERATOR = "1", "4"
COOKIE = re.compile(r"(?:^|;\s*)auth_cookie=([^;]*)")


@dataclass(frozen=True)
class User:
    """Credentials, and the role: an operator may only read."""

    password: str
    role: str = ADMINISTRATOR
    must_change: bool = False
    """the password, before anything else"""


@dataclass
class Session:
    id: str
    user: str
    token: str = field(default_factory=lambda: secrets.token_hex(16))


class Sessions:
    """May be set at any time: `users`, `most`, `strict`, `rotating`, `expired_status` (of a dead cookie alone)."""

    def __init__(self, users: dict[str, User]) -> None:
        self.users = users
        self.most = 500
        self.strict = self.rotating = False
        self.expired_status = 401
        self.open: dict[str, Session] = {}
        """by cookie"""

    def enter(self, request: Request) -> tuple[str, Session | None]:
        """Return the user of a call and its session; there is none for a change by Basic alone."""
        cookie = COOKIE.search(request.headers.get("cookie", ""))
        basic = self._basic(request)
        session = self.open.get(cookie[1]) if cookie else None
        logs_in = request.path.endswith("/login_session") and basic is not None
        if cookie and session is None and not logs_in:
            raise Failure(403 if basic else self.expired_status, EXPIRED, "The session has expired.")
        if basic is None and session is None:
            raise Failure(401, NOT_AUTHENTICATED, "Authentication is required.")
        name = session.user if session else basic or ""
        if request.method != "GET":
            self._check_change(request, name, session)
        elif session is None:
            session = self._begin(name)
        return name, session

    def headers(self, session: Session | None) -> dict[str, str]:
        """Return what a good reply carries: the next token."""
        if session is None or session.id not in self.open:
            return {}
        if self.rotating:
            session.token = secrets.token_hex(16)
        cookie = f"auth_cookie={session.id}; Path=/; HttpOnly; Secure"
        return {"DELL-EMC-TOKEN": session.token, "Set-Cookie": cookie}

    def end(self, session: Session | None) -> None:
        if session is not None:
            self.open.pop(session.id, None)

    def _basic(self, request: Request) -> str | None:
        if request.basic is None:
            return None
        name, password = request.basic
        if name not in self.users or self.users[name].password != password:
            raise Failure(401, NOT_AUTHENTICATED, "The user name or password is not valid.")
        return name

    def _check_change(self, request: Request, name: str, session: Session | None) -> None:
        token = request.headers.get("dell-emc-token")
        if session is not None and token != session.token:
            raise Failure(403, FORBIDDEN, "The CSRF token is not valid.")
        if session is None and self.strict:
            raise Failure(403, FORBIDDEN, "A CSRF token is required.")
        if self.users[name].role == OPERATOR and not request.path.endswith("/logout"):
            raise Failure(403, FORBIDDEN, "The user's role does not allow this operation.")

    def _begin(self, name: str) -> Session:
        if len(self.open) >= self.most:
            raise Failure(503, TOO_MANY, "There are too many sessions.")
        session = Session(secrets.token_hex(24), name)
        self.open[session.id] = session
        return session
