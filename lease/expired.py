"""Giving back a slot whose holder is dead, for whoever has put in order what that holder left.

A slot is taken for dead as waiters take it: its record has not changed before our eyes for as long as its holder
promised. It is written once, in the place of that very version; whoever has changed it meanwhile keeps it.
"""

from lease.decision import LONGEST, promise
from lease.kube.api import Api, ApiError
from lease.ports import Clock
from lease.record import Record, free_lease, leases_path, parse_record

CONFLICT, GONE = 409, 404


def free_expired(api: Api, namespace: str, record: Record, seen: float, clock: Clock) -> bool:
    """Free a slot that was seen at a moment of our clock, once it is certain that its holder is dead.

    Waits for that. Returns whether it is free now; not where somebody has written it since. Raises ApiError.
    """
    clock.wait(max(seen + promise(record, LONGEST) - clock.now(), 0.0))
    path = f"{leases_path(namespace)}/{record.name}"
    try:
        now = parse_record(api.get(path))
        if now.version != record.version:
            return not now.holder
        api.replace(path, free_lease(now, now.duration or LONGEST, clock.utc()))
    except ApiError as error:
        if error.status in {CONFLICT, GONE}:
            return error.status == GONE
        raise
    return True
