"""A simulator of Unisphere's REST API for one PowerMax: volumes, storage groups, hosts, masking views, jobs, iterators.

Real HTTPS, for any client. State and rules are those of `system`. As in Unisphere empty lists are left out of what is
read, long lists of volumes come by an iterator, and what is asked for asynchronously is a job.
"""

import itertools
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.lab.arrays.powermax.bodies import Record, check, devices_of, read_view
from tests.lab.arrays.powermax.rows import Rows
from tests.lab.arrays.powermax.system import IN_PROGRESS, Failure, System
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.arrays.service import Service
from tests.lab.san import San

BASE = "/univmax/restapi"
ID = r"([^/]+)"
PUT_FORBIDDEN = "You are not authorized to perform this operation"
JOB_STEPS = ("SCHEDULED", "RUNNING")
"""what a job is before it is done; each request lets all jobs go a step on"""


@dataclass(frozen=True)
class User:
    password: str
    writes: bool = True


@dataclass
class SimJob:
    id: str
    act: Callable[[], object]
    user: str
    steps: int = 0
    status: str = "SCHEDULED"
    result: str = ""

    def advance(self) -> None:
        if self.status not in JOB_STEPS:
            return
        self.steps += 1
        if self.steps < len(JOB_STEPS):
            self.status = JOB_STEPS[self.steps]
            return
        try:
            self.act()
            self.status, self.result = "SUCCEEDED", "Successfully completed"
        except Failure as failure:
            self.status, self.result = "FAILED", failure.message


