"""Pure's own SDK for REST 2."""

from typing import Any

from pypureclient import ErrorResponse, flasharray
from pypureclient.configuration import Configuration
from speak import serve


class Refused(Exception):
    """The array answered with errors."""


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Any:
    """Log in by an API token."""
    settings = Configuration(ssl_ca_cert=ca_file)
    settings.verify_ssl = True
    settings.retries = options.get("retries", 0)
    return flasharray.Client(
        target=address, api_token=options["token"], configuration=settings, version=options.get("version")
    )


def items(response: Any) -> list[dict[str, Any]]:
    """Return all rows, page after page."""
    if isinstance(response, ErrorResponse):
        errors = "; ".join(f"{error.message} ({error.context})" for error in response.errors)
        raise Refused(f"HTTP {response.status_code}: {errors}")
    return [item.to_dict() for item in response.items or ()]


def version(client: Any) -> str:
    return str(client.get_rest_version())


def arrays(client: Any) -> list[dict[str, Any]]:
    return items(client.get_arrays())


def controllers(client: Any) -> list[dict[str, Any]]:
    return items(client.get_controllers())


def volumes(client: Any, **query: Any) -> list[dict[str, Any]]:
    return items(client.get_volumes(**query))


def hosts(client: Any, **query: Any) -> list[dict[str, Any]]:
    return items(client.get_hosts(**query))


def add_host(client: Any, name: str, **members: Any) -> list[dict[str, Any]]:
    return items(client.post_hosts(names=[name], host=flasharray.HostPost(**members)))


def remove_host(client: Any, name: str) -> list[dict[str, Any]]:
    return items(client.delete_hosts(names=[name]))


def connections(client: Any, **query: Any) -> list[dict[str, Any]]:
    return items(client.get_connections(**query))


def attach(client: Any, host: str, volume: str, lun: int | None = None) -> list[dict[str, Any]]:
    body = flasharray.ConnectionPost() if lun is None else flasharray.ConnectionPost(lun=lun)
    return items(client.post_connections(host_names=[host], volume_names=[volume], connection=body))


def detach(client: Any, host: str, volume: str) -> list[dict[str, Any]]:
    return items(client.delete_connections(host_names=[host], volume_names=[volume]))


def copy(client: Any, volume: str, source: str, *, overwrite: bool = True) -> list[dict[str, Any]]:
    body = flasharray.VolumePost(source=flasharray.Reference(name=source))
    return items(client.post_volumes(names=[volume], overwrite=overwrite, volume=body))


def resize(client: Any, volume: str, size: int) -> list[dict[str, Any]]:
    return items(client.patch_volumes(names=[volume], volume=flasharray.VolumePatch(provisioned=size)))


def tags(client: Any, **query: Any) -> list[dict[str, Any]]:
    return items(client.get_volumes_tags(**query))


def log_out(client: Any) -> None:
    client._token_man.close_session()


serve(
    connect,
    {
        "version": version,
        "arrays": arrays,
        "controllers": controllers,
        "volumes": volumes,
        "hosts": hosts,
        "add_host": add_host,
        "remove_host": remove_host,
        "connections": connections,
        "attach": attach,
        "detach": detach,
        "copy": copy,
        "resize": resize,
        "tags": tags,
        "log_out": log_out,
    },
)
