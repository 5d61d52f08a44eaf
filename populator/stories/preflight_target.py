"""The volume of a preflight: from the PVC to the LUN, who sees it, and whether the source lies on the same array."""

from collections.abc import Sequence

from populator.plan.volume import Binding
from populator.preflight.line import Sheet, passed
from populator.preflight.target import (
    judge_binding,
    judge_lun,
    judge_mappings,
    judge_sources,
    mark_of_source,
)
from populator.storage.array import Lun, Mapping, StorageArray
from populator.stories.left import known
from populator.stories.looks import Ground, Looks, LooksParts
from populator.stories.lun import check_size
from populator.stories.xcopy import check_no_other_host_copies
from populator.writer import Mapped
from vsphere.model import EsxiHost, SourceDisk

ON_THE_ARRAY = ("LUN", "size", "mapping")
ALL = ("PVC", "CSI driver", "writer", *ON_THE_ARRAY)


def look_at_target(
    parts: LooksParts,
    looks: Looks,
    sheet: Sheet,
    ground: Ground,
    disk: SourceDisk | None,
    host: EsxiHost | None,
) -> Lun | None:
    """Look at the PVC and at what it leads to; return the LUN."""
    cluster = looks.cluster
    if parts.settings.target is None:
        sheet.skip("no PersistentVolumeClaim is named: a plan's are not made yet", *ALL)
        return None
    if not ground.cluster:
        sheet.skip("the API server cannot be asked", *ALL)
        return None
    binding = sheet.ask("PVC", cluster.binding, judge_binding)
    if binding is None:
        sheet.skip("the PVC leads to no volume", "CSI driver")
    else:
        volume = binding.volume
        driver = passed("CSI driver", volume.driver)
        sheet.ask("CSI driver", lambda: parts.check_driver(volume), lambda _: [driver])
    free = passed("writer", "no other run fills the volume, or has filled it")
    left = sheet.ask("writer", lambda: [cluster.writer()], lambda _: [free])
    if binding is None or not ground.array:
        sheet.skip("the array cannot be asked" if binding else "the PVC leads to no volume", *ON_THE_ARRAY)
        return None
    return look_at_lun(looks.array, sheet, binding, disk, host, left[0] if left else None)


def look_at_lun(
    array: StorageArray,
    sheet: Sheet,
    binding: Binding,
    disk: SourceDisk | None,
    host: EsxiHost | None,
    left: Mapped | None,
) -> Lun | None:
    """Look at the LUN: whether the disk fits, and who sees it."""
    lun = sheet.ask("LUN", lambda: array.find_lun(binding.volume), judge_lun)
    if lun is None:
        sheet.skip("the LUN was not found", "size", "mapping")
        return None
    if disk is None:
        sheet.skip("the disk is not known", "size")
    else:
        fits = passed("size", f"LUN of {lun.size} bytes, disk of {disk.capacity}")
        sheet.ask("size", lambda: check_size(disk, lun), lambda _: [fits])

    def mappings() -> Sequence[Mapping]:
        found = known(array.mappings_of(lun), left)
        if host:
            check_no_other_host_copies(lun, found, left, host)
        return found

    sheet.ask("mapping", mappings, judge_mappings)
    return lun


def look_at_source_array(looks: Looks, sheet: Sheet, ground: Ground, devices: Sequence[str]) -> None:
    """Look whether the array of the target is also that of the source: only then can it copy."""
    check = "same array"
    if not devices:
        sheet.skip("the source lies on no device that is known", check)
    elif not ground.array:
        sheet.skip("the array could not be asked", check)
    else:
        sheet.ask(
            check,
            lambda: [looks.array.find_device(device) for device in devices],
            judge_sources,
            mark_of_source,
        )
