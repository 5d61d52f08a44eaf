"""From the PVC to the volume that the array knows: PVC, prime PVC, PV, CSI volume handle.

Promises that the volume is the one behind the very PVC that was meant (by UID): a PV that belongs to another claim, is
released, is about to be deleted, or is a file system is refused. `check_unchanged` looks once more, for whoever has
waited meanwhile. Needs the rights to read PVCs in its namespace and one PV. The prime PVC, which Forklift makes beside
an unbound one, may appear and be bound late: then a watch wakes us, and says nothing of what else goes on in the
namespace.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lease.kube.api import Api, ApiError
from populator.clock import Clock
from populator.errors import VolumeError
from populator.retry import CONTACT, FORBIDDEN, READ, Policy
from populator.storage.array import Volume

log = logging.getLogger(__name__)

BOUND_WITHIN = 300.0
"""seconds that the prime PVC may take to be bound"""
WATCH_SECONDS = 60
"""of one watch; another follows"""
POPULATED_FROM = "/populated-from"
"""how the annotation ends with which controllers of populators, Forklift's too, hand a PV over to the target PVC"""


Result = TypeVar("Result")


@dataclass(frozen=True)
class Binding:
    """How a PVC led to its volume."""

    volume: Volume
    direct: bool
    """whether the PVC itself was bound, else its prime PVC was"""
    pv_uid: str
    claim_uid: str
    """of the claim that the PV belongs to: the PVC or its prime"""


