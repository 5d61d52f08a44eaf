"""A process that holds a host's lease; says on stdout what happens, as JSON lines with the monotonic time.

Without a number of seconds it holds until a line comes on stdin. With one it works for that long, in short steps of
which each begins only while the slot is ours, and says of each when it asked for that; and of each call to the API.
In scope rescan each step takes a slot of its own, in the name that the lock gives to its holder.
"""

import argparse
import json
import logging
import math
import signal
import sys
import time
from typing import Any

from lease.errors import LeaseError, LeaseLost
from lease.hostlock import Held, HostLock
from lease.kube.api import Api
from lease.record import TEMPLATE
from lease.stepwise import StepLock
from populator.clock import Clock
from populator.errors import Cancelled

STEP = 0.1
"""seconds that a step takes on the host"""

UNANSWERED = ("did not answer", "could not be released in time", "could not be written a last time")
"""what the log says of calls that the server did not answer in time"""


class Calls(logging.Handler):
    """Says each call by what the log says of its answer, and that there was none."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "lease.kube.api":
            say(state="called", call=record.getMessage())
        elif any(words in record.getMessage() for words in UNANSWERED):
            say(state="unanswered", call=record.getMessage())


def say(**facts: Any) -> None:
    # In one piece, as renewals are told of by another thread.
    print(json.dumps({"at": time.monotonic()} | facts) + "\n", end="", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("kubeconfig", "namespace", "identity", "duration", "host"):
        parser.add_argument(name)
    parser.add_argument("seconds", type=float, nargs="?")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--template", default=TEMPLATE)
    parser.add_argument("--scope", default="copy")
    options = parser.parse_args()
    clock, host, seconds = Clock(), options.host, options.seconds
    if seconds is not None:
        calls = logging.getLogger("lease")
        calls.addHandler(Calls())
        calls.setLevel(logging.DEBUG)
    signal.signal(signal.SIGTERM, lambda number, frame: clock.stop())
    lock = HostLock(
        Api.connect(options.kubeconfig),
        namespace=options.namespace,
        identity=options.identity,
        duration=int(options.duration),
        clock=clock,
        slots=options.slots,
        template=options.template,
    )
    try:
        if seconds is not None:
            lock.prepare(host)
        if options.scope == "rescan":
            work_by_steps(lock, clock, host, options)
            return 0
        say(state="waiting")
        with lock.hold(host) as held:
            held.note(task="task-1", device="naa.600a0980")
            say(state="held", slot=held.slot)
            if seconds is not None:
                work(held, clock, seconds)
            else:
                until_told(held)
    except Cancelled:
        say(state="cancelled")
        return 3
    except LeaseError as error:
        say(state="refused", text=error.text)
        return 6
    say(state="done")
    return 0


def work_by_steps(lock: HostLock, clock: Clock, host: str, options: argparse.Namespace) -> None:
    """Do that many seconds of steps with a slot for each; each is a holder of its own."""
    with StepLock(lock, clock).hold(host, task="task-1") as held:
        for number in range(1, math.ceil(options.seconds / STEP) + 1):
            who = f"{options.identity}-{number}"
            say(state="waiting", who=who)
            with held.step("rescan"):
                say(state="held", who=who)
                say(state="step", who=who)
                clock.wait(STEP)
            say(state="done", who=who)


def until_told(held: Held) -> None:
    for line in sys.stdin:
        if line.strip() == "leave":
            held.leave("the copy task-1 is still writing")
        break


def work(held: Held, clock: Clock, seconds: float) -> None:
    """Do that many seconds of steps, however long it takes to be allowed to."""
    left = seconds
    while left > 0:
        asked = time.monotonic()  # whatever holds us up from here on, the answer is true for that moment
        try:
            with held.step("rescan"):
                say(state="step", at=asked)
                clock.wait(STEP)
            left -= STEP
        except LeaseLost:
            say(state="lost")
            clock.wait(STEP)


if __name__ == "__main__":
    sys.exit(main())
