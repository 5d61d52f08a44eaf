"""OpenStack Cinder's client of Unisphere, as a judge of the simulated PowerMax. It asks for everything by jobs."""

from pathlib import Path
from typing import Any

from cinder import coordination, objects
from oslo_config import cfg
from speak import serve

objects.register_all()  # before a driver is imported

from cinder.volume.drivers.dell_emc.powermax import rest  # noqa: E402

SPECS = {"interval": "0", "retries": "200"}


class Client:
    """Its calls, by names that both judges have in our tests."""

    def __init__(self, api: Any, array: str) -> None:
        self.api, self.array = api, array

    def version(self) -> list[Any]:
        return [self.api.get_uni_version()[0], self.api.u4p_version]

    def arrays(self) -> Any:
        return self.api.get_arrays_list()

    def microcode(self) -> Any:
        return self.api.get_array_ucode_version(self.array)

    def volume(self, device: str) -> Any:
        return self.api.get_volume(self.array, device)

    def volumes(self, **filters: str) -> Any:
        return self.api.get_volume_list(self.array, filters)

    def device(self, name: str) -> Any:
        return self.api.find_volume_device_id(self.array, name)

    def groups_of(self, device: str) -> Any:
        return self.api.get_storage_groups_from_volume(self.array, device)

    def group(self, name: str) -> Any:
        return self.api.get_storage_group(self.array, name)

    def create_group(self, name: str) -> Any:
        return self.api.create_storage_group(self.array, name, "None", None, None, SPECS)

    def add(self, name: str, device: str) -> None:
        self.api.add_vol_to_sg(self.array, name, device, SPECS)

    def remove(self, name: str, device: str) -> None:
        self.api.remove_vol_from_sg(self.array, name, device, SPECS)

    def delete_group(self, name: str) -> None:
        self.api.delete_storage_group(self.array, name)

    def port_group(self, name: str) -> Any:
        return self.api.get_portgroup(self.array, name)

    def initiators(self, **filters: str) -> Any:
        return self.api.get_initiator_list(self.array, filters)

    def host_of(self, initiator: str) -> Any:
        return self.api.get_initiator_group_from_initiator(self.array, initiator)

    def host(self, name: str) -> Any:
        return self.api.get_initiator_group(self.array, name)

    def create_host(self, name: str, initiators: list[str]) -> None:
        self.api.create_initiator_group(self.array, name, initiators, SPECS)

    def delete_host(self, name: str) -> None:
        self.api.delete_initiator_group(self.array, name)

    def view(self, name: str) -> Any:
        return self.api.get_masking_view(self.array, name)

    def views(self, **filters: str) -> Any:
        return self.api.get_masking_view_list(self.array, filters)

    def views_of(self, group: str) -> Any:
        return self.api.get_masking_views_from_storage_group(self.array, group)

    def create_view(self, name: str, host: str, ports: str, group: str) -> None:
        self.api.create_masking_view(self.array, name, group, ports, host, SPECS)

    def delete_view(self, name: str) -> None:
        self.api.delete_masking_view(self.array, name)

    def lun_id(self, view: str, device: str) -> Any:
        return self.api.find_mv_connections_for_vol(self.array, view, device)


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Client:
    cfg.CONF([], project="cinder", default_config_files=[])
    cfg.CONF.set_override("backend_url", f"file://{Path.cwd()}/coordination", group="coordination")
    cfg.CONF.set_override("lock_path", str(Path.cwd()), group="oslo_concurrency")
    coordination.COORDINATOR.start()
    host, _, port = address.partition(":")
    api = rest.PowerMaxRest()
    api.set_rest_credentials(
        {
            "RestServerIp": host,
            "RestServerPort": port,
            "RestUserName": options["username"],
            "RestPassword": options["password"],
            "SSLVerify": ca_file,
        }
    )
    api.validate_unisphere_version()
    return Client(api, options["array"])


def calls() -> dict[str, Any]:
    """Return what the tests may call: the methods of the client."""
    return {
        name: lambda client, _name=name, **arguments: getattr(client, _name)(**arguments)
        for name in vars(Client)
        if not name.startswith("_")
    }


serve(connect, calls())
