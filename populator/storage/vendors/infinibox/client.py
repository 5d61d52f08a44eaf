"""InfiniBox's REST API: a method for each call we make, with the API's own fields and error codes.

Every call is made once, and brings its credentials. What changes something says that it is approved: the array would
ask the person at the browser whether they are sure, and refuses others (Infinidat's SDK).
"""

from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from urllib.parse import quote, urlencode

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.login import Basic
from populator.storage.vendors.infinibox import records
from populator.storage.vendors.infinibox.records import (
    ClusterRecord,
    HostRecord,
    LunRecord,
    Port,
    VolumeRecord,
)
from vsphere.model import Initiator

API = "/api/rest"
RESULT = "result."
"""what is before the fields of an answer that is one object"""
APPROVED = {"approved": "true"}
PAGE = 1000
"""rows; the most that the array gives at once"""
HOST = {"fields": "id,name,ports,host_cluster_id"}
VOLUME_MISSING, HOST_MISSING = "VOLUME_NOT_FOUND", "HOST_NOT_FOUND"
GONE = {"LUN_NOT_FOUND", HOST_MISSING, VOLUME_MISSING}
"""what the end of a mapping looks like, beside a plain 404"""


class Client:
    """The calls."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._http = Http(access, clock, "InfiniBox", explain, Basic(access))
        self.name = self._http.name

    def system(self) -> tuple[str, str]:
        """Return model and version."""
        answer = self._call("GET", "system", "tell its model")
        return answer.optional("result.model"), answer.optional("result.version")

    def volume(self, key: int) -> VolumeRecord | None:
        """Return a volume; None where there is none of that id."""
        try:
            return records.volume(self._call("GET", f"volumes/{key}", "find the volume"), RESULT)
        except Refused as error:
            if not is_missing(error, VOLUME_MISSING):
                raise
            return None

    def volumes_with(self, field: str, value: str) -> list[VolumeRecord]:
        """Return the volumes whose `name` or `serial` this is."""
        return [
            records.volume(row) for row in self._list("volumes", "find the volume", {field: f"eq:{value}"})
        ]

    def port(self, initiator: Initiator) -> Port:
        """Return what the array has seen of an initiator; refused where that is nothing."""
        path = f"initiators/{quote(initiator.name, safe='')}"
        return records.port(self._call("GET", path, f"report on the initiator {initiator}"), RESULT)

    def host_of(self, initiator: Initiator) -> int:
        """Return the id of the host that an initiator belongs to; 0 where there is none."""
        path, act = f"hosts/host_id_by_initiator_address/{quote(initiator.name, safe='')}", "find the host"
        try:
            return self._call("GET", path, act).number("result")
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return 0

    def host(self, key: int) -> HostRecord | None:
        """Return a host; None where it is gone."""
        try:
            answer = self._call("GET", records.host_path(key), "report on a host", HOST)
            return records.host(answer, RESULT)
        except Refused as error:
            if not is_missing(error, HOST_MISSING):
                raise
            return None

    def hosts(self, keys: Collection[int] = ()) -> list[HostRecord]:
        """Return the hosts of these ids; all there are without any."""
        query = {"id": f"in:({','.join(map(str, sorted(keys)))})"} if keys else {}
        return [records.host(row) for row in self._list("hosts", "list hosts", HOST | query)]

    def cluster(self, key: int) -> ClusterRecord:
        """Return a host cluster."""
        path, query = records.cluster_path(key), {"fields": "id,name,hosts"}
        return records.cluster(self._call("GET", path, "report on a host cluster", query), RESULT)

    def luns(self, volume: int) -> list[LunRecord]:
        """Return all that a volume is mapped to."""
        rows = self._list(f"volumes/{volume}/luns", "list the volume's mappings", {})
        return [records.lun(row) for row in rows]

    def map(self, target: str, name: str, volume: int, lun_id: int | None) -> LunRecord | None:
        """Map a volume to a host, and return its mapping; None where the answer holds none."""
        body = {"volume_id": volume} | ({} if lun_id is None else {"lun": lun_id})
        answer = self._call("POST", f"{target}/luns", f"map a volume to {name}", APPROVED, body)
        try:
            made = records.lun(answer, RESULT)
        except StorageError:
            return None
        return made if (made.volume, made.target) == (volume, target) else None

    def unmap(self, target: str, name: str, volume: int) -> bool:
        """Remove a mapping; return whether there was one."""
        path = f"{target}/luns/volume_id/{volume}"
        try:
            self._call("DELETE", path, f"unmap a volume from {name}", APPROVED)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND and error.code not in GONE:
                raise
            return False
        return True

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        act: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        return self._checked(self._http.call(method, f"{API}/{path}", act, query, body), act)

    def _checked(self, answer: Answer, act: str) -> Answer:
        """Return an answer that is none of an error: one may come with a good status, too."""
        if not answer.find("error"):
            return answer
        code, message = explain(answer)
        raise Refused(f"{self.name} refused to {act}: {message or code}.", "", HTTPStatus.OK, code)

    def _list(self, path: str, act: str, query: Mapping[str, str]) -> list[Answer]:
        whole = {**query, "page_size": str(PAGE)}

        def following(page: Answer) -> str:
            number, last = page.number("metadata.page"), page.number("metadata.pages_total")
            return f"{API}/{path}?{urlencode({**whole, 'page': str(number + 1)})}" if number < last else ""

        pages = self._http.pages(f"{API}/{path}", act, {**whole, "page": "1"}, following)
        return [row for page in pages for row in self._checked(page, act).records("result")]


def is_missing(error: Refused, code: str) -> bool:
    """Return whether the array has no such object."""
    return error.code == code or (error.status == HTTPStatus.NOT_FOUND and not error.code)


def explain(body: Answer) -> tuple[str, str]:
    """Return an error's code and message, with the reasons that may stand beside it."""
    reasons: Iterable[str] = (reason.optional("message") for reason in body.objects("error.reasons"))
    parts = [body.optional("error.message").rstrip("."), *(reason.rstrip(".") for reason in reasons)]
    return body.optional("error.code"), "; ".join(dict.fromkeys(filter(None, parts)))
