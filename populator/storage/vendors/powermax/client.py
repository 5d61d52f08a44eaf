"""Unisphere's objects of one PowerMax: a method for each call we make, with the API's own fields.

Changes ask to be answered when they are done.
"""

import re
from http import HTTPStatus
from urllib.parse import quote

from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.failures import Refused
from populator.storage.vendors.powermax import names, records
from populator.storage.vendors.powermax.records import (
    Connection,
    Port,
    StorageGroup,
    ViewRecord,
    VolumeRecord,
)
from populator.storage.vendors.powermax.unisphere import Unisphere, is_missing
from vsphere.model import Initiator

SYNCHRONOUS = {"executionOption": "SYNCHRONOUS"}
LUN_ID_REFUSED = re.compile(r"lun.?(id|address)|unrecognized|unknown field", re.IGNORECASE)


class Client:
    """The calls."""

    def __init__(self, access: Access, clock: Clock, array: str) -> None:
        self._unisphere = Unisphere(access, clock, array)
        self.array, self.name = array, self._unisphere.name

    def model(self) -> tuple[str, str]:
        """Return model and microcode."""
        row = self._unisphere.get("system", "", "report its model")
        return row.optional("model"), row.optional("ucode") or row.optional("microcode")

    def volume(self, device: str) -> VolumeRecord | None:
        """Return the volume of a number."""
        row = self._unisphere.find(f"volume/{device}", f"report on the volume {device}")
        return records.volume(row) if row else None

    def volumes_with(self, wwn: str) -> list[str]:
        """Return the numbers of the volumes that have a WWN."""
        page = self._unisphere.find("volume", "find the volume of a device", {"wwn": wwn})
        return [row.text("volumeId") for row in page.objects("resultList.result")] if page else []

    def storage_group(self, name: str) -> StorageGroup | None:
        """Return a storage group."""
        row = self._unisphere.find(f"storagegroup/{quote(name)}", f"report on the storage group {name}")
        return records.storage_group(row) if row else None

    def views(self) -> list[str]:
        """Return the names of all masking views."""
        row = self._unisphere.find("maskingview", "list the masking views")
        return row.texts("maskingViewId") if row else []

    def view(self, name: str) -> ViewRecord | None:
        """Return a masking view."""
        row = self._unisphere.find(f"maskingview/{quote(name)}", f"report on the masking view {name}")
        return records.view(row) if row else None

    def connections(self, view: str, device: str) -> list[Connection] | None:
        """Return by what paths a volume is seen in a view, which may take a while to show; None without the view."""
        path, query = f"maskingview/{quote(view)}/connections", {"volume_id": device}
        body = self._unisphere.find(path, f"list the paths of the masking view {view}", query)
        return None if body is None else records.connections(body, device)

    def protocol(self, port_group: str) -> str | None:
        """Return by which protocol a port group is seen; None where there is none of this name."""
        row = self._unisphere.find(f"portgroup/{quote(port_group)}", f"report on the port group {port_group}")
        if row is None:
            return None
        return row.optional("port_group_protocol") or row.optional("type")

    def ports(self, initiator: Initiator) -> list[str]:
        """Return what the array's ports call an initiator that belongs to a host."""
        query = {"in_a_host": "true", "initiator_hba": initiator.name}
        body = self._unisphere.find("initiator", f"find the initiator {initiator}", query)
        spellings = body.texts("initiatorId") if body else []
        return [spelled for spelled in spellings if records.initiator(spelled) == initiator]

    def port(self, spelled: str) -> Port | None:
        """Return what one of the array's ports knows of an initiator."""
        row = self._unisphere.find(
            f"initiator/{quote(spelled, safe=':')}", f"report on the initiator {spelled}"
        )
        return records.port(row) if row else None

    def host(self, name: str) -> frozenset[Initiator] | None:
        """Return the initiators of a host."""
        row = self._unisphere.find(f"host/{quote(name)}", f"report on the host {name}")
        return records.host(row) if row else None

    def host_group(self, name: str) -> list[str]:
        """Return the hosts of a group of hosts; none where it is gone."""
        row = self._unisphere.find(f"hostgroup/{quote(name)}", f"report on the host group {name}")
        return [host.text("hostId") for host in row.objects("host")] if row else []

    def create_storage_group(self, name: str) -> None:
        """Create a storage group without service level, so that it leaves its volumes' own alone; it may exist."""
        body = {"storageGroupId": name, "srpId": "None", "emulation": "FBA", **SYNCHRONOUS}
        try:
            self._unisphere.write("POST", "storagegroup", f"create the storage group {name}", body)
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
            self._unisphere.write("POST", "maskingview", act, {**body, "starting_lun_address": lun_id})
        except Refused as error:
            if error.passing or not LUN_ID_REFUSED.search(error.text):
                if "protocol" in error.text:
                    error.hint = (
                        f"{names.PORT_GROUPS} must name a port group for the protocol of all that {host} has."
                    )
                raise
            self._unisphere.write("POST", "maskingview", act, body)

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
            if not is_missing(error):
                raise

    def delete_storage_group(self, name: str) -> bool:
        """Delete a storage group; return whether there was one."""
        return self._delete(f"storagegroup/{quote(name)}", f"delete the storage group {name}")

    def close(self) -> None:
        """Drop the connections."""
        self._unisphere.close()

    def _edit(self, group: str, act: str, change: object) -> None:
        body = {"editStorageGroupActionParam": change, **SYNCHRONOUS}
        self._unisphere.write("PUT", f"storagegroup/{quote(group)}", act, body)

    def _delete(self, path: str, act: str) -> bool:
        try:
            self._unisphere.write("DELETE", path, act)
        except Refused as error:
            if not is_missing(error):
                raise
            return False
        return True
