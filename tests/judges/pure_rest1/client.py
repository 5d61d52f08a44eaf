"""Pure's older SDK, which speaks REST 1 alone: it judges how a user and a password become a token."""

from typing import Any

from purestorage import FlashArray
from speak import serve


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Any:
    """Log in by user and password, or by an API token."""
    return FlashArray(address, **options, verify_https=True, ssl_cert=ca_file)


def version(client: Any) -> str:
    return str(client.get_rest_version())


def token(client: Any) -> str:
    return str(client._api_token)


def array(client: Any) -> dict[str, Any]:
    return dict(client.get())


def log_out(client: Any) -> None:
    client.invalidate_cookie()


serve(connect, {"version": version, "token": token, "array": array, "log_out": log_out})
