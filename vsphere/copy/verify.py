"""Proof of bytes: source and device read on the host and compared, before a copy counts.

Promises: nothing is called equal but what the host has read on both sides; what cannot be compared, for whatever
reason, is not verified, and is no error; told to stop, or given up on, the comparison is ended on the host, so that the
device can be detached. The host only reads, so it takes no slot of the lease for it.
"""

import logging
from dataclasses import dataclass

from vsphere.copy.polling import next_delay
from vsphere.errors import LoginRefused, VsphereError
from vsphere.host.device import Device
from vsphere.model import Proof
from vsphere.paths import parse_vmdk
from vsphere.ports import Clock
from vsphere.wrapper.answers import parse_verification, shorten
from vsphere.wrapper.contract import Compared, Verification, Version, Wrapper
from vsphere.wrapper.tasks import Tasks, comparison_id

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""seconds without any progress after which it is given up; less than the wrapper's, which then ends it by itself"""
LONGEST_PAUSE = 15.0
ENDED_BY = 10.0
"""seconds after SIGTERM for ending it on the host"""
TELL_EVERY = 60.0
"""seconds between two lines of log"""


class Refused(VsphereError):
    """The wrapper does not compare, or no longer knows that it was to: asking again is of no use."""


@dataclass
class Watch:
    """What is known of a comparison while it is followed."""

    task: str
    began: float
    moved: float
    """when it was last seen to get on"""
    percent: int = -1
    polls: int = 0
    failures: int = 0
    started: bool = False
    told: float = 0.0


class Verifier:
    """Compares disks with devices of one host by its vmkfstools wrapper."""

    def __init__(self, wrapper: Wrapper, version: Version, clock: Clock, samples: str, owner: str) -> None:
        """`samples` is how many MiB at random places are compared, `all` for every byte, `0` for nothing at all.

        `owner` is a name of this run alone.
        """
        self._wrapper, self._version, self._clock, self._samples = wrapper, version, clock, samples
        self._owner = owner

    def verify(self, source: str, device: Device) -> Proof:
        """Compare `[datastore] folder/disk.vmdk` with a device it was copied onto.

        Raises only what the clock raises when we are told to stop.
        """
        if self._samples == "0":
            return Proof(reason="comparing is turned off")
        if not self._version.verifies:
            number = self._version.number or "of an unknown version"
            return Proof(reason=f"the host's wrapper ({number}) cannot compare")
        watch = Watch(comparison_id(self._owner, device.name), self._clock.now(), self._clock.now())
        ended = False
        try:
            state = self._follow(watch, source, device)
            ended = True
        except VsphereError as error:
            return Proof(reason=shorten(error.text))
        finally:
            with self._clock.grace(ENDED_BY):
                self._forget(watch.task, ended=ended)
        return self._proof(state)

    def _proof(self, state: Verification) -> Proof:
        match state.compared:
            case Compared.EQUAL:
                return Proof(equal=state.bytes, samples=self._samples)
            case Compared.DIFFERENT:
                return Proof(offset=state.offset)
        return Proof(reason=shorten(state.reason) or "the host does not say why")

    def _follow(self, watch: Watch, source: str, device: Device) -> Verification:
        """Start it, which may be repeated, and ask until it has ended."""
        spelled = self._wrapper.spell(parse_vmdk(source), self._version)
        while True:
            try:
                state = self._ask(watch, spelled, device)
            except VsphereError as error:
                self._failed(watch, error)
            else:
                if state.compared is not Compared.RUNNING:
                    return state
                self._saw(watch, state)
            if self._clock.now() - watch.moved > PATIENCE:
                raise VsphereError(f"the comparison has not got on for {PATIENCE:.0f} s")
            watch.polls += 1
            self._clock.wait(self._pause(watch))

    def _ask(self, watch: Watch, spelled: str, device: Device) -> Verification:
        if watch.started:
            answer = self._wrapper.task_get(watch.task)
        else:
            answer = self._wrapper.verify(spelled, device.path, watch.task, self._samples)
        if answer.status != "0":
            raise Refused(answer.complaint)
        state = parse_verification(answer, watch.task)
        watch.started, watch.failures = True, 0
        return state

    def _failed(self, watch: Watch, error: VsphereError) -> None:
        watch.failures += 1
        log.debug("the comparison's state is not known: %s", error.text)
        # vCenter locks an account after a few log-ins that it refuses.
        if isinstance(error, LoginRefused | Refused) or self._clock.now() - watch.moved > PATIENCE:
            raise error

    def _saw(self, watch: Watch, state: Verification) -> None:
        now = self._clock.now()
        if state.percent > watch.percent:
            watch.percent, watch.moved = state.percent, now
        if now - max(watch.told, watch.began) > TELL_EVERY:
            watch.told = now
            log.info("%d %% of what is compared has been read", watch.percent)

    def _pause(self, watch: Watch) -> float:
        usual = next_delay(self._clock.now() - watch.began, max(watch.percent, 0), watch.polls)
        return min(max(usual, 0.2 * 2**watch.failures if watch.failures else 0.0), LONGEST_PAUSE)

    def _forget(self, task: str, *, ended: bool) -> None:
        """Have nothing of it run or lie on the host any more; one that is not cleaned up is stopped first."""
        tasks = Tasks(self._wrapper)
        if ended and tasks.clean(task):
            return
        self._stop(task)
        tasks.clean(task)

    def _stop(self, task: str) -> None:
        try:
            answer = self._wrapper.task_stop(task)
        except VsphereError as error:
            log.warning("the host may still be reading (%s); it ends by itself in some minutes", error.text)
            return
        if answer.status != "0":
            log.info("the comparison %s: %s", task, shorten(answer.complaint))
