"""Initiators as arrays spell them, read into the one form in which a host's are handed in. Pure."""

import re
from collections.abc import Iterable

from vsphere.model import Initiator, InitiatorKind

WWPN = re.compile(r"(?:[0-9a-f]{2}[:-]?){8}", re.IGNORECASE)


def read_initiator(spelled: str) -> Initiator:
    """Read the name of a port in any spelling, else take the name for one of iSCSI."""
    if WWPN.fullmatch(spelled):
        return Initiator(InitiatorKind.FC, re.sub("[:-]", "", spelled).lower())
    return Initiator(InitiatorKind.ISCSI, spelled.lower())


def read_initiators(spelled: Iterable[str]) -> frozenset[Initiator]:
    """Read several."""
    return frozenset(map(read_initiator, spelled))


def protocol_of(initiators: Iterable[Initiator]) -> str:
    """Return how those who have these initiators reach a LUN: `fc`, `iscsi`, or `n/a` for all that Forklift knows."""
    kinds = {initiator.kind for initiator in initiators}
    return str(kinds.pop()) if len(kinds) == 1 and InitiatorKind.SDC not in kinds else "n/a"
