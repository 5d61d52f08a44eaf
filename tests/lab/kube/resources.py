"""The resources of the Kubernetes API that this project touches, and the paths they have."""

from dataclasses import dataclass

SERVED_BY_ALL = ("create", "delete", "get", "list", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One resource, in the one version that is used."""

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    create_on_update: bool = False
    """a PUT may create it"""
    blind_update: bool = True
    """a PUT needs no resourceVersion"""
    subresource: str = ""
    """the part that has a path of its own, and is left alone by a PUT of the whole"""

    @property
    def api_version(self) -> str:
        """Return the `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def qualified(self, word: str) -> str:
        """Return plural or kind as messages spell it, with the group."""
        return f"{word}.{self.group}" if self.group else word


FORKLIFT = "forklift.konveyor.io"
_RBAC = "rbac.authorization.k8s.io"
_ALL = (
    Resource("namespaces", "Namespace", namespaced=False, subresource="finalize"),
    Resource("persistentvolumeclaims", "PersistentVolumeClaim", subresource="status"),
    Resource("persistentvolumes", "PersistentVolume", namespaced=False, subresource="status"),
    Resource("secrets", "Secret"),
    Resource("serviceaccounts", "ServiceAccount", subresource="token"),
    Resource("leases", "Lease", "coordination.k8s.io", create_on_update=True, blind_update=False),
    Resource(
        "vspherexcopyvolumepopulators", "VSphereXcopyVolumePopulator", FORKLIFT, "v1beta1", blind_update=False
    ),
    Resource("roles", "Role", _RBAC, create_on_update=True),
    Resource("rolebindings", "RoleBinding", _RBAC, create_on_update=True),
    Resource("clusterroles", "ClusterRole", _RBAC, namespaced=False, create_on_update=True),
    Resource("clusterrolebindings", "ClusterRoleBinding", _RBAC, namespaced=False, create_on_update=True),
)
RESOURCES = {resource.plural: resource for resource in _ALL}
KINDS = {resource.kind: resource for resource in _ALL}
GROUPS = {resource.group: resource.version for resource in _ALL if resource.group}
"""version by group"""


def path(plural: str, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
    """Return the path of a collection, or with a name that of an object."""
    resource = RESOURCES[plural]
    parts = ["/apis" if resource.group else "/api", resource.api_version]
    if namespace:
        parts += ["namespaces", namespace]
    return "/".join([*parts, plural, *filter(None, (name, sub))])
