"""ONTAP's REST API: one method for each call we make, with the API's own fields and error codes.

Every call is made once. The error codes are those of the API reference ("ONTAP Error Response Codes").
"""

from collections.abc import Iterable, Mapping

from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused
from populator.storage.http import Http
from populator.storage.login import Basic
from populator.storage.vendors.ontap import names, records
from populator.storage.vendors.ontap.records import Igroup, LunMap, LunRecord, MappedGroup, Svm

NO_SUCH_ENTRY = "4"
GROUP_EXISTS = "5374023"
INITIATOR_EXISTS = "5374035"
GROUP_MISSING = "5374852"
GROUP_STILL_MAPPED = "1254213"
UNMAPPED = {"5374922", "5374875", "5374878", NO_SUCH_ENTRY}
"""map, LUN or igroup does not exist: nothing is left to unmap"""
GROUP_GONE = {GROUP_MISSING, NO_SUCH_ENTRY}
GROUP_RACES = {GROUP_EXISTS, INITIATOR_EXISTS, *GROUP_GONE}
"""somebody else created, completed or deleted the igroup between our look and our act"""


class Client:
    """The calls, on one session."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._http = Http(access, clock, "ONTAP", explain, Basic(access))
        self.name = self._http.name

    def svms(self, name: str) -> list[Svm]:
        """Return the SVMs that match a query."""
        query = {"name": name, "fields": "uuid,name,fcp.enabled,iscsi.enabled"}
        return [records.svm(r) for r in self._list("svm/svms", "list its SVMs", query)]

    def nodes(self) -> list[tuple[str, str]]:
        """Return model and version of each node; needs the credentials of a cluster."""
        nodes = self._list("cluster/nodes", "tell its model", {"fields": "model,version"})
        return [(r.optional("model"), records.version(r)) for r in nodes]

    def version(self) -> str:
        """Return the cluster's version."""
        answer = self._http.call("GET", "/api/cluster", "tell its version", {"fields": "version"})
        return records.version(answer)

    def luns(self, svm: Svm, name: str) -> list[LunRecord]:
        """Return the LUNs whose names match a query."""
        fields = "uuid,name,serial_number,space.size,enabled,status.state,class"
        query = {"svm.uuid": svm.uuid, "name": name, "fields": fields}
        return [records.lun(r) for r in self._list("storage/luns", "find the LUN", query)]

    def luns_with(self, serial: str) -> list[str]:
        """Return the names of the LUNs of a serial number, on whatever SVM our user may look at."""
        query = {"serial_number": names.quoted(serial), "fields": "name,serial_number"}
        rows = self._list("storage/luns", "find the LUN of a device", query)
        return [row.text("name") for row in rows if row.text("serial_number") == serial]

    def igroups(self, svm: Svm, name: str) -> list[Igroup]:
        """Return the igroups whose names match a query."""
        fields = "uuid,name,protocol,os_type,initiators.name"
        query = {"svm.uuid": svm.uuid, "name": name, "fields": fields}
        return [records.igroup(r) for r in self._list("protocols/san/igroups", "find the igroup", query)]

    def mapped_luns(self, svm: Svm, name: str) -> list[MappedGroup]:
        """Return the igroups whose names match a query, with the LUNs that are mapped to each."""
        query = {
            "svm.uuid": svm.uuid,
            "name": name,
            "fields": "uuid,name,lun_maps.lun.uuid,lun_maps.lun.name",
        }
        return [
            records.mapped_group(r) for r in self._list("protocols/san/igroups", "find the igroup", query)
        ]

    def create_igroup(self, svm: Svm, name: str, protocol: str, initiators: Iterable[str]) -> str:
        """Create an igroup for ESXi with its initiators, and return its uuid; empty where the answer has none."""
        body = {
            "svm": {"uuid": svm.uuid},
            "name": name,
            "protocol": protocol,
            "os_type": "vmware",
            "initiators": [{"name": initiator} for initiator in initiators],
        }
        return self._create("protocols/san/igroups", f"create the igroup {name}", body).optional("uuid")

    def add_initiators(self, uuid: str, name: str, initiators: Iterable[str]) -> None:
        """Add initiators to an igroup."""
        body = {"records": [{"name": initiator} for initiator in initiators]}
        path = f"/api/protocols/san/igroups/{uuid}/initiators"
        self._http.call("POST", path, f"add initiators to the igroup {name}", body=body)

    def delete_igroup(self, uuid: str, name: str) -> bool:
        """Delete an igroup that is not mapped; return whether it was there and could be."""
        try:
            self._http.call("DELETE", f"/api/protocols/san/igroups/{uuid}", f"delete the igroup {name}")
        except Refused as error:
            if error.code not in {GROUP_STILL_MAPPED, *GROUP_GONE}:
                raise
            return error.code == GROUP_STILL_MAPPED
        return True

    def maps(self, svm: Svm, lun_uuid: str) -> list[LunMap]:
        """Return all maps of a LUN."""
        fields = "igroup.name,igroup.uuid,igroup.initiators,logical_unit_number"
        query = {"svm.uuid": svm.uuid, "lun.uuid": lun_uuid, "fields": fields}
        return [
            records.lun_map(r) for r in self._list("protocols/san/lun-maps", "list the LUN's maps", query)
        ]

    def map(
        self, svm: Svm, lun: str, lun_uuid: str, igroup_uuid: str, wanted: int | None = None
    ) -> int | None:
        """Map a LUN under a LUN id, or the lowest free one, and return the id; None where the answer has none."""
        body: dict[str, object] = {
            "svm": {"uuid": svm.uuid},
            "lun": {"uuid": lun_uuid},
            "igroup": {"uuid": igroup_uuid},
        }
        if wanted is not None:
            body["logical_unit_number"] = wanted
        answer = self._create("protocols/san/lun-maps", f"map {lun}", body)
        return answer.number_if_any("logical_unit_number")

    def unmap(self, lun: str, lun_uuid: str, igroup_uuid: str) -> bool:
        """Remove a map; return whether there was one."""
        try:
            self._http.call("DELETE", f"/api/protocols/san/lun-maps/{lun_uuid}/{igroup_uuid}", f"unmap {lun}")
        except Refused as error:
            if error.code not in UNMAPPED:
                raise
            return False
        return True

    def fc_logins(self, svm: Svm, wwpns: Iterable[str]) -> bool:
        """Return whether any of these initiators is logged in to the SVM by Fibre Channel."""
        query = {"svm.uuid": svm.uuid, "initiator.wwpn": "|".join(wwpns), "fields": "initiator.wwpn"}
        return bool(self._list("network/fc/logins", "list its FC logins", query))

    def iscsi_sessions(self, svm: Svm, names: Iterable[str]) -> bool:
        """Return whether any of these initiators has an iSCSI session with the SVM."""
        query = {"svm.uuid": svm.uuid, "initiator.name": "|".join(names), "fields": "initiator.name"}
        return bool(self._list("protocols/san/iscsi/sessions", "list its iSCSI sessions", query))

    def close(self) -> None:
        """End the session; ONTAP itself keeps none."""
        self._http.close()

    def _list(self, path: str, act: str, query: Mapping[str, str]) -> list[Answer]:
        pages = self._http.pages(f"/api/{path}", act, query, lambda page: page.optional("_links.next.href"))
        return [record for page in pages for record in page.records("records")]

    def _create(self, path: str, act: str, body: object) -> Answer:
        answer = self._http.call("POST", f"/api/{path}", act, {"return_records": "true"}, body)
        return (answer.objects("records") or [answer])[0]


def explain(body: Answer) -> tuple[str, str]:
    """Return code and message of an error; the code is a string in ONTAP's answers."""
    return body.optional("error.code"), body.optional("error.message")
