"""The Status objects with which an API server refuses, worded as the real one words them (v1.37)."""

from typing import Any

from tests.lab.kube.resources import Resource

Json = dict[str, Any]


class Refusal(Exception):
    """Ends a request with a Status object."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }
        self.body = {key: value for key, value in self.body.items() if value not in (None, "")}


def details(resource: Resource, name: str, kind: str = "", **more: Any) -> Json:
    """Return what a refusal is about."""
    facts = {"name": name, "group": resource.group, "kind": kind or resource.plural}
    return {key: value for key, value in facts.items() if value} | more


def not_found(resource: Resource, name: str) -> Refusal:
    """An object, or the namespace of one to be created, is missing."""
    message = f'{resource.qualified(resource.plural)} "{name}" not found'
    return Refusal(404, "NotFound", message, details(resource, name))


def already_exists(resource: Resource, name: str) -> Refusal:
    """Somebody created it before."""
    message = f'{resource.qualified(resource.plural)} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> Refusal:
    """The object is another one, or another version, than the writer read."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {resource.qualified(resource.plural)} "{name}": {why}'
    return Refusal(409, "Conflict", message, details(resource, name))


def another(resource: Resource, name: str, meant: str, stored: str) -> Refusal:
    """The object of that name is not the one that the writer means, or there is none any more (`stored` is empty)."""
    why = f"Precondition failed: UID in precondition: {meant}, UID in object meta: {stored}"
    return conflict(resource, name, f"StorageError: invalid object, AdditionalErrorMsg: {why}")


def unsupported(*accepted: str) -> Refusal:
    """The body is in a form that the server does not read here."""
    known = ", ".join(accepted)
    why = f"the body of the request was in an unknown format - accepted media types include: {known}"
    return Refusal(415, "UnsupportedMediaType", why)


def invalid(resource: Resource, name: str, field: str, why: str, *, update: bool = False) -> Refusal:
    """The object can be read but not accepted; an update's message names the plural, a create's the kind."""
    word = resource.plural if update else resource.kind
    cause = {
        "reason": "FieldValueRequired" if why.startswith("Required") else "FieldValueInvalid",
        "message": why,
        "field": field,
    }
    message = f'{resource.qualified(word)} "{name}" is invalid: {field}: {why}'
    return Refusal(422, "Invalid", message, details(resource, name, word, causes=[cause]))


def unreadable(resource: Resource, why: str) -> Refusal:
    """The body is JSON but not an object of this kind."""
    message = f'{resource.kind} in version "v1" cannot be handled as a {resource.kind}: {why}'
    return Refusal(400, "BadRequest", message)


def bad_request(message: str) -> Refusal:
    """The request makes no sense."""
    return Refusal(400, "BadRequest", message)


def unknown_path() -> Refusal:
    """Nothing is served there."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def bad_method() -> Refusal:
    """Something is served there, but not this verb."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, {})


def unauthorized() -> Refusal:
    """The token is not known."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def expired(asked: int, oldest: int) -> Refusal:
    """The history does not reach back so far."""
    return Refusal(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large(asked: int, current: int) -> Refusal:
    """The version lies in the future."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return Refusal(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def terminating(resource: Resource, name: str, namespace: str) -> Refusal:
    """The namespace is being deleted."""
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    message = (
        f'{resource.qualified(resource.plural)} "{name}" is forbidden: unable to create new content in '
        f"namespace {namespace} because it is being terminated"
    )
    return Refusal(403, "Forbidden", message, details(resource, name, causes=[cause]))
