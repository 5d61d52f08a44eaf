"""The volume and its array: what is said of the LUN, who sees it, and whether the source lies on the same array."""

from collections.abc import Sequence

from populator.plan.volume import Binding
from populator.preflight.line import Line, Mark, passed, warning
from populator.storage.array import ArrayInfo, GroupPlan, Lun, Mapping
from populator.storage.copies import CannotCopy
from populator.storage.identity import OutOfSight
from populator.storage.initiators import listed


def judge_array(info: ArrayInfo, address: str) -> list[Line]:
    """Say what the array is."""
    what = " ".join(filter(None, (info.vendor, info.product, info.model, info.version)))
    return [passed("array", f"{address} lets us in: {what}")]


def judge_binding(binding: Binding) -> list[Line]:
    """Say which volume the PVC leads to; the look has refused what must not be written to."""
    way = "bound" if binding.direct else "by its prime PVC"
    return [
        passed("PVC", f"{way} to PersistentVolume {binding.volume.name}, made by {binding.volume.driver}")
    ]


def judge_lun(lun: Lun) -> list[Line]:
    """Say which LUN it is."""
    return [passed("LUN", f"{lun.name} ({lun.device}), {lun.size} bytes")]


def judge_mappings(mappings: Sequence[Mapping]) -> list[Line]:
    """Say who sees the LUN now; what an earlier run has left on another host is refused elsewhere."""
    check = "mapping"
    if left := [each for each in mappings if each.ours]:
        where = ", ".join(f"{each.group.name} for {each.host or 'some host'}" for each in left)
        mend = "Nothing is to be done: a populate on the same host takes the mapping over, and removes it."
        return [warning(check, f"left by an earlier run: {where}", mend)]
    if mappings:
        names = ", ".join(each.group.name for each in mappings)
        return [passed(check, f"the LUN is mapped to {names}, and will stay so")]
    return [passed(check, "nobody sees the LUN")]


def judge_plan(plan: GroupPlan) -> list[Line]:
    """Say by which group the host would see LUNs."""
    group, check = plan.group, "initiators"
    if not group.id:
        return [passed(check, f"group {group.name} will be made, with {listed(plan.missing)}")]
    if plan.missing:
        return [passed(check, f"group {group.name} is known; to be added: {listed(plan.missing)}")]
    return [passed(check, f"group {group.name} has {listed(group.initiators)}")]


def judge_source(source: Lun) -> list[Line]:
    """Say which volume of the array a disk is."""
    return [passed("source", f"the array's volume {source.name}")]


def judge_sources(sources: Sequence[str]) -> list[Line]:
    """Say which volumes of the array hold the disk's datastores."""
    names = ", ".join(sources)
    return [passed("same array", f"the datastore lies on this array, on its volume {names}")]


def mark_of(error: Exception) -> Mark:
    """Mark a disk that the array cannot copy by itself: a host can."""
    return Mark.WARNING if isinstance(error, CannotCopy) else Mark.FAILED


def mark_of_source(error: Exception) -> Mark:
    """Mark a datastore that is not found on the array; where it may be there all the same, that is in doubt."""
    return Mark.WARNING if isinstance(error, OutOfSight) else Mark.FAILED
