"""PowerStore's REST API: a method for each call we make, with the API's own fields.

Every call is made once. What the API calls attach and detach is the same for a host and a group of hosts, so both are
a `Target` here, whose id is the path to it. It needs PowerStoreOS 3.0: older releases cannot look for an initiator.
"""

from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.initiators import in_pairs, read_initiators
from populator.storage.vendors.powerstore import names
from populator.storage.vendors.powerstore.records import (
    MappingRecord,
    Port,
    Target,
    VolumeRecord,
    following,
    mapping,
    owner,
    port,
    volume,
)
from populator.storage.vendors.powerstore.session import Session
from vsphere.model import Initiator

API = "/api/rest"
PAGE = 2000
"""rows; the most that the array gives at once"""
PORTS = "initiators(port_name,port_type)"
HOST = f"id,name,{PORTS},mapped_hosts(logical_unit_number),host_virtual_volume_mappings(id)"
GROUP = f"id,name,hosts({PORTS}),mapped_host_groups(logical_unit_number)"
HOST_AND_GROUP = f"{HOST},host_group({GROUP})"


class Client:
    """The calls, in one session."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._session = Session(access)
        self._http = Http(access, clock, "PowerStore", explain, self._session)
        self.name = self._http.name

    def let_in(self) -> None:
        """Log in where that is not done."""
        self._http.let_in()

    def appliances(self) -> list[tuple[str, str]]:
        """Return model and release of each appliance."""
        query = {"select": "model,software_installed(release_version)", "order": "id"}
        return [
            (row.optional("model"), _first(row.objects("software_installed"), "release_version"))
            for row in self._list("appliance", "report its model", query)
        ]

    def global_id(self) -> str:
        """Return what the CSI driver calls the array: `PS` and a number."""
        rows = self._list("cluster", "report its id", {"select": "global_id"})
        return _first(rows, "global_id")

    def volumes(self, field: str, value: str) -> list[VolumeRecord]:
        """Return the volumes whose `id`, `name` or `wwn` this is; a name in whatever case."""
        return [
            volume(row)
            for row in self._list("volume", "find the volume", {"select": "*", field: f"eq.{value}"})
        ]

    def ports(self, initiators: Collection[Initiator]) -> list[Port]:
        """Return those of the initiators that belong to a host."""
        query = {
            "select": f"port_name,port_type,active_sessions,host({HOST_AND_GROUP})",
            "or": names.any_of(initiators),
        }
        ports = (port(row) for row in self._list("initiator", "find the host's initiators", query))
        return [each for each in ports if each and each.initiator in initiators]

    def discovered(self) -> frozenset[Initiator]:
        """Return the initiators that are logged in and belong to no host."""
        rows = self._list("discovered_initiator", "list new initiators", {"select": "name"}, order="name")
        return read_initiators(row.text("name") for row in rows)

    def host(self, key: str, name: str) -> Target | None:
        """Return a host as it is now, or the group that it is in; None where there is none of this id."""
        query = {"select": HOST_AND_GROUP, "id": f"eq.{key.removeprefix('host/')}"}
        return next(map(owner, self._list("host", f"report on the host {name}", query)), None)

    def hosts_named(self, *listed: str) -> list[Target]:
        """Return the hosts of these names, or the groups that they are in."""
        query = {"select": HOST_AND_GROUP, "name": f"in.({','.join(listed)})"}
        return [owner(row) for row in self._list("host", f"find the host {listed[0]}", query)]

    def create_host(self, name: str, initiators: Iterable[Initiator]) -> str:
        """Create a host for ESXi with its initiators, and return its id as that of a target; empty without one."""
        body = {"name": name, "os_type": "ESXi", "initiators": described(initiators)}
        key = self._call("POST", "host", f"create the host {name}", body=body).optional("id")
        return f"host/{key}" if key else ""

    def add_initiators(self, key: str, name: str, initiators: Iterable[Initiator]) -> None:
        """Add initiators to a host."""
        body = {"add_initiators": described(initiators)}
        self._call("PATCH", key, f"add initiators to the host {name}", body=body)

    def delete_host(self, key: str, name: str) -> None:
        """Delete a host; refused where a volume is attached."""
        self._call("DELETE", key, f"delete the host {name}")

    def mappings(self, key: str) -> list[MappingRecord]:
        """Return all that a volume is attached to."""
        query = {
            "select": f"logical_unit_number,host(id,name,{PORTS}),host_group(id,name,hosts({PORTS}))",
            "volume_id": f"eq.{key}",
        }
        return [
            mapping(row) for row in self._list("host_volume_mapping", "list the volume's mappings", query)
        ]

    def attach(self, target: str, name: str, key: str, lun_id: int) -> None:
        """Attach a volume under a LUN id."""
        body = {"volume_id": key, "logical_unit_number": lun_id}
        self._call("POST", f"{target}/attach", f"attach a volume to {name}", body=body)

    def detach(self, target: str, name: str, key: str) -> None:
        """Detach a volume."""
        self._call("POST", f"{target}/detach", f"detach a volume from {name}", body={"volume_id": key})

    def close(self) -> None:
        """End the session."""
        self._http.close()

    def _call(
        self, method: str, path: str, act: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        answer = self._http.call(method, f"{API}/{path}", act, query, body)
        self._session.note(answer.headers)
        return answer

    def _list(self, path: str, act: str, query: Mapping[str, str], order: str = "id") -> list[Answer]:
        """Return all rows; rows that go away between two pages may leave none for the last one, which is no error."""
        whole = {**query, "order": order, "limit": str(PAGE)}
        rows: list[Answer] = []

        def more(page: Answer) -> str:
            self._session.note(page.headers)
            offset = following(page.headers.get("content-range", ""), self.name)
            return f"{API}/{path}?{urlencode({**whole, 'offset': str(offset)})}" if offset else ""

        try:
            for page in self._http.pages(f"{API}/{path}", act, whole, more):
                rows += page.rows()
        except Refused as error:
            if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not rows:
                raise
        return rows


def described(initiators: Iterable[Initiator]) -> list[dict[str, str]]:
    """Return initiators as the API takes them."""
    return [
        {"port_name": in_pairs(initiator), "port_type": names.PORT_TYPES[initiator.kind]}
        for initiator in initiators
    ]


def explain(body: Answer) -> tuple[str, str]:
    """Return code and message of an error; the first of its messages counts."""
    first = body.objects("messages")[:1]
    return _first(first, "code"), _first(first, "message_l10n")


def _first(rows: list[Answer], name: str) -> str:
    return rows[0].optional(name) if rows else ""
