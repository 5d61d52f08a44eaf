"""Whether we may do all that the lease needs, found out before anything is changed elsewhere.

The server is asked once what we may do in the namespace. Its answer may be incomplete (not every authorizer can list
its rules) or refused; so a verb that it does not name is tried, in a way that can change nothing. What is forbidden is
then told in the server's own words.
"""

from collections.abc import Callable
from typing import Any

from lease.kube.api import Api, ApiError

VERBS = ("get", "list", "watch", "create", "update")
GROUP, RESOURCE = "coordination.k8s.io", "leases"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
_ALLOWED = {400, 404, 409, 422}
"""refused for what was asked, which is judged only after who has asked"""


def check_rights(api: Api, leases: str, namespace: str, timeout: float) -> None:
    """Raise the ApiError of a verb that is forbidden; `leases` is the path of the collection."""
    nothing: dict[str, Any] = {}
    tries: dict[str, Callable[[], object]] = {
        "get": lambda: api.get(f"{leases}/none", timeout),
        "list": lambda: api.get(leases, timeout, limit="1"),
        "watch": lambda: api.watch(leases, timeout, timeoutSeconds="1").close(),
        "create": lambda: api.create(leases, nothing, timeout),
        "update": lambda: api.replace(f"{leases}/none", nothing, timeout),
    }
    for verb in sorted(set(VERBS) - _told(api, namespace, timeout), key=VERBS.index):
        try:
            tries[verb]()
        except ApiError as error:
            if error.status not in _ALLOWED or error.no_namespace:
                raise


def _told(api: Api, namespace: str, timeout: float) -> set[str]:
    """Return the verbs that the server says are allowed for all leases of a namespace."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    try:
        answer = api.create(_REVIEWS, {**review, "spec": {"namespace": namespace}}, timeout)
    except ApiError as error:
        if error.status not in {403, 404}:
            raise
        return set()
    rules = (answer.get("status") or {}).get("resourceRules") or []
    verbs = {verb for rule in rules if _is_for_leases(rule) for verb in rule.get("verbs") or []}
    return set(VERBS) if "*" in verbs else verbs


def _is_for_leases(rule: dict[str, Any]) -> bool:
    groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
    return bool({GROUP, "*"} & {*groups} and {RESOURCE, "*"} & {*resources} and not rule.get("resourceNames"))
