"""Records of slots, as holders leave them, for those who judge what they see."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from lease.record import JOURNAL, Record, micro_time, parse_record

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    """Return a date that many seconds before NOW, as a Lease has it."""
    return micro_time(NOW - timedelta(seconds=seconds))


def record(name: str, *, version: str = "7", journal: Any = None, **spec: Any) -> Record:
    """Return the record of that name."""
    metadata = {"name": name, "resourceVersion": version}
    annotations = {JOURNAL: journal if isinstance(journal, str) else json.dumps(journal or {})}
    return parse_record({"metadata": {**metadata, "annotations": annotations}, "spec": spec})


def held(name: str, since: float, renewed: float, holder: str = "populate-1_0a1b2c3d", **more: Any) -> Record:
    """Return the record of a slot that is held."""
    spec = {"acquireTime": ago(since), "renewTime": ago(renewed), "leaseDurationSeconds": 10}
    return record(name, holderIdentity=holder, **{**spec, **more})
