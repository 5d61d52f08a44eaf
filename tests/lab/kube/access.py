"""Who is asking, and may they? Bearer tokens and RBAC, judged by the very role objects in the store."""

import secrets
from dataclasses import dataclass
from typing import Any

from tests.lab.kube.resources import RESOURCES, Resource
from tests.lab.kube.statuses import Refusal, details, unauthorized
from tests.lab.kube.store import Store

Json = dict[str, Any]

OPEN_PATHS = ("/api", "/apis", "/version", "/healthz", "/livez", "/readyz", "/openapi")
"""what anybody who is known may read"""


@dataclass(frozen=True)
class User:
    """A name and the groups that come with it."""

    name: str
    groups: frozenset[str]


NOBODY = User("system:anonymous", frozenset({"system:unauthenticated"}))
ADMIN = User("admin", frozenset({"system:masters", "system:authenticated"}))


@dataclass(frozen=True)
class Attempt:
    """What somebody wants to do with which objects."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    sub: str = ""

    def forbidden(self, user: User) -> Refusal:
        """Return the refusal, worded as the real server words it."""
        resource, where = self.resource, "at the cluster scope"
        if self.namespace:
            where = f'in the namespace "{self.namespace}"'
        what = f"{resource.plural}/{self.sub}" if self.sub else resource.plural
        name = f' "{self.name}"' if self.name else ""
        message = (
            f'{resource.qualified(resource.plural)}{name} is forbidden: User "{user.name}" cannot {self.verb} '
            f'resource "{what}" in API group "{resource.group}" {where}'
        )
        return Refusal(403, "Forbidden", message, details(resource, self.name))


class Access:
    """Issues tokens and decides."""

    def __init__(self, store: Store, admin_token: str) -> None:
        self._store = store
        self._admin_token = admin_token
        self._issued: dict[str, tuple[str, str, str]] = {}

    def issue(self, namespace: str, name: str) -> str:
        """Return a new token of a service account; it is good for as long as this very account exists."""
        account = self._store.get(RESOURCES["serviceaccounts"], namespace, name)
        token = secrets.token_urlsafe(32)
        self._issued[token] = (namespace, name, account["metadata"]["uid"])
        return token

    def user(self, authorization: str | None) -> User:
        """Return who sent this Authorization header."""
        if not authorization:
            return NOBODY
        token = authorization.removeprefix("Bearer ")
        if token == self._admin_token:
            return ADMIN
        namespace, name, uid = self._issued.get(token, ("", "", ""))
        try:
            account = self._store.get(RESOURCES["serviceaccounts"], namespace, name)
        except Refusal as gone:
            raise unauthorized() from gone
        if account["metadata"]["uid"] != uid:
            raise unauthorized()
        groups = {"system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"}
        return User(f"system:serviceaccount:{namespace}:{name}", frozenset(groups))

    def check(self, user: User, attempt: Attempt) -> None:
        """Raise unless a role allows it."""
        if "system:masters" in user.groups:
            return
        if not any(_allows(rule, attempt) for rule in self._rules(user, attempt.namespace)):
            raise attempt.forbidden(user)

    def check_path(self, user: User, path: str) -> None:
        """Raise unless somebody may read a path that is no resource."""
        if user is ADMIN or (path.startswith(OPEN_PATHS) and user is not NOBODY):
            return
        if path in {"/healthz", "/livez", "/readyz", "/version"}:
            return
        raise Refusal(403, "Forbidden", f'forbidden: User "{user.name}" cannot get path "{path}"', {})

    def review_access(self, user: User, body: Json) -> Json:
        """Answer a SelfSubjectAccessReview: whether somebody may do one thing with resources."""
        _known(user)
        asked = body["spec"]["resourceAttributes"]
        group, plural = asked.get("group", ""), asked.get("resource", "")
        known = RESOURCES.get(plural)
        resource = known if known and known.group == group else Resource(plural, "", group)
        attempt = Attempt(
            asked.get("verb", ""),
            resource,
            asked.get("namespace", ""),
            asked.get("name", ""),
            asked.get("subresource", ""),
        )
        try:
            self.check(user, attempt)
        except Refusal:
            return {**body, "metadata": {}, "status": {"allowed": False}}
        return {**body, "metadata": {}, "status": {"allowed": True}}

    def review_user(self, user: User, body: Json) -> Json:
        """Answer a SelfSubjectReview: who somebody is."""
        _known(user)
        info = {"username": user.name, "groups": sorted(user.groups)}
        return {**body, "metadata": {}, "status": {"userInfo": info}}

    def review_rules(self, user: User, body: Json) -> Json:
        """Answer a SelfSubjectRulesReview: what somebody may do in a namespace."""
        _known(user)
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        rules = [everything] if user is ADMIN else self._rules(user, body["spec"]["namespace"])
        status = {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
        return {**body, "metadata": {}, "status": status}

    def _rules(self, user: User, namespace: str) -> list[Json]:
        """Return the rules of all roles that are bound to somebody in a namespace, and in the cluster."""
        bindings = self._all("clusterrolebindings", "")
        if namespace:
            bindings += self._all("rolebindings", namespace)
        rules: list[Json] = []
        for binding in bindings:
            if any(_is(subject, user) for subject in binding.get("subjects", [])):
                role = RESOURCES["roles" if binding["roleRef"]["kind"] == "Role" else "clusterroles"]
                where = namespace if role.namespaced else ""
                names = binding["roleRef"]["name"]
                rules += [
                    rule
                    for item in self._all(role.plural, where)
                    if item["metadata"]["name"] == names
                    for rule in item.get("rules", [])
                ]
        return rules

    def _all(self, plural: str, namespace: str) -> list[Json]:
        return self._store.list(RESOURCES[plural], namespace, lambda item: True)[1]


def _known(user: User) -> None:
    if user is NOBODY:
        raise Refusal(403, "Forbidden", f'forbidden: User "{user.name}" cannot review anything', {})


def _is(subject: Json, user: User) -> bool:
    if subject["kind"] == "ServiceAccount":
        return f"system:serviceaccount:{subject.get('namespace')}:{subject['name']}" == user.name
    return bool(
        subject["name"] in user.groups if subject["kind"] == "Group" else subject["name"] == user.name
    )


def _allows(rule: Json, attempt: Attempt) -> bool:
    what = attempt.resource.plural + (f"/{attempt.sub}" if attempt.sub else "")
    names = rule.get("resourceNames", [])
    return (
        bool({attempt.verb, "*"} & set(rule.get("verbs", [])))
        and bool({attempt.resource.group, "*"} & set(rule.get("apiGroups", [])))
        and bool({what, "*"} & set(rule.get("resources", [])))
        and (not names or attempt.name in names)
    )
