"""Which devices are extents of datastores, in all of a vCenter."""

from vsphere.vcenter.properties import below
from vsphere.vcenter.session import Session


def datastore_extents(session: Session) -> dict[str, str]:
    """Return the name of the VMFS datastore on each device (`naa.…`) that is an extent of one."""
    found = below(session, session.content.rootFolder, "Datastore", ("name", "info"))
    return {
        extent.diskName: str(store.get("name", moid))
        for moid, store in found.items()
        for extent in getattr(getattr(store.get("info"), "vmfs", None), "extent", None) or ()
    }
