"""The objects of a simulated PowerMax as Unisphere shows them; lists that are empty are left out."""

from typing import TYPE_CHECKING, Any

from tests.lab.arrays.powermax.system import NO_SRP, Failure, SimView, find

if TYPE_CHECKING:
    from tests.lab.arrays.powermax.server import PowerMaxSimulator

Record = dict[str, Any]


class Rows:
    """See the module."""

    def __init__(self, sim: "PowerMaxSimulator") -> None:
        self._sim = sim

    def version(self) -> Record:
        row: Record = {"version": self._sim.version}
        if self._sim.offered is not None:
            row |= {"api_version": self._sim.offered[0], "supported_api_versions": self._sim.offered}
        return row

    def symmetrix(self) -> Record:
        row: Record = {"symmetrixId": self._sim.id, "local": True, "device_count": len(self._sim.volumes)}
        if self._sim.older:
            return row | {"model": "PowerMax_2000", "ucode": "5978.441.441"}
        return row | {"model": "PowerMax_2500", "microcode": "6079.175.0"}

    def volume(self, device: str) -> Record:
        sim, volume = self._sim, find(self._sim.volumes, device, "Volume")
        groups = sim.groups_of(device)
        paths = {port for view in self._views_of(device) for port in sim.port_groups[view.port_group].ports}
        return {
            "volumeId": volume.device,
            "type": "TDEV",
            "emulation": volume.emulation,
            "cap_cyl": volume.cylinders,
            "cap_mb": float(-(-volume.cylinders * 15 // 8)),
            "cap_gb": round(volume.cylinders * 15 / 8 / 1024, 2),
            "status": volume.status,
            "wwn": volume.wwn,
            "has_effective_wwn": bool(volume.effective_wwn),
            "effective_wwn": volume.effective_wwn or volume.wwn,
            "num_of_storage_groups": len(groups),
            "num_of_front_end_paths": len(paths),
        } | _filled(volume_identifier=volume.name, storageGroupId=groups)

    def storage_groups(self, **wanted: str) -> Record:
        found = list(self._sim.storage_groups)
        if "storageGroupId" in wanted:
            found = [name for name in found if name == wanted["storageGroupId"]]
        if "volumeId" in wanted:
            found = [name for name in found if name in self._sim.groups_of(wanted["volumeId"])]
        return _filled(storageGroupId=found)

    def storage_group(self, name: str) -> Record:
        sim, group = self._sim, find(self._sim.storage_groups, name, "Storage Group")
        views, parents = [view.name for view in sim.views_of(name)], sim.parents_of(name)
        row: Record = {
            "storageGroupId": name,
            "srp": group.srp,
            "slo": "NONE" if group.srp == NO_SRP else "Diamond",
            "device_emulation": "FBA",
            "num_of_vols": len(group.volumes),
            "num_of_masking_views": len(views),
            "num_of_child_sgs": len(group.children),
            "num_of_parent_sgs": len(parents),
            "type": "Parent" if group.children else "Child" if parents else "Standalone",
        }
        return row | _filled(
            maskingview=views, parent_storage_group=parents, child_storage_group=group.children
        )

    def port_groups(self, **wanted: str) -> Record:
        kinds = {"fibre": "SCSI_FC", "iscsi": "iSCSI"}
        chosen = {kinds[name] for name, value in wanted.items() if value == "true"}
        found = (
            group.name for group in self._sim.port_groups.values() if not chosen or group.protocol in chosen
        )
        return _filled(portGroupId=list(found))

    def port_group(self, name: str) -> Record:
        group = find(self._sim.port_groups, name, "Port Group")
        views = [view.name for view in self._sim.views.values() if view.port_group == name]
        ports = [dict(zip(("directorId", "portId"), port.split(":"), strict=True)) for port in group.ports]
        kind = {"SCSI_FC": "Fibre"}.get(group.protocol, group.protocol)
        row: Record = {"portGroupId": name, "num_of_ports": len(ports), "num_of_masking_views": len(views)}
        row |= {"type": kind} if self._sim.older else {"port_group_protocol": group.protocol}
        return row | _filled(symmetrixPortKey=ports, maskingview=views)

    def initiators(self, **wanted: str) -> Record:
        """List initiators as each port knows them; the one asked for may be spelled in whatever case."""
        sim, hba = self._sim, wanted.get("initiator_hba", "").lower()
        in_host, logged_in = wanted.get("in_a_host"), wanted.get("logged_in")
        found = [
            f"{port}:{initiator.name}"
            for initiator in sim.initiators.values()
            for port in sim.ports_for(initiator.name)
            if (not hba or initiator.name == hba)
            and in_host in {None, str(bool(sim.owner(initiator.name))).lower()}
            and logged_in in {None, str(initiator.logged_in).lower()}
        ]
        return _filled(initiatorId=found)

    def initiator(self, spelled: str) -> Record:
        sim = self._sim
        director, number, name = (*spelled.split(":", 2), "", "")[:3]
        port = f"{director}:{number}"
        if name not in sim.initiators or port not in sim.ports_for(name):
            raise Failure(404, f"Could not find Initiator {spelled}")
        initiator, host = sim.initiators[name], sim.owner(name)
        if port in initiator.hostless_at:
            host = ""
        groups = [group for group, members in sim.host_groups.items() if host in members]
        views = [view.name for view in sim.views.values() if name in sim.seers(view)]
        return {
            "initiatorId": spelled,
            "type": "iSCSI" if name.startswith("iqn.") else "Fibre",
            "logged_in": initiator.logged_in,
            "on_fabric": initiator.logged_in,
            "num_of_host_groups": len(groups),
            "number_of_masking_views": len(views),
            "symmetrixPortKey": [{"directorId": director, "portId": number}],
        } | _filled(host=host, hostGroup=groups, maskingview=views)

    def hosts(self) -> Record:
        return _filled(hostId=list(self._sim.hosts))

    def host(self, name: str) -> Record:
        sim, host = self._sim, find(self._sim.hosts, name, "Host")
        views = [view.name for view in sim.views.values() if view.host == name]
        fibre = not any(initiator.startswith("iqn.") for initiator in host.initiators)
        return {
            "hostId": name,
            "type": "Fibre" if fibre else "iSCSI",
            "num_of_initiators": len(host.initiators),
            "num_of_masking_views": len(views),
        } | _filled(initiator=host.initiators, maskingview=views)

    def host_group(self, name: str) -> Record:
        members = find(self._sim.host_groups, name, "Host Group")
        hosts = [{"hostId": member, "initiator": self._sim.hosts[member].initiators} for member in members]
        return {"hostGroupId": name, "num_of_hosts": len(hosts), "type": "Fibre"} | _filled(host=hosts)

    def views(self, **wanted: str) -> Record:
        fields = {
            "port_group_name": "port_group",
            "host_or_host_group_name": "host",
            "storage_group_name": "storage_group",
        }
        return _filled(
            maskingViewId=[
                view.name
                for view in self._sim.views.values()
                if all(getattr(view, fields[name]) == value for name, value in wanted.items())
            ]
        )

    def view(self, name: str) -> Record:
        view = find(self._sim.views, name, "Masking View")
        kind = "hostGroupId" if view.host in self._sim.host_groups else "hostId"
        return {
            "maskingViewId": name,
            kind: view.host,
            "portGroupId": view.port_group,
            "storageGroupId": view.storage_group,
        }

    def connections(self, name: str, volume_id: str = "") -> Record:
        """List each path of each volume; none for a while after the view was made."""
        sim, view = self._sim, find(self._sim.views, name, "Masking View")
        if view.settled_after:
            view.settled_after -= 1
            return {}
        return _filled(
            maskingViewConnection=[
                {
                    "volumeId": device,
                    "host_lun_address": f"{lun_id:04X}",
                    "cap_gb": str(self.volume(device)["cap_gb"]),
                    "initiatorId": initiator,
                    "dir_port": port,
                    "logged_in": sim.initiators[initiator].logged_in,
                    "on_fabric": sim.initiators[initiator].logged_in,
                }
                for device, lun_id in view.lun_ids.items()
                if volume_id in {"", device}
                for initiator in sim.seers(view)
                for port in sim.port_groups[view.port_group].ports
            ]
        )

    def _views_of(self, device: str) -> list[SimView]:
        return [view for view in self._sim.views.values() if device in view.lun_ids]


def _filled(**fields: Any) -> Record:
    return {name: value for name, value in fields.items() if value}
