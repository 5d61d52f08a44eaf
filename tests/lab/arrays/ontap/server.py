"""A simulator of NetApp ONTAP's REST API, as far as SAN goes: SVMs, LUNs, igroups, LUN maps, jobs.

Real HTTPS with Basic authentication, query operators, fields and paging, for any client: the populator's, NetApp's
own SDK, curl. State and rules are those of `ontap_cluster`.
"""

import re
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.lab.arrays.ontap import fields as ontap_fields
from tests.lab.arrays.ontap.cluster import (
    API_NOT_FOUND,
    BAD_GROUP_NAME,
    BAD_LUN_NAME,
    GROUP_MAPPED,
    GROUP_MISSING,
    GROUP_NEEDED,
    LUN_EXISTS,
    LUN_IDS,
    LUN_MAPPED,
    LUN_MISSING,
    LUN_NEEDED,
    MAP_GROUP_MISSING,
    MEMBER_MISSING,
    MEMBERS_NEEDED,
    NO_ENTRY,
    NO_SVM,
    NOT_AUTHORISED,
    SVM_MISMATCH,
    SVM_NEEDED,
    Cluster,
    Failure,
    SimGroup,
    SimLun,
    SimMap,
    Svm,
    is_iscsi,
)
from tests.lab.arrays.ontap.query import (
    BadQuery,
    Collection,
    Record,
    linked,
    project,
    select,
    wanted,
    without_links,
)
from tests.lab.arrays.rest import Reply, Request, RestServer, Step
from tests.lab.arrays.service import Service
from tests.lab.san import San

CLUSTER_ONLY = ("/cluster", "/cluster/nodes")


@dataclass(frozen=True)
class User:
    """Credentials; of the cluster, or of one SVM."""

    password: str
    svm: str | None = None
    readonly: bool = False


@dataclass
class Job:
    uuid: str
    description: str
    due: float
    action: Callable[[], object]
    state: str = "queued"
    message: str = ""
    code: int = 0


