"""Who copies a disk."""

import pytest

from populator.plan.method import Method, decide_method
from vsphere.model import DiskKind

VVOL, RDM, VMDK = DiskKind.VVOL, DiskKind.RDM, DiskKind.VMDK


@pytest.mark.parametrize(
    ("kind", "can", "by_host", "decided"),
    [
        (VMDK, {VVOL, RDM}, set(), Method(by_array=False, reason="")),
        (VMDK, set(), {VVOL, RDM}, Method(by_array=False, reason="")),
        (VVOL, {VVOL}, set(), Method(by_array=True, reason="the disk is a vVol, which Array 9 can copy")),
        (
            RDM,
            {RDM},
            {VVOL},
            Method(by_array=True, reason="the disk is a raw device mapping, which Array 9 can copy"),
        ),
        (VVOL, {RDM}, set(), Method(by_array=False, reason="Array 9 is not known to copy a vVol safely")),
        (
            RDM,
            set(),
            set(),
            Method(by_array=False, reason="Array 9 is not known to copy a raw device mapping safely"),
        ),
        (VVOL, {VVOL}, {VVOL}, Method(by_array=False, reason="DISABLE_VVOL_METHOD is set")),
        (RDM, {RDM}, {RDM}, Method(by_array=False, reason="DISABLE_RDM_METHOD is set")),
    ],
)
def test_decide_method(kind: DiskKind, can: set[DiskKind], by_host: set[DiskKind], decided: Method) -> None:
    assert decide_method(kind, "Array 9", can, by_host) == decided
