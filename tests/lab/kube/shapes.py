"""What the objects must look like: decoding, defaults and validation as the real API server does them.

Only Leases, PVCs and PVs are looked into, as far as our clients write them; other kinds are kept as they come.
"""

import re
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from tests.lab.kube.resources import Resource
from tests.lab.kube.statuses import invalid, unreadable

Json = dict[str, Any]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
LEASE_SPEC = {
    "holderIdentity": "string",
    "leaseDurationSeconds": "int32",
    "acquireTime": "time",
    "renewTime": "time",
    "leaseTransitions": "int32",
}
"""alpha fields (strategy, preferredHolder) are dropped, as a real server with default features does"""
PV_SOURCES = {"csi", "nfs", "iscsi", "fc", "hostPath", "local"}


def decode(resource: Resource, given: Any) -> Json:
    """Return the object in canonical form; raise where its JSON does not fit the kind."""
    body: Json = without_nulls(given) or {}
    kind, version = body.get("kind", resource.kind), body.get("apiVersion", resource.api_version)
    if (kind, version) != (resource.kind, resource.api_version):
        raise unreadable(
            resource,
            f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"',
        )
    metadata = body.setdefault("metadata", {})
    for field in ("labels", "annotations"):
        for value in metadata.get(field, {}).values():
            _require(resource, value, f"ObjectMeta.metadata.{field}", "string")
    if resource.kind == "Lease":
        body["spec"] = _lease_spec(resource, body.get("spec", {}))
    return {"kind": resource.kind, "apiVersion": resource.api_version} | body


def validate(resource: Resource, body: Json) -> None:
    """Raise where a field has a value that is not allowed."""
    name = body["metadata"].get("name", "")
    if not name:
        raise invalid(resource, "", "metadata.name", "Required value: name or generateName is required")
    if not NAME.fullmatch(name) and not resource.group.startswith("rbac"):
        raise invalid(resource, name, "metadata.name", f'Invalid value: "{name}": {NAME_RULE}')
    check = {
        "Lease": _validate_lease,
        "PersistentVolume": _validate_pv,
        "PersistentVolumeClaim": _validate_pvc,
    }
    if resource.kind in check:
        check[resource.kind](resource, name, body.get("spec", {}))


def with_defaults(resource: Resource, body: Json) -> Json:
    """Return a new object as it is stored at its creation."""
    body = deepcopy(body)
    if resource.kind in {"PersistentVolume", "PersistentVolumeClaim"}:
        body["status"] = {"phase": "Pending"}
        body["spec"].setdefault("volumeMode", "Filesystem")
    if resource.kind == "Namespace":
        body |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"]["name"]
    return body


def without_nulls(value: Any) -> Any:
    """Return JSON without null members: null means absent, but an empty string within labels and the like."""
    if isinstance(value, dict):
        return {
            key: (
                {k: "" if v is None else v for k, v in item.items()}
                if key in _MAPS and item
                else without_nulls(item)
            )
            for key, item in value.items()
            if item is not None
        }
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


_MAPS = {"labels", "annotations", "volumeAttributes"}
_GO = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def _require(resource: Resource, value: Any, where: str, go_type: str) -> None:
    right = type(value) is int and abs(value) < 2**31 if go_type == "int32" else isinstance(value, str)
    if not right:
        given = _GO[type(value)]
        if go_type == "int32" and given == "number":
            given += f" {value}"
        raise unreadable(
            resource, f"json: cannot unmarshal {given} into Go struct field {where} of type {go_type}"
        )


def _lease_spec(resource: Resource, given: Json) -> Json:
    spec = {field: given[field] for field in LEASE_SPEC if field in given}
    for field, value in spec.items():
        _require(resource, value, f"LeaseSpec.spec.{field}", LEASE_SPEC[field].replace("time", "string"))
        if LEASE_SPEC[field] == "time":
            spec[field] = _micro_time(resource, value)
    return spec


def _micro_time(resource: Resource, text: str) -> str:
    """Return a time in UTC: exactly six decimals are understood, no more and no fewer."""
    try:
        if not MICRO_TIME.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError as error:
        raise unreadable(resource, f'parsing time "{text}" as "2006-01-02T15:04:05.000000Z07:00"') from error


def _validate_lease(resource: Resource, name: str, spec: Json) -> None:
    if (seconds := spec.get("leaseDurationSeconds", 1)) <= 0:
        field, why = "spec.leaseDurationSeconds", "must be greater than 0"
        raise invalid(resource, name, field, f"Invalid value: {seconds}: {why}")
    if (count := spec.get("leaseTransitions", 0)) < 0:
        field, why = "spec.leaseTransitions", "must be greater than or equal to 0"
        raise invalid(resource, name, field, f"Invalid value: {count}: {why}")


def _validate_pv(resource: Resource, name: str, spec: Json) -> None:
    if not PV_SOURCES & spec.keys():
        raise invalid(resource, name, "spec", "Required value: must specify a volume type")
    if "csi" in spec and not spec["csi"].get("volumeHandle"):
        raise invalid(resource, name, "spec.csi.volumeHandle", "Required value")


def _validate_pvc(resource: Resource, name: str, spec: Json) -> None:
    if not spec.get("accessModes"):
        why = "Required value: at least 1 access mode is required"
        raise invalid(resource, name, "spec.accessModes", why)
