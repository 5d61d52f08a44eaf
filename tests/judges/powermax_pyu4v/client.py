"""PyU4V, Dell's own client of Unisphere, as a judge of the simulated PowerMax. It waits for answers."""

from typing import Any

from PyU4V import U4VConn
from speak import serve


class Client:
    """Its calls, by names that both judges have in our tests."""

    def __init__(self, api: Any) -> None:
        self.all, self.api = api, api.provisioning

    def version(self) -> list[Any]:
        return [self.all.common.get_uni_version()[0], self.all.common.UNI_VERSION]

    def arrays(self) -> Any:
        return self.all.common.get_array_list()

    def microcode(self) -> Any:
        return self.all.common.get_array(self.all.array_id).get("microcode")

    def volume(self, device: str) -> Any:
        return self.api.get_volume(device)

    def volumes(self, **filters: str) -> Any:
        return self.api.get_volume_list(filters)

    def device(self, name: str) -> Any:
        return self.api.find_volume_device_id(name)

    def groups_of(self, device: str) -> Any:
        return self.api.get_storage_group_from_volume(device)

    def group(self, name: str) -> Any:
        return self.api.get_storage_group(name)

    def create_group(self, name: str) -> Any:
        return self.api.create_empty_storage_group("None", name, "None", "None")

    def add(self, name: str, device: str) -> None:
        self.api.add_existing_volume_to_storage_group(name, device)

    def remove(self, name: str, device: str) -> None:
        self.api.remove_volume_from_storage_group(name, device)

    def delete_group(self, name: str) -> None:
        self.api.delete_storage_group(name)

    def port_group(self, name: str) -> Any:
        return self.api.get_port_group(name)

    def initiators(self, **filters: str) -> Any:
        return self.api.get_initiator_list(filters)

    def host_of(self, initiator: str) -> Any:
        return self.api.get_initiator(initiator)["host"]

    def host(self, name: str) -> Any:
        return self.api.get_host(name)

    def create_host(self, name: str, initiators: list[str]) -> None:
        self.api.create_host(name, initiator_list=initiators)

    def delete_host(self, name: str) -> None:
        self.api.delete_host(name)

    def view(self, name: str) -> Any:
        return self.api.get_masking_view(name)

    def views(self, **filters: str) -> Any:
        return self.api.get_masking_view_list(filters)

    def views_of(self, group: str) -> Any:
        return self.api.get_masking_views_from_storage_group(group)

    def create_view(self, name: str, host: str, ports: str, group: str, first: int | None = None) -> None:
        self.api.create_masking_view_existing_components(
            ports, name, group, host_name=host, starting_lun_address=first
        )

    def delete_view(self, name: str) -> None:
        self.api.delete_masking_view(name)

    def lun_id(self, view: str, device: str) -> Any:
        return self.api.find_host_lun_id_for_volume(view, device)


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Client:
    host, _, port = address.partition(":")
    return Client(
        U4VConn(
            username=options["username"],
            password=options["password"],
            server_ip=host,
            port=int(port),
            verify=ca_file,
            array_id=options["array"],
        )
    )


def calls() -> dict[str, Any]:
    """Return what the tests may call: the methods of the client."""
    return {
        name: lambda client, _name=name, **arguments: getattr(client, _name)(**arguments)
        for name in vars(Client)
        if not name.startswith("_")
    }


serve(connect, calls())
