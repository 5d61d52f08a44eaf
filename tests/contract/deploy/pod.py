"""The pod of a Job, read from the API server: what kubelet would make of it, as far as a process sees that.

Arguments, environment and the files of mounted ConfigMaps and Secrets are the pod's own. What belongs to the node is
this machine's: a mount's path is a folder of the test, and the service account's token comes by a kubeconfig.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any

from tests.contract.deploy.cluster import Cluster

Json = dict[str, Any]


@dataclass(frozen=True)
class Started:
    """What a container is started with."""

    arguments: list[str]
    environment: dict[str, str]


def started_by(cluster: Cluster, job: str, namespace: str) -> Started:
    """Return how the one container of a Job is started, with the token of the pod's account."""
    found = cluster.kube.admin.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/{job}")
    spec = found["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    environment = _environment(cluster, container, namespace)
    arguments = [_expanded(argument, environment) for argument in container["args"]]
    for mount in container["volumeMounts"]:
        files = _files(cluster, spec["volumes"], mount["name"], namespace)
        folder = cluster.folder / "mounts" / job / mount["name"]
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        if files:
            arguments = [argument.replace(mount["mountPath"], str(folder)) for argument in arguments]
    if spec.get("automountServiceAccountToken", True):
        token = cluster.kube.service_account_token(namespace, spec["serviceAccountName"])
        environment["KUBECONFIG"] = str(cluster.kube.kubeconfig(cluster.folder / "pod", token=token))
    return Started(arguments, {"HOSTNAME": f"{job}-x7k2p", **environment})


def _environment(cluster: Cluster, container: Json, namespace: str) -> dict[str, str]:
    """Return the variables: those of whole objects first, later ones over earlier ones, then those by name."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        kind, reference = next(iter(source.items()))
        plural = {"configMapRef": "configmaps", "secretRef": "secrets"}[kind]
        if reference.get("optional") and reference["name"] not in _names(cluster, plural, namespace):
            continue
        found |= {
            name: value.decode()
            for name, value in _data(cluster, plural, reference["name"], namespace).items()
        }
    for variable in container.get("env", []):
        assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
        found[variable["name"]] = namespace
    return found


def _expanded(argument: str, environment: dict[str, str]) -> str:
    """Put variables in, as kubelet does: one that there is not stays as it is written."""
    return re.sub(r"\$\((\w+)\)", lambda match: environment.get(match[1], match[0]), argument)


def _files(cluster: Cluster, volumes: list[Json], name: str, namespace: str) -> dict[str, bytes]:
    (volume,) = [volume for volume in volumes if volume["name"] == name]
    if "configMap" in volume:
        return _data(cluster, "configmaps", volume["configMap"]["name"], namespace)
    if "secret" in volume:
        return _data(cluster, "secrets", volume["secret"]["secretName"], namespace)
    return {}


def _data(cluster: Cluster, plural: str, name: str, namespace: str) -> dict[str, bytes]:
    data = cluster.kube.admin.get(f"/api/v1/namespaces/{namespace}/{plural}/{name}").get("data") or {}
    read = base64.b64decode if plural == "secrets" else str.encode
    return {key: read(value) for key, value in data.items()}


def _names(cluster: Cluster, plural: str, namespace: str) -> set[str]:
    items = cluster.kube.admin.list(f"/api/v1/namespaces/{namespace}/{plural}")
    return {item["metadata"]["name"] for item in items}
