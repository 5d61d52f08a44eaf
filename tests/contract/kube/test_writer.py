"""The writer's Lease against both Kubernetes APIs, with the populator's own token and rights."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lease.kube.api import Api
from lease.record import JOURNAL, OUTCOME
from populator.clock import Clock
from populator.errors import StorageError, VolumeError
from populator.plan.volume import Binding, Claim
from populator.settings.values import TargetSettings
from populator.storage.copies import CannotCopy
from populator.writer import Mapped, Writer
from tests.lab.faults import Ledger, proxy
from tests.lab.kube import Kube, path
from tests.lab.kube.real import RealServer
from tests.lab.pki import Pki
from tests.lab.waiting import wait_until
from vsphere.errors import CopyMayBeRunning

DURATION = 4


@dataclass
class World:
    """A PVC in a namespace of its own, and the populator's way to it."""

    kube: Kube
    api: Api
    ledger: Ledger
    target: TargetSettings
    claim: Claim
    binding: Binding

    def writer(self, pod: str = "populate-a") -> Writer:
        return Writer(self.api, self.target, f"{pod}_0", DURATION, Clock())

    @property
    def lease(self) -> str:
        return path("leases", self.target.namespace, f"xcopy-volume-{self.target.uid}")

    def fails(self, pod: str = "populate-b") -> VolumeError:
        with pytest.raises(VolumeError) as caught, self.writer(pod).hold(self.claim, self.binding):
            pass
        return caught.value


def world_in(kube: Kube, folder: Path) -> Iterator[World]:
    namespace = f"vms-{uuid.uuid4().hex[:8]}"
    kube.apply_rbac(namespace, "openshift-mtv")
    name = f"disk-{namespace}"
    uid = kube.add_volume(name, namespace, "handle-1", {})
    ledger, pki = Ledger(), kube.pki
    contexts = pki.server_context(f"proxy-{namespace}"), kube.client_context()
    with proxy("kubernetes", ("127.0.0.1", kube.port), ledger, *contexts) as port:
        token = kube.service_account_token(namespace, "populator")
        api = Api.connect(str(kube.kubeconfig(folder, token=token, port=port)))
        claim = Claim(api, namespace, name, uid, Clock())
        yield World(kube, api, ledger, TargetSettings(namespace, name, uid), claim, claim.find())


@pytest.fixture
def world(kube: Kube, tmp_path: Path) -> Iterator[World]:
    yield from world_in(kube, tmp_path)


@pytest.fixture
def strict(pki: Pki, tmp_path: Path) -> Iterator[World]:
    """A cluster where nobody may change the owner of what they may not delete, as OpenShift is."""
    server = RealServer(tmp_path / "kube", pki, admission="OwnerReferencesPermissionEnforcement")
    try:
        yield from world_in(Kube(server, pki), tmp_path)
    finally:
        server.close()


def test_six_calls_besides_renewals_and_the_lease_is_free_again(world: World) -> None:
    world.ledger.reset()
    with world.writer().hold(world.claim, world.binding):
        lease = world.kube.admin.get(world.lease)
        assert lease["spec"]["holderIdentity"] == "populate-a_0"
        assert lease["metadata"]["ownerReferences"][0]["uid"] == world.target.uid
    assert [call.label.split()[0] for call in world.ledger.calls] == [
        "GET",
        "POST",
        "POST",
        "GET",
        "PUT",
        "PUT",
    ]
    assert not world.kube.admin.get(world.lease)["spec"].get("holderIdentity")
    with world.writer("populate-b").hold(world.claim, world.binding) as writing:
        writing.check()


def test_the_lease_belongs_to_the_pvc_where_owners_are_guarded_too(strict: World) -> None:
    with strict.writer().hold(strict.claim, strict.binding) as writing:
        writing.check()
        writing.succeeded("[ds] vm/disk.vmdk")
    lease = strict.kube.admin.get(strict.lease)
    assert lease["metadata"]["ownerReferences"][0]["uid"] == strict.target.uid
    assert "populated" in lease["metadata"]["annotations"]["xcopy-populator/outcome"]


def test_a_living_writer_is_found_out_by_its_first_renewal(world: World) -> None:
    with world.writer().hold(world.claim, world.binding):
        clock = Clock()
        began = clock.now()
        error = world.fails()
        assert clock.now() - began < DURATION
    assert "Pod populate-a is filling" in error.text
    assert f"oc get lease xcopy-volume-{world.target.uid} -n {world.target.namespace}" in error.hint


def test_success_is_written_down_and_stays(world: World) -> None:
    with world.writer().hold(world.claim, world.binding) as writing:
        writing.succeeded("[ds] vm/disk.vmdk")
    outcome = json.loads(world.kube.admin.get(world.lease)["metadata"]["annotations"][OUTCOME])
    began = datetime.fromisoformat(outcome.pop("at"))
    assert timedelta(0) <= datetime.now(UTC) - began < timedelta(minutes=1)
    assert outcome == {"populated": "true", "by": "populate-a_0", "disk": "[ds] vm/disk.vmdk"}
    for _ in range(2):
        error = world.fails()
        assert f"has been filled already, by populate-a {began.isoformat(timespec='seconds')}." in error.text
        assert f"oc delete lease xcopy-volume-{world.target.uid}" in error.hint
    assert not world.kube.admin.get(world.lease)["spec"].get("holderIdentity")


def test_who_looks_sees_what_the_run_does_with_its_ordinary_renewals(world: World) -> None:
    with world.writer().hold(world.claim, world.binding) as writing:
        calls = len(world.ledger.calls)
        writing.note(phase="clone", percent="42", rate="10.0")
        assert len(world.ledger.calls) == calls, "no call of its own"

        def written() -> str:
            lease = world.kube.admin.get(world.lease)
            return str(json.loads(lease["metadata"]["annotations"][JOURNAL]).get("phase", ""))

        assert wait_until(written) == "clone"


