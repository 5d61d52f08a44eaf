"""Files of one datastore, through vCenter: read and written over HTTPS, put in place by the file manager.

A file is replaced as a whole: written beside it under a name of its writer's own, read back and compared, then moved
over the old one. So nobody ever sees half of it, and whoever has the old one open (a shell reads its script as it goes)
keeps reading the old one. Two writers at once do each other no harm: the last one's file stays. Who finds a writer dead
can work out that name, and discard what was not put in place.
"""

import logging
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode
from uuid import NAMESPACE_OID, uuid5

from vsphere.errors import VsphereError
from vsphere.ports import Clock
from vsphere.vcenter.properties import read
from vsphere.vcenter.session import Session

log = logging.getLogger(__name__)

TASK_SECONDS = 60.0
TIDY_UNTIL = 20.0
"""seconds after we were told to stop, for the removal of what is not in place yet"""
PRIVILEGES = (
    "Give the vCenter user the privileges Datastore.Browse and Datastore.FileManagement, on the datastore and "
    "(for access over HTTPS) on its datacenter."
)
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
SEE_TASKS = "Look at the tasks of that datastore in vCenter, then start the migration again."


def name_beside(file: str, writer: str) -> str:
    """Return the name under which a writer writes a file before it is put in place."""
    return f"{file}.{uuid5(NAMESPACE_OID, writer).hex}"


class Datastore:
    """A datastore by name, in the datacenter of an id and an inventory path (`folder/datacenter`)."""

    def __init__(self, session: Session, name: str, datacenter: str, path: str, clock: Clock) -> None:
        self.name = name
        self._session = session
        self._datacenter = session.reference("Datacenter", datacenter)
        self._query = urlencode({"dcPath": path, "dsName": name}, quote_via=quote)
        self._clock = clock

    def read(self, file: str) -> bytes | None:
        """Return a file's content; None where there is none."""
        status, content = self._session.fetch("GET", self._target(file))
        if status == HTTPStatus.NOT_FOUND:
            return None
        self._expect(status, "read", file)
        return content

    def replace(self, file: str, content: bytes, writer: str) -> None:
        """Let a file have this content, see the module; repeatable. No two writers of one name at once."""
        beside = name_beside(file, writer)
        try:
            status, _ = self._session.fetch("PUT", self._target(beside), content)
            self._expect(status, "write", file)
            if self.read(beside) != content:
                raise VsphereError(
                    f"Datastore {self.name} does not give back what was written to it as {beside}.",
                    "Look at the datastore's free space and health.",
                )
            self._session.repeat(lambda: self._put_in_place(beside, file, content))
        except BaseException:
            with suppress(VsphereError), self._clock.grace(TIDY_UNTIL):
                self._delete(beside)
            raise

    def unfinished(self, file: str, writer: str) -> bool:
        """Return whether a writer has left what it wrote, or some of it, without putting it in place.

        Where our user may read no files there is nothing to be found: then it has not written any, either.
        """
        beside = name_beside(file, writer)
        status, _ = self._session.fetch("GET", self._target(beside))
        if status == HTTPStatus.NOT_FOUND or status in REFUSED:
            return False
        self._expect(status, "read", beside)
        return True

    def discard(self, file: str, writer: str) -> bool:
        """Remove what a writer that died has not put in place; return whether there was any. Repeatable."""
        if not self.unfinished(file, writer):
            return False
        self._session.repeat(lambda: self._remove(name_beside(file, writer)))
        return True

    def _remove(self, file: str) -> None:
        try:
            self._delete(file)
        except VsphereError:
            if self.read(file) is not None:  # else just the answer was lost, or the move came to its end
                raise

    def _put_in_place(self, beside: str, file: str, content: bytes) -> None:
        try:
            self._move(beside, file)
        except VsphereError:
            if not self._holds(file, content):  # else just the answer was lost, of this try or one before
                raise

    def _holds(self, file: str, content: bytes) -> bool:
        try:
            return self.read(file) == content
        except VsphereError:
            return False

    def _move(self, source: str, target: str) -> None:
        files, where = self._session.content.fileManager, self._datacenter
        names = [f"[{self.name}] {name}" for name in (source, target)]
        self._finish(
            self._session.call(lambda: files.MoveDatastoreFile_Task(names[0], where, names[1], where, True))
        )

    def _delete(self, file: str) -> None:
        files, name = self._session.content.fileManager, f"[{self.name}] {file}"
        self._finish(self._session.call(lambda: files.DeleteDatastoreFile_Task(name, self._datacenter)))

    def _finish(self, task: Any) -> None:
        """Wait for a task of vCenter; raise what it failed by."""
        if task is None:  # what a proxy may make of an answer
            raise VsphereError(
                f"vCenter named no task for what it was asked to do on datastore {self.name}.", SEE_TASKS
            )
        moid, deadline = str(task._GetMoId()), self._clock.now() + TASK_SECONDS
        while True:
            info = read(self._session, ("Task", ("info.state", "info.error"), [moid]))[moid]
            state = str(info.get("info.state", ""))
            if state == "success":
                return
            if state == "error":
                raise self._failed(info.get("info.error"))
            if self._clock.now() > deadline:
                raise VsphereError(f"vCenter's task on datastore {self.name} does not end.", SEE_TASKS)
            self._clock.wait(0.05)

    def _failed(self, fault: Any) -> VsphereError:
        name = type(getattr(fault, "fault", fault)).__name__.rpartition(".")[2]
        message = str(getattr(fault, "localizedMessage", "") or getattr(fault, "msg", "") or "")
        text = f"A file on datastore {self.name} could not be replaced: {name} {message}".strip()
        return VsphereError(f"{text.rstrip('.')}.", PRIVILEGES)

    def _target(self, file: str) -> str:
        return f"/folder/{quote(file)}?{self._query}"

    def _expect(self, status: int, act: str, file: str) -> None:
        if status not in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
            refused = status in REFUSED
            raise VsphereError(
                f"vCenter does not let us {act} {file} on datastore {self.name} (HTTP {status}).",
                PRIVILEGES if refused else "Look at the datastore's free space and health.",
            )
