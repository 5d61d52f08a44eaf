"""PowerFlex's REST API: one method for each call we make, with the API's own fields and error codes.

Every call is made once. The gateway answers with HTTP 500 also where the system itself has said no, and then names an
error code. There is no paging, and SDCs cannot be filtered; volumes are never listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import ODD, Answer
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.vendors.powerflex import names
from populator.storage.vendors.powerflex.session import Session

VOLUME_MISSING = {"78", "79"}
"""the first in old versions"""
UNMAPPED = {"84", "4039", *VOLUME_MISSING}
"""nothing is left to unmap; the second since 4.x"""
NO_CODE = {"", "0"}
"""0 is the gateway's own, of things that the system was not asked about"""
DETAILED = "Error with details"
"""a message that says nothing: what does is in the details"""


@dataclass(frozen=True)
class System:
    """A PowerFlex system behind the gateway."""

    id: str
    name: str
    """empty where it has none"""
    version: str
    """of the system itself, not of the API; empty where unknown"""
    restricted: bool
    """whether SDCs have to be approved"""


@dataclass(frozen=True)
class Sdc:
    """A PowerFlex client: a host."""

    id: str
    name: str
    guid: str
    """in lower case; empty for a host of NVMe"""
    os: str
    """`Esx`, `Linux`; empty where unknown"""
    connection: str
    """`Connected` where it works; empty where unknown"""
    approved: bool


@dataclass(frozen=True)
class MappedHost:
    """An SDC, or a host of NVMe, that a volume is mapped to."""

    id: str
    name: str
    nvme: bool


@dataclass(frozen=True)
class VolumeRecord:
    """A volume, with its mappings."""

    id: str
    name: str
    size: int
    """bytes"""
    access: str
    """the most that any mapping may do: `ReadWrite`, `ReadOnly`; empty where unknown"""
    mapped: tuple[MappedHost, ...]


class Client:
    """The calls, in one session."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._session = Session(access)
        self._http = Http(access, clock, "PowerFlex", explain, self._session)
        self.name = self._http.name

    @property
    def api_version(self) -> str:
        """Return the API's version; empty before the first call."""
        return self._session.version

    def systems(self) -> list[System]:
        """Return the systems behind the gateway."""
        return [system(row) for row in self._get("types/System/instances", "list its systems").rows()]

    def sdcs(self, system_id: str) -> list[Sdc]:
        """Return all hosts that the system knows, those of NVMe too."""
        path = f"instances/System::{system_id}/relationships/Sdc"
        return [sdc(row) for row in self._get(path, "list its SDCs").rows()]

    def volume(self, volume_id: str) -> VolumeRecord:
        """Return a volume; raise where the answer is about another one."""
        record = volume(self._get(f"instances/Volume::{volume_id}", f"show the volume {volume_id}"))
        if record.id.lower() != volume_id:
            raise StorageError(
                f"{self.name} was asked for the volume {volume_id}, and answered with {record.id}.", ODD
            )
        return record

    def map(self, volume_id: str, name: str, sdc_id: str, *, to_hosts: bool) -> None:
        """Map a volume to an SDC, beside all that it is mapped to."""
        several = "TRUE"  # truth values are texts here
        body = {"hostId" if to_hosts else "sdcId": sdc_id, "allowMultipleMappings": several}
        self._act(volume_id, f"addMapped{noun(to_hosts)}", f"map {name}", body)

    def unmap(self, volume_id: str, name: str, sdc_id: str, *, to_hosts: bool) -> None:
        """Take a volume away from one SDC."""
        body = {"hostId" if to_hosts else "sdcId": sdc_id}
        self._act(volume_id, f"removeMapped{noun(to_hosts)}", f"unmap {name}", body)

    def close(self) -> None:
        """End the session."""
        self._http.close()

    def _get(self, path: str, act: str) -> Answer:
        return self._call("GET", path, act)

    def _act(self, volume_id: str, action: str, act: str, body: Mapping[str, str]) -> None:
        self._call("POST", f"instances/Volume::{volume_id}/action/{action}", act, body)

    def _call(self, method: str, path: str, act: str, body: object = None) -> Answer:
        """Make a call; where the system itself has said no, that is no passing failure, whatever the status."""
        try:
            return self._http.call(method, f"/api/{path}", act, body=body)
        except Refused as refusal:
            if refusal.status == HTTPStatus.INTERNAL_SERVER_ERROR and refusal.code not in NO_CODE:
                refusal.passing = False
            raise


def noun(to_hosts: bool) -> str:
    """Return what the generation maps to; hosts are SDCs, too."""
    return "Host" if to_hosts else "Sdc"


def explain(body: Answer) -> tuple[str, str]:
    """Return code and message of an error; either may be found in its details alone."""
    code, message = body.optional("errorCode"), body.optional("message")
    for detail in body.objects("details"):
        if code in NO_CODE:
            code = detail.optional("rc")
        if message in {"", DETAILED}:
            message = detail.optional("errorMessage") or detail.optional("error")
    return code, message


def system(row: Answer) -> System:
    """Read a row of /types/System/instances."""
    version = row.optional("mdmCluster.master.versionInfo") or row.optional("systemVersionName")
    restricted = row.optional("restrictedSdcMode", "None") != "None"
    return System(row.text("id"), row.optional("name"), names.component_version(version), restricted)


def sdc(row: Answer) -> Sdc:
    """Read a row of a system's SDCs; most have no name."""
    key = row.text("id")
    return Sdc(
        id=key,
        name=row.optional("name") or row.optional("sdcIp") or row.optional("nqn") or key,
        guid=row.optional("sdcGuid").lower(),
        os=row.optional("osType"),
        connection=row.optional("mdmConnectionState"),
        approved=row.find("sdcApproved") is not False,
    )


def volume(record: Answer) -> VolumeRecord:
    """Read a volume; null means that it is not mapped, an answer without the field means nothing."""
    if not record.has("mappedSdcInfo"):
        record.records("mappedSdcInfo")  # says so
    return VolumeRecord(
        id=record.text("id"),
        name=record.optional("name"),
        size=record.number("sizeInKb") * 1024,
        access=record.optional("accessModeLimit"),
        mapped=tuple(map(mapped_host, record.objects("mappedSdcInfo"))),
    )


def mapped_host(row: Answer) -> MappedHost:
    """Read one of a volume's mappings."""
    key = row.text("sdcId")
    name = row.optional("sdcName") or row.optional("sdcIp") or row.optional("nqn") or key
    return MappedHost(key, name, row.optional("hostType") == "NVMeHost")
