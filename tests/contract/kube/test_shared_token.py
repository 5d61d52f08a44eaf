"""The token that runs share, against both Kubernetes APIs, with the populator's own token and rights."""

import base64
import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lease.kube.api import Api
from populator.address import Address
from populator.clock import Clock
from populator.shared_token import SECRET, SharedToken, key_of
from tests.lab.faults import Call, Ledger, proxy
from tests.lab.kube import Kube, path

ARRAY, USER, TOKEN = Address("10.0.0.1", 7443), "xcopy user", "eyJ.geheim"
GO_KEY = "flashsystem-token-10-0-0-1"
SEALED = {
    GO_KEY: base64.b64encode(b'{"token": "eyJ.of-go"}').decode(),
    "note": base64.b64encode(b"kept").decode(),
}


@dataclass
class World:
    """A lease namespace with the Secret that Forklift made, and the populator's way to it."""

    kube: Kube
    api: Api
    ledger: Ledger
    namespace: str

    def shared(self, vendor: str = "flashsystem", array: Address = ARRAY, user: str = USER) -> SharedToken:
        return SharedToken(self.api, self.namespace, vendor, array, user, Clock())

    @property
    def where(self) -> str:
        return path("secrets", self.namespace, SECRET)

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.kube.admin.get(self.where).get("data") or {})

    def put(self, **data: str) -> None:
        self.kube.edit(self.where, lambda it: it.update(data=(it.get("data") or {}) | data))

    @property
    def verbs(self) -> list[str]:
        return [call.label.split()[0] for call in self.ledger.calls]


@pytest.fixture
def world(kube: Kube, tmp_path: Path) -> Iterator[World]:
    namespace = f"mtv-{uuid.uuid4().hex[:8]}"
    kube.apply_rbac(f"vms-{namespace}", namespace)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": namespace}}
    kube.admin.create(path("secrets", namespace), secret)
    ledger = Ledger()
    contexts = kube.pki.server_context(f"proxy-{namespace}"), kube.client_context()
    with proxy("kubernetes", ("127.0.0.1", kube.port), ledger, *contexts) as port:
        token = kube.service_account_token(f"vms-{namespace}", "populator")
        yield World(
            kube, Api.connect(str(kube.kubeconfig(tmp_path, token=token, port=port))), ledger, namespace
        )


def test_what_a_run_writes_the_next_one_reads_and_all_else_stays(world: World) -> None:
    world.put(**SEALED)
    assert world.shared().read() == ""
    world.shared().write(TOKEN)
    assert world.shared().read() == TOKEN
    world.shared().write("eyJ.newer")
    assert world.shared().read() == "eyJ.newer"
    data = world.data
    assert data.pop(key_of("flashsystem", ARRAY, USER))
    assert data == SEALED
    assert set(world.verbs) == {"GET", "PUT"}


def test_what_is_written_has_a_date_for_people(world: World) -> None:
    world.shared().write(TOKEN)
    (value,) = world.data.values()
    content = json.loads(base64.b64decode(value))
    assert content["token"] == TOKEN
    assert content["updatedAt"].endswith("+00:00")


@pytest.mark.parametrize(
    "other",
    [
        {"user": "xcopy  user"},
        {"user": "XCOPY USER"},
        {"array": Address("10.0.0.1", 8443)},
        {"array": Address("10.0.0.10", 7443)},
        {"vendor": "other"},
    ],
)
def test_another_users_or_arrays_token_is_none_of_ours(world: World, other: dict[str, Any]) -> None:
    world.shared(**other).write("eyJ.other")
    assert world.shared().read() == ""
    world.shared().write(TOKEN)
    assert world.shared(**other).read() == "eyJ.other"


@pytest.mark.parametrize(
    "array", [Address("fs.example.com"), Address("2001:db8::1", 7443), Address("x" * 200)]
)
@pytest.mark.parametrize("user", ["a", "dömäne\\üser", "u" * 300, "with/slash and blank"])
def test_any_address_and_user_make_a_key(world: World, array: Address, user: str) -> None:
    world.shared(array=array, user=user).write(TOKEN)
    assert world.shared(array=array, user=user).read() == TOKEN


@pytest.mark.parametrize(
    "content",
    [b"", b"eyJ.bare", b"[]", b"{}", b'{"token": 5}', b'{"token": null}', b"\xff\xfe", b'"text"', b"{"],
)
def test_what_is_no_token_is_none(world: World, content: bytes) -> None:
    world.put(**{key_of("flashsystem", ARRAY, USER): base64.b64encode(content).decode()})
    assert world.shared().read() == ""
    world.shared().write(TOKEN)
    assert world.shared().read() == TOKEN


def test_what_others_write_at_the_same_moment_is_not_lost(world: World) -> None:
    def meanwhile(call: Call) -> None:
        if call.label.startswith("PUT") and not world.data.get("note"):
            world.put(**SEALED)

    world.ledger.reset(meanwhile)
    world.shared().write(TOKEN)
    assert world.shared().read() == TOKEN
    assert world.data.items() >= SEALED.items()
    assert world.verbs == ["GET", "PUT", "GET", "PUT", "GET"]


@pytest.mark.parametrize(
    ("verbs", "read"),
    [(["update", "patch"], ""), (["get", "patch"], ""), ([], ""), (["get", "update"], TOKEN)],
)
def test_just_get_and_update_are_needed_and_without_them_the_run_goes_on(
    world: World, verbs: list[str], read: str, caplog: pytest.LogCaptureFixture
) -> None:
    role = path("roles", world.namespace, "populator-lease")
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": verbs}
    world.kube.edit(role, lambda it: it.update(rules=[rule] if verbs else []))
    wait_for_rights(world, verbs)
    shared = world.shared()
    world.ledger.reset()
    with caplog.at_level(logging.DEBUG):
        shared.write(TOKEN)
        assert shared.read() == read
        shared.read()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == (not read)
    assert all(f"get and update the Secret {SECRET} in namespace {world.namespace}" in line for line in told)
    assert len(world.ledger.calls) <= 4
    assert TOKEN not in caplog.text


def wait_for_rights(world: World, verbs: list[str]) -> None:
    """Wait until the server judges by the role as it is now: a real one lags a little."""
    token = world.kube.service_account_token(f"vms-{world.namespace}", "populator")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": world.namespace},
    }
    client, deadline = world.kube.client(token), time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = client.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)
        rules = answer["status"]["resourceRules"]
        if sorted(
            verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]
        ) == sorted(verbs):
            return
    raise TimeoutError("the server does not come to the new role")


def test_a_secret_that_is_not_there_is_not_made(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.kube.admin.delete(world.where)
    shared = world.shared()
    shared.write(TOKEN)
    assert shared.read() == ""
    assert world.verbs == ["GET"]
    assert "Forklift makes it" in caplog.text


@pytest.mark.parametrize("fault", ["before", "hang", "5xx", "reset"])
def test_an_api_server_that_is_away_is_not_waited_for(
    world: World, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.ledger.reset(lambda _: fault)
    shared, began = world.shared(), time.monotonic()
    assert shared.read() == ""
    shared.write(TOKEN)
    assert time.monotonic() - began < 6
    assert len(world.ledger.calls) == 1
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert TOKEN not in caplog.text
