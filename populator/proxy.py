"""The proxy that the environment names for an address (HTTPS_PROXY, ALL_PROXY, NO_PROXY), by the rules of requests.

The array's door gets it from requests itself, and only its name from here; vCenter's is told.
"""

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

from populator.address import Address, parse_address

DEFAULT_PORT = 80
KNOWN = {"http", "https"}


@dataclass(frozen=True)
class Proxy:
    """A proxy; its text has no credentials."""

    scheme: str
    host: str
    port: int
    authorization: str = field(default="", repr=False)
    """value of the header Proxy-Authorization; empty: none"""

    def __str__(self) -> str:
        """Return the proxy as people know it."""
        return str(Address(self.host, self.port))


def find_proxy(address: Address) -> Proxy | None:
    """Return the proxy on the way to an address, if any; raise `ValueError`, a sentence, where it is of no use."""
    url = f"https://{address}/"
    given = select_proxy(url, get_environ_proxies(url))
    return parse_proxy(given) if given else None


def parse_proxy(given: str) -> Proxy:
    """Parse the URL of a proxy, or its host and port alone."""
    try:
        parts = urlsplit(given if "//" in given else f"http://{given}")
        address = parse_address(parts.netloc)
        user = unquote(parts.netloc.rpartition("@")[0])
        token = base64.b64encode(user.encode()).decode()
    except ValueError as error:
        raise ValueError(
            "HTTPS_PROXY does not name a proxy: it is not of the form http://user:password@host:port."
        ) from error
    if parts.scheme not in KNOWN:
        raise ValueError(
            f"HTTPS_PROXY names a proxy of the kind {parts.scheme}; only HTTP proxies are supported."
        )
    port = address.port or DEFAULT_PORT
    return Proxy(parts.scheme, address.host, port, f"Basic {token}" if user else "")