class OntapSimulator(Cluster, Service):
    """One cluster, served from its making to `close`.

    May be set at any time, beside what `Cluster` names: `page_size` (records in a page when the client names no
    number), `cluster_forbidden` (the cluster's own data is refused to all), `job_seconds`.
    """

    def __init__(
        self,
        san: San,
        context: ssl.SSLContext,
        users: Mapping[str, User] | None = None,
        svms: Iterable[str] = ("svm1",),
        version: str = "9.15.1",
        model: str = "AFF-A400",
    ) -> None:
        super().__init__(san, svms)
        self.users = dict(users or {"admin": User("ontap-secret")})
        self.version, self.model = version, model
        self.page_size = 10_000
        self.cluster_forbidden = False
        self.job_seconds = 0.2
        self.jobs: dict[str, Job] = {}
        self._routes = self._table()
        self.server = RestServer("ontap", context, self._respond)

    def before(self, method: str, path: str, action: Step, times: int = 1) -> None:
        """Step in right before the next calls of a path (`/protocols/san/igroups`); see `RestServer.before`."""
        self.server.before(method, f"/api{path}", action, times)

    def _respond(self, request: Request) -> Reply:
        try:
            user = self._log_in(request)
            with self._lock:
                self._run_jobs()
                reply = self._route(request, user)
        except Failure as failure:
            error = {"message": failure.message, "code": failure.code}
            if failure.target:
                error["target"] = failure.target
            headers = {"WWW-Authenticate": 'Basic realm="ONTAP"'} if failure.status == 401 else {}
            return Reply(failure.status, {"error": error}, headers)
        except BadQuery as bad:
            return Reply(400, {"error": {"message": bad.message, "code": bad.code}})
        if request.headers.get("accept") == "application/json":
            return Reply(reply.status, without_links(reply.body), reply.headers)
        return reply

    def _log_in(self, request: Request) -> User:
        name, password = request.basic or ("", "")
        user = self.users.get(name)
        if user is None or user.password != password:
            raise Failure(401, "6691623", "User is not authorized.")
        return user

    def _route(self, request: Request, user: User) -> Reply:
        path = request.path.removeprefix("/api").rstrip("/")
        scope = user.svm or request.headers.get("x-dot-svm-name")
        if path in CLUSTER_ONLY and request.method == "GET" and (user.svm or self.cluster_forbidden):
            raise Failure(403, NOT_AUTHORISED, "not authorized for that command")
        if user.readonly and request.method != "GET":
            raise Failure(403, NOT_AUTHORISED, "not authorized for that command")
        for collection in self._collections(scope):
            if reply := self._get(request, path, collection):
                return reply
        known = False
        for method, pattern, handler in self._routes:
            if match := re.fullmatch(pattern, path):
                known = True
                if method == request.method:
                    return handler(request, scope, *match.groups())
        if known:
            raise Failure(405, API_NOT_FOUND, "Method not allowed")
        raise Failure(404, API_NOT_FOUND, "API not found")

    def _get(self, request: Request, path: str, collection: Collection) -> Reply | None:
        if request.method != "GET" or not f"{path}/".startswith(f"{collection.path}/"):
            return None
        key = path.removeprefix(collection.path).strip("/")
        if not key:
            return Reply(200, select(collection, request.query, self.page_size))
        if key.count("/") != len(collection.keys) - 1:
            return None
        record = next((r for r in collection.records() if collection.key(r) == key), None)
        if record is None:
            raise Failure(404, NO_ENTRY, "entry doesn't exist", collection.keys[0])
        shape = project(record, wanted(collection, request.query, single=True))
        return Reply(200, linked(collection, record, shape))

    def _collections(self, scope: str | None) -> list[Collection]:
        def seen(svm: Svm) -> bool:
            return scope in {None, svm.name}

        return [
            Collection(
                "/svm/svms",
                lambda: [svm_record(s) for s in self.svms.values() if seen(s)],
                known=ontap_fields.SVMS,
            ),
            Collection(
                "/storage/luns",
                lambda: [self._lun_record(lun) for lun in self.luns.values() if seen(lun.svm)],
                default=("uuid", "name", "svm"),
                expensive=("lun_maps",),
                known=ontap_fields.LUNS,
            ),
            Collection(
                "/protocols/san/igroups",
                lambda: [self._group_record(g) for g in self.groups.values() if seen(g.svm)],
                default=("uuid", "name", "svm"),
                expensive=("lun_maps",),
                known=ontap_fields.IGROUPS,
            ),
            Collection(
                "/protocols/san/lun-maps",
                lambda: [map_record(m) for m in self.maps if seen(m.lun.svm)],
                keys=("lun.uuid", "igroup.uuid"),
                default=("lun.name", "igroup.name", "svm"),
                known=ontap_fields.LUN_MAPS,
            ),
            Collection(
                "/network/fc/logins",
                lambda: [
                    {
                        "svm": svm_record(svm, brief=True),
                        "initiator": {"wwpn": name},
                        "interface": {"uuid": "lif-fc"},
                    }
                    for svm, name in self.logins
                    if seen(svm) and not is_iscsi(name)
                ],
                keys=("interface.uuid", "initiator.wwpn"),
                default=("initiator.wwpn", "interface.uuid", "svm"),
                known=ontap_fields.FC_LOGINS,
            ),
            Collection(
                "/protocols/san/iscsi/sessions",
                lambda: [
                    {"svm": svm_record(svm, brief=True), "initiator": {"name": name}, "tsih": 1}
                    for svm, name in self.logins
                    if seen(svm) and is_iscsi(name)
                ],
                keys=("svm.uuid", "initiator.name", "tsih"),
                default=("svm", "tsih"),
                known=ontap_fields.ISCSI_SESSIONS,
            ),
            Collection(
                "/storage/volumes",
                lambda: self._volume_records(seen),
                known=ontap_fields.VOLUMES,
            ),
            Collection(
                "/cluster/nodes",
                lambda: [self._node_record(n) for n in ("node1", "node2")],
                known=ontap_fields.NODES,
            ),
            Collection(
                "/cluster/jobs",
                lambda: [job_record(job) for job in self.jobs.values()],
                default=("uuid",),
                known=ontap_fields.JOBS,
            ),
        ]

    def _table(self) -> list[tuple[str, str, Callable[..., Reply]]]:
        key = "([^/]+)"
        groups, maps = "/protocols/san/igroups", "/protocols/san/lun-maps"
        return [
            ("GET", "/cluster", self._cluster),
            ("POST", "/storage/luns", self._post_lun),
            ("PATCH", f"/storage/luns/{key}", self._patch_lun),
            ("DELETE", f"/storage/luns/{key}", self._delete_lun),
            ("POST", groups, self._post_group),
            ("DELETE", f"{groups}/{key}", self._delete_group),
            ("GET", f"{groups}/{key}/initiators", self._list_initiators),
            ("POST", f"{groups}/{key}/initiators", self._post_initiators),
            ("GET", f"{groups}/{key}/initiators/(.+)", self._get_initiator),
            ("DELETE", f"{groups}/{key}/initiators/(.+)", self._delete_initiator),
            ("POST", maps, self._post_map),
            ("DELETE", f"{maps}/{key}/{key}", self._delete_map),
        ]

    def _cluster(self, request: Request, scope: str | None) -> Reply:
        record = {"uuid": "c1", "name": "lab", "version": version_record(self.version)}
        only = Collection("/cluster", list, default=("name",), known=ontap_fields.CLUSTER)
        return Reply(200, {**project(record, wanted(only, request.query, single=True)), "_links": {}})

    def _post_lun(self, request: Request, scope: str | None) -> Reply:
        body = request.body or {}
        svm = self._svm_of(body, scope)
        path, size = body.get("name", ""), (body.get("space") or {}).get("size")
        if not re.fullmatch(r"/vol/[^/]+(/[^/]+)?/[\w.{}-]+", path) or not isinstance(size, int):
            raise Failure(400, BAD_LUN_NAME, "An invalid name or size was provided for the LUN.", "name")
        if any(lun.path == path and lun.svm is svm for lun in self.luns.values()):
            raise Failure(409, LUN_EXISTS, f"A LUN already exists at {path}", "name")
        os_type = body.get("os_type", "linux")
        if request.query.get("return_timeout") == "0":
            return self._job(
                f"POST /api/storage/luns {path}", lambda: self.add_lun(path, svm.name, size, os_type=os_type)
            )
        key = self.add_lun(path, svm.name, size, os_type=os_type)
        return created(request, "/storage/luns", key, self._lun_record(self.luns[key]))

    def _patch_lun(self, request: Request, scope: str | None, key: str) -> Reply:
        lun = self._lun(key, scope)
        lun.comment = request.body.get("comment", lun.comment)
        lun.enabled = request.body.get("enabled", lun.enabled)
        lun.state = "online" if lun.enabled else "offline"
        return Reply(200)

    def _delete_lun(self, request: Request, scope: str | None, key: str) -> Reply:
        lun = self._lun(key, scope)
        mapped = [item for item in self.maps if item.lun is lun]
        if mapped and request.query.get("allow_delete_while_mapped") != "true":
            raise Failure(409, LUN_MAPPED, "The LUN is mapped.")

        if request.query.get("return_timeout") == "0":
            return self._job(f"DELETE /api/storage/luns/{key}", lambda: self.remove_lun(key))
        self.remove_lun(key)
        return Reply(200)

    def _post_group(self, request: Request, scope: str | None) -> Reply:
        body = request.body or {}
        svm = self._svm_of(body, scope)
        name, protocol = body.get("name", ""), body.get("protocol", "mixed")
        if not name or len(name) > 96 or not re.fullmatch(r"[\w.:-]+", name):
            raise Failure(400, BAD_GROUP_NAME, "An invalid initiator group name was supplied.", "name")
        if protocol not in {"fcp", "iscsi", "mixed"} or not body.get("os_type"):
            raise Failure(400, "262247", 'The value is invalid for field "protocol" or "os_type"')
        names = [item["name"] for item in body.get("initiators", [])]
        key = self.add_group(name, svm.name, names, protocol, body["os_type"])
        return created(request, "/protocols/san/igroups", key, self._group_record(self.groups[key]))

    def _delete_group(self, request: Request, scope: str | None, key: str) -> Reply:
        group = self._group(key, scope)
        if self.maps_of_group(group) and request.query.get("allow_delete_while_mapped") != "true":
            raise Failure(409, GROUP_MAPPED, "The initiator group is mapped to one or more LUNs.")
        self.remove_group(key)
        return Reply(200)

    def _list_initiators(self, request: Request, scope: str | None, key: str) -> Reply:
        group = self._group(key, scope)
        path = f"/protocols/san/igroups/{key}/initiators"
        initiators = Collection(
            path,
            lambda: [initiator_record(group, name) for name in group.initiators],
            keys=("name",),
            default=("igroup",),
            known=ontap_fields.IGROUP_INITIATORS,
        )
        return Reply(200, select(initiators, request.query, self.page_size))

    def _get_initiator(self, request: Request, scope: str | None, key: str, name: str) -> Reply:
        group = self._group(key, scope)
        if name.lower() not in group.initiators:
            raise Failure(404, NO_ENTRY, "entry doesn't exist", "name")
        return Reply(200, initiator_record(group, name.lower()))

    def _post_initiators(self, request: Request, scope: str | None, key: str) -> Reply:
        group = self._group(key, scope)
        body = request.body or {}
        names = [item["name"] for item in body.get("records") or [body] if item.get("name")]
        if not names:
            raise Failure(400, MEMBERS_NEEDED, "Initiators must be supplied.")
        self.add_initiators(key, names)
        path = f"/protocols/san/igroups/{key}/initiators"
        return created(request, path, names[0].lower(), initiator_record(group, names[0].lower()))

    def _delete_initiator(self, request: Request, scope: str | None, key: str, name: str) -> Reply:
        group = self._group(key, scope)
        if name.lower() not in group.initiators:
            raise Failure(404, MEMBER_MISSING, f'Initiator "{name}" is not in the group.')
        if self.maps_of_group(group) and request.query.get("allow_delete_while_mapped") != "true":
            raise Failure(409, "1254235", "The initiator group is mapped.")
        group.initiators.remove(name.lower())
        for item in self.maps_of_group(group):
            self.present(item)
        return Reply(200)

    def _post_map(self, request: Request, scope: str | None) -> Reply:
        body = request.body or {}
        svm = self._svm_of(body, scope)
        lun = self._named(body.get("lun"), self.luns.values(), svm, "path", LUN_NEEDED, LUN_MISSING)
        group = self._named(
            body.get("igroup"), self.groups.values(), svm, "name", GROUP_NEEDED, GROUP_MISSING
        )
        number = body.get("logical_unit_number")
        if number is not None and not (isinstance(number, int) and 0 <= number < LUN_IDS):
            raise Failure(400, "262247", 'The value is invalid for field "logical_unit_number"')
        self.add_map(lun.uuid, group.uuid, number)
        item = self.find_map(lun.uuid, group.uuid)
        assert item is not None
        return created(request, "/protocols/san/lun-maps", f"{lun.uuid}/{group.uuid}", map_record(item))

    def _delete_map(self, request: Request, scope: str | None, lun_key: str, group_key: str) -> Reply:
        lun = self._lun(lun_key, scope)
        group = self.groups.get(group_key)
        if group is None or group.svm is not lun.svm:
            raise Failure(
                404, MAP_GROUP_MISSING, "The specified initiator group does not exist in the LUN's SVM."
            )
        self.remove_map(lun_key, group_key)
        return Reply(200)

    def _named(self, given: Any, among: Iterable[Any], svm: Svm, name: str, needed: str, missing: str) -> Any:
        """Return the object that a body names by uuid, by name, or by both."""
        given = given or {}
        if not given.get("uuid") and not given.get("name"):
            raise Failure(400, needed, "Neither uuid nor name was supplied.")
        for item in among:
            same_name = given.get("name") in {None, getattr(item, name)}
            if item.svm is svm and given.get("uuid") in {None, item.uuid} and same_name:
                return item
        raise Failure(404, missing, "The specified object does not exist or is not accessible to the caller.")

    def _svm_of(self, body: Record, scope: str | None) -> Svm:
        given = body.get("svm") or ({"name": scope} if scope else {})
        if not given.get("uuid") and not given.get("name"):
            raise Failure(400, SVM_NEEDED, "No SVM was specified.")
        for svm in self.svms.values():
            if svm.uuid == given.get("uuid") and given.get("name") not in {None, svm.name}:
                raise Failure(400, SVM_MISMATCH, "svm.uuid and svm.name do not refer to the same SVM.")
            if (svm.uuid == given.get("uuid") or svm.name == given.get("name")) and scope in {None, svm.name}:
                return svm
        raise Failure(404, NO_SVM, "The specified SVM does not exist or is not accessible to the caller.")

    def _lun(self, key: str, scope: str | None) -> SimLun:
        lun = self.luns.get(key)
        if lun is None or scope not in {None, lun.svm.name}:
            raise Failure(
                404, LUN_MISSING, "The specified LUN does not exist or is not accessible to the caller."
            )
        return lun

    def _group(self, key: str, scope: str | None) -> SimGroup:
        group = self.groups.get(key)
        if group is None or scope not in {None, group.svm.name}:
            raise Failure(404, GROUP_MISSING, "The specified initiator group does not exist.")
        return group

    def _job(self, description: str, action: Callable[[], object]) -> Reply:
        job = Job(str(uuid.uuid4()), description, time.monotonic() + self.job_seconds, action)
        self.jobs[job.uuid] = job
        link = {"self": {"href": f"/api/cluster/jobs/{job.uuid}"}}
        return Reply(202, {"job": {"uuid": job.uuid, "_links": link}})

    def _run_jobs(self) -> None:
        """Do what is due; the work of a job happens between two calls."""
        for job in self.jobs.values():
            if job.state == "queued":
                job.state = "running"
            if job.state == "running" and time.monotonic() >= job.due:
                try:
                    job.action()
                    job.state = "success"
                except Failure as failure:
                    job.state, job.message, job.code = "failure", failure.message, int(failure.code)

    def _lun_record(self, lun: SimLun) -> Record:
        maps = [item for item in self.maps if item.lun is lun]
        parts = lun.path.split("/")
        return {
            "uuid": lun.uuid,
            "name": lun.path,
            "svm": svm_record(lun.svm, brief=True),
            "serial_number": lun.serial,
            "serial_number_hex": lun.serial.encode().hex(),
            "class": lun.kind,
            "enabled": lun.enabled,
            "comment": lun.comment,
            "os_type": lun.os_type,
            "create_time": "2026-01-05T08:30:00+00:00",
            "qos_policy": {
                "name": "extreme-fixed",
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, "extreme-fixed")),
            },
            "space": {"size": lun.size, "used": 0, "guarantee": {"requested": False, "reserved": False}},
            "status": {
                "state": lun.state,
                "mapped": bool(maps),
                "read_only": False,
                "container_state": "online",
            },
            "location": {
                "logical_unit": parts[-1],
                "volume": {"name": parts[2] if len(parts) > 2 else parts[0]},
            },
            "lun_maps": [
                {
                    "igroup": {"uuid": m.group.uuid, "name": m.group.name},
                    "logical_unit_number": m.lun_id,
                }
                for m in maps
            ],
        }

    def _group_record(self, group: SimGroup) -> Record:
        return {
            "uuid": group.uuid,
            "name": group.name,
            "svm": svm_record(group.svm, brief=True),
            "protocol": group.protocol,
            "os_type": group.os_type,
            "delete_on_unmap": False,
            # ONTAP leaves the property out where there are none.
            **({"initiators": [{"name": name} for name in group.initiators]} if group.initiators else {}),
            "lun_maps": [
                {"lun": {"uuid": m.lun.uuid, "name": m.lun.path}, "logical_unit_number": m.lun_id}
                for m in self.maps_of_group(group)
            ],
        }

    def _volume_records(self, seen: Callable[[Svm], bool]) -> list[Record]:
        named = {
            (lun.svm.uuid, lun.path.split("/")[2]): lun
            for lun in self.luns.values()
            if lun.path.count("/") > 2
        }
        return [
            {
                "uuid": str(uuid.uuid5(uuid.UUID(svm_uuid), name)),
                "name": name,
                "svm": svm_record(lun.svm, brief=True),
                "state": "online",
                "type": "rw",
            }
            for (svm_uuid, name), lun in named.items()
            if seen(lun.svm)
        ]

    def _node_record(self, name: str) -> Record:
        return {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
            "name": name,
            "model": self.model,
            "serial_number": f"lab-{name}",
            "version": version_record(self.version),
            "state": "up",
        }


