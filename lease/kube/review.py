"""What the API server says of itself and of us: its version and clock, who we are to it, and what we may do.

Promises to change nothing: a review is sent as a POST, and nothing of it is stored.
"""

from dataclasses import dataclass
from datetime import datetime

from lease.kube.api import Api, ApiError, Json
from lease.kube.errors import grant_to

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io/v1", "authentication.k8s.io/v1"


@dataclass(frozen=True)
class Server:
    """The API server, as it answers us."""

    version: str
    user: str
    """who we are to it; empty where it is older than 1.28, which cannot say so"""
    now: datetime | None
    """by its own clock, to the second"""


@dataclass(frozen=True)
class Right:
    """To do one thing with the objects of a resource; in the cluster where no namespace is named."""

    verb: str
    resource: str
    namespace: str = ""
    group: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Return it as people say it."""
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{name} {f'in {self.namespace}' if self.namespace else 'in the cluster'}"


def see_server(api: Api) -> Server:
    """Return what the API server is, and who we are to it."""
    about, now = api.get_dated("/version")
    return Server(str(about.get("gitVersion") or ""), _user(api), now)


def may(api: Api, right: Right) -> bool:
    """Return whether we have a right, in the server's own judgement."""
    attributes = {"verb": right.verb, "resource": right.resource, "group": right.group}
    attributes |= {"namespace": right.namespace, "name": right.name}
    asked = {"resourceAttributes": {name: value for name, value in attributes.items() if value}}
    answer = _review(api, AUTHORIZATION, "SelfSubjectAccessReview", asked)
    return (answer.get("status") or {}).get("allowed") is True


def namespace_exists(api: Api, name: str, known_by: Right) -> bool | None:
    """Return whether there is a namespace; None where that cannot be found out.

    Who may not read it knows it by a right of its own in there: one that it has there and not everywhere comes from
    a binding in that namespace.
    """
    try:
        api.get(f"/api/v1/namespaces/{name}")
    except ApiError as error:
        if error.status == 404:
            return False
        if not error.forbidden:
            raise
    else:
        return True
    everywhere = Right(known_by.verb, known_by.resource, "", known_by.group)
    return True if may(api, known_by) and not may(api, everywhere) else None


def grants(user: str, missing: list[Right]) -> list[str]:
    """Return the commands that give rights, one for each resource and namespace."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for right in missing:
        wanted.setdefault((right.resource, right.namespace), []).append(right.verb)
    return [grant_to(user, *where, ",".join(dict.fromkeys(verbs))) for where, verbs in wanted.items()]


def _user(api: Api) -> str:
    try:
        answer = _review(api, AUTHENTICATION, "SelfSubjectReview", {})
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return ""
    info = (answer.get("status") or {}).get("userInfo") or {}
    return str(info.get("username") or "")


def _review(api: Api, group: str, kind: str, spec: Json) -> Json:
    body: Json = {"apiVersion": group, "kind": kind}
    return api.create(f"/apis/{group}/{kind.lower()}s", body | ({"spec": spec} if spec else {}))
