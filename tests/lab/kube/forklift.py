"""Forklift's VSphereXcopyVolumePopulator: its definition for a real API server, and objects as Forklift makes them.

What its spec and status hold is from Forklift's definition; everything in the status is a text, and may be missing.
"""

import time
from collections.abc import Mapping
from typing import Any

from tests.lab.kube.client import Client, Refused
from tests.lab.kube.resources import FORKLIFT, RESOURCES, path

POPULATORS = RESOURCES["vspherexcopyvolumepopulators"]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC = ("vmId", "vmdkPath", "secretName", "storageVendorProduct")
SERVED_WITHIN = 20.0


def serve_populators(admin: Client) -> None:
    """Have the API server serve these objects, and wait until it does; may be repeated."""
    try:
        admin.create(DEFINITIONS, definition())
    except Refused as refused:
        if refused.status not in {404, 409}:  # the simulated server serves them from the start
            raise
    deadline = time.monotonic() + SERVED_WITHIN
    while not _served(admin):
        if time.monotonic() > deadline:
            raise TimeoutError("the VSphereXcopyVolumePopulators are not served")
        time.sleep(0.05)


def populator(
    name: str, namespace: str, disk: str, owner: tuple[str, str] | None = None, **status: str
) -> dict[str, Any]:
    """Return an object for a disk; `owner` is name and UID of the PVC, where Forklift has noted them."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {"vmID": "vm-62"}}
    if owner:
        pvc = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": owner[0], "uid": owner[1]}
        metadata["ownerReferences"] = [pvc]
    spec = {"vmId": "vm-62", "vmdkPath": disk, "secretName": "copy-offload", "storageVendorProduct": "ontap"}
    made = {"apiVersion": POPULATORS.api_version, "kind": POPULATORS.kind, "metadata": metadata, "spec": spec}
    return made | ({"status": status} if status else {})


def set_status(admin: Client, name: str, namespace: str, status: Mapping[str, str]) -> None:
    """Write what Forklift's controller has read from the metrics page."""
    where = path(POPULATORS.plural, namespace, name)
    admin.change(where, lambda it: it.setdefault("status", {}).update(status))


def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    text = {"type": "string"}
    status = {"type": "object", "additionalProperties": text}
    spec = {
        "type": "object",
        "properties": dict.fromkeys((*SPEC, "migrationHost"), text),
        "required": list(SPEC),
    }
    schema = {"type": "object", "properties": {"spec": spec, "status": status}, "required": ["spec"]}
    version = {"name": POPULATORS.version, "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{POPULATORS.plural}.{FORKLIFT}"},
        "spec": {
            "group": FORKLIFT,
            "scope": "Namespaced",
            "names": {
                "kind": POPULATORS.kind,
                "listKind": f"{POPULATORS.kind}List",
                "plural": POPULATORS.plural,
                "singular": POPULATORS.kind.lower(),
            },
            "versions": [version | {"schema": {"openAPIV3Schema": schema}}],
        },
    }


def _served(admin: Client) -> bool:
    try:
        admin.list(path(POPULATORS.plural))
    except Refused:
        return False
    return True
