"""The volume and its array: what is said of the LUN, who sees it, and whether the source lies on the same array."""

from collections.abc import Sequence

from populator.plan.volume import Binding
from populator.preflight.line import Line, Mark, failed, not_checked, passed, warning
from populator.storage.array import ArrayInfo, GroupPlan, Lun, Mapping
from populator.storage.copies import CannotCopy
from populator.storage.initiators import listed

NAA_6 = "naa.6"
OF_MAKER = len("naa.600a098")
"""characters of a device's name that tell who made its array: type 6, then the maker's 24 bits"""


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


def judge_sources(sources: Sequence[Lun]) -> list[Line]:
    """Say which volumes of the array hold the disk's datastores."""
    names = ", ".join(source.name for source in sources)
    return [passed("same array", f"the datastore lies on this array, on its volume {names}")]


def mark_of(error: Exception) -> Mark:
    """Mark a disk that the array cannot copy by itself: a host can."""
    return Mark.WARNING if isinstance(error, CannotCopy) else Mark.FAILED


def judge_makers(devices: Sequence[str], lun: Lun) -> list[Line]:
    """Compare the makers of the arrays behind source and target, as far as the names of both say."""
    check = "same array"
    for device in devices:
        both = (device, lun.device)
        if not all(name.startswith(NAA_6) for name in both):
            return [
                not_checked(check, f"the names {device} and {lun.device} do not say which arrays they are of")
            ]
        if device[:OF_MAKER] != lun.device[:OF_MAKER]:
            text = f"source {device} and target {lun.device} are of two makers: the host would move all bytes"
            mend = "Map the datastore to a storage class of the array that it lies on."
            return [failed(check, text, mend)]
    why = "source and target are of one maker; whether of one array, this vendor's driver cannot look up"
    return [
        not_checked(
            check, why, "Compare the serial numbers in both names: " + ", ".join([*devices, lun.device])
        )
    ]
