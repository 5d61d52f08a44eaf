"""Objects as the rows of a Table, which is how kubectl and oc ask for what they print.

The columns are those of the real server's printers; kinds that are not here are not told as a Table, and kubectl then
makes one of names and ages by itself.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from populator.cli.slot_table import age

Json = dict[str, Any]

MEDIA_TYPE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
UNSET = "<unset>"
Cell = Callable[[Json], str]


def _age(item: Json) -> str:
    return (
        age(datetime.fromisoformat(item["metadata"]["creationTimestamp"]), datetime.now(UTC)) or "<unknown>"
    )


def _name(item: Json) -> str:
    return str(item["metadata"]["name"])


def _status(item: Json) -> str:
    gone = "Terminating" if item["metadata"].get("deletionTimestamp") else ""
    return gone or str(item.get("status", {}).get("phase", ""))


def _spec(field: str, missing: str = "") -> Cell:
    return lambda item: str(item["spec"].get(field, missing))


def _claim_of(item: Json) -> str:
    claim = item["spec"].get("claimRef")
    return f"{claim.get('namespace')}/{claim.get('name')}" if claim else ""


def _modes(item: Json) -> str:
    return ",".join(MODES.get(mode, mode) for mode in item["spec"].get("accessModes", []))


def _bound(value: Cell) -> Cell:
    """Tell of a claim what only a bound one has."""
    return lambda item: value(item) if item["spec"].get("volumeName") else ""


COLUMNS: dict[str, tuple[tuple[str, Cell], ...]] = {
    "Lease": (("Name", _name), ("Holder", _spec("holderIdentity")), ("Age", _age)),
    "Namespace": (("Name", _name), ("Status", _status), ("Age", _age)),
    "PersistentVolumeClaim": (
        ("Name", _name),
        ("Status", _status),
        ("Volume", _spec("volumeName")),
        (
            "Capacity",
            _bound(lambda item: str(item.get("status", {}).get("capacity", {}).get("storage", "0"))),
        ),
        ("Access Modes", _bound(_modes)),
        ("StorageClass", _spec("storageClassName")),
        ("VolumeAttributesClass", _spec("volumeAttributesClassName", UNSET)),
        ("Age", _age),
        ("VolumeMode", _spec("volumeMode", UNSET)),
    ),
    "PersistentVolume": (
        ("Name", _name),
        ("Capacity", lambda item: str(item["spec"].get("capacity", {}).get("storage", ""))),
        ("Access Modes", _modes),
        ("Reclaim Policy", _spec("persistentVolumeReclaimPolicy")),
        ("Status", _status),
        ("Claim", _claim_of),
        ("StorageClass", _spec("storageClassName")),
        ("VolumeAttributesClass", _spec("volumeAttributesClassName", UNSET)),
        ("Reason", lambda item: str(item.get("status", {}).get("reason", ""))),
        ("Age", _age),
        ("VolumeMode", _spec("volumeMode", UNSET)),
    ),
}
WIDE = {"VolumeMode"}
"""shown with `-o wide` only"""


def wanted(accept: str | None, kind: str) -> bool:
    """Return whether a client would rather have a Table, and there is one for this kind."""
    first = (accept or "").split(",", maxsplit=1)[0].replace(" ", "")
    return first == MEDIA_TYPE and kind in COLUMNS


def table(kind: str, items: Iterable[Json], metadata: Json, *, headed: bool = True) -> Json:
    """Return objects as a Table; in a watch just the first one is `headed`."""
    columns = COLUMNS[kind]
    heads = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", "description": name}
        | {"priority": int(name in WIDE)}
        for name, _ in columns
    ]
    rows = [
        {
            "cells": [value(item) for _, value in columns],
            "object": {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": item["metadata"],
            },
        }
        for item in items
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": heads if headed else [],
        "rows": rows,
    }
