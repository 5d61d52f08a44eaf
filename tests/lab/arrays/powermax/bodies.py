"""Reading the bodies of changes, as strictly as Unisphere does."""

from collections.abc import Mapping
from typing import Any

from tests.lab.arrays.powermax.system import Failure

Record = dict[str, Any]
REMOTE = {"remoteSymmSGInfoParam": dict}


def check(body: Any, needed: Mapping[str, type], more: Mapping[str, type]) -> None:
    """Refuse a body that lacks a field, or has one that is not known, or of another type."""
    if not isinstance(body, dict):
        raise Failure(400, "The body is not a JSON object")
    for name, value in body.items():
        kind = {**needed, **more}.get(name)
        if kind is None or not isinstance(value, kind):
            raise Failure(400, f"Unrecognized field {name}, or not of its type")
    if missing := needed.keys() - body.keys():
        raise Failure(400, f"Missing field {min(missing)}")


def devices_of(body: Any) -> tuple[list[str], list[str]]:
    """Return the devices that a change of a storage group adds, and those that it removes."""
    check(body, {"editStorageGroupActionParam": dict}, {"executionOption": str})
    change = body["editStorageGroupActionParam"]
    if len(change) != 1:
        raise Failure(400, "A storage group is edited by exactly one action")
    if "removeVolumeParam" in change:
        check(change["removeVolumeParam"], {"volumeId": list}, REMOTE)
        return [], change["removeVolumeParam"]["volumeId"]
    check(change, {"expandStorageGroupParam": dict}, {})
    check(change["expandStorageGroupParam"], {"addSpecificVolumeParam": dict}, {})
    added = change["expandStorageGroupParam"]["addSpecificVolumeParam"]
    check(added, {"volumeId": list}, REMOTE)
    return added["volumeId"], []


def read_view(body: Any) -> tuple[str, str, bool, str, str, int | None]:
    """Return a masking view's name, its host, whether that is a group of hosts, port group, storage group, LUN id."""
    selections = {"hostOrHostGroupSelection": dict, "portGroupSelection": dict, "storageGroupSelection": dict}
    more = {"executionOption": str, "enableComplianceAlerts": bool, "starting_lun_address": int}
    check(body, {"maskingViewId": str, **selections}, more)
    hosts = body["hostOrHostGroupSelection"]
    of_hosts = "useExistingHostGroupParam" in hosts
    kind = ("useExistingHostGroupParam", "hostGroupId") if of_hosts else ("useExistingHostParam", "hostId")
    return (
        body["maskingViewId"],
        _chosen(hosts, *kind),
        of_hosts,
        _chosen(body["portGroupSelection"], "useExistingPortGroupParam", "portGroupId"),
        _chosen(body["storageGroupSelection"], "useExistingStorageGroupParam", "storageGroupId"),
        body.get("starting_lun_address"),
    )


def _chosen(selection: Record, kind: str, field: str) -> str:
    check(selection, {kind: dict}, {})
    check(selection[kind], {field: str}, {})
    return str(selection[kind][field])
