"""Runs on a FlashSystem share the token of one session by the Secret that Forklift makes, and do without it."""

from collections.abc import Iterator

import pytest

from populator.shared_token import SECRET
from tests.lab.kube import path
from tests.lab.lab import LEASE_NAMESPACE, Lab

pytestmark = pytest.mark.arrays("flashsystem")


@pytest.fixture
def secret(lab: Lab) -> Iterator[str]:
    """The Secret's path, while it is there."""
    where = path("secrets", LEASE_NAMESPACE, SECRET)
    metadata = {"name": SECRET, "namespace": LEASE_NAMESPACE}
    lab.kube.admin.create(
        path("secrets", LEASE_NAMESPACE), {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    )
    yield where
    lab.kube.admin.delete(where)


def run(lab: Lab) -> str:
    target = lab.add_target()
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.array.access.password not in program.text()
    return program.text()


def log_ins(lab: Lab) -> int:
    return sum(call.label.endswith("/rest/v1/auth") for call in lab.ledger.of("array"))


def test_the_second_run_makes_no_log_in_until_the_token_expires(lab: Lab, secret: str) -> None:
    run(lab)
    assert log_ins(lab) == 1
    run(lab)
    assert log_ins(lab) == 1
    lab.array.expire_sessions()
    run(lab)
    run(lab)
    assert log_ins(lab) == 2
    assert len(lab.kube.admin.get(secret)["data"]) == 1


def test_without_the_secret_each_run_has_a_token_of_its_own_and_says_so(lab: Lab) -> None:
    texts = [run(lab) for _ in range(2)]
    assert log_ins(lab) == 2
    assert all(f"get and update the Secret {SECRET}" in text for text in texts)
