"""When a remote call that failed is made again: named policies, and the program's only user of tenacity.

The caller says which errors are passing ones, and hands in a call that may be made twice. A policy promises at
least two tries and otherwise none that begins after its deadline, an end at once when told to stop, and that the
last error is the one the caller sees. A service that asks to be left alone for a while is, unless the deadline comes
first, or the end of a grace: then there is nothing to lose by asking sooner.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential, wait_random

from lease.kube.errors import BELIEVED_FROM_STARTING
from populator.clock import Clock

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Policy:
    """How long, and with which pauses; all in seconds."""

    name: str
    deadline: float
    """after this no try begins, except the second: the first may have spent all the time on its timeout"""
    first_pause: float = 0.2
    longest_pause: float = 4.0

    def run(self, call: Callable[[], Result], on: Callable[[BaseException], bool], clock: Clock) -> Result:
        """Return what the call returns, made again while its error is one that `on` calls passing."""
        began = clock.now()

        def enough(state: RetryCallState) -> bool:
            late = clock.now() - began + state.upcoming_sleep > self.deadline
            return clock.expired() or (late and state.attempt_number >= 2)

        growing = wait_exponential(self.first_pause, self.longest_pause) + wait_random(0, self.first_pause)

        def pause(state: RetryCallState) -> float:
            asked = min(asked_for(state), self.deadline)
            return max(growing(state), asked if asked < clock.left() else 0.0)

        attempts = Retrying(
            sleep=clock.wait,
            stop=enough,
            wait=pause,
            retry=retry_if_exception(on),
            before_sleep=self._tell,
            reraise=True,
        )
        return attempts(call)

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.info("%s: attempt %d failed, trying again soon: %s", self.name, state.attempt_number, error)


def asked_for(state: RetryCallState) -> float:
    """Return for how many seconds the service has asked to be left alone (HTTP's Retry-After)."""
    error = state.outcome.exception() if state.outcome else None
    return getattr(error, "retry_after", None) or 0.0


READ = Policy("read", deadline=30)
"""for idempotent reads"""
CONTACT = Policy("first contact", deadline=3)
"""for the first read of a service, whose address may be wrong: people should not wait long to be told"""
FORBIDDEN = Policy("forbidden", deadline=BELIEVED_FROM_STARTING, longest_pause=0.5)
"""for reads that Kubernetes forbids, while that is not to be believed yet"""
FOLLOW = Policy("look at a copy", deadline=600, longest_pause=10)
"""for looks at what goes on without us: it comes to no harm by not being seen for a while"""
WRITE = Policy("write", deadline=30)
"""for writes that begin by reading what a failed try before them may have done"""
