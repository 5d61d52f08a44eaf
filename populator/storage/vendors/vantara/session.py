"""The way in to a VSP: which array it is, and a session on it, by user and password.

An array has 64 sessions, and forgets one that nobody uses for 300 s. Each call in ours asks the array to answer when
its job is done, for as long as we would wait for an answer.
"""

from collections.abc import Mapping

from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import ODD, Answer
from populator.storage.failures import Refused
from populator.storage.login import Basic, Send

ROOT = "/ConfigurationManager"
STORAGES = f"{ROOT}/v1/objects/storages"
OLDEST = (1, 9)
"""version of the API; the Go populator asks for it, too"""
TAKEN = "If this goes on, all its sessions may be taken; one that nobody uses is forgotten after 5 minutes."


class Session:
    """See the module."""

    def __init__(self, access: Access) -> None:
        self._basic = Basic(access)
        self._wanted = access.options.get("STORAGE_ID", "").strip()
        self._patience = int(access.timeout / 2)
        self._number = ""
        """of the session"""
        self.array: tuple[str, str] | None = None
        """storage device id and serial number, once known"""

    @property
    def base(self) -> str:
        """Path of the array's objects; known after the log-in."""
        return f"{STORAGES}/{self.array[0] if self.array else ''}"

    def begin(self, send: Send) -> Mapping[str, str]:
        """Log in."""
        if self.array is None:
            _check(send("GET", f"{ROOT}/configuration/version", "tell the version of its API"))
            self.array = self._choose(send("GET", STORAGES, "tell which arrays it manages"))
        try:
            answer = send(
                "POST", f"{self.base}/sessions", "let us in", body={}, headers=self._basic.begin(send)
            )
        except Refused as refusal:
            refusal.hint = TAKEN if refusal.passing else refusal.hint
            raise
        self._number = str(answer.number("sessionId"))
        session = {"Authorization": f"Session {answer.text('token')}"}
        if not self._patience:
            return session
        return session | {
            "Response-Job-Status": "Completed;",
            "Response-Max-Wait": str(self._patience),
        }

    def expired(self, refusal: Refused) -> bool:
        """Return whether the session is not known any more; missing rights are 403."""
        return refusal.status == 401

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        """Discard the session."""
        send("DELETE", f"{self.base}/sessions/{self._number}", "let us out", headers=headers)

    def _choose(self, answer: Answer) -> tuple[str, str]:
        """Return the array that STORAGE_ID names by id or serial number, else the only one."""
        arrays = [
            (row.text("storageDeviceId"), row.optional("serialNumber")) for row in answer.records("data")
        ]
        chosen = [ids for ids in arrays if self._wanted in {"", *ids}]
        if len(chosen) == 1:
            return chosen[0]
        known = ", ".join(sorted(f"{device} (serial number {serial})" for device, serial in arrays)) or "none"
        if self._wanted:
            raise StorageError(
                f"STORAGE_ID is {self._wanted[:100]!r}, and at STORAGE_HOSTNAME there is: {known}.",
                "Correct it: the storage device id, or the serial number.",
            )
        raise StorageError(
            f"At STORAGE_HOSTNAME there are {len(arrays)} arrays: {known}.", "Set STORAGE_ID to one of them."
        )


def _check(answer: Answer) -> None:
    """Refuse an API that is too old."""
    version = answer.text("apiVersion")
    parts = version.split(".")[:2]
    if len(parts) < 2 or not all(part.isdecimal() for part in parts):
        raise StorageError(f"The array says that its API has the version {version[:100]!r}.", ODD)
    if tuple(map(int, parts)) < OLDEST:
        raise StorageError(
            f"The array's API has the version {version}; this program needs {'.'.join(map(str, OLDEST))} or later.",
            "Update the array's microcode, or its Ops Center API Configuration Manager.",
        )
