"""The simulator with what the WSAPI has for copies: actions on volumes, and tasks."""

from collections.abc import Callable
from typing import Any

from tests.lab.arrays.hpe.copies import (
    ACTIVE,
    CPG_NOT_ALLOWED,
    NON_EXISTENT_TASK,
    PCOPY_TARGET,
    STEPS,
    Copies,
    SimTask,
)
from tests.lab.arrays.hpe.server import HpeSimulator, Record, User, members, need
from tests.lab.arrays.hpe.system import (
    BAD_ENUM,
    EXISTENT_VOL,
    IN_USE,
    INV_INPUT,
    MISSING_REQUIRED,
    WRONG_TYPE,
    Failure,
    SimVolume,
    Template,
    check_name,
)
from tests.lab.arrays.rest import Reply, Request

CANCEL = 1


class CopyingSimulator(HpeSimulator):
    """See the module; `copies` holds what may be set, and what is under way."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.copies = Copies(self)
        super().__init__(*arguments, **options)

    @property
    def copies_left(self) -> int:
        """Return how many copies are under way, or have left a volume tied; while requests may be answered."""
        with self._lock:
            return self.copies.count

    def remove_volume(self, name: str) -> None:
        """Delete a volume, and end what is copied from or onto it."""
        with self._lock:
            self.copies.forget(self.volumes[name])
            super().remove_volume(name)

    def _export(self, volume: str, host: str, lun_id: int, port: str) -> Template:
        with self._lock:
            if self.copies.being_written(self.volume(volume)):
                raise Failure(409, PCOPY_TARGET, "the volume is the target of a physical copy")
            return super()._export(volume, host, lun_id, port)

    def _respond(self, request: Request) -> Reply:
        with self._lock:
            self.copies.settle()
            return super()._respond(request)

    def _table(self) -> dict[str, dict[str, Callable[..., Reply]]]:
        table = super()._table()
        table["volumes/[^/]+"] |= {"POST": self._act_on_volume, "PUT": self._put_volume}
        return table | {
            "tasks/?": {"GET": self._list_tasks},
            "tasks/[^/]+": {"GET": self._get_task, "PUT": self._put_task},
        }

    # Volumes.

    def _act_on_volume(self, request: Request, _user: User, name: str) -> Reply:
        given = need(request.body, {"action": str, "parameters": dict}, {})
        source = self.volume(name)
        match given["action"]:
            case "createPhysicalCopy":
                return self._copy(source, given["parameters"])
            case "createSnapshot":
                wanted = need(given["parameters"], {"name": str}, {"readOnly": bool, "comment": str})
                made = self.copies.snapshot(source, wanted["name"], read_only=wanted.get("readOnly", False))
                return Reply(201, headers={"Location": f"/api/v1/volumes/{made.name}"})
        raise Failure(400, INV_INPUT, "invalid action")

    def _copy(self, source: SimVolume, parameters: Any) -> Reply:
        optional = {"destCPG": str, "snapCPG": str, "online": bool, "tpvv": bool}
        given = need(parameters, {"destVolume": str}, optional | {"saveSnapshot": bool, "priority": int})
        name = given["destVolume"]
        if given.get("online"):
            if "destCPG" not in given:
                raise Failure(400, MISSING_REQUIRED, "destCPG is required")
            if name in self.volumes:
                raise Failure(409, EXISTENT_VOL, "volume exists")
            self.add_volume(name, source.size_mib, domain=source.domain)
        elif "destCPG" in given:
            raise Failure(400, CPG_NOT_ALLOWED, "destCPG is for an online copy")
        keeps, priority = given.get("saveSnapshot", False), given.get("priority", 2)
        task = self.copies.start(source, self.volume(name), keeps=keeps, priority=priority)
        return Reply(200, {"taskid": task.id}, {"Location": f"/api/v1/volumes/{name}"})

    def _put_volume(self, request: Request, _user: User, name: str) -> Reply:
        volume = self.volume(name)
        optional = {"action": int, "newName": str, "snapCPG": str}
        promotion = {"online": bool, "allowRemoteCopyParent": bool, "priority": int}
        given = need(request.body, {}, optional | promotion)
        if "newName" in given:
            self._rename(volume, given["newName"])
        if "snapCPG" in given:
            volume.snap_cpg = given["snapCPG"]
        match given.get("action"):
            case None:
                return Reply(200)
            case 1:  # STOP_PHYSICAL_COPY
                self.copies.stop(volume)
                return Reply(200)
            case 2:  # RESYNC_PHYSICAL_COPY
                return Reply(200, {"taskid": self.copies.resync(volume).id})
            case 4:  # PROMOTE_VIRTUAL_COPY
                task = self.copies.promote(volume, online=given.get("online", False))
                return Reply(200, {"taskid": task.id})
        raise Failure(400, BAD_ENUM, "invalid action")

    def _rename(self, volume: SimVolume, name: str) -> None:
        check_name(name)
        if name in self.volumes:
            raise Failure(409, EXISTENT_VOL, "volume exists")
        if any(template.volume == volume.name for template in self.templates):
            raise Failure(409, IN_USE, "the simulator does not rename what is exported")
        self.volumes[name] = self.volumes.pop(volume.name)
        volume.name = name

    # Tasks.

    def _list_tasks(self, _request: Request, _user: User, _nothing: str = "") -> Reply:
        """Return all; flowkit puts a slash behind."""
        return members([task_record(task) for task in self.copies.tasks.values()])

    def _get_task(self, _request: Request, _user: User, task_id: str) -> Reply:
        return Reply(200, task_record(self._task(task_id)))

    def _put_task(self, request: Request, _user: User, task_id: str) -> Reply:
        task = self._task(task_id)
        if need(request.body, {"action": int}, {})["action"] != CANCEL:
            raise Failure(400, BAD_ENUM, "invalid action")
        self.copies.cancel(task)
        return Reply(200)

    def _task(self, task_id: str) -> SimTask:
        if not task_id.isdecimal():
            raise Failure(400, WRONG_TYPE, "the task ID is not an integer")
        if int(task_id) not in self.copies.tasks:
            raise Failure(404, NON_EXISTENT_TASK, "the task does not exist")
        return self.copies.tasks[int(task_id)]


def task_record(task: SimTask) -> Record:
    record: Record = {"id": task.id, "type": task.kind, "name": task.name, "status": task.shown}
    if task.shown == ACTIVE:
        record |= {"completedPhases": 0, "totalPhases": 1, "completedSteps": task.steps, "totalSteps": STEPS}
    times = {"startTime": "2026-11-28 04:20:19 UTC", "finishTime": "-"}
    return record | times | {"priority": task.priority, "user": "csi"}
