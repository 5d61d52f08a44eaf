"""The datastores under a disk: whether vmkfstools can copy from there, and which hosts have them mounted.

Pure, over what vCenter reports.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from vsphere.errors import VsphereError
from vsphere.model import Link
from vsphere.paths import parse_vmdk
from vsphere.vcenter.properties import Properties, id_of

PATHS = ("name", "summary.type", "info", "host")
COPYABLE = frozenset({"VMFS", "VVOL"})
"""types of datastores with blocks of an array behind them; vmkfstools also keeps its mapping file beside the source"""
TITLES = {"NFS41": "NFS 4.1", "VSAN": "vSAN", "PMEM": "persistent memory"}


def stores_of(links: Sequence[Link], stores: Mapping[str, Properties]) -> tuple[Properties, ...]:
    """Return the datastore of each link; raise where there is one that cannot be copied from."""
    found = tuple(_store_of(link, stores) for link in links)
    for link, store in zip(links, found, strict=True):
        _check_type(link, store)
    return found


def mounted_on(store: Properties) -> list[str]:
    """Return the ids of the hosts that can use a datastore now."""
    return [
        id_of(mount.key)
        for mount in store.get("host", [])
        if mount.mountInfo.accessible is not False and mount.mountInfo.mounted is not False
    ]


def known_to(store: Properties) -> list[str]:
    """Return the ids of the hosts that have a datastore, whether they can use it now or not."""
    return [id_of(mount.key) for mount in store.get("host", [])]


def device_of(store: Properties) -> str:
    """Return the canonical name of a VMFS datastore's first extent; empty where it has none."""
    extents: Any = getattr(getattr(store.get("info"), "vmfs", None), "extent", None)
    return str(extents[0].diskName) if extents else ""


def _store_of(link: Link, stores: Mapping[str, Properties]) -> Properties:
    """Find a link's datastore by its id, else by the name in the link's path."""
    if link.datastore in stores:
        return stores[link.datastore]
    name = parse_vmdk(link.path).datastore
    for store in stores.values():
        if name in {store.get("name", ""), unquote(store.get("name", ""))}:
            return store
    raise VsphereError(
        f"vCenter does not show the VM's datastore {name!r}.", "Let the vCenter user read the datastore."
    )


def _check_type(link: Link, store: Properties) -> None:
    kind = str(store.get("summary.type", "")).upper()
    if kind not in COPYABLE:
        raise VsphereError(
            f"{link.path!r} lies on a datastore of type {TITLES.get(kind, kind or 'unknown')}, from which no array can "
            "copy by XCOPY.",
            "Move the disk onto a VMFS datastore of the target volume's array (Storage vMotion), or migrate it without "
            "copy offload.",
        )
