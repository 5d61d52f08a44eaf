"""How drivers make their calls again: reads, writes, and several writes of which none keeps others from being done."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from populator import retry
from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.failures import Refused, passing

ROUNDS = 5
"""how often somebody else may be faster; with 20 populators for each host that is already unlikely"""
Known = TypeVar("Known")
Result = TypeVar("Result")
Heals = Callable[[BaseException], bool]


class Repeat:
    """Makes calls again while their errors are passing ones; `heals` says which, where more than the usual are."""

    def __init__(self, clock: Clock, heals: Heals = passing) -> None:
        self._clock = clock
        self._heals = heals

    def read(self, call: Callable[[], Result]) -> Result:
        """Return what a call returns that changes nothing."""
        return retry.READ.run(call, self._heals, self._clock)

    def write(self, call: Callable[[], Result]) -> Result:
        """Return what a call returns that begins by looking at what a failed try before it may have done."""
        return retry.WRITE.run(call, self._heals, self._clock)

    def write_by(
        self, known: Known, look_again: Callable[[], Known], act: Callable[[Known], Result]
    ) -> Result:
        """Return what an act returns that goes by a look; each try after the first begins with a new one."""
        unused = [known]
        return self.write(lambda: act(unused.pop() if unused else look_again()))

    def write_all(self, calls: Sequence[Callable[[], object]]) -> None:
        """Make every one of these calls, also after one that failed; the first failure is the one raised."""
        do_all([lambda call=call: self.write(call) for call in calls])  # type: ignore[misc]

    def read_if_allowed(self, call: Callable[[], Result]) -> Result | None:
        """Return nothing where the user has not the right to ask, or the array does not know the question."""
        try:
            return self.read(call)
        except Refused as error:
            if error.passing:
                raise
            return None


def do_all(steps: Sequence[Callable[[], object]]) -> None:
    """Do every step, also after one that failed; the first failure is the one raised."""
    failures = []
    for step in steps:
        try:
            step()
        except StorageError as error:
            failures.append(error)
    if failures:
        raise failures[0]
