"""What happened around the slots of one host, as a plain list of frozen events.

Times are true time in seconds. Where real processes on one machine are judged, that is its monotonic clock, and `rate`
is 1. `who` is always the identity that stands in the record. The order of `Written` is the server's order.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """What a record says."""

    holder: str
    duration: int | None
    transitions: int | None
    author: str = ""
    """who claims to have written the duration"""
    used: bool = True
    """whether anybody has held the slot since it was created"""


@dataclass(frozen=True)
class Joined:
    """Somebody who may want a slot; `ours` follows our rules, others do as they like."""

    at: float
    who: str
    duration: int
    ours: bool = True
    rate: float = 1.0
    """seconds on its monotonic clock in a true one"""
    peer: bool = False
    """follows the Go rule"""
    offset: float = 0.0
    """seconds by which its wall clock is ahead"""


@dataclass(frozen=True)
class Waited:
    """He began to want a slot."""

    at: float
    who: str


@dataclass(frozen=True)
class Had:
    """It was told that it has one."""

    at: float
    who: str


@dataclass(frozen=True)
class GaveUp:
    """He does not want one any more, without having had it."""

    at: float
    who: str


@dataclass(frozen=True)
class Written:
    """The server stored a new version of a slot, or deleted it (`after` is None)."""

    at: float
    slot: str
    by: str
    sent: float
    """when the request was sent"""
    before: State | None
    after: State | None

    @property
    def holder(self) -> str:
        """Return whom the slot names from now on."""
        return self.after.holder if self.after else ""

    @property
    def deletes_or_prepares(self) -> bool:
        """Whether nothing is said of a holder: the Lease is gone, or there again without one."""
        return self.after is None or (self.before is None and not self.after.used)


@dataclass(frozen=True)
class Step:
    """Something shook the host."""

    at: float
    end: float
    who: str
    teardown: bool = False
    """tidying up goes on without a slot where it must"""


@dataclass(frozen=True)
class Left:
    """It ended in order and has released."""

    at: float
    who: str


@dataclass(frozen=True)
class Died:
    """It was killed, or let its slot expire on purpose."""

    at: float
    who: str


@dataclass(frozen=True)
class Failed:
    """A peer of the Go rule found that somebody had written over its slot, and gave up for good."""

    at: float
    who: str


@dataclass(frozen=True)
class Stopped:
    """He was stopped (SIGSTOP) and continued."""

    at: float
    until: float
    who: str


@dataclass(frozen=True)
class Told:
    """It was told to stop (SIGTERM): its calls are broken off, what they began on the host is not."""

    at: float
    who: str


@dataclass(frozen=True)
class Called:
    """He sent a request."""

    at: float
    who: str


@dataclass(frozen=True)
class Trouble:
    """Calls to the API failed, or watches told less than the truth."""

    at: float
    until: float


Event = (
    Joined | Waited | Had | GaveUp | Written | Step | Left | Died | Failed | Stopped | Told | Called | Trouble
)
