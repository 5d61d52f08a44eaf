"""The table of storage vendors, and the check of a volume's CSI driver by it."""

import pytest

from populator.errors import StorageError
from populator.storage.array import Volume
from populator.storage.registry import VENDORS, check_driver

FORKLIFTS = {
    "flashsystem",
    "infinibox",
    "ontap",
    "powerflex",
    "powermax",
    "powerstore",
    "primera3par",
    "pureFlashArray",
    "vantara",
}


def volume(driver: str) -> Volume:
    return Volume("pv-1", driver, "handle")


def test_there_is_a_row_for_each_vendor_that_forklift_names() -> None:
    assert set(VENDORS) == FORKLIFTS


def test_no_setting_and_no_csi_driver_belongs_to_two_vendors() -> None:
    drivers = [driver for vendor in VENDORS.values() for driver in vendor.csi_drivers]
    options = [option.variable for vendor in VENDORS.values() for option in vendor.options]
    assert len(set(drivers)) == len(drivers) >= len(VENDORS)
    assert len(set(options)) == len(options)


def test_every_setting_is_explained_by_a_sentence() -> None:
    for vendor in VENDORS.values():
        for option in vendor.options:
            assert option.help[0].isupper()
            assert option.help.endswith(".")


@pytest.mark.parametrize(
    ("vendor", "driver"),
    [
        ("ontap", "csi.trident.netapp.io"),
        ("pureFlashArray", "pxd.portworx.com"),
        ("pureFlashArray", "pure-csi"),
    ],
)
def test_the_vendors_own_csi_drivers_are_accepted(vendor: str, driver: str) -> None:
    check_driver(volume(driver), vendor)


@pytest.mark.parametrize("driver", ["pxd.portworx.com", "rook-ceph.rbd.csi.ceph.com", ""])
def test_a_volume_of_another_csi_driver_is_refused(driver: str) -> None:
    with pytest.raises(StorageError) as caught:
        check_driver(volume(driver), "ontap")
    assert f"pv-1 was made by the CSI driver {driver!r}" in caught.value.text
    assert "csi.trident.netapp.io" in caught.value.hint
