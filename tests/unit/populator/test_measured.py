import json

import pytest

from populator.plan.forecast import MIB
from populator.plan.measured import Measured, parse_measured, rate_of

DONE = {"phase": "end", "reason": "Succeeded", "bytes": str(100 * MIB), "seconds": "2.0"}
FAILED = {"phase": "clone", "reason": "CloneFailed", "text": "It failed."}


def pod(message: str) -> dict[str, object]:
    """Return a pod that has ended, as `oc get pods -o json` shows it."""
    ended = {"exitCode": 0, "reason": "Completed", "message": message}
    return {
        "kind": "Pod",
        "metadata": {},
        "status": {"containerStatuses": [{"state": {"terminated": ended}}]},
    }


def test_pods_are_read_by_what_they_said_at_their_end() -> None:
    messages = [json.dumps(DONE), json.dumps(FAILED), "killed", "{half", ""]
    pods = {"kind": "List", "items": [pod(message) for message in messages]}
    assert parse_measured(json.dumps(pods)) == [Measured(100 * MIB, 2.0)]


def test_messages_are_read_one_behind_the_other() -> None:
    assert (
        parse_measured(f"{json.dumps(DONE)}\n{json.dumps(FAILED)} {json.dumps(DONE)}")
        == [Measured(100 * MIB, 2.0)] * 2
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes: 3",
        json.dumps(FAILED),
        json.dumps(DONE | {"seconds": "0.0"}),
        json.dumps(DONE | {"bytes": "inf"}),
        "[]",
    ],
)
def test_a_file_without_a_copy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it"):
        parse_measured(text)


def test_a_large_copy_counts_for_more() -> None:
    assert rate_of([Measured(900 * MIB, 9.0), Measured(100 * MIB, 11.0)]) == 50
