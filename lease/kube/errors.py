"""What may go wrong with the Kubernetes API: one sentence and the next step, for the user.

The sentences for an API that cannot be reached, is not trusted, or refuses us stand here and nowhere else: every call
to Kubernetes meets the same few troubles. None of them holds a token.
"""

import re

_RIGHTS = {
    "leases": "get,list,watch,create,update",
    "persistentvolumeclaims": "get,watch",
    "persistentvolumes": "get",
}
"""what the populator needs; a hint grants all of it at once, else the verbs would be missed one by one"""

BELIEVED_AFTER = 2.0
"""seconds within which a 403 is asked again before it is believed: a role that was just given is not seen at once"""
BELIEVED_FROM_STARTING = 30.0
"""the same of a server that does not say that it is ready: one that starts forbids everything until it has read its
roles, in the words that it has for a right that is missing"""


class ApiError(Exception):
    """A call to the Kubernetes API failed.

    `status` is the HTTP status, or None where no whole answer came: a write may have been done all the same.
    `reason` is Kubernetes' word for it (`Conflict`, `NotFound`), or ours: `Unreachable`, `Untrusted`, `Config`.
    """

    def __init__(
        self,
        request: str,
        server: str,
        *,
        reason: str,
        message: str,
        status: int | None = None,
        retry_after: float | None = None,
        believed_after: float = BELIEVED_AFTER,
    ) -> None:
        self.request = request
        """verb and path"""
        self.server = server
        self.reason = reason
        self.message = message
        self.status = status
        self.retry_after = retry_after
        """seconds that the server told us to stay away"""
        self.believed_after = believed_after
        """seconds for which it is to be asked again where it forbids something"""
        self.text, self.hint = _no_answer(self) if status is None else _refusal(self)
        super().__init__(self.text)

    @property
    def final(self) -> bool:
        """Whether asking again cannot help until somebody has repaired something."""
        return self.reason in {"Untrusted", "Config"} or self.status in {401, 403, 422} or self.no_namespace

    @property
    def forbidden(self) -> bool:
        """Whether a right is missing, or the server does not know our rights yet."""
        return self.status == 403

    @property
    def no_namespace(self) -> bool:
        """Whether the namespace itself is missing: a create says so, while a read just finds nothing."""
        return self.status == 404 and self.message.startswith("namespaces ")


def _no_answer(error: ApiError) -> tuple[str, str]:
    """Return text and hint for a server that cannot be spoken to."""
    if error.reason == "Config":
        return (
            f"There is no way to the Kubernetes API: {error.message}.",
            "Name a kubeconfig, or run in a pod with a service account.",
        )
    if error.reason == "Untrusted":
        hint = "Check the server's address and its certificate authority: "
        hint += "ca.crt of the service account, or certificate-authority(-data) in the kubeconfig."
        return (
            f"The certificate of the Kubernetes API server {error.server} is not trusted: {error.message}.",
            hint,
        )
    return (
        f"The Kubernetes API server {error.server} did not answer {error.request}: {error.message}.",
        "Check the server's address, its health (oc get --raw /readyz) and the network policies.",
    )


def _refusal(error: ApiError) -> tuple[str, str]:
    """Return text and hint for an answer that is not a success."""
    if error.status == 401:
        return (
            f"The Kubernetes API server {error.server} does not accept our credentials (401).",
            "The token may have expired: `oc whoami` tells; in a pod, check its service account.",
        )
    if error.forbidden:
        return f"Kubernetes forbids {error.request}: {error.message}.", grant(error)
    if error.no_namespace:
        name = _part(error.request, "namespaces")
        return f"The namespace {name} does not exist.", f"oc create namespace {name}"
    return f"Kubernetes answered {error.request} with {error.status} {error.reason}: {error.message}.", ""


def grant(error: ApiError, verbs: str = "") -> str:
    """Return the commands that give the rights that were missing: those `verbs`, or all that the populator needs."""
    resource = next((name for name in _RIGHTS if re.search(rf"/{name}(/|$)", error.request)), "")
    if not resource:
        return "Give the service account the right that is named above."
    user = re.search(r'User "([^"]+)"', error.message)
    return grant_to(
        user.group(1) if user else "",
        resource,
        _part(error.request, "namespaces"),
        verbs or _RIGHTS[resource],
    )


def grant_to(user: str, resource: str, namespace: str, verbs: str) -> str:
    """Return the commands that give a user rights on a resource, in a namespace or (empty) in the whole cluster.

    `user` is as the API server knows it; empty: a service account that the reader has to name.
    """
    account = user.removeprefix("system:serviceaccount:") or "NAMESPACE:populator"
    who = f"--serviceaccount={account}" if ":" in account else f"--user={account}"
    name = f"xcopy-{resource}"
    kind, where = ("role", f" -n {namespace}") if namespace else ("clusterrole", "")
    what = "leases.coordination.k8s.io" if resource == "leases" else resource
    commands = (
        f"oc create {kind} {name} --verb={verbs} --resource={what}{where} && "
        f"oc create {kind}binding {name} --{kind}={name} {who}{where}"
    )
    return (
        commands if not namespace else f"{commands} (does the namespace exist: oc get namespace {namespace})"
    )


def _part(path: str, after: str) -> str:
    """Return the segment of a path that follows another, or nothing."""
    found = re.search(rf"/{after}/([^/]+)", path)
    return found.group(1) if found else ""
