"""Initiators in one normal form, by which those of a host and those of an array's group are compared. Pure.

A host's are `iqn.…`, `eui.…` or `fc.<16 hex wwnn>:<16 hex wwpn>`; arrays know FC ones by the port's name alone, in many
spellings. The normal form is the name in lower case, and 16 hex digits for a port.
"""

import re
from collections.abc import Iterable

FC = re.compile(r"fc\.[0-9a-f]{16}:([0-9a-f]{16})", re.IGNORECASE)
WWPN = re.compile(r"(?:[0-9a-f]{2}:?){8}", re.IGNORECASE)


def normal(initiator: str) -> str:
    """Return the normal form of an initiator as a host or an array spells it."""
    if match := FC.fullmatch(initiator):
        return match[1].lower()
    if WWPN.fullmatch(initiator):
        return initiator.replace(":", "").lower()
    return initiator.lower()


def normal_all(initiators: Iterable[str]) -> frozenset[str]:
    """Return the normal forms of several."""
    return frozenset(normal(initiator) for initiator in initiators)


def protocol_of(initiators: Iterable[str]) -> str:
    """Return how those who have these initiators reach a LUN: `fc`, `iscsi`, or `n/a` where that cannot be said."""
    protocols = {"iscsi" if name.startswith(("iqn.", "eui.")) else "fc" for name in normal_all(initiators)}
    return protocols.pop() if len(protocols) == 1 else "n/a"
