"""What the parts here ask of each other and of the program: commands of a host, a clock, a retry policy, a lease."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from vsphere.paths import VmdkPath
from vsphere.wrapper.answers import Answer, Version

Result = TypeVar("Result")
Guard = Callable[[], None]
"""called in the moment before a request leaves, connected and logged in: raises where it must not be sent any more"""


class Clock(Protocol):
    """Time, and the wish to stop. One per process; used by the thread that does the work."""

    def now(self) -> float:
        """Return seconds on a clock that never jumps."""

    def wait(self, seconds: float) -> None:
        """Sleep; told to stop, raise at once. Within a grace: return early instead of raising."""

    def limit(self, seconds: float) -> float:
        """Return a time-out for one remote call: `seconds`, or what is left of the grace if that is less."""

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
        """Run a command once, with a time-out; over a new connection where `fresh`."""


class Wrapper(Protocol):
    """The vmkfstools wrapper of one host, by whatever way it is reached.

    Every call returns what the script itself answered, a refusal (status other than "0") included. Otherwise it
    raises: `WrapperMissing` where there is none (nothing was done), or another `VsphereError`, whose `unclear` tells
    whether the script may have run, and `passing` whether the same call may work a little later.
    """

    method: str
    """`vib` or `ssh`, as the contract with Forklift calls it"""
    host: str
    """the host's name, for people"""

    def spell(self, path: VmdkPath, version: Version) -> str:
        """Return a disk's path as this wrapper is told it; raise when it cannot be told safely. No call."""

    def version(self) -> Answer:
        """Ask for version and capabilities; made again while the host is away for a moment."""

    def clone(self, source: str, device: str, guard: Guard, limit: int) -> Answer:
        """Start the copy of a disk, as spelled, onto a device's path; sent once, right after its guard.

        A `limit` other than 0 has it refused while so many copies run on the host; only where `Version` has `limits`.
        """

    def task_get(self, task: str) -> Answer:
        """Ask how a copy stands; sent once."""

    def task_clean(self, task: str) -> Answer:
        """Remove the files of a task; made again while the host is away for a moment."""

    def task_stop(self, task: str) -> Answer:
        """End a copy: status "0" tells that nothing writes any more, and the state; takes up to 8 s, sent once.

        This and `task_list` are asked only of wrappers whose version says that they can (`Version`).
        """

    def task_list(self) -> Answer:
        """List all tasks on the host; made again while the host is away for a moment."""

    def close(self) -> None:
        """End the connection, if it is the wrapper's own; never raises."""


class Held(Protocol):
    """The host lease: whatever can shake the host is done inside one of its contexts, or after its `guard`."""

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
        """Keep facts (task, device, phase) in the lease's journal; costs no call of its own."""

    def leave(self, text: str) -> None:
        """Say in the journal that a copy was left running, and let the slot expire instead of releasing it."""
