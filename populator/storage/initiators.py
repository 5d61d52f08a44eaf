"""Initiators: as arrays spell them, and which of a host's to use. Pure.

Whatever an array's spelling, an initiator is read into the one form in which a host's are handed in.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from populator.errors import StorageError
from vsphere.model import Initiator, InitiatorKind

WWPN = re.compile(r"(?:[0-9a-f]{2}[:-]?){8}", re.IGNORECASE)
NEEDED = "XCOPY needs an iSCSI or Fibre Channel adapter; NVMe adapters cannot be used."


@dataclass(frozen=True)
class OfOneKind:
    """Initiators of one kind, at least one."""

    kind: InitiatorKind
    initiators: tuple[Initiator, ...]


def read_initiator(spelled: str) -> Initiator:
    """Read the name of a port in any spelling, else take the name for one of iSCSI."""
    if WWPN.fullmatch(spelled):
        return Initiator(InitiatorKind.FC, re.sub("[:-]", "", spelled).lower())
    return Initiator(InitiatorKind.ISCSI, spelled.lower())


def read_initiators(spelled: Iterable[str]) -> frozenset[Initiator]:
    """Read several."""
    return frozenset(map(read_initiator, spelled))


def in_pairs(initiator: Initiator) -> str:
    """Return a world-wide name in pairs with colons, an iSCSI name as it is."""
    if initiator.kind == InitiatorKind.FC:
        return ":".join(re.findall("..", initiator.name))
    return initiator.name


def in_capitals(initiator: Initiator) -> str:
    """Return a world-wide name in capital letters, an iSCSI name as it is."""
    return initiator.name.upper() if initiator.kind == InitiatorKind.FC else initiator.name


def listed(initiators: Iterable[Initiator]) -> str:
    """Return initiators for people who look for them."""
    return ", ".join(map(str, initiators))


def iscsi_names(without: str = "") -> re.Pattern[str]:
    """Return what iSCSI names look like; `without` are characters in which an array's API sees something of its own."""
    odd = re.escape(without)
    return re.compile(rf"iqn\.\d{{4}}-\d{{2}}\.[^:\s{odd}]+(:[^\s{odd}]+)?|eui\.[0-9a-f]{{16}}")


def usable_by(
    array: str, names: re.Pattern[str], initiators: Sequence[Initiator], hint: str = NEEDED
) -> list[Initiator]:
    """Return those of FC, and those of iSCSI that have such names, each once, in their order; raise without any.

    What an array cannot know is left out beforehand: it would refuse a whole group for one wrong name.
    """
    usable = [
        initiator
        for initiator in dict.fromkeys(initiators)
        if initiator.kind == InitiatorKind.FC
        or (initiator.kind == InitiatorKind.ISCSI and names.fullmatch(initiator.name))
    ]
    if not usable:
        raise StorageError(
            f"No initiator of the host can be used with {array}: {listed(initiators) or 'it has none'}.", hint
        )
    return usable


def by_kind(initiators: Iterable[Initiator]) -> list[OfOneKind]:
    """Return them kind by kind, the first one's first."""
    kinds: dict[InitiatorKind, list[Initiator]] = {}
    for initiator in initiators:
        kinds.setdefault(initiator.kind, []).append(initiator)
    return [OfOneKind(kind, tuple(those)) for kind, those in kinds.items()]


def first_among(initiators: Sequence[Initiator], *preferred: Collection[Initiator]) -> Initiator:
    """Return the first that is among the preferred, which may come in several degrees; else the first of all."""
    choice = (initiator for degree in preferred for initiator in initiators if initiator in degree)
    return next(choice, initiators[0])


def protocol_of(initiators: Iterable[Initiator]) -> str:
    """Return how those who have these initiators reach a LUN: `fc`, `iscsi`, or `n/a` for all that Forklift knows."""
    kinds = {initiator.kind for initiator in initiators}
    return str(kinds.pop()) if len(kinds) == 1 and InitiatorKind.SDC not in kinds else "n/a"