class PowerMaxSimulator(System, Service):
    """One Unisphere with one array, served from its making to `close`.

    May be set at any time, beside what `System` names: `page_size` (the most volumes that a list gives at once),
    `version` and `offered` (the API versions that it lists; None as Unisphere before 10.1), `jobs_always`,
    `takes_lun_ids`, `change_seconds` (for which the array refuses others after each change).
    """

    def __init__(
        self,
        san: San,
        context: ssl.SSLContext,
        users: Mapping[str, User],
        version: str = "V10.1.0.5",
        offered: list[str] | None = None,
    ) -> None:
        super().__init__(san)
        self.users = users
        self.version, self.offered = version, offered
        self.page_size = 1000
        self.jobs_always, self.takes_lun_ids = False, True
        self.change_seconds, self._free_at = 0.0, 0.0
        self.jobs: dict[str, SimJob] = {}
        self.iterators: dict[str, list[str]] = {}
        self.bodies: list[tuple[str, str, Any]] = []
        """method, path and body of all changes that were let in"""
        self._number = itertools.count(1)
        self._rows = Rows(self)
        self.server = RestServer("powermax", context, self._respond)

    @property
    def older(self) -> bool:
        """Whether this is a PowerMax 2000 behind Unisphere 9.2, whose objects have other fields."""
        return self.version.startswith("V9")

    @property
    def apis(self) -> list[str]:
        """Return the API versions that are served."""
        return self.offered if self.offered is not None else ["92" if self.older else "100"]

    def path(self, rest: str, api: str = "") -> str:
        """Return the whole path of `maskingview/v1`, for `server.before`."""
        return f"{BASE}/{api or self.apis[-1]}/sloprovisioning/symmetrix/{self.id}/{rest}"

    def _respond(self, request: Request) -> Reply:
        with self._lock:
            user = self._user(request)
            if user is None:
                return Reply(401, b"<html><body>Unauthorized</body></html>")
            for job in self.jobs.values():
                job.advance()
            try:
                return self._route(request, user)
            except Failure as failure:
                return Reply(failure.status, {"message": failure.message})

    def _user(self, request: Request) -> str | None:
        name, password = request.basic or ("", "")
        known = self.users.get(name)
        return name if known and known.password == password else None

    def _route(self, request: Request, user: str) -> Reply:
        path = request.path.removeprefix(BASE)
        if path == "/version":
            return Reply(200, self._rows.version())
        if match := re.fullmatch(rf"/common/Iterator/{ID}(/page)?", path):
            return self._iterate(request, match[1], page=bool(match[2]))
        match = re.fullmatch(r"/(\d+)/(system|sloprovisioning)(/.*)", path)
        if not match or match[1] not in self.apis:
            raise Failure(404, f"There is no {request.path}")
        rest = match[3].removesuffix("/")
        if rest == "/symmetrix":
            return Reply(200, {"symmetrixId": [self.id]})
        if found := re.fullmatch(rf"(/symmetrix/{ID})?/job/{ID}", rest):
            return Reply(200, self._job(found[3]))
        found = re.fullmatch(rf"/symmetrix/{ID}(/.*)?", rest)
        if not found or found[1] != self.id:
            raise Failure(404, f"Could not find array {rest}")
        if not found[2]:
            return Reply(200, self._rows.symmetrix())
        return self._provision(request, user, found[2][1:])

    def _provision(self, request: Request, user: str, path: str) -> Reply:
        for method, pattern, known, handler in self._table():
            if method == request.method and (match := re.fullmatch(pattern, path)):
                if unknown := set(request.query) - set(known):
                    raise Failure(400, f"The query parameter {min(unknown)} is not known")
                if method == "GET":
                    return Reply(200, handler(*match.groups(), **request.query))
                return self._change(request, user, partial(handler, request.body, *match.groups()))
        raise Failure(404, f"There is no {request.method} of {path}")

    def _table(self) -> list[tuple[str, str, tuple[str, ...], Callable[..., Any]]]:
        rows = self._rows
        return [
            ("GET", "volume", ("storageGroupId", "volume_identifier", "wwn"), self._list_volumes),
            ("GET", f"volume/{ID}", (), rows.volume),
            ("GET", "storagegroup", ("storageGroupId", "volumeId"), rows.storage_groups),
            ("GET", f"storagegroup/{ID}", (), rows.storage_group),
            ("POST", "storagegroup", (), self._post_group),
            ("PUT", f"storagegroup/{ID}", (), self._put_group),
            ("DELETE", f"storagegroup/{ID}", (), lambda _, name: self.remove_storage_group(name)),
            ("GET", "portgroup", ("fibre", "iscsi"), rows.port_groups),
            ("GET", f"portgroup/{ID}", (), rows.port_group),
            ("GET", "initiator", ("in_a_host", "initiator_hba", "logged_in"), rows.initiators),
            ("GET", f"initiator/{ID}", (), rows.initiator),
            ("GET", "host", (), rows.hosts),
            ("GET", f"host/{ID}", (), rows.host),
            ("POST", "host", (), self._post_host),
            ("DELETE", f"host/{ID}", (), lambda _, name: self.remove_host(name)),
            ("GET", f"hostgroup/{ID}", (), rows.host_group),
            (
                "GET",
                "maskingview",
                ("port_group_name", "host_or_host_group_name", "storage_group_name"),
                rows.views,
            ),
            ("GET", f"maskingview/{ID}", (), rows.view),
            ("GET", f"maskingview/{ID}/connections", ("volume_id",), rows.connections),
            ("POST", "maskingview", (), self._post_view),
            ("DELETE", f"maskingview/{ID}", (), lambda _, name: self.remove_view(name)),
        ]

    def _change(self, request: Request, user: str, act: Callable[[], Any]) -> Reply:
        """Do it, or make a job of it."""
        if not self.users[user].writes:
            raise Failure(403, PUT_FORBIDDEN)
        if self.busy or time.monotonic() < self._free_at:
            self.busy = max(0, self.busy - 1)
            raise Failure(500, IN_PROGRESS)
        self._free_at = time.monotonic() + self.change_seconds
        self.bodies.append((request.method, request.path, request.body))
        option = (request.body or {}).get("executionOption", "SYNCHRONOUS")
        if option not in {"SYNCHRONOUS", "ASYNCHRONOUS"}:
            raise Failure(400, f"{option} is no executionOption")
        if option == "ASYNCHRONOUS" or self.jobs_always:
            job = SimJob(str(next(self._number)), act, user)
            self.jobs[job.id] = job
            return Reply(202, self._job(job.id))
        done = act()
        if request.method == "DELETE":
            return Reply(204, b"")
        return Reply(201 if request.method == "POST" else 200, done)

    def _job(self, key: str) -> Record:
        if key not in self.jobs:
            raise Failure(404, f"Could not find job {key}")
        job = self.jobs[key]
        task = [{"execution_order": 1, "description": "The change that was asked for"}]
        row = {"jobId": job.id, "name": f"job-{job.id}", "status": job.status, "username": job.user}
        return row | {"task": task} | ({"result": job.result} if job.result else {})

    def _list_volumes(self, **wanted: str) -> Record:
        fields = {"volume_identifier": "name", "wwn": "wwn"}
        found = [
            device
            for device, volume in self.volumes.items()
            if all(getattr(volume, fields[key]) == value for key, value in wanted.items() if key in fields)
            and ("storageGroupId" not in wanted or wanted["storageGroupId"] in self.groups_of(device))
        ]
        key = f"{next(self._number)}_0"
        if len(found) > self.page_size:
            self.iterators[key] = found
        first = found[: self.page_size]
        listed = {"result": [{"volumeId": device} for device in first], "from": 1, "to": len(first)}
        return {
            "resultList": listed,
            "id": key,
            "count": len(found),
            "expirationTime": 1800000000000,
            "maxPageSize": self.page_size,
        }

    def _iterate(self, request: Request, key: str, *, page: bool) -> Reply:
        if key not in self.iterators:
            raise Failure(404, f"Could not find iterator {key}")
        if request.method == "DELETE" and not page:
            del self.iterators[key]
            return Reply(204, b"")
        first, last = int(request.query["from"]), int(request.query["to"])
        found = self.iterators[key][first - 1 : last]
        if not page or not found or last - first >= self.page_size:
            raise Failure(400, f"The iterator {key} has no page from {first} to {last}")
        return Reply(200, {"result": [{"volumeId": device} for device in found], "from": first, "to": last})

    def _post_group(self, body: Record) -> Record:
        more = {"executionOption": str, "sloBasedStorageGroupParam": list, "snapshot_policies": list}
        check(body, {"storageGroupId": str, "srpId": str, "emulation": str}, more)
        if body["srpId"].lower() != "none":
            raise Failure(500, f"SRP {body['srpId']} cannot be found")
        if body["emulation"] not in {"FBA", "CKD"}:
            raise Failure(400, f"{body['emulation']} is no emulation")
        self.add_storage_group(body["storageGroupId"])
        return self._rows.storage_group(body["storageGroupId"])

    def _put_group(self, body: Record, name: str) -> Record:
        added, removed = devices_of(body)
        if added:
            self.add_to_group(name, added)
        else:
            self.remove_from_group(name, removed)
        return self._rows.storage_group(name)

    def _post_host(self, body: Record) -> Record:
        check(body, {"hostId": str, "initiatorId": list}, {"executionOption": str, "hostFlags": dict})
        self.add_host(body["hostId"], body["initiatorId"])
        return self._rows.host(body["hostId"])

    def _post_view(self, body: Record) -> Record:
        name, host, of_hosts, ports, group, lun_id = read_view(body)
        if lun_id is not None and not self.takes_lun_ids:
            raise Failure(400, "Unrecognized field starting_lun_address")
        self.add_view(name, host, ports, group, of_hosts=of_hosts, lun_id=lun_id)
        return self._rows.view(name)
