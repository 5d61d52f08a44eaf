"""Unisphere's REST API for one PowerMax: a method for each call we make, with the API's own fields.

Writes ask to be answered when they are done. Unisphere may answer with a job all the same, which is waited for here, as
is the end of somebody else's change: the array makes one change of its masking at a time, and refuses others meanwhile.
"""

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from populator import retry
from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused, Unanswered
from populator.storage.http import Http
from populator.storage.repeat import Repeat
from populator.storage.vendors.powermax import records
from populator.storage.vendors.powermax.records import (
    Connection,
    Port,
    StorageGroup,
    ViewRecord,
    VolumeRecord,
)
from populator.storage.vendors.powermax.session import Session
from vsphere.model import Initiator

BASE = "/univmax/restapi"
SYNCHRONOUS = {"executionOption": "SYNCHRONOUS"}
BUSY = re.compile(r"in progress|service unavailable|is locked|lock is held", re.IGNORECASE)
"""what HTTP 500 says while the array does something else; nothing was changed"""
LASTING = re.compile(
    r"cannot be found|could not find|not found|does not exist|already|not (in|a member of)|(last|only) volume"
    r"|invalid|pattern|protocol|not supported|not allowed|exceed|maximum",
    re.IGNORECASE,
)
"""what it says of a call that will fail again: Unisphere has hardly any other status"""
MISSING = re.compile(r"cannot be found|could not find|not found|does not exist", re.IGNORECASE)
LUN_ID_REFUSED = re.compile(r"lun.?(id|address)|unrecognized|unknown field", re.IGNORECASE)
UNTIL_FREE = retry.Policy("busy array", deadline=120, first_pause=1, longest_pause=8)
JOB_SECONDS = 120.0
RUNNING = {"created", "unscheduled", "scheduled", "running", "validating", "validated"}
PAUSES = (0.2, 0.5, 1.0, 2.0)
"""seconds between two looks at a job; the last one again and again"""


