"""Kubernetes: which rights a populate needs, and what is said of rights, namespaces, slots and clocks."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lease.kube.review import Right, Server, grants
from lease.overview import TROUBLED, SlotState, SlotView
from lease.rights import GROUP, VERBS
from populator.preflight.line import Line, failed, not_checked, passed, warning
from populator.settings.values import SLOTS

PVC_VERBS = ("get", "watch")
TOKEN_VERBS = ("get", "update")
TOKENS = "storage-array-secret"
"""the Secret by which all runs share the token of an array that serves only few"""
APART = 5.0
"""seconds that two clocks may differ: half of the time for which a Go populator believes a slot's date by default"""


def needed_rights(namespace: str, leases: str, *, tokens: bool) -> list[Right]:
    """Return what a populate does in Kubernetes, in the namespace of the volume and in that of the host lease."""
    rights = [Right(verb, "leases", leases, GROUP) for verb in VERBS]
    rights.append(Right("get", "persistentvolumes"))
    if namespace:
        rights += [Right(verb, "persistentvolumeclaims", namespace) for verb in PVC_VERBS]
        rights += [Right(verb, "leases", namespace, GROUP) for verb in VERBS]
    if tokens:
        rights += [Right(verb, "secrets", leases, name=TOKENS) for verb in TOKEN_VERBS]
    return rights


def judge_server(server: Server, address: str) -> list[Line]:
    """Say what the API server is, and who we are to it."""
    who = f", as {server.user}" if server.user else ""
    return [passed("API server", f"{address} answers, Kubernetes {server.version}{who}")]


def judge_rights(answers: Mapping[Right, bool], user: str) -> list[Line]:
    """Name each right that is missing, with the command that gives it."""
    missing = [right for right, granted in answers.items() if not granted]
    if not missing:
        return [passed("rights", f"all {len(answers)} that a populate needs")]
    lines = []
    for resource, namespace in dict.fromkeys((right.resource, right.namespace) for right in missing):
        those = [right for right in missing if (right.resource, right.namespace) == (resource, namespace)]
        verbs, name = ", ".join(right.verb for right in those), those[0].name
        where = f"in namespace {namespace}" if namespace else "in the cluster"
        text = f"missing: {verbs} {' '.join(filter(None, (resource, name)))} {where}"
        say = warning if resource == "secrets" else failed  # without it, each run has a session of its own
        lines.append(say("rights", text, grants(user, those)[0]))
    return lines


def judge_namespace(name: str, *, exists: bool | None) -> list[Line]:
    """Say whether the namespace of the host lease is there."""
    if exists is None:
        return [
            not_checked(
                "lease namespace", f"whether {name} exists may not be read", f"oc get namespace {name}"
            )
        ]
    if not exists:
        return [
            failed("lease namespace", f"the namespace {name} does not exist", f"oc create namespace {name}")
        ]
    return [passed("lease namespace", name)]


def judge_slots(slots: Sequence[SlotView], namespace: str) -> list[Line]:
    """Say of a host's slots who holds them: a populate would wait where none is free."""
    if not slots:
        return [passed("slots", "free: no populate has used this host yet")]
    troubled = [slot for slot in slots if slot.state in TROUBLED]
    if troubled:
        text = ", ".join(f"slot {slot.number} is {slot.state}, held by {slot.pod}" for slot in troubled)
        mend = f"see what was left: populator leases -n {namespace} -o wide"
        return [warning("slots", text, mend)]
    held = [slot for slot in slots if slot.state == SlotState.HELD]
    if len(held) >= SLOTS:
        holders = ", ".join(slot.pod for slot in held)
        return [
            warning("slots", f"all are held, by {holders}: a populate would wait", "populator leases --watch")
        ]
    return [passed("slots", f"{len(held)} of {SLOTS} held" if held else "free")]


def judge_clock(whose: str, theirs: datetime | None, ours: datetime, mend: str) -> list[Line]:
    """Compare a clock with ours."""
    check = "clock"
    if theirs is None:
        return [not_checked(check, f"{whose} does not say what time it is")]
    ahead = (theirs - ours).total_seconds()
    if abs(ahead) <= APART:
        return [passed(check, f"{whose} agrees with this machine's within {APART:.0f} s")]
    way = "ahead of" if ahead > 0 else "behind"
    return [warning(check, f"{whose} is {abs(ahead):.0f} s {way} this machine's", mend)]
