"""The Kubernetes API of the lab: a real kube-apiserver with etcd (`real`), or a small one in-process (`simulated`).

`start_kube` gives either as a `Kube`: what a cluster's administrator would have set up for the populator, and the
objects that Forklift and the CSI driver would have made. No controllers run, so PVCs are bound here.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.lab.kube.client import Client, Refused
from tests.lab.kube.real import RealServer
from tests.lab.kube.resources import path
from tests.lab.kube.simulated import SimulatedServer
from tests.lab.pki import Pki

__all__ = ["KINDS", "Client", "Kube", "Refused", "path", "start_kube"]

KINDS: dict[str, type[RealServer] | type[SimulatedServer]] = {
    "real": RealServer,
    "simulated": SimulatedServer,
}
RBAC = Path(__file__).resolve().parents[3] / "deploy" / "base" / "populator.yaml"
SIZE = "1Gi"
POPULATED_FROM = "forklift.konveyor.io/populated-from"
"""annotation of a PV by which Forklift says, as it gives it to the target PVC, that it has been populated"""
RIGHTS_WITHIN = 10.0


@contextmanager
def start_kube(kind: str, directory: Path, pki: Pki) -> Iterator["Kube"]:
    """Run an API server, `real` or `simulated`, with its files in `directory`."""
    server = KINDS[kind](directory, pki)
    try:
        yield Kube(server, pki)
    finally:
        server.close()


class Kube:
    """One cluster."""

    def __init__(self, server: RealServer | SimulatedServer, pki: Pki) -> None:
        self.server = server
        self.url = server.url
        self.port = urlsplit(server.url).port or 443
        self.pki = pki
        self.admin = self.client(server.admin_token)
        self._pvs: dict[tuple[str, str], str] = {}
        """the PV's name by namespace and name of the PVC"""

    def client(self, token: str) -> Client:
        """Return a client that acts as the bearer of a token."""
        return Client(self.url, self.pki.client_context(), token)

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the server."""
        return self.pki.client_context()

    def apply_rbac(self, target_namespace: str, lease_namespace: str) -> None:
        """Make both namespaces, and give the populator the rights of `deploy/base/populator.yaml` there."""
        for namespace in (target_namespace, lease_namespace):
            self.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        text = RBAC.read_text().replace("target-namespace", target_namespace)
        for item in yaml.safe_load_all(text.replace("lease-namespace", lease_namespace)):
            self.admin.apply(item)
        self._wait_for_rights(target_namespace, lease_namespace)

    def _wait_for_rights(self, target_namespace: str, lease_namespace: str) -> None:
        """Wait until the populator may read: a real server judges by a copy of the roles that lags a little."""
        populator = self.client(self.service_account_token(target_namespace, "populator"))
        reads = [
            path("persistentvolumeclaims", target_namespace, "none"),
            path("leases", lease_namespace, "none"),
            path("persistentvolumes", name="none"),
        ]
        deadline = time.monotonic() + RIGHTS_WITHIN
        for where in reads:
            while _status_of(populator, where) == 403:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the populator may still not read {where}")
                time.sleep(0.02)

    def service_account_token(self, namespace: str, name: str) -> str:
        """Return a new token of a service account."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.admin.create(path("serviceaccounts", namespace, name, "token"), request)
        token: str = answer["status"]["token"]
        return token

    def kubeconfig(self, directory: Path, *, token: str = "", port: int | None = None) -> Path:
        """Write a kubeconfig, the administrator's without a token; `port` is where a proxy listens."""
        directory.mkdir(parents=True, exist_ok=True)
        server = f"https://127.0.0.1:{port or self.port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "lab",
                    "cluster": {"server": server, "certificate-authority": str(self.pki.ca_file)},
                }
            ],
            "users": [{"name": "lab", "user": {"token": token or self.server.admin_token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
        file = directory / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file

    def add_volume(
        self,
        name: str,
        namespace: str,
        handle: str,
        attributes: Mapping[str, str],
        *,
        bound: bool = True,
        csi: bool = True,
        mode: str = "Block",
        driver: str = "csi.trident.netapp.io",
        pv: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Make a PVC as Forklift leaves it: unbound, its prime PVC bound to a PV; return the PVC's UID.

        With `bound` false the prime PVC waits for `bind_prime`; with `csi` false the PV has no CSI source; `mode` is
        the volumeMode of all three, empty for none, `driver` the CSI driver that made the PV, `pv` the PV's name, and
        `annotations` are the PVC's.
        """
        uid: str = self._claim(name, namespace, mode, annotations)["metadata"]["uid"]
        self._claim(f"prime-{uid}", namespace, mode)
        source: dict[str, Any] = {"hostPath": {"path": "/nowhere"}}
        if csi:
            source = {"csi": {"driver": driver, "volumeHandle": handle, "volumeAttributes": dict(attributes)}}
        spec: dict[str, Any] = {"capacity": {"storage": SIZE}, "accessModes": ["ReadWriteMany"]}
        spec |= {"volumeMode": mode} if mode else {}
        metadata = {"name": pv or f"pv-{name}"}
        self._pvs[namespace, name] = metadata["name"]
        made = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec | source}
        self.admin.create(path("persistentvolumes"), made)
        if bound:
            self.bind_prime(name, namespace)
        return uid

    def bind_prime(self, name: str, namespace: str) -> None:
        """Bind the prime PVC to its PV, as the volume controller would."""
        uid = self.admin.get(path("persistentvolumeclaims", namespace, name))["metadata"]["uid"]
        self.bind(f"prime-{uid}", namespace, self._pvs[namespace, name])

    def rebind(self, name: str, namespace: str) -> None:
        """Give the PV to the PVC itself and delete the prime one, as Forklift does after a success."""
        uid = self.admin.get(path("persistentvolumeclaims", namespace, name))["metadata"]["uid"]
        annotations = {POPULATED_FROM: f"{namespace}/populator-{name}"}
        self.edit(
            path("persistentvolumes", name=self._pvs[namespace, name]),
            lambda it: it["metadata"].update(annotations=annotations),
        )
        self.bind(name, namespace, self._pvs[namespace, name])
        self.admin.delete(path("persistentvolumeclaims", namespace, f"prime-{uid}"))

    def bind(self, claim: str, namespace: str, pv: str) -> None:
        """Bind a PVC and a PV to each other: the PV's claimRef first, as a cluster does it."""
        where = path("persistentvolumeclaims", namespace, claim)
        uid = self.admin.get(where)["metadata"]["uid"]
        reference = {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim, "uid": uid}
        self.edit(path("persistentvolumes", name=pv), lambda it: it["spec"].update(claimRef=reference))
        self.set_phase(path("persistentvolumes", name=pv), "Bound")
        self.edit(where, lambda it: it["spec"].update(volumeName=pv))
        self.set_phase(where, "Bound")

    def set_phase(self, where: str, phase: str) -> None:
        """Write the phase of a PVC or PV into its status."""
        self.admin.change(where, lambda it: it.setdefault("status", {}).update(phase=phase), "status")

    def edit(self, where: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change an object as it is in the cluster."""
        self.admin.change(where, change)

    def begin_to_delete(self, where: str) -> None:
        """Delete an object that something still holds on to: it stays, with a deletionTimestamp."""
        self.edit(where, lambda it: it["metadata"].update(finalizers=["lab.test/held"]))
        self.admin.delete(where)

    def lease_holders(self, namespace: str) -> dict[str, str]:
        """Return who holds which Lease."""
        leases = self.admin.list(path("leases", namespace))
        held = {lease["metadata"]["name"]: lease.get("spec", {}).get("holderIdentity") for lease in leases}
        return {name: holder for name, holder in held.items() if holder}

    def _claim(
        self, name: str, namespace: str, mode: str, annotations: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "lab",
            "resources": {"requests": {"storage": SIZE}},
        }
        spec |= {"volumeMode": mode} if mode else {}
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": spec,
        }
        return self.admin.create(path("persistentvolumeclaims", namespace), claim)


def _status_of(client: Client, where: str) -> int:
    try:
        client.get(where)
    except Refused as refused:
        return refused.status
    return 200