class Claim:
    """One PVC, and the PV it is bound to."""

    def __init__(
        self, api: Api, namespace: str, name: str, uid: str, clock: Clock, patience: float = BOUND_WITHIN
    ) -> None:
        """`patience` is how long, in seconds, the prime PVC may take to be bound; 0: it has to be by now."""
        self._api, self._namespace, self._name, self._uid, self._clock = api, namespace, name, uid, clock
        self._patience = patience
        self._path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        self._prime_name = f"prime-{uid}"
        self._policy = CONTACT

    def find(self) -> Binding:
        """Return the volume behind the PVC; raise `VolumeError` when what there is does not lead to one."""
        claim = self._claim()
        if pv := bound_to(claim):
            return with_annotations(self._binding(pv, direct=True), claim)
        prime = self._prime()
        binding = self._binding(bound_to(prime), direct=False, prime_uid=uid_of(prime))
        return with_annotations(binding, claim, prime)

    def check_unchanged(self, before: Binding) -> None:
        """Raise `VolumeError` unless PVC and PV are bound to each other as they were."""
        if bound_to(self._claim()) != (before.volume.name if before.direct else ""):
            raise VolumeError(
                f"PersistentVolumeClaim {self._namespace}/{self._name} was bound to its volume meanwhile: another run "
                "has filled it.",
                "Use the volume as it is; nothing was written to it by this run.",
            )
        now = self._binding(before.volume.name, direct=before.direct, prime_uid=before.claim_uid)
        if now != before:
            raise VolumeError(
                f"PersistentVolume {before.volume.name} is not what it was when this run began.",
                "Somebody changed it meanwhile; look at it, and start the migration again.",
            )

    def _claim(self) -> dict[str, Any]:
        """Return the PVC that was meant."""
        claim = self._read(f"{self._path}/{self._name}")
        if claim is None:
            raise VolumeError(
                f"There is no PersistentVolumeClaim {self._name} in namespace {self._namespace}.",
                f"Look for it with: oc get pvc -n {self._namespace}. Start the migration again if it was deleted.",
            )
        if uid_of(claim) != self._uid:
            raise VolumeError(
                f"PersistentVolumeClaim {self._namespace}/{self._name} is another one than was meant: its UID is "
                f"{uid_of(claim)}, not {self._uid}.",
                "It was deleted and made again; start the migration again.",
            )
        check_claim(claim)
        return claim

    def _prime(self) -> dict[str, Any]:
        """Return the prime PVC, once it is bound."""
        name = self._prime_name
        deadline = self._clock.now() + self._patience
        claim = self._read(f"{self._path}/{name}")
        if self._patience and not bound_to(claim):
            log.info("waiting for PersistentVolumeClaim %s to be bound", name)
        while claim is None or not bound_to(claim):
            left = deadline - self._clock.now()
            if left <= 0:
                raise self._never_bound(name, claim)
            claim = self._await(name, claim, min(left, WATCH_SECONDS))
        check_claim(claim)
        return claim

    def _await(self, name: str, claim: dict[str, Any] | None, seconds: float) -> dict[str, Any] | None:
        """Return the claim as soon as it is bound, or after some time as last seen.

        Without a resourceVersion a watch begins with what there is, so nothing is missed between two of them.
        """
        wanted = {"fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(max(int(seconds), 1))}

        def follow() -> dict[str, Any] | None:
            last = claim
            with self._clock.blocking(), self._api.watch(self._path, seconds + 5, **wanted) as events:
                for event in events:
                    last = event["object"] if event["type"] != "DELETED" else None
                    if bound_to(last):
                        break
            return last

        try:
            return until_believed(follow, self._clock)
        except ApiError as error:
            if error.final:
                raise VolumeError(error.text, error.hint) from error
            log.info("%s Watching again.", error.text)
            self._clock.wait(1.0)
        return claim

    def _never_bound(self, name: str, claim: dict[str, Any] | None) -> VolumeError:
        what = "is not bound" if claim else "has not appeared"
        when = f"after {self._patience:.0f} s" if self._patience else "yet"
        return VolumeError(
            f"PersistentVolumeClaim {name}, which Forklift makes for the volume, {what} {when}.",
            f"See why with: oc describe pvc {name} -n {self._namespace}",
        )

    def _binding(self, pv: str, *, direct: bool, prime_uid: str = "") -> Binding:
        """Return how the PVC, or its prime, is bound to this PV; raise unless that is so in the PV's eyes, too."""
        found = self._read(f"/api/v1/persistentvolumes/{pv}")
        if found is None:
            raise VolumeError(
                f"There is no PersistentVolume {pv}, though a claim is bound to it.",
                "It was deleted; delete the claim too, and start the migration again.",
            )
        check_volume(pv, found)
        owner = mapping_in(spec_of(found), "claimRef")
        if not self._is_ours(owner, prime_uid):
            raise self._of_another(pv, owner)
        return Binding(volume_of(pv, found), direct, uid_of(found), str(owner["uid"]))

    def _is_ours(self, owner: Mapping[str, Any], prime_uid: str) -> bool:
        """Return whether a PV's claimRef names the PVC, or its prime; that one is read where it is not known yet."""
        uid = owner.get("uid")
        if not uid:
            return False
        if uid != self._uid and not prime_uid:
            prime_uid = uid_of(self._read(f"{self._path}/{self._prime_name}") or {})
        return uid in {self._uid, prime_uid}

    def _of_another(self, pv: str, owner: Mapping[str, Any]) -> VolumeError:
        whose = (
            f"{owner.get('namespace')}/{owner.get('name')} (UID {owner.get('uid')})" if owner else "no claim"
        )
        return VolumeError(
            f"PersistentVolume {pv} belongs to {whose}, not to PersistentVolumeClaim {self._namespace}/{self._name} "
            f"(UID {self._uid}), though that names it.",
            f"Nothing was written. See how both are bound: oc get pv {pv} -o yaml. Then start the migration again.",
        )

    def _read(self, path: str) -> dict[str, Any] | None:
        """Return an object, or None; at the first contact the API server is waited for longer."""
        policy, self._policy = self._policy, READ
        return read_object(self._api, path, self._clock, policy)


def read_object(api: Api, path: str, clock: Clock, policy: Policy = READ) -> dict[str, Any] | None:
    """Return an object, or None; read again while the API server is away for a moment. Raises `VolumeError`."""

    def read() -> dict[str, Any]:
        with clock.blocking():
            return api.get(path)

    try:
        return policy.run(lambda: until_believed(read, clock), is_passing, clock)
    except ApiError as error:
        if error.status == 404:
            return None
        raise VolumeError(error.text, error.hint) from error


def find_volume(api: Api, pv: str, claims: Collection[tuple[str, str]], clock: Clock) -> Volume | None:
    """Return the volume of a PV, whoever uses it; None where there is none, or none that an array has.

    `claims` are those, by namespace and name, whose annotations may say how it was made.
    """
    found = read_object(api, f"/api/v1/persistentvolumes/{pv}", clock) if pv else None
    if not mapping_in(spec_of(found or {}), "csi").get("volumeHandle"):
        return None
    owner = mapping_in(spec_of(found or {}), "claimRef")
    wanted = {*claims, (str(owner.get("namespace") or ""), str(owner.get("name") or ""))}
    paths = (
        f"/api/v1/namespaces/{space}/persistentvolumeclaims/{name}"
        for space, name in wanted
        if space and name
    )
    there = [claim for path in sorted(paths) if (claim := read_object(api, path, clock))]
    return replace(volume_of(pv, found or {}), annotations=annotations_of(*there))


def volume_of(pv: str, found: Mapping[str, Any]) -> Volume:
    """Return a PV as its CSI driver describes it."""
    csi = mapping_in(spec_of(found), "csi")
    attributes = dict(mapping_in(csi, "volumeAttributes"))
    return Volume(pv, str(csi.get("driver") or ""), str(csi["volumeHandle"]), attributes)


def with_annotations(binding: Binding, *claims: Mapping[str, Any]) -> Binding:
    """Return the binding, its volume with the annotations of the claims that led to it."""
    return replace(binding, volume=replace(binding.volume, annotations=annotations_of(*claims)))


def annotations_of(*claims: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of claims together; the last one's count most."""
    metadata = [mapping_in(claim, "metadata") for claim in claims]
    return {name: str(text) for m in metadata for name, text in mapping_in(m, "annotations").items()}


def check_claim(claim: Mapping[str, Any]) -> None:
    """Raise unless a PVC will stay, and is for a block device."""
    metadata = mapping_in(claim, "metadata")
    what = f"PersistentVolumeClaim {metadata.get('namespace')}/{metadata.get('name')}"
    check_stays(what, metadata)
    check_block(what, spec_of(claim))


def check_volume(name: str, volume: Mapping[str, Any]) -> None:
    """Raise unless a PV will stay, is in use or free, was never populated, and is a block device of a CSI driver."""
    what, spec = f"PersistentVolume {name}", spec_of(volume)
    check_stays(what, mapping_in(volume, "metadata"))
    check_not_populated(name, mapping_in(mapping_in(volume, "metadata"), "annotations"))
    phase = str(mapping_in(volume, "status").get("phase") or "")
    if phase in {"Released", "Failed"}:
        raise VolumeError(
            f"{what} is {phase}: the claim that it belonged to is gone, and its data may be wanted still.",
            "Start the migration again with a new volume.",
        )
    check_block(what, spec)
    csi = spec.get("csi")
    if not isinstance(csi, Mapping) or not csi.get("volumeHandle"):
        missing = "was not made by a CSI driver" if csi is None else "has an empty CSI volume handle"
        raise VolumeError(
            f"{what} {missing}, so no array's LUN can be found for it.",
            "Use a storage class whose provisioner is the array's CSI driver.",
        )


def check_stays(what: str, metadata: Mapping[str, Any]) -> None:
    """Raise when an object is about to be deleted."""
    if metadata.get("deletionTimestamp"):
        raise VolumeError(
            f"{what} is being deleted, since {metadata['deletionTimestamp']}.",
            "Start the migration again; it makes a new volume.",
        )


def check_not_populated(name: str, annotations: Mapping[str, Any]) -> None:
    """Raise where a controller has noted that a populator has done its work, whichever populator it was."""
    for annotation, source in annotations.items():
        if annotation.endswith(POPULATED_FROM):
            raise VolumeError(
                f"PersistentVolume {name} has been populated already, from {source}, and may be in use.",
                f"Use it as it is. To have it overwritten, whoever uses it: oc annotate pv {name} {annotation}-",
            )


def check_block(what: str, spec: Mapping[str, Any]) -> None:
    """Raise unless a PVC or PV is a block device; unset means a file system."""
    mode = spec.get("volumeMode") or "Filesystem"
    if mode != "Block":
        raise VolumeError(
            f"{what} has volumeMode {mode}: a disk copied onto it would not be found by the VM, and would overwrite "
            "its file system.",
            "Map the datastore to a storage class with volumeMode Block, and start the migration again.",
        )


def mapping_in(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that is an object; empty where it is anything else."""
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def spec_of(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object's spec."""
    return mapping_in(thing, "spec")


def uid_of(thing: Mapping[str, Any]) -> str:
    """Return an object's UID; empty where it has none."""
    return str(mapping_in(thing, "metadata").get("uid") or "")


def bound_to(claim: Mapping[str, Any] | None) -> str:
    """Return the name of the PV that a claim is bound to; empty while it is not."""
    return str(spec_of(claim or {}).get("volumeName") or "")


def is_passing(error: BaseException) -> bool:
    """Return whether the same read may well work a little later."""
    return isinstance(error, ApiError) and not error.final and error.status != 404


def until_believed(call: Callable[[], Result], clock: Clock) -> Result:
    """Return what a read returns, made again while the server forbids it and is not to be believed yet."""
    began = clock.now()

    def doubted(error: BaseException) -> bool:
        if not (isinstance(error, ApiError) and error.forbidden):
            return False
        return clock.now() - began < error.believed_after

    return FORBIDDEN.run(call, doubted, clock)
