"""What is known of a copy while it is followed, and how long to the next look."""

import logging
from dataclasses import dataclass

from vsphere.copy.polling import next_delay
from vsphere.errors import LoginRefused, VsphereError
from vsphere.host.device import Device
from vsphere.wrapper.contract import TaskState

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
CONFIRM = 0.1
"""seconds between an end and the look that confirms it"""
LOCKOUT_PAUSE = 60.0
"""between log-ins that are refused: vCenter locks an account after five in three minutes"""


@dataclass
class Following:
    """What is known of a copy while it is followed."""

    task: str
    device: Device
    booted: str
    began: float
    polls: int = 0
    percent: int | None = None
    failures: int = 0
    penalty: float = 0.0
    unknown_since: float | None = None
    end: TaskState | None = None
    """an end that the last read reported, and no other one has confirmed yet"""

    def pause(self, now: float, *, stopping: bool) -> float:
        """Return the seconds to the next poll; told to stop, every moment of the grace counts."""
        usual = CONFIRM if self.end else next_delay(now - self.began, self.percent, self.polls)
        if self.failures:
            usual = max(usual, self.penalty)
        return min(usual, 0.5) if stopping else usual

    def confirms(self, state: TaskState) -> bool:
        """Note a read; return whether it is an end that the read right before it reported, too.

        A wrapper can report an end before the exit code is written, and a host in trouble anything at all.
        """
        before, self.end = self.end, state if state.ended else None
        return before is not None and state.ended and before.ends_like(state)

    def failed(self, error: VsphereError) -> None:
        """Note a poll that reported nothing."""
        self.end = None
        self.failures += 1
        growing = min(0.2 * 2 ** min(self.failures, 10), LONGEST_PAUSE)
        self.penalty = LOCKOUT_PAUSE if isinstance(error, LoginRefused) else growing
        if self.failures & (self.failures - 1) == 0:  # the 1st, 2nd, 4th, 8th, …
            log.warning("the copy's state is not known (%d polls in a row): %s", self.failures, error.text)

    def saw(self, state: TaskState) -> None:
        """Note a poll that reported the state."""
        self.failures, self.unknown_since = 0, None
        if state.percent is not None:
            self.percent = max(self.percent or 0, state.percent)
