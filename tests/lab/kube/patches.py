"""Patches: JSON Patch, merge patch, and as much of a strategic merge patch as objects without merge keys need.

A strategic merge of lists by key (`ownerReferences`, containers) is left out: such lists are replaced. Server-side
apply is refused, as by a server that does not know it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonpatch

from tests.lab.kube.statuses import Refusal, bad_request, unsupported

Json = dict[str, Any]


def merge(patch: Any, target: Any) -> Any:
    """Return the target as a JSON merge patch (RFC 7386) leaves it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(value, result.get(name))
    return result


def operations(patch: Any, target: Any) -> Any:
    """Return the target as a JSON Patch (RFC 6902) leaves it."""
    return jsonpatch.apply_patch(target, patch)


KINDS: Mapping[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": operations,
    "application/merge-patch+json": merge,
    "application/strategic-merge-patch+json": merge,
}


def patched(media_type: str, body: bytes, target: Json) -> Json:
    """Return an object with a patch applied; raises as the server refuses."""
    apply = KINDS.get(media_type)
    if apply is None:
        raise unsupported(*KINDS)
    try:
        result = apply(json.loads(body), target)
    except jsonpatch.JsonPatchException as error:
        why = f"the server rejected our request due to an error in our request: {error}"
        raise Refusal(422, "Invalid", why) from error
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result
