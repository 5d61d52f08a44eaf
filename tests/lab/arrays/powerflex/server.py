"""A simulator of the PowerFlex gateway's REST API, as far as volumes, SDCs and their mappings go.

Real HTTPS, for any client: the populator's, Dell's own SDKs. State and rules are those of `system`, log-ins those of
`sessions`. Like the gateway it answers with HTTP 500 where the system says no, wants truth values as texts in whatever
case, ignores keys of a body that it does not know, and pages nothing; unlike it, it refuses query parameters.
"""

import re
import ssl
from collections.abc import Callable
from typing import Any

from tests.lab.arrays.powerflex.sessions import Sessions, User, unauthorized
from tests.lab.arrays.powerflex.system import (
    ACCESS_MODES,
    NOT_PERMITTED,
    VOLUME_MISSING,
    WRONG_GENERATION,
    Failure,
    SimMap,
    SimSdc,
    SimSystem,
    SimVolume,
    Systems,
)
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.arrays.service import Service
from tests.lab.san import San

Record = dict[str, Any]
ACTION = re.compile(r"/api/instances/Volume::([^/]+)/action/(\w+)")
GB = 1 << 30


class PowerFlexSimulator(Systems, Service):
    """One gateway, served from its making to `close`.

    May be set at any time, beside what `Systems` names: `codes_in_details` (error codes are given there alone).
    """

    def __init__(
        self,
        san: San,
        context: ssl.SSLContext,
        users: dict[str, User],
        api_version: str = "4.5",
        version: str | None = "4.5.2100.105",
    ) -> None:
        super().__init__(san, api_version, version)
        self.codes_in_details = False
        self.logins = Sessions(users, platform=int(api_version.split(".", maxsplit=1)[0]) >= 4)
        self.bodies: list[tuple[str, Any]] = []
        """path and body of all writes that were let in"""
        self.server = RestServer("powerflex", context, self._respond)

    def _respond(self, request: Request) -> Reply:
        with self._lock:
            begun_or_ended = self.logins.answer(request)
            if begun_or_ended is not None:
                return begun_or_ended
            token = self.logins.token(request)
            if token is None:
                return unauthorized()
            try:
                if request.query:
                    raise Failure(400, 0, f"unknown query parameter {next(iter(request.query))}")
                return self._serve(request, token)
            except Failure as failure:
                return self._refuse(failure)

    def _refuse(self, failure: Failure) -> Reply:
        body: Record = {"httpStatusCode": failure.status}
        if self.codes_in_details and failure.symbol:
            detail = {"error": failure.symbol, "rc": failure.code, "errorMessage": failure.message}
            return Reply(
                failure.status, body | {"message": "Error with details", "errorCode": 0, "details": [detail]}
            )
        return Reply(failure.status, body | {"message": failure.message, "errorCode": failure.code})

    def _serve(self, request: Request, token: str) -> Reply:
        if request.method == "GET":
            return Reply(200, self._get(request.path.rstrip("/")))
        if request.method != "POST":
            raise Failure(405, 0, f"Request method '{request.method}' not supported")
        if request.path.endswith("/action/queryIdByKey"):
            return Reply(200, self._query(request))
        if not self.logins.writes(token):
            raise Failure(403, NOT_PERMITTED, "The user does not have sufficient permissions")
        self.bodies.append((request.path, request.body))
        if match := ACTION.fullmatch(request.path):
            self._act(self.find_volume(match[1]), match[2], request.body or {})
            return Reply(200, {})
        raise Failure(404, 0, f"There is no {request.path}")

    def _get(self, path: str) -> Any:
        key = r"([^/:]+)"
        routes: list[tuple[str, Callable[..., Any]]] = [
            ("/version", lambda: self.api_version),
            ("/types/System/instances", lambda: list(map(self._system_row, self.systems.values()))),
            (f"/instances/System::{key}", lambda of: self._system_row(self._find_system(of))),
            (f"/instances/System::{key}/relationships/Sdc", lambda of: self._sdcs_of(self._find_system(of))),
            ("/types/Sdc/instances", lambda: list(map(sdc_row, self.sdcs.values()))),
            (f"/instances/Sdc::{key}", lambda of: sdc_row(self.find_sdc(of))),
            (f"/instances/Sdc::{key}/relationships/Volume", lambda of: self._volumes_of(self.find_sdc(of))),
            ("/types/Volume/instances", lambda: list(map(self._volume_row, self.volumes.values()))),
            (f"/instances/Volume::{key}", lambda of: self._volume_row(self.find_volume(of))),
        ]
        for pattern, show in routes:
            if match := re.fullmatch(f"/api{pattern}", path):
                return show(*match.groups())
        raise Failure(404, 0, f"There is no {path}")

    def _query(self, request: Request) -> str:
        name = (request.body or {}).get("name")
        found = [key for key, volume in self.volumes.items() if volume.name == name]
        if request.path != "/api/types/Volume/instances/action/queryIdByKey" or not found:
            raise Failure(500, VOLUME_MISSING, "Could not find the volume", "VOL_NOT_FOUND")
        return found[0]

    def _act(self, volume: SimVolume, action: str, body: Record) -> None:
        suffix = "Host" if self.second_generation else "Sdc"
        match action:
            case "addMappedSdc" | "addMappedHost" if action.endswith(suffix):
                access = body.get("accessMode", "ReadWrite")
                if access not in ACCESS_MODES:
                    raise Failure(400, 0, f"accessMode: {access} is not a valid value")
                several = truth(body, "allowMultipleMappings")
                self.map(volume, self._addressed(body, suffix), several=several, access=access)
            case "removeMappedSdc" | "removeMappedHost" if action.endswith(suffix):
                if f"all{suffix}s" in body:
                    for key in list(volume.maps):
                        self.unmap(volume, self.sdcs[key])
                else:
                    self.unmap(volume, self._addressed(body, suffix))
            case "setMappedSdcLimits":
                self._limit(volume.maps.get(body.get("sdcId", "")), body)
            case "addMappedSdc" | "addMappedHost" | "removeMappedSdc" | "removeMappedHost":
                raise Failure(500, WRONG_GENERATION, f"{action} is not supported on this system")
            case _:
                raise Failure(404, 0, f"There is no action {action} of a volume")

    def _limit(self, item: SimMap | None, body: Record) -> None:
        if item is None:
            raise Failure(500, self._code((84, 4039)), "The volume is not mapped to the SDC")
        item.iops = int(body.get("iopsLimit", item.iops))
        item.bandwidth = int(body.get("bandwidthLimitInKbps", item.bandwidth * 1024)) // 1024

    def _addressed(self, body: Record, suffix: str) -> SimSdc:
        """Return the SDC that a body names, by id or by GUID but not by both."""
        key, guid = body.get(f"{suffix.lower()}Id"), body.get("guid")
        if bool(key) == bool(guid):
            raise Failure(400, 0, f"Exactly one of {suffix.lower()}Id and guid has to be given")
        sdc = self.sdc_of(str(guid)) if guid else None
        return sdc or self.find_sdc(str(key or guid))

    def _find_system(self, key: str) -> SimSystem:
        if key.lower() not in self.systems:
            raise Failure(500, 3, "Could not find the system")
        return self.systems[key.lower()]

    def _sdcs_of(self, system: SimSystem) -> list[Record]:
        return [sdc_row(sdc) for sdc in self.sdcs.values() if sdc.system is system]

    def _volumes_of(self, sdc: SimSdc) -> list[Record]:
        return [self._volume_row(volume) for volume in self.volumes.values() if sdc.id in volume.maps]

    def _system_row(self, system: SimSystem) -> Record:
        said = f"R{system.version.replace('.', '_', 1)}" if system.version else None
        return {
            "id": system.id,
            "name": system.name,
            "systemVersionName": said and f"DellEMC PowerFlex Version: {said}",
            "mdmCluster": {"clusterState": "ClusteredNormal", "master": {"versionInfo": said}},
            "restrictedSdcModeEnabled": system.restricted != "None",
            "restrictedSdcMode": system.restricted,
            "installId": f"install-{system.id}",
            "swid": "",
        }

    def _volume_row(self, volume: SimVolume) -> Record:
        return {
            "id": volume.id,
            "name": volume.name,
            "sizeInKb": volume.size_kb,
            "storagePoolId": f"{volume.system.id[:8]}00000000",
            "vtreeId": f"{volume.id[:8]}ffffffff",
            "volumeType": volume.kind,
            "ancestorVolumeId": None,
            "accessModeLimit": volume.access,
            "managedBy": "ScaleIO",
            "compressionMethod": "Invalid",
            "mappedSdcInfo": [self._map_row(*item) for item in volume.maps.items()] or None,
        }

    def _map_row(self, key: str, item: SimMap) -> Record:
        sdc = self.sdcs[key]
        return {
            "sdcId": key,
            "sdcIp": sdc.ip if sdc.guid else None,
            "sdcName": sdc.name,
            "hostType": sdc.host_type,
            "nqn": sdc.nqn,
            "limitIops": item.iops,
            "limitBwInMbps": item.bandwidth,
            "accessMode": item.access,
            "isDirectBufferMapping": False,
        }


def sdc_row(sdc: SimSdc) -> Record:
    return {
        "id": sdc.id,
        "name": sdc.name,
        "sdcGuid": sdc.guid,
        "sdcIp": sdc.ip if sdc.guid else None,
        "sdcIps": [sdc.ip] if sdc.guid else None,
        "osType": sdc.os,
        "hostType": sdc.host_type,
        "systemId": sdc.system.id,
        "mdmConnectionState": sdc.connection,
        "sdcApproved": sdc.approved if sdc.guid else None,
        "nqn": sdc.nqn,
        "perfProfile": "HighPerformance",
        "versionInfo": sdc.system.version,
    }


def truth(body: Record, name: str) -> bool:
    """Read a truth value, which the gateway wants as a text in whatever case."""
    said = body.get(name, "FALSE")
    if not isinstance(said, str) or said.upper() not in {"TRUE", "FALSE"}:
        raise Failure(400, 0, f"{name}: {said} is not a valid value")
    return said.upper() == "TRUE"