class Client:
    """The calls."""

    def __init__(self, access: Access, clock: Clock, array: str) -> None:
        self._session = Session(access)
        self._http = Http(access, clock, "PowerMax", explain, self._session)
        self._clock = clock
        self._repeat = Repeat(clock)
        self.array = array
        self.name = f"{self._http.name} ({array})"

    def model(self) -> tuple[str, str]:
        """Return model and microcode."""
        row = self._get("system", "", "report its model")
        return row.optional("model"), row.optional("ucode") or row.optional("microcode")

    def volume(self, device: str) -> VolumeRecord | None:
        """Return the volume of a number."""
        row = self._find(f"volume/{device}", f"report on the volume {device}")
        return records.volume(row) if row else None

    def storage_group(self, name: str) -> StorageGroup | None:
        """Return a storage group."""
        row = self._find(f"storagegroup/{quote(name)}", f"report on the storage group {name}")
        return records.storage_group(row) if row else None

    def view(self, name: str) -> ViewRecord | None:
        """Return a masking view."""
        row = self._find(f"maskingview/{quote(name)}", f"report on the masking view {name}")
        return records.view(row) if row else None

    def connections(self, view: str, device: str) -> list[Connection] | None:
        """Return by what paths a volume is seen in a view, which may take a while to show; None without the view."""
        path, query = f"maskingview/{quote(view)}/connections", {"volume_id": device}
        body = self._find(path, f"list the paths of the masking view {view}", query)
        return None if body is None else records.connections(body, device)

    def protocol(self, port_group: str) -> str | None:
        """Return by which protocol a port group is seen; None where there is none of this name."""
        row = self._find(f"portgroup/{quote(port_group)}", f"report on the port group {port_group}")
        if row is None:
            return None
        return row.optional("port_group_protocol") or row.optional("type")

    def ports(self, initiator: Initiator) -> list[str]:
        """Return what the array's ports call an initiator that belongs to a host."""
        query = {"in_a_host": "true", "initiator_hba": initiator.name}
        body = self._find("initiator", f"find the initiator {initiator}", query)
        found = body.texts("initiatorId") if body else []
        return [spelled for spelled in found if records.initiator(spelled) == initiator]

    def port(self, spelled: str) -> Port | None:
        """Return what one of the array's ports knows of an initiator."""
        row = self._find(f"initiator/{quote(spelled, safe=':')}", f"report on the initiator {spelled}")
        return records.port(row) if row else None

    def host(self, name: str) -> frozenset[Initiator] | None:
        """Return the initiators of a host."""
        row = self._find(f"host/{quote(name)}", f"report on the host {name}")
        return records.host(row) if row else None

    def host_group(self, name: str) -> list[str]:
        """Return the hosts of a group of hosts; none where it is gone."""
        row = self._find(f"hostgroup/{quote(name)}", f"report on the host group {name}")
        return [host.text("hostId") for host in row.objects("host")] if row else []

    def create_storage_group(self, name: str) -> None:
        """Create a storage group without service level, so that it leaves its volumes' own alone; it may exist."""
        body = {"storageGroupId": name, "srpId": "None", "emulation": "FBA", **SYNCHRONOUS}
        try:
            self._write("POST", "storagegroup", f"create the storage group {name}", body)
        except Refused as error:
            if error.status != HTTPStatus.CONFLICT and "already" not in error.text:  # the latter says a job
                raise

    def add_volume(self, group: str, device: str) -> None:
        """Put a volume into a storage group."""
        listed = {"addSpecificVolumeParam": {"volumeId": [device], "remoteSymmSGInfoParam": {}}}
        act = f"put the volume {device} into the storage group {group}"
        self._edit(group, act, {"expandStorageGroupParam": listed})

    def create_view(self, name: str, host: str, port_group: str, group: str, lun_id: int) -> None:
        """Let a host see what is in a storage group, under this LUN id or, where that cannot be, the array's choice."""
        body = {
            "maskingViewId": name,
            "hostOrHostGroupSelection": {"useExistingHostParam": {"hostId": host}},
            "portGroupSelection": {"useExistingPortGroupParam": {"portGroupId": port_group}},
            "storageGroupSelection": {"useExistingStorageGroupParam": {"storageGroupId": group}},
            **SYNCHRONOUS,
        }
        act = f"create the masking view {name} of the host {host} and the port group {port_group}"
        try:
            self._write("POST", "maskingview", act, {**body, "starting_lun_address": lun_id})
        except Refused as error:
            if error.passing or not LUN_ID_REFUSED.search(error.text):
                raise
            self._write("POST", "maskingview", act, body)

    def delete_view(self, name: str) -> None:
        """Delete a masking view, where there is one."""
        self._delete(f"maskingview/{quote(name)}", f"delete the masking view {name}")

    def remove_volume(self, group: str, device: str) -> None:
        """Take a volume out of a storage group; done where there is no such group."""
        act = f"take the volume {device} out of the storage group {group}"
        listed = {"volumeId": [device], "remoteSymmSGInfoParam": {}}
        try:
            self._edit(group, act, {"removeVolumeParam": listed})
        except Refused as error:
            if not _is_missing(error):
                raise

    def delete_storage_group(self, name: str) -> bool:
        """Delete a storage group; return whether there was one."""
        return self._delete(f"storagegroup/{quote(name)}", f"delete the storage group {name}")

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def _edit(self, group: str, act: str, change: object) -> None:
        body = {"editStorageGroupActionParam": change, **SYNCHRONOUS}
        self._write("PUT", f"storagegroup/{quote(group)}", act, body)

    def _delete(self, path: str, act: str) -> bool:
        try:
            self._write("DELETE", path, act)
        except Refused as error:
            if not _is_missing(error):
                raise
            return False
        return True

    def _find(self, path: str, act: str, query: Mapping[str, str] | None = None) -> Answer | None:
        """Return what is there under a path; None where nothing is."""
        try:
            return self._get("sloprovisioning", f"/{path}", act, query)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _get(self, category: str, path: str, act: str, query: Mapping[str, str] | None = None) -> Answer:
        return self._call("GET", self._path(category, path), act, query)

    def _path(self, category: str, path: str) -> str:
        self._http.let_in()
        return f"{BASE}/{self._session.api}/{category}/symmetrix/{self.array}{path}"

    def _call(
        self, method: str, path: str, act: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Make a call; refused for what lasts, it is no passing failure, whatever the status."""
        try:
            return self._http.call(method, path, act, query, body)
        except Refused as error:
            if error.status == HTTPStatus.INTERNAL_SERVER_ERROR and is_lasting(error.text):
                error.passing = False
            raise

    def _write(self, method: str, path: str, act: str, body: object = None) -> None:
        """Make a change and see it done; one for which the array is too busy for two minutes has failed."""
        try:
            UNTIL_FREE.run(partial(self._write_once, method, path, act, body), is_busy, self._clock)
        except Refused as error:
            error.passing = error.passing and not is_busy(error)
            raise

    def _write_once(self, method: str, path: str, act: str, body: object) -> None:
        answer = self._call(method, self._path("sloprovisioning", f"/{path}"), act, body=body)
        job, began, pauses = answer.optional("jobId"), self._clock.now(), iter(PAUSES)
        status = answer.optional("status").lower()
        while job and status in RUNNING:
            if self._clock.now() - began > JOB_SECONDS:
                raise Unanswered(
                    f"{self.name} was asked to {act}, and its job {job} is not done after {JOB_SECONDS:.0f} s.",
                    "Look at the job in Unisphere, and at the array's load.",
                    passing=False,
                )
            self._clock.wait(next(pauses, PAUSES[-1]))
            answer = self._repeat.read(
                partial(self._get, "system", f"/job/{job}", f"report on the job {job}")
            )
            status = answer.text("status").lower()
        if job and status != "succeeded":
            why = answer.optional("result").rstrip(".") or "no reason given"
            text = f"{self.name} failed to {act}: {why} (job {job}, {status})."
            refusal = Refused(text, "", HTTPStatus.INTERNAL_SERVER_ERROR, "")
            refusal.passing = not is_lasting(text)
            raise refusal


def explain(body: Answer) -> tuple[str, str]:
    """Return what an error says; there are no codes."""
    return "", body.optional("message")


def is_busy(error: BaseException) -> bool:
    """Return whether the array refused a change because it makes another one."""
    return (
        isinstance(error, Refused) and error.status == HTTPStatus.INTERNAL_SERVER_ERROR and _busy(error.text)
    )


def is_lasting(text: str) -> bool:
    """Return whether an error says what time does not heal."""
    return not _busy(text) and LASTING.search(text) is not None


def _is_missing(error: Refused) -> bool:
    """Return whether there is nothing to change, as a status says it or, of a job, words alone."""
    return error.status == HTTPStatus.NOT_FOUND or (
        error.status == HTTPStatus.INTERNAL_SERVER_ERROR and MISSING.search(error.text) is not None
    )


def _busy(text: str) -> bool:
    return BUSY.search(text) is not None
