"""What the parts here ask of each other and of the program: a clock, a retry policy, a host's commands, a lease."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

Result = TypeVar("Result")
Guard = Callable[[], None]
"""called in the moment before a request leaves, connected and logged in: raises where it must not be sent any more"""


class Clock(Protocol):
    """Time, and the wish to stop. One per process; used by the thread that does the work."""

    def now(self) -> float:
        """Return seconds on a clock that never jumps."""

    def wait(self, seconds: float) -> None:
        """Sleep; told to stop, raise at once. Within a grace: return early instead of raising."""

    def check(self) -> None:
        """Raise where we were told to stop, as `wait` would; within a grace return."""

    def limit(self, seconds: float) -> float:
        """Return a timeout for one remote call: `seconds`, or what is left of the grace if that is less."""

    def blocking(self) -> AbstractContextManager[None]:
        """Wrap one remote call: told to stop, it is broken off; in a grace, TimeoutError ends it when that does."""

    def grace(self, after_stop: float) -> AbstractContextManager[None]:
        """Go on though told to stop, for so many seconds after that moment (for ever if never told)."""

    def finishing(self) -> AbstractContextManager[None]:
        """Do what should not be broken off half-way: told to stop meanwhile, it gets a few seconds to end."""

    def stopping(self) -> bool:
        """Whether we were told to stop."""

    def expired(self) -> bool:
        """Whether the grace we are in has ended."""


class Retry(Protocol):
    """The policy by which calls that may be repeated are repeated."""

    def __call__(self, call: Callable[[], Result], on: Callable[[BaseException], bool], /) -> Result:
        """Return what the call returns, made again for a bounded time while its error is one that `on` accepts."""


class Commands(Protocol):
    """The esxcli of one host; rows as `esxcli --formatter=csv` has them."""

    @property
    def host(self) -> str:
        """The host's name, for people."""

    def ask(
        self, command: str, seconds: float = 30.0, *, guard: Guard | None = None, **arguments: str
    ) -> list[dict[str, str]]:
        """Run a command that may be run twice; made again while vCenter or the host is away for a moment."""

    def run(
        self,
        command: str,
        seconds: float = 30.0,
        *,
        fresh: bool = False,
        guard: Guard | None = None,
        **arguments: str,
    ) -> list[dict[str, str]]:
        """Run a command once, with a timeout; over a new connection where `fresh`."""


class Held(Protocol):
    """The host lease: whatever is disruptive to the host is done inside one of its contexts, or after its `guard`."""

    def guard(self, step: str) -> None:
        """Raise unless a copy may begin now; called right before it."""

    def step(self, name: str, unless: Callable[[], bool] | None = None) -> AbstractContextManager[bool]:
        """Do one step inside this context, where a slot is ours; raises when it is not.

        Gives False when the step is not needed any more: where a slot has to be waited for, `unless` is asked now and
        then meanwhile.
        """

    def teardown(self, name: str, unless: Callable[[], bool] | None = None) -> AbstractContextManager[bool]:
        """Do one step of tidying up inside this context, which may not fail for want of a slot: waits a little."""

    def note(self, **facts: str) -> None:
        """Keep facts (task, device, phase, percent) in the lease's journal; costs no call of its own."""

    def leave(self, text: str) -> None:
        """Say in the journal that a copy was left running, and let the slot expire instead of releasing it."""
