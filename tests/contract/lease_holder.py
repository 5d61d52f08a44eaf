"""A process that holds a host's lease until a line comes on stdin; says on stdout what happens, as JSON lines."""

import json
import signal
import sys
from typing import Any

from lease.api import Api
from lease.hostlock import HostLock
from populator.clock import Clock
from populator.errors import Cancelled


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def main() -> int:
    kubeconfig, namespace, identity, duration, host = sys.argv[1:]
    clock = Clock()
    signal.signal(signal.SIGTERM, lambda number, frame: clock.stop())
    lock = HostLock(
        Api.connect(kubeconfig),
        namespace=namespace,
        identity=identity,
        duration=int(duration),
        clock=clock,
        slots=1,
    )
    try:
        say(state="waiting")
        with lock.hold(host) as held:
            held.note(task="task-1", device="naa.600a0980")
            say(state="held", slot=held.slot)
            for line in sys.stdin:
                if line.strip() == "leave":
                    held.leave("the copy task-1 is still writing")
                break
    except Cancelled:
        say(state="cancelled")
        return 3
    say(state="done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
