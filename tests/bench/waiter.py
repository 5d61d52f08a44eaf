"""A process with waiters for the lease of hosts, each with connections of its own; begins when a line comes on stdin.

Arguments: a JSON object with the fields of `Orders`. Says `ready`, then a line of JSON for each turn, as it ends, and
at the end one with the calls that were made. Times are of the monotonic clock, which all processes share.
"""

import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lease.hostlock import HostLock
from lease.kube.api import Api
from populator.clock import Clock
from tests.lab.lease.go_rule import GoRule


@dataclass(frozen=True)
class Orders:
    """What to do."""

    kubeconfig: str
    namespace: str
    rule: str
    """`ours` or `go`"""
    hosts: Mapping[str, list[str]]
    """host -> identities of those who wait for it here"""
    duration: int = 10
    slots: int = 2
    hold: float = 1.0
    """seconds"""


class Calls(logging.Handler):
    """Counts the answers to calls by what the log says of them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        self.seen[f"{words[0]} {words[-1]}"] += 1


def main() -> int:
    orders = Orders(**json.loads(sys.argv[1]))
    logging.getLogger("lease").setLevel(logging.ERROR)
    threading.stack_size(256 * 1024)
    threads = []
    for host, identities in orders.hosts.items():
        for me in identities:
            lock = lock_of(orders, me)
            if isinstance(lock, HostLock):
                lock.prepare(host)  # as the program does long before it queues
            threads.append(threading.Thread(target=wait_and_hold, args=(orders, lock, host, me)))
    calls = Calls()
    logger = logging.getLogger("lease.kube.api")
    logger.addHandler(calls)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"calls": calls.seen, "cpu": time.process_time()}), flush=True)
    return 0


def lock_of(orders: Orders, me: str) -> HostLock | GoRule:
    api = Api.connect(orders.kubeconfig)
    if orders.rule == "go":
        return GoRule(api, orders.namespace, me, orders.duration, orders.slots)
    return HostLock(
        api,
        namespace=orders.namespace,
        identity=me,
        duration=orders.duration,
        clock=Clock(),
        slots=orders.slots,
    )


def wait_and_hold(orders: Orders, lock: HostLock | GoRule, host: str, me: str) -> None:
    asked = time.monotonic()
    with lock.hold(host) as held:
        slot, got = held.slot, time.monotonic()
        print(json.dumps({"me": me, "host": host, "slot": slot, "holds": True}) + "\n", end="", flush=True)
        time.sleep(orders.hold)
        left = time.monotonic()
    turn = {"me": me, "host": host, "slot": slot, "asked": asked, "got": got, "left": left}
    print(json.dumps(turn) + "\n", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
