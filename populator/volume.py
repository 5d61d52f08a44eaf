"""From the PVC to the volume that the array knows: PVC, prime PVC, PV, CSI volume handle.

Promises that the volume is the one behind the very PVC that was meant (by UID), and needs the rights to read PVCs in
its namespace and one PV. The prime PVC, which Forklift makes beside an unbound one, may appear and be bound late:
then a watch wakes us, and says nothing of what else goes on in the namespace.
"""

import logging
from typing import Any

from lease.api import Api, ApiError
from populator.clock import Clock
from populator.errors import VolumeError
from populator.retry import CONTACT, FORBIDDEN, READ
from populator.storage.array import Volume

log = logging.getLogger(__name__)

BOUND_WITHIN = 300.0
"""seconds that the prime PVC may take to be bound"""
WATCH_SECONDS = 60
"""of one watch; another follows"""


def find_volume(api: Api, namespace: str, name: str, uid: str, clock: Clock) -> Volume:
    """Return the volume behind a PVC; raise `VolumeError` when what there is does not lead to one."""
    return Claims(api, namespace, clock).volume(name, uid)


class Claims:
    """The PVCs of one namespace, and the PVs they are bound to."""

    def __init__(self, api: Api, namespace: str, clock: Clock) -> None:
        self._api, self._namespace, self._clock = api, namespace, clock
        self._path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        self._policy = CONTACT

    def volume(self, name: str, uid: str) -> Volume:
        """Return the volume behind a PVC."""
        claim = self._read(f"{self._path}/{name}")
        if claim is None:
            raise VolumeError(
                f"There is no PersistentVolumeClaim {name} in namespace {self._namespace}.",
                f"Look for it with: oc get pvc -n {self._namespace}. Start the migration again if it was deleted.",
            )
        if claim["metadata"]["uid"] != uid:
            raise VolumeError(
                f"PersistentVolumeClaim {self._namespace}/{name} is another one than was meant: its UID is "
                f"{claim['metadata']['uid']}, not {uid}.",
                "It was deleted and made again; start the migration again.",
            )
        return self._volume_of(bound_to(claim) or self._prime(uid))

    def _prime(self, uid: str) -> str:
        """Return the PV of the prime PVC, once it is bound."""
        name = f"prime-{uid}"
        deadline = self._clock.now() + BOUND_WITHIN
        claim = self._read(f"{self._path}/{name}")
        if not bound_to(claim):
            log.info("waiting for PersistentVolumeClaim %s to be bound", name)
        while not (pv := bound_to(claim)):
            left = deadline - self._clock.now()
            if left <= 0:
                raise self._never_bound(name, claim)
            claim = self._await(name, claim, min(left, WATCH_SECONDS))
        return pv

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
            return FORBIDDEN.run(follow, is_forbidden, self._clock)
        except ApiError as error:
            if error.final:
                raise VolumeError(error.text, error.hint) from error
            log.info("%s Watching again.", error.text)
            self._clock.wait(1.0)
        return claim

    def _never_bound(self, name: str, claim: dict[str, Any] | None) -> VolumeError:
        what = "is not bound" if claim else "has not appeared"
        return VolumeError(
            f"PersistentVolumeClaim {name}, which Forklift makes for the volume, {what} after {BOUND_WITHIN:.0f} s.",
            f"See why with: oc describe pvc {name} -n {self._namespace}",
        )

    def _volume_of(self, pv: str) -> Volume:
        found = self._read(f"/api/v1/persistentvolumes/{pv}")
        if found is None:
            raise VolumeError(
                f"There is no PersistentVolume {pv}, though a claim is bound to it.",
                "It was deleted; delete the claim too, and start the migration again.",
            )
        csi = found["spec"].get("csi")
        if csi is None or not csi.get("volumeHandle"):
            missing = "was not made by a CSI driver" if csi is None else "has an empty CSI volume handle"
            raise VolumeError(
                f"PersistentVolume {pv} {missing}, so no array's LUN can be found for it.",
                "Use a storage class whose provisioner is the array's CSI driver.",
            )
        return Volume(pv, csi["volumeHandle"], csi.get("volumeAttributes") or {})

    def _read(self, path: str) -> dict[str, Any] | None:
        """Return an object, or None; read again while the API server is away for a moment."""

        def read() -> dict[str, Any]:
            with self._clock.blocking():
                return self._api.get(path)

        def believed() -> dict[str, Any]:
            return FORBIDDEN.run(read, is_forbidden, self._clock)

        policy, self._policy = self._policy, READ
        try:
            return policy.run(believed, is_passing, self._clock)
        except ApiError as error:
            if error.status == 404:
                return None
            raise VolumeError(error.text, error.hint) from error


def bound_to(claim: dict[str, Any] | None) -> str:
    """Return the name of the PV that a claim is bound to; empty while it is not."""
    return str((claim or {}).get("spec", {}).get("volumeName") or "")


def is_passing(error: BaseException) -> bool:
    """Return whether the same read may well work a little later."""
    return isinstance(error, ApiError) and not error.final and error.status != 404


def is_forbidden(error: BaseException) -> bool:
    """Return whether a right is missing, or seems to be."""
    return isinstance(error, ApiError) and error.forbidden
