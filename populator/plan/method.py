"""Who copies a disk: the array by itself, or a host. Pure; decided before anything is touched."""

from collections.abc import Collection
from dataclasses import dataclass

from populator.settings.names import BY_HOST
from vsphere.model import DiskKind

NAMES = {DiskKind.VVOL: "vVol", DiskKind.RDM: "raw device mapping"}


@dataclass(frozen=True)
class Method:
    """What was decided, and why."""

    by_array: bool
    reason: str
    """one clause for people; empty where there was nothing to decide"""


def decide_method(
    kind: DiskKind, product: str, can: Collection[DiskKind], by_host: Collection[DiskKind]
) -> Method:
    """Decide for a kind of disk, on arrays of a product that `can` copy such kinds by themselves.

    `by_host` are the kinds that were said to be the hosts' work.
    """
    if kind == DiskKind.VMDK:
        return Method(by_array=False, reason="")
    if kind in by_host:
        return Method(by_array=False, reason=f"{BY_HOST[kind]} is set")
    if kind not in can:
        return Method(by_array=False, reason=f"{product} is not known to copy a {NAMES[kind]} safely")
    return Method(by_array=True, reason=f"the disk is a {NAMES[kind]}, which {product} can copy")
