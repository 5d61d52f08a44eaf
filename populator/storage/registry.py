"""Which vendors there are, and which of them are built: one explicit table.

Importing this costs nothing; a vendor's driver is imported when it is chosen.
"""

from collections.abc import Mapping
from importlib import import_module

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.array import StorageArray

VENDORS = (
    "flashsystem",
    "infinibox",
    "ontap",
    "powerflex",
    "powermax",
    "powerstore",
    "primera3par",
    "pureFlashArray",
    "vantara",
)
"""the names that Forklift uses"""

BUILT: Mapping[str, str] = {"ontap": "populator.storage.vendors.ontap.array"}
"""vendor -> module with `connect(access, clock)`"""


def connect(vendor: str, access: Access, clock: Clock) -> StorageArray:
    """Return the vendor's driver; nothing is sent to the array before its first use."""
    if vendor not in BUILT:
        known = (
            "is known, but its driver is not built yet" if vendor in VENDORS else "is not a storage vendor"
        )
        raise StorageError(
            f"The storage vendor {vendor!r} {known}.", f"Built are: {', '.join(sorted(BUILT))}."
        )
    array: StorageArray = import_module(BUILT[vendor]).connect(access, clock)
    return array
