"""From a PVC to its volume, through both Kubernetes APIs, with the populator's own token and rights."""

import math
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from lease.kube.api import READY_PATH, Api
from lease.kube.errors import BELIEVED_FROM_STARTING
from populator.clock import Clock
from populator.errors import Cancelled, VolumeError
from populator.plan.volume import WATCH_SECONDS, Binding, Claim
from populator.storage.array import Volume
from tests.lab.faults import Call, Ledger, nth, proxy
from tests.lab.kube import POPULATED_FROM, Kube, path
from tests.lab.kube.client import Json

READY = f"GET {READY_PATH}"
ATTRIBUTES = {"internalName": "trident_pvc_1"}


class Fast(Clock):
    """A clock on which five minutes pass in under a second; remote calls take their real time."""

    def now(self) -> float:
        return super().now() * 500


class Quick(Clock):
    """A clock on which seconds pass in a fraction of them; remote calls take their real time."""

    def now(self) -> float:
        return super().now() * 4


@dataclass
class World:
    """A namespace with one PVC, as Forklift leaves it, and the populator's way to it."""

    kube: Kube
    api: Api
    ledger: Ledger
    namespace: str
    name: str = ""
    uid: str = ""
    clock: Clock = field(default_factory=Clock)

    def add_volume(self, *, bound: bool = True, csi: bool = True, mode: str = "Block") -> None:
        self.name = f"disk-{uuid.uuid4().hex[:8]}"
        self.uid = self.kube.add_volume(
            self.name, self.namespace, "handle-1", ATTRIBUTES, bound=bound, csi=csi, mode=mode
        )

    @property
    def claim(self) -> Claim:
        return Claim(self.api, self.namespace, self.name, self.uid, self.clock)

    def find(self) -> Volume:
        return self.claim.find().volume

    def fails(self) -> VolumeError:
        with pytest.raises(VolumeError) as caught:
            self.find()
        return caught.value

    def fails_within(self, seconds: float) -> VolumeError:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.find()
            except VolumeError as error:
                return error
            time.sleep(0.02)
        raise AssertionError("it never failed")

    @property
    def owner(self) -> str:
        return path("persistentvolumeclaims", self.namespace, self.name)

    @property
    def prime(self) -> str:
        return path("persistentvolumeclaims", self.namespace, f"prime-{self.uid}")

    @property
    def pv(self) -> str:
        return f"pv-{self.name}"

    def bind(self) -> None:
        self.kube.bind_prime(self.name, self.namespace)

    def bind_directly(self) -> None:
        """Bind the PVC itself, as for a volume that no populator was asked to fill."""
        self.kube.bind(self.name, self.namespace, self.pv)
        self.kube.admin.delete(self.prime)

    def when_watching(self, act: Callable[[], object]) -> "Later":
        """Do something a moment after the populator has begun to watch."""
        return Later(self.ledger, act)


class Later:
    """Acts in a thread once a watch of ours has begun; `done` is the moment just before."""

    def __init__(self, ledger: Ledger, act: Callable[[], object]) -> None:
        self.done = math.inf
        self._ledger, self._act = ledger, act
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        deadline = time.monotonic() + 20
        while not any(is_watch(call) for call in self._ledger.calls) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # so that it is the watch, not its beginning, that tells of what is done now
        self.done = time.monotonic()
        self._act()

    def __enter__(self) -> "Later":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def is_watch(call: Call) -> bool:
    return call.label.endswith("/persistentvolumeclaims")


@pytest.fixture
def world(kube: Kube, tmp_path: Path) -> Iterator[World]:
    namespace = f"vms-{uuid.uuid4().hex[:8]}"
    kube.apply_rbac(namespace, "openshift-mtv")
    token = kube.service_account_token(namespace, "populator")
    ledger, pki = Ledger(), kube.pki
    contexts = pki.server_context(f"proxy-{namespace}"), kube.client_context()
    with proxy("kubernetes", ("127.0.0.1", kube.port), ledger, *contexts) as port:
        file = kube.kubeconfig(tmp_path, token=token, port=port)
        world = World(kube, Api.connect(str(file)), ledger, namespace)
        world.add_volume()
        yield world


