"""The tokens of a simulated FlashSystem: who may log in, for how long, and how much at a time."""

import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

ADMINISTRATOR, MONITOR = "Administrator", "Monitor"
LIFETIME = 3600.0


@dataclass(frozen=True)
class User:
    password: str
    role: str = ADMINISTRATOR


@dataclass
class Rate:
    """At most so many a second; no limit while it is 0."""

    limit: int = 0
    _times: deque[float] = field(default_factory=deque)

    def passes(self) -> bool:
        now = time.monotonic()
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if self.limit and len(self._times) >= self.limit:
            return False
        self._times.append(now)
        return True


class Sessions:
    """May be set at any time: `most` tokens in use, the rates; 0 is no limit."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = users
        self.most = 0
        self.log_ins, self.commands = Rate(), Rate()
        self.made: list[str] = []
        self._ends: dict[str, tuple[str, float]] = {}
        self._in_use: set[str] = set()

    def log_in(self, user: str, password: str) -> str | None:
        """Return a token, if user and password are right."""
        known = self.users.get(user)
        if known is None or known.password != password:
            return None
        token = f"eyJ.{secrets.token_urlsafe(24)}"
        self.made.append(token)
        self._ends[token] = (user, time.monotonic() + LIFETIME)
        return token

    def user(self, token: str) -> User | None:
        """Return whose a token is; nobody's, where it has expired."""
        user, end = self._ends.get(token, ("", 0.0))
        return self.users[user] if end > time.monotonic() else None

    def serves(self, token: str) -> bool:
        """Return whether a token is one of those that are in use, or may become one."""
        if token not in self._in_use and self.most and len(self._in_use) >= self.most:
            return False
        self._in_use.add(token)
        return True

    def expire(self, *tokens: str) -> None:
        """Let tokens expire, all without a name."""
        for token in tokens or list(self._ends):
            self._ends.pop(token, None)
            self._in_use.discard(token)
