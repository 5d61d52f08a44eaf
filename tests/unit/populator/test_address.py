"""Addresses: every form in which people write one, and what is none."""

import re
import ssl
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populator.address import Address, parse_address, parse_endpoint

TLS = ssl.create_default_context()


@pytest.mark.parametrize(
    ("written", "host", "port", "shown"),
    [
        ("vc", "vc", None, "vc"),
        (" vc:8989\r\n", "vc", 8989, "vc:8989"),
        ("https://vc/sdk", "vc", None, "vc"),
        ("HTTPS://VC.Example.COM.:8989/sdk?x#y", "vc.example.com", 8989, "vc.example.com:8989"),
        ("vc.example.com/", "vc.example.com", None, "vc.example.com"),
        ("//vc", "vc", None, "vc"),
        ("https://user:p@ss@[::1]:8989", "::1", 8989, "[::1]:8989"),
        ("under_score.example", "under_score.example", None, "under_score.example"),
        ("127.0.0.1:443", "127.0.0.1", 443, "127.0.0.1:443"),
        ("2001:db8::10", "2001:db8::10", None, "[2001:db8::10]"),
        ("2001:DB8:0:0::10/", "2001:db8::10", None, "[2001:db8::10]"),
        ("::1", "::1", None, "[::1]"),
        ("[::1]", "::1", None, "[::1]"),
        ("[::1]:8989", "::1", 8989, "[::1]:8989"),
        ("https://[2001:db8::10]:8989/sdk", "2001:db8::10", 8989, "[2001:db8::10]:8989"),
        ("https://2001:db8::10/sdk", "2001:db8::10", None, "[2001:db8::10]"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201", None, "[64:ff9b::c000:201]"),
        ("fe80::1%eth0", "fe80::1%eth0", None, "[fe80::1%25eth0]"),
        ("[fe80::1%25eth0]:443", "fe80::1%eth0", 443, "[fe80::1%25eth0]:443"),
        ("fe80::1%25", "fe80::1%25", None, "[fe80::1%2525]"),
        ("München.example", "xn--mnchen-3ya.example", None, "xn--mnchen-3ya.example"),
    ],
)
def test_an_address_as_people_write_it(written: str, host: str, port: int | None, shown: str) -> None:
    address = parse_address(written)
    assert (address.host, address.port) == (host, port)
    assert str(address) == shown


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "names no host"),
        ("https://", "names no host"),
        (".", "not a host name"),
        ("ftp://vc", "scheme ftp"),
        ("https://user:geheim@v c", "'v c', which"),
        ("vc:", "port"),
        ("vc:0", "from 1 to 65535"),
        ("vc:65536", "from 1 to 65535"),
        ("vc:٣", "port"),
        ("vc:" + "9" * 5000, "port"),
        ("vc:tcp://172.30.12.3:22", "not an IPv6 address"),
        ("a b", "'a b', which is not a host name"),
        ("a\nb", "not a host name"),
        ("-a", "not a host name"),
        ("a..b", "not a host name"),
        ("x" * 64, "not a host name"),
        ("x." * 128, "not a host name"),
        ("\udc80", "not a host name"),
        ("☃" * 70, "not a host name"),
        ("1.2.3", "not an IPv4 address"),
        ("999.1.1.1", "not an IPv4 address"),
        ("127.0.0.01", "not an IPv4 address"),
        ("2001:db8::10::", "not an IPv6 address"),
        ("2001:db8::1%", "not a zone"),
        ("fe80::1%eth 0", "not a zone"),
        ("[1.2.3.4]", "not an IPv6 address"),
        ("[::1", "not a host, host:port or URL"),
        ("[::1]x", "not a host, host:port or URL"),
        ("::1]", "not an IPv6 address"),
    ],
)
def test_what_is_no_address_is_said_to_be_none(written: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        parse_address(written)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        (":8443", "", 8443),
        (":0", "", 0),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("0.0.0.0:8443", "0.0.0.0", 8443),  # noqa: S104
        ("[::1]:8443", "::1", 8443),
        ("[::]:8443", "::", 8443),
        ("localhost:8443", "localhost", 8443),
    ],
)
def test_where_to_listen(written: str, host: str, port: int) -> None:
    assert parse_endpoint(written) == Address(host, port)


@pytest.mark.parametrize("written", ["", "8443", ":", ":x", ":65536", "::1", "::", "127.0.0.1", "vc"])
def test_what_nobody_can_listen_at_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"^(holds|names|has|is) "):
        parse_endpoint(written)


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[\[\]:/@%.0-9a-f]*", fullmatch=True))
def test_an_address_can_stand_in_a_url_and_is_found_there_again(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    url = urlsplit(f"https://{address}/path")
    assert (url.hostname, url.port, url.path) == (address.host.replace("%", "%25"), address.port, "/path")
    assert parse_address(str(address)) == address
    TLS.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=address.host)