def test_the_prime_pvcs_volume_is_found_with_three_calls(world: World) -> None:
    assert world.find() == Volume(world.pv, "csi.trident.netapp.io", "handle-1", ATTRIBUTES)
    assert [call.label for call in world.ledger.calls] == [
        f"GET {world.owner}",
        f"GET {world.prime}",
        f"GET {path('persistentvolumes', name=world.pv)}",
    ]


def test_a_bound_pvc_needs_no_prime(world: World) -> None:
    world.bind_directly()
    assert world.find().handle == "handle-1"
    assert len(world.ledger.calls) == 2


def test_attributes_may_be_missing(world: World) -> None:
    where = path("persistentvolumes", name=world.pv)
    body = world.kube.admin.get(where)
    world.kube.admin.delete(where)
    del body["spec"]["csi"]["volumeAttributes"], body["metadata"]["resourceVersion"]
    world.kube.admin.create(path("persistentvolumes"), body)  # with the claimRef that it had
    assert world.find() == Volume(world.pv, "csi.trident.netapp.io", "handle-1", {})


def test_annotations_of_the_pvc_and_its_prime_come_with_the_volume(world: World) -> None:
    """They name LUNs that a CSI driver was told to import."""
    notes = {"portworx.io/pure-volume-name": "old-lun"}
    world.kube.edit(world.owner, lambda it: it["metadata"].update(annotations=notes))
    world.kube.edit(world.prime, lambda it: it["metadata"].update(annotations={"prime": "1"}))
    assert world.find().annotations == notes | {"prime": "1"}
    before = world.claim.find()
    world.kube.edit(world.prime, lambda it: it["metadata"].update(annotations={"bind-completed": "yes"}))
    world.claim.check_unchanged(before)


def test_a_prime_pvc_bound_late_wakes_us_at_once(world: World) -> None:
    world.add_volume(bound=False)
    with world.when_watching(world.bind) as later:
        assert world.find().handle == "handle-1"
        assert time.monotonic() - later.done < WATCH_SECONDS / 2, "woken by the watch, not by its end"
    assert len(world.ledger.calls) == 4


def test_a_prime_pvc_may_appear_late_and_be_bound_later(world: World) -> None:
    world.add_volume(bound=False)
    claim = world.kube.admin.get(world.prime)
    world.kube.admin.delete(world.prime)
    del claim["metadata"]["resourceVersion"]

    def make_and_bind() -> None:
        world.kube.admin.create(path("persistentvolumeclaims", world.namespace), claim)
        world.bind()

    with world.when_watching(make_and_bind) as later:
        assert world.find().handle == "handle-1"
        assert time.monotonic() - later.done < WATCH_SECONDS / 2, "woken by the watch, not by its end"
    assert len(world.ledger.calls) == 4


def test_a_watch_that_breaks_off_is_begun_again(world: World) -> None:
    world.add_volume(bound=False)
    begun: list[Call] = []

    def break_first(call: Call) -> str | None:
        begun.extend([call] if is_watch(call) else [])
        return "before" if begun == [call] else None

    world.ledger.reset(break_first)
    with world.when_watching(world.bind):
        assert world.find().handle == "handle-1"
    assert len(begun) <= 3


