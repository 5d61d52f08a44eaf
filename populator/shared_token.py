"""The token of an array's session, shared by all runs of the cluster: a key of the Secret `storage-array-secret`.

Forklift makes that Secret, empty, and lets a populator get and update it by name, no more. Its Go populator keeps
tokens there, too, under keys that do not name the user; ours do, so neither takes or overwrites what is another user's
or the other program's. The other keys stay as they are: a write carries the resourceVersion that was read.

Nothing here ends or delays a run: where the Secret cannot be used, a warning says so once, and the run has a token of
its own.
"""

import base64
import hashlib
import json
import logging
import re
from typing import Any

from lease.kube.api import Api, ApiError
from populator.address import Address
from populator.clock import Clock, Late

log = logging.getLogger(__name__)

SECRET = "storage-array-secret"  # noqa: S105 - its name
SECONDS = 3.0
"""for one call: a log-in of our own takes less than a long wait"""
CONFLICT = 409
TRIES = 3
"""to write, where others write at the same moment"""


class SharedToken:
    """See the module; satisfies `storage.access.TokenCache`."""

    def __init__(
        self, api: Api, namespace: str, vendor: str, array: Address, user: str, clock: Clock
    ) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{SECRET}"
        self._namespace = namespace
        self._key = key_of(vendor, array, user)
        self._clock = clock
        self._usable = True

    def read(self) -> str:
        """Return the token that was written last; empty where there is none, or none can be read."""
        return token_in(self._get().get("data"), self._key)

    def write(self, token: str) -> None:
        """Keep a token for the runs to come."""
        content = json.dumps({"token": token, "updatedAt": self._clock.utc().isoformat(timespec="seconds")})
        value = base64.b64encode(content.encode()).decode()
        for _ in range(TRIES):
            secret = self._get()
            if not secret:
                return
            secret["data"] = (secret.get("data") or {}) | {self._key: value}
            if self._replace(secret):
                return
        log.info("the token of the array's session is not shared: others write to the Secret %s", SECRET)

    def _get(self) -> dict[str, Any]:
        """Return the Secret; empty where it cannot be had, of which the first time tells."""
        if not self._usable:
            return {}
        try:
            with self._clock.blocking():
                return self._api.get(self._path, self._clock.limit(SECONDS))
        except (ApiError, Late) as error:
            self._give_up(error)
            return {}

    def _replace(self, secret: dict[str, Any]) -> bool:
        """Write the Secret; return whether that is over, well or not: else somebody else has written to it."""
        try:
            with self._clock.blocking():
                self._api.replace(self._path, secret, self._clock.limit(SECONDS))
        except (ApiError, Late) as error:
            if isinstance(error, ApiError) and error.status == CONFLICT:
                return False
            self._give_up(error)
        return True

    def _give_up(self, error: ApiError | Late) -> None:
        """Do without the Secret from now on, and say what to do about it."""
        self._usable = False
        hint = error.hint if isinstance(error, ApiError) else ""
        if isinstance(error, ApiError) and error.status in {403, 404}:
            hint = (
                f"Let the populator get and update the Secret {SECRET} in namespace {self._namespace}; Forklift makes "
                "it."
            )
        log.warning(
            "the token of the array's session is not shared with other runs, and the array serves only few: %s %s",
            error,
            hint,
        )


def key_of(vendor: str, array: Address, user: str) -> str:
    """Return the key of a user's token; of the user it has a checksum, since a key may not have all characters."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", str(array))[:100]
    checksum = hashlib.sha256(f"{array}\n{user}".encode()).hexdigest()[:16]
    return f"{vendor}-token-{host}-{checksum}"


def token_in(data: Any, key: str) -> str:
    """Return the token of a key; empty where anything else stands there."""
    try:
        content = json.loads(base64.b64decode(data[key]))
        token = content["token"]
    except (KeyError, TypeError, ValueError):
        return ""
    return token if isinstance(token, str) else ""
