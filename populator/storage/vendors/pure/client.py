"""REST 2 of a FlashArray: one method for each call we make, with the API's own fields and words.

Every call is made once. Errors have no codes, so they are known by their words; names of objects have no blanks, and
cannot be mistaken for those.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import ODD, Answer
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.initiators import read_initiators
from populator.storage.vendors.pure.session import Session, explain
from vsphere.model import Initiator

MISSING, NVME_ONLY = "does not exist", "connected to nvme"
UNCONNECTED = {"", "None", "N/A"}
"""a host's port connectivity, where none of its initiators is logged in"""
PAGE = "500"
VVOL_TAGS, VVOL_ID = "vasa-integration.purestorage.com", "PURE_VVOL_ID"
"""namespace and key of the tags by which the array's VASA provider knows its vVols"""
COPY_SECONDS = 120.0
"""for a copy, which takes a moment, but has been seen to take over 30 s where an array had many to do (Forklift)"""


@dataclass(frozen=True)
class VolumeRecord:
    """A volume as the array shows it."""

    id: str
    name: str
    serial: str
    size: int
    kind: str
    """`regular` or `protocol_endpoint`"""
    destroyed: bool
    writable: bool
    """whether it is promoted, and stays so; in a pod that is demoted it is not"""


@dataclass(frozen=True)
class HostRecord:
    """A host."""

    name: str
    initiators: frozenset[Initiator]
    local: bool
    """of this array, not of one that it replicates with"""
    connected: bool
    """whether the array sees any of its initiators logged in"""


@dataclass(frozen=True)
class Connection:
    """A volume's being connected to a host; without a host, to a group that has none."""

    volume: str
    volume_id: str
    host: str
    host_group: str
    """by which the host has it; empty where it is the host's own"""
    lun_id: int | None
    """None by NVMe"""

    @property
    def id(self) -> str:
        """What distinguishes it from the volume's other ones; names have no slash but in those of volumes."""
        return f"{self.host_group}/{self.host}" if self.host_group else self.host


class Client:
    """The calls, on one session."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._session = Session(access)
        self._http = Http(access, clock, "Pure", explain, self._session)
        self.name = self._http.name

    def let_in(self) -> None:
        """Log in where that is not done."""
        self._http.let_in()

    def array(self) -> tuple[str, str]:
        """Return the array's id and its version of Purity."""
        first, *_ = [*self._list("arrays", "tell its version", {}), Answer({}, self.name)]
        return first.optional("id"), first.optional("version")

    def model(self) -> str:
        """Return its model."""
        models = [row.optional("model") for row in self._list("controllers", "tell its model", {})]
        return next(filter(None, models), "")

    def volumes(self, query: str) -> list[VolumeRecord]:
        """Return the volumes that match a filter, those that are destroyed and not gone yet among them."""
        return [volume(row) for row in self._list("volumes", "find the volume", {"filter": query})]

    def tagged_as_vvol(self, value: str) -> set[str]:
        """Return the ids of the volumes that VASA has tagged with a vVol's id."""
        query = {"namespaces": VVOL_TAGS, "filter": f"key='{VVOL_ID}' and value='{value}'"}
        rows = self._list("volumes/tags", "find the volume of a vVol", query)
        return {
            row.text("resource.id")
            for row in rows
            if (row.text("key"), row.text("value")) == (VVOL_ID, value)
        }

    def overwrite(self, volume_name: str, source_name: str) -> VolumeRecord:
        """Give a volume the content of another one, and return it; complete when this returns."""
        act, query = f"copy {source_name} onto {volume_name}", {"names": volume_name, "overwrite": "true"}
        body = {"source": {"name": source_name}}
        answer = self._http.call("POST", self._path("volumes"), act, query, body, at_least=COPY_SECONDS)
        rows = answer.records("items")
        if not rows:
            raise StorageError(f"{self.name} was asked to {act}, and its answer names no volume.", ODD)
        return volume(rows[0])

    def resize(self, volume_name: str, size: int) -> None:
        """Give a volume a size, in bytes."""
        act = f"give {volume_name} back its size"
        self._http.call("PATCH", self._path("volumes"), act, {"names": volume_name}, {"provisioned": size})

    def hosts(self, query: str) -> list[HostRecord]:
        """Return the hosts that match a filter; all without one."""
        return [host(row) for row in self._list("hosts", "find the host", {"filter": query} if query else {})]

    def connections(self, volume_name: str) -> list[Connection]:
        """Return a volume's connections."""
        rows = self._list("connections", "list the volume's connections", {"volume_names": volume_name})
        return [connection(row) for row in rows]

    def connect(self, host_name: str, volume_name: str, lun_id: int | None) -> int | None:
        """Connect a volume to a host, and return its LUN id; None where the answer has none."""
        query = {"host_names": host_name, "volume_names": volume_name}
        body = {} if lun_id is None else {"lun": lun_id}
        answer = self._http.call(
            "POST", self._path("connections"), f"connect {volume_name} to {host_name}", query, body
        )
        return next((connection(row).lun_id for row in answer.objects("items")), None)

    def disconnect(self, host_name: str, volume_name: str) -> bool:
        """Remove a connection; return whether there was one."""
        query = {"host_names": host_name, "volume_names": volume_name}
        try:
            self._http.call(
                "DELETE", self._path("connections"), f"disconnect {volume_name} from {host_name}", query
            )
        except Refused as error:
            if not says(error, MISSING):
                raise
            return False
        return True

    def close(self) -> None:
        """End the session."""
        self._http.close()

    def _path(self, resource: str) -> str:
        self.let_in()
        return f"/api/{self._session.version}/{resource}"

    def _list(self, resource: str, act: str, query: Mapping[str, str]) -> list[Answer]:
        path, query = self._path(resource), {**query, "limit": PAGE}

        def following(page: Answer) -> str:
            token = page.optional("continuation_token")
            if not token or page.find("more_items_remaining") is False:
                return ""
            return f"{path}?{urlencode({**query, 'continuation_token': token})}"

        pages = self._http.pages(path, act, query, following)
        return [row for page in pages for row in page.records("items")]


def says(error: StorageError, words: str) -> bool:
    """Return whether an error has these words."""
    return words in error.text.lower()


def volume(row: Answer) -> VolumeRecord:
    """Read one row of /volumes."""
    states = (row.optional("promotion_status"), row.optional("requested_promotion_state"))
    return VolumeRecord(
        id=row.text("id"),
        name=row.text("name"),
        serial=row.text("serial"),
        size=row.number("provisioned"),
        kind=row.optional("subtype", "regular"),
        destroyed=row.find("destroyed") is True,
        writable="demoted" not in states,
    )


def host(row: Answer) -> HostRecord:
    """Read one row of /hosts; before REST 2.1 all are this array's own."""
    return HostRecord(
        name=row.text("name"),
        initiators=read_initiators(spellings(row)),
        local=row.find("is_local") is not False,
        connected=row.optional("port_connectivity.details") not in UNCONNECTED,
    )


def spellings(row: Answer) -> Iterable[str]:
    """Yield a host's initiators, those of NVMe left out."""
    yield from row.texts("wwns")
    yield from row.texts("iqns")


def connection(row: Answer) -> Connection:
    """Read one row of /connections."""
    return Connection(
        volume=row.text("volume.name"),
        volume_id=row.optional("volume.id"),
        host=row.optional("host.name"),
        host_group=row.optional("host_group.name"),
        lun_id=row.number_if_any("lun"),
    )
