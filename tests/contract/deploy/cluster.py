"""A cluster as its administrator sees it: kubectl against the lab's real API server, and manifests of one's own.

`Cluster.copy` is the copy of `deploy` that somebody filled in; what is applied is rendered by kubectl's own kustomize
and validated strictly, as `kubectl apply -k` does it.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.kube import Kube, Refused
from tests.lab.program import ROOT
from tests.lab.tools import tool
from tests.lab.waiting import wait_until

DEFINITIONS = Path(__file__).parent / "definitions"
CUSTOM = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Json = dict[str, Any]


@dataclass
class Cluster:
    """An API server, and a folder for one test."""

    kube: Kube
    folder: Path

    def __post_init__(self) -> None:
        self.config = self.kube.kubeconfig(self.folder / "admin")
        self.copy = self.folder / "deploy"
        shutil.copytree(ROOT / "deploy", self.copy)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """Return what kubectl prints; raise with its complaint where it fails."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def call(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Call kubectl as the administrator."""
        common = [f"--kubeconfig={self.config}", f"--cache-dir={self.folder.parent / 'cache'}"]
        return subprocess.run(
            [str(tool("kubectl")), *common, *words],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def define(self) -> None:
        """Have the server know the kinds of others that the manifests use; may be repeated."""
        for file in sorted(DEFINITIONS.glob("*.yaml")):
            definition = yaml.safe_load(file.read_text())
            where = f"{CUSTOM}/{definition['metadata']['name']}"
            try:
                self.kube.admin.create(CUSTOM, definition)
            except Refused as refused:
                if refused.status != 409:
                    raise
            wait_until(lambda where=where: self._established(where))  # type: ignore[misc]

    def _established(self, where: str) -> bool:
        conditions = self.kube.admin.get(where).get("status", {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    def render(self, kustomization: Path) -> list[Json]:
        """Return the objects of a folder."""
        text = self.kubectl("kustomize", str(kustomization))
        return [item for item in yaml.safe_load_all(text) if item]

    def with_components(self, overlay: str) -> Path:
        """Return an overlay in which every component is wanted."""
        folder = self.copy / "overlays" / overlay
        file = folder / "kustomization.yaml"
        file.write_text(file.read_text().replace("  # - ../../components", "  - ../../components"))
        return folder

    def fill_in(self, file: str, values: dict[str, str]) -> Path:
        """Give a Secret of `deploy/secrets` other values, and no others."""
        where = self.copy / "secrets" / file
        where.write_text(yaml.safe_dump(yaml.safe_load(where.read_text()) | {"stringData": values}))
        return where

    def token(self, namespace: str, account: str) -> str:
        """Make an account, and return a token of it."""
        metadata = {"name": account, "namespace": namespace}
        self.kube.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        return self.kube.service_account_token(namespace, account)

    def wait_until_may(
        self, token: str, verb: str, resource: str, namespace: str, *, allowed: bool = True
    ) -> None:
        """Wait until the server judges so of a right, `resource` with its group: it sees roles a little later."""
        plural, _, group = resource.partition(".")
        attributes = {"verb": verb, "resource": plural, "namespace": namespace, "group": group}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        client = self.kube.client(token)
        asked = body | {"spec": {"resourceAttributes": attributes}}
        wait_until(lambda: client.create(REVIEWS, asked)["status"]["allowed"] is allowed, 10)

    def clear(self, *where: str) -> None:
        """Delete objects, or all of collections, by their paths; what is not there does not matter."""
        for each in where:
            try:
                self.kube.admin.delete(each)
            except Refused as refused:
                if refused.status != 404:
                    raise

    def clear_applied(self, namespace: str) -> None:
        """Delete all Jobs, Secrets and ConfigMaps of a namespace."""
        # By default the server would wait for a controller that does not run here.
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs?propagationPolicy=Background"
        self.clear(
            jobs, *(f"/api/v1/namespaces/{namespace}/{plural}" for plural in ("secrets", "configmaps"))
        )
