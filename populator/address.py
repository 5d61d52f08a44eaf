"""Addresses as people write them, read in this one place: vCenter, array, ESXi hosts, the metrics page.

Pure. Taken are host, host:port and URL; a host is a name (IDNA too), an IPv4 or an IPv6 address, the latter with or
without brackets and with a zone. Blanks around it, upper case, a dot at the end of a name, and what a URL has before
and behind its host make no difference.
"""

import ipaddress
import re
from dataclasses import dataclass

HIGHEST_PORT = 65535
URL = re.compile(r"(?:([a-z][a-z0-9+.-]*):)?//(.*)", re.IGNORECASE | re.DOTALL)
HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?")
ZONE = re.compile(r"[A-Za-z0-9_.~-]+")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True)
class Address:
    """A host, and a port where one was given; as text it can stand in a URL."""

    host: str
    """name in lower case and in ASCII, or IP address without brackets; `fe80::1%eth0` with a zone"""
    port: int | None = None

    def __str__(self) -> str:
        """Return host or host:port, an IPv6 address in brackets, its zone as RFC 6874 has it."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_address(text: str, lowest_port: int = 1) -> Address:
    """Parse an address; raise `ValueError`, whose text follows the value in a sentence, where it is none."""
    rest = text.strip()
    if found := URL.fullmatch(rest):
        scheme, rest = found.groups()
        if scheme and scheme.lower() not in {"https", "http"}:
            raise ValueError(f"is a URL of the scheme {scheme[:100]}, not https")
    rest = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if rest.count(":") > 1 and "[" not in rest:
        return Address(_ipv6(rest))
    parts = HOST_AND_PORT.fullmatch(rest)
    if not parts:
        raise ValueError("is not a host, host:port or URL")
    host, port = parts.groups()
    return Address(_ipv6(host[1:-1]) if "[" in host else _name(host), _port(port, lowest_port))


def parse_endpoint(text: str) -> Address:
    """Parse where to listen: `:8443` (all interfaces, an empty host), `127.0.0.1:0`, `[::1]:8443`."""
    if re.fullmatch(r":[^:]*", text.strip()):
        return Address("", _port(text.strip()[1:], 0))
    address = parse_address(text, lowest_port=0)
    if address.port is None:
        raise ValueError("has no port; it is an address like :8443 or [::1]:8443")
    return address


def _port(text: str | None, lowest: int) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not lowest <= int(text) <= HIGHEST_PORT:
        raise ValueError(f"has a port that is not a number from {lowest} to {HIGHEST_PORT}")
    return int(text)


def _ipv6(text: str) -> str:
    address, percent, zone = text.partition("%")
    zone = zone.removeprefix("25") or zone  # %25 is what a URL has for the percent sign
    try:
        plain = str(ipaddress.IPv6Address(address))
    except ValueError:
        raise ValueError(f"holds {text[:100]!r}, which is not an IPv6 address") from None
    if percent and not ZONE.fullmatch(zone):
        raise ValueError(f"holds {zone[:100]!r}, which is not a zone of an IPv6 address")
    return plain + percent + zone


def _name(text: str) -> str:
    """Return a name or an IPv4 address; what ends in a number can only be the latter."""
    name = text if text.isascii() else _ascii(text)
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if labels[-1].isdecimal():
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError(f"holds {text[:100]!r}, which is not an IPv4 address") from None
    if len(name) > 253 or not all(map(LABEL.fullmatch, labels)):
        raise ValueError(f"holds {text[:100]!r}, which is not a host name" if text else "names no host")
    return name


def _ascii(name: str) -> str:
    """Return an international name as the DNS has it."""
    import idna  # noqa: PLC0415 - 20 ms, and rarely needed

    try:
        return str(idna.encode(name, uts46=True), "ascii")
    except UnicodeError:
        raise ValueError(f"holds {name[:100]!r}, which is not a host name") from None