def test_why_a_run_has_not_filled_the_volume_stays_and_keeps_nobody_from_doing_it(world: World) -> None:
    with pytest.raises(StorageError), world.writer().hold(world.claim, world.binding):
        raise StorageError("The LUN is offline.")
    outcome = json.loads(world.kube.admin.get(world.lease)["metadata"]["annotations"][OUTCOME])
    assert outcome.pop("at")
    assert outcome == {"failed": "The LUN is offline.", "by": "populate-a_0"}
    with pytest.raises(CannotCopy), world.writer("populate-b").hold(world.claim, world.binding):
        raise CannotCopy("The volume is mapped.")
    outcome = json.loads(world.kube.admin.get(world.lease)["metadata"]["annotations"][OUTCOME])
    assert outcome["refused"] == "The volume is mapped."
    with world.writer("populate-c").hold(world.claim, world.binding) as writing:
        writing.succeeded("[ds] vm/disk.vmdk")


def test_a_run_that_failed_writes_no_success(world: World) -> None:
    with pytest.raises(RuntimeError), world.writer().hold(world.claim, world.binding):
        raise RuntimeError
    with world.writer("populate-b").hold(world.claim, world.binding):
        pass


def test_where_a_copy_may_be_running_the_lease_is_left_to_expire(world: World) -> None:
    with pytest.raises(CopyMayBeRunning), world.writer().hold(world.claim, world.binding):
        raise CopyMayBeRunning("It may.")
    lease = world.kube.admin.get(world.lease)
    assert lease["spec"]["holderIdentity"] == "populate-a_0"
    assert "It may." in lease["metadata"]["annotations"]["xcopy-populator/journal"]
    with world.writer("populate-b").hold(world.claim, world.binding):  # once it has run out
        pass


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update"])
def test_a_missing_right_is_named_before_anything_else(world: World, verb: str) -> None:
    role = path("roles", world.target.namespace, "populator")
    world.kube.edit(role, lambda it: it["rules"][1]["verbs"].remove(verb))
    error = world.fails()
    assert f"cannot {verb} " in error.text
    assert "writer's lease of PersistentVolumeClaim" in error.text
    assert f"-n {world.target.namespace}" in error.hint


def test_a_lost_lease_is_told_when_it_is_checked(world: World) -> None:
    with world.writer().hold(world.claim, world.binding) as writing:
        writing.check()
        world.kube.edit(
            world.lease,
            lambda it: it["spec"].update(holderIdentity="other", leaseDurationSeconds=3600),
        )
        Clock().wait(DURATION)  # a renewal, which comes at a third of that, notices
        with pytest.raises(VolumeError, match="was lost, so the step 'copy' was not started"):
            writing.check()


@pytest.mark.parametrize("group", ["host-7", ""])
def test_what_a_run_maps_stands_in_the_lease_before_it_is_mapped_and_is_inherited(
    world: World, group: str
) -> None:
    """By whoever comes after it, also when that one dies before it could unmap.

    There is no group where somebody else's mapping serves.
    """
    with world.writer().hold(world.claim, world.binding) as writing:
        writing.will_map(group, "host-18")
        journal = json.loads(world.kube.admin.get(world.lease)["metadata"]["annotations"][JOURNAL])
        assert (journal["group"], journal["for"]) == (group, "host-18")
    for heir in ("populate-b", "populate-c"):
        with world.writer(heir).hold(world.claim, world.binding) as writing:
            assert writing.mapped == Mapped(group, "host-18")
            journal = json.loads(world.kube.admin.get(world.lease)["metadata"]["annotations"][JOURNAL])
            assert journal["group"] == group
    with world.writer("populate-d").hold(world.claim, world.binding) as writing:
        assert writing.mapped == Mapped(group, "host-18")
        writing.unmapped()
    with world.writer("populate-e").hold(world.claim, world.binding) as writing:
        assert writing.mapped is None


def test_what_the_array_copies_stands_in_the_lease_and_is_inherited(world: World) -> None:
    with world.writer().hold(world.claim, world.binding) as writing:
        writing.will_copy("42")
        journal = json.loads(world.kube.admin.get(world.lease)["metadata"]["annotations"][JOURNAL])
        assert journal["source"] == "42"
    for heir in ("populate-b", "populate-c"):
        with world.writer(heir).hold(world.claim, world.binding) as writing:
            assert (writing.copying, writing.mapped) == ("42", None)
    with world.writer("populate-d").hold(world.claim, world.binding) as writing:
        writing.copy_ended()
    with world.writer("populate-e").hold(world.claim, world.binding) as writing:
        assert writing.copying == ""


def test_success_is_written_down_also_where_the_volume_is_still_mapped(world: World) -> None:
    with world.writer().hold(world.claim, world.binding) as writing:
        writing.will_map("host-7", "host-18")
        writing.succeeded("[ds] vm/disk.vmdk")
    assert "has been filled already" in world.fails().text


def test_what_cannot_be_written_down_is_not_mapped(world: World) -> None:
    """It is waited for, as everything is while the API server is away."""
    with (
        pytest.raises(VolumeError, match="writer's lease"),
        world.writer().hold(world.claim, world.binding) as writing,
    ):
        world.kube.edit(
            world.lease,
            lambda it: it["spec"].update(holderIdentity="other", leaseDurationSeconds=3600),
        )
        writing.will_map("host-7", "host-18")