@pytest.mark.parametrize("fault", ["before", "after", "reset", "5xx"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_read_that_fails_once_is_made_again(world: World, fault: str, number: int) -> None:
    world.ledger.reset(nth(number, fault))
    assert world.find().handle == "handle-1"
    assert len(world.ledger.calls) == 4


def test_a_server_that_never_answers_is_asked_for_a_short_time_only(world: World) -> None:
    world.add_volume()
    world.ledger.reset(lambda call: "before")
    world.fails()
    assert 2 < len(world.ledger.calls) < 10
    world.ledger.reset(lambda call: None if call.number == 1 else "before" if call.number < 7 else None)
    world.find()  # one that has answered gets more


def test_a_stop_ends_the_waiting_at_once(world: World) -> None:
    world.add_volume(bound=False)
    before = signal.signal(signal.SIGUSR1, lambda *_: world.clock.stop())
    try:
        with world.when_watching(lambda: os.kill(os.getpid(), signal.SIGUSR1)) as later:
            with pytest.raises(Cancelled):
                world.find()
            assert time.monotonic() - later.done < 2
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("exists", "says"), [(True, "is not bound after 300 s"), (False, "has not appeared after 300 s")]
)
def test_there_is_an_end_to_waiting(world: World, exists: bool, says: str) -> None:
    world.add_volume(bound=False)
    if not exists:
        world.kube.admin.delete(world.prime)
    # Watches last a minute of real time, so they fail here: what is known comes from the first look.
    world.ledger.reset(lambda call: "5xx" if is_watch(call) else None)
    world.clock = Fast()
    error = world.fails()
    assert f"prime-{world.uid}" in error.text
    assert says in error.text
    assert f"oc describe pvc prime-{world.uid} -n {world.namespace}" in error.hint


def test_pvc_not_found(world: World) -> None:
    world.kube.admin.delete(world.owner)
    error = world.fails()
    assert f"no PersistentVolumeClaim {world.name} in namespace {world.namespace}" in error.text
    assert f"oc get pvc -n {world.namespace}" in error.hint


def test_a_pvc_made_again_under_the_same_name_is_another_one(world: World) -> None:
    claim = world.kube.admin.get(world.owner)
    world.kube.admin.delete(world.owner)
    del claim["metadata"]["resourceVersion"]
    new = world.kube.admin.create(path("persistentvolumeclaims", world.namespace), claim)
    error = world.fails()
    assert world.uid in error.text
    assert new["metadata"]["uid"] in error.text
    assert len(world.ledger.calls) == 1


def test_pv_not_found(world: World) -> None:
    world.kube.admin.delete(path("persistentvolumes", name=world.pv))
    assert f"no PersistentVolume {world.pv}" in world.fails().text


def test_pv_without_csi(world: World) -> None:
    world.add_volume(csi=False)
    error = world.fails()
    assert f"PersistentVolume {world.pv} was not made by a CSI driver" in error.text
    assert "storage class" in error.hint


@pytest.mark.parametrize(
    ("plural", "name", "what"),
    [
        ("rolebindings", "populator", "persistentvolumeclaims"),
        ("clusterrolebindings", "populator.{}", "persistentvolumes"),
    ],
)
def test_a_missing_right_is_named_with_the_command_that_gives_it(
    world: World,
    plural: str,
    name: str,
    what: str,
) -> None:
    world.find()
    world.clock = Fast()  # a first refusal is asked again before it is believed
    where = path(plural, world.namespace if plural == "rolebindings" else None, name.format(world.namespace))
    world.kube.admin.delete(where)
    error = world.fails_within(10)  # a real server takes a moment to see it
    assert what in error.text
    assert "forbidden" in error.text
    assert f"--resource={what}" in error.hint
    assert f"--serviceaccount={world.namespace}:populator" in error.hint


@pytest.mark.parametrize("first", [1, 2, 4], ids=["claim", "volume", "watch"])
def test_a_server_that_has_not_read_its_roles_yet_is_asked_again(world: World, first: int) -> None:
    if first == 4:  # after the claim, its prime, and a watch that began in time
        world.add_volume(bound=False)

    numbers = count(1)

    def starting(call: Call) -> str | None:
        if call.label == READY:
            return None
        number = next(numbers)
        if number == 3 and first == 4:
            return "ends"
        return "403" if first <= number < first + 2 else None

    world.ledger.reset(starting)
    with world.when_watching(world.bind) if first == 4 else nullcontext():
        assert world.find().handle == "handle-1"
    assert [call.fault for call in world.ledger.calls].count("403") == 2


@pytest.mark.parametrize("says", ["5xx", "403", "reset"])
def test_a_server_that_is_not_ready_is_not_believed_for_longer(world: World, says: str) -> None:
    world.clock, looks = Quick(), count(1)

    def starting(call: Call) -> str | None:
        if call.label == READY:
            return says
        return "403" if next(looks) <= 4 else None

    world.ledger.reset(starting)
    assert world.find().handle == "handle-1"


def test_a_server_that_is_ready_is_believed_soon(world: World) -> None:
    world.clock = Quick()
    began = world.clock.now()
    world.ledger.reset(lambda call: None if call.label == READY else "403")
    assert "forbids" in world.fails().text
    assert world.clock.now() - began < BELIEVED_FROM_STARTING / 2


def test_no_token_no_volume(world: World, tmp_path: Path) -> None:
    file = world.kube.kubeconfig(tmp_path / "other", token="rubbish")
    world.api = Api.connect(str(file))
    error = world.fails()
    assert "credentials" in error.text
    assert "rubbish" not in error.text + error.hint


# --- volumes that are not to be written to


def test_a_volume_of_another_claim_is_refused_where_the_prime_pvc_names_it(world: World) -> None:
    other = World(world.kube, world.api, world.ledger, world.namespace)
    other.add_volume()
    world.add_volume(bound=False)
    world.kube.edit(world.prime, lambda it: it["spec"].update(volumeName=other.pv))
    error = world.fails()
    assert f"PersistentVolume {other.pv} belongs to {other.namespace}/prime-{other.uid}" in error.text
    assert f"PersistentVolumeClaim {world.namespace}/{world.name} (UID {world.uid})" in error.text
    assert f"oc get pv {other.pv} -o yaml" in error.hint


def test_a_volume_of_another_claim_is_refused_where_the_pvc_names_it(world: World) -> None:
    other = World(world.kube, world.api, world.ledger, world.namespace)
    other.add_volume()
    other.bind_directly()
    world.add_volume(bound=False)
    world.kube.edit(world.owner, lambda it: it["spec"].update(volumeName=other.pv))
    assert f"belongs to {other.namespace}/{other.name} (UID {other.uid})" in world.fails().text


def test_a_volume_of_the_prime_pvc_is_fine_where_the_pvc_names_it(world: World) -> None:
    world.kube.edit(world.owner, lambda it: it["spec"].update(volumeName=world.pv))
    assert world.find().handle == "handle-1"
    assert len(world.ledger.calls) == 3
    world.claim.check_unchanged(world.claim.find())


def test_a_volume_that_forklift_has_handed_over_is_refused(world: World) -> None:
    world.kube.rebind(world.name, world.namespace)
    error = world.fails()
    assert (
        f"PersistentVolume {world.pv} has been populated already, from {world.namespace}/populator-"
        in error.text
    )
    assert f"oc annotate pv {world.pv} {POPULATED_FROM}-" in error.hint
    world.kube.edit(
        path("persistentvolumes", name=world.pv), lambda it: it["metadata"]["annotations"].pop(POPULATED_FROM)
    )
    assert world.find().handle == "handle-1"


def test_a_volume_that_forklift_is_handing_over_is_refused(world: World) -> None:
    """It writes the PV first; the PVC names it a little later."""

    def hand_over(pv: Json) -> None:
        pv["metadata"]["annotations"] = {POPULATED_FROM: "vms/x"}
        pv["spec"]["claimRef"] |= {"name": world.name, "uid": world.uid}

    world.kube.edit(path("persistentvolumes", name=world.pv), hand_over)
    assert f"PersistentVolume {world.pv} has been populated already, from vms/x" in world.fails().text


def test_a_volume_of_a_claim_that_had_the_same_name_is_refused(world: World) -> None:
    world.kube.edit(
        path("persistentvolumes", name=world.pv), lambda it: it["spec"]["claimRef"].update(uid="an-older-one")
    )
    assert "(UID an-older-one)" in world.fails().text


def test_a_volume_of_no_claim_is_refused(world: World) -> None:
    world.add_volume(bound=False)
    world.kube.edit(world.prime, lambda it: it["spec"].update(volumeName=world.pv))
    assert f"PersistentVolume {world.pv} belongs to no claim" in world.fails().text


@pytest.mark.parametrize("phase", ["Released", "Failed"])
def test_a_volume_that_is_not_in_use_any_more_is_refused(world: World, phase: str) -> None:
    world.kube.set_phase(path("persistentvolumes", name=world.pv), phase)
    error = world.fails()
    assert f"PersistentVolume {world.pv} is {phase}" in error.text
    assert "new volume" in error.hint


@pytest.mark.parametrize("what", ["owner", "prime", "pv"])
def test_what_is_being_deleted_is_refused(world: World, what: str) -> None:
    pv = path("persistentvolumes", name=world.pv)
    where = {"owner": world.owner, "prime": world.prime, "pv": pv}[what]
    world.kube.begin_to_delete(where)
    error = world.fails()
    assert "is being deleted, since 20" in error.text
    assert where.rsplit("/", 1)[1] in error.text


@pytest.mark.parametrize("mode", ["Filesystem", ""])
def test_a_file_system_is_refused(world: World, mode: str) -> None:
    world.add_volume(mode=mode)
    error = world.fails()
    assert f"{world.namespace}/{world.name} has volumeMode Filesystem" in error.text
    assert "volumeMode Block" in error.hint


def test_a_file_system_behind_a_block_claim_is_refused(world: World) -> None:
    where = path("persistentvolumes", name=world.pv)
    body = world.kube.admin.get(where)
    world.kube.admin.delete(where)
    del body["metadata"]["resourceVersion"]
    body["spec"]["volumeMode"] = "Filesystem"
    world.kube.admin.create(path("persistentvolumes"), body)
    assert f"PersistentVolume {world.pv} has volumeMode Filesystem" in world.fails().text


# --- the same once more, right before the copy


def test_what_is_as_it_was_passes_with_two_calls(world: World) -> None:
    found = world.claim.find()
    world.ledger.reset()
    world.claim.check_unchanged(found)
    assert len(world.ledger.calls) == 2


def test_a_bound_pvc_that_is_as_it_was_passes(world: World) -> None:
    world.bind_directly()
    world.claim.check_unchanged(world.claim.find())


def remake_pv(world: World, **attributes: str) -> None:
    where = path("persistentvolumes", name=world.pv)
    body = world.kube.admin.get(where)
    world.kube.admin.delete(where)
    del body["metadata"]["resourceVersion"]
    body["spec"]["csi"]["volumeAttributes"] |= attributes
    world.kube.admin.create(path("persistentvolumes"), body)


CHANGES: dict[str, tuple[Callable[[World], object], str]] = {
    "rebound": (lambda world: world.kube.rebind(world.name, world.namespace), "another run has filled it"),
    "pvc deleted": (lambda world: world.kube.admin.delete(world.owner), "There is no PersistentVolumeClaim"),
    "pvc going": (lambda world: world.kube.begin_to_delete(world.owner), "is being deleted"),
    "pv deleted": (
        lambda world: world.kube.admin.delete(path("persistentvolumes", name=world.pv)),
        "There is no PersistentVolume",
    ),
    "pv made again": (remake_pv, "is not what it was"),
    "other volume": (lambda world: remake_pv(world, internalName="trident_pvc_2"), "is not what it was"),
    "given away": (
        lambda world: world.kube.edit(
            path("persistentvolumes", name=world.pv), lambda it: it["spec"]["claimRef"].update(uid="other")
        ),
        "belongs to",
    ),
    "given to the pvc": (
        lambda world: world.kube.edit(
            path("persistentvolumes", name=world.pv),
            lambda it: it["spec"]["claimRef"].update(name=world.name, uid=world.uid),
        ),
        "is not what it was",
    ),
    "released": (
        lambda world: world.kube.set_phase(path("persistentvolumes", name=world.pv), "Released"),
        "is Released",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_meanwhile_is_refused(world: World, change: str) -> None:
    found: Binding = world.claim.find()
    act, says = CHANGES[change]
    act(world)
    with pytest.raises(VolumeError, match=says):
        world.claim.check_unchanged(found)