def created(request: Request, path: str, key: str, record: Record) -> Reply:
    """Return the answer to a POST: the location, and the record if asked for."""
    headers = {"Location": f"/api{path}/{key}"}
    if request.query.get("return_records") != "true":
        return Reply(201, {}, headers)
    plain = {name: value for name, value in record.items() if name != "lun_maps"}
    links = {"self": {"href": f"/api{path}/{key}"}}
    return Reply(201, {"num_records": 1, "records": [{**plain, "_links": links}]}, headers)


def svm_record(svm: Svm, *, brief: bool = False) -> Record:
    if brief:
        return {"uuid": svm.uuid, "name": svm.name}
    services = {kind: {"allowed": True, "enabled": kind in svm.services} for kind in ("fcp", "iscsi")}
    return {"uuid": svm.uuid, "name": svm.name, "state": "running", "subtype": "default", **services}


def map_record(item: SimMap) -> Record:
    group = item.group
    return {
        "svm": svm_record(item.lun.svm, brief=True),
        "lun": {"uuid": item.lun.uuid, "name": item.lun.path},
        "igroup": {
            "uuid": group.uuid,
            "name": group.name,
            "protocol": group.protocol,
            "os_type": group.os_type,
            "initiators": list(group.initiators),
        },
        "logical_unit_number": item.lun_id,
    }


def initiator_record(group: SimGroup, name: str) -> Record:
    return {"name": name, "igroup": {"uuid": group.uuid, "name": group.name}}


def job_record(job: Job) -> Record:
    record: Record = {"uuid": job.uuid, "description": job.description, "state": job.state}
    if job.state == "failure":
        record |= {"message": job.message, "code": job.code}
        record["error"] = {"message": job.message, "code": str(job.code)}
    return record


def version_record(version: str) -> Record:
    generation, major, minor = (int(part) for part in version.split("."))
    full = f"NetApp Release {version}: Sat Jan 01 00:00:00 UTC 2025"
    return {"full": full, "generation": generation, "major": major, "minor": minor}
