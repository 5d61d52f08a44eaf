"""The array's address, as STORAGE_HOSTNAME gives it. Pure."""

from dataclasses import replace

from populator.address import Address, parse_address
from populator.errors import StorageError


def origin(hostname: str) -> str:
    """Return `https://host[:port]` of a host, a host:port or a URL; whatever else a URL holds is dropped."""
    return f"https://{read_address(hostname)}"


def read_address(hostname: str) -> Address:
    """Return the array's address."""
    try:
        return parse_address(hostname)
    except ValueError as error:
        raise StorageError(
            "STORAGE_HOSTNAME is not the name of a host.", "Give it as host, host:port or https://host."
        ) from error


def with_port(hostname: str, port: int) -> str:
    """Return the address as text, with this port where it names none."""
    address = read_address(hostname)
    return str(address if address.port else replace(address, port=port))
