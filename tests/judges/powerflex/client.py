"""Dell's Python SDK, as a judge of the simulated PowerFlex gateway: the few of its functions that our tests call."""

from typing import Any

from PyPowerFlex import PowerFlexClient
from speak import serve

Client = Any
Record = dict[str, Any]


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Client:
    host, _, port = address.partition(":")
    client = PowerFlexClient(
        gateway_address=host,
        gateway_port=int(port),
        verify_certificate=True,
        certificate_path=ca_file,
        timeout=30,
        **options,
    )
    client.initialize()
    return client


def versions(client: Client) -> list[str]:
    return [client.system.api_version(), client.system.component_version(), type(client.volume).__module__]


def systems(client: Client) -> list[Record]:
    return client.system.get()


def sdcs(client: Client, **fields: str) -> list[Record]:
    return client.sdc.get(filter_fields=fields or None)


def volumes(client: Client, **fields: str) -> list[Record]:
    return client.volume.get(filter_fields=fields or None)


def volume(client: Client, volume: str) -> Record:
    return client.volume.get(entity_id=volume)


def mapped_to(client: Client, sdc: str) -> list[Record]:
    return client.sdc.get_mapped_volumes(sdc)


def add(client: Client, volume: str, several: bool | None = None, **whom: str) -> Record | None:
    """Map; `whom` names an SDC by `sdc_id` or `sdc_guid`, a host of the second generation by `host_id` or `guid`."""
    call = getattr(client.volume, "add_mapped_sdc", None) or client.volume.add_mapped_host
    return call(volume, allow_multiple_mappings=several, **whom)


def remove(client: Client, volume: str, **whom: Any) -> Record | None:
    """Unmap, from one or by `all_sdcs`, `all_hosts` from all."""
    call = getattr(client.volume, "remove_mapped_sdc", None) or client.volume.remove_mapped_host
    return call(volume, **whom)


def limit(client: Client, volume: str, sdc: str, iops: str, bandwidth: str) -> Record | None:
    return client.volume.set_mapped_sdc_limits(volume, sdc, bandwidth_limit=bandwidth, iops_limit=iops)


serve(
    connect,
    {
        call.__name__: call
        for call in (versions, systems, sdcs, volumes, volume, mapped_to, add, remove, limit)
    },
)
