"""What a driver is given to reach its array."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class TokenCache(Protocol):
    """Where all runs with one array share the token of a session, since that array serves only few of them.

    Neither call raises: where the cache cannot be used, it is an empty one.
    """

    def read(self) -> str:
        """Return the token that was written last, valid or not; empty without one."""

    def write(self, token: str) -> None:
        """Keep a token instead of the one before."""


@dataclass(frozen=True)
class Access:
    """Address, credentials and the vendor's own settings; the repr holds no secret."""

    hostname: str
    """host, host:port or a URL, of which only host and port count: HTTPS is all we speak"""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    verify: bool = True
    """whether the array's certificate must be trusted"""
    timeout: float = 30.0
    """seconds for one call"""
    options: Mapping[str, str] = field(default_factory=dict)
    """the vendor's keys of the Secret, such as `ONTAP_SVM`"""
    tokens: TokenCache | None = field(default=None, repr=False, compare=False)
    """for an array whose sessions are shared by several runs; without it a run has one of its own"""
